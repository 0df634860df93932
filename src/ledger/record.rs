//! The records of a ledger: one type a record, in the words of `docs/ledger.md`.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::copied::CopiedHeader;
use super::own_file::OwnFile;
pub use crate::engine::Engine;
pub use crate::object::Place;
use crate::object::{Bytes, FileRef, Identity, ProcessRef};

/// The format that this program writes, and the newest that it reads.
pub const VERSION: u64 = 3;

/// The oldest format that can name semaphore sets, queues and adopted objects.
pub(crate) const VERSION_OF_SETS: u64 = 2;

/// The oldest format that can name files without a birth time, and the last detach of a server.
pub(crate) const VERSION_OF_UNBORN: u64 = 3;

/// The oldest format that can name strangers.
pub(crate) const VERSION_OF_STRANGERS: u64 = 3;

/// The oldest format that can name what a living server was robbed of.
pub(crate) const VERSION_OF_ROBBED: u64 = 3;

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// One more for each line; the first of a ledger that was never written anew has 1.
    pub seq: u64,
    /// The time at which it was written.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// `processes` of `/proc/stat`, as older versions wrote it: proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<u64>,
    /// Its record.
    #[serde(flatten)]
    pub record: Record,
}

/// The record of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The place where all that follows is true; repeated when a run begins somewhere else.
    Header(Header),
    /// A launcher begins.
    Run(RunStart),
    /// A process is about to execute the server, or does: what bears its pid is ours.
    Claim(Claim),
    /// A claimed process was seen alive (the fork count of the entry is the news).
    Alive {
        /// The run.
        run: u64,
        /// The process.
        #[serde(flatten)]
        process: ProcessRef,
    },
    /// A claimed process has ended, seen while its pid was still its own and its objects had been
    /// looked at: what bears that pid from now on is another's.
    Reaped {
        /// The run.
        run: u64,
        /// The process.
        #[serde(flatten)]
        process: ProcessRef,
        /// Its end.
        end: End,
    },
    /// An object is ours, or has moved on (the same number of `object` again).
    Object(ObjectSeen),
    /// An orphan of the past that `adopt` took in: of no run.
    Adopted(Adopted),
    /// An object that the server uses and did not create: never removed for it.
    Used {
        /// The run.
        run: u64,
        /// The object.
        #[serde(flatten)]
        identity: Identity,
    },
    /// A process that descends from the server and may be who used one of its sets or queues last.
    Descendant {
        /// The run.
        run: u64,
        /// The process.
        #[serde(flatten)]
        process: ProcessRef,
    },
    /// A process that does not descend from the server and was seen to have used one of its sets or
    /// queues last.
    Stranger {
        /// The set or queue.
        object: u64,
        /// The process.
        #[serde(flatten)]
        process: ProcessRef,
    },
    /// An object is there no more, without our doing.
    Gone {
        /// The object.
        object: u64,
    },
    /// An object that a living server still held was removed, or marked for removal, by someone
    /// else.
    Robbed {
        /// The run.
        run: u64,
        /// The loss.
        loss: Loss,
        /// The object.
        #[serde(flatten)]
        identity: Identity,
    },
    /// The object is about to be removed.
    Intent {
        /// The object.
        object: u64,
        /// Why it may be.
        reason: String,
    },
    /// The outcome.
    Outcome {
        /// The object.
        object: u64,
        /// The outcome.
        outcome: Outcome,
        /// Evidence, or the error.
        detail: String,
    },
    /// The main segment of a run whose server is dead was found unattached, before anybody here
    /// attached it to read it: its server died no later than this.
    Detached {
        /// The run.
        run: u64,
        /// The last detach, seconds since the epoch.
        seconds: i64,
    },
    /// A run has ended.
    End {
        /// The run.
        run: u64,
        /// The end of its server.
        end: End,
    },
}

/// The place where a ledger's objects and pids mean something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format.
    pub version: u64,
    /// The place.
    #[serde(flatten)]
    pub place: Place,
    /// The file that this was written to; `None` of versions that did not name it, and where the
    /// file system keeps no birth time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<OwnFile>,
}

/// A launcher that began, or a `record` of a server without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// Its number in this ledger, from 1.
    pub run: u64,
    /// The launcher.
    pub launcher: ProcessRef,
    /// Its effective user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// COMMAND and its arguments.
    pub argv: Vec<Bytes>,
    /// Version of the program.
    pub shmwarden: String,
    /// Set where that was no launcher but a `record`, which ended at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// By how much the wall clock was ahead of the boot clock, in milliseconds: where it is still
    /// the same, nobody has set the wall clock in between. Older ledgers lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
}

/// A process whose objects are ours. A second claim of the same process replaces the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run: u64,
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// User ids that it was seen with; root among them means that it may become anybody.
    pub uids: Vec<u32>,
    /// Its process group at the start.
    pub group: i32,
    /// Its session at the start.
    pub session: i32,
    /// Its control group (`/proc/<pid>/cgroup`).
    pub control_group: Bytes,
    /// The kind of server.
    pub engine: Engine,
    /// Major version, where the engine has one and it was found.
    pub major: Option<u32>,
    /// Data directory, where the engine has one.
    pub data: Option<DataDir>,
    /// The file that it executes, once it does.
    pub executable: Option<Executable>,
    /// Segments that bore this pid as creator before it was forked: not ours.
    pub before: Vec<i32>,
    /// Semaphore sets that a process of these users had made before it was forked: not ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets_before: Vec<i32>,
    /// Message queues, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues_before: Vec<i32>,
    /// `/proc/sys/kernel/pid_max` at that time, as older versions wrote it: proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_max: Option<u64>,
    /// The latest fork count of older versions' entries.
    #[serde(skip)]
    pub forks: Option<u64>,
    /// Its end, where that was seen; of a later record.
    #[serde(skip)]
    pub ended: Option<End>,
}

/// A server's data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDir {
    /// Absolute path.
    pub path: Bytes,
    /// Device and inode.
    #[serde(flatten)]
    pub file: FileRef,
}

/// The file that a server executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its path when it was executed.
    pub path: Bytes,
    /// Device and inode.
    #[serde(flatten)]
    pub file: FileRef,
}

/// An object of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSeen {
    /// Its number in this ledger, from 1.
    pub object: u64,
    /// The run that it belongs to.
    pub run: u64,
    /// The proof by which it came in.
    pub how: How,
    /// Its role for its server.
    pub role: Role,
    /// The identity it is recognised by.
    #[serde(flatten)]
    pub identity: Identity,
    /// The process that created it, where that is another one than the claimed; of a set or queue
    /// one that was seen to have used it last, since the kernel keeps no creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<ProcessRef>,
    /// The first bytes of a main segment, copied while its server lived. A program that does not
    /// know this attaches the segment instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<CopiedHeader>,
}

/// An object that was there before any ledger, and that is judged by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its number in this ledger, from 1.
    pub object: u64,
    /// [`How::Adopted`] or [`How::Named`].
    pub how: How,
    /// Its role for its server.
    pub role: Role,
    /// The identity it is recognised by.
    #[serde(flatten)]
    pub identity: Identity,
}

/// The ways in which an object comes into the ledger; with each, the proof that it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Seen while the claimed process lived, which is its creator; a set or queue, while it was new
    /// and nobody but that process had used it.
    Claim,
    /// Seen while its creator, a known descendant, lived; a set or queue, while it was new and
    /// nobody but known descendants had used it.
    Watch,
    /// A file that descendants were seen to have open and nobody to map: its user's other processes
    /// may want it all the same. Versions before 3 cannot name it.
    Opened,
    /// Seen while the claimed process, its creator, was an unreaped zombie; a set or queue, while
    /// it was new and nobody but that process or known descendants had used it.
    LastLook,
    /// Bears the claimed pid, and few forks were counted since the server was seen alive: what
    /// versions up to 0.1 took for a proof. Nothing is recorded so any more, nor removed.
    ForkCount,
    /// Its header names the claimed pid and the data directory.
    Header,
    /// Line 7 of `postmaster.pid` names it, and line 1 the claimed pid.
    PidFile,
    /// The server's own list (its control segment, or the header that names that) has it.
    Listed,
    /// Adopted by a filter: no process of its owner or creator lived.
    Adopted,
    /// Adopted by its number or name: processes of its owner or creator may live.
    Named,
}

impl How {
    /// Checks that it was adopted, and is no server's.
    #[must_use]
    pub fn is_adopted(self) -> bool {
        matches!(self, Self::Adopted | Self::Named)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claim => "created by the server",
            Self::Watch => "created by a descendant of the server",
            Self::Opened => "opened by the server or a descendant of it",
            Self::LastLook => "created by the server, seen at its death",
            Self::ForkCount => "bears the pid of the server, which is no proof",
            Self::Header => "its header names the server's pid and data directory",
            Self::PidFile => "named by postmaster.pid",
            Self::Listed => "listed by the server's control segment",
            Self::Adopted => "adopted: no process of its owner or creator lived",
            Self::Named => "adopted by its number or name",
        })
    }
}

/// The role of an object for its server; decides the order of removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One of PostgreSQL's dynamic shared memory segments.
    Dynamic,
    /// Nothing in particular.
    Other,
    /// PostgreSQL's list of its dynamic shared memory.
    Control,
    /// The segment that names the control segment, and is the two-servers interlock.
    Main,
}

/// The result of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is no more.
    Removed,
    /// It was gone, or another object, before anything was done.
    Gone,
    /// Something had changed at the last moment: not touched.
    Kept,
    /// Somebody attached between the last look and the removal: destroyed on the last detach.
    Raced,
    /// The kernel refused.
    Failed,
}

/// The loss of an object that a living server still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// It is there no more under its number or name.
    Removed,
    /// It has lost its key, and goes on the last detach.
    Marked,
}

impl Loss {
    /// Returns the word for scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Marked => "marked",
        }
    }
}

/// The end of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// With this status.
    Exit(i32),
    /// Of this signal.
    Signal(i32),
    /// It never executed: this errno.
    NotStarted(i32),
    /// Nobody saw it.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::NotStarted(_) => f.write_str("not started"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Times as RFC 3339 text with milliseconds.
pub(super) mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::ledger) fn serialize<S: Serializer>(
        time: &SystemTime,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(input)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

impl crate::Error {
    /// The error for a ledger of a version that is too new.
    #[must_use]
    pub fn newer(path: &std::path::Path, version: u64) -> Self {
        Self::Newer { path: path.to_owned(), version, known: VERSION }
    }
}
