//! How often to look: densely while the server starts, then at most once a second, and less often
//! where a look is dear.

use std::time::{Duration, Instant};

/// First pause after the start.
const FIRST: Duration = Duration::from_millis(2);
/// Longest pause while looks are cheap; a little over a second, so that what else wakes the
/// launcher leaves it below one wake-up a second.
const STEADY: Duration = Duration::from_millis(1100);
/// A pause is at least this many times as long as the look before it: half a percent of a core.
const COST_FACTOR: u32 = 200;

/// The pause between two looks, and the time of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pause: Duration,
    next: Instant,
}

impl Pace {
    /// Begins densely.
    pub(super) fn start(now: Instant) -> Self {
        Self { pause: FIRST, next: now + FIRST }
    }

    /// Returns the time of the next look.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Notes a look that began at `began` and ended at `ended`. Pauses grow by a quarter each, so
    /// the dense phase ends by itself after about 30 looks and 5 seconds.
    pub(super) fn looked(&mut self, began: Instant, ended: Instant) {
        let grown = self.pause + self.pause / 4;
        self.pause = grown.min(STEADY);
        let cost = ended.saturating_duration_since(began);
        let dear = if self.is_dense() { Duration::ZERO } else { cost * COST_FACTOR };
        self.next = ended + self.pause.max(dear);
    }

    /// Checks that the server may still be starting.
    pub(super) fn is_dense(&self) -> bool {
        self.pause < STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dense_phase_ends_by_itself() {
        let mut now = Instant::now();
        let start = now;
        let mut pace = Pace::start(now);
        let mut looks = 0;
        while pace.is_dense() {
            now = pace.next();
            pace.looked(now, now);
            looks += 1;
        }
        assert!(looks < 40, "{looks}");
        assert!(now - start < Duration::from_secs(10));
    }

    #[test]
    fn a_dear_look_is_taken_less_often() {
        let now = Instant::now();
        let mut pace = Pace { pause: STEADY, next: now };
        pace.looked(now, now + Duration::from_millis(40));
        assert!(pace.next() - now >= Duration::from_secs(8));
    }
}
