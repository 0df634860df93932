//! The end of the program: one status a class of outcome, as the man page lists them.

use std::io::{self, Write as _};
use std::process::ExitCode;

use shmwarden::Error;
use shmwarden::sys::{process, signals};

use crate::cli::help;

/// `run` itself failed before the start.
pub(crate) const RUN_FAILED: u8 = 125;
/// COMMAND cannot be executed.
pub(crate) const CANNOT_EXECUTE: u8 = 126;
/// COMMAND was not found.
pub(crate) const NOT_FOUND: u8 = 127;
/// An answer to act on.
pub(crate) const ACT: u8 = 1;
/// The command line cannot be understood.
pub(crate) const USAGE: u8 = 2;
/// A ledger is damaged or of a newer version, or what was named is no ledger.
pub(crate) const DAMAGED: u8 = 65;
/// There is no such object, or no such ledger.
pub(crate) const NO_SUCH_OBJECT: u8 = 66;
/// Not supported here.
pub(crate) const UNSUPPORTED: u8 = 69;
/// A mistake in this program.
const BUG: u8 = 70;
/// Input, output or a removal failed, or raced.
pub(crate) const FAILED: u8 = 74;
/// The instance lives.
pub(crate) const LIVE: u8 = 75;
/// Not allowed.
pub(crate) const PERMISSION: u8 = 77;

/// From worst to best: over several ledgers the worst counts.
const WORST_FIRST: [u8; 9] =
    [BUG, FAILED, PERMISSION, DAMAGED, UNSUPPORTED, NO_SUCH_OBJECT, LIVE, ACT, 0];

/// The way in which this process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this status.
    Status(u8),
    /// As the server did: of this signal.
    Signal(i32),
}

impl Ending {
    /// Ends so: of a signal by raising it, without a second core file.
    pub(crate) fn end(self) -> ExitCode {
        match self {
            Self::Status(status) => ExitCode::from(status),
            Self::Signal(signal) => {
                let _ = process::no_core_file();
                signals::die_of(signal);
                // PID 1 of a PID namespace cannot die of its own signal.
                ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
            }
        }
    }
}

/// The status that an error of the library stands for.
pub(crate) fn status_of(error: &Error) -> u8 {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            PERMISSION
        }
        Error::Refused { .. } => PERMISSION,
        Error::Io { .. } => FAILED,
        Error::Damaged { .. } | Error::Newer { .. } | Error::NotALedger { .. } => DAMAGED,
        Error::Missing { .. } => 0,
        Error::Unsupported(_) => UNSUPPORTED,
        Error::Illegal(_) => BUG,
    }
}

/// The worse of two statuses.
pub(crate) fn worse(one: u8, other: u8) -> u8 {
    let rank = |status| WORST_FIRST.iter().position(|&known| known == status).unwrap_or(0);
    if rank(one) <= rank(other) { one } else { other }
}

/// The status, unless the result could not be printed.
pub(crate) fn after_printing(printed: io::Result<()>, status: u8) -> u8 {
    match printed {
        Ok(()) => status,
        Err(error) => {
            log::error!("cannot write the result: {error}");
            worse(status, FAILED)
        }
    }
}

/// Prints what clap has to say: help and version to stdout with 0, else to stderr.
///
/// For `run` a usage error is 125 too: 2 would be taken for the server's own status.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = match error.use_stderr() {
        true => error.print(),
        false => write!(io::stdout(), "{}", help::narrow(&error.render().to_string())),
    };
    let mut words = std::env::args_os().skip(1);
    let is_run = words.find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let is_run = is_run.is_some_and(|word| word == "run");
    match (error.use_stderr(), is_run) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(RUN_FAILED),
        (true, false) => ExitCode::from(USAGE),
    }
}
