//! The output of `sweep` for each ledger: lines for people, a document for scripts.

use serde_json::{Value, json};
use shmwarden::judge;
use shmwarden::sweep::{Fate, Settled, State};

use super::ledger::{Finding, Swept};
use crate::ledgers::Looked;
use crate::render::json::{self, Holder};
use crate::render::{places, text};

/// The words on a ledger that cannot be had.
const LOCKED: &str = "locked: another process has locked the ledger; nothing was touched; \
                      fuser names it, and a later sweep goes on here";

/// The document.
pub(crate) fn document(swept: &[Swept], looked: &[Looked], dry_run: bool) -> Value {
    let all = || swept.iter().flat_map(Swept::objects);
    let count = |is: fn(&Fate) -> bool| all().filter(|object| is(&object.result)).count();
    let removed = all().filter(|object| object.result == Fate::Removed);
    json!({
        "schema": json::SCHEMA,
        "dry_run": dry_run,
        "ledgers": swept.iter().map(ledger).collect::<Vec<_>>(),
        "removed": count(|fate| *fate == Fate::Removed),
        "removed_bytes": removed.filter_map(|object| object.identity.bytes()).sum::<u64>(),
        "kept": count(|fate| matches!(fate, Fate::Kept(_))),
        "raced": count(|fate| matches!(fate, Fate::Raced(_))),
        "failed": count(|fate| matches!(fate, Fate::Failed(_))),
        "looked": places::document(looked),
    })
}

fn ledger(swept: &Swept) -> Value {
    let objects = swept.objects().map(|object| settled(object, &swept.instance));
    json!({
        "path": swept.path.to_string_lossy(),
        "instance": swept.instance,
        "state": state(&swept.finding),
        "error": swept.error(),
        "objects": objects.collect::<Vec<_>>(),
    })
}

fn state(finding: &Finding) -> &'static str {
    match finding {
        Finding::Settled(report) => match report.state {
            State::Live(_) => "live",
            State::Dead => "dead",
            State::Settled => "settled",
            State::Void => "void",
            State::Copy => "copy",
        },
        Finding::Busy(_) => "live",
        Finding::Locked => "locked",
        Finding::Missing => "missing",
        Finding::Damaged(_) => "damaged",
        Finding::Refused(..) => "refused",
    }
}

/// Outcome, reason code and reason of an object.
pub(crate) fn words(object: &Settled) -> (&'static str, &'static str, String) {
    let said = |outcome, code| (outcome, code, object.evidence.clone());
    match &object.result {
        Fate::Removed => said("removed", "dead"),
        Fate::Gone => said("gone", "gone"),
        Fate::Kept(reason) => ("kept", reason.code(), reason.to_string()),
        Fate::Raced(_) => said("raced", "raced"),
        Fate::Failed(_) => said("failed", "failed"),
        Fate::WouldRemove => said("would-remove", "dead"),
    }
}

fn settled(object: &Settled, instance: &str) -> Value {
    let (outcome, code, reason) = words(object);
    let holder = |held: &judge::Holder| {
        Holder::of(held, held.uid.map(text::user), None, held.orphan.then_some(instance))
    };
    let more = json!({
        "outcome": outcome,
        "reason_code": code,
        "reason": reason,
        "holders": object.holders.iter().map(holder).collect::<Vec<_>>(),
    });
    json::object(Some(&object.identity), more)
}

/// The lines.
pub(crate) fn lines(swept: &[Swept], dry_run: bool, verbose: bool) -> String {
    let mut out = String::new();
    let mut freed = 0;
    for ledger in swept {
        let name = text::safe(&ledger.instance);
        let mut said = false;
        let live = matches!(state(&ledger.finding), "live" | "locked");
        let copy = matches!(state(&ledger.finding), "copy");
        if live || copy {
            out.push_str(&format!("{name}: {}\n", summary(ledger)));
        }
        for object in ledger.objects().filter(|_| !live || verbose) {
            let (outcome, _, reason) = words(object);
            if object.result == Fate::Gone && !verbose {
                continue;
            }
            if matches!(object.result, Fate::Removed | Fate::WouldRemove) {
                freed += object.identity.bytes().unwrap_or(0);
            }
            said = true;
            let what = text::object(&object.identity);
            out.push_str(&format!("{name}: {outcome:<8} {what}: {reason}\n"));
            for holder in &object.holders {
                out.push_str(&format!("{name}:          held by {}\n", text::holder(holder)));
            }
        }
        if !live && !copy && (!said || verbose) {
            out.push_str(&format!("{name}: {}\n", summary(ledger)));
        }
    }
    if freed > 0 {
        let word = if dry_run { "would be freed" } else { "freed" };
        out.push_str(&format!("{} {word}\n", text::size(freed)));
    }
    out
}

fn summary(swept: &Swept) -> String {
    match &swept.finding {
        Finding::Settled(report) => match &report.state {
            State::Live(evidence) => format!("live: {evidence}; nothing was touched"),
            State::Dead => "dead".to_owned(),
            State::Settled => "nothing is left to be done".to_owned(),
            State::Void => {
                "void: it was written in another boot or namespace; nothing was removed".to_owned()
            }
            State::Copy => format!("copy: {}", text::COPY),
        },
        Finding::Busy(why) => format!("live: {why}; nothing was touched"),
        Finding::Locked => LOCKED.to_owned(),
        Finding::Missing => "there is no ledger yet".to_owned(),
        Finding::Damaged(why) | Finding::Refused(_, why) => text::escaped(why),
    }
}
