//! What root removes for another user a child removes that has that user's rights for good. The
//! user may end it or stop it, and gains nothing by that.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_root, outcomes};
use crate::support::objects::{create_segment, segments};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// Segments that take a sweep long enough to be met at work.
const MANY: usize = 2000;
/// How long a sweep may take, whatever the user does.
const BOUNDED: Duration = Duration::from_secs(60);

/// A user's ledger, whose server has left so many segments.
fn left(count: usize) -> Instance {
    need_root("to act as another user");
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, &[]);
    server.ask(&format!("shmget(0, 4096, 01600) // die for 1 .. {count}; 1"));
    instance.wait_recorded(count);
    server.kill_all();
    assert_eq!(segments().len(), count);
    instance
}

/// Root's sweep of it, on its way.
fn sweep(instance: &Instance) -> Process {
    let words = ["sweep", "--json", "--include-clean", instance.path()];
    let mut command = warden::command(User::Root, &words);
    Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))
}

/// How a sweep ended, and what it says of each object.
fn said(mut sweep: Process) -> (i32, Vec<Value>) {
    let output = BufReader::new(sweep.child().stdout.take().unwrap());
    let document: Value = serde_json::from_reader(output).unwrap();
    let objects = document["ledgers"][0]["objects"].as_array().unwrap().clone();
    (sweep.wait(BOUNDED).code().unwrap(), objects)
}

fn is_outcome(object: &Value, outcome: &str) -> bool {
    object["outcome"] == outcome
}

/// Holds what a sweep says, and its status, against what is there; gives back how many objects
/// stay.
fn told_truly(code: i32, objects: &[Value]) -> usize {
    assert_eq!(objects.len(), MANY);
    let ids: Vec<i64> = segments().iter().map(|segment| segment.id.into()).collect();
    for object in objects {
        let is_there = ids.contains(&object["id"].as_i64().unwrap());
        let goes = is_outcome(object, "removed") || is_outcome(object, "gone");
        assert_eq!(goes, !is_there, "{object}");
    }
    let count = |outcome| objects.iter().filter(|one| is_outcome(one, outcome)).count();
    let (failed, kept) = (count("failed"), count("kept"));
    assert_eq!(code, if failed == 0 { 0 } else { 74 });
    // What comes after one that could not be removed stays.
    assert!(failed <= 1 && (kept == 0 || failed == 1), "{failed} failed, {kept} kept");
    failed + kept
}

/// Sweeps undisturbed, and leaves nothing but what is another user's.
fn sweep_the_rest(instance: &Instance, others: i32) {
    let again = instance.sweep_as(User::Root, &["--include-clean"]).expect_code(0);
    let outcomes = outcomes(&again);
    assert!(outcomes.iter().all(|one| one == "removed dead"), "{outcomes:?}");
    let left: Vec<i32> = segments().iter().map(|segment| segment.id).collect();
    assert_eq!(left, [others]);
}

/// A process of the user that sends this signal to the sweep's children, as often as it is let to,
/// and says for each time that it could.
fn disturber(sweep: &Process, signal: Signal) -> (Process, BufReader<ChildStdout>) {
    let script = r#"
        my ($parent, $signal) = @ARGV;
        $| = 1;
        while (open my $file, '<', "/proc/$parent/task/$parent/children") {
            for (split ' ', <$file> // '') { print "$_\n" if kill $signal, $_ }
        }
    "#;
    let mut perl = User::Server.command("perl");
    let number = (signal as i32).to_string();
    perl.args(["-e", script, &sweep.pid().to_string(), &number]);
    let mut process = Process::spawn(perl.stdin(Stdio::null()).stdout(Stdio::piped()));
    let lines = BufReader::new(process.child().stdout.take().unwrap());
    (process, lines)
}

#[test]
fn who_removes_for_root_has_the_rights_of_that_user_alone() {
    sandbox::run(|| {
        let instance = left(MANY);
        let (uid, gid) = User::Server.ids();
        let sweep = sweep(&instance);
        let mut status = String::new();
        wait_until("a child acts as the user", SOON, || {
            let children = processes::descendants(sweep.pid());
            let texts = children.into_iter().filter_map(|pid| {
                let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
                text.contains(&format!("\nUid:\t{uid}\t")).then_some(text)
            });
            texts.for_each(|text| status = text);
            !status.is_empty()
        });
        let has = |name: &str, value: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            assert_eq!(words.join(" "), value, "{status}");
        };
        has("Uid:", &[uid; 4].map(|id| id.to_string()).join(" "));
        has("Gid:", &[gid; 4].map(|id| id.to_string()).join(" "));
        has("Groups:", "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            has(set, "0000000000000000");
        }
        let (code, objects) = said(sweep);
        assert_eq!(code, 0);
        assert!(objects.iter().all(|one| is_outcome(one, "removed")));
        assert!(segments().is_empty());
    });
}

#[test]
fn a_user_who_ends_the_one_that_removes_costs_root_a_retry() {
    sandbox::run(|| {
        let instance = left(MANY);
        let others = create_segment(User::Root, 77, 4096);
        let sweep = sweep(&instance);
        let (mut killer, mut lines) = disturber(&sweep, Signal::SIGKILL);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        killer.signal(Signal::SIGKILL);
        assert_ne!(line, "", "the user could end it");
        let (code, objects) = said(sweep);
        told_truly(code, &objects);
        sweep_the_rest(&instance, others);
    });
}

#[test]
fn a_user_who_ends_whatever_removes_keeps_what_is_theirs_and_not_root() {
    sandbox::run(|| {
        let instance = left(MANY);
        let others = create_segment(User::Root, 77, 4096);
        let begun = Instant::now();
        let sweep = sweep(&instance);
        let (killer, lines) = disturber(&sweep, Signal::SIGKILL);
        let killed = std::thread::spawn(move || lines.lines().count());
        let (code, objects) = said(sweep);
        assert!(begun.elapsed() < BOUNDED, "{:?}", begun.elapsed());
        drop(killer);
        assert!(killed.join().unwrap() > 1, "it was ended more than once");
        told_truly(code, &objects);
        sweep_the_rest(&instance, others);
    });
}

#[test]
fn a_user_who_stops_whatever_removes_delays_root_for_seconds() {
    sandbox::run(|| {
        let instance = left(MANY);
        let others = create_segment(User::Root, 77, 4096);
        let begun = Instant::now();
        let sweep = sweep(&instance);
        let (stopper, lines) = disturber(&sweep, Signal::SIGSTOP);
        let stopped = std::thread::spawn(move || lines.lines().count());
        let (code, objects) = said(sweep);
        assert!(begun.elapsed() < BOUNDED, "{:?}", begun.elapsed());
        drop(stopper);
        assert!(stopped.join().unwrap() > 0, "it was stopped");
        if told_truly(code, &objects) > 0 {
            let history = warden::answer(User::Root, &["history", instance.path()]);
            assert!(history.stdout.contains("ended or stopped"), "the ledger tells of it");
        }
        sweep_the_rest(&instance, others);
    });
}
