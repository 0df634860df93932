//! What belongs to the server: what its processes have mapped, and the semaphore sets that they
//! have used last, as the kernel tells it.
//!
//! On purpose not taken from the ledger: the demo checks what the ledger led to.

use shmwarden::object::{Segment, SemaphoreSet, ShmFile};
use shmwarden::snapshot::tables::set_identity;
use shmwarden::snapshot::{self, Mapped, Process, Scope, Snapshot, identity_of, place, shm_files};
use shmwarden::sys::sem;
use shmwarden::sys::shm::{self, Row};
use shmwarden::sys::taken::{Taken, TakenSet};

use super::account::Account;
use super::trouble::{Outcome, failed};

/// Segments, sets and files of one server.
#[derive(Debug, Default)]
pub(super) struct Belongings {
    pub(super) segments: Vec<Segment>,
    pub(super) sets: Vec<SemaphoreSet>,
    pub(super) files: Vec<ShmFile>,
}

impl Belongings {
    /// What the processes of a server have now: its own pid and its children.
    pub(super) fn of(server: i32, account: &Account) -> Outcome<Self> {
        let scope = Scope { files: true, processes: true, maps: true, ..Scope::default() };
        // As the server's user: root may lack the right to look into others (`CAP_SYS_PTRACE`).
        let (seen, sets) = account.act(|| {
            let seen = snapshot::take(scope);
            let sets = seen.as_ref().map(|seen| sets_used_by(seen, server)).unwrap_or_default();
            (seen, sets)
        })?;
        let seen = seen.map_err(failed("cannot look at shared memory"))?;
        let mut found = Self { sets, ..Self::default() };
        let own = seen.processes.seen().filter(|process| is_of(process, server));
        let maps = own.filter_map(|process| process.maps.clone()?.here());
        for (mapped, _) in maps.flatten() {
            match mapped {
                Mapped::Segment(id) => {
                    found.segments.extend(seen.segment(id).here().map(identity_of));
                }
                Mapped::File(id) => {
                    let mut files = seen.files.seen().map(|file| &file.identity);
                    let file = files.find(|file| file.file == id);
                    found.files.extend(file.cloned());
                }
            }
        }
        found.segments.sort_by_key(|segment| segment.id);
        found.segments.dedup();
        found.files.sort_by(|one, other| one.name.cmp(&other.name));
        found.files.dedup();
        Ok(found)
    }

    /// Whether it has the segment of this row.
    pub(super) fn has(&self, row: &Row) -> bool {
        // Not by key: a segment that is marked for destruction has lost it.
        let facts = (row.id, row.bytes, row.creator_pid, row.ctime);
        self.segments
            .iter()
            .any(|segment| facts == (segment.id, segment.bytes, segment.creator_pid, segment.ctime))
    }

    /// Those of the segments that are still there, as they are now.
    pub(super) fn segments_left(&self) -> Vec<Row> {
        let now = self.segments.iter();
        let now = now.filter_map(|segment| shm::stat(segment.id).ok().flatten());
        now.filter(|row| self.has(row)).collect()
    }

    /// Whether it has the set of this row.
    pub(super) fn has_set(&self, row: &sem::Row) -> bool {
        self.sets.iter().any(|set| set.is(&set_identity(row)))
    }

    /// Those of the sets that are still there, as they are now.
    pub(super) fn sets_left(&self) -> Vec<sem::Row> {
        let now = self.sets.iter().filter_map(|set| sem::stat(set.id).ok().flatten());
        now.filter(|row| self.has_set(row)).collect()
    }

    /// Whether all of it is still there, with nobody attached.
    pub(super) fn is_whole(&self) -> bool {
        let rows = self.segments_left();
        rows.len() == self.segments.len()
            && rows.iter().all(|row| row.nattch == 0)
            && self.sets_left().len() == self.sets.len()
            && self.files_left().len() == self.files.len()
    }

    /// Those of the files that are still there.
    pub(super) fn files_left(&self) -> Vec<&ShmFile> {
        let Some(mount) = place::here().ok().and_then(|here| here.shm_mount) else {
            return Vec::new();
        };
        let stands = |file: &&ShmFile| {
            let now = shm_files::one(&file.name.0, &mount).ok().flatten();
            now.is_some_and(|now| now.is(file))
        };
        self.files.iter().filter(stands).collect()
    }

    /// Bytes of all memory.
    pub(super) fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let files: u64 = self.files.iter().map(|file| file.bytes).sum();
        segments + files
    }

    /// Removes what is left on the machine's own ground after a story that failed, and names it.
    /// To be called with the rights of the server's user.
    pub(super) fn clear(&self) {
        for row in self.segments_left() {
            log::error!("segment {} was left; the demo removes it", row.id);
            drop(Taken::of_own_server(row));
        }
        for row in self.sets_left() {
            log::error!("semaphore set {} was left; the demo removes it", row.id);
            drop(TakenSet::of_own_server(row));
        }
        for file in self.files_left() {
            let name = file.name.lossy();
            log::error!("/dev/shm/{} was left; the demo removes it", name.escape_debug());
            let path = std::path::PathBuf::from(&file.name);
            let _ = std::fs::remove_file(std::path::Path::new(shm_files::DIRECTORY).join(path));
        }
    }
}

/// Whether it is the server or a child of it.
fn is_of(process: &Process, server: i32) -> bool {
    process.process.pid == server || process.parent == server
}

/// The sets of which a process of the server operated a member last.
fn sets_used_by(seen: &Snapshot, server: i32) -> Vec<SemaphoreSet> {
    let own = seen.processes.seen().filter(|process| is_of(process, server));
    let pids: Vec<i32> = own.map(|process| process.process.pid).collect();
    let used = |row: &&sem::Row| {
        // What may not be asked is another user's.
        let operators = sem::operators(row.id, row.members).unwrap_or_default();
        operators.iter().any(|pid| pids.contains(pid))
    };
    sem::table().unwrap_or_default().iter().filter(used).map(set_identity).collect()
}
