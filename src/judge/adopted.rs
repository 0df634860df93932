//! The judgement on adopted objects: the proof of `adopt` once more, on the look of now. Pure.

use std::collections::BTreeMap;

use super::access::{Access, Who};
use super::instance::{self, is_call};
use super::unowned::{Plan, Proposal, Scene, Wish, let_in, plan};
use super::{Absent, Action, CallState, Kept, Policy, Reason, Removal};
use crate::attribute::listed;
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::{How, Role};
use crate::snapshot::callers::Caller;
use crate::snapshot::subject::Subject;
use crate::snapshot::{Process, Snapshot};

/// Judges every adopted object in the order in which they are to be acted on, for a caller of whom
/// `policy` tells. Second, the segments whose content is to be read before that counts.
#[must_use]
pub fn decide(book: &Book, look: &Snapshot, policy: &Policy) -> (Vec<Action>, Vec<i32>) {
    decide_in(book, &Scene::acting_for(look, &policy.exempt, policy.remover))
}

/// Judges as [`decide`] does, by a look that is sorted already.
#[must_use]
pub(crate) fn decide_in(book: &Book, scene: &Scene<'_>) -> (Vec<Action>, Vec<i32>) {
    let look = scene.look();
    let mut verdicts = Vec::new();
    let mut found: Vec<(&Recorded, Subject<'_>)> = Vec::new();
    for object in book.open_objects() {
        match instance::present(book, object, look) {
            Ok(subject) => found.push((object, subject)),
            Err(Reason::Gone) => verdicts.push(Action::Forget(object.clone())),
            Err(reason) => verdicts.push(keep(object, reason)),
        }
    }
    // As of an instance: sets and queues after all memory.
    found.sort_by_key(|(object, _)| (is_call(object), object.role, object.number));
    let wishes: Vec<Wish<'_>> =
        found.iter().map(|(object, subject)| Wish { subject: *subject, how: object.how }).collect();
    let Plan { proposals, unread } = plan(scene, &wishes, None, &|_| None);
    let group = |at: usize| found.get(at).map(|(object, _)| object.number);
    // What comes along is not in the ledger: nothing of its group goes.
    let mut strangers: BTreeMap<usize, String> = BTreeMap::new();
    for one in proposals.iter().skip(found.len()) {
        if let (Some(leader), identity) = (one.leader, &one.identity) {
            strangers.entry(leader).or_insert_with(|| identity.to_string());
        }
    }
    for (at, (one, (object, _))) in proposals.iter().zip(&found).enumerate() {
        let leader = one.leader.unwrap_or(at);
        let stranger = strangers.get(&leader).cloned().map(Reason::NotAdopted);
        let unled = || unled(object, one, &found, &proposals);
        let reason = one.against.clone().or(stranger).or_else(unled);
        verdicts.push(match reason {
            Some(reason) => keep(object, reason),
            None => {
                let group = group(leader).unwrap_or(object.number);
                let mut removal = removal(book, object, look, one, group);
                removal.absent = absent(at, &proposals, look);
                Action::Remove(removal)
            }
        });
    }
    (verdicts, unread)
}

/// The reason for what was adopted as a list, or as what one names, where nothing that was read
/// leads to it, and what may do so stays: a list or main segment of its user.
fn unled(
    object: &Recorded,
    one: &Proposal<'_>,
    found: &[(&Recorded, Subject<'_>)],
    proposals: &[Proposal<'_>],
) -> Option<Reason> {
    let led = matches!(object.role, Role::Dynamic | Role::Control) && one.leader.is_none();
    let may_lead = |leader: &Recorded, its: &Proposal<'_>| {
        leader.role >= Role::Control
            && leader.role > object.role
            && its.subject.owner().0 == one.subject.owner().0
    };
    found.iter().zip(proposals).filter(|_| led).find_map(|((leader, _), its)| {
        let why = its.against.clone().filter(|_| may_lead(leader, its))?;
        Some(Reason::GroupStays(leader.identity.to_string(), Box::new(why)))
    })
}

fn keep(object: &Recorded, reason: Reason) -> Action {
    let identity = object.identity.clone();
    Action::Keep(Kept { object: Some(object.number), identity, reason, holders: Vec::new() })
}

fn removal(
    book: &Book,
    object: &Recorded,
    look: &Snapshot,
    one: &Proposal<'_>,
    group: u64,
) -> Removal {
    let subject = one.subject;
    let place = book.places.get(object.place);
    let owner = subject.owner().0;
    let creator = subject.creator().map_or(owner, |(uid, _)| uid);
    let users = format!("owner uid {owner}, creator uid {creator}");
    let (without_process, proof) = match object.how {
        How::Named => (None, "named by who adopted it"),
        _ if one.proven => (None, "its server's main segment proves that server dead"),
        _ => (Some([owner, creator]), "no process of either lives"),
    };
    let seen = match subject {
        Subject::Sem(set) => Some(CallState::Set(set.clone())),
        Subject::Msg(row) => Some(CallState::Queue(row.clone())),
        Subject::Shm(row) => look.latest_row(row.id).here().cloned().map(CallState::Segment),
        Subject::Posix(_) => None,
    };
    let content = seen.as_ref().map_or_else(String::new, CallState::content);
    Removal {
        object: object.number,
        identity: object.identity.clone(),
        role: object.role,
        evidence: format!("adopted, and nobody uses it; {content}{users}; {proof}"),
        same_pids: place.is_some_and(|p| p.pid_namespace == look.place.pid_namespace),
        guard: None,
        seen,
        group,
        without_process,
        absent: Absent::default(),
    }
}

/// Returns what has to be gone before an object: what it lists, and what that lists.
fn absent(at: usize, proposals: &[Proposal<'_>], look: &Snapshot) -> Absent {
    let Some(one) = proposals.get(at) else { return Absent::default() };
    let below = proposals.iter().filter(|other| one.role == Role::Main && other.leader == Some(at));
    let all = std::iter::once(one).chain(below).map(|one| &one.identity);
    let names = all.flat_map(|identity| listed::names_in(identity, look)).collect();
    Absent { names, mount: look.place.shm_mount.clone() }
}

/// The reason for an object whose mode lets in somebody who has come to live, of another user than
/// its own. `exempt` are pids of the caller itself.
#[must_use]
pub fn lets_others_in(seen: &CallState, callers: &[Caller], exempt: &[i32]) -> Option<Reason> {
    let subject = match seen {
        CallState::Segment(row) => Subject::Shm(row),
        CallState::Set(set) => Subject::Sem(set),
        CallState::Queue(row) => Subject::Msg(row),
    };
    let mut others = callers.iter().filter(|caller| !exempt.contains(&caller.pid));
    let access = Access::of(subject);
    others.find(|caller| access.lets_in_by_mode(Who::caller(caller))).map(let_in)
}

/// The reason for an object of whose owner or creator a process has come to live, or may have:
/// whoever's user could not be read counts. `exempt` are pids of the caller itself.
#[must_use]
pub fn users_live(uids: [u32; 2], processes: &[Process], exempt: &[i32]) -> Option<Reason> {
    let others = || processes.iter().filter(|one| !one.ended && !exempt.contains(&one.process.pid));
    let lives = others().find_map(|one| {
        let its = |uid: &u32| one.uids.is_some_and(|its| its.contains(uid));
        let (pid, uid) = (one.process.pid, uids.into_iter().find(its)?);
        Some(Reason::UserLives(pid, uid))
    });
    let unread = || others().find(|one| one.uids.is_none());
    let unread = || unread().map(|one| Reason::UserUnread(one.process.pid));
    lives.or_else(unread)
}
