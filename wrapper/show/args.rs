//! The options of `list` and `who`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};
use shmwarden::judge::status::{Kind, Status};

use super::columns::{COLUMNS, Column, column};
use crate::cli::{LedgerArgs, duration};

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only objects of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    pub(crate) kind: Vec<Kind>,
    /// Only objects of these owners, by name or number
    #[arg(long, value_name = "USER", value_delimiter = ',', value_hint = ValueHint::Username)]
    pub(crate) owner: Vec<String>,
    /// Only objects with these verdicts
    #[arg(long, value_name = "VERDICT", value_delimiter = ',', value_parser = verdicts())]
    pub(crate) verdict: Vec<Status>,
    /// Only objects of these instances
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) instance: Vec<String>,
    /// Show these columns
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', ignore_case = true,
          value_parser = columns())]
    pub(crate) output: Vec<&'static Column>,
    /// Sort by a column; with a - before it, the largest first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, value_parser = sorting)]
    pub(crate) sort: Option<(&'static Column, bool)>,
    /// Sizes in bytes
    #[arg(long)]
    pub(crate) bytes: bool,
    /// What to print: prometheus for the text format of node_exporter's textfile collector, with
    /// limits and what the ledgers tell
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Write to this file instead, replacing it as a whole
    #[arg(long, value_name = "PATH")]
    pub(crate) output_file: Option<PathBuf>,
    /// Look for the processes that hold each object
    #[arg(long)]
    pub(crate) holders: bool,
    /// Print rows only: no column names, no totals, no advice
    #[arg(long)]
    pub(crate) noheadings: bool,
    /// Print again and again, with this pause
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s",
          value_parser = duration)]
    pub(crate) watch: Option<Duration>,
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

/// Options of `who`.
#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// A key (0x00f42401), an id, or the name of a file in /dev/shm; a decimal number is an id,
    /// and a key only where no object has that id. Several numbers may be one argument, as in 41,42
    #[arg(required = true, value_name = "KEY|ID|NAME", allow_negative_numbers = true)]
    pub(crate) objects: Vec<std::ffi::OsString>,
    #[command(flatten)]
    pub(crate) ledgers: LedgerArgs,
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    one_of(Kind::ALL, Kind::word)
}

fn verdicts() -> impl TypedValueParser<Value = Status> {
    one_of(Status::ALL, Status::word)
}

fn columns() -> impl TypedValueParser<Value = &'static Column> {
    let names = PossibleValuesParser::new(COLUMNS.iter().map(|column| column.name));
    names.try_map(|said| column(&said).ok_or("no such column"))
}

/// A parser of words that each stand for one value.
fn one_of<T, const N: usize>(
    all: [T; N],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let words = PossibleValuesParser::new(all.map(word));
    words.try_map(move |said| {
        let same = |one: &T| word(*one).eq_ignore_ascii_case(&said);
        all.into_iter().find(same).ok_or("no such word")
    })
}

fn sorting(text: &str) -> Result<(&'static Column, bool), String> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let names = || COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let column = column(name).ok_or_else(|| format!("no such column; there are {}", names()))?;
    Ok((column, descending))
}
