//! What the ledgers say of an object that one of them has. Pure.

use std::collections::BTreeMap;

use super::unlooked::has_a_say;
use super::{Account, Status, Subject, Why};
use crate::attribute::Doubt;
use crate::attribute::sets::{queue_differs, set_differs};
use crate::judge::{self, Life, PeerWord, Policy, Reason};
use crate::ledger::book::Recorded;
use crate::ledger::record::Role;
use crate::object::{Identity, Place, Segment, ShmFile};
use crate::snapshot::{Snapshot, identity_of};
use crate::sys::shm::{MODE_DEST, Row};

/// A verdict with the account that it comes from.
type Found = (Status, Why, Option<usize>);

/// Every record that can be about something here, by the number or name that it is about.
pub(super) struct Known<'a> {
    accounts: &'a [Account],
    look: &'a Snapshot,
    segments: BTreeMap<i32, Vec<(usize, &'a Recorded)>>,
    files: BTreeMap<&'a [u8], Vec<(usize, &'a Recorded)>>,
    calls: BTreeMap<Number<'a>, Vec<(usize, &'a Recorded)>>,
    used: BTreeMap<Number<'a>, Vec<(usize, &'a Identity)>>,
    suspects: BTreeMap<Number<'a>, Vec<(usize, &'a Identity, Doubt)>>,
    /// Of each dead account the reason why all of it stays.
    common: Vec<Option<Reason>>,
}

/// What two objects cannot have in common at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Number<'a> {
    Segment(i32),
    File(&'a [u8]),
    Set(i32),
    Queue(i32),
}

impl<'a> Number<'a> {
    fn of(identity: &'a Identity) -> Self {
        match identity {
            Identity::Shm(segment) => Self::Segment(segment.id),
            Identity::Posix(file) => Self::File(&file.name.0),
            Identity::Sem(set) => Self::Set(set.id),
            Identity::Msg(queue) => Self::Queue(queue.id),
        }
    }

    fn of_subject(subject: Subject<'a>) -> Self {
        match subject {
            Subject::Shm(row) => Self::Segment(row.id),
            Subject::Posix(file) => Self::File(&file.name.0),
            Subject::Sem(set) => Self::Set(set.row.id),
            Subject::Msg(row) => Self::Queue(row.id),
        }
    }
}

/// Whether ids, or names, of a place mean something here.
fn is_here(identity: &Identity, place: &Place, here: &Place) -> bool {
    place.boot == here.boot
        && match identity {
            Identity::Posix(file) => here.shm_mount.as_ref() == Some(&file.mount),
            _ => place.ipc_namespace == here.ipc_namespace,
        }
}

impl<'a> Known<'a> {
    pub(super) fn of(accounts: &'a [Account], look: &'a Snapshot) -> Self {
        let mut known = Self {
            accounts,
            look,
            segments: BTreeMap::new(),
            files: BTreeMap::new(),
            calls: BTreeMap::new(),
            used: BTreeMap::new(),
            suspects: BTreeMap::new(),
            common: Vec::new(),
        };
        for (index, account) in accounts.iter().enumerate() {
            known.take_in(index, account);
        }
        known.common = known.reasons_to_keep_all();
        known
    }

    fn take_in(&mut self, index: usize, account: &'a Account) {
        let book = &account.book;
        for object in book.open_objects() {
            let place = book.places.get(object.place);
            if !place.is_some_and(|place| is_here(&object.identity, place, &self.look.place)) {
                continue;
            }
            match &object.identity {
                Identity::Shm(segment) => {
                    let same = self.segments.entry(segment.id).or_default();
                    same.push((index, object));
                }
                Identity::Posix(file) => {
                    let same = self.files.entry(&file.name.0).or_default();
                    same.push((index, object));
                }
                Identity::Sem(_) | Identity::Msg(_) => {
                    let number = Number::of(&object.identity);
                    self.calls.entry(number).or_default().push((index, object));
                }
            }
        }
        for (run, identity) in &book.used {
            let place = book.runs.get(run).and_then(|run| book.places.get(run.place));
            if place.is_some_and(|place| is_here(identity, place, &self.look.place)) {
                let same = self.used.entry(Number::of(identity)).or_default();
                same.push((index, identity));
            }
        }
        for suspect in &account.suspects {
            let number = Number::of(&suspect.identity);
            let same = self.suspects.entry(number).or_default();
            same.push((index, &suspect.identity, suspect.doubt));
        }
    }

    /// The verdict on an object that a ledger has, has seen used, or has another of the number of.
    pub(super) fn verdict(&self, subject: Subject<'_>) -> Option<Found> {
        let number = Number::of_subject(subject);
        let records = match number {
            Number::Segment(id) => self.segments.get(&id),
            Number::File(name) => self.files.get(name),
            Number::Set(_) | Number::Queue(_) => self.calls.get(&number),
        };
        let used = self.used.get(&number);
        let mut changed = None;
        let mut judged: Vec<Found> = Vec::new();
        let records = records.into_iter().flatten();
        for &(index, object) in records.filter(|(index, _)| self.has_a_say(*index, subject)) {
            match self.difference(index, object, subject) {
                None => judged.extend(self.recorded(index, object, subject)),
                Some(what) => {
                    let why = Why::Sweep(Box::new(Reason::Changed(what)));
                    changed = Some((Status::Changed, why, Some(index)));
                }
            }
        }
        // Two ledgers have it: one whose instance lives says more than one whose is dead.
        judged.sort_by_key(|(verdict, ..)| *verdict);
        let used = used
            .into_iter()
            .flatten()
            .find(|(index, identity)| is(identity, subject) && self.may_use(*index, subject))
            .map(|(index, _)| (Status::Used, Why::Used, Some(*index)));
        judged.into_iter().next().or(used).or(changed)
    }

    /// What a ledger suspects of an object that it does not have.
    pub(super) fn suspicion(&self, subject: Subject<'_>) -> Option<(Doubt, usize)> {
        let same = self.suspects.get(&Number::of_subject(subject))?.iter();
        let mut same = same.filter(|(index, ..)| self.has_a_say(*index, subject));
        let found = same.find(|(_, identity, _)| is(identity, subject))?;
        Some((found.2, found.0))
    }

    /// Checks whether what a ledger records of an object as its own counts.
    fn has_a_say(&self, index: usize, subject: Subject<'_>) -> bool {
        self.accounts.get(index).is_some_and(|one| has_a_say(one.source.1, subject))
    }

    /// Checks whether what a ledger says of the use of an object counts: its owner may use it.
    fn may_use(&self, index: usize, subject: Subject<'_>) -> bool {
        let mode = match subject {
            Subject::Shm(row) => row.mode,
            Subject::Sem(set) => set.row.mode,
            Subject::Msg(row) => row.mode,
            Subject::Posix(file) => file.facts.mode,
        };
        mode & 0o066 != 0 || self.has_a_say(index, subject)
    }

    /// In what the object that is there differs from a record of its number.
    fn difference(
        &self,
        index: usize,
        object: &Recorded,
        subject: Subject<'_>,
    ) -> Option<&'static str> {
        match (&object.identity, subject) {
            (Identity::Shm(segment), Subject::Shm(row)) => {
                self.segment_differs(index, object, segment, row)
            }
            (Identity::Posix(file), Subject::Posix(found)) => {
                let same = found.is(file);
                (!same).then_some("inode or birth time")
            }
            (Identity::Sem(known), Subject::Sem(set)) => set_differs(known, &set.row),
            (Identity::Msg(known), Subject::Msg(row)) => queue_differs(known, row),
            _ => Some("kind"),
        }
    }

    fn segment_differs(
        &self,
        index: usize,
        object: &Recorded,
        segment: &Segment,
        row: &Row,
    ) -> Option<&'static str> {
        let what = judge::differs(segment, row, self.same_pids(index, object));
        // As in `judge`: attached, it is taken for ours, after an IPC_SET that nobody followed.
        what.filter(|what| *what != "change time" || row.nattch == 0)
    }

    fn same_pids(&self, index: usize, object: &Recorded) -> bool {
        let account = self.accounts.get(index);
        let place = account.and_then(|account| account.book.places.get(object.place));
        place.is_some_and(|place| place.pid_namespace == self.look.place.pid_namespace)
    }

    fn recorded(&self, index: usize, object: &Recorded, subject: Subject<'_>) -> Option<Found> {
        let account = self.accounts.get(index)?;
        let said = |verdict, reason| Some((verdict, Why::Sweep(Box::new(reason)), Some(index)));
        match (&account.life, account.at_work) {
            (Life::Live(evidence), _) => {
                return said(Status::Live, Reason::Live(evidence.clone()));
            }
            (_, Some(pid)) => return Some((Status::Live, Why::AtWork(pid), Some(index))),
            (Life::Unseen(evidence), _) => {
                return said(Status::Live, Reason::Unseen(evidence.clone()));
            }
            (Life::Void, _) => return None,
            (Life::Dead(_), None) => {}
        }
        let own = match subject {
            Subject::Shm(row) => of_segment(row)
                .or_else(|| judge::segment_use(&account.book, object, row, self.look)),
            Subject::Posix(file) => {
                judge::file_reason(&account.book, object, &file.identity, self.look)
            }
            // Of adopted ones there may be tens of thousands: each is not looked up again.
            Subject::Sem(set) if object.is_adopted() => {
                judge::set_use(&account.book, object, set, self.look)
            }
            Subject::Sem(_) | Subject::Msg(_) => {
                judge::call_reason(&account.book, object, self.look)
            }
        };
        let common = || self.common.get(index).and_then(Clone::clone);
        let listed = || {
            let of_list = matches!(object.role, Role::Main | Role::Control);
            let stays = account.stays.get(&object.run).filter(|_| of_list);
            stays.map(|what| Reason::ListedStays(what.clone()))
        };
        let unseen = || judge::unseen_user(&account.book, &account.life, object);
        let clean = || judge::clean_end(&account.book, object, &Policy::default());
        let unproven = || judge::unproven(object);
        let others = || judge::others_reason(&account.book, object, self.look);
        let elsewhere = || self.used_elsewhere(index, object);
        let kept = own.or_else(common).or_else(listed).or_else(unseen).or_else(unproven);
        match kept.or_else(clean).or_else(others).or_else(elsewhere) {
            None if object.is_adopted() => said(Status::Stale, Reason::Adopted),
            None => said(Status::Stale, Reason::Dead),
            Some(reason @ (Reason::LeftClean | Reason::LeftUnseen)) => said(Status::Left, reason),
            // What cannot be seen counts as alive.
            Some(reason @ Reason::Unseen(_)) => said(Status::Live, reason),
            Some(reason) => said(Status::Held, reason),
        }
    }

    /// Finds another ledger whose living instance uses an object.
    fn used_elsewhere(&self, index: usize, object: &Recorded) -> Option<Reason> {
        let book = &self.accounts.get(index)?.book;
        if !judge::may_be_shared(book, object, self.look) {
            return None;
        }
        let others = self.accounts.iter().enumerate().filter(|(at, _)| *at != index);
        let words = others.map(|(_, account)| PeerWord {
            path: &account.source.0,
            uid: account.source.1,
            book: Some(&account.book),
        });
        judge::used_elsewhere(book, &object.identity, words, self.look)
    }

    /// While one object of a dead instance is in use, or a process of it is left, all of it stays.
    fn reasons_to_keep_all(&self) -> Vec<Option<Reason>> {
        let rows = self.look.segments.seen();
        let rows = rows.filter(|row| self.segments.contains_key(&row.id));
        let rows: BTreeMap<i32, &Row> = rows.map(|row| (row.id, row)).collect();
        let files = self.look.files.seen().map(|file| &file.identity);
        let files: BTreeMap<&[u8], &ShmFile> = files.map(|f| (f.name.0.as_slice(), f)).collect();
        let mut common: Vec<Option<Reason>> = Vec::new();
        for account in self.accounts {
            let Life::Dead(left) = &account.life else {
                common.push(None);
                continue;
            };
            let foreign = account.suspects.iter().find(|s| s.doubt == Doubt::Foreign);
            let orphan = left.iter().find(|evidence| evidence.holder().is_some());
            let orphan = orphan.map(|evidence| Reason::OrphanLives(evidence.clone()));
            let listed = foreign.map(|s| Reason::ListedStays(s.identity.to_string()));
            common.push(orphan.or(listed));
        }
        let all = self.segments.values().chain(self.files.values()).chain(self.calls.values());
        let all = all.flatten();
        for &(index, object) in all {
            let account = self.accounts.get(index).filter(|a| !a.lives());
            // Adopted ones have no server in common.
            let Some(account) = account.filter(|_| !object.is_adopted()) else {
                continue;
            };
            let own = match &object.identity {
                Identity::Shm(segment) => rows
                    .get(&segment.id)
                    .filter(|row| self.segment_differs(index, object, segment, row).is_none())
                    .and_then(|row| of_segment(row)),
                Identity::Posix(file) => files
                    .get(file.name.0.as_slice())
                    .filter(|now| now.is(file))
                    .and_then(|now| judge::file_reason(&account.book, object, now, self.look)),
                _ => judge::call_reason(&account.book, object, self.look),
            };
            let own = own.filter(Reason::holds_the_rest);
            if let (Some(_), Some(place)) = (own, common.get_mut(index)) {
                // As in `judge`: what is held says more than who is left.
                *place = Some(Reason::InstanceHeld(object.identity.to_string()));
            }
        }
        common
    }
}

/// What a segment itself shows against its removal.
fn of_segment(row: &Row) -> Option<Reason> {
    if row.mode & MODE_DEST != 0 {
        return Some(Reason::Dest);
    }
    (row.nattch > 0).then_some(Reason::Attached(row.nattch))
}

/// Whether an identity is this object's.
fn is(identity: &Identity, subject: Subject<'_>) -> bool {
    match (identity, subject) {
        (Identity::Shm(segment), Subject::Shm(row)) => *segment == identity_of(row),
        (Identity::Posix(file), Subject::Posix(found)) => found.is(file),
        (Identity::Sem(known), Subject::Sem(set)) => set_differs(known, &set.row).is_none(),
        (Identity::Msg(known), Subject::Msg(row)) => queue_differs(known, row).is_none(),
        _ => false,
    }
}
