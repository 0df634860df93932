//! The looks just before removals: one for each object as long as there are few, one for all that
//! follow within a moment where there are many.
//!
//! A user may leave tens of thousands of files and sets, and a look at every process for each of
//! them would take root hours. No deputy is at work meanwhile: it would be seen as a process of the
//! user.

use std::time::{Duration, Instant};

use super::hands::Hands;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::object::{Identity, ShmFile};
use crate::snapshot::{self, Scope, Snapshot, calls};

/// Removals that have a look each.
const FEW: usize = 32;
/// The time for which a look counts from then on.
const COUNTS_FOR: Duration = Duration::from_millis(250);

/// A look that may be used again.
#[derive(Default)]
struct Kept {
    taken: usize,
    last: Option<(Instant, Snapshot)>,
}

impl Kept {
    /// Gives back the look that still counts, or takes a new one.
    fn get(&mut self, take: impl FnOnce(bool) -> Result<Snapshot>) -> Result<&Snapshot> {
        let many = self.taken >= FEW;
        let counts = |last: &(Instant, Snapshot)| many && last.0.elapsed() < COUNTS_FOR;
        let look = match self.last.take().filter(counts) {
            Some(last) => last,
            None => {
                self.taken += 1;
                let look = take(many)?;
                // From its end: of tens of thousands of files the look itself takes longer.
                (Instant::now(), look)
            }
        };
        Ok(&self.last.insert(look).1)
    }
}

/// The looks of one sweep.
#[derive(Default)]
pub(super) struct Again {
    files: Kept,
    sets: Kept,
    queues: Kept,
    holders: Kept,
}

impl Again {
    /// Looks at who maps a file or has it open; where there are many, all of the ledger's.
    pub(super) fn file(
        &mut self,
        file: &ShmFile,
        ledger: &Ledger,
        hands: &mut Hands<'_>,
    ) -> Result<&Snapshot> {
        self.files.get(|many| {
            hands.rest();
            let scope = Scope { files: true, processes: true, maps: true, ..Scope::default() };
            let look = snapshot::take(scope)?;
            let there = |file: &ShmFile| {
                let now = look.file(&file.name.0).here().filter(|now| now.is(file));
                now.map(|now| now.identity.clone())
            };
            let recorded = ledger.book.open_objects().filter_map(|object| match &object.identity {
                Identity::Posix(file) => there(file),
                Identity::Shm(_) | Identity::Sem(_) | Identity::Msg(_) => None,
            });
            let files: Vec<ShmFile> =
                if many { recorded.collect() } else { there(file).into_iter().collect() };
            Ok(look.with_opened(&files))
        })
    }

    /// Looks at everybody who may use a set or queue.
    pub(super) fn everybody(
        &mut self,
        identity: &Identity,
        hands: &mut Hands<'_>,
    ) -> Result<&Snapshot> {
        let (kept, queues) = match identity {
            Identity::Msg(_) => (&mut self.queues, true),
            _ => (&mut self.sets, false),
        };
        kept.get(|_| {
            hands.rest();
            calls::look_at_everybody(queues)
        })
    }

    /// Looks at who holds what was kept at the last moment.
    pub(super) fn holders(
        &mut self,
        identity: &Identity,
        hands: &mut Hands<'_>,
    ) -> Result<&Snapshot> {
        let creator = identity.call_creator();
        self.holders.get(|many| {
            hands.rest();
            let look = snapshot::take(Scope::full())?;
            Ok(match creator {
                _ if many => look.with_calls(|_| true),
                Some(creator) => look.with_calls(|uid| uid == creator),
                None => look,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_removals_have_a_look_each_and_many_share_one() {
        let mut kept = Kept::default();
        let mut taken = 0;
        for _ in 0..10_000 {
            kept.get(|_| {
                taken += 1;
                snapshot::take(Scope::default())
            })
            .unwrap();
        }
        assert!(taken >= FEW, "{taken}");
        assert!(taken < 1000, "{taken}");
    }
}
