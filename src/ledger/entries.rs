//! The entries of a book for each run and each object. Pure.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::copied::CopiedHeader;
use super::record::{Claim, End, How, Loss, Outcome, Role, RunStart};
use crate::object::{Identity, ProcessRef};
use crate::snapshot::Clock;

/// Most descendants that are kept of a run: a server that replaces its workers all the time has no
/// end of them.
pub const MOST_DESCENDANTS: usize = 1024;

/// Most strangers that are kept of a set or queue.
pub const MOST_STRANGERS: usize = 64;

/// Most losses that are kept of a ledger: whoever has a server's rights can go on for ever.
pub const MOST_ROBBED: usize = 256;

/// One start of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its beginning.
    pub start: RunStart,
    /// When.
    pub at: SystemTime,
    /// Index into [`Book::places`].
    pub place: usize,
    /// Processes whose objects are ours, the newest claim of each.
    pub claims: Vec<Claim>,
    /// Descendants of the server that may have used its sets or queues, the newest last.
    pub descendants: VecDeque<ProcessRef>,
    /// Its end, and the time of that.
    pub end: Option<(End, SystemTime)>,
    /// The time of the last detach of its main segment, as that was found after its end; seconds
    /// since the epoch.
    pub detached: Option<i64>,
}

impl Run {
    /// The claim of the server itself: the newest of a known engine, else COMMAND's.
    #[must_use]
    pub fn server(&self) -> Option<&Claim> {
        let known = self.claims.iter().rev().find(|claim| claim.engine.is_known());
        known.or(self.claims.first())
    }

    /// Returns what is known of the wall clock when it began, for [`Snapshot::last_user`].
    ///
    /// [`Snapshot::last_user`]: crate::snapshot::Snapshot::last_user
    #[must_use]
    pub fn clock(&self) -> Option<Clock> {
        let since_s = self.at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let ahead_ms = self.start.clock_ahead_ms?;
        Some(Clock { since_s: i64::try_from(since_s).ok()?, ahead_ms })
    }

    /// Returns the time by which its server was dead, where the ledger knows one, in seconds since
    /// the epoch: the last detach of its main segment, else the end that was seen.
    #[must_use]
    pub(crate) fn dead_by(&self) -> Option<i64> {
        let seen = self.end.filter(|(end, _)| *end != End::Unknown).and_then(|(_, at)| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()
        });
        self.detached.or(seen)
    }

    /// Checks that the server is known to have ended with status 0, and COMMAND too.
    #[must_use]
    pub(crate) fn ended_cleanly(&self) -> bool {
        let own = |claim: &Claim| match (claim.ended, self.claims.first()) {
            (None, Some(first)) if first.process == claim.process => self.end.map(|(end, _)| end),
            (ended, _) => ended,
        };
        let clean = |end: Option<End>| end == Some(End::Exit(0));
        clean(self.server().and_then(own)) && clean(self.end.map(|(end, _)| end))
    }

    /// Checks that a launcher saw the run end, and how.
    #[must_use]
    pub(crate) fn was_seen_to_end(&self) -> bool {
        self.end.is_some_and(|(end, _)| end != End::Unknown)
    }

    /// Checks that the server is known to have ended in another way than with status 0, seen by a
    /// launcher that may not have lived to note the end of the run.
    #[must_use]
    pub(crate) fn was_seen_to_crash(&self) -> bool {
        let of_server = self.server().and_then(|claim| claim.ended);
        let end = self.end.map(|(end, _)| end).filter(|end| *end != End::Unknown).or(of_server);
        end.is_some_and(|end| !matches!(end, End::Unknown | End::Exit(0)))
    }
}

/// The standing of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There, as far as the ledger knows.
    Present,
    /// Its removal was begun, and its outcome is not known.
    Intended,
    /// No longer there, without our doing.
    Gone,
    /// A removal was tried, with this outcome and detail.
    Tried(Outcome, String),
}

/// An object of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in the ledger.
    pub number: u64,
    /// The run that it belongs to.
    pub run: u64,
    /// Index into [`Book::places`].
    pub place: usize,
    /// The identity it is recognised by.
    pub identity: Identity,
    /// The proof by which it came in.
    pub how: How,
    /// Its role for its server.
    pub role: Role,
    /// The process that created it, where that is another one than the claimed.
    pub creator: Option<ProcessRef>,
    /// Its first bytes, as its last line has them: of a main segment, copied while its server
    /// lived.
    pub header: Option<CopiedHeader>,
    /// The time at which it came in.
    pub since: SystemTime,
    /// Its standing, and since when.
    pub standing: Standing,
    /// The time at which that was recorded.
    pub changed: SystemTime,
}

/// Something that a living server still held and someone else took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robbed {
    /// The run whose server it was.
    pub run: u64,
    /// The loss.
    pub loss: Loss,
    /// The object.
    pub identity: Identity,
    /// The time at which that was recorded.
    pub at: SystemTime,
    /// The highest number that an object had then.
    pub(super) objects: u64,
}

impl Recorded {
    /// Checks that it was adopted, and is of no run.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.how.is_adopted()
    }

    /// Checks that something may still have to be done about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.standing {
            Standing::Present | Standing::Intended => true,
            Standing::Gone => false,
            // A segment that was raced for is marked, and goes on the last detach; a set or queue
            // was left alone.
            Standing::Tried(Outcome::Raced, _) => {
                matches!(self.identity, Identity::Sem(_) | Identity::Msg(_))
            }
            Standing::Tried(outcome, _) => matches!(outcome, Outcome::Failed | Outcome::Kept),
        }
    }
}
