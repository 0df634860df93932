//! An object that `adopt` judged: made by the command, told by `output`.

use std::time::Duration;

use shmwarden::judge::Reason;
use shmwarden::judge::unowned::Proposal;
use shmwarden::ledger::record::{How, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::subject::Kind;

/// An object that `adopt` judged.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) kind: Kind,
    /// What the ledger is to know of it.
    pub(crate) identity: Identity,
    pub(crate) key: Option<i32>,
    /// Bytes; of a queue those in it now.
    pub(crate) bytes: Option<u64>,
    /// Owner.
    pub(crate) uid: u32,
    /// Time since it was made or changed.
    pub(crate) age: Option<Duration>,
    pub(crate) how: How,
    pub(crate) role: Role,
    /// Set where it was not asked for, and belongs to what was.
    pub(crate) along: bool,
    /// What speaks against it.
    pub(crate) against: Option<Reason>,
}

impl Candidate {
    /// Returns what a plan makes of an object.
    pub(crate) fn of(one: &Proposal<'_>, age: Option<Duration>) -> Self {
        Self {
            kind: one.subject.kind(),
            identity: one.identity.clone(),
            key: one.subject.key(),
            bytes: one.subject.bytes(),
            uid: one.subject.owner().0,
            age,
            how: one.how,
            role: one.role,
            along: one.along,
            against: one.against.clone(),
        }
    }

    /// Checks that nothing speaks against it.
    pub(crate) fn is_taken(&self) -> bool {
        self.against.is_none()
    }

    /// Returns why it is taken, or not: a word for scripts, and a sentence.
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
