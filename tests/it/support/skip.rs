//! Leaving out a test that this machine cannot run, so that it is counted and explained.

use std::any::Any;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::resume_unwind;

/// The file that `tests/run` counts skips in: libtest knows none that are found at run time.
const LOG_VARIABLE: &str = "SHMWARDEN_SKIP_LOG";

/// What unwinds a skipped test; `sandbox::run` takes it for an end, not for a failure.
struct Skipped(String);

/// Ends the test here as one that could not be run, for a reason that names what is missing.
///
/// Only within the body of `sandbox::run`. The panic hook does not run: nothing went wrong.
pub fn skip(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(Skipped(reason.into())))
}

/// The reason, if this is what a skipped test unwound with.
pub fn reason_in(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<Skipped>().map(|skipped| skipped.0.as_str())
}

/// Prints a skip and writes it down for `tests/run`.
pub fn note(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {}\n", reason.replace('\n', " "));
    print!("{line}");
    let Some(path) = std::env::var_os(LOG_VARIABLE) else {
        return;
    };
    let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
    log.write_all(line.as_bytes()).unwrap();
}

/// Skips where strace is not installed.
pub fn skip_without_strace() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip("there is no strace here");
    }
}
