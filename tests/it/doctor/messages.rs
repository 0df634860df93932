//! Messages of real PostgreSQL servers that do not start, explained.

use nix::sys::signal::Signal;

use super::make::{explained, part, report, set_limit};
use crate::scene::instance::need_root;
use crate::support::cluster::Cluster;
use crate::support::objects::{create_segment, segments};
use crate::support::user::User;
use crate::support::{processes, sandbox, warden};

/// What the server writes that does not start.
fn complaint(cluster: &mut Cluster) -> String {
    let before = cluster.log().len();
    cluster.spawn_under(&[]);
    assert!(!cluster.wait_end().success());
    cluster.log()[before..].to_owned()
}

#[test]
fn a_server_over_the_number_of_segments() {
    sandbox::run(|| {
        for_each_major(|cluster| {
            create_segment(User::Root, 0, 4096);
            let count = segments().len();
            set_limit("shmmni", &count.to_string());
            let message = complaint(cluster);
            let answer = explained(&message);
            assert_eq!((&answer["call"], &answer["errno"]), (&"shmget".into(), &"ENOSPC".into()));
            assert!(answer["bytes"].as_u64().unwrap() > 0, "{answer:#}");
            assert!(answer["means"].as_str().unwrap().contains("not a disk"), "{answer:#}");
            let reached = format!("shmmni is reached: {count} of {count} ");
            assert!(part(&answer, "here").contains(&reached), "{answer:#}");
            let raised = format!("kernel.shmmni={}", 2 * count);
            assert!(part(&answer, "run").contains(&raised), "{answer:#}");
            set_limit("shmmni", "4096");
        })
    });
}

#[test]
fn a_server_whose_segment_is_too_large() {
    sandbox::run(|| {
        for_each_major(|cluster| {
            set_limit("shmmax", "1048576");
            let answer = explained(&complaint(cluster));
            assert_eq!((&answer["call"], &answer["errno"]), (&"shmget".into(), &"EINVAL".into()));
            assert!(part(&answer, "here").contains("shmmax allows 1.0 MiB"), "{answer:#}");
            set_limit("shmmax", "18446744073692774399");
        })
    });
}

#[test]
fn a_server_that_gets_no_memory_for_its_mapping() {
    sandbox::run(|| {
        for major in [12, 15, 18] {
            // More huge pages than any machine keeps: refused before anything is taken.
            let settings = [("huge_pages", "on"), ("shared_buffers", "4TB")];
            let message = complaint(&mut Cluster::new(major, &settings));
            assert!(message.contains("could not map anonymous shared memory"), "{message}");
            let answer = explained(&message);
            assert_eq!((&answer["call"], &answer["errno"]), (&"mmap".into(), &"ENOMEM".into()));
            assert!(answer["bytes"].as_u64().unwrap() > 4 << 40, "{answer:#}");
            assert!(part(&answer, "run").contains("vm.nr_hugepages="), "{answer:#}");
        }
    });
}

/// Twice a small limit would not do for a large pool.
#[test]
fn a_limit_on_all_memory_is_raised_to_what_holds_what_was_asked_for() {
    sandbox::run(|| {
        for_each_major(|cluster| {
            set_limit("shmall", "8");
            let answer = explained(&complaint(cluster));
            assert_eq!((&answer["call"], &answer["errno"]), (&"shmget".into(), &"ENOSPC".into()));
            let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
            let pages = answer["bytes"].as_u64().unwrap().div_ceil(page.unsigned_abs());
            assert!(part(&answer, "run").contains(&format!("kernel.shmall={pages}")), "{answer:#}");
            set_limit("shmall", &pages.to_string());
            cluster.start();
            cluster.stop();
        })
    });
}

#[test]
fn a_postmaster_pid_that_is_empty_or_damaged() {
    sandbox::run(|| {
        for major in [12, 15, 18] {
            let mut cluster = Cluster::new(major, &[]);
            for (content, word) in [("", "lock-file-empty"), ("x\n", "lock-file-damaged")] {
                let file = cluster.data().join("postmaster.pid");
                std::fs::write(&file, content).unwrap();
                User::Server.own(&file);
                let answer = explained(&complaint(&mut cluster));
                assert_eq!(answer["message"], word, "{answer:#}");
                let here = part(&answer, "here");
                assert!(here.contains("no process of a database server"), "{here}");
                let run = part(&answer, "run");
                assert!(run.contains("delete postmaster.pid, and nothing else"), "{run}");
                std::fs::remove_file(&file).unwrap();
            }
        }
    });
}

#[test]
fn a_limit_of_none_is_raised_to_what_is_usual() {
    sandbox::run(|| {
        set_limit("shmmni", "0");
        set_limit("sem", "0 0 0 0");
        let said = explained("shmget: No space left on device");
        assert!(part(&said, "run").contains("kernel.shmmni=4096"), "{said:#}");
        let said = explained("semget: No space left on device");
        assert!(
            part(&said, "run").contains("kernel.sem=\"32000 1024000000 500 32000\""),
            "{said:#}"
        );
    });
}

/// Runs a test with the whole buffer pool in System V memory, on each major that is here.
fn for_each_major(test: impl Fn(&mut Cluster)) {
    need_root("to set a limit of an IPC namespace");
    for major in [12, 15, 18] {
        let settings = [("shared_memory_type", "sysv"), ("shared_buffers", "16MB")];
        test(&mut Cluster::new(major, &settings));
    }
}

#[test]
fn a_block_still_in_use_names_the_process_that_holds_it() {
    sandbox::on_host(|| {
        let mut cluster = Cluster::new(15, &[]);
        cluster.start();
        // A backend that computes takes no notice of the postmaster's death.
        let backend = cluster.cpu_bound_query_in_background(60);
        let pid = backend.pid();
        cluster.kill_postmaster();
        let message = complaint(&mut cluster);
        assert!(message.contains("still in use"), "{message}");
        let answer = explained(&message);
        assert_eq!(answer["message"], "block-in-use");
        assert_eq!(answer["id"], cluster.main_segment());
        let here = part(&answer, "here");
        assert!(here.contains(&format!("process {pid} of")), "{here}");
        let run = part(&answer, "run");
        assert!(run.contains(&format!("kill {pid}")), "{run}");
        assert!(answer["means"].as_str().unwrap().contains("Do not remove"), "{answer:#}");
        processes::kill(pid, Signal::SIGKILL);
        drop(backend);
        crate::support::waiting::wait_until("it has ended", crate::scene::instance::SOON, || {
            part(&explained(&message), "here").contains("nobody holds it any more")
        });
    });
}

#[test]
fn a_lock_file_of_a_server_that_runs() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[]);
        cluster.start();
        let pid = cluster.postmaster_pid();
        let mut second = User::Server.command(&cluster.command_line()[0]);
        let message = warden::Answer::of(second.args(&cluster.command_line()[1..])).stderr;
        let answer = explained(&message);
        assert_eq!((&answer["message"], &answer["pid"]), (&"lock-file".into(), &pid.into()));
        let here = part(&answer, "here");
        assert!(here.contains(&format!("process {pid} is a server")), "{here}");
        cluster.stop();
        let here = part(&explained(&message), "here");
        assert!(here.contains(&format!("there is no process {pid} here now")), "{here}");
    });
}

#[test]
fn a_message_comes_from_stdin_too_and_what_is_not_known_is_said() {
    sandbox::run(|| {
        let shell = crate::command::make::shell;
        let known = shell("echo 'semget: No space left on device' | $1 doctor --explain -");
        let known = known.expect_code(0);
        assert!(known.stdout.starts_with("This is not a disk"), "{known:?}");
        for text in ["'connection refused'", "''", "\"$(printf '\\033[31m\\377')\""] {
            let unknown = shell(&format!("$1 doctor --explain {text}")).expect_code(1);
            assert_eq!(unknown.stdout, "");
            assert!(unknown.stderr.contains("no message about shared memory"), "{unknown:?}");
        }
        assert_eq!(report(&["--explain", "x"], 1)["recognised"], false);
        let junk = shell("head -c 3000000 /dev/urandom | $1 doctor --explain -");
        assert!(matches!(junk.code(), 0 | 1), "{junk:?}");
    });
}
