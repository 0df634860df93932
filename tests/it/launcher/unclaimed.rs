//! No claim, no silence: whatever read of the child fails between fork and exec, the server runs
//! under a claim, or as `--if-ledger-fails` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scene::instance::Instance;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::warden::Answer;

/// A call of the launcher's on a file of the child's: its name, and the how many-th of that name.
type Call = (String, usize);

const REFUSE: [&str; 2] = ["--if-ledger-fails", "refuse"];

/// What one start came to.
struct Started {
    answer: Answer,
    claimed: bool,
    ran: bool,
}

/// `run OPTIONS -- touch MARKER` under strace.
fn start(options: &[&str], strace: &[&str], trace: &Path) -> Started {
    let instance = Instance::new(User::Root);
    let marker: PathBuf = instance.directory().join("ran");
    let mut command = Command::new("strace");
    command.args(["-qq", "-y", "-o", trace.to_str().unwrap()]).args(strace);
    command.args(instance.prefix(options)).args(["touch", marker.to_str().unwrap()]);
    let answer = Answer::of(command.stdin(Stdio::null()));
    let ledger = fs::read_to_string(instance.ledger()).unwrap_or_default();
    Started { answer, claimed: ledger.contains(r#""record":"claim""#), ran: marker.exists() }
}

/// Every open and read of a file of the child's before the gate opens.
fn calls_on_the_child() -> Vec<Call> {
    let trace = sandbox::scratch().join("trace");
    let started = start(&REFUSE, &[], &trace);
    assert!(started.claimed && started.ran, "{:?}", started.answer);
    let text = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_fork = |line: &&str| ["clone(", "clone3(", "fork("].iter().any(|c| line.starts_with(c));
    let fork = lines.iter().position(is_fork).unwrap();
    let child = lines[fork].rsplit("= ").next().unwrap();
    let child = child.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let directory = format!("/proc/{child}/");
    let gate = lines.iter().rposition(|line| line.contains("\"!\"")).unwrap();
    let name_of = |line: &str| line.split_once('(').map(|(name, _)| name.to_owned());
    let calls = (fork..gate).filter_map(|at| {
        let name = name_of(lines[at])?;
        let count = lines[..=at].iter().filter(|l| name_of(l).as_ref() == Some(&name)).count();
        let is_it = ["openat", "read"].contains(&name.as_str()) && lines[at].contains(&directory);
        is_it.then_some((name, count))
    });
    let calls: Vec<Call> = calls.collect();
    assert!(calls.len() >= 4, "stat and status are opened and read: {calls:?}");
    calls
}

fn inject(call: &Call, errno: &str, more: &str) -> String {
    format!("inject={}:error={errno}:when={}{more}", call.0, call.1)
}

#[test]
fn one_failed_read_of_the_child_costs_no_claim() {
    sandbox::run_within(Duration::from_secs(300), || {
        skip_without_strace();
        let trace = sandbox::scratch().join("one");
        for call in calls_on_the_child() {
            for errno in ["ENFILE", "ENOMEM", "EACCES", "EIO"] {
                let inject = inject(&call, errno, "");
                let started = start(&REFUSE, &["-e", &inject], &trace);
                let Started { answer, claimed, ran } = started;
                assert!(claimed && ran && answer.code() == 0, "{inject}: {answer:?}");
                assert_eq!(answer.stderr, "", "{inject}");
            }
        }
    });
}

#[test]
fn a_claim_that_cannot_be_made_is_one_that_cannot_be_written() {
    sandbox::run_within(Duration::from_secs(300), || {
        skip_without_strace();
        let trace = sandbox::scratch().join("all");
        let calls = calls_on_the_child();
        // Of the files that a claim needs; the control group is known as far as it can be read.
        for call in calls.iter().take(4) {
            for errno in ["ENFILE", "ENOENT", "EACCES"] {
                if call.0 == "read" && errno == "ENFILE" {
                    continue;
                }
                // From there on all that has this name fails.
                let inject = inject(call, errno, "+");
                let Started { answer, claimed, ran } = start(&REFUSE, &["-e", &inject], &trace);
                assert!(!claimed && !ran, "{inject}: {answer:?}");
                assert_eq!(answer.code(), 125, "{inject}: {answer:?}");
                assert!(answer.stderr.contains("cannot claim the server"), "{inject}: {answer:?}");
                assert!(answer.stderr.contains("the server is not started"), "{answer:?}");
                if call.0 == "read" {
                    continue; // the launcher needs it to see the server's end
                }
                let Started { answer, claimed, ran } = start(&[], &["-e", &inject], &trace);
                assert!(!claimed && ran, "{inject}: {answer:?}");
                assert!(answer.stderr.contains("no clean-up is promised"), "{inject}: {answer:?}");
            }
        }
    });
}

#[test]
fn in_place_nothing_runs_without_a_claim_either() {
    sandbox::run_within(Duration::from_secs(300), || {
        skip_without_strace();
        let trace = sandbox::scratch().join("in-place");
        let options = ["--in-place", REFUSE[0], REFUSE[1]];
        // The positive control; a machine that stalls may be too slow for the claim under strace.
        let serves = || {
            let started = start(&options, &["-f"], &trace);
            started.claimed && started.ran
        };
        assert!((0..5).any(|_| serves()), "never started in place");
        let mut refused = 0;
        for number in 1..=60 {
            let inject = format!("inject=openat:error=ENFILE:when={number}+");
            let started = start(&options, &["-f", "-e", &inject], &trace);
            let Started { answer, claimed, ran } = started;
            assert!(claimed || !ran, "{inject}: {answer:?}");
            refused += usize::from(!ran);
        }
        assert!(refused > 0, "none of these calls was in the way of the claim");
    });
}
