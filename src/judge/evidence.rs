//! The evidence of a reason: a process that holds an object, or shows that an instance lives.

use std::fmt;

use crate::engine::opengauss;
use crate::object::ProcessRef;
use crate::snapshot::{Process, Sight};

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
    /// Set where its instance is dead: the process is an orphan.
    pub orphan: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_hidden() {
            return write!(f, "process {}", self.process.pid);
        }
        let command = self.command.escape_debug();
        write!(f, "process {} (state {}, {command}", self.process.pid, self.state)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice})"),
            None => f.write_str(")"),
        }
    }
}

impl Holder {
    /// Returns the holder that a process is.
    #[must_use]
    pub fn of(process: &Process, attachments: u64, orphan: bool) -> Self {
        let spaced = process.command.0.iter().map(|&byte| if byte == 0 { b' ' } else { byte });
        let command: Vec<u8> = spaced.collect();
        let command = String::from_utf8_lossy(&command).trim_end().to_owned();
        Self {
            process: process.process,
            uid: process.uids.map(|uids| uids[0]),
            command: if command.is_empty() { process.comm.lossy() } else { command },
            state: char::from(process.state),
            attachments,
            orphan,
        }
    }

    /// Returns a process that the kernel says is there, of which nothing but the pid can be read.
    #[must_use]
    pub fn hidden(pid: i32) -> Self {
        let process = ProcessRef { pid, start: 0 };
        let (uid, command, state) = (None, String::new(), '?');
        Self { process, uid, command, state, attachments: 0, orphan: false }
    }

    /// Checks whether nothing of it but its pid is known.
    #[must_use]
    pub(crate) fn is_hidden(&self) -> bool {
        self.command.is_empty() && self.state == '?'
    }

    /// Returns what to do about an orphan that will not end by itself, where that is known.
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
