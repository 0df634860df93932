//! The report of a pass over a ledger: what it found and did.

use crate::judge::{Evidence, Holder, Reason};
use crate::object::Identity;

/// The state that an instance was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its server lives.
    Live(Evidence),
    /// Its server is dead, and something is left or was removed.
    Dead,
    /// Nothing is left to be done.
    Settled,
    /// The ledger means nothing here.
    Void,
    /// The file is not the one that the ledger was written to: its lock proves no death, and what
    /// nothing else proves dead is kept.
    Copy,
}

/// The fate of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Removed.
    Removed,
    /// Gone without our doing.
    Gone,
    /// Stays, for this reason.
    Kept(Reason),
    /// Somebody attached it between decision and removal.
    Raced(String),
    /// The kernel refused.
    Failed(String),
    /// Would be removed, were this no dry run.
    WouldRemove,
}

/// One object of a report.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The object.
    pub identity: Identity,
    /// Its fate.
    pub result: Fate,
    /// The evidence, as a sentence.
    pub evidence: String,
    /// The processes that hold it.
    pub holders: Vec<Holder>,
    /// Set where it is in the ledger; what is not was only found beside it.
    pub recorded: bool,
}

/// The report of a pass over a ledger.
#[derive(Debug, Clone)]
pub struct Report {
    /// The state that the instance was found in.
    pub state: State,
    /// Every object that was open, in the order in which it was acted on.
    pub objects: Vec<Settled>,
}

impl Report {
    /// Checks that something of a dead instance is kept because somebody holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Dead | State::Copy)
            && self
                .objects
                .iter()
                .any(|object| matches!(&object.result, Fate::Kept(reason) if reason.is_held()))
    }
}
