//! The ledger while its server lives and when it dies: what is noted in it, and who fills it.

use std::time::Instant;

use nix::libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
use shmwarden::judge::{self, Holder};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::{MOST_DESCENDANTS, Run};
use shmwarden::ledger::record::{End, Record};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{self, Scope, processes};
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::shm::{self, Row};

use super::super::holders;
use super::super::scribe::Scribe;
use super::phase::Life;
use crate::recording::ancestry::Family;
use crate::recording::claim::{self, Server};
use crate::recording::{Watch, sets};

/// Signals that a server brings upon itself.
const CRASHES: [i32; 5] = [SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE];

/// The ledger of one run, and what fills it.
pub(super) struct Book {
    pub(super) ledger: Ledger,
    pub(super) run: u64,
    pub(super) watch: Watch,
    pub(super) scribe: Scribe,
    complained: bool,
    /// It was said that the name of the ledger is another file's.
    told_lost: bool,
}

impl Book {
    /// Begins with a process that has not executed the server yet, or says why it cannot be
    /// claimed. `rows` are the segments that were there before: without them there is no claim.
    pub(super) fn begin(
        (mut ledger, run): (Ledger, u64),
        pid: i32,
        server: &Server,
        rows: shmwarden::Result<Vec<Row>>,
        family: Family,
    ) -> (Self, Result<(), String>) {
        let claimed = rows
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|rows| claim::of(run, pid, server, rows))
            .and_then(|mut claim| {
                (claim.sets_before, claim.queues_before) = sets::before(&claim);
                ledger.note(Record::Claim(claim)).map_err(|error| error.to_string())
            });
        let watch = Watch::start(run, server.auto, &rows.unwrap_or_default(), family);
        let scribe = Scribe::new();
        (Self { ledger, run, watch, scribe, complained: false, told_lost: false }, claimed)
    }

    /// Returns what the ledger says of this run.
    pub(super) fn run(&self) -> Option<&Run> {
        self.ledger.book.runs.get(&self.run)
    }

    fn note(&mut self, record: Record) {
        if let Err(error) = self.ledger.note(record) {
            log::error!("{error}");
        }
    }

    /// Looks at the server's objects.
    pub(super) fn look(&mut self, dense: bool) {
        if !self.scribe.is_full(&self.ledger) {
            if let Err(error) = self.watch.look(&mut self.ledger, dense) {
                if !std::mem::replace(&mut self.complained, true) {
                    log::error!("cannot watch the server's objects: {error}");
                }
            }
        }
        self.tell_a_lost_name();
    }

    /// Says once that the ledger was moved, replaced or removed.
    fn tell_a_lost_name(&mut self) {
        if self.told_lost || self.ledger.has_its_name() {
            return;
        }
        self.told_lost = true;
        log::error!(
            "the ledger {} was moved, replaced or removed while its server runs: this launcher \
             goes on with the file that it has, and cleans up after the server; should the \
             launcher be killed, nobody finds that file. Restart the server to begin a ledger \
             anew, and leave the file alone",
            self.ledger.path().display()
        );
    }

    /// Looks for a robbery where that is due, and has a helper write what is not on disk.
    pub(super) fn keep(&mut self) {
        if Instant::now() >= self.watch.robbery_due() {
            self.watch.look_for_robbery(&mut self.ledger);
        }
        self.scribe.start(&self.ledger, false, None);
        self.scribe.compact_if_long(&self.ledger);
    }

    /// Returns when [`Book::keep`] has something to do.
    pub(super) fn keep_at(&self) -> Instant {
        let robbery = self.watch.robbery_due();
        self.scribe.retry_at(&self.ledger).map_or(robbery, |retry| retry.min(robbery))
    }

    /// Returns the claimed process of this pid, alive or unreaped, whose end is not noted.
    pub(super) fn claimed(&self, pid: i32) -> Option<ProcessRef> {
        let open = self.run()?.claims.iter().filter(|claim| claim.ended.is_none());
        let mut its = open.map(|claim| claim.process).filter(|process| process.pid == pid);
        its.find(|&process| processes::by_pid(pid) == Some(process))
    }

    /// Returns what COMMAND has left behind to go on without it: claimed servers that live; where
    /// there is no known server, and COMMAND ended with status 0, whatever descends from it.
    /// `reaped` is the pid of COMMAND once that is no longer its own.
    pub(super) fn daemons(&self, command: Option<Ended>, reaped: Option<i32>) -> Vec<i32> {
        let Some(run) = self.run() else { return Vec::new() };
        let open = run.claims.iter().filter(|claim| claim.ended.is_none());
        let alive = open.map(|claim| claim.process).filter(|&one| processes::lives(one));
        let claimed: Vec<i32> =
            alive.map(|process| process.pid).filter(|&pid| Some(pid) != reaped).collect();
        let known = run.claims.iter().any(|claim| claim.engine.is_known());
        if !claimed.is_empty() || known || command != Some(Ended::Exited(0)) {
            return claimed;
        }
        self.watch.family().adopted(run, self.scribe.helper())
    }

    /// Returns every living process that descends from the server.
    pub(super) fn members(&self) -> Vec<ProcessRef> {
        let family = self.watch.family();
        self.run().map_or_else(Vec::new, |run| family.members(run, self.scribe.helper()))
    }

    /// Has the ledger name descendants of the server that it does not name yet.
    pub(super) fn note_descendants(&mut self, all: impl Iterator<Item = ProcessRef>) {
        for process in all {
            let is_known = self.run().is_none_or(|run| {
                let claimed = run.claims.iter().any(|claim| claim.process == process);
                claimed || run.descendants.contains(&process)
            });
            if !is_known {
                self.note(Record::Descendant { run: self.run, process });
            }
        }
    }

    /// Names who of a generic server's is alive at its end: a sweep without this launcher could
    /// not tell them by their parents any more. Before the end is noted.
    fn note_who_is_left(&mut self) {
        let claims = self.run().map(|run| run.claims.as_slice()).unwrap_or_default();
        if claims.iter().any(|claim| claim.engine.is_known()) {
            return;
        }
        let alive = self.members().into_iter().filter(|&process| processes::lives(process));
        self.note_descendants(alive.take(MOST_DESCENDANTS));
    }

    /// Looks at the tables while the pid of an ended claimed process is still its own, and notes
    /// that it is given up. Where the look fails that is not noted: a later one may find more.
    pub(super) fn last_look(&mut self, pid: i32, exec_error: Option<i32>) {
        let crashed = match process::peek(pid) {
            Ok(Some(Ended::Exited(status))) => status != 0,
            // Killed, it may have been in the midst of its own removals.
            Ok(Some(Ended::Signaled(signal, _))) => CRASHES.contains(&signal),
            Ok(None) | Err(_) => false,
        };
        if crashed {
            self.watch.look_for_robbery_at_crash(&mut self.ledger);
        }
        if let Err(error) = self.watch.last_look(&mut self.ledger) {
            log::error!("the last look at the server's objects failed: {error}");
            return;
        }
        let (Some(process), Ok(Some(how))) = (self.claimed(pid), process::peek(pid)) else {
            return;
        };
        let end = exec_error.map_or_else(|| end_of(how), End::NotStarted);
        self.note(Record::Reaped { run: self.run, process, end });
    }

    /// Looks only at what bears the pid of a claimed process that may have died long ago.
    pub(super) fn late_look(&mut self, pid: i32) {
        log::info!(
            "server process {pid} died while this launcher was stopped, or could not run: of what \
             is there now, what others may have made or changed since is kept"
        );
        if let Err(error) = self.watch.late_look(&mut self.ledger) {
            log::error!("the last look at the server's objects failed: {error}");
        }
    }

    /// Notes the end of the run, and how sets and queues are then, unless `unseen`: a server that
    /// is no child was looked at when it died, which may be a while ago. `late` where nobody saw
    /// it die: what is there may be a next server's work.
    pub(super) fn note_end(&mut self, life: &Life, late: bool, unseen: bool) {
        self.note_who_is_left();
        let end = match (life.exec_error, life.end()) {
            (Some(errno), _) => End::NotStarted(errno),
            // What it left may be meant to stay: that is kept, whoever has used it since.
            (None, Some(Ended::Exited(0))) => End::Exit(0),
            // Nobody saw how sets and queues were when it died: their users must be known.
            (None, _) if late => End::Unknown,
            (None, Some(how)) => end_of(how),
            (None, None) => End::Unknown,
        };
        if !unseen && !late {
            if let Err(error) = self.watch.at_end(&mut self.ledger) {
                log::error!("{error}");
            }
        }
        self.note(Record::End { run: self.run, end });
    }

    /// Checks for a recorded segment that somebody has attached: one system call each.
    pub(super) fn is_attached(&self) -> bool {
        self.ledger.book.open_objects().any(|object| match &object.identity {
            Identity::Shm(segment) => {
                matches!(shm::stat(segment.id), Ok(Some(row)) if row.nattch > 0)
            }
            Identity::Posix(_) | Identity::Sem(_) | Identity::Msg(_) => false,
        })
    }

    /// Returns those of these processes that hold a recorded object of the run.
    pub(super) fn holders_among(&self, members: &[ProcessRef]) -> Vec<Holder> {
        let scope = Scope { processes: true, maps: true, ..Scope::default() };
        let Ok(look) = snapshot::take(scope) else { return Vec::new() };
        let open = || self.ledger.book.open_objects().filter(|object| object.run == self.run);
        let makers: Vec<u32> = open().filter_map(|object| object.identity.call_creator()).collect();
        let look = look.with_calls(|uid| makers.contains(&uid));
        let all = open().flat_map(|object| judge::holders(&object.identity, &look, true));
        holders::once_each(all.filter(|holder| members.contains(&holder.process)).collect())
    }
}

fn end_of(how: Ended) -> End {
    match how {
        Ended::Exited(status) => End::Exit(status),
        Ended::Signaled(signal, _) => End::Signal(signal),
    }
}
