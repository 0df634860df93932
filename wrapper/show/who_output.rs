//! What `who` shows of each object: the processes that hold it, and what cannot be seen.

use serde::Serialize;
use shmwarden::engine::opengauss;
use shmwarden::judge::status::holders::{Held, Holding};
use shmwarden::judge::status::{Judged, Subject};
use shmwarden::object::Key;
use shmwarden::sys::shm::MODE_DEST;

use crate::render::object::{self, Object};
use crate::render::places::Place;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::render::table::{self, Heading, Style, Table};
use crate::render::{json, places, text};

/// Names of processes that are listed where many could not be looked into.
const NAMED: usize = 10;

#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: u32,
    objects: Vec<Object<'a>>,
    looked: Vec<Place>,
}

/// The document.
pub(crate) fn document<'a>(objects: &[Judged<'_>], shown: &'a Shown<'_>) -> Document<'a> {
    Document {
        schema: json::SCHEMA,
        objects: objects.iter().map(|one| object::document(one, shown)).collect(),
        looked: places::document(&shown.view.looked),
    }
}

/// The lines for people on one object.
pub(crate) fn lines(
    one: &Judged<'_>,
    holding: &Holding,
    shown: &Shown<'_>,
    screen: Screen,
) -> Vec<String> {
    let mut lines = vec![screen.bold(heading(one, shown))];
    if holding.holders.is_empty() && !is_uncertain(one.subject, holding) {
        lines.push("  nobody holds it".to_owned());
    }
    if !holding.holders.is_empty() {
        let width = screen.size.map(|(columns, _)| columns.saturating_sub(2));
        let style = Style { headings: true, most: width, paint: None };
        let mut table_text = String::new();
        table(holding, shown).print(style, &mut table_text);
        lines.extend(table_text.lines().map(|line| format!("  {line}")));
    }
    lines.extend(unseen(one.subject, holding, shown).map(|line| format!("  {line}")));
    let advised = holding.holders.iter().filter_map(|held| {
        let advice = held.holder.advice()?;
        Some(format!("  process {}: {advice}", held.holder.process.pid))
    });
    lines.extend(advised);
    lines.extend(port(one.subject).map(|line| format!("  {line}")));
    lines
}

/// Keys above a port's thousandfold that are worth a hint: a segment for each of so many servers,
/// or the sets of one with some hundred sessions.
const FAMILY: i32 = 100;

/// On which port a server would take such a key. Newer majors of PostgreSQL and other programs take
/// keys that look the same.
fn port(subject: Subject<'_>) -> Option<String> {
    let key = match subject {
        Subject::Shm(row) => row.perm.key,
        Subject::Sem(set) => set.row.perm.key,
        Subject::Msg(_) | Subject::Posix(_) => return None,
    };
    let port = opengauss::port_hint(key).filter(|&port| port >= 1024 && key % 1000 <= FAMILY)?;
    Some(format!(
        "openGauss, and PostgreSQL up to 12, take such a key on port {port} (a hint, no proof)"
    ))
}

/// Checks that a process which was not found may hold the object.
pub(crate) fn is_uncertain(subject: Subject<'_>, holding: &Holding) -> bool {
    match subject {
        Subject::Shm(_) => holding.unexplained.is_some_and(|count| count > 0),
        Subject::Sem(set) => match &set.members {
            Some(members) => members.waiters > waiting(holding),
            None => true,
        },
        Subject::Msg(_) | Subject::Posix(_) => !holding.closed.is_empty(),
    }
}

fn waiting(holding: &Holding) -> u64 {
    let waits = |held: &&Held| held.how == shmwarden::judge::usage::Kind::Waits;
    let found = holding.holders.iter().filter(waits);
    found.map(|held| held.holder.attachments).sum()
}

/// Returns the line above the holders: the object, its owner, and its verdict.
fn heading(one: &Judged<'_>, shown: &Shown<'_>) -> String {
    let subject = one.subject;
    let size = subject.bytes().map_or_else(String::new, |bytes| format!(", {}", text::size(bytes)));
    let what = match subject {
        Subject::Shm(row) => {
            let first = shown.view.look.keys.get(&row.id);
            let first =
                first.filter(|first| first.0 != row.perm.key && row.perm.mode & MODE_DEST != 0);
            let first = first.map_or_else(String::new, |key| format!(", made under {key}"));
            let dest = if row.perm.mode & MODE_DEST == 0 { "" } else { ", dest" };
            let key = Key(row.perm.key);
            format!("segment {} (key {key}{first}){size}, nattch {}{dest}", row.id, row.nattch)
        }
        Subject::Sem(set) => {
            let (row, key) = (&set.row, Key(set.row.perm.key));
            let waiters = set.members.as_ref().map(|members| members.waiters);
            let waiters = waiters.map_or("unknown".to_owned(), |waiters| waiters.to_string());
            let members = row.members;
            format!("semaphore set {} (key {key}), {members} semaphores, waiters {waiters}", row.id)
        }
        Subject::Msg(row) => {
            let key = Key(row.perm.key);
            format!("message queue {} (key {key}){size} in {} messages", row.id, row.messages)
        }
        Subject::Posix(file) => format!("/dev/shm/{}{size}", text::escaped(&file.name.lossy())),
    };
    let owner = shown.user_or_number(subject.owner().0);
    let instance = shown.instance(one.account);
    let instance = instance.map_or_else(String::new, |name| format!(" of {}", text::safe(name)));
    let verdict = one.verdict.word();
    format!("{what}, owner {owner}; {verdict}{instance}: {}", one.sentence())
}

fn table(holding: &Holding, shown: &Shown<'_>) -> Table {
    let columns = [
        ("PID", true, false),
        ("USER", false, true),
        ("STATE", false, false),
        ("SINCE", false, false),
        ("USE", false, false),
        ("TIMES", true, false),
        ("INSTANCE", false, true),
        ("SURVIVOR", false, false),
        ("COMMAND", false, true),
    ];
    let columns = columns.map(|(name, right, may_shrink)| Heading {
        name: name.to_owned(),
        right,
        may_shrink,
    });
    let mut table = Table::new(columns.into_iter().collect());
    for held in &holding.holders {
        let holder = &held.holder;
        let none = || "-".to_owned();
        let row = [
            holder.process.pid.to_string(),
            holder.uid.map_or_else(none, |uid| shown.user_or_number(uid)),
            text::escaped(&holder.state.to_string()),
            json::since(holder.process.start).unwrap_or_else(none),
            held.how.word().to_owned(),
            match holder.attachments {
                0 => none(),
                times => times.to_string(),
            },
            shown.instance(held.account).map_or_else(none, text::safe),
            if holder.orphan { "yes" } else { "no" }.to_owned(),
            text::escaped(&holder.command),
        ];
        for cell in row {
            table.add(|out| out.push_str(&cell));
        }
    }
    table
}

/// Tells what could not be looked at.
fn unseen(
    subject: Subject<'_>,
    holding: &Holding,
    shown: &Shown<'_>,
) -> impl Iterator<Item = String> {
    let mut lines = Vec::new();
    match (subject, holding.unexplained) {
        (_, Some(1)) => lines.push("1 attachment is of no process that was found".to_owned()),
        (_, Some(count)) if count > 0 => {
            lines.push(format!("{count} attachments are of no process that was found"));
        }
        (Subject::Sem(set), _) if set.members.is_none() => lines.push(
            "who waits for it and who operated it last may be read by its owner and root only"
                .to_owned(),
        ),
        _ => {}
    }
    if is_uncertain(subject, holding) && !holding.closed.is_empty() {
        let names: Vec<String> =
            holding.closed.iter().take(NAMED).map(|&pid| name(pid, shown)).collect();
        let more = holding.closed.len().saturating_sub(NAMED);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "not allowed to look into {} (root may): {}{more}",
            match holding.closed.len() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            },
            names.join(", ")
        ));
    } else if holding.unexplained.is_some_and(|count| count > 0) {
        lines.push(
            "they may be in another PID namespace, or have changed during the look".to_owned(),
        );
    }
    lines.into_iter()
}

fn name(pid: i32, shown: &Shown<'_>) -> String {
    match shown.name_of(pid) {
        Some(name) => format!("{pid} {}", text::safe(&name)),
        None => pid.to_string(),
    }
}

/// A line cut to the terminal.
pub(crate) fn cut(line: &str, screen: Screen) -> String {
    match screen.size {
        // A colour's own characters are not cut away: the heading wraps then.
        Some((columns, _)) if !line.contains('\x1b') => table::cut_line(line, columns),
        _ => line.to_owned(),
    }
}
