//! What an object itself shows against its removal. Pure.

use super::{Reason, life};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::Role;
use crate::object::{Identity, Segment};
use crate::observe::{Mapped, Observation, Process, Seen};
use crate::sys::shm::{MODE_DEST, Row};

/// What the object itself shows against its removal.
pub(super) fn reason(book: &Book, object: &Recorded, look: &Observation) -> Option<Reason> {
    let place = book.places.get(object.place)?;
    if place.boot != look.place.boot {
        return Some(Reason::OtherBoot);
    }
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    match &object.identity {
        Identity::Shm(_) if place.ipc_namespace != look.place.ipc_namespace => {
            Some(Reason::OtherIpcNamespace)
        }
        Identity::Shm(segment) => match look.segment(segment.id) {
            None => Some(Reason::Gone),
            Some(row) => match differs(segment, row, same_pids) {
                Some(what) => Some(Reason::Changed(what)),
                None if row.mode & MODE_DEST != 0 => Some(Reason::Dest),
                None => (row.nattch > 0).then_some(Reason::Attached(row.nattch)),
            },
        },
        Identity::Posix(file) if look.place.shm_mount.as_ref() != Some(&file.mount) => {
            Some(Reason::OtherMount)
        }
        Identity::Posix(file) => match look.file(&file.name.0) {
            None => Some(Reason::Gone),
            Some(now) if !now.is(file) => Some(Reason::Changed("inode or birth time")),
            Some(_) => file_in_use(book, object, look),
        },
    }
}

/// Whether somebody maps a file, or may.
#[must_use]
pub fn file_in_use(book: &Book, object: &Recorded, look: &Observation) -> Option<Reason> {
    let Identity::Posix(file) = &object.identity else {
        return None;
    };
    if look
        .processes
        .iter()
        .any(|process| process.mappings(Mapped::File(file.file)) > 0)
    {
        return Some(Reason::Mapped);
    }
    // Every process that uses a server's dynamic shared memory has its main segment attached: the
    // kernel's own count says more than a look into processes.
    if main_is_unattached(book, object.run, look) {
        return None;
    }
    let closed = |process: &&Process| {
        !process.ended
            && matches!(process.maps, None | Some(Seen::Denied))
            && life::has_uid(process, file.uid)
    };
    let closed = look.processes.iter().find(closed)?;
    Some(Reason::PerhapsMapped(life::holder(closed, 0, false)))
}

/// Whether a run's main segment is recorded, there, and unattached.
fn main_is_unattached(book: &Book, run: u64, look: &Observation) -> bool {
    book.open_objects().any(|object| {
        let Identity::Shm(segment) = &object.identity else {
            return false;
        };
        let here = book.places.get(object.place).is_some_and(|place| {
            place.boot == look.place.boot && place.ipc_namespace == look.place.ipc_namespace
        });
        let row = look.segment(segment.id);
        let unattached =
            row.is_some_and(|row| differs(segment, row, false).is_none() && row.nattch == 0);
        here && object.run == run && object.role == Role::Main && unattached
    })
}

/// In what a segment of the same id differs from the recorded one.
#[must_use]
pub fn differs(known: &Segment, row: &Row, same_pids: bool) -> Option<&'static str> {
    // IPC_RMID on an attached segment makes its key 0 (ipc/shm.c do_shm_rmid).
    let key_fits = row.key == known.key.0 || row.mode & MODE_DEST != 0;
    let checks = [
        (row.id == known.id, "id"),
        (key_fits, "key"),
        (row.bytes == known.bytes, "size"),
        (row.creator_uid == known.creator_uid, "creator uid"),
        (row.creator_gid == known.creator_gid, "creator gid"),
        (row.ctime == known.ctime, "change time"),
        (
            !same_pids || row.creator_pid == known.creator_pid,
            "creator pid",
        ),
    ];
    checks.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}
