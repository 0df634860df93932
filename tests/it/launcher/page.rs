//! The tables of `docs/launcher.md`: every cell is what the suite measures.
//!
//! `SHMWARDEN_WRITE_PAGE=1 cargo test --test it -- launcher::` writes what was measured into the
//! page; without it a cell that differs fails its test. A row is added by hand, its cells empty.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::subject::{ALL, Subject};
use crate::support::skip;

const WRITE: &str = "SHMWARDEN_WRITE_PAGE";

/// What does not apply: there is no launcher to do it.
pub const NONE: &str = "–";

/// Measures a behaviour of each launcher and holds it against its row. Ours, and no launcher, must
/// show `right`; where there can be nothing to show without a launcher that one gives [`NONE`].
pub fn measure(title: &str, right: &str, of: impl FnMut(Subject) -> String) {
    hold(title, [right, right], of);
}

/// The same for a difference that stays, or for what means something else without a launcher.
pub fn measure_both(title: &str, without: &str, ours: &str, of: impl FnMut(Subject) -> String) {
    hold(title, [without, ours], of);
}

fn hold(title: &str, right: [&str; 2], mut of: impl FnMut(Subject) -> String) {
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for (column, subject) in ALL.into_iter().enumerate() {
        if let Err(why) = subject.look() {
            missing.push(why);
            continue;
        }
        subject.is_measured();
        let found = of(subject);
        let expected = match subject {
            Subject::Without if found == NONE => Some(NONE),
            Subject::Without => Some(right[0]),
            Subject::Ours => Some(right[1]),
            _ => None,
        };
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            wrong.push(format!("{}: {found:?} is not right, but {expected:?}", subject.name()));
        }
        if std::env::var_os(WRITE).is_some() {
            write(title, column, &found);
        }
        let told = cell(title, column);
        if told != found {
            wrong.push(format!("{}: measured {found:?}, the page says {told:?}", subject.name()));
        }
    }
    assert!(wrong.is_empty(), "{title}:\n{}", wrong.join("\n"));
    if !missing.is_empty() {
        let what = format!("launcher suite, \"{title}\"");
        skip::note(&what, &format!("not compared with {}", missing.join(", ")));
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/launcher.md")
}

/// The cells of a line of a table, the first one its title.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn is_row(line: &str, title: &str) -> bool {
    line.starts_with('|') && cells(line)[0] == title
}

fn cell(title: &str, column: usize) -> String {
    let text = fs::read_to_string(path()).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| is_row(line, title)).collect();
    assert_eq!(rows.len(), 1, "rows titled {title:?} in docs/launcher.md");
    cells(rows[0]).get(column + 1).cloned().unwrap_or_default()
}

/// Puts one cell in its place; other tests may be at other rows.
fn write(title: &str, column: usize, found: &str) {
    let lock = File::open(path()).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    let text = fs::read_to_string(path()).unwrap();
    let row = |line: &str| {
        let mut all = cells(line);
        all.resize(ALL.len() + 1, String::new());
        all[column + 1] = found.to_owned();
        format!("| {} |", all.join(" | "))
    };
    let lines = text.lines().map(|line| match is_row(line, title) {
        true => row(line),
        false => line.to_owned(),
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    // In place, so that the lock is on the file that others open.
    fs::write(path(), text).unwrap();
}

#[test]
fn every_row_of_the_page_is_measured() {
    let page = fs::read_to_string(path()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/launcher");
    let suite = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let suite: String = suite.map(|file| fs::read_to_string(file).unwrap()).collect();
    let heading = format!("| {} |", ALL.map(Subject::name).join(" | "));
    let mut is_ours = false;
    let mut rows = Vec::new();
    for line in page.lines() {
        if line.ends_with(&heading) {
            is_ours = true;
        } else if !line.starts_with('|') {
            is_ours = false;
        } else if is_ours && !line.starts_with("|-") {
            rows.push(cells(line)[0].clone());
        }
    }
    assert!(rows.len() > 30, "the tables were not found: {rows:?}");
    for title in rows {
        let measured = suite.contains(&format!("\"{title}\""));
        assert!(measured, "no test measures the row {title:?} of docs/launcher.md");
    }
}
