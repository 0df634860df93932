//! Mistakes that were made once: one short test each, which fails if the mistake is made again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use shmwarden::ledger::record::Record;

use super::alone::Daemon;
use crate::scene::instance::{Instance, SOON, holders, need_root, outcomes, state};
use crate::scene::ledger_text::entries;
use crate::scene::stand_in::{self, StandIn};
use crate::sight::pods::MAPPER;
use crate::support::cluster::Cluster;
use crate::support::container::{Container, Own};
use crate::support::holders::{self as holding, NUMBERS};
use crate::support::objects::{
    Snapshot, remove_segment, segment, segments, segments_of, shm_files,
};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

/// What `pg_ctl` was claimed by was its own until it was reaped, and somebody else's from then on.
#[test]
fn a_segment_of_a_stranger_with_the_pid_of_a_reaped_command_is_kept() {
    sandbox::run(|| {
        need_root("to choose the next pid");
        let mut daemon = Daemon::start();
        let pid = first_claimed_pid(&daemon.instance);
        assert_ne!(pid, daemon.cluster.postmaster_pid());
        wait_until("it was reaped", SOON, || daemon.instance.count("reaped") == 1);
        let before = Snapshot::take();
        let stranger = segment_of_pid(pid);
        daemon.kill();
        daemon.cluster.wait_end();
        assert!(segment(stranger).is_some(), "{}", daemon.cluster.log());
        daemon.instance.sweep(&[]).expect_code(0);
        assert!(segment(stranger).is_some());
        assert!(!before.missing().is_empty(), "what the server left was removed");
    });
}

/// The claimed server is no orphan of the script that started it.
#[test]
fn a_server_whose_wrapper_script_was_killed_is_not_ended_as_an_orphan() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        let mut prefix = instance.prefix(&["--orphans", "kill", "--linger", "3s"]);
        prefix.extend(["sh", "-c", "\"$@\"; exit 1", "sh"].map(str::to_owned));
        cluster.start_under(&prefix);
        let session = cluster.query_in_background("select pg_sleep(1000)");
        let (postmaster, running) = (cluster.postmaster_pid(), Snapshot::take());
        let script = processes::parent(postmaster).unwrap();
        assert_ne!(script, cluster.server().pid());
        processes::kill(script, Signal::SIGKILL);
        for pid in [postmaster, session.pid()] {
            assert!(processes::outlives(pid, Duration::from_secs(2)), "{}", cluster.log());
        }
        assert!(!cluster.log().contains("sent SIGKILL"), "{}", cluster.log());
        assert_eq!(running.missing(), [""; 0]);
        assert_eq!(cluster.sql("select 1"), "1");
        processes::kill(postmaster, Signal::SIGKILL);
        cluster.wait_end();
        assert_eq!(before.left_over(), [""; 0], "{}", cluster.log());
    });
}

/// The number names another segment here: nobody who holds that one is named, or waited for.
#[test]
fn an_id_of_another_ipc_namespace_is_not_looked_up_here() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let id = server.segment();
        server.kill_all();
        let container = Container::new(&[Own::Ipc]);
        let mut command = container.command(User::Server, "perl");
        command.args(&stand_in::words(KEY)[1..]);
        let twin = StandIn::spawn(command);
        assert_eq!(twin.segment(), id, "both namespaces count from 0");
        let mut sweep = container.command(User::Server, warden::binary());
        sweep.args(["sweep", "--json", "--strict", "--wait", "90s", instance.path()]);
        let began = std::time::Instant::now();
        let sweep = Answer::of(&mut sweep).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept other-ipc-namespace"], "{sweep:?}");
        assert!(holders(&sweep).is_empty(), "{sweep:?}");
        assert!(began.elapsed() < Duration::from_secs(40), "it waited for nobody of its own");
        assert_eq!(segments_of(container.first_process())[0].nattch, 1);
        assert!(segment(id).is_some());
    });
}

/// A server that may not touch an object names it in a header of its own making; the ledger is
/// root's, who may.
#[test]
fn a_forged_header_gets_nothing_by_roots_ledger() {
    sandbox::run(|| {
        need_root("to sweep with root's rights");
        let instance = Instance::new(User::Root);
        let name = "PostgreSQL.3000000002";
        crate::support::objects::create_shm_file(User::Root, name, 4096);
        let program = sandbox::scratch().join("postgres");
        fs::copy("/usr/bin/perl", &program).unwrap();
        let data = sandbox::scratch().join("data");
        User::Server.make_directory(&data);
        fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        let mut words = User::Server.prefix();
        words.extend([program.to_str().unwrap(), "-e", FORGER].map(str::to_owned));
        let mut run = instance.run(&[], &words);
        let mut launcher = Process::spawn(run.env("PGDATA", &data).stdout(Stdio::null()));
        let recorded = || instance.ledger().exists() && instance.count("object") == 1;
        wait_until("its segment is recorded", SOON, recorded);
        let forger = processes::descendants(launcher.pid())[0];
        let id = segments()[0].id;
        launcher.signal(Signal::SIGSTOP);
        processes::kill(forger, Signal::SIGKILL);
        launcher.signal(Signal::SIGKILL);
        launcher.wait(SOON);
        processes::wait_end(forger, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert!(outcomes(&sweep).contains(&"kept foreign".to_owned()), "{sweep:?}");
        assert!(shm_files().iter().any(|file| file.name == name), "{sweep:?}");
        assert!(segment(id).is_some(), "what leads to a foreign object stays: {sweep:?}");
    });
}

/// Whoever could have opened it may map it, though he cannot be looked into.
#[test]
fn a_file_for_everybody_that_another_user_maps_is_kept() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = mapping_server(&instance);
        let name = shm_files()[0].name.clone();
        let path = format!("/dev/shm/{name}");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        let other = holding::map(User::Other(12345), &name);
        let child = processes::descendants(server.pid())[0];
        server.kill_all();
        processes::kill(child, Signal::SIGKILL);
        processes::wait_end(child, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept perhaps-mapped"], "{sweep:?}");
        assert_eq!(shm_files().len(), 1);
        assert!(processes::lives(other.pid()));
    });
}

/// What a backend has started and left is no server: nobody waits for it.
#[test]
fn a_program_that_a_backend_left_does_not_hold_up_a_clean_stop() {
    sandbox::run(|| assert_a_left_program_is_in_nobodys_way(Signal::SIGINT));
}

/// The same after a crash: it keeps nothing.
#[test]
fn a_program_that_a_backend_left_keeps_nothing_of_a_crash() {
    sandbox::run(|| assert_a_left_program_is_in_nobodys_way(Signal::SIGKILL));
}

fn assert_a_left_program_is_in_nobodys_way(signal: Signal) {
    let before = Snapshot::take();
    let instance = Instance::new(User::Server);
    let mut cluster = Cluster::new(15, &[]);
    cluster.start_under(&instance.prefix(&["--linger", "100s"]));
    let pid = sandbox::scratch().join("left.pid");
    fs::write(&pid, "").unwrap();
    User::Server.own(&pid);
    cluster.sql(&format!(
        "copy (select 1) to program
         'cat > /dev/null; setsid sh -c ''echo $$ > {}; exec sleep 1000'' > /dev/null 2>&1 &'",
        pid.display()
    ));
    let left = || fs::read_to_string(&pid).unwrap().trim().parse::<i32>();
    wait_until("it is left", SOON, || left().is_ok());
    let began = std::time::Instant::now();
    processes::kill(cluster.postmaster_pid(), signal);
    cluster.wait_end();
    assert!(began.elapsed() < Duration::from_secs(60), "{}", cluster.log());
    assert_eq!(before.left_over(), [""; 0], "{}", cluster.log());
    assert!(processes::lives(left().unwrap()), "it was not touched");
    processes::kill(left().unwrap(), Signal::SIGKILL);
}

/// A ledger that is not to be trusted is in use all the same.
#[test]
fn a_second_run_on_a_ledger_that_others_may_write_by_now_starts_nothing() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o664)).unwrap();
        let marker = sandbox::scratch().join("started");
        let second = instance.run(&[], &["touch", marker.to_str().unwrap()]).output().unwrap();
        assert_eq!(second.status.code(), Some(125), "{second:?}");
        let said = String::from_utf8_lossy(&second.stderr);
        assert!(said.contains("another process has locked it"), "{said}");
        assert!(!marker.exists());
        server.kill_all();
    });
}

/// The kernel says that it is there, though `/proc` does not show it.
#[test]
fn a_server_that_proc_hides_is_alive() {
    sandbox::run(|| {
        need_root("to hide processes");
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        server.outermost().signal(Signal::SIGKILL);
        server.outermost().wait(SOON);
        chown(instance.ledger(), Some(12345), Some(12345)).unwrap();
        chown(instance.directory(), Some(12345), Some(12345)).unwrap();
        let sweep = instance.sweep_as(User::Other(12345), &[]).expect_code(75);
        assert_eq!(state(&sweep), "live");
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,hidepid=2", "/proc"]);
        if !Answer::of(&mut mount).status.success() {
            skip("/proc cannot hide processes here");
        }
        let hidden = instance.sweep_as(User::Other(12345), &[]).expect_code(75);
        assert_eq!(state(&hidden), "live", "{hidden:?}");
        assert!(hidden.stderr.contains("this /proc does not show it"), "{hidden:?}");
        assert!(segment(server.segment()).is_some());
        processes::kill(server.pid(), Signal::SIGKILL);
    });
}

/// It may be a server that is just starting.
#[test]
fn an_empty_postmaster_pid_keeps_everything() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, &[]);
        cluster.start_under(&instance.prefix(&[]));
        let mut all = vec![cluster.server().pid()];
        all.extend(cluster.processes());
        all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
        cluster.wait_end();
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        let left = Snapshot::take();
        let file = cluster.data().join("postmaster.pid");
        fs::write(&file, "").unwrap();
        let sweep = instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&sweep), "live", "{sweep:?}");
        cluster.spawn_under(&instance.prefix(&[]));
        assert_eq!(cluster.wait_end().code(), Some(1), "the server's own refusal");
        assert!(cluster.log().contains("nothing of earlier runs is removed"), "{}", cluster.log());
        assert_eq!(left.missing(), [""; 0]);
        fs::remove_file(&file).unwrap();
        instance.sweep(&[]).expect_code(0);
        assert_ne!(left.missing(), [""; 0]);
    });
}

/// Whoever shares the launcher's process group without being led by it is no descendant.
#[test]
fn a_sibling_in_the_launchers_process_group_does_not_keep_what_is_left() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut words = instance.prefix(&[]);
        words.extend(stand_in::words(KEY));
        // No job control: all of it is in the shell's group.
        let mut shell = User::Server.command("sh");
        let go = sandbox::scratch().join("go");
        let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
        let script = format!("\"$@\" & {wait}; sleep 1000");
        shell.args(["-c", &script, "sh"]).args(&words).process_group(0);
        let mut server = StandIn::spawn(shell);
        instance.wait_recorded(1);
        fs::write(go, "").unwrap(); // the sibling is to be the younger one
        let group = server.outermost().pid();
        let launcher = processes::parent(server.pid()).unwrap();
        let sibling = sibling_of(group, launcher);
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::kill(launcher, Signal::SIGKILL);
        processes::wait_end(server.pid(), SOON);
        processes::wait_end(launcher, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert!(processes::lives(sibling));
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        processes::kill(sibling, Signal::SIGKILL);
    });
}

/// A descendant that has become another user is left to that user.
#[test]
fn an_orphan_that_became_another_user_is_left_alone() {
    sandbox::run(|| {
        need_root("to become another user");
        let instance = Instance::new(User::Root);
        let log = sandbox::scratch().join("log");
        let script = format!("{NUMBERS}{CHANGELING}");
        let words = ["perl", "-e", &script];
        let mut run = instance.run(&["--linger", "3s", "--orphans", "kill"], &words);
        run.stderr(fs::File::create(&log).unwrap()).stdout(Stdio::piped());
        let mut server = StandIn::spawn(run);
        instance.wait_recorded(1);
        let child = processes::descendants(server.pid())[0];
        processes::kill(server.pid(), Signal::SIGKILL);
        server.outermost().wait(SOON);
        let said = fs::read_to_string(&log).unwrap();
        assert!(processes::lives(child), "{said}");
        assert!(said.contains("is left alone"), "{said}");
        processes::kill(child, Signal::SIGKILL);
    });
}

/// Makes a segment that begins as a PostgreSQL's does, of this process and its data directory, with
/// a control segment that is somebody else's.
const FORGER: &str = r#"
    $| = 1;
    my $id = shmget(0x00f42401, 8192, 03600);
    my ($dev, $ino) = stat($ENV{PGDATA});
    shmwrite($id, pack("l l Q Q L L Q Q Q", 679834894, $$, 8192, 56, 3000000002, 0, 0, $dev, $ino),
             0, 56) or die "shmwrite: $!\n";
    print $id + 0, "\n";
    sleep 1 while 1;
"#;

/// Has a segment attached, and a child that becomes user 12345 with it.
const CHANGELING: &str = r#"
    $| = 1;
    my $id = shmget(0x00f42401, 8192, 03600);
    syscall($SHMAT, $id + 0, 0, 0) != -1 or die "shmat: $!\n";
    pipe(my $from, my $to);
    if (!fork) { $) = "12345 12345"; $( = 12345; ($<, $>) = (12345, 12345); close $to; close STDOUT;
                 sleep 1 while 1 }
    close $to; readline $from;
    select(undef, undef, undef, 0.2);
    print $id + 0, "\n";
    sleep 1 while 1;
"#;

/// An orphan is no daemon of COMMAND's as long as COMMAND is there.
#[test]
fn an_orphan_that_fails_does_not_make_a_clean_end_a_bad_one() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let body = r#"
            shmget(0x00f42401, 4096, 0600 | 01000) // die;
            if (!fork) { exit 0 if fork; select(undef, undef, undef, 0.3); exit 1 }
            wait; sleep 2; exit 0;
        "#;
        let mut run = instance.run(&[], &["perl", "-e", body]);
        let answer = Answer::of(&mut run).expect_code(0);
        assert!(answer.stderr.contains("the server left it after a clean exit"), "{answer:?}");
        assert_eq!(segments().len(), 1, "{answer:?}");
    });
}

/// Whatever links lead there.
#[test]
fn no_ledger_is_made_in_a_data_directory_by_way_of_a_link() {
    sandbox::run(|| {
        let program = sandbox::scratch().join("postgres");
        fs::copy("/bin/true", &program).unwrap();
        let (data, link) = (sandbox::scratch().join("data"), sandbox::scratch().join("link"));
        User::Server.make_directory(&data);
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for (ledger, named) in [(&link, &data), (&data, &link)] {
            let ledger = Instance::at(User::Server, &ledger.join("x.ledger"));
            let words = [program.to_str().unwrap(), "-D", named.to_str().unwrap()];
            let answer = Answer::of(&mut ledger.run(&[], &words)).expect_code(125);
            assert!(answer.stderr.contains("in the server's data directory"), "{answer:?}");
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    });
}

fn mapping_server(instance: &Instance) -> StandIn {
    let script = format!("{NUMBERS}{MAPPER}");
    let server = StandIn::spawn(instance.run(&[], &["perl", "-e", &script]));
    instance.wait_recorded(1);
    server
}

fn first_claimed_pid(instance: &Instance) -> i32 {
    let claims = entries(instance.ledger()).into_iter().filter_map(|entry| match entry.record {
        Record::Claim(claim) => Some(claim.process.pid),
        _ => None,
    });
    claims.into_iter().next().expect("a claim")
}

/// A segment of the server's user whose creator had this pid, and has ended.
fn segment_of_pid(pid: i32) -> i32 {
    for key in (KEY + 100)..(KEY + 200) {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let id = crate::support::objects::create_segment(User::Server, key, 8192);
        if segment(id).unwrap().creator_pid == pid {
            return id;
        }
        remove_segment(id); // somebody else was quicker
    }
    panic!("no process got the pid {pid}");
}

/// The other process of a group, beside its leader and the launcher.
fn sibling_of(group: i32, launcher: i32) -> i32 {
    let all = || processes::descendants(group);
    let is_it = |pid: &i32| *pid != launcher && processes::describe(*pid).contains(" sleep 1000");
    wait_until("the sibling runs", SOON, || all().iter().any(is_it));
    all().into_iter().find(is_it).unwrap()
}
