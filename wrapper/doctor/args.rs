//! The options of `doctor`.

use std::ffi::OsString;

use clap::Args;

use crate::cli::LedgerArgs;

/// Options of `doctor`.
///
/// Ends with 1 where a finding is to be acted on, and with --explain where the message is not one
/// that is known; with 0 otherwise.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DoctorArgs {
    /// Explain an error message of a server instead: what it means, what of it is true on this
    /// machine, what to run (- reads it from stdin; ends with 1 where it is not a known one)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) explain: Option<OsString>,
    #[command(flatten)]
    pub(crate) ledgers: LedgerArgs,
}
