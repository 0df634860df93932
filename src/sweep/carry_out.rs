//! Acting on the verdicts in their order; after a removal that did not succeed, what comes later
//! of the same group stays.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::again::Again;
use super::hands::Hands;
use super::remove::{self, Done};
use super::report::{Fate, Settled};
use super::without_process::WithoutProcess;
use crate::error::Result;
use crate::judge::{self, Action, Reason, Removal};
use crate::ledger::Ledger;
use crate::ledger::book::Standing;
use crate::ledger::record::{Outcome, Record};
use crate::object::Identity;

/// Acts on each verdict in turn; after a removal that did not succeed, what comes later of the same
/// group stays.
pub(super) fn carry_out(
    verdicts: &[Action],
    ledger: &mut Ledger,
    adopted_users: &mut WithoutProcess,
) -> Result<Vec<Settled>> {
    let mut done = Vec::new();
    let mut stays: BTreeMap<u64, String> = BTreeMap::new();
    let mut again = Again::default();
    let removals = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Remove(removal) => Some(removal),
        Action::Keep(_) | Action::Forget(_) => None,
    });
    let mut hands = Hands::of(ledger, removals);
    for verdict in verdicts {
        if let Some(kept) = kept_object(verdict) {
            done.push(kept);
        }
        match verdict {
            Action::Keep(_) => {}
            Action::Forget(object) => {
                note_gone(ledger, object.number, &object.standing)?;
                done.push(settled(&object.identity, Fate::Gone, "it is not there any more"));
            }
            Action::Remove(removal) => {
                let identity = removal.identity().clone();
                let reason = match stays.get(&removal.group()) {
                    Some(earlier) => Some(Reason::EarlierStays(earlier.clone())),
                    None => adopted_users.reason(removal, &mut hands)?,
                };
                if let Some(reason) = reason {
                    stays.entry(removal.group()).or_insert_with(|| identity.to_string());
                    let evidence = reason.to_string();
                    done.push(settled(&identity, Fate::Kept(reason), &evidence));
                    continue;
                }
                // What was removed before is told all the same.
                let result = try_to_remove(removal, ledger, &mut again, &mut hands);
                let result = result.unwrap_or_else(|error| {
                    let why = error.to_string();
                    settled(&identity, Fate::Failed(why.clone()), &why)
                });
                if !matches!(result.result, Fate::Removed | Fate::Gone | Fate::WouldRemove)
                    && !is_refused_call(&result)
                {
                    stays.insert(removal.group(), identity.to_string());
                }
                done.push(result);
            }
        }
    }
    match ledger.flush() {
        // Told with the objects whose removal could not be begun, and what was removed before.
        Err(_) if done.iter().any(|one| matches!(one.result, Fate::Failed(_))) => Ok(done),
        other => other.map(|()| done),
    }
}

/// No set or queue depends on another, and all memory has gone before them: where one cannot be
/// removed, and nobody uses it, the next is tried all the same.
fn is_refused_call(settled: &Settled) -> bool {
    settled.identity.call_creator().is_some() && matches!(settled.result, Fate::Failed(_))
}

fn try_to_remove(
    removal: &Removal,
    ledger: &mut Ledger,
    again: &mut Again,
    hands: &mut Hands<'_>,
) -> Result<Settled> {
    let identity = removal.identity();
    if ledger.pretends() {
        return Ok(settled(identity, Fate::WouldRemove, removal.evidence()));
    }
    let begun = SystemTime::now();
    let done = remove::remove_among(removal, ledger, again, hands)?;
    let took = begun.elapsed().unwrap_or_default();
    log::debug!("{identity}: {:?} in {} us", done.outcome(), took.as_micros());
    let detail = done.detail();
    let (fate, evidence) = match done {
        Done::Removed(_) => (Fate::Removed, removal.evidence().to_owned()),
        Done::Gone(_) => (Fate::Gone, detail),
        Done::Kept(reason) => (Fate::Kept(reason), detail),
        Done::Raced(why) => (Fate::Raced(why), detail),
        Done::Failed(why) => (Fate::Failed(why), detail),
    };
    let is_held = matches!(fate, Fate::Kept(_) | Fate::Raced(_));
    let mut settled = settled(identity, fate, &evidence);
    if is_held {
        settled.holders = judge::holders(identity, again.holders(identity, hands)?, true);
    }
    Ok(settled)
}

/// An object that has gone: by an earlier removal that did not live to say so, or by itself.
fn note_gone(ledger: &mut Ledger, object: u64, standing: &Standing) -> Result<()> {
    let record = if *standing == Standing::Intended {
        let detail = "gone after a removal whose outcome was not written".to_owned();
        Record::Outcome { object, outcome: Outcome::Gone, detail }
    } else {
        Record::Gone { object }
    };
    ledger.note(record)
}

pub(super) fn kept_object(verdict: &Action) -> Option<Settled> {
    let Action::Keep(kept) = verdict else {
        return None;
    };
    let evidence = kept.reason.to_string();
    let mut settled = settled(&kept.identity, Fate::Kept(kept.reason.clone()), &evidence);
    settled.holders.clone_from(&kept.holders);
    settled.recorded = kept.object.is_some();
    Some(settled)
}

fn settled(identity: &Identity, result: Fate, evidence: &str) -> Settled {
    let (identity, evidence) = (identity.clone(), evidence.to_owned());
    Settled { identity, result, evidence, holders: Vec::new(), recorded: true }
}
