//! The look that tells whether anybody may want an object that no ledger knows: everything that a
//! listing takes, with what servers list in their shared memory.
//!
//! Memory that a living process has attached is read through that process, never by attaching it.
//! What could not be read is said (`Tables::unread_lists`): it may be a list.

use std::collections::BTreeMap;

use super::identity_of;
use super::{Mapped, Process, Scope, Seen, Snapshot, Table, Tables};
use super::{callers, contents, processes, take};
use crate::engine::postgres;
use crate::error::Result;
use crate::object::{Identity, ShmFile};
use crate::sys::shm::Row;

/// Looks at all that there is.
///
/// # Errors
/// As [`take`].
pub fn look() -> Result<Snapshot> {
    let scope = Scope {
        files: true,
        processes: true,
        maps: true,
        sets: true,
        queues: true,
        ..Scope::default()
    };
    // Whoever came since may want what seems to be left over.
    Ok(take(scope)?.with_newcomers(scope)?.with_lists())
}

impl Snapshot {
    /// Adds to a look with processes, maps, sets, queues and files what only this question needs.
    #[must_use]
    pub fn with_lists(self) -> Self {
        let mut look = self.into_tables();
        settle_owners(&mut look.processes);
        let unattached = look.segments.seen().filter(|row| row.nattch == 0);
        let last: Vec<i32> = unattached.clone().map(|row| row.last_pid).collect();
        // Creators and last users whom `/proc` does not show.
        look.ask_for(unattached.flat_map(|row| [row.creator_pid, row.last_pid]).collect());
        let files: Vec<ShmFile> = look.files.seen().map(|file| file.identity.clone()).collect();
        // The use of sets and queues, whether there are any or not.
        let look = Self::of(look).with_calls(|_| true).with_opened(&files).with_last_users(last);
        let mut look = look.into_tables();
        // Those that an object's mode lets in.
        if !look.callers.is_whole() {
            look.callers = callers::look(&look.processes);
        }
        // After the tables: what was made before is listed by now, if it ever is.
        read_attached(&mut look);
        read_files(&mut look, &files);
        Self::of(look)
    }

    /// Reads the first bytes of segments that nobody has attached, by attaching them for a moment,
    /// and the whole of those that turn out to be lists.
    #[must_use]
    pub fn with_unattached(self, ids: &[i32]) -> Self {
        let wanted: Vec<Row> =
            ids.iter().filter_map(|&id| self.segment(id).here()).cloned().collect();
        let mut look = self.into_tables();
        let mut room = contents::Room::default();
        for row in &wanted {
            let (id, identity) = (row.id, Identity::Shm(identity_of(row)));
            match look.read_unattached(id, row, postgres::HEADER_BYTES) {
                Ok(start) if postgres::is_control(&start) => {
                    let fits = postgres::fits_length(&start, row.bytes) && room.take_all(&identity);
                    let most = contents::LARGEST_CONTROL;
                    match fits.then(|| look.read_unattached(id, row, most)) {
                        Some(Ok(whole)) => {
                            look.headers.insert(id, start);
                            look.controls.push((identity, whole));
                        }
                        Some(Err(_)) | None => look.unread_lists.push(identity),
                    }
                }
                Ok(start) => drop(look.headers.insert(id, start)),
                Err(_) => look.unread_lists.push(identity),
            }
        }
        Self::of(look)
    }
}

/// Asks again for the users of processes that seemed to vanish while they were looked at.
pub(crate) fn settle_owners(processes: &mut Table<Process>) {
    processes::add_owners(processes);
    // Who has gone meanwhile has ended.
    processes.retain(|process| {
        let known = process.ended || process.unread || process.uids.is_some();
        known || processes::lives(process.process)
    });
}

fn read_attached(look: &mut Tables) {
    let attached = look.segments.seen().filter(|row| row.nattch > 0);
    let attached: Vec<Row> = attached.cloned().collect();
    let here = look.processes.seen().filter(|process| process.same_ipc == Some(true));
    let mut found = BTreeMap::new();
    for process in here {
        let Some(Seen::Here(mapped)) = &process.maps else { continue };
        let ids = mapped.iter().filter_map(|(mapped, _)| match mapped {
            Mapped::Segment(id) => Some(*id),
            Mapped::File(_) => None,
        });
        let pid = process.process.pid;
        let ids: Vec<i32> = ids.filter(|id| !found.contains_key(id)).collect();
        if ids.is_empty() {
            continue;
        }
        for (id, start) in contents::each_of_living(pid, &ids, postgres::HEADER_BYTES) {
            found.insert(id, (pid, start));
        }
    }
    let mut room = contents::Room::default();
    for row in &attached {
        let (id, identity) = (row.id, Identity::Shm(identity_of(row)));
        let most = usize::try_from(row.bytes).unwrap_or(usize::MAX).min(contents::LARGEST_CONTROL);
        let bytes = row.bytes;
        match found.remove(&id) {
            Some((pid, start)) if postgres::is_control(&start) => {
                let fits = postgres::fits_length(&start, bytes) && room.take_all(&identity);
                let whole = fits.then(|| contents::of_living(pid, id, most)).flatten();
                match whole.filter(|whole| whole.len() == most) {
                    Some(whole) => look.controls.push((identity, whole)),
                    None => look.unread_lists.push(identity),
                }
                look.headers.insert(id, start);
            }
            Some((_, start)) => {
                look.headers.insert(id, start);
            }
            None => look.unread_lists.push(identity),
        }
    }
}

fn read_files(look: &mut Tables, files: &[ShmFile]) {
    let mut room = contents::Room::default();
    for file in files.iter().filter(|file| postgres::is_posix_name(&file.name.0)) {
        let identity = Identity::Posix(file.clone());
        let read = contents::of_control_file(file, &mut room);
        match read {
            Ok(Some(whole)) => look.controls.push((identity, whole)),
            Ok(None) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => look.unread_lists.push(identity),
        }
    }
}
