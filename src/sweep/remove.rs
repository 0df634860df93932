//! Carrying out a removal: intent, a last look, removal, a look afterwards, outcome.
//!
//! The only caller of `IPC_RMID` and of `unlink` in `/dev/shm` for what a server made; the demo's
//! own segments are removed by `sys/taken.rs`. What may be removed is told by a [`Removal`], which
//! only `judge` can make. The caller has the ledger's lock; the removal itself is made with the
//! credentials of the ledger's owner.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::again::Again;
use crate::attribute::listed::Name;
use crate::attribute::sets::{queue_differs, set_differs};
use crate::error::Result;
use crate::judge::{self, Absent, CallState, Holder, Reason, Removal, differs};
use crate::ledger::Ledger;
use crate::ledger::record::{Outcome, Record, Role};
use crate::object::{Identity, Queue, Segment, SemaphoreSet, ShmFile};
use crate::snapshot::{self, calls, processes, shm_files, tables};
use crate::sys::shm::{self, MODE_DEST};
use crate::sys::{msg, sem};

/// The result of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Removed, and looked at afterwards: how.
    Removed(String),
    /// It had gone, or its number or name is another object's by now: what showed that.
    Gone(String),
    /// Left alone for this reason.
    Kept(Reason),
    /// Somebody took hold of it between the look and the removal: what was seen.
    Raced(String),
    /// The kernel refused, or could not be asked: the error, as a sentence.
    Failed(String),
}

impl Done {
    /// Returns it as the ledger records it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Removed(_) => Outcome::Removed,
            Self::Gone(_) => Outcome::Gone,
            Self::Kept(_) => Outcome::Kept,
            Self::Raced(_) => Outcome::Raced,
            Self::Failed(_) => Outcome::Failed,
        }
    }

    /// Returns the evidence, as a sentence.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Removed(how) | Self::Gone(how) | Self::Raced(how) | Self::Failed(how) => {
                how.clone()
            }
            Self::Kept(reason) => reason.to_string(),
        }
    }

    fn gone() -> Self {
        Self::Gone("it had gone".to_owned())
    }

    fn is_anothers(what: &str) -> Self {
        Self::Gone(format!("the id is another's now: its {what}"))
    }

    fn cannot_look(error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("cannot look at it: {error}"))
    }
}

/// Removes one object and writes down what came of it.
///
/// # Errors
/// Where the intent cannot be written: nothing is removed then. An outcome that cannot be written
/// stays queued in the ledger.
pub fn remove(removal: &Removal, ledger: &mut Ledger) -> Result<Done> {
    remove_among(removal, ledger, &mut Again::default())
}

/// The same for one of many, which share the looks just before.
pub(super) fn remove_among(
    removal: &Removal,
    ledger: &mut Ledger,
    again: &mut Again,
) -> Result<Done> {
    let (object, reason) = (removal.object(), removal.evidence().to_owned());
    ledger.append(Record::Intent { object, reason })?;
    let done = remove_now(removal, ledger, again)?;
    let (outcome, detail) = (done.outcome(), done.detail());
    ledger.note(Record::Outcome { object, outcome, detail })?;
    // Stays queued where it cannot be written: the next intent, or the last flush, meets the error.
    let _ = ledger.flush();
    Ok(done)
}

fn remove_now(removal: &Removal, ledger: &Ledger, looks: &mut Again) -> Result<Done> {
    if let Some(done) = removal.guard().and_then(|main| guard_broken(main, removal.same_pids())) {
        return Ok(done);
    }
    let guarded = removal.guard().is_some() && removal.role() != Role::Other;
    // Of adopted sets and queues there may be tens of thousands: who lives is looked at for all of
    // them, and again while it goes on (`sweep/alone.rs`).
    let again = match removal.identity() {
        Identity::Posix(_) => !guarded,
        Identity::Sem(_) | Identity::Msg(_) => !removal.is_adopted(),
        Identity::Shm(_) => false,
    };
    // With all the rights that there are: the owner may see less.
    if let Some(done) = again.then(|| judged_again(removal, ledger, looks)).flatten() {
        return Ok(done);
    }
    if let Some(name) = still_there(removal.absent()) {
        return Ok(Done::Kept(Reason::ListedStays(name)));
    }
    let acting = ledger.as_owner()?;
    let done = match (removal.identity(), removal.seen()) {
        (Identity::Shm(segment), Some(CallState::Segment(seen))) => {
            remove_segment(segment, seen, removal.same_pids())
        }
        (Identity::Posix(file), _) => remove_file(file),
        (Identity::Sem(set), Some(CallState::Set(seen))) => remove_set(set, seen),
        (Identity::Msg(queue), Some(CallState::Queue(seen))) => remove_queue(queue, seen),
        (Identity::Shm(_) | Identity::Sem(_) | Identity::Msg(_), _) => {
            Done::Kept(Reason::Unreadable)
        }
    };
    drop(acting);
    Ok(done)
}

/// Judges an object anew, by a look at it and at those who may use it.
fn judged_again(removal: &Removal, ledger: &Ledger, looks: &mut Again) -> Option<Done> {
    let book = &ledger.book;
    let object = book.objects.get(&removal.object())?;
    let called;
    let look = match removal.identity() {
        Identity::Posix(file) => looks.file(file, ledger).map(Some),
        identity => {
            let strangers = book.strangers.get(&object.number).into_iter().flatten();
            let strangers: Vec<i32> = strangers.map(|process| process.pid).collect();
            let run = book.runs.get(&object.run);
            let known = run.is_some_and(|run| !judge::is_generic(book, run));
            let everybody = || looks.everybody(identity).cloned();
            called = calls::look_at_one(identity, known, &strangers, everybody);
            match called {
                Ok(ref look) => Ok(look.as_ref()),
                Err(error) => Err(error),
            }
        }
    };
    let look = match look {
        Ok(Some(look)) => look,
        Ok(None) => return Some(Done::gone()),
        Err(error) => return Some(Done::Failed(format!("cannot look for who uses it: {error}"))),
    };
    Some(match judge::against(book, object, look)? {
        Reason::Gone => Done::gone(),
        Reason::Changed(what) => Done::is_anothers(what),
        reason @ (Reason::Waited(_) | Reason::LastUserLives(_) | Reason::SharedWith(_)) => {
            Done::Raced(reason.to_string())
        }
        reason => Done::Kept(reason),
    })
}

/// Returns the first of what an object lists that is not known to be gone.
fn still_there(absent: &Absent) -> Option<String> {
    let first = absent.names.first()?;
    if snapshot::place::shm_mount() != absent.mount {
        return Some(first.to_string());
    }
    let Ok(rows) = snapshot::segments() else { return Some(first.to_string()) };
    let keys: BTreeSet<i32> = rows.iter().map(|row| row.key).collect();
    let is_gone = |name: &&Name| match name {
        Name::File(name) => shm_files::is_absent(&name.0),
        Name::Key(key) => !keys.contains(&key.0),
    };
    absent.names.iter().find(|name| !is_gone(name)).map(Name::to_string)
}

fn remove_set(set: &SemaphoreSet, seen: &tables::Set) -> Done {
    match sem::stat(set.id) {
        Ok(None) => return Done::gone(),
        Ok(Some(row)) => {
            if let Some(what) = set_differs(set, &row) {
                return Done::is_anothers(what);
            }
            if row != seen.row {
                return Done::Raced(USED_MEANWHILE.to_owned());
            }
        }
        Err(errno) => return Done::cannot_look(errno),
    }
    // The last call before the removal asks for waiters: the kernel wakes them, and nothing tells
    // afterwards that there was one.
    match sem::members(set.id, set.nsems) {
        Ok(members) if members.waiters > 0 => {
            let detail = format!(
                "between the decision and the removal came waiters ({}): left alone",
                members.waiters
            );
            return Done::Raced(detail);
        }
        Ok(members) if Some(&members) != seen.members.as_ref() => {
            return Done::Raced(USED_MEANWHILE.to_owned());
        }
        Ok(_) => {}
        Err(Errno::EINVAL | Errno::EIDRM) => return Done::gone(),
        Err(_) => return Done::Kept(Reason::Unreadable),
    }
    let still = || matches!(sem::stat(set.id), Ok(Some(row)) if set_differs(set, &row).is_none());
    call_removed(sem::remove(set.id), still, "destroyed".to_owned())
}

fn remove_queue(queue: &Queue, seen: &msg::Row) -> Done {
    match msg::stat(queue.id) {
        Ok(None) => return Done::gone(),
        Ok(Some(row)) => {
            if let Some(what) = queue_differs(queue, &row) {
                return Done::is_anothers(what);
            }
            if row != *seen {
                return Done::Raced(USED_MEANWHILE.to_owned());
            }
        }
        Err(errno) => return Done::cannot_look(errno),
    }
    let detail = format!("destroyed with {} messages of {} bytes", seen.messages, seen.bytes);
    let still =
        || matches!(msg::stat(queue.id), Ok(Some(row)) if queue_differs(queue, &row).is_none());
    call_removed(msg::remove(queue.id), still, detail)
}

const USED_MEANWHILE: &str =
    "somebody used or changed it between the decision and the removal: left alone";

/// Returns what the kernel made of the removal of a set or queue.
fn call_removed(
    removed: crate::sys::Result<()>,
    is_still_there: impl Fn() -> bool,
    detail: String,
) -> Done {
    match removed {
        Ok(()) if is_still_there() => Done::Failed("it is still there".to_owned()),
        Ok(()) => Done::Removed(detail),
        Err(errno) => refused(errno),
    }
}

/// Returns what the kernel's refusal of a removal means.
fn refused(errno: Errno) -> Done {
    match errno {
        Errno::EINVAL | Errno::EIDRM => Done::gone(),
        Errno::EPERM | Errno::EACCES => {
            let detail = format!("not allowed ({errno}): run as its owner, its creator or root");
            Done::Failed(detail)
        }
        errno => Done::Failed(format!("IPC_RMID: {errno}")),
    }
}

/// Returns why the main segment no longer proves that nobody uses anything of its server.
fn guard_broken(main: &Segment, same_pids: bool) -> Option<Done> {
    let proves = match shm::stat(main.id) {
        Ok(Some(row)) => differs(main, &row, same_pids).is_none() && row.nattch == 0,
        Ok(None) => false,
        Err(errno) => {
            return Some(Done::Failed(format!("the main segment could not be looked at: {errno}")));
        }
    };
    let main = || Identity::Shm(main.clone()).to_string();
    (!proves).then(|| Done::Kept(Reason::InstanceHeld(main())))
}

fn remove_segment(segment: &Segment, seen: &shm::Row, same_pids: bool) -> Done {
    match shm::stat(segment.id) {
        Ok(None) => return Done::gone(),
        Ok(Some(row)) => {
            if let Some(what) = differs(segment, &row, same_pids) {
                return Done::is_anothers(what);
            }
            if row.nattch > 0 || row.mode & MODE_DEST != 0 {
                return Done::Kept(match row.nattch {
                    0 => Reason::Dest,
                    nattch => Reason::Attached(nattch),
                });
            }
            // Not raced: that is what was marked and goes on the last detach.
            if row != *seen {
                let user = processes::one(row.last_pid).filter(|process| !process.ended);
                let user = user.map(|process| Holder::of(&process, 0, false));
                return Done::Kept(user.map_or(Reason::UsedSince, Reason::LastUserLives));
            }
        }
        Err(errno) => return Done::cannot_look(errno),
    }
    if let Err(errno) = shm::remove(segment.id) {
        return refused(errno);
    }
    // shmctl(2): on an attached segment IPC_RMID only marks it, and this is the only way to know.
    match shm::stat(segment.id) {
        Ok(Some(row)) if row.mode & MODE_DEST != 0 && row.bytes == segment.bytes => {
            let detail = format!(
                "somebody attached it between the look and the removal (nattch {}): \
                 it goes on the last detach",
                row.nattch
            );
            Done::Raced(detail)
        }
        Err(errno) => Done::Failed(format!("IPC_RMID was done, what came of it: {errno}")),
        Ok(_) => Done::Removed("destroyed".to_owned()),
    }
}

fn remove_file(file: &ShmFile) -> Done {
    let failed = |what: &str, why: String| Done::Failed(format!("{what}: {why}"));
    // Without a birth time it has to be unchanged since it was judged, too.
    let is =
        |found: &ShmFile| found.is(file) && found.birth.only_changed() == file.birth.only_changed();
    let same = |found: &Option<ShmFile>| found.as_ref().is_some_and(is);
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(None) => return Done::gone(),
        Ok(Some(found)) if found.is(file) && !is(&found) => {
            return Done::Kept(Reason::ChangedSince);
        }
        Ok(found) if !same(&found) => {
            return Done::Gone("the name is another file's now".to_owned());
        }
        Ok(_) => {}
        Err(error) => return failed("cannot look at it", error.to_string()),
    }
    let path = Path::new(shm_files::DIRECTORY);
    let dir = match File::open(path) {
        Ok(dir) => dir,
        Err(error) => return failed("cannot open /dev/shm", error.to_string()),
    };
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(&file.name.0);
    match unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Done::gone(),
        Err(errno) => return failed("unlink", errno.to_string()),
    }
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(found) if same(&found) => failed("unlink", "the file is still there".to_owned()),
        _ => Done::Removed("unlinked".to_owned()),
    }
}
