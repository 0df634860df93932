//! The ledgers of other instances, read once and only where something would be removed that such an
//! instance may use.

use std::path::PathBuf;

use crate::attribute;
use crate::judge::{self, Action, PeerWord, Policy};
use crate::ledger::Ledger;
use crate::ledger::peers::{self, Peer};
use crate::object::Identity;
use crate::snapshot::Snapshot;

pub(super) struct Beside<'a> {
    directories: &'a [PathBuf],
    peers: Option<Vec<Peer>>,
}

impl<'a> Beside<'a> {
    pub(super) fn of(policy: &'a Policy) -> Self {
        Self { directories: &policy.beside, peers: None }
    }

    /// Checks that another ledger has an object, whatever became of it there.
    pub(super) fn have(&mut self, ledger: &Ledger, identity: &Identity) -> bool {
        let mut books = self.read(ledger).iter().filter_map(|peer| peer.book.as_ref());
        books.any(|book| attribute::is_recorded(book, identity))
    }

    fn read(&mut self, ledger: &Ledger) -> &[Peer] {
        self.peers.get_or_insert_with(|| {
            let own = ledger.path().parent().map(PathBuf::from);
            let directories: Vec<PathBuf> = self.directories.iter().cloned().chain(own).collect();
            peers::read(&directories, ledger.path())
        })
    }

    /// Keeps what a living instance of another ledger uses, or may; gives back the look that tells.
    pub(super) fn spare(
        &mut self,
        verdicts: &mut [Action],
        ledger: &Ledger,
        look: Snapshot,
    ) -> Snapshot {
        let book = &ledger.book;
        let shared = |verdict: &Action| {
            let object = verdict.goes().and_then(|(object, _)| book.objects.get(&object));
            object.is_some_and(|object| judge::may_be_shared(book, object, &look))
        };
        if !verdicts.iter().any(shared) {
            return look;
        }
        let peers = self.read(ledger);
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
        let look = look.with_last_users(claimed);
        let words: Vec<PeerWord<'_>> = peers
            .iter()
            .map(|peer| PeerWord { path: &peer.path, uid: peer.uid, book: peer.book.as_ref() })
            .collect();
        judge::spare_used_elsewhere(verdicts, book, &words, &look);
        look
    }
}
