//! Whether the server is robbed while it lives: looked at once a second at least, however dear a
//! look at the tables is. A few system calls a time; what is suspected is proven twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::MOST_ROBBED;
use shmwarden::ledger::record::{Loss, Record};
use shmwarden::object::{Identity, Segment, ShmFile};
use shmwarden::sys::shm::Row;

use super::Watch;
use super::generic_files;
use crate::ledgers::robbery::{self, Finding, Keeper, Suspect};

/// Longest time between two looks; a little more than between two of the tables, which include it.
const STEADY: Duration = Duration::from_millis(1250);
/// Between two looks while something is suspected.
const SOON: Duration = Duration::from_millis(100);
/// After this a suspect that is neither proven nor cleared is looked at in the steady pace.
const FOR_LONG: Duration = Duration::from_secs(3);
/// After this a server that is not asleep is looked at all the same.
const WAITED: Duration = Duration::from_millis(600);
/// The kernel's time stamps of files are this coarse at most: what changes in one is not seen.
const COARSE: Duration = Duration::from_millis(100);
/// Losses that are told of a run; whoever takes more is known by then.
const MOST_TOLD: usize = 4 * MOST_ROBBED;

/// Suspected robberies, and what was said of them.
#[derive(Debug)]
pub(super) struct Robbery {
    pending: Vec<Pending>,
    /// By name and by what was done.
    told: BTreeSet<(String, &'static str)>,
    /// Change time of `/dev/shm` when the server's list was read last, once that is past.
    directory: Option<(i64, i64)>,
    /// The list that this is of.
    list: Option<Identity>,
    /// Files that the list names.
    files: BTreeMap<u32, ShmFile>,
    /// Segments that the list names.
    segments: Vec<Segment>,
    learnt_from: Option<Identity>,
    next: Instant,
}

#[derive(Debug)]
struct Pending {
    suspect: Suspect,
    /// The server as it was then: it may begin anew.
    keeper: Keeper,
    since: Instant,
    proven: Option<Instant>,
}

impl Robbery {
    pub(super) fn start() -> Self {
        Self {
            pending: Vec::new(),
            told: BTreeSet::new(),
            directory: None,
            list: None,
            files: BTreeMap::new(),
            segments: Vec::new(),
            learnt_from: None,
            next: Instant::now() + STEADY,
        }
    }

    fn suspect(&mut self, keeper: &Keeper, suspects: Vec<Suspect>, now: Instant) {
        for suspect in suspects.into_iter().filter(|_| self.told.len() < MOST_TOLD) {
            let known = self.pending.iter().any(|one| one.suspect.name == suspect.name)
                || self.told.contains(&suspect.key());
            if !known && self.pending.len() < MOST_ROBBED {
                let keeper = keeper.clone();
                self.pending.push(Pending { suspect, keeper, since: now, proven: None });
            }
        }
    }

    /// Takes out what was proven twice; keeps what may yet be.
    fn proven(&mut self, now: Instant) -> Vec<Pending> {
        let mut robbed = Vec::new();
        for mut one in std::mem::take(&mut self.pending) {
            let waited = now.saturating_duration_since(one.since) >= WAITED;
            match one.keeper.prove(&one.suspect, waited) {
                Finding::Own => {}
                Finding::Unclear => {
                    one.proven = None;
                    self.pending.push(one);
                }
                Finding::Robbed => {
                    let first = *one.proven.get_or_insert(now);
                    let twice = now.saturating_duration_since(first) >= robbery::PAUSE;
                    if twice { robbed.push(one) } else { self.pending.push(one) }
                }
            }
        }
        robbed
    }

    /// Checks whether files may have come or gone since the list was read last.
    fn has_changed(&mut self, keeper: &Keeper) -> bool {
        let now = generic_files::changed();
        if self.list.as_ref() != keeper.list() {
            self.list = keeper.list().cloned();
        } else if now.is_some() && now == self.directory {
            return false;
        }
        let age = now.and_then(|(seconds, nanos)| {
            let at = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH.checked_add(at)?).ok()
        });
        self.directory = now.filter(|_| age.is_some_and(|age| age > COARSE));
        true
    }
}

fn names(robbed: &[Suspect]) -> impl Iterator<Item = (&str, Loss)> + Clone {
    robbed.iter().map(|one| (one.name.as_str(), one.loss))
}

impl Watch {
    /// Returns the time of the next look for a robbery.
    pub(crate) fn robbery_due(&self) -> Instant {
        self.robbery.next
    }

    /// Looks whether something is gone that the server still holds. Says so once, as an error, and
    /// notes it.
    pub(crate) fn look_for_robbery(&mut self, ledger: &mut Ledger) {
        let now = Instant::now();
        self.robbery.next = now + STEADY;
        let Some(run) = ledger.book.runs.get(&self.run) else { return };
        let Some(keeper) = Keeper::of(&ledger.book, run) else {
            self.robbery.pending.clear();
            return;
        };
        let mut suspects = keeper.missing(&ledger.book);
        suspects.extend(keeper.missing_segments(&self.robbery.segments));
        if self.robbery.has_changed(&keeper) {
            suspects.extend(keeper.missing_of_list(&mut self.robbery.files));
        }
        self.robbery.suspect(&keeper, suspects, now);
        let robbed = self.robbery.proven(now);
        let lately = |one: &Pending| now.saturating_duration_since(one.since) < FOR_LONG;
        if self.robbery.pending.iter().any(lately) {
            self.robbery.next = now + SOON;
        }
        let server = keeper.server.pid;
        let robbed: Vec<Suspect> = robbed.into_iter().map(|one| one.suspect).collect();
        if !robbed.is_empty() {
            let said = robbery::sentence(keeper.engine, server, names(&robbed));
            log::error!("{said}; {}", robbery::ADVICE);
        }
        self.note_robbed(ledger, robbed);
    }

    /// Says what a server has lost that has just crashed, and perhaps of that.
    pub(crate) fn look_for_robbery_at_crash(&mut self, ledger: &mut Ledger) {
        let run = ledger.book.runs.get(&self.run);
        let Some(keeper) = run.and_then(|run| Keeper::of(&ledger.book, run)) else { return };
        let before = std::mem::take(&mut self.robbery.pending).into_iter();
        let same_life = before.filter(|one| one.keeper.has_main_of(&keeper));
        let before = same_life.map(|one| one.suspect).collect();
        let mut gone = keeper.sets_gone_at_crash(&ledger.book, before);
        gone.retain(|one| !self.robbery.told.contains(&one.key()));
        if !gone.is_empty() {
            let said = robbery::sentence(keeper.engine, keeper.server.pid, names(&gone));
            log::error!("{said}; it has crashed, perhaps for that; {}", robbery::SEARCH);
        }
        self.note_robbed(ledger, gone);
    }

    fn note_robbed(&mut self, ledger: &mut Ledger, robbed: Vec<Suspect>) {
        for one in robbed {
            self.robbery.told.insert(one.key());
            let (run, loss) = (self.run, one.loss);
            let noted = one.identity.map(|identity| Record::Robbed { run, loss, identity });
            if let Some(Err(error)) = noted.map(|record| ledger.note(record)) {
                log::error!("{error}");
            }
        }
    }

    /// Learns which segments the server's list names now: where that lies in System V memory too,
    /// and segments have appeared.
    pub(super) fn learn_listed(&mut self, ledger: &Ledger, rows: &[Row], appeared: bool) {
        let Some(run) = ledger.book.runs.get(&self.run) else { return };
        let keeper = Keeper::of(&ledger.book, run);
        let list = keeper.as_ref().and_then(Keeper::list);
        let Some(Identity::Shm(_)) = list else { return };
        let is_new = self.robbery.learnt_from.as_ref() != list;
        if appeared || is_new {
            self.robbery.learnt_from = list.cloned();
            self.robbery.segments = keeper.map_or_else(Vec::new, |one| one.listed_segments(rows));
        }
    }
}
