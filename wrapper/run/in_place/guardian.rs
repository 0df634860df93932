//! The guardian of a server in place: a process of its own session that no one waits for, with the
//! ledger, a pidfd and nothing else of what the server was given.

use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::net::UnixDatagram;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd;
use shmwarden::ledger::Ledger;
use shmwarden::sys::gate::Gated;
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::signals::SignalFd;
use shmwarden::sys::{process, signals};

use super::super::ancestry::Family;
use super::super::supervise::{Launcher, Start, Ward};
use super::super::{Plan, claim, events};
use crate::cli::RunArgs;
use crate::ledgers;
use crate::log as logging;

/// The socket for log lines (`syslog(3)`).
const SYSTEM_LOG: &str = "/dev/log";

/// The descriptors and facts that a guardian begins with.
pub(super) struct Guardian<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) plan: &'a Plan,
    /// Locked; the lock is the guardian's alone when the program is executed.
    pub(super) ledger: Ledger,
    pub(super) gated: Gated,
    /// The process that becomes the server.
    pub(super) pidfd: Option<PidFd>,
    /// Descriptors that the server inherits, and the guardian closes.
    pub(super) inherited: Vec<RawFd>,
    /// The other ends of the gate.
    pub(super) ends: [RawFd; 2],
}

impl Guardian<'_> {
    /// The guardian's whole life; its exit status, which nobody reads.
    pub(super) fn run(self) -> i32 {
        match self.begin() {
            Ok(mut launcher) => {
                launcher.guard();
                0
            }
            Err(why) => {
                log::error!("the guardian cannot begin: {why}");
                1
            }
        }
    }

    fn begin(self) -> Result<Launcher, String> {
        let system = |errno: Errno| errno.to_string();
        unistd::setsid().map_err(system)?;
        signals::block_all().map_err(system)?;
        // An inherited SIGCHLD=SIG_IGN would have the kernel reap helpers by itself.
        signals::dispose(nix::libc::SIGCHLD, false);
        events::let_go(&self.inherited);
        events::let_go(&self.ends);
        leave_stdio().map_err(|error| error.to_string())?;
        process::trim_memory();
        let arriving = SignalFd::open().map_err(system)?;
        let rows = claim::segments_before();
        let Self { args, plan, mut ledger, gated, pidfd, .. } = self;
        let process = claim::process(gated.pid)?;
        let run =
            ledgers::runs::begin(&mut ledger, &plan.argv, false).map_err(|e| e.to_string())?;
        let start = Start {
            program: plan.program.clone(),
            server: plan.server.clone(),
            ledger: Some((ledger, run)),
            child: gated,
            ward: Some(Ward::new(process, pidfd)),
            arriving,
            rows,
            family: Family::beside(),
            relay: None,
        };
        Ok(Launcher::new(args, start))
    }
}

/// Lets go of the terminal, and of every pipe: whoever reads what the server writes must see the
/// end of it when the server ends. Log lines still go to stderr where that is a file or the
/// journal, else to the system's log.
fn leave_stdio() -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    unistd::dup2_stdin(&null)?;
    unistd::dup2_stdout(&null)?;
    if is_file() || logging::is_journal() {
        return Ok(());
    }
    match system_log() {
        Ok(socket) => unistd::dup2_stderr(socket)?,
        Err(_) => unistd::dup2_stderr(null)?,
    }
    Ok(())
}

fn is_file() -> bool {
    let kind = fstat(std::io::stderr()).map(|found| SFlag::from_bits_truncate(found.st_mode));
    kind.is_ok_and(|kind| kind & SFlag::S_IFMT == SFlag::S_IFREG)
}

fn system_log() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SYSTEM_LOG)?;
    Ok(socket)
}
