//! Semaphore sets and queues of a living server, and who of it may use them.

use shmwarden::Result;
use shmwarden::attribute::living::Member;
use shmwarden::attribute::living::calls::{Calls, calls};
use shmwarden::engine::SetMark;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::{MOST_DESCENDANTS, Recorded};
use shmwarden::ledger::record::{Claim, ObjectSeen, Record};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{Snapshot, processes, tables};
use shmwarden::sys::sem;

/// Most objects of others that one pass notes as used.
pub(super) const MOST_USED: usize = 1000;
use crate::recording::sets;

/// Judges the sets and queues of a look; what is there at the first `record` and not proven is
/// never taken for the server's by a later one.
pub(super) fn look(
    ledger: &Ledger,
    claim: &mut Claim,
    known: Option<&Claim>,
    server: &Member,
    below: &[ProcessRef],
    look: &Snapshot,
) -> Calls {
    let begun = ledger.book.runs.get(&claim.run).map(|run| run.at);
    let since = begun.filter(|_| known.is_some());
    // Asked after the tables were read: their numbers were their own then.
    let below: Vec<ProcessRef> =
        below.iter().copied().filter(|process| processes::lives(*process)).collect();
    let marked = marked(claim, look);
    let found = calls(&ledger.book, claim, since, server, &below, &marked, look);
    if known.is_none() {
        (claim.sets_before, claim.queues_before) = sets::before(claim);
        claim.sets_before.retain(|id| !found.own.iter().any(|own| is_set(&own.identity, *id)));
        claim.queues_before.retain(|id| !found.own.iter().any(|own| is_queue(&own.identity, *id)));
    }
    found
}

/// Returns the sets whose mark the server made, where servers of its kind mark theirs.
fn marked(claim: &Claim, look: &Snapshot) -> Vec<i32> {
    let Some(mark) = claim.engine.set_mark else { return Vec::new() };
    let is_own = |set: &&tables::Set| bears(&set.row, mark, claim.process.pid);
    look.sets.seen().filter(is_own).map(|set| set.row.id).collect()
}

/// Checks that a set bears a mark that this process made.
pub(super) fn bears(set: &sem::Row, mark: SetMark, pid: i32) -> bool {
    set.members == u64::from(mark.members.unsigned_abs())
        && sem::value(set.id, mark.member()) == Ok(mark.value)
        && sem::last_operator(set.id, mark.member()) == Ok(pid)
}

/// Writes down what was found, and who of the server may have used it; gives back what is in doubt.
pub(super) fn note(
    ledger: &mut Ledger,
    run: u64,
    found: Calls,
    below: &[ProcessRef],
) -> Result<Vec<Identity>> {
    for seen in found.own {
        // Others were recorded since it was found.
        let seen = ObjectSeen { object: ledger.book.next_object(), ..seen };
        ledger.note(Record::Object(seen))?;
    }
    for identity in found.used.into_iter().take(MOST_USED) {
        ledger.note(Record::Used { run, identity })?;
    }
    let is_call = |identity: &Identity| matches!(identity, Identity::Sem(_) | Identity::Msg(_));
    let of_run = |object: &&Recorded| object.run == run && is_call(&object.identity);
    let has_calls = ledger.book.open_objects().any(|object| of_run(&object));
    if has_calls {
        let known = ledger.book.runs.get(&run).map(|run| run.descendants.clone());
        let known = known.unwrap_or_default();
        let new = below.iter().filter(|process| !known.contains(process)).copied();
        let new: Vec<ProcessRef> = new.filter(|process| processes::lives(*process)).collect();
        for process in new.into_iter().take(MOST_DESCENDANTS) {
            ledger.note(Record::Descendant { run, process })?;
        }
    }
    Ok(found.doubtful)
}

fn is_set(identity: &Identity, id: i32) -> bool {
    matches!(identity, Identity::Sem(set) if set.id == id)
}

fn is_queue(identity: &Identity, id: i32) -> bool {
    matches!(identity, Identity::Msg(queue) if queue.id == id)
}
