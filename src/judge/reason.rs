//! Why an object is removed or kept: the reason that users read is the one that was acted on.

use std::fmt;

use crate::engine::opengauss;
use crate::judge::unowned::Against;
use crate::object::ProcessRef;
use crate::snapshot::Sight;

/// A process that holds an object, or is the reason why an instance counts as alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub process: ProcessRef,
    /// Its real user; `None` where it vanished meanwhile.
    pub uid: Option<u32>,
    /// Command line, or the name of the process where that is empty; not yet safe for a terminal.
    pub command: String,
    /// State letter of `proc(5)`.
    pub state: char,
    /// Mappings of the object.
    pub attachments: u64,
    /// Whether its instance is dead: an orphan.
    pub orphan: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command.escape_debug();
        write!(f, "process {} (state {}, {command}", self.process.pid, self.state)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice})"),
            None => f.write_str(")"),
        }
    }
}

impl Holder {
    /// What to do about an orphan that will not end by itself, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let fenced = self.orphan && opengauss::is_fenced_master(&self.command);
        let pid = self.process.pid;
        fenced.then(|| {
            format!(
                "an openGauss server leaves it behind, it does no more work: end it by kill {pid}"
            )
        })
    }
}

/// Why something of an instance counts as alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A process that the ledger claims.
    Claimed(Holder),
    /// `postmaster.pid` names this process, which runs the server's executable.
    PidFile(Holder),
    /// It runs the server's executable in its data directory.
    RunsHere(Holder),
    /// It descends from the server.
    Descends(Holder),
    /// It is the launcher of a run, which holds the lock of another file than this ledger.
    Launcher(Holder),
    /// It looks like one of the server's processes and cannot be looked into.
    Closed(Holder),
    /// A run in another PID namespace, of which nothing proves the death.
    OtherPids {
        /// The run.
        run: u64,
    },
    /// A claimed process that `/proc` does not show and the kernel says is there.
    Hidden {
        /// Its pid.
        pid: i32,
    },
    /// This `/proc` hides processes from the onlooker.
    HiddenProcesses,
    /// Processes of other PID namespaces cannot be seen from here.
    OutsideProcesses,
    /// `postmaster.pid` is there and cannot be read or understood.
    PidFileClosed {
        /// The data directory.
        path: String,
    },
}

impl Evidence {
    /// The process that it is about.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Claimed(h) | Self::PidFile(h) | Self::RunsHere(h) => Some(h),
            Self::Descends(h) | Self::Closed(h) | Self::Launcher(h) => Some(h),
            Self::OtherPids { .. }
            | Self::Hidden { .. }
            | Self::HiddenProcesses
            | Self::OutsideProcesses
            | Self::PidFileClosed { .. } => None,
        }
    }

    /// Returns what keeps an object that somebody whom the onlooker cannot see may use.
    #[must_use]
    pub fn of_sight(sight: Sight) -> Option<Self> {
        match sight {
            Sight::Everybody => None,
            Sight::Namespace => Some(Self::OutsideProcesses),
            Sight::Part => Some(Self::HiddenProcesses),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed(h) => write!(f, "the server lives: {h}"),
            Self::PidFile(h) => write!(f, "postmaster.pid names a living server: {h}"),
            Self::RunsHere(h) => write!(f, "{h} runs the server's program in its data directory"),
            Self::Descends(h) => write!(f, "{h}, started by the server, still runs"),
            Self::Launcher(h) => {
                write!(f, "its launcher lives and holds the lock of another file: {h}")
            }
            Self::Closed(h) => write!(f, "{h} may be the server's, and may not be looked into"),
            Self::OtherPids { run } => write!(
                f,
                "run {run} was in another PID namespace, from where its death cannot be seen"
            ),
            Self::Hidden { pid } => write!(
                f,
                "process {pid}, which the ledger claims, may live: this /proc does not show it"
            ),
            Self::HiddenProcesses => f.write_str(
                "this /proc hides processes (hidepid), which may use it: sweep as root on the host",
            ),
            Self::OutsideProcesses => f.write_str(
                "processes outside this container (PID namespace) cannot be seen, and may use it: \
                 sweep from the host",
            ),
            Self::PidFileClosed { path } => {
                write!(f, "{}/postmaster.pid cannot be read", path.escape_debug())
            }
        }
    }
}

/// Why an object is removed, kept or forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Removed: its server is dead and nobody uses it.
    Dead,
    /// The instance lives.
    Live(Evidence),
    /// A process of the dead instance is left.
    OrphanLives(Evidence),
    /// Whether the instance lives cannot be seen.
    Unseen(Evidence),
    /// The ledger is of another boot.
    OtherBoot,
    /// The object is of another IPC namespace.
    OtherIpcNamespace,
    /// The file is on another file system than the `/dev/shm` that is here.
    OtherMount,
    /// The number or name now means another object.
    Changed(&'static str),
    /// Somebody has it attached.
    Attached(u64),
    /// Somebody has it mapped.
    Mapped,
    /// A process has the file open.
    Opened(Holder),
    /// Somebody has the file locked.
    Locked,
    /// A process that may have it mapped may not be looked into.
    PerhapsMapped(Holder),
    /// It is marked for destruction already: the kernel destroys it on the last detach.
    Dest,
    /// Another object of the instance is in use.
    InstanceHeld(String),
    /// Left after a clean exit.
    LeftClean,
    /// Nobody saw how its generic server ended, and the next start can find it by its key or name.
    LeftUnseen,
    /// What the server wrote is not understood.
    UnknownLayout(String),
    /// An object that the main segment's list names has to stay.
    ListedStays(String),
    /// The removal of an object that goes first did not succeed.
    EarlierStays(String),
    /// It bears the server's pid, and that may have been given out again since.
    PidReused,
    /// It looks like this server's, and no list of the server's has it.
    Unlisted,
    /// The server's list names it, and it is another user's.
    Foreign,
    /// Adopted, and nobody uses it.
    Adopted,
    /// Adopted, and what it shows now speaks against its removal.
    NotOrphan(Against),
    /// An object that belongs to it, and is not adopted.
    NotAdopted(String),
    /// So many threads wait for the set or queue.
    Waited(u64),
    /// A process that may wait for the queue may not be asked.
    PerhapsWaited(Holder),
    /// A process that used the set or queue last lives.
    LastUserLives(Holder),
    /// Who used the set or queue last cannot be seen.
    LastUserUnseen,
    /// A process that is none of the server's was seen to use the set or queue, and lives.
    SharedWith(Holder),
    /// A process lives that is none of the server's and could use the set or queue.
    OthersMayUse(Holder),
    /// Who else could use the set or queue cannot be seen.
    OthersUnseen,
    /// The set or queue may not be looked at.
    Unreadable,
    /// Nobody saw the server end, and this process, which the ledger does not know, used it last.
    UserUnrecorded(i32),
    /// The set or queue was changed after the end of its server.
    ChangedSince,
    /// A file whose file system keeps no birth time, and why nothing else tells it from another.
    NoBirthTime(&'static str),
    /// Somebody whom the ledger does not know used it last.
    UsedSince,
    /// A living instance of another ledger uses it, or may.
    UsedElsewhere {
        /// That ledger.
        ledger: String,
        /// Whether it could be read.
        read: bool,
    },
    /// The name of this IPC namespace may have been another's.
    UnsureSpace,
    /// Nobody saw the set or queue appear, and the server used it last.
    Unwitnessed,
    /// Not there any more.
    Gone,
}

impl Reason {
    /// A word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Live(_) => "live",
            Self::OrphanLives(_) => "orphan-lives",
            Self::Unseen(_) => "unseen",
            Self::OtherBoot => "other-boot",
            Self::OtherIpcNamespace => "other-ipc-namespace",
            Self::OtherMount => "other-mount",
            Self::Changed(_) => "changed",
            Self::Attached(_) => "attached",
            Self::Mapped => "mapped",
            Self::Opened(_) => "open",
            Self::Locked => "locked",
            Self::PerhapsMapped(_) => "perhaps-mapped",
            Self::Dest => "dest",
            Self::InstanceHeld(_) => "instance-held",
            Self::LeftClean => "left-clean",
            Self::LeftUnseen => "left-unseen",
            Self::UnknownLayout(_) => "unknown-layout",
            Self::ListedStays(_) => "listed-stays",
            Self::EarlierStays(_) => "earlier-stays",
            Self::PidReused => "pid-reused",
            Self::Unlisted => "unlisted",
            Self::Foreign => "foreign",
            Self::Adopted => "adopted",
            Self::NotOrphan(against) => against.code(),
            Self::NotAdopted(_) => "not-adopted",
            Self::Waited(_) => "waited-for",
            Self::PerhapsWaited(_) => "perhaps-waited-for",
            Self::LastUserLives(_) => "last-user-lives",
            Self::LastUserUnseen => "last-user-unseen",
            Self::SharedWith(_) => "shared",
            Self::OthersMayUse(_) => "others-may-use",
            Self::OthersUnseen => "others-unseen",
            Self::Unreadable => "unreadable",
            Self::UserUnrecorded(_) => "user-unrecorded",
            Self::ChangedSince => "changed-since",
            Self::NoBirthTime(_) => "no-birth-time",
            Self::UsedSince => "used-since",
            Self::UsedElsewhere { .. } => "used-elsewhere",
            Self::UnsureSpace => "unsure-namespace",
            Self::Unwitnessed => "unwitnessed",
            Self::Gone => "gone",
        }
    }

    /// Whether what bears the object's number or name here is another one.
    #[must_use]
    pub fn is_of_elsewhere(&self) -> bool {
        use Reason::{Changed, OtherBoot, OtherIpcNamespace, OtherMount};
        matches!(self, OtherBoot | OtherIpcNamespace | OtherMount | Changed(_))
    }

    /// Whether the object, by itself, keeps all of its instance from being removed. Who used a set
    /// last need not be of the instance: its pid may be another's by now. Nor is anybody outside
    /// this PID namespace, which no process leaves.
    #[must_use]
    pub fn holds_the_rest(&self) -> bool {
        let perhaps =
            matches!(self, Self::LastUserLives(_) | Self::SharedWith(_) | Self::PerhapsWaited(_));
        (self.is_held() && !perhaps)
            || matches!(self, Self::Unseen(by) if *by != Evidence::OutsideProcesses)
    }

    /// Whether the object is kept because somebody holds it or something else of its instance.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(
            self,
            Self::Attached(_)
                | Self::Mapped
                | Self::Opened(_)
                | Self::Locked
                | Self::PerhapsMapped(_)
                | Self::Dest
                | Self::InstanceHeld(_)
                | Self::OrphanLives(_)
                | Self::Waited(_)
                | Self::PerhapsWaited(_)
                | Self::LastUserLives(_)
                | Self::SharedWith(_)
        ) || matches!(self, Self::NotOrphan(against) if against.is_use())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead => f.write_str("its server is dead and nobody uses it"),
            Self::Live(evidence) => evidence.fmt(f),
            Self::OrphanLives(evidence) => write!(f, "the server is dead, but {evidence}"),
            Self::Unseen(evidence) => evidence.fmt(f),
            Self::OtherBoot => f.write_str("the ledger is of another boot"),
            Self::OtherIpcNamespace => f.write_str("it is of another IPC namespace"),
            Self::OtherMount => f.write_str("it is on another file system than this /dev/shm"),
            Self::Changed(what) => {
                write!(f, "the number now names another object: its {what} differs")
            }
            Self::Attached(1) => f.write_str("it is attached once (nattch 1)"),
            Self::Attached(n) => write!(f, "it is attached {n} times (nattch {n})"),
            Self::Mapped => f.write_str("a process has it mapped"),
            Self::Opened(h) => write!(f, "{h} has it open"),
            Self::Locked => {
                f.write_str("somebody has it locked (flock), or /proc/locks cannot be read")
            }
            Self::PerhapsMapped(h) => {
                write!(f, "{h} may have it mapped, and may not be looked into")
            }
            Self::Dest => f.write_str("it is marked for destruction and goes on the last detach"),
            Self::InstanceHeld(what) => write!(f, "{what} of the same server is still in use"),
            Self::LeftClean => {
                f.write_str("the server left it after a clean exit (--include-clean removes it)")
            }
            Self::LeftUnseen => f.write_str(
                "nobody saw how its server ended, which may have left it for its next start: \
                 `shmwarden sweep --include-clean LEDGER` removes it",
            ),
            Self::UnknownLayout(why) => write!(f, "nothing of this server is removed: {why}"),
            Self::ListedStays(what) => write!(f, "{what}, which it lists, has to stay"),
            Self::EarlierStays(what) => write!(f, "{what}, which goes first, was not removed"),
            Self::PidReused => f.write_str(
                "nobody saw the server create it, and the server's pid may be another's by now",
            ),
            Self::Unlisted => f.write_str(
                "it was made while the server ran, nobody uses it, and the server's list does not \
                 name it: it may be another's",
            ),
            Self::Foreign => f.write_str("the server's list names it, and it is another user's"),
            Self::Adopted => f.write_str("it was adopted, and nobody uses it"),
            Self::NotOrphan(against) => against.fmt(f),
            Self::NotAdopted(what) => write!(
                f,
                "{what} belongs to the same server and is not adopted: adopt it too, then sweep"
            ),
            Self::Waited(1) => f.write_str("a thread waits for it"),
            Self::Waited(n) => write!(f, "{n} threads wait for it"),
            Self::PerhapsWaited(h) => write!(f, "{h} may wait for it, and may not be asked"),
            Self::LastUserLives(h) => write!(f, "{h} used it last, and lives"),
            Self::LastUserUnseen => f.write_str(
                "who used it last cannot be seen from here (another PID namespace, or hidepid)",
            ),
            Self::SharedWith(h) => {
                write!(f, "{h} is none of the server's, has used it, and lives")
            }
            Self::OthersMayUse(h) => write!(
                f,
                "it has a key, and {h} could use it, which is none of the server's: kept while \
                 such a process lives; if you know that nobody uses it, remove it by hand (ipcrm)"
            ),
            Self::OthersUnseen => f.write_str(
                "it has a key, and who else could use it cannot be seen from here (another PID \
                 namespace, or hidepid)",
            ),
            Self::Unreadable => f.write_str(
                "who uses it may not be asked: look as its owner or root, on Linux 4.17 or later",
            ),
            Self::UserUnrecorded(pid) => write!(
                f,
                "nobody saw the server end, and process {pid}, which is not in the ledger, used \
                 it last"
            ),
            Self::ChangedSince => f.write_str("it was changed after the server had ended"),
            Self::NoBirthTime(why) => write!(
                f,
                "its file system keeps no birth times, so that it cannot be told from a later file \
                 of its name: {why}"
            ),
            Self::UsedSince => f.write_str(
                "it was used last by somebody whom the ledger does not know, and a process that \
                 may use it lives",
            ),
            Self::UsedElsewhere { ledger, read: true } => {
                write!(f, "a living server uses it, says {}", ledger.escape_debug())
            }
            Self::UsedElsewhere { ledger, read: false } => write!(
                f,
                "{}, which could not be read, may name it as used by a living server",
                ledger.escape_debug()
            ),
            Self::UnsureSpace => f.write_str(
                "this IPC namespace cannot be told from an earlier one (that takes Linux 6.18)",
            ),
            Self::Unwitnessed => f.write_str(
                "nobody saw who made it, and the server used it last: it may be another's",
            ),
            Self::Gone => f.write_str("it is not there any more"),
        }
    }
}
