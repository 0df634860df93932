//! What an object itself shows against its removal. Pure.

use super::{Evidence, Reason, life, segments, sets};
use crate::attribute::{self, differs};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::{How, Role};
use crate::object::{Identity, ShmFile};
use crate::snapshot::{Mapped, Process, Seen, Snapshot};
use crate::sys::shm::MODE_DEST;

/// What the object itself shows against its removal.
pub(super) fn reason(book: &Book, object: &Recorded, look: &Snapshot) -> Option<Reason> {
    let place = book.places.get(object.place)?;
    if place.boot != look.place.boot {
        return Some(Reason::OtherBoot);
    }
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    match &object.identity {
        Identity::Shm(_) | Identity::Sem(_) | Identity::Msg(_)
            if place.ipc_namespace != look.place.ipc_namespace =>
        {
            Some(Reason::OtherIpcNamespace)
        }
        Identity::Shm(segment) => match look.segment(segment.id) {
            Seen::Gone => Some(Reason::Gone),
            Seen::Denied => Some(Reason::Unreadable),
            Seen::Here(row) => match differs(segment, row, same_pids) {
                // An IPC_SET that nobody followed moves it: attached, it is taken for ours.
                Some("change time") if row.nattch > 0 => Some(Reason::Attached(row.nattch)),
                Some(what) => Some(Reason::Changed(what)),
                None if row.mode & MODE_DEST != 0 => Some(Reason::Dest),
                None if row.nattch > 0 => Some(Reason::Attached(row.nattch)),
                None => segments::segment_use(book, object, row, look),
            },
        },
        Identity::Posix(file) if look.place.shm_mount.as_ref() != Some(&file.mount) => {
            Some(Reason::OtherMount)
        }
        Identity::Posix(file) => match look.file(&file.name.0) {
            Seen::Gone => Some(Reason::Gone),
            Seen::Denied => Some(Reason::Unreadable),
            Seen::Here(now) if !now.is(file) => Some(Reason::Changed("inode or birth time")),
            Seen::Here(now) => file_reason(book, object, &now.identity, look),
        },
        Identity::Sem(_) | Identity::Msg(_) => sets::reason(book, object, look),
    }
}

/// Returns what a file of an instance shows against its removal, once it is known to bear the
/// recorded name, inode and owner.
#[must_use]
pub fn file_reason(
    book: &Book,
    object: &Recorded,
    now: &ShmFile,
    look: &Snapshot,
) -> Option<Reason> {
    file_in_use(book, object, now, look).or_else(|| without_birth(book, object, now, look))
}

/// Returns why a file without a birth time stays: only what a dead server's own list names goes,
/// and only if it was not changed after the death.
fn without_birth(book: &Book, object: &Recorded, now: &ShmFile, look: &Snapshot) -> Option<Reason> {
    let (changed, _) = now.birth.only_changed()?;
    // Adopted ones are judged as a whole, by what leads to them.
    if object.is_adopted() {
        return None;
    }
    if object.how != How::Listed || !matches!(object.role, Role::Control | Role::Dynamic) {
        return Some(Reason::NoBirthTime("it is on no list of a PostgreSQL's own"));
    }
    if attribute::clock_was_set_back(book, object.run, look) {
        return Some(Reason::NoBirthTime("and the clock was set back since its server began"));
    }
    match attribute::dead_by(book, object.run, look) {
        None => Some(Reason::NoBirthTime("and when its server died is not known")),
        Some(death) if changed > death => Some(Reason::ChangedSince),
        Some(_) => None,
    }
}

/// Whether somebody maps a file of an instance, or may.
#[must_use]
fn file_in_use(book: &Book, object: &Recorded, now: &ShmFile, look: &Snapshot) -> Option<Reason> {
    // Every process that uses a server's dynamic shared memory has its main segment attached: the
    // kernel's own count says more than a look into processes.
    let own = life::is_engines_own(book, object, look);
    if own && life::is_released(book, object.run, look) {
        return is_mapped(now, look).then_some(Reason::Mapped);
    }
    // Orphans in another PID namespace cannot be seen from here, unless that has died with its
    // first process.
    let place = book.places.get(object.place)?;
    let run = book.runs.get(&object.run)?;
    if place.pid_namespace != look.place.pid_namespace && !book.died_with_its_launcher(run) {
        return Some(Reason::Unseen(Evidence::OtherPids { run: object.run }));
    }
    file_use(now, look)
}

fn is_mapped(file: &ShmFile, look: &Snapshot) -> bool {
    look.processes.seen().any(|process| process.mappings(Mapped::File(file.file)) > 0)
}

/// Whether somebody maps a file, or may: whoever cannot be looked into and could open it.
#[must_use]
pub fn file_use(now: &ShmFile, look: &Snapshot) -> Option<Reason> {
    if is_mapped(now, look) {
        return Some(Reason::Mapped);
    }
    if let Some(used) = open_or_locked(now, look) {
        return Some(used);
    }
    let open_to_others = now.mode & 0o066 != 0;
    let was_asked = look.opened.asked.contains(&now.file);
    let closed = |process: &&Process| {
        let unasked = !was_asked || look.opened.closed.contains(&process.process.pid);
        !process.ended
            && (unasked || matches!(process.maps, None | Some(Seen::Denied)))
            && (open_to_others || process.may_be_of(now.uid))
    };
    if let Some(closed) = look.processes.seen().find(closed) {
        return Some(Reason::PerhapsMapped(life::holder(closed, 0, false)));
    }
    Evidence::of_sight(look.sight).map(Reason::Unseen)
}

/// Returns who has a file open, or that somebody has it locked: it is used without being mapped.
fn open_or_locked(file: &ShmFile, look: &Snapshot) -> Option<Reason> {
    let opened = &look.opened;
    let by = |process: &&Process| {
        let pid = process.process.pid;
        !process.ended && pid != look.pid && opened.by.contains(&(file.file, pid))
    };
    if let Some(process) = look.processes.seen().find(by) {
        return Some(Reason::Opened(life::holder(process, 0, false)));
    }
    opened.locked.contains(&file.file).then_some(Reason::Locked)
}
