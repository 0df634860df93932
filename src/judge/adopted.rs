//! What is to be done with adopted objects: the proof of `adopt` once more, on the look of now.
//! Pure.

use std::collections::BTreeMap;

use super::sets::is_named_for_good;
use super::{Absent, Action, CallState, Kept, Reason, Removal, differs};
use crate::attribute::listed;
use crate::attribute::sets::{queue_differs, set_differs};
use crate::judge::unowned::{Against, Plan, Proposal, Scene, Wish, let_in, plan};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::ledger::record::{How, Role};
use crate::object::{Identity, Place};
use crate::snapshot::callers::Caller;
use crate::snapshot::subject::{Kind, Subject};
use crate::snapshot::{Process, Snapshot};

/// The objects of a look by kind, and by number or name.
struct Here<'a>(BTreeMap<(Kind, i32, &'a [u8]), Subject<'a>>);

impl<'a> Here<'a> {
    fn of(look: &'a Snapshot) -> Self {
        let all = Subject::all(look).map(|subject| {
            let name = match subject {
                Subject::Posix(file) => file.name.0.as_slice(),
                _ => &[],
            };
            ((subject.kind(), subject.id().unwrap_or(-1), name), subject)
        });
        Self(all.collect())
    }

    fn find(&self, identity: &Identity) -> Option<Subject<'a>> {
        let number = match identity {
            Identity::Shm(segment) => (Kind::Shm, segment.id, &[][..]),
            Identity::Sem(set) => (Kind::Sem, set.id, &[][..]),
            Identity::Msg(queue) => (Kind::Msg, queue.id, &[][..]),
            Identity::Posix(file) => (Kind::Posix, -1, file.name.0.as_slice()),
        };
        self.0.get(&number).copied()
    }
}

/// Judges every adopted object in the order in which they are to be acted on; `exempt` are pids of
/// the caller itself. Second, the segments whose content is to be read before that counts.
#[must_use]
pub fn decide(book: &Book, look: &Snapshot, exempt: &[i32]) -> (Vec<Action>, Vec<i32>) {
    let here = Here::of(look);
    let scene = Scene::of(look, exempt);
    let mut verdicts = Vec::new();
    let mut there: Vec<(&Recorded, Subject<'_>)> = Vec::new();
    for object in book.open_objects() {
        match missing(book, object, look, &here) {
            Ok(subject) => there.push((object, subject)),
            Err(Reason::Gone) => verdicts.push(Action::Forget(object.clone())),
            Err(reason) => verdicts.push(keep(object, reason)),
        }
    }
    // As of an instance: sets and queues after all memory.
    there.sort_by_key(|(object, _)| (super::is_call(object), object.role, object.number));
    let wishes: Vec<Wish<'_>> =
        there.iter().map(|(object, subject)| Wish { subject: *subject, how: object.how }).collect();
    let Plan { proposals, unread } = plan(&scene, &wishes, None, &|_| None);
    let group = |at: usize| there.get(at).map(|(object, _)| object.number);
    // What comes along is not in the ledger: nothing of its group goes.
    let mut strangers: BTreeMap<usize, String> = BTreeMap::new();
    for one in proposals.iter().skip(there.len()) {
        if let (Some(leader), Some(identity)) = (one.leader, &one.identity) {
            strangers.entry(leader).or_insert_with(|| identity.to_string());
        }
    }
    for (at, (one, (object, _))) in proposals.iter().zip(&there).enumerate() {
        let leader = one.leader.unwrap_or(at);
        let stranger = strangers.get(&leader).cloned().map(Reason::NotAdopted);
        let reason = one.against.clone().map(Reason::NotOrphan).or(stranger);
        verdicts.push(match reason {
            Some(reason) => keep(object, reason),
            None => {
                let group = group(leader).unwrap_or(object.number);
                let mut removal = removal(book, object, look, one.subject, group);
                removal.absent = absent(at, &proposals, look);
                Action::Remove(removal)
            }
        });
    }
    (verdicts, unread)
}

/// The object as it is here and now, or why there is none.
fn missing<'a>(
    book: &Book,
    object: &Recorded,
    look: &Snapshot,
    here: &Here<'a>,
) -> Result<Subject<'a>, Reason> {
    let place = book.places.get(object.place).ok_or(Reason::OtherBoot)?;
    if place.boot != look.place.boot {
        return Err(Reason::OtherBoot);
    }
    match &object.identity {
        Identity::Posix(file) if look.place.shm_mount.as_ref() != Some(&file.mount) => {
            return Err(Reason::OtherMount);
        }
        Identity::Posix(_) => {}
        _ if place.ipc_namespace != look.place.ipc_namespace => {
            return Err(Reason::OtherIpcNamespace);
        }
        Identity::Sem(_) | Identity::Msg(_) if !is_named_for_good(&place.ipc_namespace) => {
            return Err(Reason::UnsureSpace);
        }
        _ => {}
    }
    let subject = here.find(&object.identity).ok_or(Reason::Gone)?;
    match differs_from(&object.identity, subject, place, look) {
        Some(what) => Err(Reason::Changed(what)),
        None => Ok(subject),
    }
}

fn differs_from(
    known: &Identity,
    subject: Subject<'_>,
    place: &Place,
    look: &Snapshot,
) -> Option<&'static str> {
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    match (known, subject) {
        (Identity::Shm(segment), Subject::Shm(row)) => differs(segment, row, same_pids),
        (Identity::Posix(file), Subject::Posix(found)) => {
            let now = Some(&found.identity).filter(|now| now.is(file));
            let changed = || {
                let moved = now.is_some_and(|now| now.birth != file.birth);
                moved.then_some("change time")
            };
            now.is_none().then_some("inode or birth time").or_else(changed)
        }
        // While its server lived the change time moved; nobody was to use it since.
        (Identity::Sem(known), Subject::Sem(set)) => {
            let changed = || (set.row.ctime != known.ctime).then_some("change time");
            set_differs(known, &set.row).or_else(changed)
        }
        (Identity::Msg(known), Subject::Msg(row)) => {
            let changed = || (row.ctime != known.ctime).then_some("change time");
            queue_differs(known, row).or_else(changed)
        }
        _ => Some("kind"),
    }
}

fn keep(object: &Recorded, reason: Reason) -> Action {
    let identity = object.identity.clone();
    Action::Keep(Kept { object: Some(object.number), identity, reason, holders: Vec::new() })
}

fn removal(
    book: &Book,
    object: &Recorded,
    look: &Snapshot,
    subject: Subject<'_>,
    group: u64,
) -> Removal {
    let place = book.places.get(object.place);
    let owner = subject.owner().0;
    let creator = subject.creator().map_or(owner, |(uid, _)| uid);
    let users = format!("owner uid {owner}, creator uid {creator}");
    let (alone, proof) = match object.how {
        How::Named => (None, "named by who adopted it"),
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
        alone,
        absent: Absent::default(),
    }
}

/// Returns what has to be gone before an object: what it lists, and what that lists.
fn absent(at: usize, proposals: &[Proposal<'_>], look: &Snapshot) -> Absent {
    let Some(one) = proposals.get(at) else { return Absent::default() };
    let below = proposals.iter().filter(|other| one.role == Role::Main && other.leader == Some(at));
    let all = std::iter::once(one).chain(below).filter_map(|one| one.identity.as_ref());
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
    let other = others.find(|caller| caller.is_let_in(subject))?;
    Some(Reason::NotOrphan(let_in(other)))
}

/// The reason for an object of whose owner or creator a process has come to live, or may have:
/// whoever's user could not be read counts. `exempt` are pids of the caller itself.
#[must_use]
pub fn no_longer_alone(uids: [u32; 2], processes: &[Process], exempt: &[i32]) -> Option<Reason> {
    let others = || processes.iter().filter(|one| !one.ended && !exempt.contains(&one.process.pid));
    let lives = others().find_map(|one| {
        let its = |uid: &u32| one.uids.is_some_and(|its| its.contains(uid));
        let (pid, uid) = (one.process.pid, uids.into_iter().find(its)?);
        Some(Against::UserLives { pid, uid })
    });
    let unread = || others().find(|one| one.uids.is_none());
    let unread = || unread().map(|one| Against::UserUnread(one.process.pid));
    lives.or_else(unread).map(Reason::NotOrphan)
}
