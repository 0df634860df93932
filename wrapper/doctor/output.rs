//! The output of `doctor`: limits with bars, leaks, findings with what to do; and a message
//! explained.

use nix::errno::Errno;
use serde_json::{Value, json};
use shmwarden::judge::status::Status;
use shmwarden::judge::status::leaks::Leak;

use super::check::{Checked, is_unseen};
use super::explain::{Answer, Message, errno_name};
use super::leaks::{Asker, fix};
use crate::finding::{Finding, Level};
use crate::host::limit::{Limit, NO_LIMIT};
use crate::render::json::SCHEMA;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::render::table::{Heading, Paint, Style, Table};
use crate::render::{places, text};

/// Characters of a bar.
const BAR: u64 = 8;
/// Most leaks that are listed for people, by owner and instance.
const MOST_LEAKS: usize = 25;

/// The document.
pub(crate) fn document(checked: &Checked, shown: &Shown<'_>) -> Value {
    let leaks = checked.leaks.iter().map(|leak| {
        json!({
            "uid": leak.uid,
            "owner": shown.user(leak.uid),
            "instance": shown.instance(leak.account),
            "objects": leak.objects,
            "bytes": leak.bytes,
            "verdict": leak.verdict.word(),
            "fix": fix(leak, Asker::of(&shown.view.look)),
        })
    });
    json!({
        "schema": SCHEMA,
        "limits": checked.limits,
        "leaks": leaks.collect::<Vec<_>>(),
        "findings": checked.findings,
        "looked": places::document(&shown.view.looked),
    })
}

/// The text for people; `all` shows what is in order, too.
pub(crate) fn text(checked: &Checked, shown: &Shown<'_>, screen: Screen, all: bool) -> String {
    let mut out = String::new();
    limits(&checked.limits, screen, &mut out);
    if !checked.leaks.is_empty() {
        out.push('\n');
        leaks(&checked.leaks, shown, screen, &mut out);
    }
    out.push('\n');
    let is_shown = |finding: &&Finding| all || finding.level != Level::Ok || is_unseen(finding);
    for finding in checked.findings.iter().filter(is_shown) {
        let level = finding.level.word();
        let head = screen.level(finding.level, format!("{level:<4}"));
        let body = screen.wrapped(&text::escaped(&finding.text), 6);
        out.push_str(&format!("{head}  {body}\n"));
        if let Some(fix) = &finding.fix {
            let fix = screen.wrapped(&text::verbatim(fix), 9);
            out.push_str(&format!("      -> {fix}\n"));
        }
    }
    let fine = checked.findings.iter().filter(|finding| !is_shown(finding)).count();
    if !all && fine > 0 {
        let checks = if fine == 1 { "check is" } else { "checks are" };
        let ok = screen.level(Level::Ok, "ok  ".to_owned());
        out.push_str(&format!("{ok}  {fine} {checks} fine (-v shows them)\n"));
    }
    let worst = checked.findings.iter().find(|finding| finding.level != Level::Ok);
    let next = worst.and_then(|finding| finding.fix.as_deref()).map(first_step);
    let next = next.map_or_else(
        || "nothing to be done".to_owned(),
        |next| format!("next: {}", text::verbatim(next)),
    );
    out.push('\n');
    out.push_str(&screen.wrapped(&next, 6));
    out.push('\n');
    out
}

/// The first of several steps.
fn first_step(fix: &str) -> &str {
    let step = fix.split("; ").next().unwrap_or(fix);
    step.split(", then ").next().unwrap_or(step)
}

fn limits(limits: &[Limit], screen: Screen, out: &mut String) {
    let names = [("LIMIT", false), ("USED", true), ("MOST", true), ("FULL", true)];
    let names = names.into_iter().chain([("", false), ("LEAKED", true), ("OF", false)]);
    let mut table = Table::new(names.map(|(name, right)| heading(name, right)).collect());
    for limit in limits {
        let percent = limit.percent();
        let cells = [
            limit.name.to_owned(),
            amount(limit, limit.used),
            amount(limit, limit.limit),
            percent.map_or_else(String::new, |percent| format!("{percent} %")),
            percent.map_or_else(String::new, bar),
            limit
                .leaked
                .filter(|leaked| *leaked > 0)
                .map_or_else(String::new, |leaked| amount(limit, Some(leaked))),
            limit.what.to_owned(),
        ];
        for cell in cells {
            table.add(|out| out.push_str(&cell));
        }
    }
    let levels: Vec<(String, Level)> =
        limits.iter().map(|limit| (limit.name.to_owned(), limit.level())).collect();
    let paint = move |column: usize, cell: Option<&str>, text: String| match cell {
        None => screen.bold(text),
        Some(name) if column == 0 => {
            let level = levels.iter().find(|(known, _)| known == name).map(|(_, level)| *level);
            match level {
                Some(level @ (Level::Bad | Level::Warn)) => screen.level(level, text),
                _ => text,
            }
        }
        Some(_) => text,
    };
    print(&table, &paint, screen, out);
}

fn leaks(leaks: &[Leak], shown: &Shown<'_>, screen: Screen, out: &mut String) {
    let names = [("LEAKED BY", false), ("INSTANCE", false), ("VERDICT", false), ("OBJECTS", true)];
    let names = names.into_iter().chain([("BYTES", true), ("KINDS", false), ("FREED BY", false)]);
    let mut table = Table::new(names.map(|(name, right)| heading(name, right)).collect());
    for leak in leaks.iter().take(MOST_LEAKS) {
        let kinds = leak.kinds.keys().map(|kind| kind.word());
        let instance = shown.instance(leak.account).map_or_else(|| "-".to_owned(), text::safe);
        let cells = [
            shown.user_or_number(leak.uid),
            instance,
            leak.verdict.word().to_owned(),
            leak.objects.to_string(),
            text::size(leak.bytes),
            kinds.collect::<Vec<_>>().join(","),
            freed_by(leak, shown),
        ];
        for cell in cells {
            table.add(|out| out.push_str(&cell));
        }
    }
    let verdicts = move |_: usize, cell: Option<&str>, text: String| match cell {
        None => screen.bold(text),
        Some(word) => match Status::ALL.into_iter().find(|known| known.word() == word) {
            Some(verdict) => screen.verdict(verdict, text),
            None => text,
        },
    };
    print(&table, &verdicts, screen, out);
    if leaks.len() > MOST_LEAKS {
        out.push_str(&format!("and {} more; --json lists all\n", leaks.len() - MOST_LEAKS));
    }
}

/// The command as far as the column has room for it: `adopt` asks before it takes anything.
fn freed_by(leak: &Leak, shown: &Shown<'_>) -> String {
    let command = fix(leak, Asker::of(&shown.view.look)).replacen("shmwarden ", "", 1);
    command.trim_end_matches(" --dry-run").to_owned()
}

fn print(table: &Table, paint: &Paint, screen: Screen, out: &mut String) {
    let most = screen.size.map(|(columns, _)| columns);
    table.print(Style { headings: true, most, paint: screen.colour.then_some(paint) }, out);
}

fn heading(name: &str, right: bool) -> Heading {
    Heading { name: name.to_owned(), right, may_shrink: false }
}

/// An amount of what a limit counts; a size where that has one.
fn amount(limit: &Limit, amount: Option<u64>) -> String {
    match (amount, limit.unit_bytes) {
        (None, _) => "-".to_owned(),
        (Some(amount), _) if amount >= NO_LIMIT => "no limit".to_owned(),
        (Some(amount), Some(bytes)) => text::size(amount.saturating_mul(bytes)),
        (Some(amount), None) => amount.to_string(),
    }
}

/// Draws how full something is. Nearly full is not full, and a little is not nothing.
fn bar(percent: u64) -> String {
    let full = usize::try_from((percent.min(100) * BAR).div_ceil(100)).unwrap_or(0);
    format!("[{:<width$}]", "#".repeat(full), width = BAR as usize)
}

/// A message explained, for people.
pub(crate) fn explanation(answer: &Answer, screen: Screen) -> String {
    let mut out = format!("{}\n", screen.wrapped(&answer.means, 0));
    for (title, lines) in [("on this machine", &answer.here), ("what to do", &answer.run)] {
        if lines.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}\n", screen.bold(format!("{title}:"))));
        for line in lines {
            out.push_str(&format!("  - {}\n", screen.wrapped(line, 4)));
        }
    }
    out
}

/// A message explained, as a document: what it says, and behind that the answer.
pub(crate) fn explained(message: &Message, answer: &Answer) -> Value {
    json!({
        "schema": SCHEMA,
        "recognised": true,
        "message": message.topic.word(),
        "call": message.topic.call(),
        "errno": message.errno.map(errno_name),
        "key": message.key.map(|key| format!("0x{key:08x}")),
        "id": message.id,
        "name": message.name,
        "bytes": message.bytes,
        "pid": message.pid,
        "means": answer.means,
        "here": answer.here,
        "run": answer.run,
    })
}

/// The document for a message that is not known.
pub(crate) fn unknown_message(errno: Option<Errno>) -> Value {
    json!({ "schema": SCHEMA, "recognised": false, "errno": errno.map(errno_name) })
}
