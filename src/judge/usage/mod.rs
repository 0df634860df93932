//! The users of an object: the one answer, for a recorded object and for one that no ledger has,
//! for `sweep`, `run`, `adopt`, `list` and `who` alike. Pure.
//!
//! A use that was not read, or cannot be seen from here, is not certain, and keeps the object as a
//! certain one does. A segment counts its attachments. Nothing counts the mappings of a file, or
//! the users of a set or queue: there everybody has to be looked into.

mod kind;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

pub use kind::{By, Context, Kind, Use};

use super::access::{Access, Who};
use super::life;
use crate::attribute::sets::LastUsers;
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::ledger::record::How;
use crate::object::{FileRef, Identity, Queue, SemaphoreSet};
use crate::snapshot::subject::Subject;
use crate::snapshot::tables::Set;
use crate::snapshot::waits::WaitsFor;
use crate::snapshot::{Clock, LastUser, Mapped, Process, Seen, Sight, Snapshot};
use crate::sys::msg;
use crate::sys::shm::{MODE_DEST, Row};

/// The time after its server's end within which a child of it may detach, in seconds.
const LAST_DETACH_S: i64 = 2;

/// Everybody who may use something, sorted for quick questions about one look.
#[derive(Debug)]
pub struct Users<'a> {
    look: &'a Snapshot,
    living: BTreeMap<i32, &'a Process>,
    maps: BTreeMap<Mapped, Vec<(&'a Process, u64)>>,
    waits: BTreeMap<WaitsFor, Vec<(i32, u64)>>,
    opened: BTreeMap<FileRef, BTreeSet<i32>>,
}

impl<'a> Users<'a> {
    /// Sorts a look.
    #[must_use]
    pub fn of(look: &'a Snapshot) -> Self {
        let mut users = Self {
            look,
            living: BTreeMap::new(),
            maps: BTreeMap::new(),
            waits: BTreeMap::new(),
            opened: BTreeMap::new(),
        };
        for process in look.processes.seen() {
            users.take_in(process);
        }
        for found in look.waits.iter().flat_map(|waits| &waits.blocked) {
            users.waits.entry(found.what).or_default().push((found.pid, found.times));
        }
        for (file, pid) in look.opened.by.iter().filter(|(_, pid)| *pid != look.pid) {
            users.opened.entry(*file).or_default().insert(*pid);
        }
        users
    }

    fn take_in(&mut self, process: &'a Process) {
        if !process.ended {
            self.living.insert(process.process.pid, process);
        }
        match &process.maps {
            Some(Seen::Here(list)) => {
                for (mapped, times) in list {
                    // Another namespace shows the same line for another segment.
                    let foreign = process.same_ipc == Some(false);
                    if matches!(mapped, Mapped::File(_)) || !foreign {
                        self.maps.entry(*mapped).or_default().push((process, *times));
                    }
                }
            }
            Some(Seen::Gone | Seen::Denied) | None => {}
        }
    }

    /// Returns every use of an object that can be seen, and every doubt, certain ones first.
    #[must_use]
    pub fn uses(&self, subject: Subject<'_>, context: Context<'_>) -> Vec<Use<'a>> {
        let mut found = match subject {
            Subject::Shm(row) => self.of_segment(row, context),
            Subject::Sem(set) => self.of_set(set, context),
            Subject::Msg(row) => self.of_queue(row, context),
            Subject::Posix(file) => {
                let place = FileRef { dev: file.facts.dev, ino: file.facts.ino };
                self.of_file(place, Access::of(subject), context)
            }
        };
        found.sort_by_key(|one| !one.kind.is_certain());
        found
    }

    /// Returns the look that was sorted.
    #[must_use]
    pub fn look(&self) -> &'a Snapshot {
        self.look
    }

    /// Returns the living process that a pid means, or the pid where the kernel says it is there.
    fn who(&self, pid: i32) -> Option<By<'a>> {
        let known = self.living.get(&pid).map(|process| By::Process(process));
        known.or_else(|| self.look.hidden.contains(&pid).then_some(By::Pid(pid)))
    }

    fn maps_of(&self, object: Mapped, kind: Kind) -> impl Iterator<Item = Use<'a>> {
        let found = self.maps.get(&object).into_iter().flatten();
        found.map(move |(process, times)| Use::by(kind, By::Process(process), *times))
    }

    fn of_segment(&self, row: &Row, context: Context<'_>) -> Vec<Use<'a>> {
        let mut found = Vec::new();
        if row.perm.mode & MODE_DEST != 0 {
            found.push(Use::somebody(Kind::Dest, row.nattch));
        }
        if row.nattch > 0 {
            found.push(Use::somebody(Kind::Attached, row.nattch));
        }
        found.extend(self.maps_of(Mapped::Segment(row.id), Kind::Attached));
        if !found.is_empty() {
            return found;
        }
        match context {
            Context::Unowned { by_nattch } => {
                let creator = Some(row.creator_pid).filter(|pid| *pid != 0);
                let creator = creator.and_then(|pid| self.who(pid));
                found.extend(creator.map(|by| Use::by(Kind::Creator, by, 0)));
                let of_then = row.creator_pid == 0 && by_nattch;
                found.extend(self.last_of_segment(row, None, of_then));
            }
            // An engine's processes have it attached for life.
            Context::Recorded(book, object) if life::is_engines_own(book, object, self.look) => {}
            Context::Recorded(book, object) => {
                let of_then = !is_of_these_pids(book, object, self.look);
                let last = self.last_of_segment(row, context.clock(), of_then);
                found.extend(last);
                found.extend(self.segment_used_since(book, object, row));
                found.extend(self.strangers(book, object));
            }
        }
        found
    }

    /// Finds the last user of an unattached segment, who may attach it again. Of `of_then`, another
    /// time or place, everybody's pid reads 0.
    fn last_of_segment(&self, row: &Row, clock: Option<Clock>, of_then: bool) -> Option<Use<'a>> {
        // The onlooker has read its first bytes.
        if row.last_pid == self.look.pid {
            return None;
        }
        match self.look.last_user(row.last_pid, row.last_use(), clock) {
            LastUser::Lives(process) => Some(Use::by(Kind::UsedLast, By::Process(process), 0)),
            LastUser::Unseen if row.last_pid == 0 && of_then => None,
            LastUser::Unseen => Some(Use::doubt(Kind::LastUserUnseen)),
            LastUser::Gone => None,
        }
    }

    /// Checks for a last use by somebody whom the ledger does not know, whenever that was: another
    /// server, which found it by its key, may leave its use to processes that come and go. Once
    /// nobody lives whom its mode lets in, there is no such server.
    fn segment_used_since(&self, book: &Book, object: &Recorded, row: &Row) -> Option<Use<'a>> {
        let run = book.runs.get(&object.run)?;
        if row.last_pid == self.look.pid || row.perm.key == 0 || row.last_use() == 0 {
            return None;
        }
        let strangers = book.strangers.get(&object.number);
        // Whether the one stranger lives is asked elsewhere; where several came and went, another
        // may.
        let noted = || {
            let mut pids = strangers.into_iter().flatten().map(|one| one.pid);
            pids.next() == Some(row.last_pid) && pids.next().is_none()
        };
        let known = match is_of_these_pids(book, object, self.look) {
            true => {
                row.last_pid == row.creator_pid
                    || row.last_pid == run.start.launcher.pid
                    || noted()
                    || is_recorded_process(book, object.place, row.last_pid)
            }
            // Everybody of then reads so.
            false => row.last_pid == 0 && !self.is_later(run, row),
        };
        let goes_on =
            || self.look.sight != Sight::Everybody || self.may_be_used_by_others(Subject::Shm(row));
        (!known && goes_on()).then_some(Use::doubt(Kind::UsedSince))
    }

    /// Checks for a use after the end of a server that was seen to end.
    fn is_later(&self, run: &Run, row: &Row) -> bool {
        let Some((_, ended)) = run.end.filter(|_| run.was_seen_to_end()) else { return false };
        let ended = seconds(ended);
        let set = run.clock().is_some_and(|clock| self.look.clock_was_set(clock));
        set || row.last_use() > ended.saturating_add(LAST_DETACH_S)
            || seconds(self.look.now) < ended
    }

    /// Checks for a process besides the onlooker whom the object's rights let in.
    fn may_be_used_by_others(&self, subject: Subject<'_>) -> bool {
        let access = Access::of(subject);
        let callers = self.look.callers.seen();
        let elsewhere: BTreeSet<i32> =
            callers.filter(|one| one.same_ipc == Some(false)).map(|one| one.pid).collect();
        self.living.values().any(|process| {
            let pid = process.process.pid;
            pid != self.look.pid
                && !elsewhere.contains(&pid)
                && access.lets_in_besides_root(Who::process(process))
        })
    }

    fn of_file(&self, file: FileRef, access: Access, context: Context<'_>) -> Vec<Use<'a>> {
        let mut found = Vec::new();
        if let Some((book, object)) = context.recorded() {
            // Every process that uses a server's dynamic shared memory has its main segment
            // attached: the kernel's count says more than a look into processes.
            if life::is_engines_own(book, object, self.look)
                && life::is_released(book, object.run, self.look)
            {
                return self.maps_of(Mapped::File(file), Kind::Mapped).collect();
            }
            // Who is left in another PID namespace cannot be seen from here, unless that has died
            // with its first process.
            let alone = context.run().is_some_and(|run| book.died_with_its_launcher(run));
            if !is_of_these_pids(book, object, self.look) && !alone {
                found.push(Use::doubt(Kind::OtherPids));
            }
        }
        found.extend(self.maps_of(Mapped::File(file), Kind::Mapped));
        for pid in self.opened.get(&file).into_iter().flatten() {
            found.extend(self.who(*pid).map(|by| Use::by(Kind::Open, by, 0)));
        }
        let opened = &self.look.opened;
        if opened.locked.contains(&file) {
            found.push(Use::doubt(Kind::Locked));
        }
        let was_asked = opened.asked.contains(&file);
        let closed = self.living.values().filter(|process| {
            let unasked = !was_asked || opened.closed.contains(&process.process.pid);
            unasked || matches!(process.maps, None | Some(Seen::Denied))
        });
        let closed = closed.filter(|process| access.lets_in(Who::process(process)));
        found.extend(closed.map(|process| Use::by(Kind::MayMap, By::Process(process), 0)));
        // Nor was it asked then whether it is locked.
        found.extend((!was_asked).then_some(Use::doubt(Kind::MayMap)));
        found.extend(self.unseen());
        // Nobody mapped it as long as its server was watched: it may be shared by its name.
        if context.recorded().is_some_and(|(_, object)| object.how == How::Opened) {
            let others = self.living.values().filter(|one| one.process.pid != self.look.pid);
            let mut others = others.filter(|one| access.lets_in_besides_root(Who::process(one)));
            found.extend(others.next().map(|one| Use::by(Kind::MayUse, By::Process(one), 0)));
        }
        found
    }

    /// Returns a doubt where not everybody can be seen.
    fn unseen(&self) -> Option<Use<'a>> {
        (!self.look.sight.is_everybody()).then_some(Use::doubt(Kind::Unseen))
    }

    fn of_set(&self, set: &Set, context: Context<'_>) -> Vec<Use<'a>> {
        let Some(members) = &set.members else {
            return vec![Use::doubt(Kind::Unreadable)];
        };
        let mut found = Vec::new();
        if members.waiters > 0 {
            found.push(Use::somebody(Kind::Waits, members.waiters));
        }
        found.extend(self.waiting(WaitsFor::Set(set.row.id)));
        let marked = |(book, object)| life::bears_its_mark(book, object, set, self.look);
        let marked = context.recorded().is_some_and(marked);
        // Where the main segment tells that nobody of the server uses it, a member without a
        // visible operator is one that was never used, or by a process that has ended.
        let released = context.recorded().is_some_and(|(book, object)| {
            (marked || life::is_engines_own(book, object, self.look))
                && life::is_released(book, object.run, self.look)
        });
        let sight = if released { Sight::Everybody } else { self.look.sight };
        let Some(last) = LastUsers::of_set(set, sight) else { return found };
        // SETVAL leaves a pid, too, and moves the change time alone.
        let used_s = set.row.otime.max(set.row.ctime);
        let users = last.pids.iter().map(|pid| (*pid, Kind::OperatedLast));
        found.extend(self.last_of_call(users, used_s, context.clock()));
        let Some((book, object)) = context.recorded() else {
            found.extend(last.perhaps_unseen.then_some(Use::doubt(Kind::LastUserUnseen)));
            return found;
        };
        if marked && life::main_proves(book, object, self.look) {
            // Nobody of its server lives, wherever: a member that reads 0 was never used, or by a
            // session that is dead. Only a stranger that was noted may go on.
            found.extend(self.strangers(book, object));
            found.extend(changed_since_end(book, object, set.row.ctime));
            return found;
        }
        found.extend(last.perhaps_unseen.then_some(Use::doubt(Kind::LastUserUnseen)));
        found.extend(self.strangers(book, object));
        found.extend(self.moved(book, object, set.row.ctime, &last));
        let subject = Subject::Sem(set);
        found.extend(self.call_used_since(book, object, subject, set.row.otime, &last));
        if !marked {
            found.extend(self.others(subject));
        }
        found
    }

    fn of_queue(&self, row: &msg::Row, context: Context<'_>) -> Vec<Use<'a>> {
        let mut found: Vec<Use<'a>> = self.waiting(WaitsFor::Queue(row.id)).collect();
        let last = LastUsers::of_queue(row);
        let used_s = row.stime.max(row.rtime);
        let users = [(row.last_sender, Kind::SentLast), (row.last_receiver, Kind::ReceivedLast)];
        let users = users.into_iter().filter(|(pid, _)| *pid != 0);
        found.extend(self.last_of_call(users, used_s, context.clock()));
        found.extend(last.perhaps_unseen.then_some(Use::doubt(Kind::LastUserUnseen)));
        if self.look.waits.is_none() {
            found.push(Use::doubt(Kind::LastUserUnseen));
        }
        let subject = Subject::Msg(row);
        found.extend(self.may_wait(subject));
        if let Some((book, object)) = context.recorded() {
            found.extend(self.strangers(book, object));
        }
        // Who waits for a first message has left no mark in the queue itself.
        found.extend(self.unseen());
        if let Some((book, object)) = context.recorded() {
            found.extend(self.moved(book, object, row.ctime, &last));
            found.extend(self.call_used_since(book, object, subject, used_s, &last));
            found.extend(self.others(subject));
        }
        found
    }

    fn waiting(&self, what: WaitsFor) -> impl Iterator<Item = Use<'a>> {
        let found = self.waits.get(&what).into_iter().flatten();
        found.map(|(pid, times)| {
            Use::by(Kind::Waits, self.who(*pid).unwrap_or(By::Pid(*pid)), *times)
        })
    }

    /// Finds a process that could not be asked what it waits for, and that may use the queue: the
    /// kernel counts no waiters of a queue.
    fn may_wait(&self, subject: Subject<'_>) -> Option<Use<'a>> {
        let access = Access::of(subject);
        let unasked = self.look.waits.iter().flat_map(|waits| &waits.unasked);
        let unasked = unasked.filter_map(|pid| self.who(*pid));
        let mut may = unasked.filter(|by| match by {
            By::Process(process) => access.lets_in(Who::process(process)),
            By::Pid(_) | By::Somebody => true,
        });
        may.next().map(|by| Use::by(Kind::MayWait, by, 0))
    }

    /// Finds those of a set's or queue's last users who live, or may.
    fn last_of_call(
        &self,
        last: impl Iterator<Item = (i32, Kind)>,
        used_s: i64,
        clock: Option<Clock>,
    ) -> Vec<Use<'a>> {
        let found = last.filter_map(|(pid, kind)| match self.look.last_user(pid, used_s, clock) {
            LastUser::Lives(process) => Some(Use::by(kind, By::Process(process), 0)),
            LastUser::Unseen => Some(Use::doubt(Kind::LastUserUnseen)),
            LastUser::Gone => None,
        });
        found.collect()
    }

    /// Finds a stranger that was noted while the server lived, and lives, or may.
    fn strangers(&self, book: &Book, object: &Recorded) -> Option<Use<'a>> {
        let noted = book.strangers.get(&object.number)?;
        if !is_of_these_pids(book, object, self.look) {
            // The namespace has died with its first process, and they with it.
            let first = book.runs.get(&object.run).is_some_and(|run| run.start.launcher.pid == 1);
            return (!first && !noted.is_empty()).then_some(Use::doubt(Kind::LastUserUnseen));
        }
        let lives = |known: &crate::object::ProcessRef| {
            self.living.get(&known.pid).copied().filter(|process| process.may_be(*known))
        };
        if let Some(process) = noted.iter().find_map(lives) {
            return Some(Use::by(Kind::Shared, By::Process(process), 0));
        }
        let hidden = noted.iter().any(|known| self.look.hidden.contains(&known.pid));
        hidden.then_some(Use::doubt(Kind::LastUserUnseen))
    }

    /// Checks whether a set or queue was changed after the death of its server, or, where nobody
    /// saw that, may have been used by somebody else since.
    fn moved(
        &self,
        book: &Book,
        object: &Recorded,
        ctime: i64,
        last: &LastUsers,
    ) -> Option<Use<'a>> {
        if book.runs.get(&object.run)?.was_seen_to_end() {
            return changed_since_end(book, object, ctime);
        }
        if last.is_nobody() {
            let moved = recorded_ctime(object).is_some_and(|known| known != ctime);
            return moved.then_some(Use::doubt(Kind::ChangedSince));
        }
        let unknown = self.unrecorded(book, object, last)?;
        Some(Use::by(Kind::Unrecorded, By::Pid(unknown), 0))
    }

    /// Checks whether somebody whom the ledger does not know used it after its server was seen to
    /// die: a next server, which another tool started, finds it by its key, and may leave its use
    /// to processes that come and go. Without a key only what descends from the server knows the
    /// number; and once nobody lives whom it lets in, there is no such server.
    fn call_used_since(
        &self,
        book: &Book,
        object: &Recorded,
        subject: Subject<'_>,
        used: i64,
        last: &LastUsers,
    ) -> Option<Use<'a>> {
        let (_, ended) = book.runs.get(&object.run)?.end?;
        let (ended, now) = (seconds(ended), seconds(self.look.now));
        // The kernel tells the last use in whole seconds of a clock that may be set: the second of
        // the death counts as after it, and a clock that stands before the death tells nothing.
        let later = used >= ended || now < ended;
        let by_others =
            later && subject.key() != Some(0) && self.unrecorded(book, object, last).is_some();
        (by_others && self.may_be_used_by_others(subject)).then_some(Use::doubt(Kind::UsedSince))
    }

    /// Returns a last user that the ledger does not know.
    fn unrecorded(&self, book: &Book, object: &Recorded, last: &LastUsers) -> Option<i32> {
        let same_pids = is_of_these_pids(book, object, self.look);
        let recorded = |pid: &&i32| same_pids && is_recorded_process(book, object.place, **pid);
        last.pids.iter().find(|pid| !recorded(pid)).copied()
    }

    /// Finds somebody outside the instance who could use a set or queue with a key. A set names no
    /// maker, and the last operator alone: a program that shares it on purpose leaves no mark where
    /// the server used it after.
    fn others(&self, subject: Subject<'_>) -> Option<Use<'a>> {
        if subject.key() == Some(0) {
            return None;
        }
        let access = Access::of(subject);
        let callers = &self.look.callers;
        let mut others = callers.seen().filter(|caller| caller.pid != self.look.pid);
        if let Some(other) = others.find(|one| access.lets_in_besides_root(Who::caller(one))) {
            return Some(match self.living.get(&other.pid) {
                Some(process) => Use::by(Kind::MayUse, By::Process(process), 0),
                None => Use::doubt(Kind::OthersUnseen),
            });
        }
        let seen = self.look.sight.is_everybody() && callers.is_whole();
        (!seen).then_some(Use::doubt(Kind::OthersUnseen))
    }
}

/// Checks for a change after a death that was seen: the last look has recorded the object as it was
/// then. Compared for equality, since a clock that is set back would make what was changed later
/// look older.
fn changed_since_end<'a>(book: &Book, object: &Recorded, ctime: i64) -> Option<Use<'a>> {
    let known = recorded_ctime(object)?;
    let seen = book.runs.get(&object.run)?.was_seen_to_end();
    (seen && ctime != known).then_some(Use::doubt(Kind::ChangedSince))
}

fn recorded_ctime(object: &Recorded) -> Option<i64> {
    match &object.identity {
        Identity::Sem(SemaphoreSet { ctime, .. }) | Identity::Msg(Queue { ctime, .. }) => {
            Some(*ctime)
        }
        Identity::Shm(_) | Identity::Posix(_) => None,
    }
}

/// Returns a time in seconds since the epoch, 0 for one before it.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Checks whether pids that were recorded with an object mean something here.
#[must_use]
fn is_of_these_pids(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let place = book.places.get(object.place);
    place.is_some_and(|place| place.pid_namespace == look.place.pid_namespace)
}

/// Checks whether the ledger has a process of this pid as claimed, as a descendant of a server, or
/// as the creator of an object.
fn is_recorded_process(book: &Book, place: usize, pid: i32) -> bool {
    let pids_of = |at: usize| book.places.get(at).map(|place| (&place.boot, &place.pid_namespace));
    let same = |at: usize| pids_of(at) == pids_of(place);
    let runs = book.runs.values().filter(|run| same(run.place));
    let claimed = runs.clone().flat_map(|run| &run.claims).any(|claim| claim.process.pid == pid);
    let descends = runs.flat_map(|run| &run.descendants).any(|known| known.pid == pid);
    let objects = book.objects.values().filter(|object| same(object.place));
    claimed
        || descends
        || objects.filter_map(|object| object.creator).any(|creator| creator.pid == pid)
}
