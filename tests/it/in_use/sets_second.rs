//! A set's times are whole seconds: who used it in the very second in which it was used last before
//! the decision is told by its members alone.

use shmwarden::judge::{self, Action, Life, Policy, Removal};
use shmwarden::ledger::file::For;
use shmwarden::ledger::record::{End, Outcome};
use shmwarden::ledger::{Ledger, Record};
use shmwarden::snapshot::{self, Scope, Snapshot, Tables};
use shmwarden::sweep::look_at_calls;
use shmwarden::sweep::remove::{Done, remove};

use super::sets_raced::Crash;
use crate::leaks::sets::KEY;
use crate::scene::asked::Asked;
use crate::support::calls::is_set;
use crate::support::sandbox;

fn locked(crash: &Crash) -> Ledger {
    let mut ledger = Ledger::open(crash.instance.ledger(), For::Writing).unwrap();
    assert!(ledger.try_lock().unwrap());
    ledger.read().unwrap();
    let run = ledger.book.last_run().unwrap().start.run;
    ledger.append(Record::End { run, end: End::Unknown }).unwrap();
    ledger
}

fn look(ledger: &Ledger) -> Snapshot {
    look_at_calls(ledger, snapshot::take(Scope::full()).unwrap(), true)
}

fn removal(ledger: &Ledger, look: &Snapshot) -> Removal {
    let life = judge::life::judge(&ledger.book, look, &Policy::default());
    assert!(!matches!(life, Life::Live(_) | Life::Unseen(_)), "{life:?}");
    let verdicts = judge::decide(&ledger.book, look, &life, &[], &Policy::default());
    let mut removals = verdicts.into_iter().map(|verdict| match verdict {
        Action::Remove(removal) => removal,
        other => panic!("{other:?}"),
    });
    removals.next().expect("a removal")
}

/// The decision rests on a look from before the use; the rest of the row is what it was.
#[test]
fn who_uses_a_set_in_the_second_of_its_last_use_keeps_it() {
    sandbox::on_host(|| {
        let crash = Crash::leaving(|server: &mut Asked| {
            let id = server.make_set(KEY, 2);
            server.ask(&format!("op({id}, 1, 1)"));
            id
        });
        let mut ledger = locked(&crash);
        let now = look(&ledger);
        let mut before = Tables::clone(&now);
        let members = before.sets.rows_mut()[0].members.as_mut().unwrap();
        assert_eq!(members.operators.len(), 1, "the server alone: {members:?}");
        members.operators.push(0);
        members.operators.sort_unstable();
        let before = Snapshot::of(before);

        let raced: Done = remove(&removal(&ledger, &before), &mut ledger).unwrap();
        assert_eq!(raced.outcome(), Outcome::Raced, "{raced:?}");
        assert!(raced.detail().contains("between the decision and the removal"), "{raced:?}");
        assert!(is_set(crash.id));

        let removed = remove(&removal(&ledger, &now), &mut ledger).unwrap();
        assert_eq!(removed.outcome(), Outcome::Removed, "{removed:?}");
        assert!(!is_set(crash.id));
    });
}
