//! The ledgers of other instances, on an object that would be removed. Pure.
//!
//! A word there can only keep: of a living server that uses the object, if it may.

use std::collections::BTreeMap;
use std::path::Path;

use super::access::{Access, Who};
use super::{Action, Kept, Reason, differs, life};
use crate::attribute::sets::{queue_differs, set_differs};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::ledger::record::End;
use crate::object::{Identity, Place, ProcessRef};
use crate::snapshot::subject::Subject;
use crate::snapshot::{Process, Seen, Sight, Snapshot};

/// The ledger of another instance, as it bears on an object.
#[derive(Debug, Clone, Copy)]
pub struct PeerWord<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Its owner.
    pub uid: u32,
    /// Its content; `None` where it could not be read.
    pub book: Option<&'a Book>,
}

/// Returns whom a set, queue or segment that is here lets in.
fn access_of(identity: &Identity, look: &Snapshot) -> Option<Access> {
    let subject = match identity {
        Identity::Shm(segment) => Subject::Shm(look.segment(segment.id).here()?),
        Identity::Sem(set) => Subject::Sem(look.set(set.id).here()?),
        Identity::Msg(queue) => Subject::Msg(look.queue(queue.id).here()?),
        Identity::Posix(_) => return None,
    };
    Some(Access::of(subject))
}

/// Checks whether another instance may use an object without having it attached: an adopted one,
/// or one that is no engine's own, of whose use no main segment tells.
#[must_use]
pub fn may_be_shared(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let call = object.identity.call_creator().is_some();
    let kind = call || matches!(object.identity, Identity::Shm(_));
    kind && (object.is_adopted() || !life::is_engines_own(book, object, look))
}

/// Finds a ledger by whose word a living instance uses an object, or may. A ledger that could not
/// be read counts only for objects whose mode lets its owner in. The word of a copy of `own` on the
/// runs that both have is no other instance's: whether those live is judged already.
#[must_use]
pub fn used_elsewhere<'a>(
    own: &Book,
    identity: &Identity,
    peers: impl IntoIterator<Item = PeerWord<'a>>,
    look: &Snapshot,
) -> Option<Reason> {
    let access = access_of(identity, look)?;
    for peer in peers {
        let used = match peer.book {
            Some(book) => {
                let may_attach = peer.uid == 0 || access.lets_in(Who::user(peer.uid));
                let may_remove = access.is_removable_by(peer.uid);
                (may_attach && is_used(own, book, identity, look))
                    || (may_remove && is_claimed(own, book, identity, look))
            }
            None => access.lets_in(Who::user(peer.uid)) && has_process(peer.uid, look),
        };
        if used {
            let ledger = peer.path.to_string_lossy().into_owned();
            return Some(match peer.book {
                Some(_) => Reason::UsedElsewhere(ledger),
                None => Reason::MayBeUsedElsewhere(ledger),
            });
        }
    }
    None
}

fn is_used(own: &Book, book: &Book, identity: &Identity, look: &Snapshot) -> bool {
    book.used.iter().any(|(run, known)| {
        let run = book.runs.get(run);
        let place = run.and_then(|run| book.places.get(run.place));
        run.zip(place).is_some_and(|(run, place)| {
            is_it(known, identity, place, look)
                && !own.has_run(run, place)
                && may_live(book, run, look)
        })
    })
}

fn is_claimed(own: &Book, book: &Book, identity: &Identity, look: &Snapshot) -> bool {
    // By its number, and not by a walk: there may be thousands on either side.
    let mut open = book.numbered(identity).filter(|object| book.is_open(object));
    open.any(|object| {
        let run = book.runs.get(&object.run);
        let place = book.places.get(object.place);
        run.zip(place).is_some_and(|(run, place)| {
            is_it(&object.identity, identity, place, look)
                && !own.has_run(run, place)
                && may_live(book, run, look)
        })
    })
}

/// Checks whether what a ledger has is this object, which is here.
fn is_it(known: &Identity, identity: &Identity, place: &Place, look: &Snapshot) -> bool {
    let here = place.boot == look.place.boot && place.ipc_namespace == look.place.ipc_namespace;
    let same = || match (known, identity) {
        (Identity::Shm(known), Identity::Shm(segment)) if known.id == segment.id => {
            let same_pids = place.pid_namespace == look.place.pid_namespace;
            let row = look.segment(segment.id).here();
            // An IPC_SET that its user did not follow moves the change time.
            row.is_some_and(|row| {
                matches!(differs(known, row, same_pids), None | Some("change time"))
            })
        }
        (Identity::Sem(known), Identity::Sem(set)) if known.id == set.id => {
            let set = look.set(set.id).here();
            set.is_some_and(|set| set_differs(known, &set.row).is_none())
        }
        (Identity::Msg(known), Identity::Msg(queue)) if known.id == queue.id => {
            let row = look.queue(queue.id).here();
            row.is_some_and(|row| queue_differs(known, row).is_none())
        }
        _ => false,
    };
    here && same()
}

/// Checks whether a run of another ledger may still live; its lock is not asked for. An end that is
/// noted is that of COMMAND: what descends from it may live on.
fn may_live(book: &Book, run: &Run, look: &Snapshot) -> bool {
    let Some(place) = book.places.get(run.place) else { return true };
    if place.boot != look.place.boot {
        return false;
    }
    if place.pid_namespace != look.place.pid_namespace {
        let interlock = run.server().is_some_and(|claim| claim.engine.has_interlock);
        // With its first process all of a namespace has died.
        let survives = !run.descendants.is_empty() && run.start.launcher.pid != 1 && !interlock;
        return run.end.is_none_or(|(end, _)| end == End::Unknown && survives);
    }
    let launcher = run.end.is_none().then_some(run.start.launcher);
    let claimed = run.claims.iter().filter(|claim| claim.ended.is_none()).map(|c| c.process);
    let all = claimed.chain(run.descendants.iter().copied()).chain(launcher);
    let lives = |wanted: ProcessRef| {
        let lives = match look.process(wanted.pid) {
            Seen::Here(found) => found.may_be(wanted) && !found.ended,
            Seen::Gone => false,
            Seen::Denied => true,
        };
        lives || look.hidden.contains(&wanted.pid)
    };
    all.into_iter().any(lives)
}

/// Checks whether somebody lives who may run a server whose ledger a user owns.
fn has_process(uid: u32, look: &Snapshot) -> bool {
    let is_other = |process: &Process| process.process.pid != look.pid;
    let unseen = look.sight != Sight::Everybody || !look.hidden.is_empty();
    uid == 0 || unseen || look.living_of(uid).any(is_other)
}

/// Keeps what a living instance of another ledger uses, or may.
pub fn spare_used_elsewhere(
    verdicts: &mut [Action],
    book: &Book,
    peers: &[PeerWord<'_>],
    look: &Snapshot,
) {
    let mut spared: BTreeMap<u64, String> = BTreeMap::new();
    for verdict in verdicts.iter_mut() {
        let Some((object, identity)) = verdict.goes() else { continue };
        let shared = book.objects.get(&object).is_some_and(|o| may_be_shared(book, o, look));
        let reason = match shared {
            true => used_elsewhere(book, identity, peers.iter().copied(), look),
            false => None,
        };
        if let Some(reason) = reason {
            if let Action::Remove(removal) = verdict
                && removal.is_adopted()
            {
                spared.entry(removal.group()).or_insert_with(|| removal.identity().to_string());
            }
            keep(verdict, reason);
        }
    }
    // What was adopted together goes together, or not at all.
    for verdict in verdicts.iter_mut() {
        let Action::Remove(removal) = verdict else { continue };
        if let Some(other) = spared.get(&removal.group()) {
            let reason = Reason::EarlierStays(other.clone());
            keep(verdict, reason);
        }
    }
}

/// Turns what goes into what is kept.
fn keep(verdict: &mut Action, reason: Reason) {
    if let Some((object, identity)) = verdict.goes() {
        let (object, identity) = (Some(object), identity.clone());
        *verdict = Action::Keep(Kept { object, identity, reason, holders: Vec::new() });
    }
}
