//! The content of a ledger, and the one place that knows which record may follow. Pure.
//!
//! `apply` judges a record before it changes anything; the writer and the replay both go through
//! it, so a ledger that was written can be read, and one that reads was legal when written.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::SystemTime;

use super::by_id::Numbers;
pub use super::entries::{MOST_DESCENDANTS, MOST_ROBBED, MOST_STRANGERS};
pub use super::entries::{Recorded, Robbed, Run, Standing};
use super::own_file::OwnFile;
use super::record::{Claim, End, Entry, How, Loss, ObjectSeen, Place, Record, Role, RunStart};
use super::record::{VERSION, VERSION_OF_ROBBED, VERSION_OF_SETS};
use super::record::{VERSION_OF_STRANGERS, VERSION_OF_UNBORN};
pub use super::replay::Tail;
use super::unended::{Claimed, Unended};
use crate::object::{Birth, Identity, ProcessRef, Segment, ShmFile};

/// Why a record may not follow what is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Illegal(pub &'static str);

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record that may not follow: {}", self.0)
    }
}

/// The content of a ledger as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Every place that was named, in order; the last is the one that new records are about.
    pub places: Vec<Place>,
    /// Of each place the file that its header was written to, where it names one.
    pub(super) files: Vec<Option<OwnFile>>,
    /// The file that this was read from: of no record.
    pub(super) this: Option<OwnFile>,
    /// Every run by number.
    pub runs: BTreeMap<u64, Run>,
    /// Every object by number.
    pub objects: BTreeMap<u64, Recorded>,
    /// Objects that a run uses and did not create.
    pub used: Vec<(u64, Identity)>,
    /// The users of a set or queue that are none of its server's, by the object, the newest last.
    pub strangers: BTreeMap<u64, VecDeque<ProcessRef>>,
    /// The objects that living servers were robbed of, the newest last.
    pub robbed: Vec<Robbed>,
    /// Sequence number of the last entry.
    pub seq: u64,
    /// The format that the last header names: what may follow is no newer than that.
    pub version: u64,
    /// The format that the first header names: what an older program goes by.
    pub first_version: u64,
    /// The highest numbers that were given to a run and to an object.
    pub(super) given: (u64, u64),
    /// Runs that have no end yet.
    pub(super) unended: Unended,
    /// The places of the claims.
    pub(super) claimed: Claimed,
    /// The objects by their id or name.
    pub(super) numbers: Numbers,
}

impl Book {
    /// Takes in an entry.
    ///
    /// # Errors
    /// [`Illegal`] where it may not follow; nothing has changed then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        if self.seq != 0 && entry.seq != self.seq + 1 {
            return Err(Illegal("the sequence number is not the next"));
        }
        match &entry.record {
            Record::Header(header) => {
                if header.version == 0 || header.version > VERSION {
                    return Err(Illegal("a version that is not known"));
                }
                if header.version < self.version {
                    return Err(Illegal("an older version after a newer one"));
                }
                self.version = header.version;
                if self.places.is_empty() {
                    self.first_version = header.version;
                }
                self.places.push(header.place.clone());
                self.files.push(header.file);
                self.end_runs_of_other_boots(entry.at);
            }
            Record::Run(start) => self.begin(start, entry.at)?,
            Record::Claim(claim) => self.claim(claim, entry.forks)?,
            Record::Alive { run, process } => {
                let claim = self.open_claim(*run, *process)?;
                claim.forks = entry.forks.or(claim.forks);
            }
            Record::Reaped { run, process, end } => {
                self.open_claim(*run, *process)?.ended = Some(*end);
            }
            Record::Object(seen) => self.object(seen, entry)?,
            Record::Adopted(adopted) => self.adopt(adopted, entry)?,
            Record::Used { run, identity } => {
                self.run(*run)?;
                self.can_name(identity)?;
                self.used.push((*run, identity.clone()));
            }
            Record::Descendant { run, process } => self.descendant(*run, *process)?,
            Record::Stranger { object, process } => self.stranger(*object, *process)?,
            Record::Gone { object } => {
                self.stand(*object, entry.at, Standing::Gone, |was| *was != Standing::Intended)?;
            }
            Record::Robbed { run, loss, identity } => {
                self.rob(*run, *loss, identity, entry.at)?;
            }
            Record::Intent { object, .. } => {
                self.all_ended_for(*object)?;
                self.stand(*object, entry.at, Standing::Intended, |_| true)?;
            }
            Record::Outcome { object, outcome, detail } => {
                let now = Standing::Tried(*outcome, detail.clone());
                self.stand(*object, entry.at, now, |was| *was == Standing::Intended)?;
            }
            Record::Detached { run, seconds } => self.detached(*run, *seconds)?,
            Record::End { run, end } => self.end(*run, *end, entry.at)?,
        }
        self.seq = entry.seq;
        Ok(())
    }

    /// The place that new records are about.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.places.last()
    }

    /// The newest run.
    #[must_use]
    pub fn last_run(&self) -> Option<&Run> {
        self.runs.values().next_back()
    }

    /// The number for the next run.
    #[must_use]
    pub fn next_run(&self) -> u64 {
        self.given.0.saturating_add(1)
    }

    /// The number for the next object.
    #[must_use]
    pub fn next_object(&self) -> u64 {
        self.given.1.saturating_add(1)
    }

    /// Drops what only `history` reads from memory: the file keeps it. New numbers go on where they
    /// were.
    pub(super) fn forget_history(&mut self) {
        self.objects.retain(|_, object| object.is_open());
        self.number_anew();
        self.strangers.retain(|number, _| self.objects.contains_key(number));
    }

    /// Objects that something may still have to be done about, of this boot.
    pub fn open_objects(&self) -> impl Iterator<Item = &Recorded> {
        let boot = self.place().map(|place| place.boot.as_str());
        self.objects.values().filter(move |object| {
            object.is_open()
                && self.places.get(object.place).map(|place| place.boot.as_str()) == boot
        })
    }

    /// Checks for an object that something may still have to be done about, of this boot.
    #[must_use]
    pub fn is_open(&self, object: &Recorded) -> bool {
        let (there, here) = (self.places.get(object.place), self.place());
        object.is_open() && there.map(|place| &place.boot) == here.map(|place| &place.boot)
    }

    fn begin(&mut self, start: &RunStart, at: SystemTime) -> Result<(), Illegal> {
        let Some(here) = self.place().cloned() else {
            return Err(Illegal("a run before a header"));
        };
        if self.is_of_adopted() {
            return Err(Illegal("a run in a ledger of adopted objects"));
        }
        if start.run < self.next_run() || start.run == u64::MAX {
            return Err(Illegal("a run whose number was given before"));
        }
        // As bytes that are no text it is four times as long in its line.
        if start.argv.iter().map(|arg| arg.0.len()).sum::<usize>() > super::line::LONGEST / 8 {
            return Err(Illegal("a command line that is too long"));
        }
        if self.unended.any_in(&here.pid_namespace) {
            return Err(Illegal("a run while an earlier one has not ended"));
        }
        let place = self.places.len() - 1;
        let (claims, descendants) = (Vec::new(), VecDeque::new());
        let (end, detached) = (None, None);
        let run = Run { start: start.clone(), at, place, claims, descendants, end, detached };
        self.runs.insert(start.run, run);
        self.unended.begin(start.run, &here);
        self.given.0 = start.run;
        Ok(())
    }

    fn claim(&mut self, claim: &Claim, forks: Option<u64>) -> Result<(), Illegal> {
        self.open_run(claim.run)?;
        if claim.process.pid <= 0 {
            return Err(Illegal("a claim of no process"));
        }
        let mut claim = Claim { forks, ended: None, ..claim.clone() };
        match self.claim_of(claim.run, claim.process) {
            Some(old) if old.ended.is_some() => Err(Illegal("a claim of a process that ended")),
            Some(old) => {
                claim.forks = forks.or(old.forks);
                *old = claim;
                Ok(())
            }
            None => {
                let claims = &mut self.open_run(claim.run)?.claims;
                let (at, key) = (claims.len(), (claim.run, claim.process));
                claims.push(claim);
                self.claimed.insert(key, at);
                Ok(())
            }
        }
    }

    fn descendant(&mut self, run: u64, process: ProcessRef) -> Result<(), Illegal> {
        if self.version < VERSION_OF_SETS {
            return Err(Illegal("a descendant in a ledger of version 1"));
        }
        let known = &mut self.open_run(run)?.descendants;
        known.retain(|other| *other != process);
        if known.len() >= MOST_DESCENDANTS {
            known.pop_front();
        }
        known.push_back(process);
        Ok(())
    }

    fn stranger(&mut self, object: u64, process: ProcessRef) -> Result<(), Illegal> {
        if self.version < VERSION_OF_STRANGERS {
            return Err(Illegal("a stranger in a ledger of an older version"));
        }
        let known = self.objects.get(&object).ok_or(Illegal("no such object"))?;
        if matches!(known.identity, Identity::Posix(_)) || !known.is_open() {
            return Err(Illegal("a stranger at a file, or at what is not there"));
        }
        let noted = self.strangers.entry(object).or_default();
        noted.retain(|other| *other != process);
        if noted.len() >= MOST_STRANGERS {
            noted.pop_front();
        }
        noted.push_back(process);
        Ok(())
    }

    fn rob(
        &mut self,
        run: u64,
        loss: Loss,
        identity: &Identity,
        at: SystemTime,
    ) -> Result<(), Illegal> {
        if self.version < VERSION_OF_ROBBED {
            return Err(Illegal("a robbery in a ledger of an older version"));
        }
        self.can_name(identity)?;
        self.open_run(run)?;
        if self.robbed.len() >= MOST_ROBBED {
            self.robbed.remove(0);
        }
        let objects = self.given.1;
        self.robbed.push(Robbed { run, loss, identity: identity.clone(), at, objects });
        Ok(())
    }

    /// Returns what servers were robbed of and have not made anew: a run that has not ended, in
    /// which no other main segment was recorded since.
    pub fn robbed_now(&self) -> impl Iterator<Item = &Robbed> {
        self.robbed.iter().filter(|lost| {
            let is_open = self.runs.get(&lost.run).is_some_and(|run| run.end.is_none());
            is_open && !self.began_anew_since(lost)
        })
    }

    /// One that was marked is recorded again without its key: that is no other.
    fn began_anew_since(&self, lost: &Robbed) -> bool {
        let mains = || self.with_role(lost.run, Role::Main);
        let (before, since): (Vec<&Recorded>, Vec<&Recorded>) =
            mains().partition(|object| object.number <= lost.objects);
        let known = |one: &Recorded| before.iter().any(|o| o.identity.has_number_of(&one.identity));
        since.into_iter().any(|one| !known(one))
    }

    fn object(&mut self, seen: &ObjectSeen, entry: &Entry) -> Result<(), Illegal> {
        let run = self.run(seen.run)?;
        let place = run.place;
        self.can_name(&seen.identity)?;
        let known = self.objects.get(&seen.object);
        match known {
            Some(old) if old.run != seen.run || !may_become(&old.identity, &seen.identity) => {
                return Err(Illegal("an object that turns into another"));
            }
            Some(old) if old.standing != Standing::Present => {
                return Err(Illegal("an object that comes back"));
            }
            _ if seen.how == How::Opened && self.version < VERSION_OF_STRANGERS => {
                return Err(Illegal("a file that was opened in a ledger of an older version"));
            }
            _ if seen.header.is_some() && !matches!(seen.identity, Identity::Shm(_)) => {
                return Err(Illegal("the header of what is no segment"));
            }
            _ if seen.how.is_adopted() => {
                return Err(Illegal("an adopted object of a run"));
            }
            None if seen.object < self.next_object() || seen.object == u64::MAX => {
                return Err(Illegal("an object whose number was given before"));
            }
            _ => {}
        }
        let since = self.objects.get(&seen.object).map_or(entry.at, |old| old.since);
        let recorded = Recorded {
            number: seen.object,
            run: seen.run,
            place,
            identity: seen.identity.clone(),
            how: seen.how,
            role: seen.role,
            creator: seen.creator,
            header: seen.header,
            since,
            standing: Standing::Present,
            changed: entry.at,
        };
        self.given.1 = self.given.1.max(seen.object);
        self.put(recorded);
        Ok(())
    }

    fn stand(
        &mut self,
        object: u64,
        at: SystemTime,
        now: Standing,
        may: impl Fn(&Standing) -> bool,
    ) -> Result<(), Illegal> {
        let object = self.objects.get_mut(&object).ok_or(Illegal("no such object"))?;
        if !object.is_open() || !may(&object.standing) {
            return Err(Illegal("the object does not stand so that this may follow"));
        }
        object.standing = now;
        object.changed = at;
        Ok(())
    }

    /// No removal while a run that may use the object has not ended.
    fn all_ended_for(&self, object: u64) -> Result<(), Illegal> {
        let object = self.objects.get(&object).ok_or(Illegal("no such object"))?;
        if self.any_unended_may_use(object) {
            return Err(Illegal("a removal while a run has not ended"));
        }
        Ok(())
    }

    /// Checks that a run's server could come by an object: its own ones, and those of the same boot
    /// that it can reach from its namespaces.
    #[must_use]
    pub fn may_use(&self, run: &Run, object: &Recorded) -> bool {
        let places = (self.places.get(run.place), self.places.get(object.place));
        let (Some(its), Some(there)) = places else { return true };
        let reaches = match &object.identity {
            Identity::Posix(file) => its.shm_mount.as_ref() == Some(&file.mount),
            _ => its.ipc_namespace == there.ipc_namespace,
        };
        object.run == run.start.run || (its.boot == there.boot && reaches)
    }

    /// Every run without an end is of the boot before this header's: they all were of one.
    fn end_runs_of_other_boots(&mut self, at: SystemTime) {
        let mut last = self.places.iter().rev().map(|place| &place.boot);
        if last.next() == last.next() {
            return;
        }
        for run in self.unended.end_all() {
            if let Some(run) = self.runs.get_mut(&run) {
                run.end = Some((End::Unknown, at));
            }
        }
    }

    fn end(&mut self, number: u64, end: End, at: SystemTime) -> Result<(), Illegal> {
        let run = self.open_run(number)?;
        run.end = Some((end, at));
        let place = run.place;
        if let Some(place) = self.places.get(place) {
            self.unended.end(number, place);
        }
        Ok(())
    }

    fn detached(&mut self, number: u64, seconds: i64) -> Result<(), Illegal> {
        if self.version < VERSION_OF_UNBORN {
            return Err(Illegal("a last detach in a ledger of an older version"));
        }
        let run = self.runs.get_mut(&number).ok_or(Illegal("no such run"))?;
        if run.end.is_none() {
            return Err(Illegal("a last detach of a run that has not ended"));
        }
        // A later one may be that of whoever has read the segment since.
        if run.detached.is_some() {
            return Err(Illegal("a second last detach"));
        }
        run.detached = Some(seconds);
        Ok(())
    }

    /// Checks whether this ledger's version can name an object.
    #[must_use]
    pub(crate) fn may_name(&self, identity: &Identity) -> bool {
        self.can_name(identity).is_ok()
    }

    /// A program of an older version would take such a line for damage.
    pub(super) fn can_name(&self, identity: &Identity) -> Result<(), Illegal> {
        match identity {
            Identity::Sem(_) | Identity::Msg(_) if self.version < VERSION_OF_SETS => {
                Err(Illegal("a set or queue in a ledger of version 1"))
            }
            Identity::Posix(ShmFile { birth: Birth::NotKept { .. }, .. })
                if self.version < VERSION_OF_UNBORN =>
            {
                Err(Illegal("a file without birth time in a ledger of an older version"))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, number: u64) -> Result<&Run, Illegal> {
        self.runs.get(&number).ok_or(Illegal("no such run"))
    }

    fn open_run(&mut self, number: u64) -> Result<&mut Run, Illegal> {
        let run = self.runs.get_mut(&number).ok_or(Illegal("no such run"))?;
        if run.end.is_some() { Err(Illegal("the run has ended")) } else { Ok(run) }
    }

    fn open_claim(&mut self, run: u64, process: ProcessRef) -> Result<&mut Claim, Illegal> {
        self.open_run(run)?;
        let claim = self.claim_of(run, process);
        claim.filter(|claim| claim.ended.is_none()).ok_or(Illegal("no such claimed process"))
    }
}

/// Checks that an object may be recorded again so: all but its change time, or its size as a file,
/// is its identity.
fn may_become(old: &Identity, new: &Identity) -> bool {
    match (old, new) {
        (Identity::Shm(old), Identity::Shm(new)) => {
            *new == Segment { ctime: new.ctime, ..old.clone() }
        }
        (old, new) => old.is(new),
    }
}
