//! What the ledgers make of each object that there is: whose it is, and what `sweep` would say of
//! it. Pure: a literal in, a literal out.
//!
//! It may be wrong for a moment, since it needs no lock, and must never lead to a removal: that is
//! `judge`'s, over one locked ledger. Whom it cannot see it takes to live.

mod account;
mod alone;
pub mod holders;
mod recorded;
mod unlooked;

use std::fmt;

pub use crate::snapshot::subject::{Kind, Subject};
pub use account::{Account, is_of_interest};
pub use alone::Alone;
pub use unlooked::{Unlooked, Whose};

use crate::attribute::Doubt;
use crate::judge::Reason;
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
    /// In no ledger, not in use, and nobody is left who could want it.
    Orphan,
    /// In no ledger, anything else.
    Unrecorded,
}

impl Status {
    /// Every verdict.
    pub const ALL: [Self; 8] = [
        Self::Live,
        Self::Held,
        Self::Stale,
        Self::Left,
        Self::Changed,
        Self::Used,
        Self::Orphan,
        Self::Unrecorded,
    ];

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
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Whether a ledger has the object as its instance's own.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::Live | Self::Held | Self::Stale | Self::Left)
    }
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// What `sweep` would say of it. Boxed: most objects of a long table have none.
    Sweep(Box<Reason>),
    /// This process has the ledger locked, or is its launcher.
    AtWork(i32),
    /// An instance was seen to use it.
    Used,
    /// It may be on a dead server's list, which only who has the lock may read.
    PerhapsListed,
    /// In no ledger, and what it shows itself.
    Alone(Alone),
    /// In no ledger that the caller may read, and what it shows itself.
    Barred(Alone),
    /// Perhaps in a ledger that could not be read, and what it shows itself.
    Unlooked {
        /// What it shows.
        alone: Alone,
        /// Where a ledger that has it may be.
        place: String,
    },
}

impl Why {
    /// Returns what the object shows itself, where no ledger that was read has it.
    #[must_use]
    pub fn alone(&self) -> Option<Alone> {
        match self {
            Self::Alone(alone) | Self::Barred(alone) | Self::Unlooked { alone, .. } => Some(*alone),
            _ => None,
        }
    }

    /// Returns the process that used the object last and lives, where that is why.
    #[must_use]
    pub fn last_user(&self) -> Option<i32> {
        match self {
            Self::Sweep(reason) => match &**reason {
                Reason::LastUserLives(holder) => Some(holder.process.pid),
                _ => None,
            },
            _ => match self.alone() {
                Some(Alone::LastUserLives(pid)) => Some(pid),
                _ => None,
            },
        }
    }

    /// A word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sweep(reason) => reason.code(),
            Self::AtWork(_) => "at-work",
            Self::Used => "used",
            Self::PerhapsListed => "perhaps-listed",
            Self::Alone(alone) | Self::Barred(alone) => alone.code(),
            Self::Unlooked { alone: Alone::CreatorDead(_) | Alone::NoUser, .. } => "ledger-unread",
            Self::Unlooked { alone, .. } => alone.code(),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sweep(reason) => reason.fmt(f),
            Self::AtWork(pid) => write!(f, "process {pid} is at work on its ledger"),
            Self::Used => f.write_str(
                "the instance was seen to use it and did not create it: never removed for that",
            ),
            Self::PerhapsListed => f.write_str(
                "it may be dynamic shared memory of a dead server, whose list only `shmwarden \
                 sweep` reads",
            ),
            Self::Alone(alone) => write!(f, "in no ledger; {alone}"),
            Self::Barred(alone) => write!(f, "in no ledger that you may read; {alone}"),
            Self::Unlooked { alone, place } => {
                write!(f, "perhaps in a ledger: {place} could not be looked at; {alone}")
            }
        }
    }
}

/// An object and the verdict on it.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// The object.
    pub subject: Subject<'a>,
    /// The verdict.
    pub verdict: Status,
    /// Why.
    pub why: Why,
    /// The ledger that the verdict comes from: an index into the accounts.
    pub account: Option<usize>,
}

/// Judges every object of a look; `unlooked` is where ledgers may be that are not among the
/// accounts.
#[must_use]
pub fn statuses<'a>(
    look: &'a Snapshot,
    accounts: &[Account],
    unlooked: &[Unlooked],
) -> Vec<Judged<'a>> {
    let known = recorded::Known::of(accounts, look);
    let living = alone::Living::of(look);
    let judge = |subject: Subject<'a>| {
        let (verdict, why, account) = known.verdict(subject).unwrap_or_else(|| {
            let (verdict, alone) = living.verdict(subject);
            // What may be a dead instance's is nobody else's to take either.
            match known.suspicion(subject) {
                Some((doubt, account)) => {
                    let unread = accounts.get(account).is_some_and(|a| a.has_unread_list);
                    let why = match doubt {
                        Doubt::Unlisted if unread => Why::PerhapsListed,
                        doubt => Why::Sweep(Box::new(reason(doubt))),
                    };
                    (Status::Unrecorded, why, Some(account))
                }
                None => {
                    let concern = || unlooked.iter().filter(|one| one.concerns(subject));
                    match concern().find(|one| !one.is_barred()) {
                        Some(one) => {
                            let place = one.place.clone();
                            (Status::Unrecorded, Why::Unlooked { alone, place }, None)
                        }
                        None if concern().next().is_some() => (verdict, Why::Barred(alone), None),
                        None => (verdict, Why::Alone(alone), None),
                    }
                }
            }
        });
        Judged { subject, verdict, why, account }
    };
    Subject::all(look).map(judge).collect()
}

fn reason(doubt: Doubt) -> Reason {
    match doubt {
        Doubt::PidReused => Reason::PidReused,
        Doubt::Unlisted => Reason::Unlisted,
        Doubt::Foreign => Reason::Foreign,
        Doubt::Unwitnessed => Reason::Unwitnessed,
    }
}

#[cfg(test)]
mod tests;
