//! The words for a use of an object: in what way, by whom, how often, and the reason that it is.

use crate::judge::Reason;
use crate::judge::evidence::{Evidence, Holder};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::snapshot::{Clock, Process, Snapshot};

/// A kind of use, certain or possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is marked for destruction, which the last detach brings about.
    Dest,
    /// The segment is attached.
    Attached,
    /// The file is mapped.
    Mapped,
    /// The file is open.
    Open,
    /// The file is locked (`flock(2)`), or that could not be read.
    Locked,
    /// Somebody waits for the set or queue.
    Waits,
    /// The last to attach or detach the segment lives, and may come back.
    UsedLast,
    /// The last to operate a member of the set lives: it may be inside its critical section.
    OperatedLast,
    /// The last to send to the queue lives.
    SentLast,
    /// The last to receive from the queue lives.
    ReceivedLast,
    /// A stranger that was seen to use it while its server lived, and lives.
    Shared,
    /// The process of its creator's pid lives.
    Creator,
    /// A process that may not be looked into may have the file mapped or open.
    MayMap,
    /// A process that may not be asked may wait for the queue.
    MayWait,
    /// Its last user cannot be seen.
    LastUserUnseen,
    /// Its users may not be asked for.
    Unreadable,
    /// Processes that cannot be seen may use it.
    Unseen,
    /// Processes of the run's PID namespace, which is another than this, may use it.
    OtherPids,
    /// Somebody whom the ledger does not know used it, and nobody saw the server end.
    Unrecorded,
    /// It was changed after the server had ended.
    ChangedSince,
    /// Somebody whom the ledger does not know used it last, and may use it again.
    UsedSince,
    /// A process that is none of the server's could use it by its key and mode.
    MayUse,
    /// Others could use it by its key, and cannot be seen.
    OthersUnseen,
}

impl Kind {
    /// Every kind, certain ones first.
    pub const ALL: [Self; 23] = [
        Self::Dest,
        Self::Attached,
        Self::Mapped,
        Self::Open,
        Self::Locked,
        Self::Waits,
        Self::UsedLast,
        Self::OperatedLast,
        Self::SentLast,
        Self::ReceivedLast,
        Self::Shared,
        Self::Creator,
        Self::MayMap,
        Self::MayWait,
        Self::LastUserUnseen,
        Self::Unreadable,
        Self::Unseen,
        Self::OtherPids,
        Self::Unrecorded,
        Self::ChangedSince,
        Self::UsedSince,
        Self::MayUse,
        Self::OthersUnseen,
    ];

    /// Checks that it is a use that was seen, and no doubt.
    #[must_use]
    pub(crate) fn is_certain(self) -> bool {
        self < Self::MayMap
    }

    /// Checks that whoever it is by holds the object, or may take hold of it again at once.
    #[must_use]
    pub(crate) fn is_hold(self) -> bool {
        matches!(
            self,
            Self::Attached
                | Self::Mapped
                | Self::Open
                | Self::Waits
                | Self::UsedLast
                | Self::OperatedLast
                | Self::SentLast
                | Self::ReceivedLast
                | Self::Shared
        )
    }

    /// Returns the word of the JSON documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dest => "dest",
            Self::Attached => "attached",
            Self::Mapped => "mapped",
            Self::Open => "open",
            Self::Locked => "locked",
            Self::Waits => "waits",
            Self::UsedLast => "last-used",
            Self::OperatedLast => "operated-last",
            Self::SentLast => "sent-last",
            Self::ReceivedLast => "received-last",
            Self::Shared => "shared",
            Self::Creator => "creator",
            Self::MayMap => "may-map",
            Self::MayWait => "may-wait",
            Self::LastUserUnseen => "last-user-unseen",
            Self::Unreadable => "unreadable",
            Self::Unseen => "unseen",
            Self::OtherPids => "other-pids",
            Self::Unrecorded => "user-unrecorded",
            Self::ChangedSince => "changed-since",
            Self::UsedSince => "used-since",
            Self::MayUse => "may-use",
            Self::OthersUnseen => "others-unseen",
        }
    }

    /// Checks that it is a doubt about others than the server, who never showed: it counts after
    /// what the object and its server show.
    #[must_use]
    pub(crate) fn is_of_others(self) -> bool {
        matches!(self, Self::MayUse | Self::OthersUnseen)
    }
}

/// One use of an object, or the doubt that there may be one.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// The kind of the use.
    pub kind: Kind,
    /// By whom, where that is known.
    pub by: By<'a>,
    /// The number of attachments, mappings or waiting threads; 0 where nothing is counted.
    pub times: u64,
}

/// A user of an object.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// This process.
    Process(&'a Process),
    /// A process of which nothing but the pid is known.
    Pid(i32),
    /// Somebody whom the kernel counts, or of whom nothing is known.
    Somebody,
}

impl By<'_> {
    /// Returns the pid, where it is known.
    #[must_use]
    pub fn pid(self) -> Option<i32> {
        match self {
            Self::Process(process) => Some(process.process.pid),
            Self::Pid(pid) => Some(pid),
            Self::Somebody => None,
        }
    }

    fn holder(self) -> Holder {
        match self {
            Self::Process(process) => Holder::of(process, 0, false),
            Self::Pid(pid) => Holder::hidden(pid),
            Self::Somebody => Holder::hidden(0),
        }
    }
}

/// The knowledge of an object besides what it shows itself.
#[derive(Debug, Clone, Copy)]
pub enum Context<'b> {
    /// A ledger has it as its server's.
    Recorded(&'b Book, &'b Recorded),
    /// No server's ledger has it. For a segment of another PID namespace's time: whether nattch
    /// tells all of its use, since its server's processes keep it attached.
    Unowned {
        /// That.
        by_nattch: bool,
    },
}

impl<'b> Context<'b> {
    pub(super) fn recorded(self) -> Option<(&'b Book, &'b Recorded)> {
        match self {
            Self::Recorded(book, object) => Some((book, object)),
            Self::Unowned { .. } => None,
        }
    }

    pub(super) fn run(self) -> Option<&'b Run> {
        let (book, object) = self.recorded()?;
        book.runs.get(&object.run)
    }

    /// Returns what the ledger knows of the clock that stamped the last use.
    pub(super) fn clock(self) -> Option<Clock> {
        self.run().and_then(Run::clock)
    }
}

impl<'a> Use<'a> {
    pub(super) fn by(kind: Kind, by: By<'a>, times: u64) -> Self {
        Self { kind, by, times }
    }

    pub(super) fn somebody(kind: Kind, times: u64) -> Self {
        Self { kind, by: By::Somebody, times }
    }

    pub(super) fn doubt(kind: Kind) -> Self {
        Self { kind, by: By::Somebody, times: 0 }
    }

    /// Returns the reason that keeps an object for this use. The codes for objects of no ledger
    /// are older than this one answer: scripts know them.
    #[must_use]
    pub fn reason(&self, look: &Snapshot, context: Context<'_>) -> Reason {
        let recorded = context.recorded().is_some();
        match self.kind {
            Kind::Dest => Reason::Dest,
            Kind::Attached => Reason::Attached(self.times),
            Kind::Mapped => Reason::Mapped(self.by.holder()),
            Kind::Open => Reason::Opened(self.by.holder()),
            Kind::Locked => Reason::Locked,
            Kind::Waits if recorded || self.by.pid().is_none() => Reason::Waited(self.times),
            Kind::Waits => Reason::Blocked(self.by.holder()),
            Kind::UsedLast | Kind::OperatedLast | Kind::SentLast | Kind::ReceivedLast => {
                Reason::LastUserLives(self.by.holder())
            }
            Kind::Shared => Reason::SharedWith(self.by.holder()),
            Kind::Creator => Reason::CreatorLives(self.by.holder()),
            Kind::MayMap if self.by.pid().is_none() => Reason::Unasked,
            Kind::MayMap => Reason::PerhapsMapped(self.by.holder()),
            Kind::MayWait if recorded => Reason::PerhapsWaited(self.by.holder()),
            Kind::MayWait => Reason::PerhapsBlocked(self.by.holder()),
            Kind::LastUserUnseen => Reason::LastUserUnseen,
            Kind::Unreadable if recorded => Reason::Unreadable,
            Kind::Unreadable => Reason::LastUserUnseen,
            Kind::Unseen if recorded => {
                Reason::Unseen(Evidence::of_sight(look.sight).unwrap_or(Evidence::HiddenProcesses))
            }
            Kind::Unseen => Reason::UseUnseen,
            Kind::OtherPids => {
                let run = context.run().map_or(0, |run| run.start.run);
                Reason::Unseen(Evidence::OtherPids { run })
            }
            Kind::Unrecorded => Reason::UserUnrecorded(self.by.pid().unwrap_or(0)),
            Kind::ChangedSince => Reason::ChangedSince,
            Kind::UsedSince => Reason::UsedSince,
            Kind::MayUse => Reason::OthersMayUse(self.by.holder()),
            Kind::OthersUnseen => Reason::OthersUnseen,
        }
    }
}
