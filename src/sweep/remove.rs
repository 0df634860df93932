//! Carrying out a removal: intent, a last look, removal, a look afterwards, outcome.
//!
//! The only caller of `IPC_RMID` and of `unlink` in `/dev/shm` for what a server made; the demo's
//! own segments are removed by `sys/own.rs`. What may be removed is told by a [`Removal`], which
//! only `judge` can make. The caller has the ledger's lock; the last look and the removal itself
//! are made with the rights of the ledger's owner (`hands.rs`).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::again::Again;
use super::hands::Hands;
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
}

/// What the last look and the removal came to, as whoever made them tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// As [`Done::Removed`].
    Removed(String),
    /// As [`Done::Gone`].
    Gone(String),
    /// As [`Done::Raced`].
    Raced(String),
    /// As [`Done::Failed`].
    Failed(String),
    /// Attached so many times; where that is 0, marked for destruction.
    Attached(u64),
    /// Used since the decision: by this process last.
    Used(i32),
    /// A file that was changed since the decision.
    Changed,
    /// Who uses it may not be asked.
    Unreadable,
}

impl Told {
    fn gone() -> Self {
        Self::Gone("it had gone".to_owned())
    }

    fn is_anothers(what: &str) -> Self {
        Self::Gone(format!("the id is another's now: its {what}"))
    }

    fn cannot_look(error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("cannot look at it: {error}"))
    }

    /// Returns what that means, with all the rights that there are: the owner may see less.
    pub(super) fn done(self) -> Done {
        match self {
            Self::Removed(how) => Done::Removed(how),
            Self::Gone(how) => Done::Gone(how),
            Self::Raced(how) => Done::Raced(how),
            Self::Failed(why) => Done::Failed(why),
            Self::Attached(0) => Done::Kept(Reason::Dest),
            Self::Attached(nattch) => Done::Kept(Reason::Attached(nattch)),
            Self::Used(pid) => {
                let user = processes::one(pid).filter(|process| !process.ended);
                let user = user.map(|process| Holder::of(&process, 0, false));
                Done::Kept(user.map_or(Reason::UsedSince, Reason::LastUserLives))
            }
            Self::Changed => Done::Kept(Reason::ChangedSince),
            Self::Unreadable => Done::Kept(Reason::Unreadable),
        }
    }
}

/// Removes one object and writes down what came of it.
///
/// # Errors
/// Where the intent cannot be written: nothing is removed then. An outcome that cannot be written
/// stays queued in the ledger.
pub fn remove(removal: &Removal, ledger: &mut Ledger) -> Result<Done> {
    let mut hands = Hands::of(ledger, std::iter::once(removal));
    let done = remove_among(removal, ledger, &mut Again::default(), &mut hands)?;
    // Stays queued where it cannot be written: the next flush meets the error.
    let _ = ledger.flush();
    Ok(done)
}

/// The same for one of many, which share the looks just before. The outcome is queued: the next
/// intent takes it to the file in the same write, and the last one goes with a flush.
pub(super) fn remove_among(
    removal: &Removal,
    ledger: &mut Ledger,
    again: &mut Again,
    hands: &mut Hands<'_>,
) -> Result<Done> {
    let (object, reason) = (removal.object(), removal.evidence().to_owned());
    ledger.append(Record::Intent { object, reason })?;
    let done = remove_now(removal, ledger, again, hands);
    let (outcome, detail) = (done.outcome(), done.detail());
    ledger.note(Record::Outcome { object, outcome, detail })?;
    Ok(done)
}

fn remove_now(
    removal: &Removal,
    ledger: &Ledger,
    looks: &mut Again,
    hands: &mut Hands<'_>,
) -> Done {
    if let Some(done) = removal.guard().and_then(|main| guard_broken(main, removal.same_pids())) {
        return done;
    }
    let guarded = removal.guard().is_some() && removal.role() != Role::Other;
    // Of adopted sets and queues there may be tens of thousands: who lives is looked at for all of
    // them, and again while it goes on (`sweep/without_process.rs`).
    let again = match removal.identity() {
        Identity::Posix(_) => !guarded,
        Identity::Sem(_) | Identity::Msg(_) => !removal.is_adopted(),
        Identity::Shm(_) => false,
    };
    // With all the rights that there are: the owner may see less.
    if let Some(done) = again.then(|| judged_again(removal, ledger, looks, hands)).flatten() {
        return done;
    }
    if let Some(name) = still_there(removal.absent()) {
        return Done::Kept(Reason::ListedStays(name));
    }
    hands.remove(removal)
}

/// Looks a last time, removes, and looks at what came of it: with the rights of whoever calls.
pub(super) fn take(removal: &Removal) -> Told {
    if let Some(told) = last_look(removal) {
        return told;
    }
    match (removal.identity(), removal.seen()) {
        (Identity::Shm(segment), _) => take_segment(segment),
        (Identity::Posix(file), _) => take_file(file),
        (Identity::Sem(set), _) => take_set(set),
        (Identity::Msg(queue), Some(CallState::Queue(seen))) => take_queue(queue, seen),
        (Identity::Msg(_), _) => Told::Unreadable,
    }
}

/// Returns what speaks against a removal when the object is compared with what was decided on.
pub(super) fn last_look(removal: &Removal) -> Option<Told> {
    match (removal.identity(), removal.seen()) {
        (Identity::Shm(segment), Some(CallState::Segment(seen))) => {
            look_at_segment(segment, seen, removal.same_pids())
        }
        (Identity::Posix(file), _) => look_at_file(file),
        (Identity::Sem(set), Some(CallState::Set(seen))) => look_at_set(set, seen),
        (Identity::Msg(queue), Some(CallState::Queue(seen))) => look_at_queue(queue, seen),
        (Identity::Shm(_) | Identity::Sem(_) | Identity::Msg(_), _) => Some(Told::Unreadable),
    }
}

/// Judges an object anew, by a look at it and at those who may use it.
fn judged_again(
    removal: &Removal,
    ledger: &Ledger,
    looks: &mut Again,
    hands: &mut Hands<'_>,
) -> Option<Done> {
    let book = &ledger.book;
    let object = book.objects.get(&removal.object())?;
    let called;
    let look = match removal.identity() {
        Identity::Posix(file) => looks.file(file, ledger, hands).map(Some),
        identity => {
            let strangers = book.strangers.get(&object.number).into_iter().flatten();
            let strangers: Vec<i32> = strangers.map(|process| process.pid).collect();
            let run = book.runs.get(&object.run);
            let known = run.is_some_and(|run| !judge::is_generic(book, run));
            let everybody = || looks.everybody(identity, hands).cloned();
            called = calls::look_at_one(identity, known, &strangers, everybody);
            match called {
                Ok(ref look) => Ok(look.as_ref()),
                Err(error) => Err(error),
            }
        }
    };
    let look = match look {
        Ok(Some(look)) => look,
        Ok(None) => return Some(Told::gone().done()),
        Err(error) => return Some(Done::Failed(format!("cannot look for who uses it: {error}"))),
    };
    Some(match judge::against(book, object, look)? {
        Reason::Gone => Told::gone().done(),
        Reason::Changed(what) => Told::is_anothers(what).done(),
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
    let keys: BTreeSet<i32> = rows.iter().map(|row| row.perm.key).collect();
    let is_gone = |name: &&Name| match name {
        Name::File(name) => shm_files::is_absent(&name.0),
        Name::Key(key) => !keys.contains(&key.0),
    };
    absent.names.iter().find(|name| !is_gone(name)).map(Name::to_string)
}

fn look_at_set(set: &SemaphoreSet, seen: &tables::Set) -> Option<Told> {
    match sem::stat(set.id) {
        Ok(None) => return Some(Told::gone()),
        Ok(Some(row)) => {
            if let Some(what) = set_differs(set, &row) {
                return Some(Told::is_anothers(what));
            }
            if row != seen.row {
                return Some(Told::Raced(USED_MEANWHILE.to_owned()));
            }
        }
        Err(errno) => return Some(Told::cannot_look(errno)),
    }
    // The last call before the removal asks for waiters: the kernel wakes them, and nothing tells
    // afterwards that there was one.
    match sem::members(set.id, set.nsems) {
        Ok(members) if members.waiters > 0 => {
            let detail = format!(
                "between the decision and the removal came waiters ({}): left alone",
                members.waiters
            );
            Some(Told::Raced(detail))
        }
        Ok(members) if Some(&members) != seen.members.as_ref() => {
            Some(Told::Raced(USED_MEANWHILE.to_owned()))
        }
        Ok(_) => None,
        Err(Errno::EINVAL | Errno::EIDRM) => Some(Told::gone()),
        Err(_) => Some(Told::Unreadable),
    }
}

fn take_set(set: &SemaphoreSet) -> Told {
    let still = || matches!(sem::left(set.id), Ok(Some(row)) if set_differs(set, &row).is_none());
    call_removed(sem::remove(set.id), still, "destroyed".to_owned())
}

fn look_at_queue(queue: &Queue, seen: &msg::Row) -> Option<Told> {
    match msg::stat(queue.id) {
        Ok(None) => Some(Told::gone()),
        Ok(Some(row)) => match queue_differs(queue, &row) {
            Some(what) => Some(Told::is_anothers(what)),
            None => (row != *seen).then(|| Told::Raced(USED_MEANWHILE.to_owned())),
        },
        Err(errno) => Some(Told::cannot_look(errno)),
    }
}

fn take_queue(queue: &Queue, seen: &msg::Row) -> Told {
    let detail = format!("destroyed with {} messages of {} bytes", seen.messages, seen.bytes);
    let still =
        || matches!(msg::left(queue.id), Ok(Some(row)) if queue_differs(queue, &row).is_none());
    call_removed(msg::remove(queue.id), still, detail)
}

const USED_MEANWHILE: &str =
    "somebody used or changed it between the decision and the removal: left alone";

/// Returns what the kernel made of the removal of a set or queue.
fn call_removed(
    removed: crate::sys::Result<()>,
    is_still_there: impl Fn() -> bool,
    detail: String,
) -> Told {
    match removed {
        Ok(()) if is_still_there() => Told::Failed("it is still there".to_owned()),
        Ok(()) => Told::Removed(detail),
        Err(errno) => refused(errno),
    }
}

/// Returns what the kernel's refusal of a removal means.
fn refused(errno: Errno) -> Told {
    match errno {
        Errno::EINVAL | Errno::EIDRM => Told::gone(),
        Errno::EPERM | Errno::EACCES => {
            let detail = format!("not allowed ({errno}): run as its owner, its creator or root");
            Told::Failed(detail)
        }
        errno => Told::Failed(format!("IPC_RMID: {errno}")),
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

fn look_at_segment(segment: &Segment, seen: &shm::Row, same_pids: bool) -> Option<Told> {
    match shm::stat(segment.id) {
        Ok(None) => Some(Told::gone()),
        Ok(Some(row)) => {
            if let Some(what) = differs(segment, &row, same_pids) {
                return Some(Told::is_anothers(what));
            }
            if row.nattch > 0 || row.perm.mode & MODE_DEST != 0 {
                return Some(Told::Attached(row.nattch));
            }
            // Not raced: that is what was marked and goes on the last detach.
            (row != *seen).then_some(Told::Used(row.last_pid))
        }
        Err(errno) => Some(Told::cannot_look(errno)),
    }
}

fn take_segment(segment: &Segment) -> Told {
    if let Err(errno) = shm::remove(segment.id) {
        return refused(errno);
    }
    // shmctl(2): on an attached segment IPC_RMID only marks it, and this is the only way to know.
    match shm::left(segment.id) {
        Ok(Some(row)) if row.perm.mode & MODE_DEST != 0 && row.bytes == segment.bytes => {
            let detail = format!(
                "somebody attached it between the look and the removal (nattch {}): \
                 it goes on the last detach",
                row.nattch
            );
            Told::Raced(detail)
        }
        Err(errno) => Told::Failed(format!("IPC_RMID was done, what came of it: {errno}")),
        Ok(_) => Told::Removed("destroyed".to_owned()),
    }
}

/// Checks for the same file; without a birth time it has to be unchanged since it was judged, too.
fn is_unchanged(found: &ShmFile, file: &ShmFile) -> bool {
    found.is(file) && found.birth.only_changed() == file.birth.only_changed()
}

fn look_at_file(file: &ShmFile) -> Option<Told> {
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(None) => Some(Told::gone()),
        Ok(Some(found)) if is_unchanged(&found, file) => None,
        Ok(Some(found)) if found.is(file) => Some(Told::Changed),
        Ok(Some(_)) => Some(Told::Gone("the name is another file's now".to_owned())),
        Err(error) => Some(Told::cannot_look(error)),
    }
}

fn take_file(file: &ShmFile) -> Told {
    let failed = |what: &str, why: String| Told::Failed(format!("{what}: {why}"));
    let dir = match File::open(Path::new(shm_files::DIRECTORY)) {
        Ok(dir) => dir,
        Err(error) => return failed("cannot open /dev/shm", error.to_string()),
    };
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(&file.name.0);
    match unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Told::gone(),
        Err(errno) => return failed("unlink", errno.to_string()),
    }
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(Some(found)) if is_unchanged(&found, file) => {
            failed("unlink", "the file is still there".to_owned())
        }
        _ => Told::Removed("unlinked".to_owned()),
    }
}
