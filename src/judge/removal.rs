//! The right to remove one object. Its fields are private, and only `judge` can make one.

use super::instance::is_call;
use crate::attribute::listed::Name;
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::Role;
use crate::object::{Identity, Segment};
use crate::snapshot::Snapshot;
use crate::snapshot::tables::Set;
use crate::sys::{msg, shm};

/// The right to remove one object, with all that has to be looked at again just before.
#[derive(Debug)]
pub struct Removal {
    pub(super) object: u64,
    pub(super) identity: Identity,
    pub(super) role: Role,
    pub(super) evidence: String,
    pub(super) same_pids: bool,
    pub(super) guard: Option<Segment>,
    pub(super) seen: Option<CallState>,
    /// The number of its group: where one of a group could not be removed, the rest stays. All of
    /// an instance are one group.
    pub(super) group: u64,
    /// Users of whom no process may live.
    pub(super) without_process: Option<[u32; 2]>,
    pub(super) absent: Absent,
}

/// The objects that have to be gone before an object goes: what it lists, and what that lists.
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

    /// Returns the identity it is recognised by.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns its role for its server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The evidence, for the log and the ledger.
    #[must_use]
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// Checks that pids of the ledger mean something here.
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

    /// Checks that the object was adopted, and is no server's.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.group != 0
    }

    /// The users of whom no process may live, of an adopted object.
    #[must_use]
    pub fn without_process(&self) -> Option<[u32; 2]> {
        self.without_process
    }
}

impl CallState {
    /// Returns what is lost with it, as the beginning of a sentence; nothing but for a queue.
    #[must_use]
    pub fn content(&self) -> String {
        match self {
            Self::Segment(_) | Self::Set(_) => String::new(),
            Self::Queue(row) => format!("{} messages of {} bytes; ", row.messages, row.bytes),
        }
    }
}

/// Makes the removal of an object of an instance; `guard` is its main segment.
pub(super) fn of_instance(
    book: &Book,
    object: &Recorded,
    look: &Snapshot,
    guard: Option<&Segment>,
) -> Removal {
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
        without_process: None,
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
