//! The moments between the decision on an object and its removal: who comes in between is reported
//! and keeps it, and who dies there leaves work for the next pass. Held by `strace`.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::database::strace::{Hold, Point, let_go};
use crate::leaks::sets::wait_blocked;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::{is_queue, is_set};
use crate::support::holders;
use crate::support::objects::segment;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

/// The lines that a sweep writes, each by one call: the end of the run, which nobody saw, the
/// intent, the outcome.
pub const INTENT: u32 = 2;
const OUTCOME: u32 = 3;

/// Killed together with its launcher, it left one object, which the ledger has.
pub struct Crash {
    pub instance: Instance,
    pub id: i32,
}

impl Crash {
    /// What `make` makes, and gives the id of.
    pub fn leaving(make: impl Fn(&mut Asked) -> i32) -> Self {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let id = make(&mut server);
        instance.wait_recorded(1);
        server.kill_all();
        Crash { instance, id }
    }

    /// A sweep that is held at this write to the ledger until it is let go.
    pub fn sweep_held(&self, point: Point, line: u32, says: &'static str) -> Process {
        let hold = Hold { when: Some(line), says, ..Hold::first("pwrite64", point) };
        let (sweep, file) = self.sweep_traced(&hold);
        hold.wait(&file);
        sweep
    }

    /// A sweep under `strace`, whose parent it is not, and what that writes.
    pub fn sweep_traced(&self, hold: &Hold) -> (Process, PathBuf) {
        let file = sandbox::scratch().join(format!("strace{}{}", hold.calls, self.id));
        User::Server.own(&{
            std::fs::write(&file, "").unwrap();
            file.clone()
        });
        let mut words =
            warden::prefix(&["sweep", "--json", "--include-clean", self.instance.path()]);
        words.pop();
        let mut strace = User::Server.command("strace");
        strace.arg("-D");
        let mut command = hold.command(strace, &file, &words);
        let sweep = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        (sweep, file)
    }
}

/// How a sweep ended, and what it says of the one object.
pub fn said(mut sweep: Process) -> (Option<i32>, Value) {
    let mut text = String::new();
    sweep.child().stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    (sweep.wait(SOON).code(), document["ledgers"][0]["objects"][0].clone())
}

/// The same of one that was held.
pub fn said_when_let_go(sweep: Process) -> (Option<i32>, Value) {
    let_go(sweep.pid());
    said(sweep)
}

fn kill(sweep: &Process) {
    let all = [processes::descendants(sweep.pid()), vec![sweep.pid()]].concat();
    all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
    let_go(sweep.pid());
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
}

#[test]
fn a_waiter_that_appears_between_decision_and_removal_is_reported_and_keeps_the_set() {
    sandbox::run(|| {
        let crash = Crash::leaving(|server| server.make_set(KEY, 2));
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let mut waiter = Asked::stranger(User::Server);
        waiter.tell(&format!("op({}, 1, -1)", crash.id));
        wait_blocked(waiter.pid(), "sem");
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert_eq!(object["holders"][0]["pid"], waiter.pid());
        assert!(is_set(crash.id) && processes::lives(waiter.pid()));
        drop(waiter);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}

#[test]
fn a_receiver_that_appears_between_decision_and_removal_is_reported_and_keeps_the_queue() {
    sandbox::on_host(|| {
        let crash = Crash::leaving(|server| server.make_queue(KEY));
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let mut receiver = Asked::stranger(User::Server);
        receiver.tell(&format!("my $m; msgrcv({}, $m, 100, 7, 0)", crash.id));
        wait_blocked(receiver.pid(), "msg");
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert!(is_queue(crash.id) && processes::lives(receiver.pid()));
        drop(receiver);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}

/// It operated the set, and waits for nothing.
#[test]
fn who_uses_a_set_between_decision_and_removal_is_reported_and_keeps_it() {
    sandbox::run(|| {
        let crash = Crash::leaving(|server| server.make_set(KEY, 1));
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let mut user = Asked::stranger(User::Server);
        user.ask(&format!("op({}, 0, -1)", crash.id));
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert!(is_set(crash.id));
        drop(user);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["kept user-unrecorded"]);
    });
}

#[test]
fn who_uses_a_queue_between_decision_and_removal_is_reported_and_keeps_it() {
    sandbox::on_host(|| {
        let crash = Crash::leaving(|server| server.make_queue(KEY));
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let mut user = Asked::stranger(User::Server);
        user.ask(&format!("put({}, 'more')", crash.id));
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert_eq!(object["holders"][0]["pid"], user.pid());
        assert!(is_queue(crash.id));
        drop(user);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["kept user-unrecorded"]);
    });
}

/// After everything was looked at anew: the last call before the removal tells who used it.
#[test]
fn who_uses_a_queue_just_before_the_removal_is_reported_and_keeps_it() {
    sandbox::on_host(|| {
        let msgctl = |when, seconds| {
            let held = Duration::from_secs(seconds);
            Hold { calls: "msgctl", point: Point::Before, when: Some(when), says: "", held }
        };
        let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap_or_default();
        let first = Crash::leaving(|server| server.make_queue(KEY));
        let (sweep, file) = first.sweep_traced(&msgctl(9999, 0));
        assert_eq!(said(sweep).0, Some(0));
        let removal = lines(&file).lines().position(|line| line.contains("IPC_RMID")).unwrap();

        let crash = Crash::leaving(|server| server.make_queue(KEY));
        // One more place in the table, and one call before it.
        let last_look = removal + (crash.id & 0x7fff) as usize - (first.id & 0x7fff) as usize - 1;
        let when = u32::try_from(last_look + 1).unwrap();
        let (sweep, file) = crash.sweep_traced(&msgctl(when, 6));
        wait_until("it is held", SOON, || lines(&file).lines().count() > last_look);
        let mut user = Asked::stranger(User::Server);
        user.ask(&format!("put({}, 'more')", crash.id));
        let (code, object) = said(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        let reason = object["reason"].as_str().unwrap();
        assert!(reason.contains("between the decision and the removal"), "{object}");
        let text = lines(&file);
        assert!(text.lines().nth(last_look).unwrap().contains("MSG_STAT"), "{text}");
        assert!(is_queue(crash.id) && !text.contains("IPC_RMID"), "{text}");
    });
}

/// After everything was looked at anew: the last calls ask who operated the set and who waits, and
/// then it goes.
#[test]
fn a_waiter_that_appears_just_before_the_removal_is_reported_and_keeps_the_set() {
    sandbox::run(|| {
        let semctl = |when, seconds| {
            let held = Duration::from_secs(seconds);
            Hold { calls: "semctl", point: Point::Before, when: Some(when), says: "", held }
        };
        let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap_or_default();
        let first = Crash::leaving(|server| server.make_set(KEY, 1));
        let (sweep, file) = first.sweep_traced(&semctl(9999, 0));
        assert_eq!(said(sweep).0, Some(0));
        let removal = lines(&file).lines().position(|line| line.contains("IPC_RMID")).unwrap();

        let crash = Crash::leaving(|server| server.make_set(KEY, 1));
        // One more place in the table, and three calls before it: GETPID, GETNCNT, GETZCNT.
        let last_look = removal + (crash.id & 0x7fff) as usize - (first.id & 0x7fff) as usize - 3;
        let when = u32::try_from(last_look + 1).unwrap();
        let (sweep, file) = crash.sweep_traced(&semctl(when, 6));
        wait_until("it is held", SOON, || lines(&file).lines().count() > last_look);
        assert!(lines(&file).lines().last().unwrap().contains("GETPID"), "{}", lines(&file));
        let mut waiter = Asked::stranger(User::Server);
        waiter.tell(&format!("op({}, 0, -2)", crash.id));
        wait_blocked(waiter.pid(), "sem");
        let (code, object) = said(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert!(object["reason"].as_str().unwrap().contains("came waiters (1)"), "{object}");
        let text = lines(&file);
        let after: Vec<&str> = text.lines().skip(last_look).collect();
        assert!(after[1].contains("GETNCNT") && after[2].contains("GETZCNT"), "{after:?}");
        assert!(is_set(crash.id) && processes::lives(waiter.pid()) && !text.contains("RMID"));
    });
}

/// The intent is written, nothing is removed.
#[test]
fn a_removal_that_was_begun_is_finished_by_the_next_sweep() {
    sandbox::on_host(|| {
        for make in [|s: &mut Asked| s.make_set(KEY, 1), |s: &mut Asked| s.make_queue(KEY)] {
            let crash = Crash::leaving(make);
            kill(&crash.sweep_held(Point::After, INTENT, "intent"));
            assert!(is_set(crash.id) || is_queue(crash.id));
            assert_eq!((crash.instance.count("intent"), crash.instance.count("outcome")), (1, 0));
            let sweep = crash.instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["removed dead"]);
            assert!(!is_set(crash.id) && !is_queue(crash.id));
        }
    });
}

/// Removed, and nobody wrote that down.
#[test]
fn a_removal_without_its_outcome_is_told_as_gone_by_the_next_sweep() {
    sandbox::run(|| {
        let crash = Crash::leaving(|server| server.make_set(KEY, 1));
        kill(&crash.sweep_held(Point::Before, OUTCOME, "outcome"));
        assert!(!is_set(crash.id));
        assert_eq!((crash.instance.count("intent"), crash.instance.count("outcome")), (1, 0));
        let sweep = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["gone gone"]);
        assert_eq!(crash.instance.count("outcome"), 1);
    });
}

/// The kernel would take its key and keep its memory, and nothing would lead to it any more.
#[test]
fn who_attaches_a_segment_between_decision_and_removal_keeps_it_as_it_is() {
    sandbox::run(|| {
        let crash = Crash::leaving(|server| server.ask(&format!("shmget({KEY}, 4096, 03600) + 0")));
        let before = segment(crash.id).unwrap();
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let holder = holders::attach(User::Server, crash.id);
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(0), &"kept".into()), "{object}");
        let now = segment(crash.id).unwrap();
        assert_eq!((now.key, now.mode, now.nattch), (before.key, before.mode, 1));
        drop(holder);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}
