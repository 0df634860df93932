//! The gate between a process that executes the program itself and a guardian beside it: the
//! guardian claims and opens, the process waits, executes, and is the server.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::super::{Result, signals};
use super::{DURABLE, Gated, Program, execute};

unsafe extern "C" {
    /// The environment of this process as the kernel gave it (`environ(7)`).
    static environ: *const *const libc::c_char;
}

/// The end of the gate at which the process waits that will execute the program.
#[derive(Debug)]
pub struct Waiting {
    gate: File,
    report: File,
}

/// The word that came through the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The claim is on disk.
    Durable,
    /// It could not be written.
    NotDurable,
    /// The guardian is dead, or has given up.
    Nobody,
    /// Nothing, for as long as was waited.
    Nothing,
}

/// Both ends of a gate before `pid`, which is this process: the guardian's, and its own.
///
/// # Errors
/// What `pipe2` says.
pub fn between(pid: i32) -> Result<(Gated, Waiting)> {
    let (gate_out, gate_in) = pipe2(OFlag::O_CLOEXEC)?;
    let (report_out, report_in) = pipe2(OFlag::O_CLOEXEC)?;
    let gated = Gated { pid, gate: Some(gate_in.into()), report: report_out.into(), word: DURABLE };
    Ok((gated, Waiting { gate: gate_out.into(), report: report_in.into() }))
}

impl Waiting {
    /// Waits for the guardian, not longer than until then.
    pub fn wait(&mut self, until: Instant) -> Heard {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.gate.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return Heard::Nothing,
                Ok(_) => break,
            }
        }
        let mut word = [0_u8];
        match self.gate.read_exact(&mut word) {
            Err(_) => Heard::Nobody,
            Ok(()) if word == [DURABLE] => Heard::Durable,
            Ok(()) => Heard::NotDurable,
        }
    }

    /// Tells the guardian that the program is not executed, and why.
    pub fn report(&mut self, errno: Errno) {
        let _ = self.report.write_all(&(errno as i32).to_ne_bytes());
    }

    /// The descriptors, for the guardian to close its copies: each side so sees the other's death.
    #[must_use]
    pub fn descriptors(&self) -> [i32; 2] {
        [self.gate.as_raw_fd(), self.report.as_raw_fd()]
    }
}

impl Program {
    /// Makes this process execute the program, with the environment that it was given itself;
    /// comes back only where that failed. Of the signals only SIGPIPE and SIGXFSZ are given back,
    /// which std's start-up and `entry` took: setting another one to what it is would discard it
    /// where it is pending.
    #[must_use]
    pub fn execute_here(&self) -> Errno {
        let mut args: Vec<*const libc::c_char> = self.args.iter().map(|a| a.as_ptr()).collect();
        args.push(std::ptr::null());
        signals::dispose(libc::SIGPIPE, self.ignore_sigpipe);
        signals::dispose(libc::SIGXFSZ, self.ignore_sigxfsz);
        // SAFETY: args ends with null; nothing here has changed what environ points to.
        let errno = unsafe { execute(self, &args, environ) };
        // Whoever would read what is said now, the guardian or a log, may be gone.
        signals::dispose(libc::SIGPIPE, true);
        errno
    }
}
