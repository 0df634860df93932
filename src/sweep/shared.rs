//! One look for several ledgers.

use super::{Report, look_at_directories, report_living};
use crate::error::Result;
use crate::judge::{self, Policy};
use crate::ledger::Ledger;
use crate::snapshot::{self, Scope, Snapshot, processes};

/// The look that the life of an instance is judged by: the tables, and who lives. Nobody's mappings
/// and descriptors are opened for it.
pub(super) const SCOPE: Scope = Scope {
    files: true,
    processes: true,
    maps: false,
    control_groups: false,
    brief: false,
    sets: false,
    queues: false,
    resident: false,
};

/// A look at tables and life that several ledgers share, taken when the first of them asks for it.
///
/// It may be older than the lock of a ledger that it is asked about, and a server may have been
/// started in between. So it only ever says that an instance lives, and that only while the
/// process that shows it still does; whatever else it shows, a new look is taken under the lock
/// before anything is decided. Nothing is removed by it.
#[derive(Debug, Default)]
pub struct Shared {
    look: Option<Snapshot>,
}

impl Shared {
    /// Reports a ledger whose instance this look shows to live, and that lives now; `None` where
    /// a look of its own has to tell.
    ///
    /// # Errors
    /// Where the kernel cannot be looked at.
    pub(super) fn living(&mut self, ledger: &Ledger, policy: &Policy) -> Result<Option<Report>> {
        let look = match self.look.take() {
            Some(look) => look,
            None => snapshot::take(SCOPE)?,
        };
        let look = look_at_directories(ledger, look);
        let evidence = judge::life::seen_to_live(&ledger.book, &look);
        let lives_now = |evidence: &judge::Evidence| {
            evidence.holder().is_some_and(|holder| processes::lives(holder.process))
        };
        let Some(evidence) = evidence.filter(lives_now) else {
            self.look = Some(look);
            return Ok(None);
        };
        let (report, look) = report_living(ledger, look, &evidence, policy);
        self.look = Some(look);
        Ok(Some(report))
    }
}
