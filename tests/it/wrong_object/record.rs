//! `record` on servers of no known kind, and on what is no server: what is proven to be a server's
//! own is recorded, what it only uses is not its own, and every refusal says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::instance::{Instance, SOON, need_root, need_to_look_into_others, outcomes};
use crate::scene::stand_in::{self, StandIn};
use crate::support::container::{Container, Own};
use crate::support::objects::{Bystanders, Snapshot, create_segment, segment, segments};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

#[test]
fn what_a_server_and_its_child_made_is_recorded_and_swept() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let bystanders = Bystanders::create(User::Server, 100, 3);
        let instance = Instance::new(User::Server);
        let mut server = stand_in(User::Server, KEY);
        server.create_another();
        let child = server.fork();
        let count = segments().len();
        // What comes before that is forgotten.
        let closed = || fs::read_link(format!("/proc/{child}/fd/2")).is_err();
        wait_until("the child rests", SOON, closed);
        processes::kill(child, Signal::SIGUSR1);
        wait_until("the child has made one too", SOON, || segments().len() > count);
        let document = record(&instance, User::Server, server.pid()).expect_code(0).json();
        assert_eq!(document["engine"], "generic");
        assert_eq!(document["pid"], server.pid());
        let own: Vec<i64> = ids(&document, "live");
        assert_eq!(own.len(), 3, "{document:#}");
        let all = [server.pid(), child];
        all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
        server.outermost().wait(SOON);
        processes::wait_end(child, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        assert_eq!(sweep.json()["removed"], 3);
        bystanders.assert_untouched();
        assert_eq!(before.left_over().len(), 6);
    });
}

/// With the worker alone under a ledger its end would be taken for the server's.
#[test]
fn a_worker_that_a_server_has_forked_off_is_refused() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = stand_in(User::Server, KEY);
        let worker = server.fork();
        let answer = record(&instance, User::Server, worker).expect_code(66);
        let sentence = format!("use --pid {}", server.pid());
        assert!(answer.stderr.contains(&sentence), "{answer:?}");
        record(&instance, User::Server, server.pid()).expect_code(0);
    });
}

#[test]
fn what_a_server_only_attaches_is_used_and_stays() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let foreign = create_segment(User::Server, KEY, 8192);
        let mut server = crate::support::holders::attach(User::Server, foreign);
        for _ in 0..2 {
            let answer = record(&instance, User::Server, server.pid()).expect_code(0);
            assert_eq!(ids(&answer.json(), "used"), [i64::from(foreign)], "{answer:?}");
            assert!(ids(&answer.json(), "live").is_empty(), "{answer:?}");
        }
        assert_eq!(instance.count("used"), 1);
        server.signal(Signal::SIGKILL);
        server.wait(SOON);
        instance.sweep(&["--include-clean"]).expect_code(0);
        assert!(segment(foreign).is_some());
    });
}

/// By a process of the same number and user that had ended before the server began.
#[test]
fn what_an_earlier_process_of_the_same_pid_left_is_not_recorded() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let old = create_segment(User::Server, KEY, 8192);
        let pid = segment(old).unwrap().creator_pid;
        assert!(!processes::lives(pid));
        std::thread::sleep(Duration::from_millis(2100)); // the kernel keeps whole seconds
        if let Err(error) = fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()) {
            skip(format!("the next pid cannot be chosen here: {error}"));
        }
        let mut server = stand_in(User::Server, KEY);
        assert_eq!(server.pid(), pid, "the number came round");
        let own = server.segment();
        let answer = record(&instance, User::Server, pid).expect_code(0);
        assert_eq!(ids(&answer.json(), "live"), [i64::from(own)], "{answer:?}");
        let sentence = format!("segment {old} bears the pid {pid} and is not recorded");
        assert!(answer.stderr.contains(&sentence), "{answer:?}");
        record(&instance, User::Server, pid).expect_code(0);
        server.outermost().signal(Signal::SIGKILL);
        server.outermost().wait(SOON);
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        assert!(segment(old).is_some() && segment(own).is_none());
    });
}

/// Nobody sees a recorded server end, and its pid alone proves nothing.
#[test]
fn what_came_after_the_last_record_is_kept_and_what_another_record_saw_goes() {
    sandbox::run(|| {
        need_to_look_into_others();
        for again in [false, true] {
            let instance = Instance::new(User::Server);
            let mut server = stand_in(User::Server, KEY + 10 * u32::from(again));
            record(&instance, User::Server, server.pid()).expect_code(0);
            let later = server.create_another();
            if again {
                record(&instance, User::Server, server.pid()).expect_code(0);
            }
            server.outermost().signal(Signal::SIGKILL);
            server.outermost().wait(SOON);
            let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
            assert_eq!(sweep.json()["removed"], 1 + i32::from(again), "{sweep:?}");
            assert_eq!(outcomes(&sweep).contains(&"kept pid-reused".to_owned()), !again);
            assert_eq!(segment(later).is_some(), !again);
        }
    });
}

#[test]
fn what_is_no_process_to_record_is_refused() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let threads = threaded();
        let thread = other_thread(threads.pid());
        let mut ended = Process::spawn(&mut User::Server.command("true"));
        wait_until("a zombie", SOON, || processes::state(ended.pid()) == Some('Z'));
        for (pid, sentence) in [
            (999_999, "there is no process 999999"),
            (thread, "is a thread's number"),
            (ended.pid(), "has ended"),
        ] {
            let answer = record(&instance, User::Server, pid).expect_code(66);
            assert!(answer.stderr.contains(sentence), "{answer:?}");
            assert!(answer.stdout.is_empty() && !instance.ledger().exists(), "{answer:?}");
        }
        ended.wait(SOON);
        for words in
            [&["record"][..], &["record", "--pid", "0"], &["record", "--pid", "1", "--data", "/"]]
        {
            warden::answer(User::Server, words).expect_code(2);
        }
    });
}

#[test]
fn a_launcher_is_no_server() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let mut server = StandIn::start(&Instance::new(User::Root), KEY);
        let launcher = server.outermost().pid();
        let answer = record(&instance, User::Root, launcher).expect_code(66);
        assert!(answer.stderr.contains("is shmwarden itself, no server"), "{answer:?}");
        server.kill_all();
    });
}

#[test]
fn another_users_process_is_refused() {
    sandbox::run(|| {
        let mut server = stand_in(User::Server, KEY);
        let instance = Instance::new(User::Other(12345));
        let answer = record(&instance, User::Other(12345), server.pid()).expect_code(77);
        let uid = User::Server.ids().0;
        let sentence = format!("which is user {uid}'s; run this as that user");
        assert!(answer.stderr.contains(&sentence), "{answer:?}");
        assert!(!instance.ledger().exists());
        server.outermost().signal(Signal::SIGKILL);
    });
}

#[test]
fn a_process_of_other_namespaces_is_refused() {
    sandbox::run(|| {
        need_root("to look into a container");
        for (own, sentence) in [
            (Own::Pids, "is in another PID namespace"),
            (Own::Ipc, "is in another IPC namespace"),
            (Own::DevShm, "has another /dev/shm than this one"),
        ] {
            let container = Container::new(&[own]);
            let instance = Instance::new(User::Root);
            let pid = container.first_process();
            let answer = record(&instance, User::Root, pid).expect_code(69);
            assert!(answer.stderr.contains(sentence), "{answer:?}");
            assert!(!instance.ledger().exists());
        }
    });
}

#[test]
fn a_directory_without_a_server_is_refused() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let data = sandbox::scratch().join("data");
        let try_it = || {
            let words = ["record", "--data", data.to_str().unwrap(), "--ledger", instance.path()];
            let answer = warden::answer(User::Server, &words).expect_code(66);
            assert!(!instance.ledger().exists());
            answer.stderr
        };
        assert!(try_it().contains("there is no directory"));
        User::Server.make_directory(&data);
        assert!(try_it().contains("it has no postmaster.pid"));
        let mut server = stand_in(User::Server, KEY);
        fs::write(data.join("postmaster.pid"), format!("{}\n", server.pid())).unwrap();
        assert!(try_it().contains("no database server"));
        fs::write(data.join("postmaster.pid"), "999999\n").unwrap();
        assert!(try_it().contains("there is no process 999999"));
        fs::write(data.join("postmaster.pid"), "-999999\n").unwrap();
        assert!(try_it().contains("names process 999999, a standalone backend"));
        server.outermost().signal(Signal::SIGKILL);
    });
}

/// PID 1 of a sandbox is no server: this program.
#[test]
fn a_containers_first_process_without_shared_memory_is_recorded_with_a_warning() {
    sandbox::run(|| {
        need_root("to look into the first process");
        let instance = Instance::new(User::Root);
        let answer = record(&instance, User::Root, 1).expect_code(0);
        assert!(answer.stderr.contains("record the server's own process"), "{answer:?}");
    });
}

#[test]
fn a_ledger_of_another_user_is_refused() {
    sandbox::run(|| {
        need_root("to record for another user");
        let instance = Instance::new(User::Other(12345));
        Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        let bytes = instance.bytes();
        let mut server = stand_in(User::Server, KEY);
        let answer = record(&instance, User::Root, server.pid()).expect_code(77);
        assert!(answer.stderr.contains("belongs to user 12345"), "{answer:?}");
        assert_eq!(instance.bytes(), bytes);
        server.outermost().signal(Signal::SIGKILL);
    });
}

#[test]
fn a_damaged_ledger_is_set_aside_and_a_fresh_one_begins() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        // It begins as a ledger does, and goes on as none.
        let text = concat!(
            r#"{"seq":1,"at":"2026-11-21T09:01:27.953Z","record":"header","version":2,"#,
            "no record\n"
        );
        fs::write(instance.ledger(), text).unwrap();
        User::Server.own(instance.ledger());
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o600)).unwrap();
        let mut server = stand_in(User::Server, KEY);
        let answer = record(&instance, User::Server, server.pid()).expect_code(0);
        assert!(answer.stderr.contains("is damaged at line 1"), "{answer:?}");
        assert_eq!(ids(&answer.json(), "live"), [i64::from(server.segment())]);
        assert_eq!(instance.set_aside().len(), 1);
        server.outermost().signal(Signal::SIGKILL);
        server.outermost().wait(SOON);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

fn record(instance: &Instance, user: User, pid: i32) -> Answer {
    let pid = pid.to_string();
    warden::answer(user, &["record", "--json", "--pid", &pid, "--ledger", instance.path()])
}

/// A stand-in that nobody watches.
fn stand_in(user: User, key: u32) -> StandIn {
    let words = stand_in::words(key);
    let mut command: Command = user.command(&words[0]);
    command.args(&words[1..]);
    StandIn::spawn(command)
}

/// The ids of the segments with a verdict.
fn ids(document: &Value, verdict: &str) -> Vec<i64> {
    let objects = document["objects"].as_array().unwrap();
    let fitting = objects.iter().filter(|object| object["verdict"] == verdict);
    let mut ids: Vec<i64> = fitting.map(|object| object["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// A process with a second thread.
fn threaded() -> Process {
    let threads = Command::new("perl").args(["-e", "use threads;"]).output();
    if !threads.is_ok_and(|output| output.status.success()) {
        skip("this perl has no threads");
    }
    let script = "use threads; my $other = threads->create(sub { sleep 1000 }); sleep 1000";
    Process::spawn(User::Server.command("perl").args(["-e", script]))
}

/// The number of its second thread.
fn other_thread(pid: i32) -> i32 {
    let tids = || -> Vec<i32> {
        let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
    };
    wait_until("a second thread", SOON, || tids().len() > 1);
    tids().into_iter().find(|&tid| tid != pid).unwrap()
}
