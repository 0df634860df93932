//! Waiting for something that happens elsewhere, always with an end.

use std::time::{Duration, Instant};

const PAUSE_MS: u64 = 5;

/// Waits until `happened` is true; fails the test with `what` when `longest` has passed.
pub fn wait_until(what: &str, longest: Duration, happened: impl FnMut() -> bool) {
    assert!(happens_within(longest, happened), "waited {longest:?} in vain until {what}");
}

/// Waits until `happened` is true, or `longest` has passed: then false.
pub fn happens_within(longest: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + longest;
    loop {
        if happened() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(PAUSE_MS));
    }
}
