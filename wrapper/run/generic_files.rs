//! POSIX shared memory of a server without known lists: files that were born after its start, of
//! its user, mapped by its descendants and never seen mapped by anyone else.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::ledger::Book;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{How, ObjectSeen, Role};
use shmwarden::object::{Bytes, Identity, ShmFile};
use shmwarden::snapshot::{self, Mapped, Scope, place, shm_files};

use super::ancestry::Family;

/// Looks at a new file that nobody maps yet, before it is left alone.
const TRIES: u32 = 10;
/// Most files that are looked at in one pass.
const MOST_FILES: usize = 1024;

/// What is known of the files in `/dev/shm`.
#[derive(Debug)]
pub(crate) struct GenericFiles {
    /// Change time of the directory at the last look, nanoseconds included.
    changed: (i64, i64),
    /// Files there before the start, or judged: never looked at again.
    settled: BTreeMap<Bytes, ShmFile>,
    waiting: Vec<(ShmFile, u32)>,
}

impl GenericFiles {
    /// Begins with what is there before the server runs.
    pub(crate) fn start() -> Self {
        let files = shm_files::all(place::shm_mount().as_deref()).unwrap_or_default();
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
                if !known && !self.waiting.iter().any(|(waiting, _)| waiting.is(&file)) {
                    self.waiting.push((file, 0));
                }
            }
        }
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let look = snapshot::take(Scope { processes: true, maps: true, ..Scope::default() })?;
        let mut found = Vec::new();
        let mut next = book.next_object();
        for (file, tries) in std::mem::take(&mut self.waiting) {
            let object = Mapped::File(file.file);
            let mappers: Vec<i32> = look
                .processes
                .seen()
                .filter(|process| process.mappings(object) > 0)
                .map(|process| process.process.pid)
                .collect();
            if mappers.is_empty() && tries < TRIES {
                self.waiting.push((file, tries + 1));
                continue;
            }
            let ours = !mappers.is_empty() && mappers.iter().all(|&m| family.descends(m, run));
            let identity = Identity::Posix(file.clone());
            if ours && !attribute::is_recorded(book, &identity) {
                let (how, role, creator) = (How::Watch, Role::Other, None);
                let run = run.start.run;
                found.push(ObjectSeen { object: next, run, how, role, identity, creator });
                next += 1;
            }
            self.settled.insert(file.name.clone(), file);
        }
        Ok(found)
    }
}

/// Returns the change time of `/dev/shm`: what came or went moved it.
pub(crate) fn changed() -> Option<(i64, i64)> {
    let metadata = std::fs::metadata(shm_files::DIRECTORY).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec()))
}
