//! Literals for the tests of sets and queues: one of each, as the ledger has it and as the kernel
//! shows it.

use shmwarden::judge::Policy;
use shmwarden::ledger::record::{End, Role};
use shmwarden::object::{Identity, Key, ProcessRef, Queue, SemaphoreSet};
use shmwarden::snapshot::tables::{Set, queue_identity};
use shmwarden::snapshot::{Process, Snapshot, Table};
use shmwarden::sys::sem::Members;
use shmwarden::sys::{IpcPerm, msg, sem};

use super::make::{Change, GID, SERVER, UID, generic, look, seconds};
use super::story::{Story, reason, reason_among, settle};

/// A descendant that the ledger knows.
pub const WORKER: ProcessRef = ProcessRef { pid: 4720, start: 1010 };

pub fn set() -> SemaphoreSet {
    SemaphoreSet {
        id: 3,
        key: Key(0x00f4_2401),
        nsems: 17,
        creator_uid: UID,
        creator_gid: GID,
        ctime: seconds(20),
    }
}

/// The set as the kernel shows it when its server, dead now, was its last operator.
pub fn set_now() -> Set {
    let row = sem::Row {
        id: 3,
        perm: IpcPerm {
            key: 0x00f4_2401,
            mode: 0o600,
            uid: UID,
            gid: GID,
            creator_uid: UID,
            creator_gid: GID,
        },
        members: 17,
        otime: seconds(30),
        ctime: seconds(20),
    };
    Set { row, members: Some(operated_by(&[SERVER.pid])) }
}

pub fn operated_by(operators: &[i32]) -> Members {
    Members { operators: operators.to_vec(), ..Members::default() }
}

pub fn queue_now() -> msg::Row {
    msg::Row {
        id: 5,
        perm: IpcPerm {
            key: 0x00f4_2402,
            mode: 0o600,
            uid: UID,
            gid: GID,
            creator_uid: UID,
            creator_gid: GID,
        },
        messages: 2,
        bytes: 700,
        most_bytes: 16384,
        last_sender: SERVER.pid,
        last_receiver: 0,
        stime: seconds(30),
        rtime: 0,
        ctime: seconds(20),
    }
}

pub fn queue() -> Queue {
    queue_identity(&queue_now())
}

pub fn recorded() -> Story {
    Story::of(generic(1)).object(1, Role::Other, Identity::Sem(set())).object(
        2,
        Role::Other,
        Identity::Msg(queue()),
    )
}

/// The server was seen to die; object 1 is its set, 2 its queue.
pub fn crashed() -> Story {
    recorded().end(1, End::Signal(9))
}

/// A look at both, with every pid visible.
pub fn both() -> Snapshot {
    look().with(|look| {
        look.sets = Table::Whole(vec![set_now()]);
        look.queues = Table::Whole(vec![queue_now()]);
        look.callers = Table::Whole(vec![]);
    })
}

pub fn with_set(change: impl Fn(&mut Set)) -> Snapshot {
    let mut look = both();
    look.change(|look| change(&mut look.sets.rows_mut()[0]));
    look
}

pub fn with_members(members: Members) -> Snapshot {
    with_set(|set| set.members = Some(members.clone()))
}

pub fn with_queue(change: impl Fn(&mut msg::Row)) -> Snapshot {
    let mut look = both();
    look.change(|look| change(&mut look.queues.rows_mut()[0]));
    look
}

pub fn with(mut look: Snapshot, process: Process) -> Snapshot {
    look.change(|look| look.processes.add(process));
    look
}

/// As [`codes_of`], with `--include-clean`.
pub fn codes_when_asked(story: &Story, look: &Snapshot) -> (&'static str, &'static str) {
    let policy = Policy { include_clean: true, ..Policy::default() };
    let (_, verdicts) = settle(&story.book, look, &policy);
    let code = |object| reason_among(&verdicts, object).map_or("removed", |r| r.code());
    (code(1), code(2))
}

/// The codes for set and queue; `removed` where there is no reason to keep.
pub fn codes_of(story: &Story, look: &Snapshot) -> (&'static str, &'static str) {
    let code = |object| reason(&story.book, look, object).map_or("removed", |r| r.code());
    (code(1), code(2))
}

pub fn set_code(look: &Snapshot) -> &'static str {
    codes_of(&crashed(), look).0
}

pub fn queue_code(look: &Snapshot) -> &'static str {
    codes_of(&crashed(), look).1
}
