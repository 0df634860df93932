//! Children that have ended, and the end of the run: the last look at what a claimed one made,
//! before its pid is given up.

use std::time::Instant;

use nix::libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
use shmwarden::engine::EngineName;
use shmwarden::ledger::record::{End, Record};
use shmwarden::snapshot::processes;
use shmwarden::sys::process::{self, Ended};

use super::{Event, Launcher, State, Ward};

/// Signals that a server brings upon itself.
const CRASHES: [i32; 5] = [SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE];

impl Launcher {
    /// Takes in every child that has ended. A claimed one is looked at once more before it is
    /// reaped.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(pid)) = process::any_ended() {
            if pid == self.child.pid && self.ended.is_none() {
                self.read_gate();
                self.command_ended(pid);
                continue;
            }
            let claimed = self.claims(pid);
            if claimed {
                self.last_words();
                self.last_look(pid);
            }
            let Ok(Some(how)) = process::reap(pid) else {
                break;
            };
            let written = self.book.as_mut().and_then(|b| b.scribe.ended(pid, how, &mut b.ledger));
            if written.is_none() {
                self.daemon_child_ended(pid, how);
            }
            match written {
                Some(written) => self.written(written),
                None if self.state == State::Lingering => self.wait.settle_due = true,
                None if claimed => self.daemon_ended = Some(how),
                // A daemon that nobody knows by name speaks for COMMAND if it ended badly; while
                // COMMAND is there, it is some orphan of the server's.
                None if self.state == State::Daemonised && how != Ended::Exited(0) => {
                    self.daemon_ended = Some(how);
                }
                None => {}
            }
        }
        if self.state == State::Daemonised && self.daemons().is_empty() {
            self.take(Event::DaemonGone);
        }
        if std::mem::take(&mut self.wait.settle_due) {
            self.take(Event::Freed);
        }
    }

    fn command_ended(&mut self, pid: i32) {
        self.last_words();
        self.last_look(pid);
        let Ok(Some(how)) = process::reap(pid) else {
            return;
        };
        self.ended = Some(how);
        let left = !self.daemons().is_empty();
        self.take(Event::Ended(Some(how), left));
        self.note_daemons();
    }

    /// What COMMAND has left behind to go on without it: claimed servers that live; where there is
    /// no known server, and COMMAND ended with status 0, whatever descends from it.
    pub(super) fn daemons(&self) -> Vec<i32> {
        let Some(book) = &self.book else { return Vec::new() };
        let Some(run) = book.watch.run(&book.ledger) else { return Vec::new() };
        let alive = |pid: i32| Some(pid) != self.reaped_command();
        let claimed: Vec<i32> = run
            .claims
            .iter()
            .filter(|claim| claim.ended.is_none() && processes::lives(claim.process))
            .map(|claim| claim.process.pid)
            .filter(|&pid| alive(pid))
            .collect();
        let known = run.claims.iter().any(|claim| claim.engine != EngineName::Generic);
        if !claimed.is_empty() || known || self.ended != Some(Ended::Exited(0)) {
            return claimed;
        }
        book.watch.family().adopted(run, book.scribe.helper())
    }

    /// COMMAND's pid once that is no longer its own.
    fn reaped_command(&self) -> Option<i32> {
        self.ended.map(|_| self.child.pid)
    }

    fn claims(&self, pid: i32) -> bool {
        let Some(book) = &self.book else { return false };
        let process = processes::by_pid(pid);
        book.watch.run(&book.ledger).is_some_and(|run| {
            let open = run.claims.iter().filter(|claim| claim.ended.is_none());
            open.map(|claim| claim.process).any(|claimed| Some(claimed) == process)
        })
    }

    /// Looks at the tables while the pid of an ended claimed process is still its own, and notes
    /// that it is given up. Where the look fails that is not noted: a later one may find more.
    pub(super) fn last_look(&mut self, pid: i32) {
        // It may have been stopped since this round's signals were read.
        self.hear();
        let Some(book) = &mut self.book else { return };
        if self.ward.is_none() && self.awake.is_late() {
            log::info!(
                "server process {pid} died while this launcher was stopped, or could not run: of \
                 what is there now, what others may have made or changed since is kept"
            );
            if let Err(error) = book.watch.late_look(&mut book.ledger) {
                log::error!("the last look at the server's objects failed: {error}");
            }
            return;
        }
        let crashed = match process::peek(pid) {
            Ok(Some(Ended::Exited(status))) => status != 0,
            // Killed, it may have been in the midst of its own removals.
            Ok(Some(Ended::Signaled(signal, _))) => CRASHES.contains(&signal),
            Ok(None) | Err(_) => false,
        };
        if crashed {
            book.watch.look_for_robbery_at_crash(&mut book.ledger);
        }
        if let Err(error) = book.watch.last_look(&mut book.ledger) {
            log::error!("the last look at the server's objects failed: {error}");
            return;
        }
        let process = book.watch.run(&book.ledger).and_then(|run| {
            let own = |claim: &&shmwarden::ledger::record::Claim| claim.process.pid == pid;
            run.claims.iter().filter(|claim| claim.ended.is_none()).find(own).map(|c| c.process)
        });
        let (Some(process), Ok(Some(how))) = (process, process::peek(pid)) else {
            return;
        };
        let end = match (how, self.exec_error) {
            (_, Some(errno)) if pid == self.child.pid => End::NotStarted(errno),
            (Ended::Exited(status), _) => End::Exit(status),
            (Ended::Signaled(signal, _), _) => End::Signal(signal),
        };
        let run = book.run;
        if let Err(error) = book.ledger.note(Record::Reaped { run, process, end }) {
            log::error!("{error}");
        }
    }

    /// Notes the end of the run, and how sets and queues are then.
    pub(super) fn note_end(&mut self) {
        self.wait.until = Instant::now().checked_add(self.linger);
        self.begin_notices();
        self.note_who_is_left();
        let how = self.daemon_ended.or(self.ended);
        let late = self.ward.as_ref().map_or(self.awake.is_late(), Ward::is_late);
        let Some(book) = &mut self.book else { return };
        let end = match (self.exec_error, how) {
            (Some(errno), _) => End::NotStarted(errno),
            // What it left may be meant to stay: that is kept, whoever has used it since.
            (None, Some(Ended::Exited(0))) => End::Exit(0),
            // Nobody saw how sets and queues were when it died: their users must be known.
            (None, _) if late => End::Unknown,
            (None, Some(Ended::Exited(status))) => End::Exit(status),
            (None, Some(Ended::Signaled(signal, _))) => End::Signal(signal),
            (None, None) => End::Unknown,
        };
        // A server that is no child was looked at when it died, which may be a while ago; a daemon
        // of which nothing is claimed was not. Late, what is there may be a next server's work.
        if self.ward.is_none() && !late {
            if let Err(error) = book.watch.at_end(&mut book.ledger) {
                log::error!("{error}");
            }
        }
        let run = book.run;
        if let Err(error) = book.ledger.note(Record::End { run, end }) {
            log::error!("{error}");
        }
    }
}
