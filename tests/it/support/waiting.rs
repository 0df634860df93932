//! Waiting for something that happens elsewhere, always with an end.

use std::time::{Duration, Instant};

const PAUSE_MS: u64 = 5;

/// What must happen has at least this long: a busy machine, or its disk, can stall for seconds.
const STALL: Duration = Duration::from_secs(60);

/// Waits until `happened` is true; fails the test with `what` when `longest` has passed, or
/// a minute if that is longer.
pub fn wait_until(what: &str, longest: Duration, happened: impl FnMut() -> bool) {
    let longest = longest.max(STALL);
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
