//! The shape of the source, held by tests on its text: who may import whom, what may be called
//! where, how large a file may grow. The tables at the top are the rules; the rest reads files.

mod code;
mod files;

use files::{Source, all_sources, program_sources};

/// The rooms of `src/`, leftmost first. A module imports from its own room and from those to its
/// left, so data flows one way.
const ROOMS: [&str; 14] = [
    "sys",
    "proc",
    "object",
    "error",
    "engine",
    "observe",
    "ledger",
    "attribute",
    "orphan",
    "decide",
    "verdict",
    "diagnose",
    "act",
    "settle",
];

/// The one folder that may contain `unsafe`.
const UNSAFE: &str = "src/sys/";

/// Words that must not stand in the library or the program outside tests.
const PANICS: [&str; 7] =
    [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!("];

/// Words that must not stand in the library: it prints nothing, and starts no process. Its tests
/// may; `sys` has what the launcher starts its child with.
const LIBRARY: [&str; 6] =
    ["println!(", "print!(", "eprintln!(", "eprint!(", "Command::new(", "#[path"];

/// Words that remove an object, and the places that may say them. `remove_file` of a ledger's own
/// temporary files is the one other use.
const REMOVALS: [(&str, &[&str]); 5] = [
    ("IPC_RMID", &["src/sys/"]),
    ("shm::remove(", &["src/act.rs"]),
    ("unlinkat(", &["src/act.rs"]),
    ("shm_unlink(", &[]),
    ("fs::remove_file(", &["src/ledger/"]),
];

const WIDEST_LINE: usize = 100;
const LARGEST_FILE_BYTES: usize = 28 * 1024;
const LONGEST_MAIN_LINES: usize = 40;

#[test]
fn a_module_imports_only_from_its_left() {
    let room_of = |name: &str| ROOMS.iter().position(|room| *room == name);
    holds_for(&library(), |source| {
        let name = source.room();
        if name == "lib" {
            return Vec::new();
        }
        let Some(own) = room_of(name) else {
            return vec![format!("{name} is no room: add it to ROOMS at its place")];
        };
        let imports = code::crate_imports(&source.production);
        let wrong = imports.iter().filter(|room| room_of(room).is_none_or(|other| other > own));
        wrong.map(|room| format!("{name} imports {room}, which is not to its left")).collect()
    });
}

#[test]
fn a_room_is_left_by_its_full_path_only() {
    holds_for(&library(), |source| says(source, &source.production, &[&source.way_out()]));
}

#[test]
fn unsafe_is_in_sys_alone() {
    holds_for(&all_sources(), |source| {
        if source.path.starts_with(UNSAFE) {
            return Vec::new();
        }
        let found = code::words(&source.code).any(|word| word == "unsafe");
        found.then(|| "says unsafe".to_owned()).into_iter().collect()
    });
}

#[test]
fn nothing_panics_on_purpose() {
    holds_for(&program_sources(), |source| says(source, &source.production, &PANICS));
}

#[test]
fn the_library_prints_nothing_and_starts_nothing() {
    holds_for(&library(), |source| says(source, &source.production, &LIBRARY));
}

#[test]
fn objects_are_removed_in_one_place() {
    holds_for(&library(), |source| {
        let forbidden = REMOVALS
            .iter()
            .filter(|(_, places)| !places.iter().any(|place| source.path.starts_with(place)));
        let words: Vec<&str> = forbidden.map(|(word, _)| *word).collect();
        says(source, &source.production, &words)
    });
}

#[test]
fn the_program_removes_no_object_itself() {
    holds_for(&program(), |source| {
        let words = ["IPC_RMID", "shm::remove(", "shm_unlink(", "ipcrm"];
        says(source, &source.production, &words)
    });
}

#[test]
fn tests_come_last_in_a_file() {
    holds_for(&program_sources(), |source| {
        let after = code::after_tests(&source.code);
        after.map(|code| format!("goes on after its tests: {code}")).into_iter().collect()
    });
}

#[test]
fn a_file_opens_with_what_it_is_for() {
    holds_for(&all_sources(), |source| {
        let opens = source.text.starts_with("//! ");
        (!opens).then(|| "does not open with a //! paragraph".to_owned()).into_iter().collect()
    });
}

#[test]
fn lines_fit_on_a_screen() {
    holds_for(&all_sources(), |source| {
        let lines = source.text.lines().enumerate();
        let wide = lines.filter(|(_, line)| line.chars().count() > WIDEST_LINE);
        wide.map(|(index, _)| format!("line {} is too wide", index + 1)).collect()
    });
}

#[test]
fn files_have_one_subject() {
    holds_for(&program_sources(), |source| {
        let bytes = source.text.len();
        let large = bytes > LARGEST_FILE_BYTES;
        large.then(|| format!("has {bytes} bytes: split it")).into_iter().collect()
    });
}

#[test]
fn main_is_short() {
    holds_for(&program(), |source| {
        let lines = source.text.lines().count();
        let long = source.path == "wrapper/main.rs" && lines > LONGEST_MAIN_LINES;
        long.then(|| format!("has {lines} lines")).into_iter().collect()
    });
}

fn library() -> Vec<Source> {
    program_sources().into_iter().filter(|source| source.path.starts_with("src/")).collect()
}

fn program() -> Vec<Source> {
    program_sources().into_iter().filter(|source| source.path.starts_with("wrapper/")).collect()
}

/// Fails with every complaint about every file, so that one run tells them all.
fn holds_for(sources: &[Source], complaints: impl Fn(&Source) -> Vec<String>) {
    assert!(!sources.is_empty(), "no source files found");
    let all: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            let prefix = |complaint| format!("{}: {complaint}", source.path);
            complaints(source).into_iter().map(prefix).collect::<Vec<_>>()
        })
        .collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// A complaint for each line of `text` that says one of `words`.
fn says(source: &Source, text: &str, words: &[&str]) -> Vec<String> {
    let lines = text.lines().zip(source.text.lines()).enumerate();
    let found = lines.filter(|(_, (code, _))| words.iter().any(|word| code::says(code, word)));
    found.map(|(index, (_, line))| format!("line {}: {}", index + 1, line.trim())).collect()
}
