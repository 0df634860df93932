//! POSIX shared memory of a server without known lists: files that were born after its start, of
//! its user, mapped or open by its descendants and never seen in use by anyone else.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::ledger::Book;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{How, ObjectSeen, Role};
use shmwarden::object::{Bytes, FileRef, Identity, ShmFile};
use shmwarden::proc::read;
use shmwarden::snapshot::{self, Mapped, Scope, Seen, Snapshot, shm_files};

use super::ancestry::Family;

/// Looks at a new file that nobody maps yet, before it is left alone.
const TRIES: u32 = 10;
/// Most files that are looked at in one pass.
const MOST_FILES: usize = 1024;

/// Most descendants whose descriptors are read in one look.
const MOST_OPENERS: usize = 256;

/// A file that nobody was seen to map yet.
#[derive(Debug)]
struct Waiting {
    file: ShmFile,
    tries: u32,
    /// Its number in the ledger, where it is recorded as one that is open.
    opened: Option<u64>,
}

/// The files in `/dev/shm`, as the last look saw them.
#[derive(Debug)]
pub(crate) struct GenericFiles {
    /// Change time of the directory at the last look, nanoseconds included.
    changed: (i64, i64),
    /// Files there before the start, or judged: never looked at again.
    settled: BTreeMap<Bytes, ShmFile>,
    waiting: Vec<Waiting>,
}

impl GenericFiles {
    /// Begins with what is there before the server runs.
    pub(crate) fn start(mount: Option<&str>) -> Self {
        let files = shm_files::all(mount).unwrap_or_default();
        let settled = files.into_iter().map(|file| (file.name.clone(), file)).collect();
        Self { changed: changed().unwrap_or_default(), settled, waiting: Vec::new() }
    }

    /// Files that are now known to be the server's.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn look(
        &mut self,
        book: &Book,
        run: &Run,
        mount: &str,
        family: &Family,
    ) -> Result<Vec<ObjectSeen>> {
        let now = changed().unwrap_or_default();
        if now != self.changed {
            self.changed = now;
            let fits = |file: &ShmFile| run.claims.iter().any(|c| c.uids.contains(&file.uid));
            let files = shm_files::all(Some(mount))?;
            self.settled.retain(|name, _| files.iter().any(|file| file.name == *name));
            for file in files.into_iter().filter(fits).take(MOST_FILES) {
                let known = self.settled.get(&file.name).is_some_and(|known| known.is(&file));
                if !known && !self.waiting.iter().any(|waiting| waiting.file.is(&file)) {
                    self.waiting.push(Waiting { file, tries: 0, opened: None });
                }
            }
        }
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let look = snapshot::take(Scope { processes: true, maps: true, ..Scope::default() })?;
        let mut found = Vec::new();
        let mut next = book.next_object();
        let waiting = std::mem::take(&mut self.waiting);
        let unmapped = waiting.iter().filter(|one| mappers(&look, &one.file).is_empty());
        let unmapped = unmapped.filter(|one| one.opened.is_none()).map(|one| &one.file);
        let opened = opened_by(&look, &unmapped.collect::<Vec<_>>(), run, family);
        for mut one in waiting {
            let mappers = mappers(&look, &one.file);
            let identity = Identity::Posix(one.file.clone());
            let is_new = one.opened.is_some() || !attribute::is_recorded(book, &identity);
            let mapped = !mappers.is_empty() && mappers.iter().all(|&m| family.descends(m, run));
            let is_open = mappers.is_empty() && opened.contains(&one.file.file);
            if is_new && (mapped || is_open) {
                let how = if mapped { How::Watch } else { How::Opened };
                let object = *one.opened.get_or_insert(next);
                next = next.max(object.saturating_add(1));
                let (role, creator, header) = (Role::Other, None, None);
                let run = run.start.run;
                found.push(ObjectSeen { object, run, how, role, identity, creator, header });
            }
            one.tries += 1;
            if mappers.is_empty() && one.tries <= TRIES {
                self.waiting.push(one);
            } else {
                self.settled.insert(one.file.name.clone(), one.file);
            }
        }
        Ok(found)
    }
}

/// Returns the processes that were seen to map a file.
fn mappers(look: &Snapshot, file: &ShmFile) -> Vec<i32> {
    let object = Mapped::File(file.file);
    let all = look.processes.seen().filter(|process| process.mappings(object) > 0);
    all.map(|process| process.process.pid).collect()
}

/// Returns those of these files that descendants have open, and nobody else who could be looked
/// into. Everybody's descriptors are read only where a descendant has one of them open.
fn opened_by(look: &Snapshot, files: &[&ShmFile], run: &Run, family: &Family) -> BTreeSet<FileRef> {
    if files.is_empty() {
        return BTreeSet::new();
    }
    let all = files.iter().map(|file| (file.name.0.as_slice(), file.file.dev, file.file.ino));
    let wanted = read::Wanted::of(all);
    let wanted_files: BTreeSet<FileRef> = files.iter().map(|file| file.file).collect();
    let has_open = |pid: i32| -> BTreeSet<FileRef> {
        let open = read::open_among(pid, &wanted).ok().and_then(Seen::here).unwrap_or_default();
        let open = open.into_iter().map(|(_, dev, ino)| FileRef { dev, ino });
        open.filter(|file| wanted_files.contains(file)).collect()
    };
    let living = look.processes.seen().filter(|process| !process.ended);
    let pids: Vec<i32> = living.map(|process| process.process.pid).collect();
    let (ours, others): (Vec<i32>, Vec<i32>) =
        pids.into_iter().partition(|&pid| family.descends(pid, run));
    let mut opened: BTreeSet<FileRef> =
        ours.into_iter().take(MOST_OPENERS).flat_map(has_open).collect();
    if !opened.is_empty() {
        for file in others.into_iter().flat_map(has_open) {
            opened.remove(&file);
        }
    }
    opened
}

/// Returns the change time of `/dev/shm`: what came or went moved it.
pub(crate) fn changed() -> Option<(i64, i64)> {
    let metadata = std::fs::metadata(shm_files::DIRECTORY).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec()))
}
