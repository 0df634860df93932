//! `docs/safety.md`: every hazard is told in the same shape, and every test and file that it names
//! exists.

use std::collections::BTreeSet;

use super::{files, read};

const PAGE: &str = "docs/safety.md";
/// What each section consists of, in this order.
const PARTS: [&str; 4] = ["**Hazard.**", "**Prevented by.**", "**Left.**", "**Tests.**"];
/// Most characters of a paragraph or list item: who reads about a risk has to get to its end.
const LONGEST: usize = 700;
/// A name in the page with so many underscores is one of a test.
const UNDERSCORES: usize = 4;

/// A section: its heading, and its paragraphs and list items, each in one line.
struct Section {
    heading: String,
    pieces: Vec<String>,
}

/// Returns the sections of a page; what is in none is left out.
fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in page.lines() {
        if line.starts_with('#') {
            inside = line.starts_with("### ");
            goes_on = false;
            if inside {
                sections.push(Section { heading: line[4..].to_owned(), pieces: Vec::new() });
            }
            continue;
        }
        let Some(section) = sections.last_mut().filter(|_| inside) else { continue };
        match section.pieces.last_mut().filter(|_| goes_on && !line.starts_with("- ")) {
            _ if line.is_empty() => {}
            Some(piece) => *piece += &format!(" {}", line.trim()),
            None => section.pieces.push(line.to_owned()),
        }
        goes_on = !line.is_empty();
    }
    sections
}

/// Returns what is wrong with the shape of a section.
fn complaints(section: &Section) -> Vec<String> {
    let mut found = Vec::new();
    let labelled = section.pieces.iter().filter(|piece| piece.starts_with("**"));
    let labels: Vec<&str> =
        labelled.map(|piece| piece.find(".**").map_or("**?", |end| &piece[..end + 3])).collect();
    if labels != PARTS {
        found.push(format!("has {labels:?} instead of {PARTS:?}"));
    }
    let mut pieces = section.pieces.iter().peekable();
    let mut in_tests = false;
    while let Some(piece) = pieces.next() {
        in_tests |= piece.starts_with(PARTS[3]);
        let length = piece.chars().count();
        if length > LONGEST && !in_tests {
            found.push(format!("has a piece of {length} characters: {piece}"));
        }
        let is_label = PARTS.contains(&piece.as_str());
        if is_label && !pieces.peek().is_some_and(|next| next.starts_with("- ")) {
            found.push(format!("has nothing behind {piece}"));
        }
    }
    let tests = section.pieces.iter().skip_while(|piece| !piece.starts_with(PARTS[3]));
    let tests: Vec<&str> = tests.map(String::as_str).collect();
    let tests = tests.join(" ");
    let named = spans(&tests).into_iter().filter(|name| is_test_or_file(name)).count();
    if named == 0 {
        found.push("names no test, nor the code without one".to_owned());
    }
    found
}

/// The texts in backquotes.
fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn is_test_or_file(name: &str) -> bool {
    is_identifier(name) || name.ends_with(".rs") || name.ends_with("_...")
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Returns the names of all tests.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for path in ["tests", "src", "wrapper"].iter().flat_map(|folder| files(folder, ".rs")) {
        let text = read(&path);
        let mut is_next = false;
        for line in text.lines().map(str::trim) {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            match name {
                _ if line == "#[test]" => is_next = true,
                Some(name) if is_next => {
                    tests.insert(name.to_owned());
                    is_next = false;
                }
                _ => {}
            }
        }
    }
    tests
}

/// Checks that a name in backquotes, if it is one of a test or of a file, is that of one there is.
fn exists(name: &str, in_tests: bool, tests: &BTreeSet<String>, paths: &[String]) -> bool {
    let is_of_kernels = || {
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        digits == 2 && name.as_bytes().get(2) == Some(&b'-')
    };
    if let Some(beginning) = name.strip_suffix("...").filter(|name| name.ends_with('_')) {
        return tests.iter().any(|test| test.starts_with(beginning));
    }
    if name.ends_with(".rs") {
        let end = format!("/{name}");
        return paths.iter().any(|path| path == name || path.ends_with(&end));
    }
    let is_of_test = in_tests || name.matches('_').count() >= UNDERSCORES;
    if is_identifier(name) && is_of_test && name.contains('_') {
        return tests.contains(name);
    }
    !is_of_kernels() || paths.contains(&format!("tests/kernels/inside/{name}"))
}

#[test]
fn each_hazard_has_what_prevents_it_what_is_left_and_its_tests() {
    let sections = sections(&read(PAGE));
    assert!(sections.len() > 90, "{}", sections.len());
    let named: Vec<String> = sections
        .iter()
        .flat_map(|one| complaints(one).into_iter().map(|what| format!("{}: {what}", one.heading)))
        .collect();
    assert!(named.is_empty(), "{PAGE}:\n{}", named.join("\n"));
    let headings: BTreeSet<&str> = sections.iter().map(|one| one.heading.as_str()).collect();
    assert_eq!(headings.len(), sections.len(), "two sections have one heading");
}

#[test]
fn every_test_and_file_that_the_page_on_safety_names_exists() {
    let tests = tests();
    let folders = ["tests", "src", "wrapper"].iter().flat_map(|folder| files(folder, ""));
    let paths: Vec<String> = folders.map(|path| path.to_str().unwrap().to_owned()).collect();
    let page = read(PAGE);
    let mut missing = Vec::new();
    let of_sections = sections(&page);
    for section in &of_sections {
        let mut in_tests = false;
        for piece in &section.pieces {
            in_tests |= piece.starts_with(PARTS[3]);
            let unknown = |name: &&str| !exists(name, in_tests, &tests, &paths);
            missing.extend(spans(piece).into_iter().filter(unknown).map(str::to_owned));
        }
    }
    // What is in no section: tables, introductions.
    let lines = page.lines().filter(|line| line.matches('`').count() % 2 == 0);
    let unknown = |name: &&str| !exists(name, false, &tests, &paths);
    missing.extend(lines.flat_map(spans).filter(unknown).map(str::to_owned));
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "{PAGE} names what there is not: {missing:#?}");
}

#[test]
fn a_section_out_of_shape_is_found() {
    let whole = "### A\n\n**Hazard.** It\ngoes on.\n\n**Prevented by.**\n\n- a\n- b\n\n\
        **Left.** Nothing known.\n\n**Tests.** `a_test`\n\n## Next\n\ntext\n";
    let of = |text: &str| sections(text).iter().flat_map(complaints).count();
    assert_eq!(of(whole), 0);
    assert_eq!(sections(whole)[0].pieces[0], "**Hazard.** It goes on.");
    for (from, to) in [
        ("**Left.** Nothing known.\n\n", ""),
        ("**Hazard.**", "**Danger.**"),
        ("`a_test`", "none"),
        ("- a\n- b\n", ""),
        ("Nothing known", &"long ".repeat(200)),
    ] {
        assert_eq!(of(&whole.replace(from, to)), 1, "{from}");
    }
    let tests: BTreeSet<String> =
        ["a_test".to_owned(), "unknown_layout_of_a_main".to_owned()].into();
    let paths =
        ["tests/it/wrong_object/left.rs".to_owned(), "tests/kernels/inside/20-a".to_owned()];
    for (name, there) in [
        ("a_test", true),
        ("b_test", false),
        ("wrong_object/left.rs", true),
        ("left.rs", true),
        ("eft.rs", false),
        ("unknown_layout_...", true),
        ("known_layout_...", false),
        ("20-a", true),
        ("30-a", false),
        ("run", true),
    ] {
        assert_eq!(exists(name, true, &tests, &paths), there, "{name}");
    }
}
