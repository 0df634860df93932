//! The questions of a ledger to a look: pure, and answered by the stages of a look.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::attribute;
use crate::engine;
use crate::judge;
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::Claim;
use crate::object::{Bytes, Identity, ProcessRef, ShmFile};
use crate::snapshot::Snapshot;

/// Returns the processes that the ledger claims in this PID namespace and that it did not see end.
#[must_use]
pub fn claimed(book: &Book, look: &Snapshot) -> Vec<ProcessRef> {
    let here = &look.place.pid_namespace;
    let is_here =
        |place: usize| book.places.get(place).is_some_and(|place| place.pid_namespace == *here);
    let runs = book.open_runs().filter(|run| is_here(run.place));
    let open = runs.flat_map(|run| &run.claims).filter(|claim| claim.ended.is_none());
    open.map(|claim| claim.process).collect()
}

/// Returns the programs of servers that are known by what they wrote, and not by their names.
#[must_use]
pub fn renamed_programs(book: &Book) -> Vec<&Path> {
    let known = book.runs.values().flat_map(|run| &run.claims);
    let known = known.filter(|claim| claim.engine.is_known());
    let programs = known.filter_map(|claim| claim.executable.as_ref());
    let programs = programs.map(|program| Path::new(OsStr::from_bytes(&program.path.0)));
    programs.filter(|program| !engine::recognise(program).is_known()).collect()
}

/// The creators whose sets and queues have to be looked at.
#[derive(Debug, Default)]
pub struct Creators<'a> {
    recorded: BTreeSet<u32>,
    open: Vec<&'a Claim>,
}

impl<'a> Creators<'a> {
    /// Returns the creators of those that the ledger has and, unless only what is recorded
    /// counts, of those that claimed processes may have made.
    #[must_use]
    pub fn of(book: &'a Book, recorded_only: bool) -> Self {
        let recorded = book.open_objects().filter_map(|object| object.identity.call_creator());
        let recorded: BTreeSet<u32> = recorded.collect();
        let claims = book.runs.values().flat_map(|run| &run.claims);
        let open = claims.filter(|claim| claim.ended.is_none());
        let open = if recorded.is_empty() && recorded_only { Vec::new() } else { open.collect() };
        Self { recorded, open }
    }

    /// Checks whether there are none.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.recorded.is_empty() && self.open.is_empty()
    }

    /// Checks for a user among them.
    #[must_use]
    pub fn has(&self, uid: u32) -> bool {
        self.recorded.contains(&uid)
            || self.open.iter().any(|claim| attribute::uid_fits(claim, uid))
    }
}

/// Returns the recorded files of whose use no main segment tells, as they are now.
#[must_use]
pub fn files(book: &Book, look: &Snapshot) -> Vec<ShmFile> {
    let asked = |object: &Recorded| {
        !judge::life::is_engines_own(book, object, look)
            || !judge::life::is_released(book, object.run, look)
    };
    let files = book.open_objects().filter_map(|object| match &object.identity {
        Identity::Posix(file) if asked(object) => {
            let now = look.file(&file.name.0).here().filter(|now| now.is(file));
            now.map(|now| now.identity.clone())
        }
        _ => None,
    });
    files.collect()
}

/// Returns the last users of recorded segments that nobody has attached.
#[must_use]
pub fn last_users(book: &Book, look: &Snapshot) -> Vec<i32> {
    let recorded = book.open_objects().filter(|object| judge::may_be_shared(book, object, look));
    let last = recorded.filter_map(|object| match &object.identity {
        Identity::Shm(segment) => {
            let row = look.segment(segment.id).here();
            row.filter(|row| row.nattch == 0).map(|row| row.last_pid)
        }
        _ => None,
    });
    last.collect()
}

/// Returns the data directories that the ledger names.
#[must_use]
pub fn directories(book: &Book) -> Vec<Bytes> {
    let claims = book.runs.values().flat_map(|run| &run.claims);
    let paths = claims.filter_map(|claim| claim.data.as_ref().map(|data| data.path.clone()));
    let mut paths: Vec<Bytes> = paths.collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Returns the segments whose first bytes are wanted. Who reads them is their last user from then
/// on, and that is what tells of a use on and off: of a server without an interlock only those are
/// read that are `going`.
#[must_use]
pub fn headers(book: &Book, look: &Snapshot, going: &BTreeSet<i32>) -> Vec<i32> {
    let mut ids = attribute::headers_wanted(book, look);
    if ids.is_empty() {
        return ids;
    }
    // One pass over the objects, and not one an id.
    let shared = book.open_objects().filter_map(|object| match &object.identity {
        Identity::Shm(segment) => judge::may_be_shared(book, object, look).then_some(segment.id),
        _ => None,
    });
    let shared: BTreeSet<i32> = shared.collect();
    ids.retain(|id| going.contains(id) || !shared.contains(id));
    ids
}
