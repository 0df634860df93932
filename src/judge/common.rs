//! What speaks against removing anything of an instance. Pure.

use std::collections::BTreeSet;

use super::{Evidence, Life, Policy, Reason};
use crate::attribute::{self, Doubt, Suspect};
use crate::engine::{self, EngineName, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::record::{How, Role};
use crate::object::Identity;
use crate::snapshot::Snapshot;

/// What speaks against removing anything of the instance.
pub(super) fn reason(
    book: &Book,
    look: &Snapshot,
    life: &Life,
    judged: &[(&Recorded, Option<Reason>)],
    suspects: &[Suspect],
) -> Option<Reason> {
    match life {
        Life::Void => return Some(Reason::OtherBoot),
        Life::Live(evidence) => return Some(Reason::Live(evidence.clone())),
        Life::Unseen(evidence) => return Some(Reason::Unseen(evidence.clone())),
        Life::Dead(_) => {}
    }
    let held = judged.iter().find(|(_, own)| own.as_ref().is_some_and(Reason::holds_the_rest));
    if let Some((object, _)) = held {
        return Some(Reason::InstanceHeld(object.identity.to_string()));
    }
    if let Life::Dead(left) = life {
        let orphan = left.iter().find(|evidence| evidence.holder().is_some());
        if let Some(evidence) = orphan {
            return Some(Reason::OrphanLives(evidence.clone()));
        }
        if left.contains(&Evidence::HiddenProcesses) {
            return Some(Reason::Unseen(Evidence::HiddenProcesses));
        }
    }
    let foreign = suspects.iter().find(|suspect| suspect.doubt == Doubt::Foreign);
    if let Some(suspect) = foreign {
        return Some(Reason::ListedStays(suspect.identity.to_string()));
    }
    // What is listed and lies where it cannot be reached from here must not lose its list.
    let elsewhere = judged.iter().find(|(object, own)| {
        matches!(object.role, Role::Control | Role::Dynamic) && *own == Some(Reason::OtherMount)
    });
    if let Some((object, _)) = elsewhere {
        return Some(Reason::ListedStays(object.identity.to_string()));
    }
    // Asked once a run: it takes a walk over all objects.
    let mut runs: BTreeSet<u64> = judged.iter().map(|(object, _)| object.run).collect();
    runs.retain(|run| book.runs.get(run).is_some_and(|run| attribute::is_postgres(book, run)));
    let left = judged.iter().filter(|(object, own)| own.is_none() && runs.contains(&object.run));
    let mut unknown = left.filter_map(|(object, _)| not_understood(book, object, look));
    unknown.next().map(Reason::UnknownLayout)
}

/// A run whose life cannot be seen from here and whose server could come by the object.
#[must_use]
pub fn unseen_user(book: &Book, life: &Life, object: &Recorded) -> Option<Reason> {
    let Life::Dead(left) = life else { return None };
    let may_use = |evidence: &&Evidence| match evidence {
        Evidence::OtherPids { run } => {
            book.runs.get(run).is_some_and(|run| book.may_use(run, object))
        }
        _ => false,
    };
    left.iter().find(may_use).map(|evidence| Reason::Unseen(evidence.clone()))
}

/// What is not known of a PostgreSQL, whose main segment must go last and whose lists must be
/// complete.
fn not_understood(book: &Book, object: &Recorded, look: &Snapshot) -> Option<String> {
    let run = book.runs.get(&object.run)?;
    match attribute::major(run, look) {
        None => return Some("the major version of the server is not known".to_owned()),
        Some(major) if !postgres::MAJORS.contains(&major) => {
            return Some(format!("PostgreSQL {major} is not known to this shmwarden"));
        }
        Some(_) => {}
    }
    match (&object.identity, object.role) {
        (_, Role::Control) => {
            let same = |known: &Identity| known.has_number_of(&object.identity);
            match look.controls.iter().find(|(known, _)| same(known)) {
                None => Some("its control segment could not be read".to_owned()),
                Some((_, bytes)) => postgres::listed(bytes, attribute::major(run, look)).err(),
            }
        }
        (Identity::Shm(segment), Role::Main | Role::Other) => {
            let by_postmaster =
                run.claims.iter().any(|claim| claim.process.pid == segment.creator_pid);
            if !by_postmaster {
                return None;
            }
            let Some(bytes) = look.headers.get(&segment.id) else {
                return Some(format!("the header of segment {} could not be read", segment.id));
            };
            let header = postgres::header(bytes);
            if object.role == Role::Main && header.is_none() {
                return Some("its main segment does not begin as one does".to_owned());
            }
            let names_control = header.is_some_and(|header| header.control != 0);
            let mount = book.places.get(object.place).map(|place| &place.shm_mount);
            let elsewhere = names_control && mount != Some(&look.place.shm_mount);
            elsewhere.then(|| "its /dev/shm is another one than this".to_owned())
        }
        _ => None,
    }
}

/// Returns the reason against an object that came in by the fork count, which is no proof: older
/// versions recorded such.
#[must_use]
pub fn unproven(object: &Recorded) -> Option<Reason> {
    (object.how == How::ForkCount).then_some(Reason::PidReused)
}

/// Returns the reason for an object that its server may have left on purpose: after a clean exit of
/// a kind that does not leak then, or, where nobody saw how a generic server ended, for what its
/// next start can find again.
#[must_use]
pub fn clean_end(book: &Book, object: &Recorded, policy: &Policy) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    // A removal that was begun is finished, whatever the options are now.
    if policy.include_clean || object.standing == Standing::Intended {
        return None;
    }
    let leaks = run.claims.iter().any(|claim| engine::leaks_on_clean_exit(claim.engine));
    if run.ended_cleanly() && !leaks {
        return Some(Reason::LeftClean);
    }
    let may_be_kept = object.identity.is_findable() && is_generic(book, run);
    (may_be_kept && !run.was_seen_to_end() && !run.was_seen_to_crash())
        .then_some(Reason::LeftUnseen)
}

/// Checks that nothing known of a run's server tells what it leaves: no claim is of a known engine,
/// and no segment of it was ever known for a main segment.
#[must_use]
pub fn is_generic(book: &Book, run: &Run) -> bool {
    let is_main = |object: &Recorded| object.run == run.start.run && object.role == Role::Main;
    run.claims.iter().all(|claim| claim.engine == EngineName::Generic)
        && !book.objects.values().any(is_main)
}
