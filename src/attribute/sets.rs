//! Semaphore sets and message queues: which are an instance's, and by what proof. Pure.
//!
//! The kernel keeps no creator of theirs, only who used them last. So only who was there when one
//! was new, and saw nobody else use it, can prove whose it is; a later look suspects at most.

use super::{Doubt, Suspect, is_recorded};
use crate::ledger::Book;
use crate::ledger::book::Run;
use crate::ledger::record::Claim;
use crate::object::{Identity, Queue, SemaphoreSet};
use crate::snapshot::tables::{Set, queue_identity};
use crate::snapshot::{Sight, Snapshot};
use crate::sys::{msg, sem};

/// Returns the first field in which a set of the same id differs from the recorded one; its change
/// time may.
#[must_use]
pub fn set_differs(known: &SemaphoreSet, row: &sem::Row) -> Option<&'static str> {
    first_difference(&[
        (row.id == known.id, "id"),
        (row.perm.key == known.key.0, "key"),
        (row.members == known.nsems, "number of semaphores"),
        (row.perm.creator_uid == known.creator_uid, "creator uid"),
        (row.perm.creator_gid == known.creator_gid, "creator gid"),
    ])
}

/// Returns the first field in which a queue of the same id differs from the recorded one; its
/// change time may.
#[must_use]
pub fn queue_differs(known: &Queue, row: &msg::Row) -> Option<&'static str> {
    first_difference(&[
        (row.id == known.id, "id"),
        (row.perm.key == known.key.0, "key"),
        (row.perm.creator_uid == known.creator_uid, "creator uid"),
        (row.perm.creator_gid == known.creator_gid, "creator gid"),
    ])
}

fn first_difference(checks: &[(bool, &'static str)]) -> Option<&'static str> {
    checks.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

/// The last users of an object, as far as they are visible here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUsers {
    /// Their pids, each once, without 0.
    pub pids: Vec<i32>,
    /// Set where somebody who is not visible here used it.
    pub unseen: bool,
    /// Set where such a one may have used it.
    pub perhaps_unseen: bool,
}

impl LastUsers {
    /// Of a set; `None` where its members may not be asked.
    #[must_use]
    pub fn of_set(set: &Set, sight: Sight) -> Option<Self> {
        let shows_all = sight.is_everybody();
        let members = set.members.as_ref()?;
        let pids: Vec<i32> = members.operators.iter().copied().filter(|&pid| pid != 0).collect();
        let unseen = !shows_all && members.set_unseen;
        // A member without an operator was never used, or by somebody of another PID namespace,
        // who may hold it: its value is 0 then, too.
        let perhaps = members.operators.contains(&0) && set.row.otime != 0;
        Some(Self { pids, unseen, perhaps_unseen: unseen || (perhaps && !shows_all) })
    }

    /// Of a queue.
    #[must_use]
    pub fn of_queue(row: &msg::Row) -> Self {
        let mut pids = vec![row.last_sender, row.last_receiver];
        pids.retain(|&pid| pid != 0);
        pids.sort_unstable();
        pids.dedup();
        let unseen =
            (row.stime != 0 && row.last_sender == 0) || (row.rtime != 0 && row.last_receiver == 0);
        Self { pids, unseen, perhaps_unseen: unseen }
    }

    /// Checks that nobody is known to have used it.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.pids.is_empty() && !self.perhaps_unseen
    }
}

/// Checks that a set or queue of this creator uid can be a claimed process's own.
#[must_use]
pub fn may_be_of(claim: &Claim, identity: &Identity) -> bool {
    let (uid, id, before) = match identity {
        Identity::Sem(set) => (set.creator_uid, set.id, &claim.sets_before),
        Identity::Msg(queue) => (queue.creator_uid, queue.id, &claim.queues_before),
        Identity::Shm(_) | Identity::Posix(_) => return false,
    };
    super::uid_fits(claim, uid) && !before.contains(&id)
}

/// Adds what nobody saw appear and a process of a run that nobody saw end has used last: it may be
/// its own, or somebody else's that it used.
pub(super) fn unwitnessed(book: &Book, run: &Run, look: &Snapshot, suspects: &mut Vec<Suspect>) {
    let open: Vec<&Claim> = run.claims.iter().filter(|claim| claim.ended.is_none()).collect();
    let sets = look.sets.seen().filter_map(|set| {
        let last = LastUsers::of_set(set, look.sight)?;
        Some((Identity::Sem(set.identity()), last))
    });
    let queues = look.queues.seen();
    let queues = queues.map(|row| (Identity::Msg(queue_identity(row)), LastUsers::of_queue(row)));
    for (identity, last) in sets.chain(queues) {
        let used =
            |claim: &&&Claim| last.pids.contains(&claim.process.pid) && may_be_of(claim, &identity);
        let is_used = book.used.iter().any(|(_, known)| known.is(&identity));
        if open.iter().any(|claim| used(&claim)) && !is_used && !is_recorded(book, &identity) {
            suspects.push(Suspect { run: run.start.run, identity, doubt: Doubt::Unwitnessed });
        }
    }
}
