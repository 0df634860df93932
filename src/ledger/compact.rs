//! Writing a ledger anew without what no longer matters. Keeps owner, mode and every open matter.
//!
//! The new file is written, synced and locked before it takes the name. Root never compacts
//! another user's ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc::{O_CLOEXEC, O_NOFOLLOW};

use super::book::{Book, Standing, Tail};
use super::file::Ledger;
use super::line;
use super::record::{Entry, Record};
use crate::error::{Error, Result};
use crate::object::ProcessRef;
use crate::sys::user;

/// Ended runs that stay readable.
pub const KEPT_RUNS: usize = 100;
/// A ledger longer than this many bytes is written anew.
pub const LONG_BYTES: u64 = 1 << 20;

/// Whether a ledger should be written anew.
#[must_use]
pub fn is_due(ledger: &Ledger) -> bool {
    ledger.whole_bytes() > LONG_BYTES || ledger.book.runs.len() > KEPT_RUNS + 10
}

/// A ledger written anew, locked.
#[derive(Debug)]
pub struct Compacted {
    /// The new file.
    pub file: File,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Writes a locked ledger anew and lets it take the name; `None` where it is another user's, or
/// lines wait to be written.
///
/// `ready` is called with the new file before it takes the name: whoever dies in between leaves
/// the caller of a helper with a descriptor of whatever file then bears it.
///
/// # Errors
/// [`Error::Io`]; the old file is untouched then, or has lost its name to an equal one.
pub fn compact(
    ledger: &Ledger,
    ready: impl FnOnce(&Compacted) -> Result<()>,
) -> Result<Option<Compacted>> {
    if ledger.owner().0 != user::effective() || ledger.pretends() || ledger.has_queued() {
        return Ok(None);
    }
    let old = ledger.bytes()?;
    let new = rewrite(&old);
    if !says_the_same(&old, &new) {
        return Err(Error::Illegal("a ledger written anew would not say the same".to_owned()));
    }
    let (file, temporary) = write_beside(ledger, &new)?;
    let compacted = Compacted { file, bytes: new.len() as u64 };
    let path = ledger.path();
    let renamed = ready(&compacted).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(Error::io("cannot replace", path))
    });
    if let Err(error) = renamed {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    ledger.sync_directory()?;
    Ok(Some(compacted))
}

/// Whether nothing that is still open was lost.
fn says_the_same(old: &[u8], new: &[u8]) -> bool {
    let (old, _, _) = Book::replay(old);
    let (new, _, tail) = Book::replay(new);
    let open = |book: &Book| -> Vec<_> {
        book.open_objects().map(|o| (o.number, o.identity.clone(), o.role)).collect()
    };
    let runs = |book: &Book| -> Vec<_> { book.open_runs().map(|run| run.claims.clone()).collect() };
    tail == Tail::Clean
        && old.seq == new.seq
        && open(&old) == open(&new)
        && runs(&old) == runs(&new)
}

/// Writes `new` to a locked file beside the ledger.
fn write_beside(ledger: &Ledger, new: &[u8]) -> Result<(File, PathBuf)> {
    let mut name = ledger.path().as_os_str().to_owned();
    name.push(".new");
    let path = PathBuf::from(name);
    let mode = ledger.mode().map_err(Error::io("cannot look at", ledger.path()))?;
    let _ = std::fs::remove_file(&path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    options.custom_flags(O_NOFOLLOW | O_CLOEXEC);
    let mut file = options.open(&path).map_err(Error::io("cannot create", &path))?;
    let written = fs2::FileExt::try_lock_exclusive(&file)
        .and_then(|()| file.write_all(new))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(&path);
        return Err(Error::io("cannot write", &path)(error));
    }
    Ok((file, path))
}

/// The lines that still matter, renumbered so that the last keeps its number: what waits to be
/// written goes on from there. Pure.
#[must_use]
pub fn rewrite(bytes: &[u8]) -> Vec<u8> {
    let (book, whole, _) = Book::replay(bytes);
    let entries: Vec<Entry> = bytes
        .get(..whole)
        .unwrap_or_default()
        .split(|&byte| byte == b'\n')
        .filter_map(|text| line::decode(text).ok())
        .collect();
    let kept_runs: BTreeSet<u64> = book.runs.keys().rev().take(KEPT_RUNS).copied().collect();
    let open: BTreeSet<u64> = book.open_objects().map(|object| object.number).collect();
    let with_open: BTreeSet<u64> = book
        .open_objects()
        .map(|object| object.run)
        .chain(book.open_runs().map(|run| run.start.run))
        .collect();
    let run_stays = |run: u64| kept_runs.contains(&run) || with_open.contains(&run);
    let first = render(&entries, &book, |run, object| {
        run_stays(run) && object.is_none_or(|o| open.contains(&o) || run_stays(run))
    });
    if (first.len() as u64) < LONG_BYTES / 2 {
        return first;
    }
    // Objects that came and went are the bulk of a long run; then whole ended runs, oldest first.
    let passed = |object: u64| {
        book.objects.get(&object).is_some_and(|object| object.standing == Standing::Gone)
    };
    let second =
        render(&entries, &book, |run, object| run_stays(run) && !object.is_some_and(passed));
    if (second.len() as u64) < LONG_BYTES / 2 {
        return second;
    }
    let newest: BTreeSet<u64> = book.runs.keys().rev().take(10).copied().collect();
    render(&entries, &book, |run, object| {
        (with_open.contains(&run) || newest.contains(&run)) && !object.is_some_and(passed)
    })
}

/// Writes the entries whose run and object stay; headers always do.
fn render(entries: &[Entry], book: &Book, stays: impl Fn(u64, Option<u64>) -> bool) -> Vec<u8> {
    let run_of = |object: &u64| book.objects.get(object).map_or(0, |object| object.run);
    let last_alive: BTreeMap<ProcessRef, u64> = entries
        .iter()
        .filter_map(|entry| match entry.record {
            Record::Alive { process, .. } => Some((process, entry.seq)),
            _ => None,
        })
        .collect();
    let mut kept: Vec<&Entry> = Vec::new();
    let mut waiting: Option<&Entry> = None;
    for entry in entries {
        let stays = match &entry.record {
            Record::Header(_) => {
                waiting = Some(entry);
                false
            }
            Record::Run(start) => stays(start.run, None),
            Record::Claim(claim) => stays(claim.run, None),
            Record::Alive { run, process } => {
                last_alive.get(process) == Some(&entry.seq) && stays(*run, None)
            }
            Record::Reaped { run, .. } => stays(*run, None),
            Record::Used { run, .. } | Record::End { run, .. } => stays(*run, None),
            Record::Object(seen) => stays(seen.run, Some(seen.object)),
            Record::Gone { object } | Record::Intent { object, .. } => {
                stays(run_of(object), Some(*object))
            }
            Record::Outcome { object, .. } => stays(run_of(object), Some(*object)),
        };
        if stays {
            // A header is kept only where something that stays follows it.
            kept.extend(waiting.take());
            kept.push(entry);
        }
    }
    kept.extend(waiting);
    let first = (book.seq + 1).saturating_sub(kept.len() as u64);
    (first..)
        .zip(kept)
        .flat_map(|(seq, entry)| line::encode(&Entry { seq, ..entry.clone() }))
        .collect()
}
