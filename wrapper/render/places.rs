//! The places where ledgers were looked for, as every document says it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::text;
use crate::ledgers::Looked;

/// A place, and what came of looking there.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    path: String,
    source: &'static str,
    /// The unit, user or process that the source is.
    by: Option<String>,
    ledgers: usize,
    missing: bool,
    error: Option<String>,
}

/// The places of a document.
pub(crate) fn document(looked: &[Looked]) -> Vec<Place> {
    let place = |one: &Looked| Place {
        path: one.path.to_string_lossy().into_owned(),
        source: one.source.word(),
        by: one.source.by(),
        ledgers: one.ledgers,
        missing: one.is_missing,
        error: one.error.clone(),
    };
    looked.iter().map(place).collect()
}

/// Most places that are worth a line.
const MOST: usize = 4;

/// The line for people.
pub(crate) fn line(looked: &[Looked], all: bool) -> String {
    format!("ledgers were looked for in {}", words(looked, all))
}

/// The places: all of them, or as many of those that are there as are worth a line.
pub(crate) fn words(looked: &[Looked], all: bool) -> String {
    let mut known: BTreeSet<&Path> = BTreeSet::new();
    let every = looked.iter().filter(|one| known.insert(&one.path));
    let every: Vec<&Looked> = every.collect();
    let shown = every.iter().filter(|one| all || one.is_worth_a_word());
    let words = shown.map(|one| text::safe(&one.path.to_string_lossy()));
    let words: Vec<String> = words.take(if all { usize::MAX } else { MOST }).collect();
    match every.len().saturating_sub(words.len()) {
        0 if words.is_empty() => "no place".to_owned(),
        0 => words.join(", "),
        more if words.is_empty() => format!("{more} places (-v)"),
        more => format!("{} and {more} more (-v)", words.join(", ")),
    }
}
