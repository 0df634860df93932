//! The status of each object that there is: whose it is by the ledgers, and what `sweep` and
//! `adopt` would do with it, by the same judgement. Pure: a literal in, a literal out.
//!
//! It may be wrong for a moment, since it needs no lock, and must never lead to a removal: that is
//! `judge::decide`'s, over one locked ledger. Processes it cannot see count as alive.

mod account;
pub mod holders;
pub mod leaks;
mod unlooked;

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::snapshot::subject::{Kind, Subject};
pub use account::{Account, is_of_interest};
pub use unlooked::{Unlooked, Whose};

use super::access::{Access, Who};
use super::instance;
use super::remover_of;
use super::unowned::{Plan, Scene, Wish, plan};
use super::{
    Action, Class, Life, PeerWord, Policy, Reason, adopted, decide_by, doubt, spare_used_elsewhere,
};
use crate::attribute::Doubt;
use crate::ledger::record::How;
use crate::object::Identity;
use crate::snapshot::Snapshot;

/// The one word on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Its instance lives.
    Live,
    /// Its instance is dead, and somebody holds one of its objects: kept.
    Held,
    /// Its instance is dead, and nobody uses it: `sweep` removes it.
    Stale,
    /// Left after a clean exit: kept, unless asked for.
    Left,
    /// A ledger has another object of this number or name.
    Changed,
    /// An instance that did not create it uses it: never removed for that.
    Used,
    /// In no ledger, not in use, and nobody is left who could want it: `adopt` takes it by filter.
    Orphan,
    /// The same, but for a process of its users that lives and may want it.
    Idle,
    /// In no ledger, anything else.
    Unrecorded,
}

impl Status {
    /// Every verdict.
    pub const ALL: [Self; 9] = [
        Self::Live,
        Self::Held,
        Self::Stale,
        Self::Left,
        Self::Changed,
        Self::Used,
        Self::Orphan,
        Self::Idle,
        Self::Unrecorded,
    ];

    /// Checks for an object that nobody is left to use.
    #[must_use]
    pub fn is_leaked(self) -> bool {
        matches!(self, Self::Stale | Self::Orphan)
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Held => "held",
            Self::Stale => "stale",
            Self::Left => "left",
            Self::Changed => "changed",
            Self::Used => "used",
            Self::Orphan => "orphan",
            Self::Idle => "idle",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Checks that a ledger has the object as its instance's own.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::Live | Self::Held | Self::Stale | Self::Left)
    }
}

/// An object and the status of it.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// The object.
    pub subject: Subject<'a>,
    /// Its status.
    pub verdict: Status,
    /// Why.
    pub why: Reason,
    /// The ledger that the status comes from: an index into the accounts.
    pub account: Option<usize>,
    /// The object's number in that ledger, where it is in there.
    pub object: Option<u64>,
    /// Of an object of no ledger that was read: where one that has it may be.
    pub unlooked: Option<Unlooked>,
}

impl Judged<'_> {
    /// Returns why, as a sentence: of an object of no ledger it says that, too.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (&self.account, &self.unlooked, &self.why) {
            (Some(_), ..) | (_, _, Reason::LedgerUnread(_)) => self.why.to_string(),
            (None, Some(one), why) if one.is_barred() => {
                format!("in no ledger that you may read; {why}")
            }
            (None, Some(one), why) => {
                format!("perhaps in a ledger: {} could not be looked at; {why}", one.place)
            }
            (None, None, why) => format!("in no ledger; {why}"),
        }
    }
}

/// A key that no two objects share at one time: the kind, and the number or name.
type Number = (Kind, i32, Vec<u8>);

/// The word of one ledger on an object.
#[derive(Debug, Clone)]
struct Word {
    status: Status,
    why: Reason,
    account: usize,
    object: Option<u64>,
}

/// Judges every object of a look; `unlooked` is where ledgers may be that are not among the
/// accounts.
#[must_use]
pub fn statuses<'a>(
    look: &'a Snapshot,
    accounts: &[Account],
    unlooked: &[Unlooked],
) -> Vec<Judged<'a>> {
    let scene = Scene::of_everybody(look, &[look.pid]);
    let words = Words::of(accounts, unlooked, &scene);
    let planned = planned(&scene, &words, accounts, unlooked);
    let judged = Subject::all(look).map(|subject| {
        if let Some(Word { status, why, account, object }) = words.on(subject, accounts) {
            let account = Some(account);
            return Judged { subject, verdict: status, why, account, object, unlooked: None };
        }
        let against = match &planned {
            Some(planned) => planned.get(&number_of_subject(subject)).cloned().flatten(),
            None => scene.against_alone(subject),
        };
        let (verdict, why) = of_no_ledger(&scene, subject, against);
        let mut concern = unlooked.iter().filter(|one| one.concerns(subject));
        let place = concern.clone().find(|one| !one.is_barred()).or_else(|| concern.next());
        let place = place.cloned();
        let (verdict, why) = match (&place, verdict) {
            (Some(one), Status::Orphan | Status::Idle) if !one.is_barred() => {
                (Status::Unrecorded, Reason::LedgerUnread(one.place.clone()))
            }
            _ => (verdict, why),
        };
        Judged { subject, verdict, why, account: None, object: None, unlooked: place }
    });
    judged.collect()
}

/// Returns what speaks against taking each object that no ledger knows, where some belong together:
/// as `adopt` plans by filter, without looking into any.
fn planned(
    scene: &Scene<'_>,
    words: &Words,
    accounts: &[Account],
    unlooked: &[Unlooked],
) -> Option<BTreeMap<Number, Option<Reason>>> {
    if !scene.has_groups() {
        return None;
    }
    let word = |subject| words.on(subject, accounts).filter(|word| word.status != Status::Changed);
    let unowned = Subject::all(scene.look()).filter(|one| word(*one).is_none());
    let wishes: Vec<Wish<'_>> =
        unowned.map(|subject| Wish { subject, how: How::Adopted }).collect();
    let prior = |subject| {
        if let Some(word) = word(subject) {
            return Some(Reason::Recorded(word.why.to_string()));
        }
        let place = unlooked.iter().find(|one| !one.is_barred() && one.concerns(subject))?;
        let certain = scene.against_alone(subject).filter(|why| !why.is_waived_by_name());
        certain.or_else(|| Some(Reason::LedgerUnread(place.place.clone())))
    };
    let Plan { proposals, .. } = plan(scene, &wishes, Some(Duration::ZERO), &prior);
    Some(proposals.into_iter().map(|one| (number_of_subject(one.subject), one.against)).collect())
}

/// Returns the status of an object that no ledger knows.
fn of_no_ledger(
    scene: &Scene<'_>,
    subject: Subject<'_>,
    against: Option<Reason>,
) -> (Status, Reason) {
    let creator = match subject {
        Subject::Shm(row) => Some(row.creator_pid).filter(|pid| *pid != 0),
        Subject::Sem(_) | Subject::Msg(_) | Subject::Posix(_) => None,
    };
    match (against, creator) {
        (None, Some(pid)) => (Status::Orphan, Reason::CreatorDead(pid)),
        (None, None) => (Status::Orphan, Reason::NoUser),
        // Its creator is dead, or that would be said.
        (Some(why @ Reason::UserLives(..)), Some(_)) => (Status::Idle, why),
        // Whether somebody maps it hangs on a look that is worth it only then.
        (Some(why @ (Reason::PerhapsMapped(_) | Reason::Unasked)), _)
            if !scene.has_descriptors(subject) =>
        {
            (Status::Unrecorded, scene.wanted(subject).unwrap_or(why))
        }
        (Some(why), _) => (Status::Unrecorded, why),
    }
}

/// The words of the ledgers, by the number or name that they are about.
struct Words {
    own: BTreeMap<Number, Vec<Word>>,
    used: BTreeMap<Number, Vec<(usize, Identity)>>,
    suspects: BTreeMap<Number, Vec<(usize, Identity, Doubt, bool)>>,
}

impl Words {
    fn of(accounts: &[Account], unlooked: &[Unlooked], scene: &Scene<'_>) -> Self {
        let mut words =
            Self { own: BTreeMap::new(), used: BTreeMap::new(), suspects: BTreeMap::new() };
        for index in 0..accounts.len() {
            words.take_in(index, accounts, unlooked, scene);
        }
        words
    }

    fn take_in(
        &mut self,
        index: usize,
        accounts: &[Account],
        unlooked: &[Unlooked],
        scene: &Scene<'_>,
    ) {
        let Some(account) = accounts.get(index) else { return };
        let (book, here) = (&account.book, &scene.look().place);
        for (identity, word) in of_account(index, accounts, unlooked, scene) {
            self.own.entry(number_of(&identity)).or_default().push(word);
        }
        for (run, identity) in &book.used {
            let place = book.runs.get(run).and_then(|run| book.places.get(run.place));
            if place.is_some_and(|place| identity.means_something_in(place, here)) {
                let same = self.used.entry(number_of(identity)).or_default();
                same.push((index, identity.clone()));
            }
        }
        for suspect in &account.suspects {
            let same = self.suspects.entry(number_of(&suspect.identity)).or_default();
            same.push((index, suspect.identity.clone(), suspect.doubt, account.has_unread_list));
        }
    }

    /// Returns what the ledgers say of an object: that one has it, has seen it used, has another of
    /// its number, or suspects that it is its server's.
    fn on(&self, subject: Subject<'_>, accounts: &[Account]) -> Option<Word> {
        if accounts.is_empty() {
            return None;
        }
        let number = number_of_subject(subject);
        let is_it = |identity: &Identity| is(identity, subject);
        let access = Access::of(subject);
        let owner = |index: usize| accounts.get(index).map_or(0, |account| account.source.1);
        let has_a_say = |index: usize| access.is_removable_by(owner(index));
        let may_use = |index: usize| owner(index) == 0 || access.lets_in(Who::user(owner(index)));
        // Two ledgers have it: one whose instance lives says more than one whose is dead.
        let own = self.own.get(&number).into_iter().flatten();
        let own = own.filter(|word| has_a_say(word.account));
        let best = own.min_by_key(|word| word.status);
        if let Some(word) = best.filter(|word| word.status.is_recorded()) {
            return Some(word.clone());
        }
        let mut used = self.used.get(&number).into_iter().flatten();
        let word = |status, why, account| Word { status, why, account, object: None };
        if let Some((index, _)) = used.find(|(at, identity)| is_it(identity) && may_use(*at)) {
            return Some(word(Status::Used, Reason::Used, *index));
        }
        let mut suspects = self.suspects.get(&number).into_iter().flatten();
        let suspect = suspects.find(|(at, identity, ..)| is_it(identity) && has_a_say(*at));
        let suspect = suspect.map(|(index, _, why, unread)| match why {
            Doubt::Unlisted if *unread => word(Status::Unrecorded, Reason::PerhapsListed, *index),
            why => word(Status::Unrecorded, doubt(*why), *index),
        });
        suspect.or_else(|| best.cloned())
    }
}

/// Returns what a ledger says of the objects that it has and that are here.
fn of_account(
    index: usize,
    accounts: &[Account],
    unlooked: &[Unlooked],
    scene: &Scene<'_>,
) -> Vec<(Identity, Word)> {
    let Some(account) = accounts.get(index) else { return Vec::new() };
    let (book, look) = (&account.book, scene.look());
    let word = |status, why, object| Word { status, why, account: index, object };
    let why = match (&account.life, account.at_work) {
        (Life::Void, _) => return Vec::new(),
        (Life::Live(evidence), _) => Reason::Live(evidence.clone()),
        (_, Some(pid)) => Reason::AtWork(pid),
        (Life::Unseen(evidence), _) => Reason::Unseen(evidence.clone()),
        (Life::Dead(_), None) => return of_dead(index, account, accounts, unlooked, scene),
    };
    let open = book.open_objects().filter_map(|object| {
        let word = match instance::present(book, object, look) {
            Err(changed @ Reason::Changed(_)) => word(Status::Changed, changed, None),
            Err(other) if matches!(other.class(), Class::Elsewhere | Class::Gone) => return None,
            // What cannot be told from here counts as it.
            Ok(_) | Err(_) => word(Status::Live, why.clone(), Some(object.number)),
        };
        Some((object.identity.clone(), word))
    });
    open.collect()
}

/// Returns what `sweep` would do with the objects of a dead instance, or of no instance.
fn of_dead(
    index: usize,
    account: &Account,
    accounts: &[Account],
    unlooked: &[Unlooked],
    scene: &Scene<'_>,
) -> Vec<(Identity, Word)> {
    let (book, users) = (&account.book, scene.users());
    let remover = remover_of(account.source.1);
    let policy = Policy { only_looks: true, remover, ..Policy::default() };
    let mut actions = match book.is_of_adopted() {
        true => adopted::decide_in(book, scene).0,
        false => decide_by(book, users, &account.life, &account.suspects, &policy),
    };
    let others = accounts.iter().enumerate().filter(|(at, _)| *at != index);
    let others = others.map(|(_, account)| account.as_peer());
    let others: Vec<PeerWord<'_>> =
        others.chain(unlooked.iter().filter_map(Unlooked::as_peer)).collect();
    spare_used_elsewhere(&mut actions, book, &others, users.look());
    let judged = actions.into_iter().filter_map(|action| {
        let (object, identity, why) = match action {
            Action::Forget(_) => return None,
            // A suspect is none of its objects.
            Action::Keep(kept) => (Some(kept.object?), kept.identity, kept.reason),
            Action::Remove(removal) => {
                let why = if removal.is_adopted() { Reason::Adopted } else { Reason::Dead };
                (Some(removal.object()), removal.identity().clone(), why)
            }
        };
        let status = match (&why, why.class()) {
            (Reason::Changed(_), _) => Status::Changed,
            (_, Class::Elsewhere | Class::Gone) => return None,
            (_, Class::Goes) => Status::Stale,
            (_, Class::Alive) => Status::Live,
            (_, Class::Left) => Status::Left,
            (_, Class::Used | Class::Wanted | Class::Doubt) => Status::Held,
        };
        Some((identity, Word { status, why, account: index, object }))
    });
    judged.collect()
}

fn number_of(identity: &Identity) -> Number {
    match identity {
        Identity::Shm(segment) => (Kind::Shm, segment.id, Vec::new()),
        Identity::Posix(file) => (Kind::Posix, -1, file.name.0.clone()),
        Identity::Sem(set) => (Kind::Sem, set.id, Vec::new()),
        Identity::Msg(queue) => (Kind::Msg, queue.id, Vec::new()),
    }
}

fn number_of_subject(subject: Subject<'_>) -> Number {
    let name = match subject {
        Subject::Posix(file) => file.name.0.clone(),
        _ => Vec::new(),
    };
    (subject.kind(), subject.id().unwrap_or(-1), name)
}

/// Checks whether an identity is this object's.
fn is(identity: &Identity, subject: Subject<'_>) -> bool {
    subject.identity().is(identity)
}

#[cfg(test)]
mod tests;
