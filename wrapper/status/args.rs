//! The options of `status`.

use clap::{Args, ValueEnum};

use crate::cli::LedgerArgs;

/// Options of `status`.
///
/// Ends with 1 where a server is not covered, with 0 otherwise.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct StatusArgs {
    /// What to print: prometheus for the text format of node_exporter's textfile collector
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) ledgers: LedgerArgs,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table
    Table,
    /// One document (as --json)
    Json,
    /// Numbers for monitoring
    Prometheus,
}
