//! The shape of the source, held by tests on its text: who may import whom, what may be called
//! where, how large a file may grow. The tables at the top are the rules; the rest reads files.

mod code;
mod files;

use files::{Source, all_sources, program_sources};
use shmwarden::engine::ENGINES;

/// The rooms of `src/`, leftmost first. A module imports from its own room and from those to its
/// left, so data flows one way.
const ROOMS: [&str; 10] = [
    "sys",
    "proc",
    "object",
    "error",
    "engine",
    "snapshot",
    "ledger",
    "attribute",
    "judge",
    "sweep",
];

/// The one folder that may contain `unsafe`, and the calls of the tests' own server.
const UNSAFE: [&str; 2] = ["src/sys/", "tests/gaussdb/calls.rs"];

/// Words that must not stand in the library or the program outside tests.
const PANICS: [&str; 7] =
    [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!("];

/// Words that must not stand in the library: it prints nothing, and starts no process. Its tests
/// may; `sys` has what the launcher starts its child with.
const LIBRARY: [&str; 6] =
    ["println!(", "print!(", "eprintln!(", "eprint!(", "Command::new(", "#[path"];

/// Words that remove an object, and the places that may say them: `sweep::remove` alone, and what
/// takes only what it made itself. Files that are no objects have their own few places.
const REMOVALS: [(&str, &[&str]); 15] = [
    ("IPC_RMID", &["src/sys/shm.rs", "src/sys/sem.rs", "src/sys/msg.rs"]),
    ("shm::remove", &["src/sweep/remove.rs", "src/sys/own_segment.rs"]),
    ("sem::remove", &["src/sweep/remove.rs"]),
    ("msg::remove", &["src/sweep/remove.rs"]),
    ("unlinkat", &["src/sweep/remove.rs"]),
    ("shm_unlink", &[]),
    ("SYS_unlink", &[]),
    ("SYS_shmctl", &[]),
    ("SYS_semctl", &["src/sys/sem.rs"]),
    ("SYS_msgctl", &[]),
    ("libc::unlink", &[]),
    ("unistd::unlink", &["src/sweep/remove.rs"]),
    ("ipcrm", &["wrapper/units/hooks.rs"]),
    (
        "remove_file(",
        &["src/sweep/remove.rs", "src/ledger/compact.rs", "wrapper/render/output_file.rs"],
    ),
    ("remove_dir", &["wrapper/demo/mod.rs", "wrapper/systemd/files.rs"]),
];

/// The rooms and files that judge and never ask: everything they go by was given to them.
const PURE: [&str; 26] = [
    "src/object",
    "src/engine/",
    "src/attribute/",
    "src/judge/",
    "src/ledger/adopted.rs",
    "src/ledger/beginning.rs",
    "src/ledger/book.rs",
    "src/ledger/by_id.rs",
    "src/ledger/entries.rs",
    "src/ledger/line.rs",
    "src/ledger/record.rs",
    "src/ledger/replay.rs",
    "src/error.rs",
    "wrapper/finding.rs",
    "wrapper/doctor/beside.rs",
    "wrapper/doctor/crowd.rs",
    "wrapper/doctor/explain/answer/",
    "wrapper/doctor/explain/here.rs",
    "wrapper/doctor/explain/message.rs",
    "wrapper/doctor/kernel.rs",
    "wrapper/doctor/leaks.rs",
    "wrapper/doctor/ledgers.rs",
    "wrapper/doctor/limits.rs",
    "wrapper/doctor/logind.rs",
    "wrapper/doctor/settings.rs",
    "wrapper/servers/cover.rs",
];

/// The folders of the program that are one command each. They import the library and the program's
/// other modules, never each other.
const SLICES: [&str; 10] =
    ["adopt", "demo", "doctor", "history", "record", "run", "show", "status", "sweep", "systemd"];

/// Modules of the program that may name slices: they give each command its options and its turn.
const FRONT: [&str; 4] = ["main", "cli", "completions", "tests"];

/// Words that ask the kernel: for a file, a process, the time, the environment.
const ASKING: [&str; 21] = [
    "std::fs",
    "fs::",
    "File::",
    "OpenOptions",
    "std::process",
    "Command::",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    ".elapsed()",
    "nix::sys",
    "nix::unistd",
    "nix::fcntl",
    "libc::syscall",
    "proc::read",
    "read::",
    ".exists()",
    ".metadata()",
    ".canonicalize()",
    ".is_dir()",
    "crate::sweep::remove",
];

/// Modules whose functions ask it; their types are for everybody.
const ASKED: [&str; 19] = [
    "shm",
    "sem",
    "msg",
    "files",
    "process",
    "user",
    "pidfd",
    "signals",
    "memory",
    "namespace",
    "processes",
    "place",
    "contents",
    "shm_files",
    "config",
    "features",
    "data_dir",
    "mapped",
    "snapshot",
];

const WIDEST_LINE: usize = 100;
const LARGEST_FILE_BYTES: usize = 28 * 1024;
const LONGEST_MAIN_LINES: usize = 40;
const LONGEST_FUNCTION_LINES: usize = 70;

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
fn a_command_imports_no_other() {
    holds_for(&program(), |source| {
        let own = source.room();
        if FRONT.contains(&own) {
            return Vec::new();
        }
        let imports = code::crate_imports(&source.production).into_iter();
        let wrong = imports.filter(|room| SLICES.contains(room) && *room != own);
        wrong.map(|room| format!("{own} imports the command {room}")).collect()
    });
}

#[test]
fn a_room_is_left_by_its_full_path_only() {
    holds_for(&library(), |source| says(source, &source.production, &[&source.way_out()]));
}

#[test]
fn unsafe_is_in_sys_alone() {
    holds_for(&all_sources(), |source| {
        if UNSAFE.iter().any(|place| source.path.starts_with(place)) {
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
    holds_for(&library(), removals);
}

#[test]
fn the_program_removes_no_object_itself() {
    holds_for(&program(), removals);
}

/// A removal that is written where it must not be is found, wherever that is.
#[test]
fn a_removal_that_is_added_is_found() {
    for path in ["wrapper/show/list.rs", "src/judge/status/mod.rs", "src/judge/usage/mod.rs"] {
        for line in [
            "let _ = shm::remove(id);",
            "use shmwarden::sys::sem::remove;",
            "let _ = shmwarden::sys::msg::remove(id);",
            "nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;",
            "std::fs::remove_file(path)?;",
        ] {
            let found = removals(&Source::of(path, line));
            assert_eq!(found.len(), 1, "{path}: {line}");
        }
    }
    assert_eq!(removals(&Source::of("src/sweep/remove.rs", "let _ = shm::remove(id);")), [""; 0]);
}

#[test]
fn what_judges_calls_no_kernel() {
    holds_for(&program_sources(), asking);
}

/// A question to the kernel that is written where it must not be is found.
#[test]
fn a_question_to_the_kernel_that_is_added_is_found() {
    for path in ["src/judge/mod.rs", "src/ledger/book.rs", "wrapper/doctor/explain/here.rs"] {
        for line in [
            "let now = SystemTime::now();",
            "let text = std::fs::read(path)?;",
            "let row = shm::stat(id)?;",
            "let rows = snapshot::segments()?;",
            "let alive = processes::lives(process);",
            "let status = crate::proc::read::status(pid);",
        ] {
            assert_eq!(asking(&Source::of(path, line)).len(), 1, "{path}: {line}");
        }
    }
    assert_eq!(asking(&Source::of("src/snapshot/mod.rs", "let now = SystemTime::now();")), [""; 0]);
}

fn asking(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    let found = source.production.lines().zip(source.text.lines()).enumerate();
    let asks = |code: &str| {
        ASKING.iter().any(|word| code::says(code, word))
            || ASKED.iter().any(|module| code::calls_function_of(code, module))
    };
    let found = found.filter(|(_, (code, _))| asks(code));
    found.map(|(index, (_, line))| format!("line {}: {}", index + 1, line.trim())).collect()
}

fn removals(source: &Source) -> Vec<String> {
    let forbidden = REMOVALS
        .iter()
        .filter(|(_, places)| !places.iter().any(|place| source.path.starts_with(place)));
    let words: Vec<&str> = forbidden.map(|(word, _)| *word).collect();
    says(source, &source.production, &words)
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
fn functions_fit_on_a_screen() {
    holds_for(&program_sources(), |source| {
        let functions = code::functions(&source.production).into_iter();
        let long = functions.filter(|(_, lines)| *lines > LONGEST_FUNCTION_LINES);
        long.map(|(name, lines)| format!("{name} has {lines} lines: split it")).collect()
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

/// One file, one row: no kind of server has facts that are in no table.
#[test]
fn each_file_of_facts_is_in_the_table() {
    let engines = program_sources().into_iter().filter(|one| one.path.starts_with("src/engine/"));
    let facts: usize = engines.map(|one| one.production.matches("of(&Facts {").count()).sum();
    assert_eq!(facts, ENGINES.len());
    let mut words: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), ENGINES.len(), "two engines of one word");
    let programs: Vec<&str> = ENGINES.iter().flat_map(|engine| engine.programs).copied().collect();
    for (at, program) in programs.iter().enumerate() {
        assert!(!programs[at + 1..].contains(program), "{program} is two engines' program");
    }
}
