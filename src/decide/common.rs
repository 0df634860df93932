//! What speaks against removing anything of an instance. Pure.

use super::{Life, Policy, Reason};
use crate::attribute::{self, Doubt, Suspect};
use crate::engine::{self, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Standing};
use crate::ledger::record::{End, Role};
use crate::object::Identity;
use crate::observe::Observation;

/// What speaks against removing anything of the instance.
pub(super) fn reason(
    book: &Book,
    look: &Observation,
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
    let held = judged
        .iter()
        .find(|(_, own)| own.as_ref().is_some_and(Reason::is_held));
    if let Some((object, _)) = held {
        return Some(Reason::InstanceHeld(object.identity.to_string()));
    }
    if let Life::Dead(left) = life {
        if let Some(evidence) = left.first() {
            return Some(Reason::OrphanLives(evidence.clone()));
        }
    }
    let foreign = suspects
        .iter()
        .find(|suspect| suspect.doubt == Doubt::Foreign);
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
    judged.iter().find_map(|(object, own)| match own {
        Some(_) => None,
        None => not_understood(book, object, look).map(Reason::UnknownLayout),
    })
}

/// What is not known of a server whose main segment must go last and whose lists must be complete.
fn not_understood(book: &Book, object: &Recorded, look: &Observation) -> Option<String> {
    let run = book.runs.get(&object.run)?;
    if !attribute::is_postgres(book, run) {
        return None;
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
            let by_postmaster = run
                .claims
                .iter()
                .any(|claim| claim.process.pid == segment.creator_pid);
            if !by_postmaster {
                return None;
            }
            let Some(bytes) = look.headers.get(&segment.id) else {
                return Some(format!(
                    "the header of segment {} could not be read",
                    segment.id
                ));
            };
            let names_control = postgres::header(bytes).is_some_and(|header| header.control != 0);
            let mount = book.places.get(object.place).map(|place| &place.shm_mount);
            let elsewhere = names_control && mount != Some(&look.place.shm_mount);
            elsewhere.then(|| "its /dev/shm is another one than this".to_owned())
        }
        _ => None,
    }
}

/// Whether the server ended cleanly and is of a kind that does not leak then.
#[must_use]
pub fn clean_end(book: &Book, object: &Recorded, policy: &Policy) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    let clean = matches!(run.end, Some((End::Exit(0), _)));
    let leaks = run
        .claims
        .iter()
        .any(|claim| engine::leaks_on_clean_exit(claim.engine));
    // A removal that was begun is finished, whatever the options are now.
    let begun = object.standing == Standing::Intended;
    (clean && !leaks && !policy.include_clean && !begun).then_some(Reason::LeftClean)
}
