//! The ledgers of other instances, read once and only where something would be removed that such an
//! instance may use.

use std::path::PathBuf;

use crate::decide::{self, Policy, Verdict};
use crate::ledger::Ledger;
use crate::ledger::peers::{self, Peer};
use crate::observe::{self, Observation};

pub(super) struct Beside<'a> {
    directories: &'a [PathBuf],
    peers: Option<Vec<Peer>>,
}

impl<'a> Beside<'a> {
    pub(super) fn of(policy: &'a Policy) -> Self {
        Self { directories: &policy.beside, peers: None }
    }

    /// Keeps what a living instance of another ledger uses, or may.
    pub(super) fn spare(
        &mut self,
        verdicts: &mut [Verdict],
        ledger: &Ledger,
        look: &mut Observation,
    ) {
        let book = &ledger.book;
        let shared = |verdict: &Verdict| match verdict {
            Verdict::Remove(removal) => {
                let object = book.objects.get(&removal.object());
                object.is_some_and(|object| decide::may_be_shared(book, object, look))
            }
            Verdict::Keep(_) | Verdict::Forget(_) => false,
        };
        if !verdicts.iter().any(shared) {
            return;
        }
        let peers = self.peers.get_or_insert_with(|| {
            let own = ledger.path().parent().map(PathBuf::from);
            let directories: Vec<PathBuf> = self.directories.iter().cloned().chain(own).collect();
            peers::read(&directories, ledger.path())
        });
        let books = peers.iter().filter_map(|peer| peer.book.as_ref());
        let runs = books.flat_map(|book| book.runs.values().map(move |run| (book, run)));
        let here = runs.filter(|(book, run)| {
            let place = book.places.get(run.place);
            place.is_some_and(|place| {
                (&place.boot, &place.pid_namespace) == (&look.place.boot, &look.place.pid_namespace)
            })
        });
        let claimed = here.flat_map(|(_, run)| {
            let claims = run.claims.iter().filter(|claim| claim.ended.is_none());
            let noted = claims.map(|claim| claim.process).chain(run.descendants.iter().copied());
            noted.chain([run.start.launcher]).map(|process| process.pid)
        });
        let claimed: Vec<i32> = claimed.collect();
        observe::add_last_users(look, claimed);
        decide::spare_used_elsewhere(verdicts, book, peers, look);
    }
}
