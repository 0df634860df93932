//! The runs of a book that have not ended, and its claims, found without a walk: a ledger may have
//! tens of thousands of either. Pure.
//!
//! Every run without an end is of the boot of the last header: a header of another boot ends the
//! earlier ones.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::entries::{Recorded, Run};
use super::record::{Claim, Place};
use crate::object::{Identity, ProcessRef};

/// The runs without an end, with how many there are of each namespace and `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unended {
    runs: BTreeSet<u64>,
    pids: BTreeMap<String, usize>,
    ipc: BTreeMap<String, usize>,
    shm: BTreeMap<String, usize>,
}

/// The position of each claimed process among the claims of its run.
pub(super) type Claimed = BTreeMap<(u64, ProcessRef), usize>;

impl Unended {
    /// Takes in a run that begins at a place.
    pub(super) fn begin(&mut self, run: u64, place: &Place) {
        self.runs.insert(run);
        *self.pids.entry(place.pid_namespace.clone()).or_default() += 1;
        *self.ipc.entry(place.ipc_namespace.clone()).or_default() += 1;
        let mount = place.shm_mount.iter().cloned();
        mount.for_each(|mount| *self.shm.entry(mount).or_default() += 1);
    }

    /// Takes out a run that has ended, which began at that place.
    pub(super) fn end(&mut self, run: u64, place: &Place) {
        if !self.runs.remove(&run) {
            return;
        }
        one_less(&mut self.pids, &place.pid_namespace);
        one_less(&mut self.ipc, &place.ipc_namespace);
        place.shm_mount.iter().for_each(|mount| one_less(&mut self.shm, mount));
    }

    /// Takes out all of them.
    pub(super) fn end_all(&mut self) -> BTreeSet<u64> {
        std::mem::take(self).runs
    }

    /// Checks for one that began in a PID namespace.
    pub(super) fn any_in(&self, pid_namespace: &str) -> bool {
        self.pids.contains_key(pid_namespace)
    }
}

fn one_less(counts: &mut BTreeMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

impl Book {
    /// Runs that have no end yet.
    pub fn open_runs(&self) -> impl Iterator<Item = &Run> {
        self.unended.runs.iter().filter_map(|run| self.runs.get(run))
    }

    /// Checks for a run without an end that may use an object: its own, or one that can reach it.
    pub(super) fn any_unended_may_use(&self, object: &Recorded) -> bool {
        if self.unended.runs.contains(&object.run) {
            return true;
        }
        let there = self.places.get(object.place);
        let (Some(there), Some(here)) = (there, self.place()) else {
            return !self.unended.runs.is_empty();
        };
        there.boot == here.boot
            && match &object.identity {
                Identity::Posix(file) => self.unended.shm.contains_key(&file.mount),
                _ => self.unended.ipc.contains_key(&there.ipc_namespace),
            }
    }

    /// Returns the claim of a process in a run.
    pub(super) fn claim_of(&mut self, run: u64, process: ProcessRef) -> Option<&mut Claim> {
        let at = *self.claimed.get(&(run, process))?;
        self.runs.get_mut(&run)?.claims.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place {
            boot: "b".to_owned(),
            ipc_namespace: name.to_owned(),
            pid_namespace: name.to_owned(),
            shm_mount: Some(name.to_owned()),
        }
    }

    #[test]
    fn the_last_run_of_a_place_to_end_leaves_nothing_of_it() {
        let mut unended = Unended::default();
        unended.begin(1, &place("a"));
        unended.begin(2, &place("a"));
        unended.end(1, &place("a"));
        unended.end(1, &place("a"));
        assert!(unended.any_in("a"));
        unended.end(2, &place("a"));
        assert_eq!(unended, Unended::default());
    }
}
