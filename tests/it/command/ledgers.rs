//! Whose is it: verdicts from real ledgers of real runs, which are not disturbed.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use super::make::{objects, objects_for, shell, verdict};
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::stand_in::StandIn;
use crate::support::holders::NUMBERS;
use crate::support::objects::{create_segment, segment};
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;
use crate::support::{holders, sandbox, warden};

fn said(objects: &[serde_json::Value], id: i32) -> (String, String) {
    verdict(objects, id)
}

fn pair(verdict: &str, code: &str) -> (String, String) {
    (verdict.to_owned(), code.to_owned())
}

#[test]
fn who_asks_where_no_ledger_is_gets_a_sentence() {
    sandbox::run(|| {
        let history = warden::answer(User::Root, &["history"]).expect_code(0);
        assert_eq!(history.stdout, "no ledger is in /var/lib/shmwarden\n");
        let sweep = warden::answer(User::Root, &["sweep", "--dry-run"]).expect_code(0);
        let said = "there is no ledger in /var/lib/shmwarden, and nothing to sweep";
        assert!(sweep.stderr.contains(said), "{sweep:?}");
        let hook = warden::answer(User::Root, &["sweep"]).expect_code(0);
        assert_eq!((hook.stdout, hook.stderr), (String::new(), String::new()));
    });
}

/// A listing beside it must not read as if nothing were left.
#[test]
fn a_damaged_ledger_is_told_with_what_to_do() {
    sandbox::run(|| {
        create_segment(User::Root, 77, 4096);
        let path = sandbox::scratch().join("a.ledger");
        let path = path.to_str().unwrap();
        // It begins as a ledger does, and goes on as none.
        let text = concat!(
            r#"{"seq":1,"at":"2026-11-21T09:01:27.953Z","record":"header","version":2,"#,
            "no record\n"
        );
        fs::write(path, text).unwrap();
        let next = format!("`shmwarden sweep {path}` sets it aside");
        let told = |words: &[&str]| {
            let answer = warden::answer(User::Root, words).expect_code(65);
            assert!(answer.stderr.contains("is damaged at line 1"), "{answer:?}");
            assert!(answer.stderr.contains(&next), "{answer:?}");
            answer.stdout
        };
        let list = told(&["list", "--ledger", path]);
        assert!(!list.contains("nothing to be done"), "{list}");
        assert!(list.contains("a ledger could not be read"), "{list}");
        told(&["history", path]);
        told(&["sweep", "--dry-run", path]);
        assert_eq!(fs::read(path).unwrap(), text.as_bytes());
    });
}

/// That a dead server left nothing is said only where everything is explained.
#[test]
fn no_more_is_said_of_dead_servers_than_was_seen() {
    sandbox::on_host(|| {
        const NOTHING: &str = "no dead server left anything here";
        let instance = Instance::new(User::Root);
        let directory = instance.directory().to_str().unwrap();
        let list = |words: &[&str]| {
            let words = [&["list", "--dir", directory], words].concat();
            warden::answer(User::Root, &words).expect_code(0).stdout
        };
        assert!(list(&[]).starts_with("no objects\n"), "{}", list(&[]));
        assert!(list(&["--kind", "sem"]).starts_with("no such objects\n"));
        let server = StandIn::start(&instance, 0);
        assert!(list(&[]).contains(NOTHING), "{}", list(&[]));
        let some = list(&["--kind", "shm"]);
        assert!(!some.contains(NOTHING) && some.contains("about these"), "{some}");
        // Its creator is dead, and root's processes live.
        create_segment(User::Root, 77, 4096);
        let all = list(&[]);
        assert!(all.contains("1 idle"), "{all}");
        assert!(!all.contains(NOTHING) && all.contains("1 in no ledger are used, or may"), "{all}");
        server.kill_all();
    });
}

#[test]
fn from_live_over_stale_to_nothing() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Root);
        let list = || objects(&["list", "--ledger", instance.path()], 0);
        let foreign = create_segment(User::Root, 77, 4096);
        let server = StandIn::start(&instance, 0);
        let id = server.segment();
        // Not yet in the ledger, or in it: it is the server's all the same.
        assert_eq!(said(&list(), id), pair("live", "live"));
        instance.wait_recorded(1);
        let all = list();
        assert_eq!(said(&all, id), pair("live", "live"));
        assert_eq!(said(&all, foreign), pair("idle", "user-lives"));
        let one = all.iter().find(|one| one["id"] == id).unwrap();
        assert_eq!((&one["instance"], &one["ledger"]), (&"server".into(), &instance.path().into()));
        assert!(one["reason"].as_str().unwrap().contains("the server lives"));
        server.kill_all();
        assert_eq!(said(&list(), id), pair("stale", "dead"));
        let words = shell(&format!("$1 list --ledger {}", instance.path())).expect_code(0).stdout;
        assert!(words.contains("1 stale, 8.0 KiB"), "{words}");
        assert!(words.contains("`shmwarden sweep` removes it"), "{words}");
        let filtered = ["list", "--instance", "server", "--ledger", instance.path()];
        assert_eq!(objects(&filtered, 0).len(), 1);
        instance.sweep(&[]).expect_code(0);
        assert_eq!(segment(id), None);
        assert_eq!(list().len(), 1, "the foreign one is left");
    });
}

#[test]
fn what_somebody_holds_is_held_and_with_it_its_siblings() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let mut server = StandIn::start(&instance, 0);
        let (first, second) = (server.segment(), server.create_another());
        instance.wait_recorded(2);
        let holder = holders::attach(User::Root, second);
        server.kill_all();
        let arguments = ["list", "--holders", "--ledger", instance.path()];
        let all = objects(&arguments, 0);
        assert_eq!(said(&all, first), pair("held", "instance-held"));
        assert_eq!(said(&all, second), pair("held", "attached"));
        let one = all.iter().find(|one| one["id"] == second).unwrap();
        assert_eq!(one["holders"][0]["pid"], holder.pid());
        drop(holder);
        let all = objects(&arguments, 0);
        assert_eq!(said(&all, first), pair("stale", "dead"));
        assert_eq!(said(&all, second), pair("stale", "dead"));
    });
}

#[test]
fn what_was_left_after_a_clean_exit_is_left() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let script = r#"print shmget(9, 8192, 03600); select undef, undef, undef, 0.3"#;
        let answer = Answer::of(&mut instance.run(&[], &["perl", "-e", script])).expect_code(0);
        let id = answer.stdout.trim().parse().unwrap();
        let all = objects(&["list", "--ledger", instance.path()], 0);
        assert_eq!(said(&all, id), pair("left", "left-clean"));
    });
}

#[test]
fn what_has_a_key_is_left_where_nobody_saw_the_server_end() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 9);
        let id = server.segment();
        instance.wait_recorded(1);
        server.kill_all();
        let list = || objects(&["list", "--ledger", instance.path()], 0);
        assert_eq!(said(&list(), id), pair("left", "left-unseen"));
        instance.sweep(&[]).expect_code(0);
        assert_eq!(said(&list(), id), pair("left", "left-unseen"), "the end is unknown now");
        instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(segment(id), None);
    });
}

#[test]
fn what_a_server_only_attaches_is_used() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let foreign = create_segment(User::Root, 77, 4096);
        let script = format!(
            "{NUMBERS} syscall($SHMAT, {foreign}, 0, 0) != -1 or die; print \"1\\n\"; sleep 1000"
        );
        let mut run = instance.run(&[], &["perl", "-e", &script]);
        let run = Process::spawn(&mut run);
        wait_until("the use is recorded", SOON, || {
            instance.ledger().exists() && instance.count("used") == 1
        });
        let all = objects(&["list", "--ledger", instance.path()], 0);
        assert_eq!(said(&all, foreign), pair("used", "used"));
        drop(run);
    });
}

#[test]
fn while_its_launcher_waits_for_orphans_an_instance_counts_as_alive() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let words = crate::scene::stand_in::words(9);
        let mut server = StandIn::spawn(instance.run(&["--linger", "60s"], &words));
        instance.wait_recorded(1);
        let child = server.fork();
        processes::kill(server.pid(), Signal::SIGKILL);
        wait_until("the end is in the ledger", SOON, || instance.count("end") == 1);
        let all = objects(&["list", "--ledger", instance.path()], 0);
        assert_eq!(said(&all, server.segment()), pair("live", "at-work"));
        processes::kill(child, Signal::SIGKILL);
        assert!(server.outermost().wait(SOON).code().is_none(), "it dies as the server did");
        assert_eq!(segment(server.segment()), None);
    });
}

#[test]
fn the_default_and_the_given_directories_are_read() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 9);
        let id = server.segment();
        instance.wait_recorded(1);
        assert_eq!(said(&objects(&["list"], 0), id).0, "live", "its launcher has it open");
        let directory = instance.directory().to_str().unwrap();
        assert_eq!(said(&objects(&["list", "--dir", directory], 0), id).0, "live");
        let default = "/var/lib/shmwarden/one";
        fs::create_dir_all(default).unwrap();
        fs::copy(instance.ledger(), format!("{default}/copied.ledger")).unwrap();
        let all = objects(&["list"], 0);
        assert_eq!(said(&all, id).0, "live", "a sub-directory of the default place");
        let other = ["list", "--ledger", "/var/lib/shmwarden/none.ledger"];
        assert_eq!(said(&objects(&other, 66), id).0, "unrecorded", "then the default is not read");
        server.kill_all();
    });
}

/// What could lock, write, attach or remove.
const CALLS: &str = "flock,fcntl,open,openat,shmat,unlink,unlinkat,shmctl,semctl";

#[test]
fn a_live_run_is_not_locked_nor_written_to() {
    sandbox::run(|| {
        if Command::new("strace").arg("-V").output().is_err() {
            crate::support::skip("needs strace");
        }
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 9);
        instance.wait_recorded(1);
        let trace = sandbox::scratch().join("trace");
        for command in ["list --holders", "who 0x9", "list --json"] {
            let script = format!(
                "strace -f -o {} -e trace={CALLS} $1 {command} --ledger {}",
                trace.display(),
                instance.path()
            );
            shell(&script).expect_code(0);
            let calls = fs::read_to_string(&trace).unwrap();
            let name = instance.ledger().file_name().unwrap().to_str().unwrap();
            assert!(calls.contains(name), "{calls}");
            for harmful in ["flock(", "SETLK", "O_WRONLY", "O_RDWR", "shmat(", "unlink", "RMID"] {
                let found = calls.lines().find(|line| line.contains(harmful));
                assert_eq!(found, None, "{command}");
            }
        }
        server.kill_all();
    });
}

#[test]
fn a_ledger_that_cannot_be_used_is_said_and_the_rest_is_shown() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 0);
        let id = server.segment();
        instance.wait_recorded(1);
        server.kill_all();
        let mut bytes = instance.bytes();
        bytes[20] ^= 1;
        fs::write(instance.directory().join("damaged.ledger"), bytes).unwrap();
        let directory = instance.directory().to_str().unwrap();
        let answer = shell(&format!("$1 list --json --dir {directory}")).expect_code(65);
        assert!(answer.stderr.contains("damaged.ledger is damaged"), "{answer:?}");
        let document = answer.json();
        assert_eq!(said(document["objects"].as_array().unwrap(), id), pair("stale", "dead"));
    });
}

#[test]
fn another_user_reads_no_ledger_that_is_not_its_own() {
    sandbox::run(|| {
        need_root("to act as two users");
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, 0);
        let id = server.segment();
        instance.wait_recorded(1);
        let arguments = ["list", "--ledger", instance.path()];
        let stranger = objects_for(User::Other(4711), &arguments, 77);
        assert_eq!(said(&stranger, id), pair("unrecorded", "attached"));
        for user in [User::Server, User::Root] {
            let own = objects_for(user, &arguments, 0);
            assert_eq!(said(&own, id), pair("live", "live"));
        }
        server.kill_all();
        let own = objects_for(User::Server, &arguments, 0);
        assert_eq!(said(&own, id), pair("stale", "dead"));
    });
}

#[test]
fn nineteen_segments_of_nineteen_users_are_shown_as_what_they_are() {
    sandbox::on_host(|| {
        need_root("to act as twenty users");
        let of = |number: u32| User::Other(if number == 1 { 1 } else { 100_000 + number });
        for number in 1..=19 {
            create_segment(of(number), 0x00f4_2400 + number, 100 << 20);
        }
        let desktop = create_segment(User::Root, 0, 4096);
        let _holder = holders::attach(User::Root, desktop);
        Answer::of(Command::new("ipcrm").args(["-m", &desktop.to_string()])).expect_code(0);
        let orphans = objects(&["list", "--verdict", "orphan"], 0);
        assert_eq!(orphans.len(), 19);
        let words = warden::answer(User::Root, &["list"]).expect_code(0).stdout;
        assert!(words.contains("19 orphan, 1.9 GiB; 1 unrecorded, 4.0 KiB"), "{words}");
        assert!(words.contains(" 100002?  ") && words.contains(" daemon "), "{words}");
        assert!(words.contains("there is no such account any more"), "{words}");
        assert!(words.contains("orphan: no ledger has it and nobody uses it"), "{words}");
    });
}
