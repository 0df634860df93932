//! Who uses the server's segments, sets and queues: written into the ledger, so that after a death
//! which nobody saw a last user is known to be the server's own, and a stranger keeps what it
//! shares.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::{MOST_DESCENDANTS, MOST_STRANGERS, Run};
use shmwarden::ledger::record::Record;
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::processes;
use shmwarden::sys::{msg, sem};
use shmwarden::{Result, attribute};

use super::Watch;
use super::ancestry::children_of;

/// Most sets whose operators are asked for in one look, those first that were not asked longest.
const MOST_ASKED: usize = 16;

/// Most children that are noted for being beside one.
const MOST_SIBLINGS: usize = MOST_DESCENDANTS / 2;

/// Most processes whose children are looked at.
const MOST_PARENTS: usize = 8;

/// The last users of a set or queue, as of the last time it was asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Of each set the times of its last operation and change, and the number of the look.
    sets: BTreeMap<i32, (i64, i64, u64)>,
    looks: u64,
    /// Pids that attached or detached a recorded segment since the last look, each with the
    /// object's number.
    attached: Vec<(u64, i32)>,
    /// The parents of who used one.
    parents: BTreeSet<ProcessRef>,
}

impl Watch {
    /// Notes who used a recorded set or queue since it was looked at last, and who is beside such a
    /// one: where one of a server's workers has used a set, the others will.
    pub(super) fn note_users(
        &mut self,
        ledger: &mut Ledger,
        all: &[sem::Row],
        queues: &[msg::Row],
    ) -> Result<()> {
        let mut sets: Vec<(u64, &sem::Row)> = Vec::new();
        let mut used: Vec<(u64, i32)> = Vec::new();
        for object in ledger.book.open_objects().filter(|object| object.run == self.run) {
            let number = object.number;
            match &object.identity {
                Identity::Sem(known) => {
                    let row = all.iter().find(|row| row.id == known.id);
                    sets.extend(row.map(|row| (number, row)));
                }
                Identity::Msg(known) => {
                    let row = queues.iter().find(|row| row.id == known.id);
                    let pids = row.into_iter().flat_map(|r| [r.last_sender, r.last_receiver]);
                    used.extend(pids.map(|pid| (number, pid)));
                }
                Identity::Shm(_) | Identity::Posix(_) => {}
            }
        }
        used.extend(self.asked.operators_of(sets));
        used.append(&mut self.asked.attached);
        used.retain(|(_, pid)| *pid != 0);
        let pids: BTreeSet<i32> = used.iter().map(|(_, pid)| *pid).collect();
        for pid in pids {
            let Some(run) = ledger.book.runs.get(&self.run) else { break };
            if is_claimed(run, pid) {
                continue;
            }
            let known = run.descendants.iter().any(|known| known.pid == pid);
            let run = run.clone();
            let descends = self.family.descends(pid, &run);
            let fits = |uid| run.claims.iter().any(|claim| attribute::uid_fits(claim, uid));
            if let Some(process) = self.known_descendant(pid, &run, fits).filter(|_| !known) {
                let run = self.run;
                ledger.note(Record::Descendant { run, process })?;
            }
            if !known && !descends {
                note_stranger(ledger, &used, pid)?;
            }
            self.asked.parents.extend(self.family.parent_below(pid, &run));
        }
        self.note_siblings(ledger)
    }

    /// Notes the children of whoever has a child that used a set or queue.
    fn note_siblings(&mut self, ledger: &mut Ledger) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run) else { return Ok(()) };
        self.asked.parents.retain(|&parent| processes::lives(parent));
        let parents = self.asked.parents.iter().take(MOST_PARENTS);
        // The same ones at each look, and fewer than are kept: else each look would name those
        // again that the last one has pushed out.
        let children = parents.flat_map(|parent| children_of(parent.pid)).take(MOST_SIBLINGS);
        let is_new = |pid: &i32| !run.descendants.iter().any(|known| known.pid == *pid);
        let new: Vec<ProcessRef> = children
            .filter(is_new)
            .filter(|&pid| !is_claimed(run, pid) && self.family.descends(pid, run))
            .filter_map(processes::by_pid)
            .collect();
        let run = self.run;
        new.into_iter().try_for_each(|process| ledger.note(Record::Descendant { run, process }))
    }
}

/// Notes that a process which is none of the server's has used a set or queue, and which.
fn note_stranger(ledger: &mut Ledger, used: &[(u64, i32)], pid: i32) -> Result<()> {
    let Some(process) = processes::by_pid(pid) else { return Ok(()) };
    for &(object, _) in used.iter().filter(|(_, user)| *user == pid) {
        let noted = ledger.book.strangers.get(&object);
        if noted.is_some_and(|noted| noted.contains(&process)) {
            continue;
        }
        // Those that live are not pushed out by newer ones that may be dead.
        let full = noted.filter(|noted| noted.len() >= MOST_STRANGERS);
        let living = full.into_iter().flatten().filter(|noted| processes::lives(**noted));
        let again: Vec<ProcessRef> = living.copied().take(MOST_STRANGERS - 1).collect();
        for process in again.into_iter().chain([process]) {
            ledger.note(Record::Stranger { object, process })?;
        }
    }
    Ok(())
}

fn is_claimed(run: &Run, pid: i32) -> bool {
    run.claims.iter().any(|claim| claim.process.pid == pid && claim.ended.is_none())
}

impl Asked {
    /// Takes in who used a recorded segment, with the number of the object.
    pub(super) fn attached(&mut self, object: u64, pid: i32) {
        self.attached.push((object, pid));
    }

    /// Returns the last operator of each set that was operated since it was asked, with the
    /// object's number.
    fn operators_of(&mut self, mut sets: Vec<(u64, &sem::Row)>) -> Vec<(u64, i32)> {
        self.looks += 1;
        self.sets.retain(|id, _| sets.iter().any(|(_, row)| row.id == *id));
        let known = &mut self.sets;
        sets.retain(|(_, row)| {
            known.get(&row.id).is_none_or(|(o, c, _)| (*o, *c) != (row.otime, row.ctime))
        });
        sets.sort_by_key(|(_, row)| known.get(&row.id).map_or(0, |(_, _, look)| *look));
        let mut pids = Vec::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for (object, row) in sets.into_iter().take(MOST_ASKED) {
            // The kernel keeps whole seconds: in this one it may be used again unnoticed.
            let is_over = row.otime.saturating_add(1) < now;
            let operated = if is_over { row.otime } else { i64::MIN };
            known.insert(row.id, (operated, row.ctime, self.looks));
            let operators = sem::operators(row.id, row.members).unwrap_or_default();
            pids.extend(operators.into_iter().map(|pid| (object, pid)));
        }
        pids
    }
}
