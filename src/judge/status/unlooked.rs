//! Places where ledgers may be and that could not be looked at: of what may be recorded there it
//! must never be said that it is in no ledger. Pure.

use super::Subject;

/// A place that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlooked {
    /// Which, and why not: to be followed by "could not be looked at".
    pub place: String,
    /// Whose ledgers lie there; `None` where that may be anybody.
    pub uid: Option<u32>,
}

impl Unlooked {
    /// Checks whether a ledger there could have a say on an object.
    #[must_use]
    pub fn concerns(&self, subject: Subject<'_>) -> bool {
        self.uid.is_none_or(|uid| has_a_say(uid, subject))
    }
}

/// Checks whether the word of a ledger of this user counts for an object: its owner could remove
/// it. What others write down about it counts for nothing.
pub(super) fn has_a_say(uid: u32, subject: Subject<'_>) -> bool {
    let creator = || subject.creator().is_some_and(|(creator, _)| creator == uid);
    uid == 0 || subject.owner().0 == uid || creator()
}
