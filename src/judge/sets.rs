//! What a semaphore set or message queue itself shows against its removal. Pure.
//!
//! Neither has an nattch: nobody waiting does not mean that nobody uses it. A holder inside its
//! critical section shows as the last operator of a member, and as nothing else.

use std::time::SystemTime;

use super::{Evidence, Holder, Reason, life, shared};
use crate::attribute::sets::{LastUsers, queue_differs, set_differs};
use crate::engine::{self, EngineName};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::ledger::record::{Claim, Role};
use crate::object::{Identity, Queue, SemaphoreSet};
use crate::snapshot::tables::Set;
use crate::snapshot::uses::{Waits, WaitsFor};
use crate::snapshot::{Clock, LastUser, Process, Seen, Sight, Snapshot};
use crate::sys::msg;

/// What a recorded set or queue of this IPC namespace shows against its removal.
#[must_use]
pub fn reason(book: &Book, object: &Recorded, look: &Snapshot) -> Option<Reason> {
    let use_of = match &object.identity {
        Identity::Sem(known) => match look.set(known.id) {
            Seen::Denied => return Some(Reason::Unreadable),
            Seen::Gone => return Some(Reason::Gone),
            Seen::Here(set) => match set_differs(known, &set.row) {
                Some(what) => return Some(Reason::Changed(what)),
                None => set_use(book, object, set, look),
            },
        },
        Identity::Msg(known) => match look.queue(known.id) {
            Seen::Denied => return Some(Reason::Unreadable),
            Seen::Gone => return Some(Reason::Gone),
            Seen::Here(row) => match queue_differs(known, row) {
                Some(what) => return Some(Reason::Changed(what)),
                None => queue_use(book, object, row, look),
            },
        },
        Identity::Shm(_) | Identity::Posix(_) => return None,
    };
    let unsure = || (!is_named_for_good(&look.place.ipc_namespace)).then_some(Reason::UnsureSpace);
    use_of.or_else(unsure)
}

/// Whether the name of an IPC namespace cannot come to mean another one: an id of `NS_GET_ID`, or
/// the machine's initial namespace.
///
/// An inode with the start time of process 1 can, and a set has too little of an identity besides.
#[must_use]
pub fn is_named_for_good(ipc_namespace: &str) -> bool {
    !ipc_namespace.contains("/first:")
}

/// Whether somebody uses a set of a dead instance, or may.
#[must_use]
pub fn set_use(book: &Book, object: &Recorded, set: &Set, look: &Snapshot) -> Option<Reason> {
    let Some(members) = &set.members else {
        return Some(Reason::Unreadable);
    };
    if members.waiters > 0 {
        return Some(Reason::Waited(members.waiters));
    }
    // Where the main segment tells that nobody of the server uses it, a member without a visible
    // operator is one that was never used, or by a process that has ended.
    let own = bears_its_mark(book, object, set, look) || life::is_engines_own(book, object, look);
    let released = own && life::is_released(book, object.run, look);
    let last = LastUsers::of_set(set, if released { Sight::Everybody } else { look.sight })?;
    let waits = blocked(WaitsFor::Set(set.row.id), look);
    // SETVAL leaves a pid, too, and moves the change time alone.
    let used_s = set.row.otime.max(set.row.ctime);
    let clock = clock(book, object);
    if bears_its_mark(book, object, set, look) && main_proves(book, object, look) {
        // Nobody of its server lives, wherever: a member that reads 0 was never used, or by a
        // session that is dead.
        return waits
            .or_else(|| living(&last, used_s, clock, look))
            .or_else(|| changed_since_end(book, object, set.row.ctime));
    }
    waits
        .or_else(|| in_use(&last, used_s, clock, look))
        .or_else(|| shared::stranger(book, object, look))
        .or_else(|| moved(book, object, set.row.ctime, &last, look))
        .or_else(|| {
            used_since(
                book,
                object,
                (set.row.key, set.row.otime),
                [set.row.uid, set.row.creator_uid],
                &last,
                look,
            )
        })
}

/// Whether somebody uses a queue of a dead instance, or may.
#[must_use]
pub fn queue_use(
    book: &Book,
    object: &Recorded,
    row: &msg::Row,
    look: &Snapshot,
) -> Option<Reason> {
    let last = LastUsers::of_queue(row);
    blocked(WaitsFor::Queue(row.id), look)
        .or_else(|| perhaps_blocked(row, look).map(Reason::PerhapsWaited))
        .or_else(|| in_use(&last, row.stime.max(row.rtime), clock(book, object), look))
        .or_else(|| shared::stranger(book, object, look))
        // Who waits for a first message has left no mark in the queue itself.
        .or_else(|| Evidence::of_sight(look.sight).map(Reason::Unseen))
        .or_else(|| moved(book, object, row.ctime, &last, look))
        .or_else(|| {
            used_since(
                book,
                object,
                (row.key, row.stime.max(row.rtime)),
                [row.uid, row.creator_uid],
                &last,
                look,
            )
        })
}

fn blocked(what: WaitsFor, look: &Snapshot) -> Option<Reason> {
    let blocked = look.waits.iter().flat_map(|waits| &waits.blocked);
    let waiting = blocked.filter(|found| found.what == what);
    let threads: u64 = waiting.map(|found| found.times).sum();
    (threads > 0).then_some(Reason::Waited(threads))
}

/// A process that could not be asked what it waits for, and that may use the queue: the kernel
/// counts no waiters of a queue.
fn perhaps_blocked(row: &msg::Row, look: &Snapshot) -> Option<Holder> {
    let open_to_others = row.mode & 0o066 != 0;
    let may_use = |process: &&Process| {
        let asked = |waits: &Waits| !waits.unasked.contains(&process.process.pid);
        let unasked = !look.waits.as_ref().is_some_and(asked);
        let its_user = [row.uid, row.creator_uid].iter().any(|&uid| process.may_be_of(uid));
        unasked && !process.ended && (open_to_others || its_user)
    };
    look.processes.seen().find(may_use).map(|process| life::holder(process, 0, false))
}

/// Checks for an openGauss's mark that a process of the object's run has made: what bears it is its
/// server's, whoever knows the key. From another PID namespace than the ledger's the maker's pid
/// reads otherwise, 0 or a number of this one, where it is dead.
pub(super) fn bears_its_mark(book: &Book, object: &Recorded, set: &Set, look: &Snapshot) -> bool {
    let Some(run) = book.runs.get(&object.run) else { return false };
    let (Some(maker), Some(place)) = (look.marked.get(&set.row.id), book.places.get(object.place))
    else {
        return false;
    };
    let claimed = |pid: i32| run.claims.iter().any(|claim| claim.process.pid == pid);
    let fits = match place.pid_namespace == look.place.pid_namespace {
        true => claimed(*maker),
        false => match look.process(*maker) {
            Seen::Here(process) => process.ended,
            Seen::Gone => true,
            Seen::Denied => false,
        },
    };
    fits && run.claims.iter().any(|claim| engine::has_interlock(claim.engine))
}

/// Checks that nobody has the main segment of the object's server attached, which each of its
/// processes has for life: it is recorded, and unattached or gone. An openGauss has one segment, so
/// whichever a claimed process made is that.
fn main_proves(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let Some(run) = book.runs.get(&object.run) else { return false };
    let made = |pid: i32| {
        let made =
            |claim: &Claim| claim.engine == EngineName::Opengauss && claim.process.pid == pid;
        run.claims.iter().any(made)
    };
    let mut mains = 0;
    for main in book.objects.values().filter(|main| main.run == object.run) {
        let Identity::Shm(segment) = &main.identity else { continue };
        if main.role != Role::Main && !made(segment.creator_pid) {
            continue;
        }
        let unattached = match look.segment(segment.id) {
            Seen::Gone => true,
            Seen::Here(row) => row.nattch == 0 || !main.is_open(),
            Seen::Denied => false,
        };
        if !unattached {
            return false;
        }
        mains += 1;
    }
    mains > 0
}

/// Returns what the ledger knows of the clock that stamped the object's last use.
fn clock(book: &Book, object: &Recorded) -> Option<Clock> {
    book.runs.get(&object.run).and_then(Run::clock)
}

/// Whether one of those who used it last lives, or may.
fn in_use(last: &LastUsers, used_s: i64, clock: Option<Clock>, look: &Snapshot) -> Option<Reason> {
    let unseen = || last.perhaps_unseen.then_some(Reason::LastUserUnseen);
    living(last, used_s, clock, look).or_else(unseen)
}

/// Returns who of those that used it last, at this time, is known to live, or may: a number that
/// has been given out again since means nobody.
fn living(last: &LastUsers, used_s: i64, clock: Option<Clock>, look: &Snapshot) -> Option<Reason> {
    let mut unseen = None;
    for &pid in &last.pids {
        match look.last_user(pid, used_s, clock) {
            LastUser::Lives(process) => {
                return Some(Reason::LastUserLives(life::holder(process, 0, false)));
            }
            LastUser::Unseen => unseen = Some(Reason::LastUserUnseen),
            LastUser::Gone => {}
        }
    }
    unseen
}

/// Checks whether it was changed after a death that was seen: the last look has recorded it as it
/// was then. Compared for equality, since a clock that is set back would make what was changed
/// later look older.
fn changed_since_end(book: &Book, object: &Recorded, ctime: i64) -> Option<Reason> {
    let known = match &object.identity {
        Identity::Sem(SemaphoreSet { ctime, .. }) | Identity::Msg(Queue { ctime, .. }) => *ctime,
        Identity::Shm(_) | Identity::Posix(_) => return None,
    };
    let seen = book.runs.get(&object.run)?.was_seen_to_end();
    (seen && ctime != known).then_some(Reason::ChangedSince)
}

/// Whether it was changed after the death of its server, or, where nobody saw that, may have been
/// used by somebody else since.
fn moved(
    book: &Book,
    object: &Recorded,
    ctime: i64,
    last: &LastUsers,
    look: &Snapshot,
) -> Option<Reason> {
    let known = match &object.identity {
        Identity::Sem(SemaphoreSet { ctime, .. }) | Identity::Msg(Queue { ctime, .. }) => *ctime,
        Identity::Shm(_) | Identity::Posix(_) => return None,
    };
    let run = book.runs.get(&object.run)?;
    if run.was_seen_to_end() {
        return changed_since_end(book, object, ctime);
    }
    if last.is_nobody() {
        return (ctime != known).then_some(Reason::ChangedSince);
    }
    unrecorded(book, object, last, look).map(Reason::UserUnrecorded)
}

/// Whether somebody whom the ledger does not know used it after its server was seen to die: a next
/// server, which another tool started, finds it by its key, and may leave its use to processes that
/// come and go. Without a key only what descends from the server knows the number; and once nobody
/// of its owner or creator lives, there is no such server.
fn used_since(
    book: &Book,
    object: &Recorded,
    (key, used): (i32, i64),
    uids: [u32; 2],
    last: &LastUsers,
    look: &Snapshot,
) -> Option<Reason> {
    let (_, ended) = book.runs.get(&object.run)?.end?;
    let (ended, now) = (seconds(ended), seconds(look.now));
    // The kernel tells the last use in whole seconds of a clock that may be set: the second of the
    // death counts as after it, and a clock that stands before the death tells nothing.
    let later = used >= ended || now < ended;
    let by_others = later && key != 0 && unrecorded(book, object, last, look).is_some();
    let callers = look.callers.seen();
    let elsewhere = |pid: i32| {
        callers.clone().any(|caller| caller.pid == pid && caller.same_ipc == Some(false))
    };
    let may_go_on = |process: &Process| {
        let its = uids.iter().any(|&uid| process.may_be_of(uid));
        let pid = process.process.pid;
        its && !process.ended && pid != look.pid && !elsewhere(pid)
    };
    (by_others && look.processes.seen().any(may_go_on)).then_some(Reason::UsedSince)
}

/// Returns a time in seconds since the epoch, 0 for one before it.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// A last user that the ledger does not know.
fn unrecorded(book: &Book, object: &Recorded, last: &LastUsers, look: &Snapshot) -> Option<i32> {
    let same_pids = book
        .places
        .get(object.place)
        .is_some_and(|place| place.pid_namespace == look.place.pid_namespace);
    let recorded = |pid: &&i32| same_pids && is_recorded_process(book, object.place, **pid);
    last.pids.iter().find(|pid| !recorded(pid)).copied()
}

/// Whether the ledger has a process of this pid as claimed, as a descendant of a server, or as the
/// creator or user of an object.
pub(super) fn is_recorded_process(book: &Book, place: usize, pid: i32) -> bool {
    let pids_of = |at: usize| book.places.get(at).map(|place| (&place.boot, &place.pid_namespace));
    let same = |at: usize| pids_of(at) == pids_of(place);
    let runs = book.runs.values().filter(|run| same(run.place));
    let claimed = runs.clone().flat_map(|run| &run.claims).any(|claim| claim.process.pid == pid);
    let descends = runs.flat_map(|run| &run.descendants).any(|known| known.pid == pid);
    let objects = book.objects.values().filter(|object| same(object.place));
    claimed
        || descends
        || objects.filter_map(|object| object.creator).any(|creator| creator.pid == pid)
}

/// The processes that wait for a set or queue, and those of its last users who live.
pub(super) fn users(identity: &Identity, look: &Snapshot, orphan: bool) -> Vec<Holder> {
    let (what, last) = match identity {
        Identity::Sem(known) => {
            let set = look.set(known.id).here();
            let members = set.and_then(|set| set.members.as_ref());
            let last = members.map_or_else(Vec::new, |members| members.operators.clone());
            (WaitsFor::Set(known.id), last)
        }
        Identity::Msg(known) => {
            let row = look.queue(known.id).here();
            let last = row.map_or_else(Vec::new, |row| LastUsers::of_queue(row).pids);
            (WaitsFor::Queue(known.id), last)
        }
        Identity::Shm(_) | Identity::Posix(_) => return Vec::new(),
    };
    let blocked = || look.waits.iter().flat_map(|waits| &waits.blocked);
    let waits = |pid: i32| blocked().any(|b| b.what == what && b.pid == pid);
    let living = look.processes.seen().filter(|process| !process.ended);
    let using = living.filter(|p| waits(p.process.pid) || last.contains(&p.process.pid));
    using.map(|process| life::holder(process, 0, orphan)).collect()
}
