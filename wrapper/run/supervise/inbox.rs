//! Signals that have arrived, and what they and the clock tell of a stop of this process. One that
//! was stopped or frozen when its server died sees what a next server has done since, and must not
//! take that for what its own has left.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::libc::{SIGCHLD, SIGCONT};
use shmwarden::sys::signals::{Arrived, SignalFd};

/// A wait that is this much longer than was asked for: something has kept this process from running
/// (a frozen control group, a debugger).
const OVERSLEPT: Duration = Duration::from_secs(2);

/// Within this time a service manager's SIGCONT follows its stop signal.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// Most signals that are read at a time: a flood of them must not keep the loop from all else.
const MOST_SIGNALS: usize = 256;

/// Signals in the order in which they came.
#[derive(Debug)]
pub(super) struct Inbox {
    signals: SignalFd,
    /// Read, and not yet acted on.
    heard: VecDeque<Arrived>,
    pub(super) stall: Stall,
}

impl Inbox {
    /// Reads from this descriptor.
    pub(super) fn new(signals: SignalFd) -> Self {
        Self { signals, heard: VecDeque::new(), stall: Stall::default() }
    }

    /// Returns what becomes readable when a signal arrives.
    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Checks for signals that were read and not acted on.
    pub(super) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Takes all signals that have arrived.
    pub(super) fn take(&mut self) -> VecDeque<Arrived> {
        self.hear();
        std::mem::take(&mut self.heard)
    }

    /// Reads the signals that have arrived, and notes what they tell of a stop of this process.
    pub(super) fn hear(&mut self) {
        while self.heard.len() < MOST_SIGNALS {
            let Ok(Some(arrived)) = self.signals.take() else { break };
            self.stall.signalled(&arrived);
            self.heard.push_back(arrived);
        }
    }
}

/// Signs, within one round of the loop, that this process was stopped or frozen before it.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Set where the events of this round may have happened long ago.
    pub(super) late: bool,
    /// The sender of the last signal that asked this process for anything, and the time of reading
    /// it.
    asked: Option<(u32, Instant)>,
}

impl Stall {
    /// Begins a round: a wait is over that was to end at `due` at the latest.
    pub(super) fn woke(&mut self, due: Option<Instant>) {
        let latest = due.and_then(|due| due.checked_add(OVERSLEPT));
        self.late = latest.is_some_and(|latest| Instant::now() > latest);
    }

    /// Takes in a signal. SIGCONT stays to be read, though it is blocked, and tells that this
    /// process may have been stopped: but for the one that a service manager sends to each process
    /// right after its stop signal, stopped or not (systemd.kill(5)).
    fn signalled(&mut self, arrived: &Arrived) {
        if arrived.signal != SIGCONT {
            let is_sent = !arrived.is_from_kernel() && arrived.signal != SIGCHLD;
            self.asked = is_sent.then(|| (arrived.sender, Instant::now())).or(self.asked);
            return;
        }
        let follows = |(sender, at): (u32, Instant)| {
            sender == arrived.sender && at.elapsed() < STOPS_WITHIN && !arrived.is_from_kernel()
        };
        self.late |= !self.asked.is_some_and(follows);
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::{SIGINT, SIGTERM};

    use super::*;

    fn late(signals: &[(i32, u32)]) -> bool {
        let mut stall = Stall::default();
        stall.woke(None);
        for &(signal, sender) in signals {
            stall.signalled(&Arrived { signal, code: 0, sender, uid: 0, value: 0 });
        }
        stall.late
    }

    #[test]
    fn a_continuation_tells_of_a_stop_unless_it_follows_a_stop_signal_of_the_same_sender() {
        assert!(!late(&[(SIGTERM, 1)]));
        assert!(late(&[(SIGCONT, 1)]));
        assert!(!late(&[(SIGTERM, 1), (SIGCONT, 1)]));
        assert!(!late(&[(SIGINT, 1), (SIGCHLD, 77), (SIGCONT, 1)]), "KillSignal=SIGINT");
        assert!(late(&[(SIGTERM, 1), (SIGCONT, 900)]), "another one's");
        assert!(late(&[(SIGCHLD, 77), (SIGCONT, 77)]));
    }

    #[test]
    fn a_wait_that_took_much_too_long_tells_of_a_stop() {
        let mut stall = Stall::default();
        let now = Instant::now();
        stall.woke(now.checked_add(Duration::from_secs(60)));
        assert!(!stall.late);
        stall.woke(now.checked_sub(Duration::from_secs(60)));
        assert!(stall.late);
        stall.woke(None);
        assert!(!stall.late, "of one round");
    }
}
