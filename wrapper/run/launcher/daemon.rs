//! What a COMMAND that became a daemon has left: known to the ledger by pid, so that it counts as
//! alive without its launcher too; and named where its main process has died before the rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shmwarden::judge::{self, Holder};
use shmwarden::ledger::book::MOST_DESCENDANTS;
use shmwarden::ledger::record::{EngineName, Record};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{self, Scope, processes};
use shmwarden::sys::process::Ended;

use super::super::orphans;
use super::{Event, Launcher, State};
use crate::cli::Orphans;

/// Workers that notice the death of their parent end by themselves this soon: not worth a word.
const GRACE: Duration = Duration::from_millis(1500);

/// Pause until those are looked for whom `--orphans` means and who held nothing before.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks that see nobody before a daemon counts as gone without a child that ended.
const UNSEEN: u32 = 3;

/// What is known of a daemon.
#[derive(Debug, Default)]
pub(super) struct Daemon {
    /// The processes that COMMAND left to go on without it, and not what those left.
    mains: BTreeSet<i32>,
    /// How the last of them ended, where that was no end with status 0.
    died: Option<(i32, Ended)>,
    /// When what is left then is to be named, or looked for again.
    name_at: Option<Instant>,
    /// Whether it was said that it died, and who was named since.
    told: bool,
    named: BTreeSet<ProcessRef>,
    /// Looks in a row that saw nobody who goes on without COMMAND.
    unseen: u32,
}

impl Launcher {
    /// Writes down what goes on without COMMAND.
    pub(super) fn note_daemons(&mut self) {
        if self.state != State::Daemonised {
            return;
        }
        let all = self.daemons();
        // One read that failed may have made a daemon of nobody, whose end no child would tell.
        self.daemon.unseen = if all.is_empty() { self.daemon.unseen + 1 } else { 0 };
        if self.daemon.unseen >= UNSEEN && self.ward.is_none() {
            self.take(Event::DaemonGone);
            return;
        }
        // Asked after the list was made: what a main process leaves that has just died, and is not
        // reaped yet, is in the list too, and is none.
        let alive = |&pid: &i32| processes::by_pid(pid).is_some_and(processes::lives);
        if self.daemon.died.is_none() && self.daemon.mains.iter().all(alive) {
            self.daemon.mains.extend(&all);
        }
        self.note_descendants(all.into_iter().filter_map(processes::by_pid));
    }

    /// Writes down who of a generic server's is alive at its end: a sweep without this launcher
    /// could not tell them by their parents any more. Before the end is noted.
    pub(super) fn note_who_is_left(&mut self) {
        let Some(book) = &self.book else { return };
        let Some(run) = book.watch.run(&book.ledger) else { return };
        if run.claims.iter().any(|claim| claim.engine != EngineName::Generic) {
            return;
        }
        let all = book.watch.family().members(run, book.scribe.helper()).into_iter();
        let alive: Vec<ProcessRef> = all.filter(|&process| processes::lives(process)).collect();
        self.note_descendants(alive.into_iter().take(MOST_DESCENDANTS));
    }

    /// Has the ledger name descendants of the server that it does not name yet.
    fn note_descendants(&mut self, all: impl Iterator<Item = ProcessRef>) {
        let Some(book) = &mut self.book else { return };
        let run = book.run;
        for process in all {
            let known = book.watch.run(&book.ledger);
            let known = known.is_none_or(|run| {
                let claimed = run.claims.iter().any(|claim| claim.process == process);
                claimed || run.descendants.contains(&process)
            });
            if !known {
                if let Err(error) = book.ledger.note(Record::Descendant { run, process }) {
                    log::error!("{error}");
                }
            }
        }
    }

    /// Takes in the end of a child while COMMAND is a daemon. One that ended with status 0 has been
    /// replaced by what it left, as COMMAND was.
    pub(super) fn daemon_child_ended(&mut self, pid: i32, how: Ended) {
        let was_main = self.daemon.mains.remove(&pid);
        if was_main && how != Ended::Exited(0) && self.daemon.mains.is_empty() {
            self.daemon.died = Some((pid, how));
            self.daemon.name_at = Some(Instant::now() + GRACE);
        }
    }

    /// When something is to be said of a daemon.
    pub(super) fn daemon_due(&self) -> Option<Instant> {
        self.daemon.name_at.filter(|_| self.state == State::Daemonised)
    }

    /// Names what outlives the main process of a daemon, once, and deals with it as `--orphans`
    /// says. What is left may be the server, so it is watched over as before.
    pub(super) fn name_what_a_daemon_left(&mut self) {
        let due = self.daemon_due().is_some_and(|at| Instant::now() >= at);
        let Some((pid, how)) = self.daemon.died.filter(|_| due) else { return };
        // Who did not hold anything yet may come to.
        let again = self.orphans != Orphans::Leave;
        self.daemon.name_at = again.then(|| Instant::now() + AGAIN);
        let Some(book) = &self.book else { return };
        let Some(run) = book.watch.run(&book.ledger) else { return };
        let members = book.watch.family().members(run, book.scribe.helper());
        let mut holders = self.holders_among(&members);
        holders.retain(|holder| !self.daemon.named.contains(&holder.process));
        let how = match how {
            Ended::Exited(status) => format!("ended with status {status}"),
            Ended::Signaled(signal, _) => format!("died of signal {signal}"),
        };
        if !self.daemon.told {
            log::warn!(
                "process {pid}, which COMMAND had left as a daemon, {how}, and {} that descend \
                 from it live on: nothing is removed, and a new server may find its port taken, \
                 until they have ended",
                members.len()
            );
        }
        for holder in &holders {
            log::warn!("{holder} still holds what is the server's");
        }
        orphans::deal_with(self.orphans, &holders, &book.ledger.book, run, book.watch.family());
    }

    /// Those of these processes that hold a recorded object of the run.
    fn holders_among(&self, members: &[ProcessRef]) -> Vec<Holder> {
        let Some(book) = &self.book else { return Vec::new() };
        let scope = Scope { processes: true, maps: true, ..Scope::default() };
        let Ok(look) = snapshot::take(scope) else { return Vec::new() };
        let open = || book.ledger.book.open_objects().filter(|object| object.run == book.run);
        let makers: Vec<u32> = open().filter_map(|object| object.identity.call_creator()).collect();
        let look = look.with_calls(|uid| makers.contains(&uid));
        let identities: Vec<&Identity> = open().map(|object| &object.identity).collect();
        let all = identities.into_iter().flat_map(|i| judge::holders(i, &look, true));
        let mut all: Vec<Holder> = all.filter(|h| members.contains(&h.process)).collect();
        all.sort_by_key(|holder| holder.process);
        all.dedup_by_key(|holder| holder.process);
        all
    }
}
