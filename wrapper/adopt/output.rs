//! The output of `adopt`: groups by owner and key family for people, a document for scripts.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use shmwarden::ledger::record::How;
use shmwarden::object::Identity;
use shmwarden::snapshot::subject::Kind;

use super::args::KeyFamily;
use super::select::Candidate;
use crate::ledgers::Looked;
use crate::render::table::{Heading, Style, Table};
use crate::render::{json, places, text};

/// Most objects of a group that are named in its row.
const NAMED: usize = 6;

/// The document.
pub(crate) fn document(
    candidates: &[Candidate],
    looked: &[Looked],
    ledger: &Path,
    dry_run: bool,
) -> Value {
    json!({
        "schema": json::SCHEMA,
        "dry_run": dry_run,
        "ledger": ledger.to_string_lossy(),
        "objects": candidates.iter().map(|one| object(one, dry_run)).collect::<Vec<_>>(),
        "looked": places::document(looked),
    })
}

fn object(one: &Candidate, dry_run: bool) -> Value {
    let (code, reason) = one.reason();
    let more = json!({
        "bytes": one.bytes,
        "uid": one.uid,
        "outcome": outcome(one, dry_run),
        "reason_code": code,
        "reason": reason,
        "along": one.along,
    });
    json::object(Some(&one.identity), more)
}

fn outcome(one: &Candidate, dry_run: bool) -> &'static str {
    match (one.is_taken(), dry_run) {
        (true, true) => "would-adopt",
        (true, false) => "adopted",
        (false, _) => "refused",
    }
}

/// The text: what is taken in groups, what is not by reason, and each object where that is asked
/// for or was named.
pub(crate) fn text(all: &[Candidate], ledger: &Path, dry_run: bool, verbose: bool) -> String {
    let mut out = String::new();
    let taken: Vec<&Candidate> = all.iter().filter(|one| one.is_taken()).collect();
    if !taken.is_empty() {
        groups(&taken).print(Style { headings: true, most: None, paint: None }, &mut out);
        out.push('\n');
    }
    for one in all.iter().filter(|one| verbose || is_refused_by_name(one)) {
        let (_, reason) = one.reason();
        let bytes = one.bytes.map_or_else(String::new, |bytes| format!(", {}", text::size(bytes)));
        let what = format!("{}{bytes}", one.identity);
        out.push_str(&format!("{:<11} {what}: {reason}\n", outcome(one, dry_run)));
    }
    out.push_str(&total(all, ledger, dry_run));
    out.push_str(&left(all));
    out
}

/// Returns what is taken, by owner, kind and key family.
fn groups(taken: &[&Candidate]) -> Table {
    let mut groups: BTreeMap<(u32, Kind, Option<KeyFamily>, bool), Vec<&Candidate>> =
        BTreeMap::new();
    for &one in taken {
        let private = one.key == Some(0);
        let family = one.key.filter(|key| *key != 0).map(KeyFamily::around);
        groups.entry((one.uid, one.kind, family, private)).or_default().push(one);
    }
    let heading = |name: &str, right| Heading { name: name.to_owned(), right, may_shrink: false };
    let names = [("OWNER", false), ("KIND", false), ("KEYS", false), ("OBJECTS", true)];
    let more = [("SIZE", true), ("OLDEST", true), ("ID", false)];
    let all = names.into_iter().chain(more);
    let mut table = Table::new(all.map(|(name, right)| heading(name, right)).collect());
    let mut users = BTreeMap::new();
    for ((uid, kind, family, private), members) in groups {
        let owner = users.entry(uid).or_insert_with(|| user(uid));
        let keys = match family {
            Some(family) => family.to_string(),
            None if private => "private".to_owned(),
            None => "-".to_owned(),
        };
        let bytes: u64 = members.iter().filter_map(|one| one.bytes).sum();
        let sized = members.iter().any(|one| one.bytes.is_some());
        let oldest = members.iter().filter_map(|one| one.age).max();
        table.add(|out| out.push_str(owner));
        table.add(|out| out.push_str(kind.word()));
        table.add(|out| out.push_str(&keys));
        table.add(|out| out.push_str(&members.len().to_string()));
        table.add(|out| out.push_str(&if sized { text::size(bytes) } else { "-".to_owned() }));
        table.add(|out| match oldest {
            Some(age) => text::span(age.as_secs(), out),
            None => out.push('-'),
        });
        table.add(|out| out.push_str(&ids(&members)));
    }
    table
}

fn ids(members: &[&Candidate]) -> String {
    let shown = members.iter().take(NAMED);
    let mut words: Vec<String> = shown.map(|one| id(one)).collect();
    if members.len() > NAMED {
        words.push(format!("and {} more", members.len() - NAMED));
    }
    words.join(" ")
}

fn id(one: &Candidate) -> String {
    match &one.identity {
        Identity::Shm(segment) => segment.id.to_string(),
        Identity::Sem(set) => set.id.to_string(),
        Identity::Msg(queue) => queue.id.to_string(),
        Identity::Posix(file) => format!("/{}", text::safe(&file.name.lossy())),
    }
}

/// A number of objects, in words.
pub(crate) fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

/// Returns a line on how much is taken, and what comes next.
pub(crate) fn total(all: &[Candidate], ledger: &Path, dry_run: bool) -> String {
    let taken: Vec<&Candidate> = all.iter().filter(|one| one.is_taken()).collect();
    let ledger = text::safe(&ledger.to_string_lossy());
    if taken.is_empty() {
        return "nothing to adopt\n".to_owned();
    }
    let bytes: u64 = taken.iter().filter_map(|one| one.bytes).sum();
    let what = format!("{}, {}", objects(taken.len()), text::size(bytes));
    match dry_run {
        true => format!("{what}, can be adopted into {ledger}\n"),
        false => format!("{what}, adopted into {ledger}; `shmwarden sweep` removes them\n"),
    }
}

/// Checks that it was named and is refused: that is told by itself.
fn is_refused_by_name(one: &Candidate) -> bool {
    one.how == How::Named && !one.is_taken()
}

/// Returns what was left alone of the rest, by reason.
fn left(all: &[Candidate]) -> String {
    let mut reasons: BTreeMap<&'static str, (usize, Option<&Candidate>)> = BTreeMap::new();
    for one in all.iter().filter(|one| !one.is_taken() && !is_refused_by_name(one)) {
        let (code, _) = one.reason();
        let (count, example) = reasons.entry(code).or_default();
        *count += 1;
        *example = example.or(Some(one));
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut out = String::from("left alone:\n");
    for (code, (count, example)) in reasons {
        let reason = example.map_or_else(String::new, |one| {
            let (_, reason) = one.reason();
            format!("{}: {reason}", one.identity)
        });
        let more = if count > 1 { "e.g. " } else { "" };
        out.push_str(&format!("  {count:>5}  {code:<18} {more}{reason}\n"));
    }
    out
}

/// A user by name; a number without an account has a mark.
fn user(uid: u32) -> String {
    text::user_name(uid).map_or_else(|| format!("{uid}?"), |name| text::safe(&name))
}
