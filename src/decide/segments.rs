//! What a segment shows of a use on and off, where nattch is 0 for the moment. Pure.
//!
//! An engine's processes keep its main segment attached for life, so its nattch judges all of that
//! server. Any other server's segment may be attached for each use: its last user may come back.

use super::{Reason, life, sets, shared};
use crate::engine;
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::observe::{LastUser, Observation, Process, Sight};
use crate::sys::shm::Row;

/// How long after its server's end a child that was just forked may detach.
const LAST_DETACH_S: i64 = 2;

/// Checks for who may use an unattached segment of a dead instance on and off: a last user that
/// lives or cannot be seen, or somebody unknown after the end of the server.
#[must_use]
pub fn segment_use(
    book: &Book,
    object: &Recorded,
    row: &Row,
    look: &Observation,
) -> Option<Reason> {
    if object.is_adopted() {
        return adopted_use(row, look);
    }
    let run = book.runs.get(&object.run)?;
    if run.server().is_some_and(|claim| engine::has_interlock(claim.engine)) {
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
fn adopted_use(row: &Row, look: &Observation) -> Option<Reason> {
    if row.last_pid == look.pid {
        return None;
    }
    match look.last_user(row.last_pid, row.last_use(), None) {
        LastUser::Lives(process) => Some(Reason::LastUserLives(life::holder(process, 0, false))),
        LastUser::Unseen if row.last_pid == 0 && row.creator_pid == 0 => None,
        LastUser::Unseen => Some(Reason::LastUserUnseen),
        LastUser::Gone => None,
    }
}

/// Checks for a use after the server was seen to end, by somebody whom the ledger does not know: a
/// next server, which found the segment by its key, may leave its use to processes that come and
/// go. Once nobody lives whom its mode lets in, there is no such server.
fn used_since(book: &Book, object: &Recorded, row: &Row, look: &Observation) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    if row.key == 0 || row.last_use() == 0 || !run.was_seen_to_end() {
        return None;
    }
    let ended = sets::seconds(run.end?.1);
    let set = run.clock().is_some_and(|clock| look.clock_was_set(clock));
    let later = set
        || row.last_use() > ended.saturating_add(LAST_DETACH_S)
        || sets::seconds(look.now) < ended;
    let strangers = book.strangers.get(&object.number);
    let noted = || strangers.is_some_and(|all| all.iter().any(|one| one.pid == row.last_pid));
    let known = is_of_these_pids(book, object, look)
        && (row.last_pid == row.creator_pid
            || noted()
            || sets::is_recorded_process(book, object.place, row.last_pid));
    let may_go_on = |process: &Process| {
        let elsewhere = process.same_ipc == Some(false);
        !process.ended && process.process.pid != look.pid && !elsewhere && lets_in(row, process)
    };
    let unseen = look.sight != Sight::Everybody;
    let goes_on = || unseen || look.processes.iter().any(may_go_on);
    (later && !known && goes_on()).then_some(Reason::UsedSince)
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
fn is_of_these_pids(book: &Book, object: &Recorded, look: &Observation) -> bool {
    let place = book.places.get(object.place);
    place.is_some_and(|place| place.pid_namespace == look.place.pid_namespace)
}
