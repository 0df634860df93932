//! The options of `record`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

/// Options of `record`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("server").required(true))]
#[command(after_help = "\
Run it as the server's user or as root, in the server's own namespaces; the server is not touched. \
Run it again at any time: it adds what is new, and notes what has gone. It removes nothing, that \
is what sweep does once the server is dead.

As hooks of a service: ExecStartPre=-shmwarden sweep, ExecStartPost=-shmwarden record --data DIR, \
ExecStopPost=-shmwarden sweep.")]
pub(crate) struct RecordArgs {
    /// The server's main process (of PostgreSQL, the postmaster)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..),
          group = "server")]
    pub(crate) pid: Option<i32>,
    /// The server that runs in this data directory, as its postmaster.pid says
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, group = "server")]
    pub(crate) data: Option<PathBuf>,
    /// Ledger of this instance (default: NAME.ledger in the state directory)
    #[arg(long, value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,
    /// Name of this instance (default: from the data directory, or the program)
    #[arg(long, value_name = "NAME", value_parser = crate::cli::instance_name)]
    pub(crate) name: Option<String>,
}
