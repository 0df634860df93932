//! Runs the body of a test in namespaces of its own: IPC, mount, PID.
//!
//! The test starts its own binary again, twice: the *init* is PID 1 of the sandbox, mounts what is
//! fresh there and reaps orphans; the *body* runs the test. In there `/proc` is of the sandbox
//! alone, `/dev/shm`, `/var/lib` and the scratch directory are empty file systems, and a program
//! may be killed, or leak, at will: when the init ends, the kernel ends the rest. The init is not a
//! shell, because a shell starts what it waits for with SIGINT and SIGQUIT ignored.
//!
//! [`on_host`] leaves the body in the machine's own PID namespace, from where everybody is seen.
//! There the init is a subreaper, and ends at its own end whatever descends from it.

mod init;
mod outer;

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use super::skip;

const STAGE: &str = "SHMWARDEN_TEST_STAGE";
const SCRATCH: &str = "SHMWARDEN_TEST_SCRATCH";
const REAL_IDS: &str = "SHMWARDEN_TEST_REAL_IDS";
const OUTER_IPC: &str = "SHMWARDEN_TEST_OUTER_IPC";
const PIDS: &str = "SHMWARDEN_TEST_PIDS";
const SERVER_UID: &str = "SHMWARDEN_TEST_SERVER_UID";

/// Whose pids a sandbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pids {
    /// Its own: as in a container, nobody outside is seen.
    Own,
    /// The machine's.
    Machine,
}

impl Pids {
    /// Returns what the init or the body of a sandbox was started with.
    fn here() -> Self {
        if std::env::var_os(PIDS).is_some() { Self::Machine } else { Self::Own }
    }
}

/// How long a test may take that says nothing about it.
const USUAL_LIMIT: Duration = Duration::from_secs(120);

/// Runs `body` in a sandbox. It must be a closure written in the test function itself: the type's
/// name says which test the binary is to run again inside.
pub fn run<F: FnOnce()>(body: F) {
    run_within(USUAL_LIMIT, body);
}

/// Like [`run`], for a test that may take longer, or must not take as long.
pub fn run_within<F: FnOnce()>(limit: Duration, body: F) {
    start(limit, Pids::Own, body);
}

/// Like [`run`], in the machine's own PID namespace: for what is promised only where everybody is
/// seen. Processes that are not the test's are there too: a body names those that it started.
pub fn on_host<F: FnOnce()>(body: F) {
    on_host_within(USUAL_LIMIT, body);
}

/// Like [`on_host`], for a test that may take longer.
pub fn on_host_within<F: FnOnce()>(limit: Duration, body: F) {
    start(limit, Pids::Machine, body);
}

fn start<F: FnOnce()>(limit: Duration, pids: Pids, body: F) {
    let test = test_of(type_name::<F>());
    match std::env::var(STAGE).as_deref() {
        Err(_) => outer::run(&test, limit, pids),
        Ok("init") => init::run(&test),
        Ok(_) => run_body(&test, body),
    }
}

/// Where a test may keep files: a file system of its own, which any user may read.
pub fn scratch() -> PathBuf {
    assert_inside();
    std::env::var_os(SCRATCH).expect("the scratch directory of a sandbox").into()
}

/// Whether the sandbox was made by root, and not by a user who is root in name.
pub fn has_root() -> bool {
    assert_inside();
    real_ids().is_none()
}

/// The uid and gid that made the sandbox, if that was not root.
pub fn real_ids() -> Option<(u32, u32)> {
    let ids = std::env::var(REAL_IDS).ok()?;
    let (uid, gid) = ids.split_once(':').expect("UID:GID");
    Some((uid.parse().unwrap(), gid.parse().unwrap()))
}

/// The uid of servers in the machine's PID namespace: no other test's, whose processes would be
/// seen, and count as of the same user.
pub fn server_uid() -> Option<u32> {
    std::env::var(SERVER_UID).ok().map(|uid| uid.parse().unwrap())
}

/// Fails unless this is the body of a sandboxed test, in another IPC namespace than the machine's:
/// before anything that would be harmful outside.
pub fn assert_inside() {
    let outer = std::env::var(OUTER_IPC).expect("this works within a sandbox only");
    assert_ne!(outer, namespace("ipc"), "still in the machine's own IPC namespace");
}

/// Fails unless the sandbox has pids of its own: before anything that concerns every process.
pub fn assert_own_pids() {
    assert_inside();
    assert_eq!(Pids::here(), Pids::Own, "the pids here are the machine's");
}

/// Ends here in any case: what follows in the test function is for the outside alone.
fn run_body<F: FnOnce()>(test: &str, body: F) -> ! {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        match skip::reason_in(payload.as_ref()) {
            Some(reason) => skip::note(test, reason),
            None => resume_unwind(payload),
        }
    }
    println!("{}", last_line(test));
    exit(0)
}

/// What a body prints that has come to its end: a status of 0 alone may mean that none was run.
fn last_line(test: &str) -> String {
    format!("the body of {test} has ended")
}

/// `it::module::test::{{closure}}` -> `module::test`, as libtest calls it.
fn test_of(closure: &str) -> String {
    let inner = closure.trim_end_matches("::{{closure}}");
    assert_ne!(inner, closure, "the body of a sandbox must be a closure of the test function");
    inner.split_once("::").map_or(inner, |(_crate, path)| path).to_owned()
}

fn namespace(kind: &str) -> String {
    let link = format!("/proc/self/ns/{kind}");
    std::fs::read_link(link).unwrap().to_string_lossy().into_owned()
}
