//! What a segment shows of a use on and off, where nattch is 0 for the moment. Pure.
//!
//! An engine's processes keep its main segment attached for life, so its nattch judges all of that
//! server. Any other server's segment may be attached for each use: its last user may come back.

use super::{Reason, life, sets, shared};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::ledger::record::Role;
use crate::snapshot::{LastUser, Process, Sight, Snapshot};
use crate::sys::shm::Row;

/// How long after its server's end a child of it may detach.
const LAST_DETACH_S: i64 = 2;

/// Checks for who may use an unattached segment of a dead instance on and off: a last user that
/// lives or cannot be seen, or is somebody unknown.
#[must_use]
pub fn segment_use(book: &Book, object: &Recorded, row: &Row, look: &Snapshot) -> Option<Reason> {
    if object.is_adopted() {
        return adopted_use(object, row, look);
    }
    let run = book.runs.get(&object.run)?;
    if life::is_engines_own(book, object, look) {
        return None;
    }
    // The onlooker has read its first bytes, after it was decided that it may go.
    if row.last_pid == look.pid {
        return None;
    }
    match look.last_user(row.last_pid, row.last_use(), run.clock()) {
        LastUser::Lives(process) => {
            return Some(Reason::LastUserLives(life::holder(process, 0, false)));
        }
        // Of another PID namespace's time 0 says nothing: everybody of then reads so.
        LastUser::Unseen if row.last_pid != 0 || is_of_these_pids(book, object, look) => {
            return Some(Reason::LastUserUnseen);
        }
        LastUser::Unseen | LastUser::Gone => {}
    }
    used_since(book, object, row, look).or_else(|| shared::stranger(book, object, look))
}

/// Checks for the last user of an adopted segment, as `orphan` does: no ledger tells whether a
/// clock was set since, so any process of its pid counts.
fn adopted_use(object: &Recorded, row: &Row, look: &Snapshot) -> Option<Reason> {
    if row.last_pid == look.pid {
        return None;
    }
    match look.last_user(row.last_pid, row.last_use(), None) {
        LastUser::Lives(process) => Some(Reason::LastUserLives(life::holder(process, 0, false))),
        // Of another PID namespace: an engine's nattch tells all the same, and nobody is unseen.
        LastUser::Unseen
            if (row.last_pid, row.creator_pid) == (0, 0)
                && (object.role != Role::Other || look.sight.is_everybody()) =>
        {
            None
        }
        LastUser::Unseen => Some(Reason::LastUserUnseen),
        LastUser::Gone => None,
    }
}

/// Checks for a last use by somebody whom the ledger does not know, whenever that was: another
/// server, which found it by its key, may leave its use to processes that come and go. Once nobody
/// lives whom its mode lets in, there is no such server.
fn used_since(book: &Book, object: &Recorded, row: &Row, look: &Snapshot) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    if row.key == 0 || row.last_use() == 0 {
        return None;
    }
    let here = is_of_these_pids(book, object, look);
    let strangers = book.strangers.get(&object.number);
    // Whether the one stranger lives is asked elsewhere; where several came and went, another may.
    let noted = || {
        let pids = || strangers.into_iter().flatten().map(|one| one.pid);
        pids().count() == 1 && pids().all(|pid| pid == row.last_pid)
    };
    let known = match here {
        true => {
            row.last_pid == row.creator_pid
                || row.last_pid == run.start.launcher.pid
                || noted()
                || sets::is_recorded_process(book, object.place, row.last_pid)
        }
        // Everybody of then reads so.
        false => row.last_pid == 0 && !is_later(run, row, look),
    };
    let may_go_on = |process: &Process| {
        let elsewhere = process.same_ipc == Some(false);
        !process.ended && process.process.pid != look.pid && !elsewhere && lets_in(row, process)
    };
    let unseen = look.sight != Sight::Everybody;
    let goes_on = || unseen || look.processes.seen().any(may_go_on);
    (!known && goes_on()).then_some(Reason::UsedSince)
}

/// Checks for a use after the end of a server that was seen to end.
fn is_later(run: &Run, row: &Row, look: &Snapshot) -> bool {
    let Some((_, ended)) = run.end.filter(|_| run.was_seen_to_end()) else { return false };
    let ended = sets::seconds(ended);
    let set = run.clock().is_some_and(|clock| look.clock_was_set(clock));
    set || row.last_use() > ended.saturating_add(LAST_DETACH_S) || sets::seconds(look.now) < ended
}

/// Checks whether a segment's mode lets a process attach it. Of root's rights nothing is made: it
/// may attach anything, and there is always a process of its.
fn lets_in(row: &Row, process: &Process) -> bool {
    let open_to_others = row.mode & 0o066 != 0;
    match process.uids {
        None => true,
        Some(uids) => {
            let its = uids.contains(&row.uid) || uids.contains(&row.creator_uid);
            its || (open_to_others && uids.iter().any(|&uid| uid != 0))
        }
    }
}

/// Checks whether pids that were recorded with an object mean something here.
fn is_of_these_pids(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let place = book.places.get(object.place);
    place.is_some_and(|place| place.pid_namespace == look.place.pid_namespace)
}
