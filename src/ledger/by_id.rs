//! The recorded objects by id, name and run. Asked for each row of the kernel's tables and each
//! file, and a server may have tens of thousands: a walk over all objects each time takes minutes.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Book, Recorded};
use super::record::Role;
use crate::object::{Bytes, Identity};

/// The numbers of recorded objects, by what the kernel calls them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    segments: BTreeSet<(i32, u64)>,
    sets: BTreeSet<(i32, u64)>,
    queues: BTreeSet<(i32, u64)>,
    files: BTreeMap<Bytes, BTreeSet<u64>>,
    runs: BTreeSet<(u64, Role, u64)>,
}

impl Numbers {
    fn add(&mut self, object: &Recorded) {
        let number = object.number;
        self.runs.insert((object.run, object.role, number));
        match &object.identity {
            Identity::Shm(segment) => drop(self.segments.insert((segment.id, number))),
            Identity::Sem(set) => drop(self.sets.insert((set.id, number))),
            Identity::Msg(queue) => drop(self.queues.insert((queue.id, number))),
            Identity::Posix(file) => {
                self.files.entry(file.name.clone()).or_default().insert(number);
            }
        }
    }

    fn of(&self, identity: &Identity) -> Vec<u64> {
        let of = |ids: &BTreeSet<(i32, u64)>, id: i32| {
            ids.range((id, 0)..=(id, u64::MAX)).map(|(_, number)| *number).collect()
        };
        match identity {
            Identity::Shm(segment) => of(&self.segments, segment.id),
            Identity::Sem(set) => of(&self.sets, set.id),
            Identity::Msg(queue) => of(&self.queues, queue.id),
            Identity::Posix(file) => {
                self.files.get(&file.name).into_iter().flatten().copied().collect()
            }
        }
    }
}

impl Book {
    /// Checks that this object is recorded, whatever became of it.
    #[must_use]
    pub fn has(&self, identity: &Identity) -> bool {
        self.numbered(identity).any(|object| object.identity.is(identity))
    }

    /// Returns what was recorded under the id or name that an object bears, whatever became of it.
    pub fn numbered(&self, identity: &Identity) -> impl Iterator<Item = &Recorded> {
        self.numbers.of(identity).into_iter().filter_map(|number| self.objects.get(&number))
    }

    /// The segments that were recorded under an id, one after the other, whatever became of them.
    pub fn segments_of(&self, id: i32) -> impl Iterator<Item = &Recorded> {
        let numbers = self.numbers.segments.range((id, 0)..=(id, u64::MAX));
        numbers.filter_map(|(_, number)| self.objects.get(number))
    }

    /// Returns the objects of a run, whatever became of them, by role and number.
    pub fn of_run(&self, run: u64) -> impl Iterator<Item = &Recorded> {
        let numbers =
            self.numbers.runs.range((run, Role::Dynamic, 0)..=(run, Role::Main, u64::MAX));
        numbers.filter_map(|(_, _, number)| self.objects.get(number))
    }

    /// Returns those of a run that have this role.
    pub(crate) fn with_role(&self, run: u64, role: Role) -> impl Iterator<Item = &Recorded> {
        let numbers = self.numbers.runs.range((run, role, 0)..=(run, role, u64::MAX));
        numbers.filter_map(|(_, _, number)| self.objects.get(number))
    }

    /// Takes an object in, or in its new state. It never changes its id or name
    /// (`book::may_become`).
    pub(super) fn put(&mut self, object: Recorded) {
        if let Some(old) = self.objects.get(&object.number) {
            self.numbers.runs.remove(&(old.run, old.role, old.number));
        }
        self.numbers.add(&object);
        self.objects.insert(object.number, object);
    }

    /// Finds the objects that are left by what they bear, anew.
    pub(super) fn number_anew(&mut self) {
        self.numbers = Numbers::default();
        self.objects.values().for_each(|object| self.numbers.add(object));
    }
}
