//! The look that tells whether anybody may want an object that no ledger knows: everything that a
//! listing takes, with what servers list in their shared memory.
//!
//! What a living process has attached is read through that process, never by attaching it. What
//! could not be read is said (`Tables::unread_lists`): it may be a list.

use std::collections::BTreeMap;

use super::identity_of;
use super::{Mapped, Process, Scope, Seen, Snapshot, Table};
use super::{callers, contents, opened, processes, tables, take};
use crate::engine::postgres;
use crate::error::Result;
use crate::object::{Identity, ShmFile};

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
    let mut look = take(scope)?;
    // Whoever came since may want what seems to be left over.
    processes::add_new(&mut look, scope)?;
    complete(&mut look);
    Ok(look)
}

/// Adds to a look with processes, maps, sets, queues and files what only this question needs.
pub fn complete(look: &mut Snapshot) {
    settle_owners(&mut look.processes);
    // Creators and last users whom `/proc` does not show.
    let makers = look.segments.seen().filter(|row| row.nattch == 0);
    let makers = makers.flat_map(|row| [row.creator_pid, row.last_pid]).collect();
    tables::add_hidden(look, makers);
    // The use of sets and queues, be there any or not.
    tables::add_calls(look, |_| true);
    // Whom an object's mode lets in.
    if !look.callers.is_whole() {
        look.callers = callers::look(&look.processes);
    }
    let files: Vec<ShmFile> = look.files.seen().map(|file| file.identity.clone()).collect();
    look.opened = opened::look(&look.processes, &files);
    let unattached = look.segments.seen().filter(|row| row.nattch == 0);
    let last: Vec<i32> = unattached.map(|row| row.last_pid).collect();
    super::add_last_users(look, last);
    // After the tables: what was made before is listed by now, if it ever is.
    read_attached(look);
    read_files(look);
}

/// Reads the first bytes of segments that nobody has attached, by attaching them for a moment, and
/// the whole of those that turn out to be lists.
pub fn read_unattached(look: &mut Snapshot, ids: &[i32]) {
    let mut room = contents::Room::default();
    for &id in ids {
        let Seen::Here(row) = look.segment(id) else { continue };
        let (identity, bytes) = (Identity::Shm(identity_of(row)), row.bytes);
        match contents::of_unattached(look, id, postgres::HEADER_BYTES) {
            Ok(start) if postgres::is_control(&start) => {
                let fits = postgres::fits_length(&start, bytes) && room.take_all(&identity);
                match fits.then(|| contents::of_control(look, &identity)) {
                    Some(Ok(whole)) => {
                        look.headers.insert(id, start);
                        look.controls.push((identity, whole));
                    }
                    Some(Err(_)) | None => look.unread_lists.push(identity),
                }
            }
            Ok(start) => {
                look.headers.insert(id, start);
            }
            Err(_) => look.unread_lists.push(identity),
        }
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

fn read_attached(look: &mut Snapshot) {
    let attached: Vec<i32> =
        look.segments.seen().filter(|row| row.nattch > 0).map(|row| row.id).collect();
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
    for id in attached {
        let Seen::Here(row) = look.segment(id) else { continue };
        let identity = Identity::Shm(identity_of(row));
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

fn read_files(look: &mut Snapshot) {
    let mut room = contents::Room::default();
    let files: Vec<ShmFile> = look.files.seen().map(|file| file.identity.clone()).collect();
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
