//! Servers whose program has a name that nobody knows: recognised by the header that they wrote
//! into the one segment that they made. Their claim is renewed by it; nothing else follows from it,
//! and a kind that the user gave stays.
//!
//! Reads the memory of the segment's maker, a limited number of times; nothing on a disk.

use std::collections::BTreeMap;

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::engine::{self, Engine};
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{Claim, Record};
use shmwarden::ledger::{Book, Ledger};
use shmwarden::object::{FileRef, Identity, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::{contents, identity_of, processes};
use shmwarden::sys::shm::Row;

use super::{Watch, claim};

/// Looks at one segment before its maker stays what its program's name says.
const MOST_LOOKS: u32 = 200;
/// Most makers of segments below a COMMAND that are looked at: with more of them it is no script
/// that starts a server of one process.
const MOST_MAKERS: usize = 4;

/// The number of looks at each segment, by its id.
#[derive(Debug, Default)]
pub(super) struct Looked(BTreeMap<i32, u32>);

impl Looked {
    /// Checks that a segment may be looked at once more, and counts it.
    fn again(&mut self, segment: i32) -> bool {
        let looks = self.0.entry(segment).or_default();
        *looks = looks.saturating_add(1);
        *looks <= MOST_LOOKS
    }
}

impl Watch {
    /// Claims a server of no known kind as what its header shows it to be.
    pub(super) fn recognise(&mut self, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run).filter(|_| self.auto) else {
            return Ok(());
        };
        if run.claims.iter().any(|claim| claim.engine.is_known() && claim.ended.is_none()) {
            return Ok(());
        }
        let makers = makers(&ledger.book, run).into_iter();
        let mut due = makers.filter(|(_, segment)| self.looked_for_header.again(*segment));
        let found = due.find_map(|(process, segment)| {
            let row = rows.iter().find(|row| row.id == segment)?;
            Some((process, written_by(process, row)?))
        });
        let Some((process, engine)) = found else { return Ok(()) };
        let old = run.claims.iter().find(|claim| claim.process == process).cloned();
        let first = old.map_or_else(|| self.first_claim(ledger, run, process, rows), Some);
        match first.and_then(|first| claim::known_as(engine, &first)) {
            Some(claim) => {
                self.header_tries = 0;
                ledger.note(Record::Claim(claim))
            }
            None => Ok(()),
        }
    }

    /// Makes the claim of a process below COMMAND, whose recorded objects are no older than it.
    fn first_claim(
        &self,
        ledger: &Ledger,
        run: &Run,
        process: ProcessRef,
        rows: &[Row],
    ) -> Option<Claim> {
        let is_own =
            |row: &Row| attribute::is_recorded(&ledger.book, &Identity::Shm(identity_of(row)));
        let older: Vec<Row> = rows.iter().filter(|row| !is_own(row)).cloned().collect();
        let first = self.claim_below(run, process.pid, &older).ok().flatten();
        first.filter(|claim| claim.process == process)
    }
}

/// Returns the processes that made one segment each, with its id: claimed ones, and others of the
/// run.
fn makers(book: &Book, run: &Run) -> Vec<(ProcessRef, i32)> {
    let mut made: BTreeMap<i32, Vec<(ProcessRef, i32)>> = BTreeMap::new();
    for object in book.open_objects().filter(|object| object.run == run.start.run) {
        let Identity::Shm(segment) = &object.identity else { continue };
        let own =
            |claim: &&Claim| claim.ended.is_none() && claim.process.pid == segment.creator_pid;
        let claimed = run.claims.iter().find(own).map(|claim| claim.process);
        if let Some(process) = object.creator.or(claimed) {
            made.entry(process.pid).or_default().push((process, segment.id));
        }
    }
    if made.len() > MOST_MAKERS {
        return Vec::new();
    }
    let single = |all: Vec<_>| match all.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    made.into_values().filter_map(single).collect()
}

/// Returns the kind of server that a living process is by what it wrote into a segment that it
/// made, and into which nobody but its user may write.
pub(crate) fn written_by(process: ProcessRef, row: &Row) -> Option<Engine> {
    if !attribute::header::is_its_makers_alone(row) {
        return None;
    }
    let bytes = contents::of_living(process.pid, row.id, engine::HEADER_BYTES)?;
    let cwd = read::cwd(process.pid).ok()?.here()?;
    let works_in = FileRef { dev: cwd.dev, ino: cwd.ino };
    let engine = engine::known_by_header(&bytes, process.pid, works_in)?;
    // All of that was this process's own if it is there still.
    (processes::by_pid(process.pid) == Some(process)).then_some(engine)
}
