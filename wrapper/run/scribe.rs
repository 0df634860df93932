//! Writing the ledger while the server runs: a forked helper does it, so that no disk wait ever
//! delays a signal, and the launcher stays a process of one thread.

use std::time::{Duration, Instant};

use nix::libc;
use shmwarden::ledger::Ledger;
use shmwarden::sys::process::{self, Ended};

/// Longest pause between two tries to write.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Most bytes that are kept in memory for a disk that does not take them.
const MOST_QUEUED: usize = 8 << 20;

/// The helper that writes, and when to try again.
#[derive(Debug)]
pub(crate) struct Scribe {
    helper: Option<(i32, usize)>,
    pause: Duration,
    not_before: Instant,
    complained: bool,
}

/// What a helper's end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The lines are in the file (and synced, where that was asked).
    Done,
    /// They are not, with this errno.
    Failed(i32),
}

impl Scribe {
    /// Nothing is being written.
    pub(crate) fn new() -> Self {
        let pause = Duration::from_millis(200);
        Self {
            helper: None,
            pause,
            not_before: Instant::now(),
            complained: false,
        }
    }

    /// The helper's pid, while there is one.
    pub(crate) fn helper(&self) -> Option<i32> {
        self.helper.map(|(pid, _)| pid)
    }

    /// When to call [`Scribe::start`] for lines that could not be written.
    pub(crate) fn retry_at(&self, ledger: &Ledger) -> Option<Instant> {
        (self.helper.is_none() && ledger.has_queued()).then_some(self.not_before)
    }

    /// Starts writing what is queued, unless a helper is at it or it is too early for a new try.
    pub(crate) fn start(&mut self, ledger: &Ledger, sync: bool) {
        if self.helper.is_some() || !ledger.has_queued() || Instant::now() < self.not_before {
            return;
        }
        let count = ledger.queued_bytes();
        let launcher = std::process::id();
        let forked = process::fork_for(|| {
            // The launcher's death ends the helper, so that the lock is free at once; one that
            // died before this call is noticed by the parent having changed.
            let _ = process::die_with_parent(libc::SIGKILL);
            if std::os::unix::process::parent_id() != launcher {
                return libc::ECANCELED;
            }
            let written = ledger.write_queued(count);
            let synced = written.and_then(|()| if sync { ledger.sync() } else { Ok(()) });
            match synced {
                Ok(()) => 0,
                Err(error) => errno_of(&error),
            }
        });
        match forked {
            Ok(pid) => self.helper = Some((pid, count)),
            Err(errno) => self.failed(errno as i32, ledger),
        }
    }

    /// Takes in the end of a child, if it is the helper.
    pub(crate) fn ended(&mut self, pid: i32, how: Ended, ledger: &mut Ledger) -> Option<Written> {
        let (_, count) = self.helper.filter(|(helper, _)| *helper == pid)?;
        self.helper = None;
        Some(match how {
            Ended::Exited(0) => {
                ledger.wrote(count);
                self.pause = Duration::from_millis(200);
                if std::mem::take(&mut self.complained) {
                    log::info!(
                        "the ledger {} can be written again",
                        ledger.path().display()
                    );
                }
                Written::Done
            }
            Ended::Exited(errno) => {
                self.failed(errno, ledger);
                Written::Failed(errno)
            }
            Ended::Signaled(..) => {
                self.failed(libc::EINTR, ledger);
                Written::Failed(libc::EINTR)
            }
        })
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

    /// Whether so much waits to be written that nothing more is to be recorded.
    pub(crate) fn is_full(&self, ledger: &Ledger) -> bool {
        ledger.queued_bytes() > MOST_QUEUED
    }
}

fn errno_of(error: &shmwarden::Error) -> i32 {
    match error {
        shmwarden::Error::Io { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        _ => libc::EIO,
    }
}
