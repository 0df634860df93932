//! Semaphore sets and queues of a server that lives and that nobody watched from its start. Pure.
//!
//! The kernel keeps no creator of theirs, so one look proves less than a watch does: a set with a
//! key may be anybody's who knows the key. One without a key is known to those alone who were given
//! its number; made within the server's life and last used by the server and nobody else it is the
//! server's. So is one that bears the mark which an openGauss makes of its own sets (`sysv_sema.cpp
//! IpcSemaphoreCreate`), where this server made the mark. What came after an earlier `record` is
//! judged as the watch judges what is new.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::sets::LastUsers;
use super::super::{Found, is_recorded, number, uid_fits};
use super::{Member, ROUNDING};
use crate::ledger::Book;
use crate::ledger::record::{Claim, How, ObjectSeen, Role};
use crate::object::{Identity, ProcessRef};
use crate::snapshot::Snapshot;
use crate::snapshot::tables::queue_identity;

/// The sets and queues of a look that are a living server's.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Proven to be its own.
    pub own: Vec<ObjectSeen>,
    /// Used by it and by others who live.
    pub used: Vec<Identity>,
    /// Used by it last, and not provably its own.
    pub doubtful: Vec<Identity>,
}

/// Judges every set and queue that the server or one of its living `descendants` used last.
///
/// `since` is when the run began, where the claim was in the ledger before this look; `marked` are
/// the sets whose mark the server made, if it is an openGauss.
#[must_use]
pub fn calls(
    book: &Book,
    claim: &Claim,
    since: Option<SystemTime>,
    server: &Member,
    descendants: &[ProcessRef],
    marked: &[i32],
    look: &Snapshot,
) -> Calls {
    let mut found: Vec<(Found, Option<ProcessRef>)> = Vec::new();
    let mut calls = Calls::default();
    for (identity, last) in last_used(look) {
        let maker = identity.call_creator();
        let fits = maker.is_some_and(|uid| uid_fits(claim, uid));
        let is_family = |pid: &i32| {
            *pid == server.process.pid || descendants.iter().any(|process| process.pid == *pid)
        };
        let ours: Vec<i32> = last.pids.iter().copied().filter(is_family).collect();
        if ours.is_empty() || is_recorded(book, &identity) {
            continue;
        }
        let is_alive = |pid: &i32| look.process(*pid).here().is_some_and(|process| !process.ended);
        let others = last.pids.iter().filter(|pid| !is_family(pid));
        let is_marked = is_marked(&identity, marked, server);
        // Of a set that an openGauss has marked a member that shows no operator was never used,
        // unless it has a value.
        let unseen = if is_marked { last.unseen } else { last.perhaps_unseen };
        let alone = ours.len() == last.pids.len() && !unseen;
        let is_own = is_marked || is_new(&identity, claim, since, server);
        if fits && alone && is_own {
            let by_server = ours.contains(&server.process.pid);
            let user = descendants.iter().find(|process| ours.contains(&process.pid)).copied();
            let how = if by_server { How::Claim } else { How::Watch };
            let user = if by_server { None } else { user };
            found.push(((claim.run, how, Role::Other, identity), user));
        } else if others.clone().any(is_alive) {
            calls.used.push(identity);
        } else {
            calls.doubtful.push(identity);
        }
    }
    let noted = |identity: &Identity| {
        book.used.iter().any(|(run, known)| *run == claim.run && known.is(identity))
    };
    calls.used.retain(|identity| !noted(identity));
    let (found, users): (Vec<Found>, Vec<Option<ProcessRef>>) = found.into_iter().unzip();
    let numbered = number(book, found).into_iter().zip(users);
    calls.own = numbered.map(|(seen, creator)| ObjectSeen { creator, ..seen }).collect();
    calls
}

/// The sets and queues of a look that may be asked who used them last.
fn last_used(look: &Snapshot) -> Vec<(Identity, LastUsers)> {
    let sets = look.sets.seen().filter_map(|set| {
        let last = LastUsers::of_set(set, look.sight)?;
        Some((Identity::Sem(set.identity()), last))
    });
    let queues = look.queues.seen();
    let queues = queues.map(|row| (Identity::Msg(queue_identity(row)), LastUsers::of_queue(row)));
    sets.chain(queues).collect()
}

/// Checks that it is a set that the server marked as its own, and not an earlier process of its
/// number.
fn is_marked(identity: &Identity, marked: &[i32], server: &Member) -> bool {
    matches!(identity, Identity::Sem(set)
        if marked.contains(&set.id) && set.ctime.saturating_add(ROUNDING) >= server.began)
}

/// Checks that it cannot be older than the server, nor have come from somebody who found it by its
/// key.
fn is_new(identity: &Identity, claim: &Claim, since: Option<SystemTime>, server: &Member) -> bool {
    let (key, id, ctime, before) = match identity {
        Identity::Sem(set) => (set.key.0, set.id, set.ctime, &claim.sets_before),
        Identity::Msg(queue) => (queue.key.0, queue.id, queue.ctime, &claim.queues_before),
        Identity::Shm(_) | Identity::Posix(_) => return false,
    };
    let seconds = |time: SystemTime| {
        let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(passed).unwrap_or(i64::MAX)
    };
    let private = key == 0 && ctime.saturating_add(ROUNDING) >= server.began;
    let came_since = since.is_some_and(|since| {
        !before.contains(&id) && ctime.saturating_add(ROUNDING) >= seconds(since)
    });
    private || came_since
}
