//! The headers of the main segments of a ledger: as they were read now, or as the ledger has copied
//! them while the server lived; and which segments have to be attached for that. Pure.

use super::{bears_claim, claim_of, is_here, runs_here, same_pids, seen_again, seen_with};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::copied::CopiedHeader;
use crate::ledger::record::{How, ObjectSeen, Role};
use crate::object::Identity;
use crate::snapshot::{Seen, Snapshot};
use crate::sys::shm::Row;

/// The multiple that PostgreSQL rounds the length of its shared memory up to (`ipci.c`).
const ROUNDED_TO: u64 = 8192;
/// Less than this no PostgreSQL needs that has its memory in the main segment itself.
const LEAST_BYTES: u64 = 256 << 10;
/// The rights that PostgreSQL gives its segment (`sysv_shmem.c IPCProtection`).
const RIGHTS: u32 = 0o600;

/// Returns what a recorded segment begins with: as this look has read it, else as the ledger has
/// copied it, if it is here and still the recorded one.
#[must_use]
pub fn header_of<'a>(book: &Book, object: &'a Recorded, look: &'a Snapshot) -> Option<&'a [u8]> {
    let Identity::Shm(segment) = &object.identity else { return None };
    let read = look.headers.get(&segment.id).map(Vec::as_slice);
    read.or_else(|| copied(book, object, look))
}

/// The copy, as far as it is to be believed: it says what such a server writes, of this creator.
fn copied<'a>(book: &Book, object: &'a Recorded, look: &Snapshot) -> Option<&'a [u8]> {
    let Identity::Shm(segment) = &object.identity else { return None };
    let copy = object.header.as_ref()?;
    let claim = claim_of(book.runs.get(&object.run)?, segment.creator_pid)?;
    CopiedHeader::of(claim.engine, segment.creator_pid, copy.as_bytes())?;
    let proven = object.role == Role::Main && object.how != How::ForkCount;
    (proven && is_here(book, object, look)).then_some(copy.as_bytes())
}

/// Segments that have to be attached for their header before anything of their instance is judged:
/// those that a claimed process of a PostgreSQL or openGauss made and of whose header the ledger
/// has no copy. Of a server of no known kind only what may be a PostgreSQL's main segment.
#[must_use]
pub fn headers_wanted(book: &Book, look: &Snapshot) -> Vec<i32> {
    let recorded = book.open_objects().filter_map(|object| match &object.identity {
        Identity::Shm(segment) => {
            let claim = claim_of(book.runs.get(&object.run)?, segment.creator_pid)?;
            let row = look.segment(segment.id).here()?;
            let may_be = claim.engine.is_known() || object.role == Role::Main || may_be_main(row);
            (may_be && is_here(book, object, look)).then_some(segment.id)
        }
        _ => None,
    });
    let mut ids: Vec<i32> = recorded.collect();
    for run in runs_here(book, look).filter(|run| same_pids(book, run, look)) {
        ids.extend(unseen(run, look));
    }
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| look.segment(*id).here().is_some_and(|row| row.nattch == 0));
    ids.retain(|id| !look.headers.contains_key(id));
    ids.retain(|id| {
        let mut its = book.segments_of(*id).filter(|object| object.is_open());
        !its.any(|object| copied(book, object, look).is_some())
    });
    ids
}

/// Segments that bear a claimed pid, seen by nobody. A server of no known kind has no data
/// directory that a header could name: none proves anything there.
fn unseen(run: &Run, look: &Snapshot) -> Vec<i32> {
    let known = run.claims.iter().filter(|claim| claim.engine.is_known());
    let of = known.flat_map(|claim| {
        let its = |row: &&Row| bears_claim(claim, row) && seen_with(claim, row.perm.creator_uid);
        look.segments.seen().filter(its).map(|row| row.id).collect::<Vec<_>>()
    });
    of.collect()
}

/// Checks that a segment of a server of no known kind may be a PostgreSQL's main segment: it has a
/// key, that server's rights, and the length of a header alone or that of all its memory.
fn may_be_main(row: &Row) -> bool {
    let has_length = row.bytes == crate::engine::HEADER_BYTES as u64
        || (row.bytes >= LEAST_BYTES && row.bytes % ROUNDED_TO == 0);
    row.perm.key != 0 && row.perm.mode & 0o777 == RIGHTS && has_length
}

/// Checks that a segment has the rights that a server gives its main segment: only the user who
/// made it may write into it, so that what is written there is a server's of that user.
#[must_use]
pub fn is_its_makers_alone(row: &Row) -> bool {
    row.perm.mode & 0o777 == RIGHTS && row.perm.uid == row.perm.creator_uid
}

/// Checks for a segment of a server of no known kind that may be a PostgreSQL's main segment, and
/// of which that could not be read.
#[must_use]
pub fn is_unread(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let Identity::Shm(segment) = &object.identity else { return false };
    let claim = book.runs.get(&object.run).and_then(|run| claim_of(run, segment.creator_pid));
    let generic = claim.is_some_and(|claim| !claim.engine.is_known());
    let unread = || look.unread_lists.iter().any(|known| known.has_number_of(&object.identity));
    generic
        && match look.segment(segment.id) {
            Seen::Here(row) => may_be_main(row) && unread(),
            Seen::Gone => false,
            Seen::Denied => true,
        }
}

/// Returns main segments whose header this look has read and the ledger has no copy of: the same
/// objects again, with it.
#[must_use]
pub fn uncopied(book: &Book, look: &Snapshot) -> Vec<ObjectSeen> {
    let mains = book.open_objects().filter(|object| {
        let is_main = object.role == Role::Main && object.how != How::ForkCount;
        is_main && object.header.is_none() && object.standing == Standing::Present
    });
    let copied = mains.filter(|main| is_here(book, main, look)).filter_map(|main| {
        let Identity::Shm(segment) = &main.identity else { return None };
        let claim = claim_of(book.runs.get(&main.run)?, segment.creator_pid)?;
        let read = look.headers.get(&segment.id)?;
        let header = CopiedHeader::of(claim.engine, segment.creator_pid, read)?;
        Some(ObjectSeen { header: Some(header), ..seen_again(main) })
    });
    copied.collect()
}
