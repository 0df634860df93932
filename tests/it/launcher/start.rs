//! A launcher that is killed at each step of its start: nothing ran, or the ledger names the pid.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, state};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};

use super::subject::{LIMIT, patience};

/// How long strace may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes its pid and stays.
const SERVER: &str = r#"echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60"#;

/// A system call of the launcher, and the how many-th of its name: strace counts each name by
/// itself.
type Call = (String, usize);

/// The calls of a launcher from the first that is about the ledger to the one that opens the gate,
/// and a few more.
fn calls_of_the_start(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).unwrap();
    let mut counts = BTreeMap::new();
    let calls = text.lines().filter_map(|line| {
        let name = line.split_once('(')?.0;
        let count = counts.entry(name).or_insert(0);
        *count += 1;
        Some((line, (name.to_owned(), *count)))
    });
    let calls: Vec<(&str, Call)> = calls.collect();
    let number = |what: &str| calls.iter().skip(1).position(|(line, _)| line.contains(what));
    let (first, last) = (number("server.ledger").unwrap(), number("\"!\"").unwrap() + 8);
    calls.iter().skip(1).take(last).skip(first).map(|(_, call)| call.clone()).collect()
}

/// `shmwarden run` of the server under strace.
fn traced(instance: &Instance, options: &[&str], marker: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(options).args(instance.prefix(&[]));
    strace.args(["sh", "-c", SERVER, "sh", marker.to_str().unwrap()]);
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

#[test]
fn nothing_runs_unclaimed_wherever_the_start_is_cut_off() {
    sandbox::run_within(Duration::from_secs(600), || {
        let trace = sandbox::scratch().join("trace");
        let first = Instance::new(User::Root);
        let marker = sandbox::scratch().join("first");
        let options = ["-o", trace.to_str().unwrap()];
        if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
            skip("needs strace");
        }
        let mut strace = Process::spawn(&mut traced(&first, &options, &marker));
        wait_until("the server runs", LIMIT, || marker.exists());
        processes::descendants(strace.pid())
            .into_iter()
            .for_each(|pid| processes::kill(pid, Signal::SIGKILL));
        strace.wait(LIMIT);
        let calls = calls_of_the_start(&trace);
        assert!(calls.len() > 50, "{calls:?}");
        let ran = calls.iter().filter(|call| cut_off(call)).count();
        assert!(ran > 0, "the gate was opened by one of the last of {calls:?}");
        assert!(ran < calls.len() / 2, "{ran} of {calls:?}");
    });
}

/// Kills the launcher at a system call; whether the server ran.
fn cut_off(call: &Call) -> bool {
    let instance = Instance::new(User::Root);
    let (name, number) = call;
    let call = format!("{name} {number}");
    let marker = instance.directory().join("marker");
    let inject = format!("inject={name}:signal=KILL:when={number}");
    let options = ["-o", "/dev/null", "-e", &inject];
    let mut strace = Process::spawn(&mut traced(&instance, &options, &marker));
    let mut ended = || !strace.is_running() || marker.exists();
    wait_until("the launcher was killed, or its server runs", PATIENCE, &mut ended);
    if let Some(launcher) = processes::descendants(strace.pid()).first() {
        processes::kill(*launcher, Signal::SIGKILL);
    }
    strace.wait(PATIENCE);
    // What was at the gate has ended or executes now; nothing else is left in the sandbox.
    let runs = |pid: i32, what: &str| processes::describe(pid).contains(what);
    let is_left = |pid: &i32| runs(*pid, "sleep 60") || runs(*pid, "exec sleep");
    let at_gate = || processes::all().into_iter().any(|pid| runs(pid, "shmwarden run"));
    assert!(happens_within(patience(), || !at_gate()), "{call}: somebody waits at the gate");
    // While a process executes a program it has no command line for a moment.
    let is_any_left = || processes::all().iter().any(is_left);
    let runs_or_never_ran = happens_within(patience(), || is_any_left() || !marker.exists());
    assert!(runs_or_never_ran, "{call}: a server ran and ended");
    if !marker.exists() && !is_any_left() {
        if instance.ledger().exists() {
            let sweep = instance.sweep(&[]).expect_code(0);
            assert!(["settled", "dead"].contains(&state(&sweep).as_str()), "{sweep:?}");
        }
        return false;
    }
    wait_until("the server says its pid", LIMIT, || marker.exists());
    let pid: i32 = fs::read_to_string(&marker).unwrap().trim().parse().unwrap();
    let sweep = instance.sweep(&[]);
    assert_eq!(state(&sweep), "live", "{call}: {sweep:?}");
    let ledger = String::from_utf8_lossy(&instance.bytes()).into_owned();
    let claims = ledger.lines().filter(|line| line.contains(r#""record":"claim""#));
    let named = claims.filter(|line| line.contains(&format!(r#""pid":{pid},"#))).count();
    assert!(named > 0, "{call}: {ledger}");
    processes::kill(pid, Signal::SIGKILL);
    processes::wait_end(pid, LIMIT);
    true
}
