//! Places where ledgers may be and that could not be looked at: of what may be recorded there it
//! must never be said that it is in no ledger. Pure.

use std::path::Path;

use super::Subject;
use crate::judge::PeerWord;
use crate::judge::access::{Access, Who};

/// A place that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlooked {
    /// Which, and why not: to be followed by "could not be looked at".
    pub place: String,
    /// The owners of the ledgers that may lie there.
    pub whose: Whose,
}

/// The owners of the ledgers that may lie at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Root's, or those of any user.
    Anybody,
    /// Those of this user.
    User(u32),
    /// Those of everybody but this user, who may not read them.
    OthersThan(u32),
    /// Root's, which the caller may not read.
    RootsAlone,
}

impl Unlooked {
    /// Checks whether a ledger there could have a say on an object: its owner may remove it, or
    /// use it.
    #[must_use]
    pub fn concerns(&self, subject: Subject<'_>) -> bool {
        let access = Access::of(subject);
        let has_a_say = |uid| access.is_removable_by(uid);
        match self.whose {
            Whose::Anybody | Whose::RootsAlone => true,
            Whose::User(uid) => has_a_say(uid) || access.lets_in(Who::user(uid)),
            Whose::OthersThan(uid) => !has_a_say(uid),
        }
    }

    /// Returns a ledger there as one whose word on an object could not be read.
    pub(super) fn as_peer(&self) -> Option<PeerWord<'_>> {
        match self.whose {
            Whose::User(uid) => Some(PeerWord { path: Path::new(&self.place), uid, book: None }),
            Whose::Anybody | Whose::OthersThan(_) | Whose::RootsAlone => None,
        }
    }

    /// Checks whether nothing went wrong: the caller is somebody who may not look there. An object
    /// that nobody uses is an orphan to him then, in no ledger that he may read.
    #[must_use]
    pub fn is_barred(&self) -> bool {
        matches!(self.whose, Whose::OthersThan(_) | Whose::RootsAlone)
    }
}
