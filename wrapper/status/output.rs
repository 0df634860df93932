//! The output of `status`: a table with what is left to do, a document, numbers.

use serde_json::{Value, json};

use crate::finding::Level;
use crate::render::json::{SCHEMA, time};
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::render::table::{Heading, Style, Table};
use crate::render::{metrics, text};
use crate::servers::{self, Covered, Server};

/// Stands where there is nothing.
const NONE: &str = "-";
/// The column of what covers a server.
const COVERED: usize = 3;

/// The document.
pub(crate) fn document(servers: &[Server], shown: &Shown<'_>) -> Value {
    let server = |server: &Server| {
        json!({
            "pid": server.pid,
            "engine": server.engine.name,
            "program": server.program.as_ref().map(|program| program.to_string_lossy()),
            "uid": server.uid,
            "user": shown.user(server.uid),
            "data": server.data.as_ref().map(|data| data.to_string_lossy()),
            "unit": server.unit,
            "instance": server.instance,
            "ledger": server.ledger.as_ref().map(|ledger| ledger.to_string_lossy()),
            "covered_by": server.covered.word(),
            "state": server.state.word(),
            "objects": server.objects.map(|(count, _)| count),
            "bytes": server.objects.map(|(_, bytes)| bytes),
            "since": server.since.map(time),
            "why": server.why,
            "fix": server.fix,
        })
    };
    json!({
        "schema": SCHEMA,
        // The service for a whole host, which there is none of yet.
        "watch": Value::Null,
        "servers": servers.iter().map(server).collect::<Vec<_>>(),
        "uncovered": servers::uncovered(servers),
    })
}

/// The numbers for monitoring.
pub(crate) fn numbers(servers: &[Server]) -> String {
    let mut out = String::new();
    metrics::of_servers(&servers::counts(servers), &mut out);
    out
}

/// The text for people.
pub(crate) fn text(servers: &[Server], shown: &Shown<'_>, screen: Screen) -> String {
    let mut out = String::new();
    if !servers.is_empty() {
        let paint = move |column: usize, cell: Option<&str>, text: String| match cell {
            None => screen.bold(text),
            Some(word) if column == COVERED => match level(word) {
                Some(level) => screen.level(level, text),
                None => text,
            },
            Some(_) => text,
        };
        let style = Style {
            headings: true,
            most: screen.size.map(|(columns, _)| columns),
            paint: if screen.colour { Some(&paint) } else { None },
        };
        table(servers, shown).print(style, &mut out);
        out.push('\n');
    }
    for server in servers {
        let (pid, why) = (server.pid, text::escaped(&server.why));
        out.push_str(&screen.wrapped(&format!("{pid}: {why}"), 2));
        out.push('\n');
        if let Some(fix) = &server.fix {
            out.push_str(&format!("  -> {}\n", text::verbatim(fix)));
        }
    }
    out.push_str(&screen.wrapped(&closing(servers), 0));
    out.push('\n');
    out
}

/// The last line: how many there are, and what to do.
fn closing(servers: &[Server]) -> String {
    let count = match servers.len() {
        0 => return "no database server was found".to_owned(),
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    let uncovered = servers::uncovered(servers);
    let unknown = servers.iter().filter(|server| server.covered == Covered::Unknown).count();
    let unknown = match unknown {
        0 => String::new(),
        unknown => format!(", {unknown} unknown"),
    };
    match uncovered {
        0 if unknown.is_empty() => format!("{count}, 0 not covered: nothing to be done"),
        0 => format!("{count}, 0 not covered{unknown}"),
        uncovered => {
            format!("{count}, {uncovered} not covered{unknown}: run what stands behind ->")
        }
    }
}

/// How bad a word is.
fn level(word: &str) -> Option<Level> {
    let covered = Covered::ALL.into_iter().find(|covered| covered.word() == word)?;
    match covered {
        Covered::Run | Covered::InPlace | Covered::Watch | Covered::Record => Some(Level::Ok),
        Covered::None => Some(Level::Bad),
        Covered::Starting | Covered::Unknown => Some(Level::Warn),
        Covered::Private | Covered::Ignored => None,
    }
}

fn table(servers: &[Server], shown: &Shown<'_>) -> Table {
    let columns = [
        ("PID", true, false),
        ("ENGINE", false, false),
        ("USER", false, true),
        ("COVERED", false, false),
        ("STATE", false, false),
        ("OBJECTS", true, false),
        ("BYTES", true, false),
        ("UNIT", false, true),
        ("DATA", false, true),
    ];
    let heading = |(name, right, may_shrink): (&str, bool, bool)| Heading {
        name: name.to_owned(),
        right,
        may_shrink,
    };
    let mut table = Table::new(columns.into_iter().map(heading).collect());
    for server in servers {
        let none = || NONE.to_owned();
        let cells = [
            server.pid.to_string(),
            server.engine.name.to_owned(),
            shown.user_or_number(server.uid),
            server.covered.word().to_owned(),
            server.state.word().to_owned(),
            server.objects.map_or_else(none, |(count, _)| count.to_string()),
            server.objects.map_or_else(none, |(_, bytes)| text::size(bytes)),
            server.unit.as_deref().map_or_else(none, text::safe),
            server.data.as_ref().map_or_else(none, |data| text::safe(&data.to_string_lossy())),
        ];
        for cell in cells {
            table.add(|out| out.push_str(&cell));
        }
    }
    table
}
