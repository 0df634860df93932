//! Writing the ledger while the server runs: a forked helper does it, so that no disk wait ever
//! delays a signal, and the launcher stays a process of one thread.

use std::time::{Duration, Instant};

use nix::libc;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::compact::{self, Compacted, LONG_BYTES};
use shmwarden::sys::handover::{self, Handover};
use shmwarden::sys::process::{self, Ended};
use shmwarden::{Error, Result};

/// Longest pause between two tries to write.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Most bytes that are kept in memory for a disk that does not take them.
const MOST_QUEUED: usize = 8 << 20;

/// Length at which nothing more is recorded in a ledger that cannot be made shorter, in bytes.
const LONGEST_LEDGER: u64 = 64 << 20;

/// The helper that writes, and when to try again.
#[derive(Debug)]
pub(crate) struct Scribe {
    helper: Option<(i32, Task)>,
    /// Length at which the ledger is written anew while the server runs, in bytes.
    long_bytes: u64,
    pause: Duration,
    not_before: Instant,
    complained: bool,
}

/// The task of a helper.
#[derive(Debug)]
enum Task {
    /// Writing this many queued bytes.
    Write(usize),
    /// Writing the ledger anew; the new file comes this way.
    Compact(Handover),
}

impl Scribe {
    /// Nothing is being written.
    pub(crate) fn new() -> Self {
        let pause = Duration::from_millis(200);
        Self {
            helper: None,
            long_bytes: LONG_BYTES,
            pause,
            not_before: Instant::now(),
            complained: false,
        }
    }

    /// The helper's pid, while there is one.
    pub(crate) fn helper(&self) -> Option<i32> {
        self.helper.as_ref().map(|(pid, _)| *pid)
    }

    /// Returns the time to call [`Scribe::start`] again, for lines that could not be written.
    pub(crate) fn retry_at(&self, ledger: &Ledger) -> Option<Instant> {
        (self.helper.is_none() && ledger.has_queued()).then_some(self.not_before)
    }

    /// Starts writing what is queued, unless a helper is at it or it is too early for a new try.
    /// Returns true where a helper writes now. The helper closes its copy of `gate`.
    pub(crate) fn start(&mut self, ledger: &Ledger, sync: bool, gate: Option<i32>) -> bool {
        if self.helper.is_some() || !ledger.has_queued() || Instant::now() < self.not_before {
            return self.helper.is_some();
        }
        let count = ledger.queued_bytes();
        let forked = fork_helper(|| {
            if let Some(gate) = gate {
                let _ = nix::unistd::close(gate);
            }
            ledger.write_queued(count)?;
            if sync { ledger.sync() } else { Ok(()) }
        });
        match forked {
            Ok(pid) => self.helper = Some((pid, Task::Write(count))),
            Err(errno) => self.failed(errno as i32, ledger),
        }
        self.helper.is_some()
    }

    /// Starts writing a ledger anew that has grown long while its server runs.
    pub(crate) fn compact_if_long(&mut self, ledger: &Ledger) {
        if self.helper.is_some() || ledger.has_queued() || ledger.whole_bytes() < self.long_bytes {
            return;
        }
        let Ok((ours, theirs)) = handover::pair() else {
            return;
        };
        let forked = fork_helper(|| {
            let hand_over = |new: &Compacted| {
                let sent = theirs.send(&new.file, new.bytes).map_err(std::io::Error::from);
                sent.map_err(Error::io("cannot hand over", ledger.path()))
            };
            compact::compact(ledger, hand_over).map(drop)
        });
        // What cannot be made shorter is not tried again before it has doubled.
        self.long_bytes = ledger.whole_bytes() * 2;
        if let Ok(pid) = forked {
            self.helper = Some((pid, Task::Compact(ours)));
        }
    }

    /// Takes in the end of a child; returns, if it is the helper, whether the lines are in the file
    /// (and synced, where that was asked).
    pub(crate) fn ended(&mut self, pid: i32, how: Ended, ledger: &mut Ledger) -> Option<bool> {
        let (_, task) = self.helper.take_if(|(helper, _)| *helper == pid)?;
        let errno = match how {
            Ended::Exited(errno) => errno,
            Ended::Signaled(..) => libc::EINTR,
        };
        match task {
            Task::Compact(handover) => {
                // Whatever became of the helper: the file that bears the name is gone on with.
                let new = handover.take().ok();
                let shorter = new.is_some_and(|(file, bytes)| {
                    self.long_bytes = LONG_BYTES.max(bytes * 2);
                    ledger.go_on_with(Compacted { file, bytes })
                });
                if !shorter {
                    log::warn!("could not shorten the ledger {}", ledger.path().display());
                }
                Some(true)
            }
            Task::Write(count) if errno == 0 => {
                ledger.wrote(count);
                self.pause = Duration::from_millis(200);
                if std::mem::take(&mut self.complained) {
                    log::info!("the ledger {} can be written again", ledger.path().display());
                }
                Some(true)
            }
            Task::Write(_) => {
                self.failed(errno, ledger);
                Some(false)
            }
        }
    }

    fn failed(&mut self, errno: i32, ledger: &Ledger) {
        self.not_before = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if !std::mem::replace(&mut self.complained, true) {
            log::error!(
                "cannot write the ledger {}: {}; the server is not disturbed, what is to be \
                 written is kept in memory and tried again",
                ledger.path().display(),
                nix::errno::Errno::from_raw(errno).desc()
            );
        }
        if ledger.queued_bytes() > MOST_QUEUED {
            log::error!("the ledger could not be written for too long: recording stops");
        }
    }

    /// Checks that so much waits to be written that nothing more may be recorded.
    pub(crate) fn is_full(&self, ledger: &Ledger) -> bool {
        ledger.queued_bytes() > MOST_QUEUED || ledger.whole_bytes() > LONGEST_LEDGER
    }
}

/// Forks a helper that dies with the launcher, so that the lock is free at once.
fn fork_helper(body: impl FnOnce() -> Result<()>) -> shmwarden::sys::Result<i32> {
    let launcher = std::process::id();
    process::fork_for(|| {
        let _ = process::die_with_parent(libc::SIGKILL);
        // A launcher that died before that call is noticed by the parent having changed.
        if std::os::unix::process::parent_id() != launcher {
            return libc::ECANCELED;
        }
        match body() {
            Ok(()) => 0,
            Err(error) => errno_of(&error),
        }
    })
}

fn errno_of(error: &Error) -> i32 {
    match error {
        Error::Io { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        _ => libc::EIO,
    }
}
