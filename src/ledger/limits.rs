//! The bounds of what root reads of another user's ledgers: what a user writes must not cost root
//! more time and memory than a server's own ledger would.
//!
//! An owner reads its own ledger whatever its size, and its own `run` writes it anew long before
//! these bounds are met. What is over a bound is refused as a whole, never read in part.

use std::collections::BTreeMap;
use std::path::Path;

use super::book::Book;
use super::file::Ledger;
use crate::error::{Error, Result};
use crate::sys::user;

/// Longest ledger of another user that root reads, in bytes: what 32,768 segments, the most that
/// there can be, come to with their removals.
pub(crate) const LONGEST_OF_OTHERS: u64 = 24 << 20;
/// Most lines of such a ledger.
const MOST_LINES: usize = 100_000;
/// Most runs; a `run` keeps about a hundred.
const MOST_RUNS: usize = 250;
/// Most claimed processes of all runs together.
const MOST_CLAIMS: usize = 4_000;
/// Most data directories of all claims together.
const MOST_DIRECTORIES: usize = 100;
/// Most user ids of one claim, and most ids that it found there before it.
const MOST_IDS: (usize, usize) = (1_000, 50_000);
/// Most ledgers of one other user that one command reads, and their bytes.
const MOST_LEDGERS: usize = 256;
const MOST_BYTES: u64 = 32 << 20;

/// The rest that one command may still read of each user's ledgers.
#[derive(Debug, Default)]
pub struct Allowance(BTreeMap<u32, (usize, u64)>);

impl Allowance {
    /// Takes an open ledger's part of what its owner may have read.
    ///
    /// # Errors
    /// [`Error::Refused`] where that is used up; [`Error::Io`].
    pub fn take(&mut self, ledger: &Ledger) -> Result<()> {
        let uid = ledger.owner().0;
        if !is_anothers(uid) {
            return Ok(());
        }
        let bytes = ledger.file_bytes()?;
        let (ledgers, total) = self.0.entry(uid).or_default();
        *ledgers += 1;
        *total = total.saturating_add(bytes.min(LONGEST_OF_OTHERS));
        if *ledgers <= MOST_LEDGERS && *total <= MOST_BYTES {
            return Ok(());
        }
        let why = format!(
            "user {uid} has more ledgers here than root reads of one user ({MOST_LEDGERS}, of \
             {} MiB together); sweep this one as that user",
            MOST_BYTES >> 20
        );
        Err(Error::Refused { path: ledger.path().to_owned(), why })
    }
}

/// Checks that a ledger of this owner is another user's, whom root answers for.
#[must_use]
pub(super) fn is_anothers(uid: u32) -> bool {
    uid != 0 && user::is_root()
}

/// Refuses what is longer than root reads.
pub(super) fn check_bytes(path: &Path, bytes: u64) -> Result<()> {
    within(path, "bytes", bytes, LONGEST_OF_OTHERS)
}

/// Refuses a ledger of more lines than root reads.
pub(super) fn check_lines(path: &Path, text: &[u8]) -> Result<()> {
    let lines = text.iter().filter(|&&byte| byte == b'\n').count();
    within(path, "lines", lines, MOST_LINES)
}

/// Refuses a ledger that says more of what is looked for one by one than a server's ledger does.
pub(super) fn check_book(path: &Path, book: &Book) -> Result<()> {
    within(path, "runs", book.runs.len(), MOST_RUNS)?;
    let claims = || book.runs.values().flat_map(|run| &run.claims);
    within(path, "claimed processes", claims().count(), MOST_CLAIMS)?;
    let mut directories: Vec<_> = claims().filter_map(|claim| claim.data.as_ref()).collect();
    directories.sort_by(|one, other| one.path.cmp(&other.path));
    directories.dedup_by(|one, other| one.path == other.path);
    within(path, "data directories", directories.len(), MOST_DIRECTORIES)?;
    for claim in claims() {
        within(path, "user ids of a claim", claim.uids.len(), MOST_IDS.0)?;
        let before = [claim.before.len(), claim.sets_before.len(), claim.queues_before.len()];
        within(path, "ids of a claim", before.into_iter().max().unwrap_or(0), MOST_IDS.1)?;
    }
    Ok(())
}

fn within<T: PartialOrd + std::fmt::Display>(
    path: &Path,
    what: &str,
    found: T,
    most: T,
) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    let why = format!(
        "it has {found} {what}, and root reads no more than {most} of another user's ledger; its \
         owner's next `run` shortens it, and its owner can sweep it"
    );
    Err(Error::Refused { path: path.to_owned(), why })
}
