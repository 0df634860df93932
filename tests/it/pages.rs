//! What users read, held to what there is: man pages that render, completions that complete, links
//! that lead somewhere, a code map without holes. (That pages, help and flags say the same is
//! tested in `wrapper/cli/tests.rs`, where clap's definitions are at hand.)

mod safety;
mod tasks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::skip;

const PROGRAM: &str = env!("CARGO_BIN_EXE_shmwarden");

/// What the compiler, the tests or the demo's parts read: no matter for users.
const NOT_FOR_USERS: [&str; 4] =
    ["CARGO_MANIFEST_DIR", "LD_LIBRARY_PATH", "LISTEN_PID", "WATCHDOG_PID"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder of the package whose names end so, as paths from its root.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(PathBuf::from(path));
        }
    }
    found.sort();
    found
}

/// What a program says of these arguments; None, with a printed skip, where it is not installed.
fn said(test: &str, arguments: &[&str]) -> Option<Output> {
    let (program, rest) = arguments.split_first().unwrap();
    let run = Command::new(program).args(rest).current_dir(root()).stdin(Stdio::null()).output();
    match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip::note(test, &format!("no {program} here"));
            None
        }
        other => Some(other.unwrap()),
    }
}

fn renders_in_silence(test: &str, renderer: &[&str]) {
    let pages = files("docs/man", "");
    assert_eq!(pages.len(), 2, "{pages:?}");
    for page in &pages {
        let words: Vec<&str> = renderer.iter().copied().chain(page.to_str()).collect();
        let Some(output) = said(test, &words) else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{words:?}: {text}{complaints}");
        assert_eq!(text.is_empty(), words.contains(&"lint"), "{words:?}: {text}");
    }
}

#[test]
fn the_man_pages_render_in_groff_without_a_warning() {
    let test = "the_man_pages_render_in_groff_without_a_warning";
    renders_in_silence(test, &["groff", "-ww", "-mandoc", "-Tutf8"]);
}

#[test]
fn the_man_pages_are_clean_to_mandoc() {
    let test = "the_man_pages_are_clean_to_mandoc";
    renders_in_silence(test, &["mandoc", "-T", "lint", "-W", "warning"]);
    renders_in_silence(test, &["mandoc", "-T", "utf8", "-W", "warning"]);
}

/// What bash offers for the last of these words.
fn bash_offers(words: &[&str]) -> BTreeSet<String> {
    let script = r#"source <("$1" completions bash); shift
        rule=$(complete -p shmwarden); rule=${rule#*-F }
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        "${rule%% *}" shmwarden "${@: -1}" "${@: -2:1}" && printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash", PROGRAM, "shmwarden"]).args(words);
    let output = bash.stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints = complaints.lines().filter(|line| !line.contains("compopt: not currently"));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new(), "{words:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(bash_offers(&["s"]), set(&["status", "sweep", "systemd"]));
    assert_eq!(bash_offers(&["sweep", "--d"]), set(&["--data", "--dir", "--dry-run"]));
    assert_eq!(bash_offers(&["run", "--orphans", ""]), set(&["leave", "term", "kill"]));
    assert_eq!(bash_offers(&["list", "--verdict", "st"]), set(&["stale"]));
    assert!(bash_offers(&["completions", ""]).is_superset(&set(&["bash", "zsh", "fish"])));
}

#[test]
fn zsh_and_fish_take_their_completions() {
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("completions");
        let script = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(script.status.success(), "{script:?}");
        fs::write(&file, script.stdout).unwrap();
        let words = [shell, check, file.to_str().unwrap()];
        let Some(output) = said("zsh_and_fish_take_their_completions", &words) else { continue };
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn fish_completes_commands_and_options() {
    let script = "$argv[1] completions fish | source; complete -C $argv[2]";
    let offers = |line: &str| {
        let words = ["fish", "--no-config", "-c", script, "--", PROGRAM, line];
        let output = said("fish_completes_commands_and_options", &words)?;
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
    };
    let Some(commands): Option<Vec<String>> = offers("shmwarden s") else { return };
    assert_eq!(commands, ["status", "sweep", "systemd"]);
    assert_eq!(offers("shmwarden adopt --ke").unwrap(), ["--key-family"]);
    assert_eq!(offers("shmwarden run --notify-access m").unwrap_or_default(), ["main"]);
}

#[test]
fn the_man_page_has_each_variable_that_is_read() {
    let page = read("docs/man/shmwarden.8");
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Ev "));
    let told: BTreeSet<String> = items.map(str::to_owned).collect();
    assert!(told.len() > 5, "{told:?}");
    let mut sources = String::new();
    for path in files("src", ".rs").into_iter().chain(files("wrapper", ".rs")) {
        sources.push_str(&read(path));
    }
    let variables = sources.split("env::var").skip(1).filter_map(|rest| {
        let name = rest.trim_start_matches("_os").strip_prefix("(\"")?.split('"').next()?;
        Some(name.to_owned())
    });
    let read: BTreeSet<String> =
        variables.filter(|name| !NOT_FOR_USERS.contains(&name.as_str())).collect();
    let missing: Vec<_> = read.difference(&told).collect();
    assert!(missing.is_empty(), "not in the page: {missing:?}");
    let unread = told.iter().filter(|name| !sources.contains(&format!("\"{name}\"")));
    let unread: Vec<_> = unread.collect();
    assert!(unread.is_empty(), "in the page and read nowhere: {unread:?}");
}

/// The variants of an enum of the ledger's, as they are written: `LastLook` as `last-look`.
fn variants(name: &str) -> BTreeSet<String> {
    let source = read("src/ledger/record.rs");
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let body = rest.split("\n}").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(char::is_uppercase));
    let written = |name: &str| -> String {
        let lower =
            |c: char| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.into() };
        name.chars().take_while(|c| c.is_alphanumeric()).map(lower).collect()
    };
    names.map(|name| written(name).trim_start_matches('-').to_owned()).collect()
}

#[test]
fn the_pages_on_the_ledger_have_each_record_and_each_proof() {
    let page = read("docs/man/shmwarden-ledger.5").replace("\\-", "-");
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Li "));
    let told: BTreeSet<&str> = items.collect();
    let document = read("docs/ledger.md");
    let records = variants("Record");
    let proofs = variants("How");
    assert!(records.contains("claim") && proofs.contains("last-look"), "{records:?} {proofs:?}");
    for record in &records {
        assert!(told.contains(&**record), "shmwarden-ledger.5: {record}");
        assert!(document.contains(&format!("\n### {record}\n")), "docs/ledger.md: {record}");
    }
    for proof in &proofs {
        assert!(told.contains(&**proof), "shmwarden-ledger.5: {proof}");
        assert!(document.contains(&format!("\n| `{proof}` |")), "docs/ledger.md: {proof}");
    }
}

#[test]
fn the_code_map_names_each_file_or_its_folder() {
    let map = read("docs/architecture.md");
    let named: BTreeSet<&str> = map
        .lines()
        .filter(|line| line.starts_with('|') || line.starts_with('`'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    let mut missing = Vec::new();
    for folder in ["src", "wrapper"] {
        for path in files(folder, "") {
            let path = path.strip_prefix(folder).unwrap();
            let is_named = |path: &Path, end: &str| {
                let components: Vec<&str> =
                    path.iter().map(|part| part.to_str().unwrap()).collect();
                let tails = (0..components.len()).map(|from| components[from..].join("/"));
                let whole = format!("{folder}/{}{end}", path.display());
                tails.map(|tail| tail + end).chain([whole]).any(|tail| named.contains(&*tail))
            };
            let parts = || path.ancestors().skip(1).filter(|above| above.iter().next().is_some());
            if !is_named(path, "") && !parts().any(|above| is_named(above, "/")) {
                missing.push(format!("{folder}/{}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not in the code map: {missing:#?}");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    let mut dead = Vec::new();
    for document in &documents {
        let text = without_code(&read(document));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.parent().unwrap();
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            let there = root().join(&target).exists();
            if !there || !(heading.is_empty() || headings(&read(&target)).contains(heading)) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// A document without its fenced blocks.
fn without_code(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// The anchors of a document, as the usual renderers make them of its headings.
fn headings(text: &str) -> BTreeSet<String> {
    let text = without_code(text);
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| -> String {
        let words = title.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    titles.map(anchor).collect()
}
