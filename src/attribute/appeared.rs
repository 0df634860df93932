//! Files in `/dev/shm` that appeared while a server ran, as its user's, and that its ledger has
//! not: for reports only, since they may be another program's. Pure.

use std::time::{Duration, SystemTime};

use super::is_recorded;
use crate::ledger::Book;
use crate::ledger::book::Run;
use crate::ledger::record::End;
use crate::object::{Birth, Identity, Place, ShmFile};

/// Most that are told.
const MOST: usize = 256;

/// Returns those of these files of here that appeared in the last run, which has ended.
#[must_use]
pub fn appeared<'a>(
    book: &Book,
    here: &Place,
    files: impl Iterator<Item = &'a ShmFile>,
) -> Vec<ShmFile> {
    let run = book.last_run().filter(|run| match run.end {
        None | Some((End::NotStarted(_), _)) => false,
        Some(_) => book.places.get(run.place).is_some_and(|place| {
            let same = place.boot == here.boot && place.shm_mount == here.shm_mount;
            same && place.shm_mount.is_some()
        }),
    });
    let Some(run) = run else { return Vec::new() };
    let fits = |file: &&ShmFile| {
        run.claims.iter().any(|claim| claim.uids.contains(&file.uid))
            && came_in(run, file.birth)
            && !is_recorded(book, &Identity::Posix((*file).clone()))
    };
    files.filter(fits).take(MOST).cloned().collect()
}

/// Checks that a file was born, or else changed last, in a run. The clock may have been set since.
fn came_in(run: &Run, birth: Birth) -> bool {
    let (Birth::At(seconds, nanos) | Birth::NotKept { changed: (seconds, nanos) }) = birth;
    let since = u64::try_from(seconds).ok().map(|seconds| Duration::new(seconds, nanos));
    let Some(at) = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) else {
        return false;
    };
    at >= run.at && run.end.is_none_or(|(_, end)| at <= end)
}
