//! The last user of an object: the process that the pid of a kernel's row means.
//!
//! A row keeps a number and a time, no process: the number may be another's by now. It must never
//! take a process for gone because a clock was set.

use nix::time::{ClockId, clock_gettime};

use super::{Process, Sight, Snapshot, Tables, processes, ticks_a_second};
use crate::proc::{Seen, read};

/// The state of the process that used an object last.
#[derive(Debug, Clone, Copy)]
pub enum LastUser<'a> {
    /// Nobody used it, or who did has gone: a later process may bear the pid.
    Gone,
    /// It lives.
    Lives(&'a Process),
    /// It may live: it is of a PID namespace that is not seen from here, or could not be read.
    Unseen,
}

/// The wall clock as it once was: without it a row's time cannot be compared with a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The time at which that was noted, seconds since the epoch.
    pub since_s: i64,
    /// By how much it was ahead of the boot clock, in milliseconds.
    pub ahead_ms: i64,
}

/// A difference that says that the wall clock was set: the two clocks are slowed and sped up
/// together, so but for this they keep their distance.
const SET_MS: u64 = 500;

impl Snapshot {
    /// Finds the process that a row's pid means: one of that pid that started no later than the
    /// row's last time; a tie counts.
    ///
    /// `last_use_s` is the row's time of the wall clock in whole seconds, 0 for never; `clock` what
    /// the ledger recorded. Where that is missing or younger than the last use, or the wall clock
    /// was set since, any living process of that pid counts. The look has to have all processes
    /// and, in `hidden`, those that could not be read ([`Self::with_last_users`]).
    #[must_use]
    pub fn last_user(&self, pid: i32, last_use_s: i64, clock: Option<Clock>) -> LastUser<'_> {
        if pid <= 0 {
            // The pid of a namespace that is not seen from here reads 0.
            return if last_use_s == 0 { LastUser::Gone } else { LastUser::Unseen };
        }
        match self.process(pid) {
            Seen::Here(process)
                if !process.ended && self.started_by(process, last_use_s, clock) =>
            {
                LastUser::Lives(process)
            }
            // What `/proc` hides is not in the table: that it has gone the kernel has to say.
            Seen::Gone if self.sight == Sight::Part && !self.absent.contains(&pid) => {
                LastUser::Unseen
            }
            Seen::Here(_) | Seen::Gone => LastUser::Gone,
            Seen::Denied => LastUser::Unseen,
        }
    }

    /// Checks whether the wall clock was set since this was recorded.
    #[must_use]
    pub(crate) fn clock_was_set(&self, clock: Clock) -> bool {
        clock.ahead_ms.abs_diff(self.clock_ahead_ms) > SET_MS
    }

    /// Checks that a process started no later than a row's last time; doubt counts as that.
    fn started_by(&self, process: &Process, last_use_s: i64, clock: Option<Clock>) -> bool {
        let known =
            clock.filter(|clock| clock.since_s <= last_use_s && !self.clock_was_set(*clock));
        if known.is_none() {
            return true;
        }
        let ticks = i128::from(process.process.start) * 1000 / i128::from(ticks_a_second());
        let started_ms = ticks + i128::from(self.clock_ahead_ms);
        // The kernel keeps whole seconds, and reads them from a clock that may lag by a tick.
        started_ms < (i128::from(last_use_s) + 1) * 1000 + i128::from(SET_MS)
    }
}

/// Returns by how much the wall clock is ahead of the machine's boot clock, in milliseconds.
#[must_use]
pub fn clock_ahead_ms() -> i64 {
    let read = |clock| {
        clock_gettime(clock).map_or(0, |now| now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000)
    };
    // Whoever is held up between the two readings reads again.
    let once = || {
        let before = read(ClockId::CLOCK_BOOTTIME);
        let wall = read(ClockId::CLOCK_REALTIME);
        (read(ClockId::CLOCK_BOOTTIME) - before, wall - before)
    };
    let tries = [once(), once(), once()];
    let ahead = tries.into_iter().min().map_or(0, |(_, ahead)| ahead);
    // The boot clock of a time namespace is shifted, and start times are told on the machine's.
    // Where the shift cannot be read nothing is as it was: whoever lives counts.
    read::boot_offset().map_or(i64::MIN / 2, |nanos| ahead.saturating_add(nanos / 1_000_000))
}

impl Snapshot {
    /// Looks for those of these pids that are not in the look: processes that came since, and, as
    /// hidden, those that could not be read. A thread's number is no process's, and a thread of the
    /// kernel's own uses nothing.
    #[must_use]
    pub fn with_last_users(self, pids: impl IntoIterator<Item = i32>) -> Self {
        let mut missing: Vec<i32> = pids.into_iter().filter(|&pid| pid > 0).collect();
        missing.sort_unstable();
        missing.dedup();
        let unknown = |pid: i32| self.process(pid).here().is_none() && !self.hidden.contains(&pid);
        missing.retain(|&pid| unknown(pid));
        if missing.is_empty() {
            return self;
        }
        let mut look = self.into_tables();
        let listed = read::pids();
        for pid in missing {
            match read::stat(pid) {
                Ok(Seen::Here(stat)) if stat.is_kernel_thread() => drop(look.absent.insert(pid)),
                Ok(Seen::Here(_)) if listed.as_ref().is_ok_and(|listed| !listed.contains(&pid)) => {
                    look.absent.insert(pid);
                }
                Ok(Seen::Here(_)) => match processes::one(pid) {
                    Some(process) => look.processes.add(process),
                    None => look.note(pid),
                },
                Ok(Seen::Gone | Seen::Denied) | Err(_) => look.note(pid),
            }
        }
        Self::of(look)
    }
}

impl Tables {
    /// Notes whether the kernel knows a process that could not be read.
    fn note(&mut self, pid: i32) {
        if super::is_there(pid) {
            self.hidden.push(pid);
        } else {
            self.absent.insert(pid);
        }
    }
}
