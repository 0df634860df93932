//! The runs of a ledger that held the lock of the file that it was read from. Pure.

use super::book::{Book, Run};
use super::own_file::OwnFile;
use crate::object::Place;

impl Book {
    /// Notes which file this was read from, or is written to from now on.
    pub fn is_read_from(&mut self, file: Option<OwnFile>) {
        self.this = file;
    }

    /// Notes that what was written to one file is in another one now, whose lock was taken while
    /// the first one's was held.
    pub(super) fn moved_to(&mut self, file: Option<OwnFile>) {
        let old = self.this;
        for named in &mut self.files {
            if same(*named, old) {
                *named = file;
            }
        }
        self.this = file;
    }

    /// The file that the last header names.
    #[must_use]
    fn named_file(&self) -> Option<OwnFile> {
        self.files.last().copied().flatten()
    }

    /// The file that this was read from, where it can be told from others.
    #[must_use]
    pub fn own_file(&self) -> Option<OwnFile> {
        self.this
    }

    /// Checks that the last header names the file that this was read from, or none where that has
    /// no identity.
    #[must_use]
    pub(crate) fn names_own_file(&self) -> bool {
        let named = self.named_file();
        same(named, self.this) || (named, self.this) == (None, None)
    }

    /// Checks for a copy: the last header names another file than the one that this was read from.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        let named = self.named_file();
        named.is_some() && !same(named, self.this)
    }

    /// Checks for a run of another ledger that this one has as well, and knows as much of: the same
    /// launcher, which began there, and this is known to be the file that it was written to. A copy
    /// may lack what the ledger has noted since.
    #[must_use]
    pub(crate) fn has_run(&self, other: &Run, there: &Place) -> bool {
        self.runs.values().any(|run| {
            let place = self.places.get(run.place);
            self.has_lock_of(run)
                && run.start.launcher == other.start.launcher
                && place.is_some_and(|place| {
                    (&place.boot, &place.pid_namespace) == (&there.boot, &there.pid_namespace)
                })
        })
    }

    /// Checks that a run's launcher held the lock of the very file that this was read from, so that
    /// whoever has that lock knows it to be dead.
    #[must_use]
    pub(crate) fn has_lock_of(&self, run: &Run) -> bool {
        same(self.files.get(run.place).copied().flatten(), self.this)
    }

    /// Checks that the lock proves the death of every process of a run: its launcher held this one,
    /// and was the first process of its PID namespace, which dies with it (`pid_namespaces(7)`).
    #[must_use]
    pub(crate) fn died_with_its_launcher(&self, run: &Run) -> bool {
        run.start.launcher.pid == 1 && self.has_lock_of(run)
    }
}

/// Checks that both are known and the same file.
pub(super) fn same(one: Option<OwnFile>, other: Option<OwnFile>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.is(&other))
}
