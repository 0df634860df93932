//! The ledgers of one instance: by its name in the default place, else wherever a place has one,
//! else by the data directory that they name themselves.

use std::path::{Path, PathBuf};

use shmwarden::ledger::file::{For, Ledger};
use shmwarden::object::{FileRef, Place};
use shmwarden::sys::files::facts_remembered;

use super::find::{Found, Reach, find};
use super::{Named, path};

/// Most ledgers that are read for the data directory that they name.
const MOST_READ: usize = 256;

/// The ledgers of an instance, and where they were looked for beyond the default place. Where none
/// is found that is the one path where it would be.
pub(crate) fn of_instance(named: &Named<'_>, here: &Place) -> (Vec<PathBuf>, Found) {
    let usual = path(named);
    let is_chosen = named.directory.is_some() || named.path.is_some() || !named.chosen;
    if is_chosen || usual.symlink_metadata().is_ok() {
        return (vec![usual], Found::default());
    }
    let found = find(&[], Reach::Everywhere, here);
    let all = || found.ledgers.iter().map(|(path, _)| path);
    let mut its: Vec<PathBuf> =
        all().filter(|path| path.file_name() == usual.file_name()).cloned().collect();
    if let (true, Some(data)) = (its.is_empty(), named.data) {
        let directory = facts_remembered(data).ok();
        let directory = directory.map(|facts| FileRef { dev: facts.dev, ino: facts.ino });
        let names_it = |path: &&PathBuf| names(path, data, directory);
        its = all().take(MOST_READ).filter(names_it).cloned().collect();
    }
    if its.is_empty() {
        its.push(usual);
    }
    (its, found)
}

/// Checks whether the last server of a ledger has this data directory.
fn names(path: &Path, data: &Path, directory: Option<FileRef>) -> bool {
    let read = Ledger::open(path, For::Reading).and_then(|mut ledger| {
        ledger.read_whole()?;
        Ok(ledger)
    });
    let Ok(ledger) = read else { return false };
    let server = ledger.book.last_run().and_then(|run| run.server());
    let its = server.and_then(|server| server.data.as_ref());
    its.is_some_and(|its| {
        // The device of a file system may be another one after a reboot, the path may be a link.
        Path::new(&its.path.lossy()) == data || Some(its.file) == directory
    })
}
