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

use crate::attribute::listed::Name;
use crate::attribute::sets::{queue_differs, set_differs};
use crate::error::Result;
use crate::judge::{self, Absent, CallState, Reason, Removal, differs, file_use};
use crate::ledger::Ledger;
use crate::ledger::record::{Outcome, Record, Role};
use crate::object::{Identity, Queue, Segment, SemaphoreSet, ShmFile};
use crate::snapshot::{self, Scope, Seen, calls, shm_files, tables};
use crate::sys::shm::{self, MODE_DEST};
use crate::sys::{msg, sem};

/// What came of a removal, and the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What came of it.
    pub outcome: Outcome,
    /// Evidence, or the error, as a sentence.
    pub detail: String,
    /// Why it was kept at the last moment, where that is known better than by the object itself.
    pub reason: Option<Reason>,
}

impl Done {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), reason: None }
    }
}

/// Removes one object and writes down what came of it.
///
/// # Errors
/// Where the intent cannot be written: nothing is removed then. An outcome that cannot be written
/// stays queued in the ledger.
pub fn remove(removal: &Removal, ledger: &mut Ledger) -> Result<Done> {
    let (object, reason) = (removal.object(), removal.evidence().to_owned());
    ledger.append(Record::Intent { object, reason })?;
    let done = if ledger.pretends() {
        Done::new(Outcome::Kept, "dry run")
    } else {
        remove_now(removal, ledger)?
    };
    let detail = done.detail.clone();
    ledger.note(Record::Outcome { object, outcome: done.outcome, detail })?;
    // Stays queued where it cannot be written: the next intent, or the last flush, meets the error.
    let _ = ledger.flush();
    Ok(done)
}

fn remove_now(removal: &Removal, ledger: &Ledger) -> Result<Done> {
    if let Some(main) = removal.guard() {
        if let Some(why) = guard_broken(main, removal.same_pids()) {
            return Ok(Done::new(Outcome::Kept, why));
        }
    }
    let guarded = removal.guard().is_some() && removal.role() != Role::Other;
    if let (Identity::Posix(file), false) = (removal.identity(), guarded) {
        // With all the rights that there are: the owner may see less.
        if let Some(done) = in_use(file) {
            return Ok(done);
        }
    }
    if let Some(name) = still_there(removal.absent()) {
        let reason = Reason::ListedStays(name);
        let done = Done::new(Outcome::Kept, reason.to_string());
        return Ok(Done { reason: Some(reason), ..done });
    }
    // Of adopted ones there may be tens of thousands: who lives is looked at for all of them, and
    // again while it goes on (`sweep/adopted.rs`).
    if removal.identity().call_creator().is_some() && !removal.is_adopted() {
        if let Some(done) = call_in_use(removal, ledger) {
            return Ok(done);
        }
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
            Done::new(Outcome::Kept, "it was not seen")
        }
    };
    drop(acting);
    Ok(done)
}

/// Judges a set or queue anew, with all the rights that there are: the owner may see less.
fn call_in_use(removal: &Removal, ledger: &Ledger) -> Option<Done> {
    let strangers = ledger.book.strangers.get(&removal.object()).into_iter().flatten();
    let strangers: Vec<i32> = strangers.map(|process| process.pid).collect();
    let run = ledger.book.objects.get(&removal.object()).map_or(0, |object| object.run);
    let known = ledger.book.runs.get(&run).is_some_and(|run| !judge::is_generic(&ledger.book, run));
    let look = match calls::look_at_one(removal.identity(), known, &strangers) {
        Ok(Some(look)) => look,
        Ok(None) => return Some(Done::new(Outcome::Gone, Reason::Gone.to_string())),
        Err(error) => {
            let why = format!("cannot look for who uses it: {error}");
            return Some(Done::new(Outcome::Failed, why));
        }
    };
    let object = ledger.book.objects.get(&removal.object())?;
    let others = || judge::others_reason(&ledger.book, object, &look);
    let reason = judge::call_reason(&ledger.book, object, &look).or_else(others)?;
    let outcome = match reason {
        Reason::Gone | Reason::Changed(_) => Outcome::Gone,
        Reason::Waited(_) | Reason::LastUserLives(_) | Reason::SharedWith(_) => Outcome::Raced,
        _ => Outcome::Kept,
    };
    Some(Done::new(outcome, reason.to_string()))
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
        Ok(None) => return Done::new(Outcome::Gone, "it had gone"),
        Ok(Some(row)) => {
            if let Some(what) = set_differs(set, &row) {
                return Done::new(Outcome::Gone, format!("the id is another's now: its {what}"));
            }
            if row != seen.row {
                return Done::new(Outcome::Raced, USED_MEANWHILE);
            }
        }
        Err(errno) => return Done::new(Outcome::Failed, format!("cannot look at it: {errno}")),
    }
    // The last call before the removal asks for waiters: the kernel wakes them, and nothing tells
    // afterwards that there was one.
    match sem::members(set.id, set.nsems) {
        Ok(members) if members.waiters > 0 => {
            let detail = format!(
                "between the decision and the removal came waiters ({}): left alone",
                members.waiters
            );
            return Done::new(Outcome::Raced, detail);
        }
        Ok(members) if Some(&members) != seen.members.as_ref() => {
            return Done::new(Outcome::Raced, USED_MEANWHILE);
        }
        Ok(_) => {}
        Err(Errno::EINVAL | Errno::EIDRM) => return Done::new(Outcome::Gone, "it had gone"),
        Err(errno) => {
            let detail = format!("who waits for it may not be asked ({errno})");
            return Done::new(Outcome::Kept, detail);
        }
    }
    let still = || matches!(sem::stat(set.id), Ok(Some(row)) if set_differs(set, &row).is_none());
    call_removed(sem::remove(set.id), still, "destroyed".to_owned())
}

fn remove_queue(queue: &Queue, seen: &msg::Row) -> Done {
    match msg::stat(queue.id) {
        Ok(None) => return Done::new(Outcome::Gone, "it had gone"),
        Ok(Some(row)) => {
            if let Some(what) = queue_differs(queue, &row) {
                return Done::new(Outcome::Gone, format!("the id is another's now: its {what}"));
            }
            if row != *seen {
                return Done::new(Outcome::Raced, USED_MEANWHILE);
            }
        }
        Err(errno) => return Done::new(Outcome::Failed, format!("cannot look at it: {errno}")),
    }
    let detail = format!("destroyed with {} messages of {} bytes", seen.messages, seen.bytes);
    let still =
        || matches!(msg::stat(queue.id), Ok(Some(row)) if queue_differs(queue, &row).is_none());
    call_removed(msg::remove(queue.id), still, detail)
}

const USED_MEANWHILE: &str =
    "somebody used or changed it between the decision and the removal: left alone";

/// What the kernel made of the removal of a set or queue.
fn call_removed(
    removed: crate::sys::Result<()>,
    is_still_there: impl Fn() -> bool,
    detail: String,
) -> Done {
    match removed {
        Ok(()) if is_still_there() => Done::new(Outcome::Failed, "it is still there"),
        Ok(()) => Done::new(Outcome::Removed, detail),
        Err(errno) => refused(errno),
    }
}

/// What the kernel says to a removal that it does not make.
fn refused(errno: Errno) -> Done {
    match errno {
        Errno::EINVAL | Errno::EIDRM => Done::new(Outcome::Gone, "it had gone"),
        Errno::EPERM | Errno::EACCES => {
            let detail = format!("not allowed ({errno}): run as its owner, its creator or root");
            Done::new(Outcome::Failed, detail)
        }
        errno => Done::new(Outcome::Failed, format!("IPC_RMID: {errno}")),
    }
}

/// Why a file has to stay after all.
fn in_use(file: &ShmFile) -> Option<Done> {
    let scope = Scope { files: true, processes: true, maps: true, ..Scope::default() };
    match snapshot::take(scope) {
        Ok(look) => {
            let now = match look.file(&file.name.0) {
                Seen::Here(now) if now.is(file) => now.identity.clone(),
                Seen::Here(_) | Seen::Gone => return None,
                Seen::Denied => {
                    let reason = Reason::Unreadable;
                    return Some(Done::new(Outcome::Kept, reason.to_string()));
                }
            };
            let look = look.with_opened(std::slice::from_ref(&now));
            file_use(&now, &look).map(|reason| Done::new(Outcome::Kept, reason.to_string()))
        }
        Err(error) => {
            Some(Done::new(Outcome::Failed, format!("cannot look for who maps it: {error}")))
        }
    }
}

/// Why the main segment no longer proves that nobody uses anything of its server.
fn guard_broken(main: &Segment, same_pids: bool) -> Option<String> {
    match shm::stat(main.id) {
        Ok(Some(row)) => match differs(main, &row, same_pids) {
            Some(what) => Some(format!("the main segment has changed meanwhile: its {what}")),
            None if row.nattch > 0 => Some("somebody has attached the main segment".to_owned()),
            None => None,
        },
        Ok(None) => Some("the main segment has gone meanwhile".to_owned()),
        Err(errno) => Some(format!("the main segment could not be looked at: {errno}")),
    }
}

fn remove_segment(segment: &Segment, seen: &shm::Row, same_pids: bool) -> Done {
    match shm::stat(segment.id) {
        Ok(None) => return Done::new(Outcome::Gone, "it had gone"),
        Ok(Some(row)) => {
            if let Some(what) = differs(segment, &row, same_pids) {
                return Done::new(Outcome::Gone, format!("the id is another's now: its {what}"));
            }
            if row.nattch > 0 || row.mode & MODE_DEST != 0 {
                let detail = format!("attached at the last moment (nattch {})", row.nattch);
                return Done::new(Outcome::Kept, detail);
            }
            // Not raced: that is what was marked and goes on the last detach.
            if row != *seen {
                return Done::new(Outcome::Kept, USED_MEANWHILE);
            }
        }
        Err(errno) => return Done::new(Outcome::Failed, format!("cannot look at it: {errno}")),
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
            Done::new(Outcome::Raced, detail)
        }
        Err(errno) => {
            Done::new(Outcome::Failed, format!("IPC_RMID was done, what came of it: {errno}"))
        }
        Ok(_) => Done::new(Outcome::Removed, "destroyed"),
    }
}

fn remove_file(file: &ShmFile) -> Done {
    let failed = |what: &str, why: String| Done::new(Outcome::Failed, format!("{what}: {why}"));
    // Without a birth time it has to be unchanged since it was judged, too.
    let is =
        |found: &ShmFile| found.is(file) && found.birth.only_changed() == file.birth.only_changed();
    let same = |found: &Option<ShmFile>| found.as_ref().is_some_and(is);
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(None) => return Done::new(Outcome::Gone, "it had gone"),
        Ok(Some(found)) if found.is(file) && !is(&found) => {
            let why = "it was changed between the decision and the removal";
            let done = Done::new(Outcome::Kept, why);
            return Done { reason: Some(Reason::ChangedSince), ..done };
        }
        Ok(found) if !same(&found) => {
            return Done::new(Outcome::Gone, "the name is another file's now");
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
        Err(Errno::ENOENT) => return Done::new(Outcome::Gone, "it had gone"),
        Err(errno) => return failed("unlink", errno.to_string()),
    }
    match shm_files::one(&file.name.0, &file.mount) {
        Ok(found) if same(&found) => failed("unlink", "the file is still there".to_owned()),
        _ => Done::new(Outcome::Removed, "unlinked"),
    }
}
