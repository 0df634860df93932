//! The options of `sweep`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::cli::{duration, instance_name};

/// Options of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Ledgers to sweep (default: as root all of this machine, in a unit its own)
    #[arg(value_name = "LEDGER")]
    pub(crate) ledgers: Vec<PathBuf>,
    /// Say what would be removed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Time to wait for survivors, processes of dead servers, to let go
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(crate) wait: Duration,
    /// End with status 1 where anything of a dead instance is still held
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also remove what a server left after a clean exit, or at an end that nobody saw
    #[arg(long)]
    pub(crate) include_clean: bool,
    /// Sweep the ledger of this instance
    #[arg(long, value_name = "NAME", value_parser = instance_name)]
    pub(crate) name: Option<String>,
    /// Sweep the ledger of the server with this data directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Look for ledgers in this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
