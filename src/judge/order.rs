//! PostgreSQL's order, as the plan has it: while anything that a server's own list names is there
//! and does not go, recorded or not, the list stays, and what leads to the list. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Absent, Action, Kept, Reason};
use crate::attribute::is_here;
use crate::attribute::listed::{self, Bearer, Name};
use crate::ledger::Book;
use crate::ledger::record::Role;
use crate::object::Identity;
use crate::snapshot::Snapshot;

/// Turns the removals of lists, and of what leads to them, into reasons to keep where something
/// that they name stays or may be there; the others get the names that have to be gone before.
pub(super) fn keep_with_what_they_name(
    book: &Book,
    look: &Snapshot,
    verdicts: Vec<Action>,
) -> Vec<Action> {
    let named = listed::names(book, look);
    let going = Going::of(&verdicts);
    let mut stays: BTreeMap<u64, String> = BTreeMap::new();
    for list in &named {
        if let Some(name) = list.names.iter().find(|name| !going.takes(name, look)) {
            stays.entry(list.run).or_insert_with(|| name.to_string());
        }
    }
    // Nor goes what leads to a list that stays, where its header was not read.
    let kept = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Keep(kept) => book.objects.get(&kept.object?),
        Action::Remove(_) | Action::Forget(_) => None,
    });
    for list in kept.filter(|list| list.role == Role::Control && is_here(book, list, look)) {
        stays.entry(list.run).or_insert_with(|| list.identity.to_string());
    }
    let run_of = |object: u64| book.objects.get(&object).map(|object| object.run);
    let of_list = |role| matches!(role, Role::Main | Role::Control);
    let judge = |verdict| match verdict {
        Action::Remove(mut removal) if of_list(removal.role) => {
            let run = run_of(removal.object);
            if let Some(what) = run.and_then(|run| stays.get(&run)) {
                return Action::Keep(Kept {
                    object: Some(removal.object),
                    identity: removal.identity,
                    reason: Reason::ListedStays(what.clone()),
                    holders: Vec::new(),
                });
            }
            let first = |list: &&listed::Named| match removal.role {
                Role::Main => Some(list.run) == run,
                _ => list.object == removal.object,
            };
            let names = named.iter().filter(first).flat_map(|list| list.names.clone());
            removal.absent = Absent { names: names.collect(), mount: look.place.shm_mount.clone() };
            Action::Remove(removal)
        }
        other => other,
    };
    verdicts.into_iter().map(judge).collect()
}

/// The objects that are to be removed, by number and name.
#[derive(Default)]
struct Going {
    segments: BTreeSet<i32>,
    files: BTreeSet<Vec<u8>>,
}

impl Going {
    fn of(verdicts: &[Action]) -> Self {
        let mut going = Self::default();
        for verdict in verdicts {
            let Action::Remove(removal) = verdict else { continue };
            match &removal.identity {
                Identity::Shm(segment) => drop(going.segments.insert(segment.id)),
                Identity::Posix(file) => drop(going.files.insert(file.name.0.clone())),
                Identity::Sem(_) | Identity::Msg(_) => {}
            }
        }
        going
    }

    /// Checks that whatever bears a name goes.
    fn takes(&self, name: &Name, look: &Snapshot) -> bool {
        listed::bearers(name, look).iter().all(|bearer| match bearer {
            Bearer::Object(Identity::Shm(segment)) => self.segments.contains(&segment.id),
            Bearer::Object(Identity::Posix(file)) => self.files.contains(&file.name.0),
            Bearer::Object(_) | Bearer::Unknown => false,
        })
    }
}
