//! What speaks against taking an object for an orphan: the reasons that users read.

use std::fmt;
use std::time::Duration;

/// What speaks against taking an object for an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// A ledger has it, or may: its name, and what `sweep` would say.
    Recorded(String),
    /// A server that a ledger knows to be dead may have made or used it: the ledger, and why.
    Suspect(String),
    /// A ledger that has it may be here, which could not be looked at.
    LedgerUnread(String),
    /// It is attached so many times.
    Attached(u64),
    /// It is marked for destruction.
    Dest,
    /// This process has it mapped.
    Mapped(i32),
    /// This process has it open.
    Opened(i32),
    /// Somebody has it locked.
    Locked,
    /// This process may have it mapped, and may not be looked into.
    PerhapsMapped(i32),
    /// Processes that the caller cannot see may have it mapped, or wait for it.
    UseUnseen,
    /// So many processes wait for it.
    Waited(u64),
    /// This process waits for it.
    Blocked(i32),
    /// This process may wait for it, and may not be looked into.
    PerhapsBlocked(i32),
    /// This process used it last, and lives.
    LastUserLives(i32),
    /// Who used it last cannot be seen.
    LastUserUnseen,
    /// A process of its creator's pid lives.
    CreatorLives(i32),
    /// This list of a living server may name it.
    Listed(String),
    /// A list of a dead server names it.
    ListedByDead {
        /// The list.
        list: String,
        /// What it is to be taken with: the server's main segment, or the list.
        first: String,
    },
    /// This may be a list of its user's, and could not be read.
    ListUnread(String),
    /// It is younger than was asked for.
    Young(Duration),
    /// A file without birth time, changed after the last process of its server had ended.
    ChangedSince,
    /// Nothing tells it from a later object of the same number or name.
    NoIdentity,
    /// This one, which belongs to it, has to stay, and why.
    ListedStays(String, Box<Against>),
    /// This main segment names it as its list, and is not taken.
    MainStays(String),
    /// This may be the main segment that names it as its list, and cannot be read, and why.
    MayLead(String, Box<Against>),
    /// It is a list, and how it is laid out is not known.
    UnknownLayout,
    /// What the server wrote into it could not be read.
    Unreadable,
    /// The kernel would not let the caller remove it.
    NotYours(u32),
    /// This process of its owner or creator lives, or of another user whom its mode lets in.
    UserLives {
        /// Its pid.
        pid: i32,
        /// Whose.
        uid: u32,
    },
    /// This process lives, and whose it is could not be read.
    UserUnread(i32),
    /// Processes of other users are hidden from the caller.
    Hidden,
    /// Processes of another PID namespace, which cannot be seen, may use what is here.
    PidsElsewhere,
    /// Its creator, or another of the same user, is in another PID namespace.
    CreatorUnseen(u32),
    /// The list that its header names is not here.
    ListElsewhere(String),
    /// A file that is not of PostgreSQL's form: nothing tells a leak from what is to stay.
    AnyFile,
}

impl Against {
    /// A word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::Suspect(_) => "suspect",
            Self::LedgerUnread(_) => "ledger-unread",
            Self::Attached(_) => "attached",
            Self::Dest => "dest",
            Self::Mapped(_) => "mapped",
            Self::Opened(_) => "open",
            Self::Locked => "locked",
            Self::PerhapsMapped(_) => "perhaps-mapped",
            Self::UseUnseen => "use-unseen",
            Self::Waited(_) => "waited-for",
            Self::Blocked(_) => "blocked-on",
            Self::PerhapsBlocked(_) => "perhaps-blocked-on",
            Self::LastUserLives(_) => "last-user-lives",
            Self::LastUserUnseen => "last-user-unseen",
            Self::CreatorLives(_) => "creator-lives",
            Self::Listed(_) => "listed",
            Self::ListedByDead { .. } => "listed-by-dead",
            Self::ListUnread(_) => "list-unread",
            Self::Young(_) => "young",
            Self::ChangedSince => "changed-since",
            Self::NoIdentity => "no-identity",
            Self::ListedStays(..) => "listed-stays",
            Self::MainStays(_) => "main-stays",
            Self::MayLead(..) => "may-lead",
            Self::UnknownLayout => "unknown-layout",
            Self::Unreadable => "unreadable",
            Self::NotYours(_) => "not-yours",
            Self::UserLives { .. } => "user-lives",
            Self::UserUnread(_) => "user-unread",
            Self::Hidden => "processes-hidden",
            Self::PidsElsewhere => "pids-elsewhere",
            Self::CreatorUnseen(_) => "creator-unseen",
            Self::ListElsewhere(_) => "list-elsewhere",
            Self::AnyFile => "any-file",
        }
    }

    /// Whether it speaks against a filter only: who names the very object may know better.
    #[must_use]
    pub fn is_waived_by_name(&self) -> bool {
        matches!(
            self,
            Self::Suspect(_)
                | Self::LedgerUnread(_)
                | Self::UserLives { .. }
                | Self::UserUnread(_)
                | Self::Hidden
                | Self::PidsElsewhere
                | Self::CreatorUnseen(_)
                | Self::ListElsewhere(_)
                | Self::AnyFile
        )
    }

    /// Whether somebody uses the object, or may.
    #[must_use]
    pub fn is_use(&self) -> bool {
        matches!(
            self,
            Self::Attached(_)
                | Self::Dest
                | Self::Mapped(_)
                | Self::Opened(_)
                | Self::Locked
                | Self::PerhapsMapped(_)
                | Self::Waited(_)
                | Self::Blocked(_)
                | Self::PerhapsBlocked(_)
                | Self::LastUserLives(_)
        )
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(what) => {
                write!(f, "a ledger has it, or may have it, so that `sweep` judges it: {what}")
            }
            Self::Suspect(what) => {
                write!(f, "a dead server's, perhaps; adopt it by its number or name: {what}")
            }
            Self::LedgerUnread(place) => write!(
                f,
                "a ledger may have it: {place} could not be looked at; adopt it by its number or \
                 name if you know better"
            ),
            Self::Attached(1) => f.write_str("it is attached once (nattch 1)"),
            Self::Attached(n) => write!(f, "it is attached {n} times (nattch {n})"),
            Self::Dest => f.write_str("it is marked for destruction and goes on the last detach"),
            Self::Mapped(pid) => write!(f, "process {pid} has it mapped"),
            Self::Opened(pid) => write!(f, "process {pid} has it open"),
            Self::Locked => {
                f.write_str("somebody has it locked (flock), or /proc/locks cannot be read")
            }
            Self::PerhapsMapped(pid) => {
                write!(f, "process {pid} may have it mapped, and may not be looked into")
            }
            Self::UseUnseen => f.write_str(
                "processes that cannot be seen from here (hidepid, or outside this container) may \
                 use it: look as root on the host",
            ),
            Self::Waited(1) => f.write_str("a process waits for it"),
            Self::Waited(n) => write!(f, "{n} processes wait for it"),
            Self::Blocked(pid) => write!(f, "process {pid} waits for it"),
            Self::PerhapsBlocked(pid) => {
                write!(f, "process {pid} may wait for it, and may not be looked into")
            }
            Self::LastUserLives(pid) => write!(f, "process {pid}, which used it last, lives"),
            Self::LastUserUnseen => f.write_str("who used it last cannot be seen from here"),
            Self::CreatorLives(pid) => write!(
                f,
                "its creator, process {pid}, lives (or another process bears that number now)"
            ),
            Self::Listed(list) => {
                write!(f, "{list}, the list of a server that may live, names it")
            }
            Self::ListedByDead { list, first } => write!(
                f,
                "{list}, the list of a dead server, names it: adopt {first}, and it comes along"
            ),
            Self::ListUnread(what) => {
                write!(f, "{what} of the same user may be a server's list, and cannot be read")
            }
            Self::Young(least) => {
                let least = humantime::format_duration(*least);
                write!(f, "it was made or changed less than {least} ago (--min-age)")
            }
            Self::ChangedSince => f.write_str(
                "it was changed after its server had ended, and its file system keeps no birth \
                 times: it may be a later file of that name",
            ),
            Self::NoIdentity => {
                f.write_str("nothing would tell it from a later one of the same number or name")
            }
            Self::ListedStays(what, why) => {
                write!(f, "{what} of the same server stays: {why}")
            }
            Self::MainStays(what) => {
                write!(f, "{what} leads to it: adopt that, and it comes along")
            }
            Self::MayLead(what, why) => {
                write!(f, "{what} of the same user may lead to it, and is left alone: {why}")
            }
            Self::UnknownLayout => {
                f.write_str("it is a server's list in a form that this shmwarden does not know")
            }
            Self::Unreadable => f.write_str("what a server wrote into it cannot be read"),
            Self::NotYours(uid) => write!(f, "it belongs to user {uid}: run as that user or root"),
            Self::UserLives { pid, uid } => write!(
                f,
                "process {pid} of user {uid}, who may use it, lives, and may want it: adopt it by \
                 its number or name if you know better"
            ),
            Self::UserUnread(pid) => write!(
                f,
                "process {pid} lives, and whose it is cannot be read: adopt it by its number or \
                 name if you know better"
            ),
            Self::Hidden => f.write_str(
                "processes of other users are hidden from you (hidepid): adopt it by its number or \
                 name if you know better",
            ),
            Self::PidsElsewhere => f.write_str(
                "not every process that could use it can be seen from this PID namespace: adopt it \
                 by its number or name if you know better",
            ),
            Self::CreatorUnseen(uid) => write!(
                f,
                "processes of its user {uid} are in another PID namespace and cannot be seen: \
                 adopt it by its number or name if you know better"
            ),
            Self::ListElsewhere(list) => write!(
                f,
                "its header leads to {list}, which is not here: perhaps in another /dev/shm; adopt \
                 it by its number if that is gone"
            ),
            Self::AnyFile => f.write_str(
                "a file that nobody maps may have been put there to stay: adopt it by its name",
            ),
        }
    }
}
