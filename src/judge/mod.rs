//! What is to be done with each object of an instance, and why. Pure: a literal in, a literal out.
//!
//! The only place that makes a [`Removal`]. Doubt keeps.

pub mod adopted;
mod common;
pub mod life;
mod lists;
mod own;
mod peers;
pub mod reason;
mod segments;
mod sets;
mod shared;
pub mod status;
pub mod unowned;

pub use crate::attribute::differs;
pub use common::{clean_end, is_generic, unproven, unseen_user};
pub use life::Life;
pub use lists::staying;
pub use own::{file_reason, file_use};
pub use peers::{PeerWord, may_be_shared, used_elsewhere};
pub use reason::{Evidence, Holder, Reason};
pub use segments::segment_use;
pub use sets::{is_named_for_good, queue_use, reason as call_reason, set_use};
pub use shared::reason as others_reason;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::attribute::listed::Name;
use crate::attribute::{Doubt, Suspect};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::peers::Peer;
use crate::ledger::record::Role;
use crate::object::{Identity, ProcessRef, Segment};
use crate::snapshot::tables::Set;
use crate::snapshot::{Mapped, Snapshot};
use crate::sys::{msg, shm};

/// What the caller wants and is.
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
    /// Directories with the ledgers of other instances, which may use what would be removed.
    pub beside: Vec<PathBuf>,
}

/// The right to remove one object, with all that has to be looked at again just before.
#[derive(Debug)]
pub struct Removal {
    object: u64,
    identity: Identity,
    role: Role,
    evidence: String,
    same_pids: bool,
    guard: Option<Segment>,
    seen: Option<CallState>,
    /// What stays where one of them could not be removed; all of an instance are one group.
    group: u64,
    /// Users of whom no process may live.
    alone: Option<[u32; 2]>,
    absent: Absent,
}

/// What has to be gone before an object goes: what it lists, and what that lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Absent {
    /// The names, of files and segments.
    pub names: Vec<Name>,
    /// The `/dev/shm` in which files have to be gone.
    pub mount: Option<String>,
}

/// A segment, set or queue as it was when its removal was decided: whoever has used it since is
/// told by the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// A segment.
    Segment(shm::Row),
    /// A semaphore set.
    Set(Set),
    /// A message queue.
    Queue(msg::Row),
}

impl Removal {
    /// The object's number in the ledger.
    #[must_use]
    pub fn object(&self) -> u64 {
        self.object
    }

    /// What it is recognised by.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it is to its server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The evidence, for the log and the ledger.
    #[must_use]
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// Whether pids of the ledger mean something here.
    #[must_use]
    pub fn same_pids(&self) -> bool {
        self.same_pids
    }

    /// The segment, set or queue as it was when this was decided.
    #[must_use]
    pub fn seen(&self) -> Option<&CallState> {
        self.seen.as_ref()
    }

    /// The main segment: while it is unattached, no process of the server uses anything of it.
    #[must_use]
    pub fn guard(&self) -> Option<&Segment> {
        self.guard.as_ref()
    }

    /// The group that it belongs to: where one of it could not be removed, the rest stays.
    #[must_use]
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Returns what has to be gone before.
    #[must_use]
    pub fn absent(&self) -> &Absent {
        &self.absent
    }

    /// Whether the object was adopted, and is no server's.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.group != 0
    }

    /// The users of whom no process may live, of an adopted object.
    #[must_use]
    pub fn alone(&self) -> Option<[u32; 2]> {
        self.alone
    }
}

/// What is to be done with one object.
#[derive(Debug)]
pub enum Action {
    /// Remove it.
    Remove(Removal),
    /// Leave it.
    Keep(Kept),
    /// It is no more: note that.
    Forget(Recorded),
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
    /// Who holds it.
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
    let mut objects: Vec<&Recorded> = book.open_objects().collect();
    objects.sort_by_key(|object| (is_call(object), object.role, object.number));
    let judged: Vec<(&Recorded, Option<Reason>)> =
        objects.iter().map(|object| (*object, own::reason(book, object, look))).collect();
    let common = common::reason(book, look, life, &judged, suspects);
    let unseen = |object: &Recorded| common::unseen_user(book, life, object);
    let mains = main_segments(&judged);
    let mut verdicts = Vec::new();
    for (object, own) in &judged {
        let reason = match own {
            Some(Reason::Gone) => {
                verdicts.push(Action::Forget((*object).clone()));
                continue;
            }
            // What the object itself shows says more than what its siblings show.
            Some(own) => Some(own.clone()),
            None => common
                .clone()
                .or_else(|| unseen(object))
                .or_else(|| unproven(object))
                .or_else(|| common::clean_end(book, object, policy))
                .or_else(|| shared::reason(book, object, look)),
        };
        verdicts.push(match reason {
            Some(reason) => {
                let identity = object.identity.clone();
                // Who holds what bears its number here holds another object.
                let holders = match reason.is_of_elsewhere() {
                    true => Vec::new(),
                    false => holders(&identity, look, true),
                };
                let holders = with_last_user(holders, &identity, &reason);
                Action::Keep(Kept { object: Some(object.number), identity, reason, holders })
            }
            None => Action::Remove(removal(book, object, look, mains.get(&object.run).copied())),
        });
    }
    verdicts = lists::keep_with_what_they_name(book, look, verdicts);
    verdicts.extend(suspects.iter().map(|suspect| {
        let reason = match suspect.doubt {
            Doubt::PidReused => Reason::PidReused,
            Doubt::Unlisted => Reason::Unlisted,
            Doubt::Foreign => Reason::Foreign,
            Doubt::Unwitnessed => Reason::Unwitnessed,
        };
        let identity = suspect.identity.clone();
        let holders = holders(&identity, look, false);
        Action::Keep(Kept { object: None, identity, reason, holders })
    }));
    verdicts
}

/// Adds who used an unattached segment last and lives: no map shows it.
fn with_last_user(mut found: Vec<Holder>, identity: &Identity, reason: &Reason) -> Vec<Holder> {
    if let (Identity::Shm(_), Reason::LastUserLives(holder)) = (identity, reason) {
        if found.is_empty() {
            found.push(holder.clone());
        }
    }
    found
}

/// Keeps what a living instance of another ledger uses, or may.
pub fn spare_used_elsewhere(verdicts: &mut [Action], book: &Book, peers: &[Peer], look: &Snapshot) {
    let mut spared: BTreeMap<u64, String> = BTreeMap::new();
    for verdict in verdicts.iter_mut() {
        let Action::Remove(removal) = verdict else { continue };
        let shared =
            book.objects.get(&removal.object).is_some_and(|o| may_be_shared(book, o, look));
        let words = peers.iter().map(|peer| PeerWord {
            path: &peer.path,
            uid: peer.uid,
            book: peer.book.as_ref(),
        });
        let reason = match shared {
            true => used_elsewhere(book, &removal.identity, words, look),
            false => None,
        };
        if let Some(reason) = reason {
            if removal.is_adopted() {
                spared.entry(removal.group).or_insert_with(|| removal.identity.to_string());
            }
            keep(verdict, reason);
        }
    }
    // What was adopted together goes together, or not at all.
    for verdict in verdicts.iter_mut() {
        let Action::Remove(removal) = verdict else { continue };
        if let Some(other) = spared.get(&removal.group) {
            let reason = Reason::EarlierStays(other.clone());
            keep(verdict, reason);
        }
    }
}

/// Turns a removal into what is kept.
fn keep(verdict: &mut Action, reason: Reason) {
    if let Action::Remove(removal) = verdict {
        let (object, identity) = (Some(removal.object), removal.identity.clone());
        *verdict = Action::Keep(Kept { object, identity, reason, holders: Vec::new() });
    }
}

/// The main segment of each run, where it is there and unattached.
fn main_segments<'a>(judged: &[(&'a Recorded, Option<Reason>)]) -> BTreeMap<u64, &'a Segment> {
    let mains = judged.iter().filter_map(|(object, own)| match (&object.identity, own) {
        (Identity::Shm(segment), None) if object.role == Role::Main => Some((object.run, segment)),
        _ => None,
    });
    // The first of a run counts.
    let mut first = BTreeMap::new();
    for (run, segment) in mains {
        first.entry(run).or_insert(segment);
    }
    first
}

/// Whether it is a set or queue.
fn is_call(object: &Recorded) -> bool {
    matches!(object.identity, Identity::Sem(_) | Identity::Msg(_))
}

impl CallState {
    /// What is lost with it, as the beginning of a sentence; nothing but for a queue.
    #[must_use]
    pub fn content(&self) -> String {
        match self {
            Self::Segment(_) | Self::Set(_) => String::new(),
            Self::Queue(row) => format!("{} messages of {} bytes; ", row.messages, row.bytes),
        }
    }
}

fn removal(book: &Book, object: &Recorded, look: &Snapshot, guard: Option<&Segment>) -> Removal {
    let place = book.places.get(object.place);
    let server = book.runs.get(&object.run).map_or_else(String::new, |run| {
        let pids: Vec<String> =
            run.claims.iter().map(|claim| claim.process.pid.to_string()).collect();
        format!("server {} of run {}", pids.join(", "), object.run)
    });
    let seen = match &object.identity {
        Identity::Sem(set) => look.set(set.id).here().cloned().map(CallState::Set),
        Identity::Msg(queue) => look.queue(queue.id).here().cloned().map(CallState::Queue),
        Identity::Shm(segment) => {
            look.latest_row(segment.id).here().cloned().map(CallState::Segment)
        }
        Identity::Posix(_) => None,
    };
    let creator = match &object.identity {
        Identity::Shm(s) => {
            format!("nattch 0; creator pid {} uid {}", s.creator_pid, s.creator_uid)
        }
        Identity::Posix(file) => format!("owner uid {}", file.uid),
        Identity::Sem(set) => format!("no waiters; creator uid {}", set.creator_uid),
        Identity::Msg(queue) => {
            let content = seen.as_ref().map_or_else(String::new, CallState::content);
            format!("{content}creator uid {}", queue.creator_uid)
        }
    };
    Removal {
        object: object.number,
        identity: as_it_is(&object.identity, look),
        role: object.role,
        evidence: format!("{server} is dead, nobody uses it; {creator}; {}", object.how),
        same_pids: place.is_some_and(|p| p.pid_namespace == look.place.pid_namespace),
        guard: guard.filter(|_| !is_call(object)).cloned(),
        seen,
        group: 0,
        alone: None,
        absent: Absent::default(),
    }
}

/// Returns what an object is recognised by until it goes: of a file without a birth time its last
/// change, as it was when that was judged.
fn as_it_is(identity: &Identity, look: &Snapshot) -> Identity {
    let Identity::Posix(file) = identity else { return identity.clone() };
    let now = look.file(&file.name.0).here().map(|now| &now.identity);
    let now = now.filter(|now| now.birth.only_changed().is_some());
    Identity::Posix(now.unwrap_or(file).clone())
}

/// The processes that hold an object.
#[must_use]
pub fn holders(identity: &Identity, look: &Snapshot, orphan: bool) -> Vec<Holder> {
    if matches!(identity, Identity::Sem(_) | Identity::Msg(_)) {
        return sets::users(identity, look, orphan);
    }
    look.processes
        .seen()
        .filter_map(|process| {
            let count = match identity {
                // Another namespace shows the same line for another segment.
                Identity::Shm(segment) if process.same_ipc != Some(false) => {
                    process.mappings(Mapped::Segment(segment.id))
                }
                Identity::Shm(_) | Identity::Sem(_) | Identity::Msg(_) => 0,
                Identity::Posix(file) => process.mappings(Mapped::File(file.file)),
            };
            (count > 0).then(|| life::holder(process, count, orphan))
        })
        .collect()
}
