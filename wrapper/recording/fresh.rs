//! Segments that appeared while the server lives and that nothing proves to be the server's yet:
//! looked at again at each look, as long as something still may.

use std::collections::BTreeMap;

use shmwarden::ledger::book::Run;
use shmwarden::object::ProcessRef;
use shmwarden::proc::read;
use shmwarden::snapshot::{self, Seen, processes};
use shmwarden::sys::shm::Row;

use super::{Number, Watch, number};

/// The time in which a segment appeared, in clock ticks since boot: after `before`, and no later
/// than `seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appeared {
    /// The start of the last look without it.
    pub(super) before: u64,
    /// The end of the first look's reading of the table that has it.
    pub(super) seen: u64,
}

/// The creator of a segment, as far as it can still be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// It descends from the server.
    Ours(ProcessRef),
    /// It may turn out to be the server's at a later look.
    Unproven,
    /// No process that could have made it will be seen any more.
    Never,
}

/// Segments that appeared and are not decided yet.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    all: BTreeMap<Number, Appeared>,
}

impl Undecided {
    /// Takes in what is new, forgets what has gone, and gives back what is to be looked at.
    pub(super) fn with<'a>(
        &mut self,
        rows: &'a [Row],
        is_new: impl Fn(&Row) -> bool,
        appeared: Appeared,
    ) -> Vec<(&'a Row, Appeared)> {
        let mut still = BTreeMap::new();
        let mut found = Vec::new();
        for row in rows {
            let known = self.all.get(&number(row)).copied();
            let Some(when) = known.or_else(|| is_new(row).then_some(appeared)) else { continue };
            still.insert(number(row), when);
            found.push((row, when));
        }
        self.all = still;
        found
    }

    /// Notes that nothing more is to be found out about a segment.
    pub(super) fn decided(&mut self, row: &Row) {
        self.all.remove(&number(row));
    }
}

impl Watch {
    /// Looks at the process that a new segment's creator pid means. It is proven to be the creator
    /// where it was there before the segment appeared; where both came between two looks, where
    /// one of its own user ids is the creator's as well.
    pub(super) fn maker(&self, row: &Row, run: &Run, appeared: Appeared) -> Maker {
        let Some(creator) = processes::by_pid(row.creator_pid) else {
            // Whoever bears that pid next is younger than the segment.
            return match snapshot::is_there(row.creator_pid) {
                true => Maker::Unproven,
                false => Maker::Never,
            };
        };
        if creator.start > appeared.seen {
            return Maker::Never;
        }
        let proven = self.is_creator(creator, appeared.before, |uid| uid == row.perm.creator_uid);
        match proven && self.family.descends(creator.pid, run) {
            true => Maker::Ours(creator),
            false => Maker::Unproven,
        }
    }

    /// Returns the descendant of the server that a pid means which was read at this look, where
    /// that is proven: it was there at the last look, or one of its user ids fits.
    pub(super) fn known_descendant(
        &self,
        pid: i32,
        run: &Run,
        fits: impl Fn(u32) -> bool,
    ) -> Option<ProcessRef> {
        let process = processes::by_pid(pid)?;
        let proven = self.is_creator(process, self.looked_at, fits);
        (proven && self.family.descends(pid, run)).then_some(process)
    }

    fn is_creator(&self, process: ProcessRef, before: u64, fits: impl Fn(u32) -> bool) -> bool {
        if process.start <= before {
            return true;
        }
        let status = read::status(process.pid).ok().and_then(Seen::here);
        status.is_some_and(|status| status.uids.into_iter().any(fits))
            && processes::by_pid(process.pid) == Some(process)
    }
}

#[cfg(test)]
mod tests {
    use shmwarden::sys::IpcPerm;

    use super::*;

    fn row(id: i32) -> Row {
        Row {
            id,
            perm: IpcPerm {
                key: 7,
                mode: 0o600,
                uid: 101,
                gid: 101,
                creator_uid: 101,
                creator_gid: 101,
            },
            bytes: 4096,
            creator_pid: 4711,
            last_pid: 4711,
            nattch: 0,
            ctime: 1,
            atime: 0,
            dtime: 0,
        }
    }

    #[test]
    fn what_is_not_decided_is_looked_at_again_as_of_when_it_appeared() {
        let mut undecided = Undecided::default();
        let (first, later) = (Appeared { before: 1, seen: 2 }, Appeared { before: 3, seen: 4 });
        let rows = [row(0), row(1)];
        assert_eq!(undecided.with(&rows, |row| row.id == 1, first), [(&rows[1], first)]);
        assert_eq!(undecided.with(&rows, |_| false, later), [(&rows[1], first)]);
        undecided.decided(&rows[1]);
        assert_eq!(undecided.with(&rows, |_| false, later), []);
        // One that has gone is forgotten, whatever comes under its id.
        assert_eq!(undecided.with(&rows, |row| row.id == 0, later), [(&rows[0], later)]);
        assert_eq!(undecided.with(&[], |_| false, later), []);
        assert_eq!(undecided.with(&rows, |_| false, later), []);
    }
}
