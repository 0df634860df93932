//! Who of the server uses its sets and queues: written into the ledger, so that after a death
//! which nobody saw a last user is known to be the server's own.

use std::collections::{BTreeMap, BTreeSet};

use shmwarden::Result;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::{MOST_DESCENDANTS, Run};
use shmwarden::ledger::record::Record;
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::observe;
use shmwarden::sys::{msg, sem};

use super::Watch;

/// Most sets whose operators are asked for in one look, those first that were not asked longest.
const MOST_ASKED: usize = 16;

/// What a set or queue was used by when it was asked last.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Of each set the times of its last operation and change, and the number of the look.
    sets: BTreeMap<i32, (i64, i64, u64)>,
    looks: u64,
}

impl Watch {
    /// Notes who used a recorded set or queue since it was looked at last, with those beside it:
    /// where one of a server's workers has used a set, the others will.
    pub(super) fn note_users(
        &mut self,
        ledger: &mut Ledger,
        all: &[sem::Row],
        queues: &[msg::Row],
    ) -> Result<()> {
        let (mut sets, mut pids): (Vec<&sem::Row>, BTreeSet<i32>) = (Vec::new(), BTreeSet::new());
        for object in ledger.book.open_objects().filter(|object| object.run == self.run) {
            match &object.identity {
                Identity::Sem(known) => sets.extend(all.iter().find(|row| row.id == known.id)),
                Identity::Msg(known) => {
                    let row = queues.iter().find(|row| row.id == known.id);
                    pids.extend(row.into_iter().flat_map(|r| [r.last_sender, r.last_receiver]));
                }
                Identity::Shm(_) | Identity::Posix(_) => {}
            }
        }
        pids.extend(self.asked.operators_of(sets));
        let forks = observe::forks();
        for pid in pids {
            let Some(run) = ledger.book.runs.get(&self.run) else { break };
            if pid == 0 || knows(run, pid) {
                continue;
            }
            if let Some(process) = self.known_descendant(pid, &run.clone(), forks) {
                self.note_with_siblings(ledger, process)?;
            }
        }
        Ok(())
    }

    fn note_with_siblings(&self, ledger: &mut Ledger, process: ProcessRef) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else { return Ok(()) };
        let siblings = self.family.siblings(process, &run).into_iter();
        let new = siblings.filter(|sibling| *sibling != process).chain([process]);
        let new = new.filter(|process| !run.descendants.contains(process));
        let new: Vec<ProcessRef> = new.take(MOST_DESCENDANTS).collect();
        let run = self.run;
        new.into_iter()
            .try_for_each(|process| ledger.note(Record::Descendant { run, process }, None))
    }
}

/// Whether a process of this number is known to the ledger already.
fn knows(run: &Run, pid: i32) -> bool {
    run.descendants.iter().any(|known| known.pid == pid)
        || run.claims.iter().any(|claim| claim.process.pid == pid)
}

impl Asked {
    /// Who operated those of these sets last that were operated since they were asked.
    fn operators_of(&mut self, mut sets: Vec<&sem::Row>) -> Vec<i32> {
        self.looks += 1;
        self.sets.retain(|id, _| sets.iter().any(|row| row.id == *id));
        let known = &mut self.sets;
        sets.retain(|row| {
            known.get(&row.id).is_none_or(|(o, c, _)| (*o, *c) != (row.otime, row.ctime))
        });
        sets.sort_by_key(|row| known.get(&row.id).map_or(0, |(_, _, look)| *look));
        let mut pids = Vec::new();
        for row in sets.into_iter().take(MOST_ASKED) {
            known.insert(row.id, (row.otime, row.ctime, self.looks));
            pids.extend(sem::operators(row.id, row.members).unwrap_or_default());
        }
        pids
    }
}
