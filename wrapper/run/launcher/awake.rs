//! Whether this process ran all along. One that was stopped or frozen when its server died sees
//! what a next server has done since, and must not take that for what its own has left.

use std::time::{Duration, Instant};

/// A wait that is this much longer than was asked for: something has kept this process from running
/// (a frozen control group, a debugger).
const OVERSLEPT: Duration = Duration::from_secs(2);

/// What tells of one round of the loop that this process may not have run.
#[derive(Debug, Default)]
pub(super) struct Awake {
    late: bool,
}

impl Awake {
    /// A round begins: a wait is over that was to end at `due` at the latest.
    pub(super) fn woke(&mut self, due: Option<Instant>) {
        let latest = due.and_then(|due| due.checked_add(OVERSLEPT));
        self.late = latest.is_some_and(|latest| Instant::now() > latest);
    }

    /// This process is continued, and so may have been stopped: SIGCONT stays to be read, though it
    /// is blocked. `systemctl stop` sends one to each process, stopped or not; what is kept then
    /// is kept in doubt.
    pub(super) fn was_continued(&mut self) {
        self.late = true;
    }

    /// Whether what this round has found may have happened long ago.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }
}
