//! What `list` shows: a table with totals and advice, or a document.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use shmwarden::judge::status::{Judged, Status};

use super::columns::{Column, VERDICT};
use crate::ledgers::robbery::{self, Lost};
use crate::render::object::{self, Object};
use crate::render::places::Place;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::render::table::{self, Heading, Style, Table};
use crate::render::{json, places, text};

/// The appearance of a table.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(crate) columns: Vec<&'static Column>,
    pub(crate) in_bytes: bool,
    /// Column names, totals and advice, too.
    pub(crate) headings: bool,
    /// Every place where ledgers were looked for.
    pub(crate) all_places: bool,
    /// Set where these are all objects that exist, not a selection.
    pub(crate) complete: bool,
    pub(crate) screen: Screen,
}

#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: u32,
    boot_id: &'a str,
    ipc_namespace: &'a str,
    objects: Vec<Object<'a>>,
    robbed: Vec<Value>,
    looked: Vec<Place>,
}

/// The document.
pub(crate) fn document<'a>(objects: &[Judged<'_>], shown: &'a Shown<'_>) -> Document<'a> {
    let place = &shown.view.look.place;
    Document {
        schema: json::SCHEMA,
        boot_id: &place.boot,
        ipc_namespace: &place.ipc_namespace,
        objects: objects.iter().map(|one| object::document(one, shown)).collect(),
        robbed: shown
            .view
            .robbed
            .iter()
            .map(|(account, lost)| robbed(*account, lost, shown))
            .collect(),
        looked: places::document(&shown.view.looked),
    }
}

/// Something that a living server was robbed of.
fn robbed(account: usize, lost: &Lost, shown: &Shown<'_>) -> Value {
    let source = shown.view.source(Some(account));
    let more = json!({
        "object": lost.name,
        "loss": lost.loss.word(),
        "at": lost.at.map(json::time),
        "instance": shown.instance(Some(account)),
        "ledger": source.map(|source| source.path.to_string_lossy()),
        "engine": lost.engine,
        "pid": lost.server.pid,
    });
    json::object(lost.identity.as_ref(), more)
}

/// The text for people.
pub(crate) fn text(objects: &[Judged<'_>], shown: &Shown<'_>, looks: &Looks) -> String {
    let screen = looks.screen;
    let most = screen.size.map(|(columns, _)| columns);
    let mut out = String::new();
    if !objects.is_empty() {
        let columns = looks.columns.clone();
        let paint = move |index: usize, cell: Option<&str>, text: String| {
            let word = match (columns.get(index), cell) {
                (_, None) => return screen.bold(text),
                (Some(column), Some(word)) if column.name == VERDICT => word,
                _ => return text,
            };
            match Status::ALL.into_iter().find(|known| known.word() == word) {
                Some(verdict) => screen.verdict(verdict, text),
                None => text,
            }
        };
        let style = Style {
            headings: looks.headings,
            most,
            paint: if screen.colour { Some(&paint) } else { None },
        };
        table(objects, shown, looks).print(style, &mut out);
    }
    if looks.headings {
        for line in closing(objects, shown, looks) {
            out.push_str(&most.map_or_else(|| line.clone(), |most| table::cut_line(&line, most)));
            out.push('\n');
        }
    }
    out
}

fn table(objects: &[Judged<'_>], shown: &Shown<'_>, looks: &Looks) -> Table {
    let columns = looks.columns.iter().map(|column| Heading {
        name: column.name.to_uppercase(),
        right: column.right,
        may_shrink: column.may_shrink,
    });
    let mut table = Table::new(columns.collect());
    table.reserve(objects.len());
    for one in objects {
        for column in &looks.columns {
            table.add(|out| column.write(one, shown, looks.in_bytes, out));
        }
    }
    table
}

/// What is to be done about servers that are not covered.
const UNCOVERED: &str = "what a crash leaves stays: `shmwarden status` says what to do";

/// Totals, and what to do next.
fn closing(objects: &[Judged<'_>], shown: &Shown<'_>, looks: &Looks) -> Vec<String> {
    let mut robbed = Vec::new();
    for lost in shown.view.robbed_accounts().into_values() {
        let named = lost.iter().map(|one| (one.name.as_str(), one.loss));
        let said = lost.first().map(|one| robbery::sentence(one.engine, one.server.pid, named));
        robbed.extend(
            said.map(|said| format!("robbed: {}; {}", text::escaped(&said), robbery::ADVICE)),
        );
    }
    match shown.view.exposed.len() {
        0 => {}
        1 => robbed.push(format!("uncovered: 1 database server; {UNCOVERED}")),
        count => robbed.push(format!("uncovered: {count} database servers; {UNCOVERED}")),
    }
    if objects.is_empty() {
        let none = match (looks.complete, looked_everywhere(shown)) {
            (false, _) => "no such objects",
            (true, true) => "no objects",
            (true, false) => "no objects that show; not everything could be looked at",
        };
        robbed.insert(0, none.to_owned());
        return robbed;
    }
    let mut totals: BTreeMap<Status, (u64, u64)> = BTreeMap::new();
    for one in objects {
        let (count, bytes) = totals.entry(one.verdict).or_default();
        *count += 1;
        *bytes = bytes.saturating_add(one.subject.bytes().unwrap_or(0));
    }
    let words: Vec<String> = totals
        .iter()
        .map(|(verdict, (count, bytes))| {
            format!("{count} {}, {}", verdict.word(), text::size(*bytes))
        })
        .collect();
    let mut lines = vec![String::new(), words.join("; ")];
    let unlooked = shown.view.unlooked.iter();
    let unlooked = unlooked.filter(|place| !place.is_barred());
    let unlooked = unlooked.filter(|place| objects.iter().any(|one| place.concerns(one.subject)));
    let advice = advice(&totals, shown.view.errors.len(), unlooked.count(), robbed);
    match advice.is_empty() {
        true => lines.push(nothing_to_do(&totals, shown, looks.complete)),
        false => lines.extend(advice),
    }
    let owners: BTreeSet<u32> = objects.iter().map(|one| one.subject.owner().0).collect();
    if owners.into_iter().any(|uid| shown.user(uid).is_none()) {
        lines.push("?  after an owner: there is no such account any more".to_owned());
    }
    lines.push(places::line(&shown.view.looked, looks.all_places));
    lines
}

/// Names the next command to run, robberies first. It tells too how many ledgers could not be read,
/// and how many places that may have some could not be looked at.
fn advice(
    totals: &BTreeMap<Status, (u64, u64)>,
    unread: usize,
    unlooked: usize,
    robbed: Vec<String>,
) -> Vec<String> {
    let has = |verdict| totals.contains_key(&verdict);
    let mut lines = robbed;
    let known = [
        (Status::Stale, "stale: `shmwarden sweep` removes it"),
        (
            Status::Held,
            "held: `shmwarden who ID` names who holds it; `shmwarden sweep` removes it afterwards",
        ),
        (
            Status::Orphan,
            "orphan: no ledger has it and nobody uses it; `shmwarden adopt --dry-run` says what \
             can be taken for `shmwarden sweep` to remove",
        ),
        (
            Status::Left,
            "left: `shmwarden sweep --include-clean` removes what a server left on purpose",
        ),
    ];
    for (verdict, line) in known {
        if has(verdict) {
            lines.push(line.to_owned());
        }
    }
    if unread > 0 {
        let what = if unread == 1 { "a ledger" } else { "ledgers" };
        lines.push(format!("{what} could not be read: what is in there is not known here"));
    } else if unlooked > 0 {
        let line = "not every place of ledgers could be looked at: what is recorded there is not \
                    known here";
        lines.push(line.to_owned());
    }
    lines
}

/// Checks that every table and every place of ledgers was read.
fn looked_everywhere(shown: &Shown<'_>) -> bool {
    let look = &shown.view.look;
    look.segments.is_whole()
        && look.sets.is_whole()
        && look.queues.is_whole()
        && look.files.is_whole()
        && look.processes.is_whole()
        && shown.view.unlooked.is_empty()
}

/// Says that nothing is to be done, and no more of dead servers than was seen.
fn nothing_to_do(
    totals: &BTreeMap<Status, (u64, u64)>,
    shown: &Shown<'_>,
    complete: bool,
) -> String {
    let unexplained =
        |status: &Status| matches!(status, Status::Unrecorded | Status::Changed | Status::Idle);
    let unexplained = totals.iter().filter(|(status, _)| unexplained(status));
    let unexplained: u64 = unexplained.map(|(_, (count, _))| count).sum();
    if !complete {
        "nothing to be done about these; what was not asked for is not among them".to_owned()
    } else if !looked_everywhere(shown) {
        "nothing to be done that shows; not everything could be looked at".to_owned()
    } else if unexplained > 0 {
        format!(
            "nothing is proven to be left by a dead server; {unexplained} in no ledger are used, \
             or may be: `shmwarden list -v` says why each is no orphan"
        )
    } else {
        "nothing to be done: no dead server left anything here".to_owned()
    }
}
