//! Whose is it: which objects of a look belong to a run, and by what proof. Pure.
//!
//! Gives records for what is proven, and suspects for what may be ours and is not proven: those
//! are reported and never removed.

use crate::engine::{self, EngineName, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::record::{Claim, End, How, ObjectSeen, Role};
use crate::object::{Identity, Segment, ShmFile};
use crate::observe::{Mapped, Observation, Seen, identity_of};
use crate::sys::shm::{MODE_DEST, Row};

/// An object that may be the instance's, without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The run that it may belong to.
    pub run: u64,
    /// The object.
    pub identity: Identity,
    /// What is missing.
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
}

/// Fewest pids that the kernel gives out before a number comes round, less than `pid_max`
/// (`kernel/pid.c`: `RESERVED_PIDS` are left out after the first round).
const RESERVED_PIDS: u64 = 301;

/// Whether a pid that was given out at fork count `then` cannot have come round at `now`.
#[must_use]
pub fn pid_cannot_be_reused(
    then: Option<u64>,
    now: Option<u64>,
    pid_max: [Option<u64>; 2],
) -> bool {
    let Some(smallest) = pid_max.into_iter().flatten().min() else {
        return false;
    };
    match then.zip(now) {
        Some((then, now)) => now
            .checked_sub(then)
            .is_some_and(|n| n < smallest.saturating_sub(RESERVED_PIDS)),
        None => false,
    }
}

/// Whether a claim allows objects of this creator uid: its own, or any where it began as root.
#[must_use]
pub fn uid_fits(claim: &Claim, uid: u32) -> bool {
    claim.uids.contains(&uid) || claim.uids.contains(&0)
}

/// Whether the claimed process created this segment, if its pid means it.
#[must_use]
pub fn bears_claim(claim: &Claim, row: &Row) -> bool {
    row.creator_pid == claim.process.pid
        && uid_fits(claim, row.creator_uid)
        && !claim.before.contains(&row.id)
        && row.mode & MODE_DEST == 0
}

/// Whether the ledger has this very object already, whatever became of it.
#[must_use]
pub fn is_recorded(book: &Book, identity: &Identity) -> bool {
    book.objects
        .values()
        .any(|object| match (&object.identity, identity) {
            (Identity::Posix(a), Identity::Posix(b)) => a.is(b),
            (a, b) => a == b,
        })
}

/// What the claimed process of a run has created and the ledger has not: while it lives, or is an
/// unreaped zombie.
#[must_use]
pub fn created_by_claimed(book: &Book, run: &Run, rows: &[Row], how: How) -> Vec<ObjectSeen> {
    let ours = |row: &&Row| run.claims.iter().any(|claim| bears_claim(claim, row));
    let new = rows
        .iter()
        .filter(ours)
        .map(|row| Identity::Shm(identity_of(row)));
    let new = new.filter(|identity| !is_recorded(book, identity));
    number(
        book,
        new.map(|identity| (run.start.run, how, Role::Other, identity))
            .collect(),
    )
}

/// What a look after the death of every server of a ledger adds to it.
#[must_use]
pub fn after_death(book: &Book, look: &Observation) -> (Vec<ObjectSeen>, Vec<Suspect>) {
    let mut found = Vec::new();
    let mut suspects = Vec::new();
    for run in runs_here(book, look) {
        if has_witnessed_end(run) {
            // What bore the pid then was recorded at the last look; what bears it now is later.
        } else if same_pids(book, run, look) {
            claimed(book, run, look, &mut found, &mut suspects);
        }
    }
    for object in book.open_objects() {
        if let Some(run) = book.runs.get(&object.run) {
            listed_by(book, run, object, look, &mut found, &mut suspects);
        }
    }
    for run in runs_here(book, look) {
        unlisted(book, run, look, &mut suspects);
    }
    (number(book, found), suspects)
}

/// Objects whose role a header has made known: the same objects again, with their role.
#[must_use]
pub fn roles(book: &Book, look: &Observation) -> Vec<ObjectSeen> {
    let mut again = Vec::new();
    for object in book.open_objects() {
        if object.role != Role::Other || object.standing != Standing::Present {
            continue;
        }
        let Identity::Shm(segment) = &object.identity else {
            continue;
        };
        let claim = book
            .runs
            .get(&object.run)
            .and_then(|run| claim_of(run, segment.creator_pid));
        let header = look
            .headers
            .get(&segment.id)
            .and_then(|bytes| postgres::header(bytes));
        if let (Some(claim), Some(header)) = (claim, header) {
            if claim.engine == EngineName::Postgres && header.pid == segment.creator_pid {
                let mut seen = seen_again(object);
                seen.role = Role::Main;
                again.push(seen);
            }
        }
    }
    again
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
    }
}

/// Runs of this boot whose System V ids mean something here.
fn runs_here<'a>(book: &'a Book, look: &'a Observation) -> impl Iterator<Item = &'a Run> {
    book.runs.values().filter(|run| {
        book.places.get(run.place).is_some_and(|place| {
            place.boot == look.place.boot && place.ipc_namespace == look.place.ipc_namespace
        })
    })
}

/// Whether a run's pids mean something here.
fn same_pids(book: &Book, run: &Run, look: &Observation) -> bool {
    let place = book.places.get(run.place);
    place.is_some_and(|place| place.pid_namespace == look.place.pid_namespace)
}

fn has_witnessed_end(run: &Run) -> bool {
    matches!(
        run.end,
        Some((End::Exit(_) | End::Signal(_) | End::NotStarted(_), _))
    )
}

fn claim_of(run: &Run, pid: i32) -> Option<&Claim> {
    run.claims.iter().find(|claim| claim.process.pid == pid)
}

type Found = (u64, How, Role, Identity);

/// Segments that bear a claimed pid and that nobody had seen.
fn claimed(
    book: &Book,
    run: &Run,
    look: &Observation,
    found: &mut Vec<Found>,
    suspects: &mut Vec<Suspect>,
) {
    for claim in &run.claims {
        for row in look.segments.iter().filter(|row| bears_claim(claim, row)) {
            let identity = Identity::Shm(identity_of(row));
            if is_recorded(book, &identity) {
                continue;
            }
            match proof(run, claim, row, look) {
                Some(how) => found.push((run.start.run, how, Role::Other, identity)),
                None => suspects.push(Suspect {
                    run: run.start.run,
                    identity,
                    doubt: Doubt::PidReused,
                }),
            }
        }
    }
}

/// What proves that a segment which bears a claimed pid is the claimed process's own.
fn proof(run: &Run, claim: &Claim, row: &Row, look: &Observation) -> Option<How> {
    let data = claim.data.as_ref();
    if let Some(header) = look
        .headers
        .get(&row.id)
        .and_then(|bytes| postgres::header(bytes))
    {
        let same_directory =
            data.is_some_and(|data| (data.file.dev, data.file.ino) == (header.dev, header.ino));
        if header.pid == claim.process.pid && same_directory {
            return Some(How::Header);
        }
    }
    let directory = data.and_then(|data| look.data_dir(&data.path));
    if let Some(Seen::Here(file)) = directory.map(|directory| &directory.pid_file) {
        if file.pid == claim.process.pid && file.segment == Some((row.key, row.id)) {
            return Some(How::PidFile);
        }
    }
    let borne_by_another = look
        .process(claim.process.pid)
        .is_some_and(|process| process.process.start != claim.process.start);
    let pid_max = [claim.pid_max, look.pid_max];
    let proven = !borne_by_another && pid_cannot_be_reused(run.forks, look.forks, pid_max);
    proven.then_some(How::ForkCount)
}

/// What a main or control segment lists.
fn listed_by(
    book: &Book,
    run: &Run,
    object: &Recorded,
    look: &Observation,
    found: &mut Vec<Found>,
    suspects: &mut Vec<Suspect>,
) {
    let (handles, role) = match object.role {
        Role::Main => (
            control_handle(object, look).into_iter().collect(),
            Role::Control,
        ),
        Role::Control => (
            dynamic_handles(run, object, look).unwrap_or_default(),
            Role::Dynamic,
        ),
        _ => return,
    };
    for handle in handles {
        for (identity, uid) in with_handle(handle, look) {
            if is_recorded(book, &identity) || found.iter().any(|known| known.3 == identity) {
                continue;
            }
            if run.claims.iter().any(|claim| uid_fits(claim, uid)) {
                found.push((run.start.run, How::Listed, role, identity));
            } else {
                let (run, doubt) = (run.start.run, Doubt::Foreign);
                suspects.push(Suspect {
                    run,
                    identity,
                    doubt,
                });
            }
        }
    }
}

/// The handle of the control segment that a main segment's header names.
fn control_handle(main: &Recorded, look: &Observation) -> Option<u32> {
    let Identity::Shm(segment) = &main.identity else {
        return None;
    };
    let header = postgres::header(look.headers.get(&segment.id)?)?;
    (header.control != 0).then_some(header.control)
}

/// The handles that a control segment lists, as the server's major lays it out.
fn dynamic_handles(run: &Run, control: &Recorded, look: &Observation) -> Option<Vec<u32>> {
    let same = |known: &Identity| known.has_number_of(&control.identity);
    let (_, bytes) = look.controls.iter().find(|(known, _)| same(known))?;
    postgres::listed(bytes, major(run)).ok()
}

/// The major version of a run's server.
#[must_use]
pub fn major(run: &Run) -> Option<u32> {
    run.claims.iter().rev().find_map(|claim| claim.major)
}

/// Objects that bear a handle, each with the uid that made it.
fn with_handle(handle: u32, look: &Observation) -> Vec<(Identity, u32)> {
    let name = postgres::posix_name(handle);
    let key = postgres::sysv_key(handle);
    let file = look
        .file(&name.0)
        .map(|file| (Identity::Posix(file.clone()), file.uid));
    let rows = look
        .segments
        .iter()
        .filter(|row| row.key == key && key != 0);
    let rows = rows.map(|row| (Identity::Shm(identity_of(row)), row.creator_uid));
    file.into_iter().chain(rows).collect()
}

/// What looks like this server's dynamic shared memory, is used by nobody, and is listed nowhere:
/// `dsm_create` makes the object before it lists it.
fn unlisted(book: &Book, run: &Run, look: &Observation, suspects: &mut Vec<Suspect>) {
    let is_postgres = run
        .claims
        .iter()
        .any(|claim| claim.engine == EngineName::Postgres);
    let crashed = !matches!(run.end, Some((End::Exit(0) | End::NotStarted(_), _)));
    if !is_postgres || !crashed {
        return;
    }
    let fits = |uid: u32| run.claims.iter().any(|claim| claim.uids.contains(&uid));
    let files = look.files.iter().filter(|file| {
        fits(file.uid)
            && postgres::is_posix_name(&file.name.0)
            && lived_in(run, file.born.0)
            && !is_mapped(file, look)
    });
    let uses_sysv = book.objects.values().any(|object| {
        let dynamic = matches!(object.role, Role::Control | Role::Dynamic);
        object.run == run.start.run && dynamic && matches!(object.identity, Identity::Shm(_))
    });
    let rows = look.segments.iter().filter(|row| {
        uses_sysv
            && fits(row.creator_uid)
            && (row.key, row.nattch, row.mode & MODE_DEST) == (row.key.max(1), 0, 0)
            && row.creator_pid != 0
            && look.process(row.creator_pid).is_none()
            && lived_in(run, row.ctime)
    });
    let all = files
        .map(|file| Identity::Posix(file.clone()))
        .chain(rows.map(|row| Identity::Shm(identity_of(row))));
    for identity in all {
        let known = suspects.iter().any(|suspect| suspect.identity == identity);
        if !known && !is_recorded(book, &identity) {
            suspects.push(Suspect {
                run: run.start.run,
                identity,
                doubt: Doubt::Unlisted,
            });
        }
    }
}

/// Whether a time in seconds since the epoch lies in a run. For reports only: clocks are set back.
fn lived_in(run: &Run, seconds: i64) -> bool {
    let of = |time: std::time::SystemTime| {
        let since = time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    seconds >= of(run.at)
        && run
            .end
            .as_ref()
            .is_none_or(|(_, end)| seconds <= of(*end) + 1)
}

fn is_mapped(file: &ShmFile, look: &Observation) -> bool {
    look.processes
        .iter()
        .any(|process| process.mappings(Mapped::File(file.file)) > 0)
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
        })
        .collect()
}

/// Segments whose header has to be read before anything of their instance is judged.
#[must_use]
pub fn headers_wanted(book: &Book, look: &Observation) -> Vec<i32> {
    let recorded = book
        .open_objects()
        .filter_map(|object| match &object.identity {
            Identity::Shm(segment) => Some((object.run, segment)),
            Identity::Posix(_) => None,
        });
    let made_by_postmaster = |&(run, segment): &(u64, &Segment)| {
        let claim = book
            .runs
            .get(&run)
            .and_then(|run| claim_of(run, segment.creator_pid));
        claim.is_some_and(|claim| engine::has_interlock(claim.engine))
    };
    let mut ids: Vec<i32> = recorded
        .filter(made_by_postmaster)
        .map(|(_, segment)| segment.id)
        .collect();
    for run in runs_here(book, look).filter(|run| !has_witnessed_end(run)) {
        for claim in run
            .claims
            .iter()
            .filter(|claim| engine::has_interlock(claim.engine))
        {
            ids.extend(
                look.segments
                    .iter()
                    .filter(|r| bears_claim(claim, r))
                    .map(|r| r.id),
            );
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| look.segment(*id).is_some_and(|row| row.nattch == 0));
    ids.retain(|id| !look.headers.contains_key(id));
    ids
}

/// Control segments whose content has to be read.
#[must_use]
pub fn controls_wanted(book: &Book, look: &Observation) -> Vec<Identity> {
    let missing = |identity: &Identity| {
        !look
            .controls
            .iter()
            .any(|(known, _)| known.has_number_of(identity))
    };
    book.open_objects()
        .filter(|object| object.role == Role::Control)
        .map(|object| object.identity.clone())
        .filter(missing)
        .filter(|identity| match identity {
            Identity::Shm(s) => look.segment(s.id).is_some_and(|row| row.nattch == 0),
            Identity::Posix(f) => look.file(&f.name.0).is_some_and(|now| now.is(f)),
        })
        .collect()
}
