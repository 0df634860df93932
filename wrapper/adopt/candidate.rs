//! An object that `adopt` judged: made by the command, told by `render`.

use std::time::Duration;

use shmwarden::judge::Reason;
use shmwarden::judge::unowned::Proposal;
use shmwarden::ledger::record::{How, Role};
use shmwarden::object::{Bytes, Identity};
use shmwarden::snapshot::subject::{Kind, Subject};

/// An object that `adopt` judged.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) kind: Kind,
    pub(crate) id: Option<i32>,
    pub(crate) key: Option<i32>,
    pub(crate) name: Option<Bytes>,
    pub(crate) bytes: Option<u64>,
    /// Owner.
    pub(crate) uid: u32,
    /// The time since it was made or changed.
    pub(crate) age: Option<Duration>,
    /// The identity for the ledger; none where it cannot be recognised again.
    pub(crate) identity: Option<Identity>,
    pub(crate) how: How,
    pub(crate) role: Role,
    /// Set where it was not asked for, and belongs to what was.
    pub(crate) along: bool,
    /// The reason against it.
    pub(crate) against: Option<Reason>,
}

impl Candidate {
    /// Returns what a plan makes of an object.
    pub(crate) fn of(one: &Proposal<'_>, age: Option<Duration>) -> Self {
        let name = match one.subject {
            Subject::Posix(file) => Some(file.name.clone()),
            _ => None,
        };
        Self {
            kind: one.subject.kind(),
            id: one.subject.id(),
            key: one.subject.key(),
            name,
            bytes: one.subject.bytes(),
            uid: one.subject.owner().0,
            age,
            identity: one.identity.clone(),
            how: one.how,
            role: one.role,
            along: one.along,
            against: one.against.clone(),
        }
    }

    /// Returns a key that no two objects share at one time.
    pub(crate) fn number(&self) -> (Kind, Option<i32>, Option<&[u8]>) {
        (self.kind, self.id, self.name.as_ref().map(|name| name.0.as_slice()))
    }

    /// Returns the identity for the ledger, if nothing speaks against it.
    pub(crate) fn taken(&self) -> Option<&Identity> {
        self.identity.as_ref().filter(|_| self.against.is_none())
    }

    /// Why it is taken, or not: a word for scripts, and a sentence.
    pub(crate) fn reason(&self) -> (&'static str, String) {
        let reason = match (&self.against, self.how) {
            (Some(against), _) => against.clone(),
            (None, _) if self.along => Reason::Belongs,
            (None, How::Named) => Reason::Named,
            (None, _) => Reason::NoUser,
        };
        (reason.code(), reason.to_string())
    }
}
