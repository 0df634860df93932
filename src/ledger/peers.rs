//! The ledgers beside one that is settled, read without a lock: what other servers use.
//!
//! Bounded in number and size, since anybody may leave files there. What could not be read is kept
//! as a ledger whose word is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::book::Book;
use super::file::{For, Ledger};
use super::way;
use crate::error::{Error, Result};

/// Most ledgers of one user that are read.
const MOST: usize = 512;
/// Largest ledger that is read, in bytes; compaction keeps it far below.
const LARGEST_BYTES: u64 = 16 << 20;
/// Most that is read of all of one user's, in bytes: nobody's ledgers keep those of others from
/// being read.
const MOST_BYTES: u64 = 64 << 20;

/// The ledger of another instance.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its path.
    pub path: PathBuf,
    /// Its owner.
    pub uid: u32,
    /// Its content; `None` where it could not be read.
    pub book: Option<Book>,
}

/// Reads every ledger of these directories and of their sub-directories, one level, but `own`; a
/// path that is a file is read as one.
#[must_use]
pub fn read(directories: &[PathBuf], own: &Path) -> Vec<Peer> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in directories {
        // A ledger that was found in some other place, or a directory of them.
        paths.push(directory.clone());
        collect(directory, true, &mut paths);
    }
    paths.sort();
    paths.dedup();
    let number = |path: &Path| {
        let found = way::to(path).ok()?.metadata().ok().filter(|found| found.is_file())?;
        Some((found.uid(), found.len(), (found.dev(), found.ino())))
    };
    let itself = number(own).map(|(.., file)| file);
    let (mut peers, mut files) = (Vec::new(), BTreeSet::new());
    let mut taken: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
    for path in paths {
        let Some((uid, length, file)) = number(&path) else { continue };
        if Some(file) == itself || !files.insert(file) {
            continue;
        }
        let (count, bytes) = taken.entry(uid).or_default();
        let together = bytes.saturating_add(length);
        let fits = *count < MOST && length <= LARGEST_BYTES && together <= MOST_BYTES;
        if fits {
            (*count, *bytes) = (*count + 1, together);
        }
        let book = match fits.then(|| book_of(&path)) {
            // Somebody's file, whatever it is called.
            Some(Err(Error::NotALedger { .. })) => continue,
            Some(Ok(book)) => Some(book),
            Some(Err(_)) | None => None,
        };
        peers.push(Peer { path, uid, book });
    }
    peers
}

fn book_of(path: &Path) -> Result<Book> {
    let mut ledger = Ledger::open(path, For::Reading)?;
    ledger.read_whole()?;
    Ok(ledger.book)
}

fn collect(directory: &Path, deeper: bool, found: &mut Vec<PathBuf>) {
    // A place that is not there, or may not be listed, is nobody's.
    for (path, is_directory) in way::list(directory) {
        if is_directory && deeper {
            collect(&path, false, found);
        } else if path.extension().is_some_and(|ending| ending == "ledger") {
            found.push(path);
        }
    }
}
