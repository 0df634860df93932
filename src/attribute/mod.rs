//! The owner of an object: which objects of a look belong to a run, and by what proof. Pure.
//!
//! Gives records for what is proven, and suspects for what may be ours and is not proven: those
//! are reported and never removed.

mod appeared;
pub mod header;
pub mod listed;
pub mod living;
pub mod proof;
pub mod sets;

pub use appeared::appeared;
pub use header::{header_of, headers_wanted};
pub use listed::controls_wanted;
pub use proof::{bears_claim, seen_with, uid_fits};

use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::copied::CopiedHeader;
use crate::ledger::record::{Claim, How, ObjectSeen, Role};
use crate::object::{Identity, ProcessRef, Segment};
use crate::snapshot::{Snapshot, identity_of};
use crate::sys::shm::{MODE_DEST, Row};

/// An object that may be the instance's, without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The run that it may belong to.
    pub run: u64,
    /// The object.
    pub identity: Identity,
    /// The proof that is missing.
    pub doubt: Doubt,
}

/// Why an object that looks like ours may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It bears the server's pid, and that number may have come round since.
    PidReused,
    /// It looks like a dynamic segment of this server, and no list of the server's has it.
    Unlisted,
    /// The server's list names its key or name, and it belongs to another user.
    Foreign,
    /// A set or queue that the server used last, and that nobody saw appear.
    Unwitnessed,
}

/// Checks that the ledger has this object already, whatever became of it.
#[must_use]
pub fn is_recorded(book: &Book, identity: &Identity) -> bool {
    book.has(identity)
}

/// Returns what claimed processes of a run have created and the ledger has not; `is_there` says if
/// a process is alive or an unreaped zombie now, after the table was read: its pid was its own
/// then.
#[must_use]
pub fn created_by_claimed(
    book: &Book,
    run: &Run,
    rows: &[Row],
    how: How,
    is_there: impl Fn(ProcessRef) -> bool,
) -> Vec<ObjectSeen> {
    let claims: Vec<&Claim> = run.claims.iter().filter(|claim| is_there(claim.process)).collect();
    let ours = |row: &&Row| claims.iter().any(|claim| bears_claim(claim, row));
    // One that was changed since it was recorded is no second one.
    let ours = |row: &&Row| ours(row) && !is_recorded_but_for_time(book, run, row);
    let new = rows.iter().filter(ours).map(|row| Identity::Shm(identity_of(row)));
    let new = new.filter(|identity| !is_recorded(book, identity));
    number(book, new.map(|identity| (run.start.run, how, Role::Other, identity)).collect())
}

/// Returns what a look after the death of every server of a ledger adds to it, and what it only
/// suggests: first what tells the role of an object, then what follows from that.
#[must_use]
pub fn proven(book: &Book, look: &Snapshot) -> (Vec<ObjectSeen>, Vec<Suspect>) {
    let roles = roles(book, look);
    if roles.is_empty() { after_death(book, look) } else { (roles, Vec::new()) }
}

/// Returns what a look after the death of every server of a ledger adds to it.
#[must_use]
pub fn after_death(book: &Book, look: &Snapshot) -> (Vec<ObjectSeen>, Vec<Suspect>) {
    let mut found = Vec::new();
    let mut suspects = Vec::new();
    for run in runs_here(book, look) {
        if same_pids(book, run, look) {
            claimed(book, run, look, &mut found, &mut suspects);
            sets::unwitnessed(book, run, look, &mut suspects);
        }
    }
    for object in book.open_objects() {
        if let Some(run) = book.runs.get(&object.run) {
            listed::by(book, run, object, look, &mut found, &mut suspects);
        }
    }
    let mapped = listed::mapped(look);
    for run in runs_here(book, look) {
        listed::missing(book, run, look, &mapped, &mut suspects);
    }
    (number(book, found), suspects)
}

/// Objects whose role a header has made known: the same objects again, with their role.
#[must_use]
pub fn roles(book: &Book, look: &Snapshot) -> Vec<ObjectSeen> {
    let mut again = Vec::new();
    for object in book.open_objects() {
        let may_be_main = object.role == Role::Other && object.standing == Standing::Present;
        if !may_be_main || !is_here(book, object, look) {
            continue;
        }
        let Identity::Shm(segment) = &object.identity else {
            continue;
        };
        let claim = book.runs.get(&object.run).and_then(|run| claim_of(run, segment.creator_pid));
        let bytes = header_of(book, object, look);
        let Some((claim, bytes)) = claim.zip(bytes) else {
            continue;
        };
        let main = claim.engine.main_header(bytes);
        if main.is_some_and(|main| main.pid == segment.creator_pid) {
            let copy = CopiedHeader::of(claim.engine, segment.creator_pid, bytes);
            let seen = seen_again(object);
            let header = copy.or(seen.header);
            again.push(ObjectSeen { role: Role::Main, header, ..seen });
        }
    }
    again.extend(listed::controls_known(book, look));
    proven_anew(book, look, &mut again);
    again
}

/// Gives objects that an older version recorded by a proof that is none (the fork count) the proof
/// that what the server wrote down gives them; without one they stay unproven.
fn proven_anew(book: &Book, look: &Snapshot, again: &mut Vec<ObjectSeen>) {
    for object in book.open_objects().filter(|object| object.how == How::ForkCount) {
        let Identity::Shm(segment) = &object.identity else { continue };
        let run = book.runs.get(&object.run);
        let claim = run.and_then(|run| claim_of(run, segment.creator_pid));
        let row = look.segment(segment.id).here().filter(|_| is_here(book, object, look));
        let proof = claim.zip(row).and_then(|(claim, row)| proof::written(claim, row, look));
        let Some(how) = proof.filter(|_| object.standing == Standing::Present) else { continue };
        match again.iter_mut().find(|seen| seen.object == object.number) {
            Some(seen) => seen.how = how,
            None => again.push(ObjectSeen { how, ..seen_again(object) }),
        }
    }
}

/// The record that repeats an object as it stands.
#[must_use]
pub fn seen_again(object: &Recorded) -> ObjectSeen {
    ObjectSeen {
        object: object.number,
        run: object.run,
        how: object.how,
        role: object.role,
        identity: object.identity.clone(),
        creator: object.creator,
        header: object.header,
    }
}

/// Runs of this boot whose System V ids mean something here.
fn runs_here<'a>(book: &'a Book, look: &'a Snapshot) -> impl Iterator<Item = &'a Run> {
    book.runs.values().filter(|run| {
        book.places.get(run.place).is_some_and(|place| {
            place.boot == look.place.boot && place.ipc_namespace == look.place.ipc_namespace
        })
    })
}

/// Checks that a run's pids mean something here.
fn same_pids(book: &Book, run: &Run, look: &Snapshot) -> bool {
    let place = book.places.get(run.place);
    place.is_some_and(|place| place.pid_namespace == look.place.pid_namespace)
}

/// The object as it is here and now, if its place is here and it is still the recorded one.
#[must_use]
pub fn is_here(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let Some(place) = book.places.get(object.place) else { return false };
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    place.boot == look.place.boot
        && match &object.identity {
            Identity::Shm(segment) => {
                let row = look.segment(segment.id).here();
                place.ipc_namespace == look.place.ipc_namespace
                    && row.is_some_and(|row| differs(segment, row, same_pids).is_none())
            }
            Identity::Posix(file) => {
                look.place.shm_mount.as_ref() == Some(&file.mount)
                    && look.file(&file.name.0).here().is_some_and(|now| now.is(file))
            }
            Identity::Sem(set) => {
                let now = look.set(set.id).here();
                place.ipc_namespace == look.place.ipc_namespace
                    && now.is_some_and(|now| sets::set_differs(set, &now.row).is_none())
            }
            Identity::Msg(queue) => {
                let now = look.queue(queue.id).here();
                place.ipc_namespace == look.place.ipc_namespace
                    && now.is_some_and(|now| sets::queue_differs(queue, now).is_none())
            }
        }
}

/// Returns the first field in which a segment of the same id differs from the recorded one.
#[must_use]
pub fn differs(known: &Segment, row: &Row, same_pids: bool) -> Option<&'static str> {
    // IPC_RMID on an attached segment makes its key 0 (ipc/shm.c do_shm_rmid).
    let key_fits = row.perm.key == known.key.0 || row.perm.mode & MODE_DEST != 0;
    let checks = [
        (row.id == known.id, "id"),
        (key_fits, "key"),
        (row.bytes == known.bytes, "size"),
        (row.perm.creator_uid == known.creator_uid, "creator uid"),
        (row.perm.creator_gid == known.creator_gid, "creator gid"),
        (row.ctime == known.ctime, "change time"),
        (!same_pids || row.creator_pid == known.creator_pid, "creator pid"),
    ];
    checks.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

fn claim_of(run: &Run, pid: i32) -> Option<&Claim> {
    run.claims.iter().find(|claim| claim.process.pid == pid)
}

/// A difference that says that the wall clock was set back: whole seconds are compared.
const SET_BACK_MS: i64 = 1000;

type Found = (u64, How, Role, Identity);

/// Segments that bear a claimed pid and that nobody had seen.
fn claimed(
    book: &Book,
    run: &Run,
    look: &Snapshot,
    found: &mut Vec<Found>,
    suspects: &mut Vec<Suspect>,
) {
    for claim in &run.claims {
        for row in look.segments.seen().filter(|row| bears_claim(claim, row)) {
            let identity = Identity::Shm(identity_of(row));
            if is_recorded(book, &identity) {
                continue;
            }
            let proof = proof::written(claim, row, look);
            // The recorded one, which somebody has changed since, be it a next server: no other one
            // of the server's, and its pid says nothing of who uses it now.
            if proof.is_none() && is_recorded_but_for_time(book, run, row) {
                continue;
            }
            match proof {
                Some(how) => found.push((run.start.run, how, Role::Other, identity)),
                None => {
                    suspects.push(Suspect { run: run.start.run, identity, doubt: Doubt::PidReused })
                }
            }
        }
    }
}

/// Checks that a run's objects have this segment with another change time. One that has gone is not
/// the same: ids come round, after 65,536 creations on older kernels.
fn is_recorded_but_for_time(book: &Book, run: &Run, row: &Row) -> bool {
    let now = identity_of(row);
    let its = book.segments_of(row.id).filter(|object| object.run == run.start.run);
    its.filter(|object| object.is_open()).any(|object| {
        matches!(&object.identity, Identity::Shm(known)
            if now == Segment { ctime: now.ctime, ..known.clone() })
    })
}

/// The major version of a run's server: as claimed, else as its data directory says now.
#[must_use]
pub fn major(run: &Run, look: &Snapshot) -> Option<u32> {
    let claimed = run.claims.iter().rev().find_map(|claim| claim.major);
    claimed.or_else(|| {
        let data = run.claims.iter().rev().find_map(|claim| claim.data.as_ref())?;
        look.data_dir(&data.path)?.major
    })
}

/// Checks that a run's server lists its memory as PostgreSQL does, by its claims; one of no known
/// kind where a segment of its own has a header, which only a PostgreSQL's is taken for.
#[must_use]
pub fn lists_its_memory(book: &Book, run: &Run) -> bool {
    let has_main = || book.with_role(run.start.run, Role::Main).any(|main| book.is_open(main));
    let mut known = run.claims.iter().filter(|claim| claim.engine.is_known()).peekable();
    match known.peek() {
        Some(_) => known.any(|claim| claim.engine.lists_its_memory),
        None => has_main(),
    }
}

/// Returns the time by which the server of a run was dead, in seconds since the epoch: the last
/// detach of its unattached main segment, as the ledger has it from before anybody read that, else
/// as it is now; without one, an end that was seen. `None` where no time is known, or that lies
/// ahead.
#[must_use]
pub(crate) fn dead_by(book: &Book, run: u64, look: &Snapshot) -> Option<i64> {
    let its = book.runs.get(&run)?;
    let now = look.now.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let seconds = its.detached.or_else(|| last_detach(book, run, look)).or(its.dead_by())?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= now).map(|_| seconds)
}

/// Checks whether the wall clock was set back since a run began: then no change can be told from
/// one before the death.
#[must_use]
pub(crate) fn clock_was_set_back(book: &Book, run: u64, look: &Snapshot) -> bool {
    let began = book.runs.get(&run).and_then(|run| run.start.clock_ahead_ms);
    began.is_some_and(|ahead_ms| ahead_ms.saturating_sub(look.clock_ahead_ms) > SET_BACK_MS)
}

/// Returns the last detach of a run's main segment, where that is here and unattached.
#[must_use]
pub(crate) fn last_detach(book: &Book, run: u64, look: &Snapshot) -> Option<i64> {
    let mains = book.with_role(run, Role::Main).filter(|main| book.is_open(main));
    let mut rows = mains.filter(|main| is_here(book, main, look)).filter_map(|main| {
        let Identity::Shm(segment) = &main.identity else { return None };
        look.segment(segment.id).here()
    });
    rows.find(|row| row.nattch == 0).map(|row| row.dtime).filter(|seconds| *seconds > 0)
}

/// Gives new objects their numbers.
fn number(book: &Book, found: Vec<Found>) -> Vec<ObjectSeen> {
    let first = book.next_object();
    (first..)
        .zip(found)
        .map(|(object, (run, how, role, identity))| ObjectSeen {
            object,
            run,
            how,
            role,
            identity,
            creator: None,
            header: None,
        })
        .collect()
}
