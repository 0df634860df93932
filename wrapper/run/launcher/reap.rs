//! Children that have ended: the last look at what a claimed one made, before its pid is given up.

use shmwarden::engine::EngineName;
use shmwarden::ledger::record::{End, Record};
use shmwarden::observe::processes;
use shmwarden::sys::process::{self, Ended};

use super::{Event, Launcher, State};

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
        book.watch.run(&book.ledger).is_some_and(|run| {
            run.claims.iter().any(|claim| claim.process.pid == pid && claim.ended.is_none())
        })
    }

    /// Looks at the tables while the pid of an ended claimed process is still its own, and notes
    /// that it is given up. Where the look fails that is not noted: a later one may find more.
    pub(super) fn last_look(&mut self, pid: i32) {
        let Some(book) = &mut self.book else { return };
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
        if let Err(error) = book.ledger.note(Record::Reaped { run, process, end }, None) {
            log::error!("{error}");
        }
    }
}
