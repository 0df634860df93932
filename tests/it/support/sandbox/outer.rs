//! The outside of a sandbox: makes it, waits for its end with a limit, shows what went wrong.

use std::env::current_exe;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use super::{OUTER_IPC, PIDS, Pids, REAL_IDS, SCRATCH, SERVER_UID, STAGE, last_line, namespace};
use crate::support::processes;
use crate::support::skip;
use crate::support::waiting::happens_within;

/// The kernel ends the sandbox when the thread that waits for it dies, by whatever (a new user
/// namespace takes that back, so without root an interrupted test runs on to its end).
const DIES_WITH_THE_TEST: [&str; 3] = ["--pdeathsig", "KILL", "unshare"];
const NEW: [&str; 6] = ["--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The init ends what descends from it before it ends itself, so it is asked to, and not killed.
const NEW_BUT_PIDS: [&str; 4] = ["--ipc", "--mount", "--fork", "--kill-child=TERM"];
/// `PROC_PID_INIT_INO` (linux/proc_ns.h), as the link names the machine's own PID namespace.
const MACHINES_PIDS: &str = "pid:[4026531836]";
/// How long an init that was asked to end may take.
const INIT_ENDS: Duration = Duration::from_secs(20);
const AS_ROOT_IN_NAME: [&str; 2] = ["--user", "--map-root-user"];

/// Variables of the caller that would change what a server or the program does.
const FOREIGN: [&str; 16] = [
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PGDATA",
    "PGHOST",
    "PGOPTIONS",
    "PGPORT",
    "PGUSER",
    "RUST_LOG",
    "SHMWARDEN_LEDGER",
    "SHMWARDEN_LOG",
    "STATE_DIRECTORY",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "XDG_STATE_HOME",
];

/// Runs the named test again as the init of a new sandbox; fails where it fails.
pub fn run(test: &str, limit: Duration, pids: Pids) {
    if let Some(reason) = obstacle(pids) {
        return skip::note(test, &reason);
    }
    let _alone = alone(test, pids);
    let scratch = tempfile::Builder::new().prefix("shmwarden-test-").tempdir().unwrap();
    let output = tempfile::tempfile().unwrap();
    let mut sandbox = unshare(pids)
        .arg(current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(STAGE, "init")
        .env(SCRATCH, scratch.path())
        .env(OUTER_IPC, namespace("ipc"))
        .env("RUST_BACKTRACE", "0") // of the body it would tell nothing that the message does not
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .spawn()
        .unwrap();
    let ended = wait_for(&mut sandbox, limit, pids);
    let output = text_of(output);
    match ended {
        Err(processes) => {
            panic!("{test} did not end within {limit:?}; still there:\n{processes}\n{output}")
        }
        Ok(status) if !status.success() => panic!("{test} failed, {status}:\n{output}"),
        Ok(_) => assert!(output.contains(&last_line(test)), "{test} was not run:\n{output}"),
    }
    print!("{output}");
}

/// Tests of commands act as users of fixed numbers: in the machine's PID namespace one would take
/// another's processes for its own users'.
fn alone(test: &str, pids: Pids) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let fixed = ["command::", "doctor::"].iter().any(|module| test.starts_with(module));
    (fixed && pids == Pids::Machine).then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Why there can be no sandbox here, if so: looked at once, for every test.
fn obstacle(pids: Pids) -> Option<String> {
    static OWN: OnceLock<Option<String>> = OnceLock::new();
    static MACHINE: OnceLock<Option<String>> = OnceLock::new();
    let known = match pids {
        Pids::Own => &OWN,
        Pids::Machine => &MACHINE,
    };
    known.get_or_init(|| look_for_obstacle(pids)).clone()
}

fn look_for_obstacle(pids: Pids) -> Option<String> {
    if pids == Pids::Machine && namespace("pid") != MACHINES_PIDS {
        return Some("not every process can be seen from this PID namespace".to_owned());
    }
    let probe: std::io::Result<Output> = unshare(pids).args(["mount", "--version"]).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "no namespaces of one's own here ({})",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("coreutils are missing (env: {error})")),
    }
}

fn unshare(pids: Pids) -> Command {
    // What the caller ignores (a shell's job in the background: SIGINT) is not for the tests.
    let mut command = Command::new("env");
    command.args(["--default-signal", "setpriv"]).args(DIES_WITH_THE_TEST);
    match pids {
        Pids::Own => command.args(NEW).env_remove(PIDS),
        Pids::Machine => command.args(NEW_BUT_PIDS).env(PIDS, "machine"),
    };
    match pids {
        Pids::Machine if geteuid().is_root() => command.env(SERVER_UID, next_uid().to_string()),
        _ => command.env_remove(SERVER_UID),
    };
    if !geteuid().is_root() {
        command.args(AS_ROOT_IN_NAME).env(REAL_IDS, format!("{}:{}", geteuid(), getegid()));
    }
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command.arg("--");
    command
}

/// A uid that no other test has: several threads of a process make sandboxes.
fn next_uid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id() % 1_000_000;
    1_000_000 + own * 1_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000
}

/// Waits; at the limit ends the init, and gives what was running.
fn wait_for(sandbox: &mut Child, limit: Duration, pids: Pids) -> Result<ExitStatus, String> {
    if happens_within(limit, || sandbox.try_wait().unwrap().is_some()) {
        return Ok(sandbox.wait().unwrap());
    }
    let unshare = i32::try_from(sandbox.id()).unwrap();
    let inside = processes::descendants(unshare);
    let listing: Vec<String> = inside.iter().map(|&pid| processes::describe(pid)).collect();
    // The init, not unshare: that waits for the init, whose end is the end of everything inside.
    if let Some(&init) = inside.first() {
        if pids == Pids::Machine {
            processes::kill(init, Signal::SIGTERM);
            happens_within(INIT_ENDS, || sandbox.try_wait().unwrap().is_some());
        }
        processes::kill(init, Signal::SIGKILL);
    }
    sandbox.wait().unwrap();
    Err(listing.join("\n"))
}

fn text_of(mut output: File) -> String {
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0)).unwrap();
    output.read_to_end(&mut bytes).unwrap();
    // Indented, so that nothing takes the inner libtest's summary for one of its own.
    String::from_utf8_lossy(&bytes).lines().map(|line| format!("    {line}\n")).collect()
}
