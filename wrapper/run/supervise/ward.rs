//! A server that is no child of this process: its end is told by a pidfd, how it ended by the
//! kernel where that knows (Linux 6.15), and its zombie is its parent's to reap.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use shmwarden::ledger::record::Claim;
use shmwarden::object::ProcessRef;
use shmwarden::snapshot::processes;
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::process::Ended;

use super::Launcher;
use super::phase::{Event, Phase};
use crate::recording::ancestry;

/// Longest wait for the parent to reap the server, so that the kernel tells how it ended.
const FOR_PARENT: Duration = Duration::from_secs(1);
/// Pause between two such questions.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Pause between two looks for a process before Linux 5.3, which has no pidfd.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The process that is watched.
#[derive(Debug)]
pub(crate) struct Ward {
    process: ProcessRef,
    pidfd: Option<PidFd>,
    stage: Stage,
    /// Set where this process may have been stopped when the server died: what is there now may be
    /// the next server's work.
    late: bool,
}

/// The stage of a watched process.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It lives, as far as was seen; when to look where there is no pidfd.
    Lives(Instant),
    /// It is dead; until when its status is waited for.
    Dead(Instant),
    /// Its end was taken in.
    Over,
}

impl Ward {
    /// A process, with its pidfd where there are such.
    pub(crate) fn new(process: ProcessRef, pidfd: Option<PidFd>) -> Self {
        Self { process, pidfd, stage: Stage::Lives(Instant::now() + LOOK_EVERY), late: false }
    }

    /// Returns the descriptor that becomes readable when the process ends.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let lives = matches!(self.stage, Stage::Lives(_));
        self.pidfd.as_ref().filter(|_| lives).map(AsFd::as_fd)
    }

    /// Returns the time of the next look at the process, whatever else happens.
    pub(super) fn look_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Lives(at) => self.pidfd.is_none().then_some(at),
            Stage::Dead(_) => Some(Instant::now() + ASK_EVERY),
            Stage::Over => None,
        }
    }

    /// Checks that the end was seen later than it came.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    fn is_dead(&mut self) -> bool {
        self.stage = Stage::Lives(Instant::now() + LOOK_EVERY);
        match &self.pidfd {
            Some(pidfd) => pidfd.has_ended().unwrap_or(false),
            None => !processes::lives(self.process),
        }
    }

    /// Asks the kernel for the exit status: `None` to ask again, `Some(None)` where it cannot be
    /// known.
    fn told(&self, until: Instant) -> Option<Option<Ended>> {
        match self.pidfd.as_ref().map(PidFd::exit) {
            Some(Ok(None)) if Instant::now() < until => None,
            Some(Ok(how)) => Some(how),
            None | Some(Err(_)) => Some(None),
        }
    }
}

impl Launcher {
    /// Takes in the end of a server that is no child.
    pub(super) fn look_at_ward(&mut self) {
        let Some(ward) = &mut self.ward else { return };
        if let Stage::Lives(_) = ward.stage {
            if !ward.is_dead() {
                return;
            }
            ward.late = self.inbox.stall.late;
            let (pid, late) = (ward.process.pid, ward.late);
            ward.stage = Stage::Dead(Instant::now() + FOR_PARENT);
            // Dead, so the report is complete, whether the gate was open or not.
            if let Some(errno) = self.job.child.exec_error() {
                self.take(Event::NotExecuted(errno as i32));
            }
            // At once: as long as it is a zombie, its pid is its own. What is found late may be a
            // next server's, and how it is now is not how it was left.
            if !late {
                self.last_look(pid);
            }
        }
        let Some(ward) = &mut self.ward else { return };
        let Stage::Dead(until) = ward.stage else { return };
        let Some(how) = ward.told(until) else { return };
        ward.stage = Stage::Over;
        let ended = ward.process;
        self.ward_ended(ended, how);
    }

    /// Goes on with a server that COMMAND has left, or with what is to be done after its end.
    fn ward_ended(&mut self, ended: ProcessRef, how: Option<Ended>) {
        let is_daemon = matches!(self.phase, Phase::Daemonised(_));
        let left = if is_daemon { self.daemons() } else { self.daemons_after(how) };
        if let Some(process) = left.iter().find_map(|&pid| processes::by_pid(pid)) {
            self.ward = Some(Ward::new(process, PidFd::open(process.pid).ok()));
        }
        let left = !left.is_empty();
        if how == Some(Ended::Exited(0)) && !left && !is_daemon {
            self.name_who_may_go_on(ended);
        }
        self.take(Event::Ended { how, left });
    }

    /// Names the processes that may go on unwatched. What COMMAND forked just before it ended was
    /// nobody's child when it was looked for, so it is not known as the server's own: it may be a
    /// daemon. A server of a known kind is left out: it becomes no daemon, and its next cluster
    /// runs the same file.
    fn name_who_may_go_on(&self, ended: ProcessRef) {
        let Some(book) = &self.book else { return };
        let Some(run) = book.run() else { return };
        let known = |claim: &&Claim| claim.process == ended && !claim.engine.is_known();
        let Some(claim) = run.claims.iter().find(known) else { return };
        let Some(other) = ancestry::began_since(claim, &self.program) else { return };
        log::warn!(
            "COMMAND ended with status 0, and process {}, which began after it and runs the same \
             program, goes on: if COMMAND became a daemon, run --in-place could not follow it, and \
             nothing that it makes is recorded; let it stay in the foreground, start it by run \
             without --in-place, or put it under the ledger by shmwarden record --pid",
            other.pid
        );
    }
}
