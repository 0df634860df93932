//! The pages by what a reader came for: found from `docs/README.md`, useful on their first screen,
//! and with the units that the tests under a real systemd take from them.

use super::{files, read};

const START: &str = "docs/README.md";
/// Lines of a screen.
const SCREEN: usize = 24;
/// The pages that describe and have no task.
const REFERENCES: [&str; 5] = ["README", "architecture", "launcher", "ledger", "safety"];

/// Returns the pages in `docs/` itself by their names without the ending.
fn pages() -> Vec<String> {
    let pages = files("docs", ".md").into_iter();
    let pages = pages.filter(|path| path.parent().is_some_and(|folder| folder.ends_with("docs")));
    pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_first_page_leads_to_each_page() {
    let start = read(START);
    let leads = |page: &str| start.contains(&format!("]({page}.md)"));
    let missing: Vec<String> =
        pages().into_iter().filter(|page| page != "README" && !leads(page)).collect();
    assert!(missing.is_empty(), "{START}: {missing:?}");
    assert!(start.lines().count() <= SCREEN, "{START} is longer than a screen");
}

#[test]
fn the_first_screen_of_a_task_has_a_command() {
    let tasks = pages().into_iter().filter(|page| !REFERENCES.contains(&page.as_str()));
    let tasks: Vec<String> = tasks.collect();
    assert!(tasks.len() > 10, "{tasks:?}");
    for page in tasks {
        let text = read(format!("docs/{page}.md"));
        let screen: Vec<&str> = text.lines().take(SCREEN).collect();
        let has_command = screen.iter().any(|line| line.contains("shmwarden "));
        assert!(screen[0].starts_with("# ") && has_command, "docs/{page}.md: {screen:#?}");
    }
}

#[test]
fn the_units_that_the_tests_under_systemd_take_are_on_their_page() {
    let tests = read("tests/host/inside/85-servers");
    let wanted = tests.lines().flat_map(|line| {
        ["snippet \"", "edited \""].into_iter().filter_map(|call| line.split_once(call))
    });
    let wanted: Vec<&str> = wanted
        .filter_map(|(_, rest)| rest.split('"').next())
        .filter(|first| first.starts_with("# "))
        .collect();
    assert!(wanted.len() > 3, "{wanted:?}");
    let page = read("docs/other-servers.md");
    for first in wanted {
        let units = page.matches(&format!("\n```ini\n{first}")).count();
        assert_eq!(units, 1, "docs/other-servers.md: units that begin with '{first}'");
    }
    assert!(read("tests/host/run").contains(" docs/other-servers.md "));
}
