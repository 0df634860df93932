//! The last look at what a dead server made, while it is an unreaped zombie.

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{How, Record};
use shmwarden::snapshot;
use shmwarden::sys::shm::Row;

use super::{Watch, is_there, number};

impl Watch {
    /// The last look, while a dead claimed process is an unreaped zombie: its pid is still its own.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub(crate) fn last_look(&mut self, ledger: &mut Ledger) -> Result<()> {
        let rows = snapshot::segments()?;
        Self::follow(self.run, ledger, &rows)?;
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else {
            return Ok(());
        };
        self.take_created(ledger, &run, &rows)?;
        self.take_fresh(ledger, &rows)?;
        self.look_at_calls(ledger, &rows, true)?;
        self.known = rows.iter().map(number).collect();
        Ok(())
    }

    /// The same where the process may have died long ago: its pid is still its own, so what bears
    /// that is as well. Whose the rest is, and who has changed what since, cannot be told.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub(crate) fn late_look(&self, ledger: &mut Ledger) -> Result<()> {
        let rows = snapshot::segments()?;
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else {
            return Ok(());
        };
        self.take_created(ledger, &run, &rows)
    }

    /// Records the segments whose creator pid is that of a claimed process that still exists.
    fn take_created(&self, ledger: &mut Ledger, run: &Run, rows: &[Row]) -> Result<()> {
        let how = How::LastLook;
        attribute::created_by_claimed(&ledger.book, run, rows, how, is_there)
            .into_iter()
            .try_for_each(|seen| ledger.note(Record::Object(seen)))
    }
}
