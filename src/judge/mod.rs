//! Decides for each object whether it is removed or stays, with the reason ([`decide`]). Pure: a
//! literal in, a literal out. Doubt keeps.
//!
//! The only place that makes a [`Removal`]. Only `usage` answers who uses an object, for every
//! command; why something is kept, taken or left is one table, `reason`.

pub mod access;
pub mod adopted;
pub mod evidence;
mod instance;
pub mod life;
mod order;
mod peers;
pub mod reason;
mod removal;
pub mod status;
pub mod unowned;
pub mod usage;

pub use crate::attribute::differs;
pub use evidence::{Evidence, Holder};
pub use instance::{against, clean_end, is_generic, is_named_for_good};
pub use life::Life;
pub use peers::{PeerWord, may_be_shared, spare_used_elsewhere, used_elsewhere};
pub use reason::{Class, Reason};
pub use removal::{Absent, CallState, Removal};
pub use usage::Users;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::attribute::{Doubt, Suspect};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::Role;
use crate::object::{Identity, ProcessRef, Segment};
use crate::snapshot::Snapshot;
use crate::snapshot::subject::Subject;
use instance::{Shown, is_call};
use usage::{By, Context, Use};

/// The user whose rights the removals of a ledger have: its owner's, whoever sweeps. Root's own
/// have every right that root has here.
pub(crate) fn remover_of(owner: u32) -> Option<u32> {
    (owner != 0).then_some(owner)
}

/// The caller: what it asks for, and with which rights.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Also remove what was left after a clean exit.
    pub include_clean: bool,
    /// Processes that the caller knows to descend from the server.
    pub descendants: Vec<ProcessRef>,
    /// A new run begins: every run that is over is closed, wherever it was.
    pub starting: bool,
    /// Processes that are not the instance's: the caller and its helpers.
    pub exempt: Vec<i32>,
    /// Nothing is removed, and what takes the lock to read may not have been read: `list`, `who`.
    pub only_looks: bool,
    /// The user with whose rights removals are made ([`remover_of`]): what the kernel would refuse
    /// to that user is kept.
    pub remover: Option<u32>,
    /// Directories with the ledgers of other instances, which may use what would be removed.
    pub beside: Vec<PathBuf>,
}

/// The action on one object.
#[derive(Debug)]
pub enum Action {
    /// Remove it.
    Remove(Removal),
    /// Leave it.
    Keep(Kept),
    /// It is no more: note that.
    Forget(Recorded),
}

impl Action {
    /// Returns what goes, or would if the caller took what was left on purpose, too: number and
    /// identity.
    #[must_use]
    pub fn goes(&self) -> Option<(u64, &Identity)> {
        match self {
            Self::Remove(removal) => Some((removal.object(), removal.identity())),
            Self::Keep(kept) if kept.reason.class() == Class::Left => {
                Some((kept.object?, &kept.identity))
            }
            Self::Keep(_) | Self::Forget(_) => None,
        }
    }
}

/// An object that stays.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its number in the ledger; `None` where it is only a suspect.
    pub object: Option<u64>,
    /// The object.
    pub identity: Identity,
    /// Why it stays.
    pub reason: Reason,
    /// The processes that hold it.
    pub holders: Vec<Holder>,
}

/// Judges every object of an instance whose server is not seen to live, in the order in which they
/// are to be acted on: dynamic shared memory, the rest, the control segment, the main segment; sets
/// and queues after all memory.
#[must_use]
pub fn decide(
    book: &Book,
    look: &Snapshot,
    life: &Life,
    suspects: &[Suspect],
    policy: &Policy,
) -> Vec<Action> {
    decide_by(book, &Users::of(look), life, suspects, policy)
}

/// Judges as [`decide`] does, by a look that is sorted already.
#[must_use]
pub(crate) fn decide_by(
    book: &Book,
    users: &Users<'_>,
    life: &Life,
    suspects: &[Suspect],
    policy: &Policy,
) -> Vec<Action> {
    let look = users.look();
    let mut objects: Vec<&Recorded> = book.open_objects().collect();
    objects.sort_by_key(|object| (is_call(object), object.role, object.number));
    let judged: Vec<(&Recorded, Shown<'_>)> =
        objects.iter().map(|object| (*object, instance::shown(book, object, users))).collect();
    let common = instance::reason(book, look, life, &judged, suspects, policy);
    let mains = main_segments(&judged);
    // Of a living server nobody asks who may have its objects.
    let unasked = matches!(life, Life::Live(_)) && !look.has_maps();
    let mut actions = Vec::new();
    let mut first_barred: Option<String> = None;
    for (object, shown) in &judged {
        // What the object itself shows says more than what its siblings show.
        let reason = shown
            .against
            .clone()
            .filter(|_| !unasked || !shown.is_only_doubted())
            .or_else(|| common.clone())
            .or_else(|| instance::unseen_user(book, life, object))
            .or_else(|| instance::unproven(object))
            .or_else(|| shown.others.clone())
            .or_else(|| shown.not_removable_by(policy.remover?))
            .or_else(|| first_barred.clone().map(Reason::EarlierStays))
            // Last what the caller may waive: then nothing else speaks against it.
            .or_else(|| clean_end(book, object, policy));
        // As where the kernel refuses: what goes after memory that cannot be removed stays.
        if matches!(reason, Some(Reason::NotLedgerOwners(..))) && !is_call(object) {
            first_barred.get_or_insert_with(|| object.identity.to_string());
        }
        actions.push(match reason {
            Some(Reason::Gone) => Action::Forget((*object).clone()),
            Some(reason) => {
                let holders = holders_in(&shown.uses, true);
                let identity = object.identity.clone();
                Action::Keep(Kept { object: Some(object.number), identity, reason, holders })
            }
            None => {
                let guard = mains.get(&object.run).copied();
                Action::Remove(removal::of_instance(book, object, look, guard))
            }
        });
    }
    actions = order::keep_with_what_they_name(book, look, actions);
    actions.extend(suspects.iter().map(|suspect| {
        let identity = suspect.identity.clone();
        let holders = holders_by(users, &identity, false);
        Action::Keep(Kept { object: None, identity, reason: doubt(suspect.doubt), holders })
    }));
    actions
}

/// Returns the reason that a doubt of attribution is.
#[must_use]
pub fn doubt(doubt: Doubt) -> Reason {
    match doubt {
        Doubt::PidReused => Reason::PidReused,
        Doubt::Unlisted => Reason::Unlisted,
        Doubt::Foreign => Reason::Foreign,
        Doubt::Unwitnessed => Reason::Unwitnessed,
    }
}

/// The main segment of each run, where it is there and unattached.
fn main_segments<'a>(judged: &[(&'a Recorded, Shown<'_>)]) -> BTreeMap<u64, &'a Segment> {
    let mains =
        judged.iter().filter_map(|(object, shown)| match (&object.identity, &shown.against) {
            (Identity::Shm(segment), None) if object.role == Role::Main => {
                Some((object.run, segment))
            }
            _ => None,
        });
    // The first of a run counts.
    let mut first = BTreeMap::new();
    for (run, segment) in mains {
        first.entry(run).or_insert(segment);
    }
    first
}

/// Returns the processes that hold an object.
#[must_use]
pub fn holders(identity: &Identity, look: &Snapshot, orphan: bool) -> Vec<Holder> {
    holders_by(&Users::of(look), identity, orphan)
}

fn holders_by(users: &Users<'_>, identity: &Identity, orphan: bool) -> Vec<Holder> {
    let (look, context) = (users.look(), Context::Unowned { by_nattch: true });
    let subject = match identity {
        Identity::Shm(known) => look.segment(known.id).here().map(Subject::Shm),
        Identity::Sem(known) => look.set(known.id).here().map(Subject::Sem),
        Identity::Msg(known) => look.queue(known.id).here().map(Subject::Msg),
        Identity::Posix(known) => look.file(&known.name.0).here().map(Subject::Posix),
    };
    let uses = subject.map(|subject| users.uses(subject, context));
    holders_in(&uses.unwrap_or_default(), orphan)
}

/// Returns the processes that were seen to use an object, each once.
fn holders_in(uses: &[Use<'_>], orphan: bool) -> Vec<Holder> {
    let mut found: Vec<Holder> = Vec::new();
    for one in uses.iter().filter(|one| one.kind.is_hold()) {
        let By::Process(process) = one.by else { continue };
        if !found.iter().any(|known| known.process.pid == process.process.pid) {
            found.push(Holder::of(process, one.times, orphan));
        }
    }
    found
}
