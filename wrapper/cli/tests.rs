//! Flags, help, man page and completions in step: what clap is given is the measure of the others.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory};
use shmwarden::judge::status::Status;

use super::help::narrow;
use super::{Cli, instance_name};
use crate::completions::ShellChoice;
use crate::completions::script;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/man/shmwarden.8"));
const EXITS: &str = include_str!("../exit.rs");

/// The heading under which the page has the options of every command.
const COMMON: &str = "OPTIONS OF EVERY COMMAND";

/// The options that are in every command.
const GLOBAL: [&str; 5] = ["--json", "--no-color", "--quiet", "--verbose", "--help"];

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

/// The options of a command that users are told of.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set())
}

fn long(arg: &Arg) -> String {
    format!("--{}", arg.get_long().expect("each option has a long name"))
}

fn own_options(command: &Command) -> BTreeSet<String> {
    options(command).map(long).filter(|name| !GLOBAL.contains(&name.as_str())).collect()
}

/// The page as a reader of its source sees it, with `\-` as `-`.
fn page() -> String {
    PAGE.replace("\\-", "-")
}

/// The text behind a heading (`.Ss run`) up to the next heading of its rank or a higher one.
fn section(heading: &str) -> String {
    let page = page();
    let mut lines = page.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the page has no line {heading:?}");
    let ends = |line: &str| line.starts_with(".Sh ") || line.starts_with(&heading[..4]);
    lines.take_while(|line| !ends(line)).map(|line| format!("{line}\n")).collect()
}

/// The options that a section has an entry for (`.It Fl -name`), with the text of that entry.
fn entries(section: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in section.lines() {
        if let Some(item) = line.strip_prefix(".It ") {
            let words: Vec<&str> = item.split_whitespace().collect();
            let name = words.windows(2).find(|pair| pair[0] == "Fl" && pair[1].starts_with('-'));
            found.push((name.map_or(String::new(), |pair| format!("-{}", pair[1])), String::new()));
        }
        if let Some((_, text)) = found.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    found.retain(|(name, _)| !name.is_empty());
    found
}

fn names(entries: &[(String, String)]) -> BTreeSet<String> {
    entries.iter().map(|(name, _)| name.clone()).collect()
}

fn says(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|other| other == word)
}

#[test]
fn the_man_page_has_each_command_and_no_other() {
    let commands: BTreeSet<String> =
        program().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let headings = section(".Sh COMMANDS");
    let told = headings.lines().filter_map(|line| line.strip_prefix(".Ss "));
    assert_eq!(told.map(str::to_owned).collect::<BTreeSet<_>>(), commands);
}

#[test]
fn the_man_page_has_each_option_where_it_belongs_and_no_other() {
    for command in program().get_subcommands() {
        let told = entries(&section(&format!(".Ss {}", command.get_name())));
        assert_eq!(names(&told), own_options(command), "{}", command.get_name());
    }
    let mut told = names(&entries(&section(&format!(".Sh {COMMON}"))));
    assert!(told.remove("--version"), "{told:?}");
    assert_eq!(told, GLOBAL.map(str::to_owned).into());
}

#[test]
fn the_man_page_mentions_no_option_that_there_is_none_of() {
    let program = program();
    let all: BTreeSet<String> =
        program.get_subcommands().flat_map(options).chain(options(&program)).map(long).collect();
    let page = page().replace("Fl -", "--");
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    let mentioned = page.split(|c| !is_part(c)).filter(|word| word.starts_with("--"));
    let unknown: Vec<&str> =
        mentioned.filter(|word| word.len() > 2 && !all.contains(*word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_man_page_has_each_value_and_default_and_operand() {
    for command in program().get_subcommands() {
        let name = command.get_name();
        let section = section(&format!(".Ss {name}"));
        let told = entries(&section);
        let own = own_options(command);
        for arg in options(command).filter(|arg| own.contains(&long(arg))) {
            let (_, text) = told.iter().find(|(name, _)| *name == long(arg)).unwrap();
            let values = arg.get_possible_values().into_iter().map(|v| v.get_name().to_owned());
            let takes = arg.get_action().takes_values();
            for value in values.filter(|_| takes) {
                assert!(says(text, &value), "{name} {}: {value}", long(arg));
            }
            for default in arg.get_default_values().iter().filter(|_| takes) {
                let default = default.to_str().unwrap();
                assert!(says(text, default), "{name} {}: default {default}", long(arg));
            }
        }
        for operand in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
            let value = &operand.get_value_names().unwrap()[0];
            for word in value.split('|') {
                assert!(section.contains(&format!("Ar {word}")), "{name}: {word}");
            }
            for value in operand.get_possible_values() {
                assert!(says(&section, value.get_name()), "{name}: {}", value.get_name());
            }
        }
    }
}

#[test]
fn the_man_page_has_each_verdict_and_exit_status_and_no_other() {
    let items = |heading: &str| -> BTreeSet<String> {
        let section = section(heading);
        let items = section.lines().filter_map(|line| line.strip_prefix(".It "));
        let first = items.flat_map(|item| item.split_whitespace().nth(1));
        first.map(str::to_owned).collect()
    };
    assert_eq!(items(".Sh VERDICTS"), Status::ALL.map(|v| v.word().to_owned()).into());
    let constants = EXITS.lines().filter_map(|line| line.split_once(": u8 = "));
    let mut statuses: BTreeSet<String> =
        constants.map(|(_, value)| value.trim_end_matches(';').to_owned()).collect();
    assert!(statuses.len() > 8, "{statuses:?}");
    statuses.insert("0".to_owned());
    assert_eq!(items(".Sh EXIT STATUS"), statuses);
}

#[test]
fn help_has_each_command_and_option_with_words_for_it() {
    let mut program = program();
    let overview = program.render_long_help().to_string();
    for command in program.get_subcommands() {
        let name = command.get_name();
        assert!(overview.contains(&format!("\n  {name} ")), "{name}");
        let help = command.clone().render_long_help().to_string();
        for arg in command.get_arguments() {
            let shown = arg.get_long().map_or(arg.get_id().to_string(), |_| long(arg));
            if arg.is_hide_set() {
                assert!(!says(&help, &shown), "{name} {shown} is hidden");
            } else {
                assert!(arg.get_help().is_some(), "{name} {shown} has no words");
                assert!(arg.is_positional() || says(&help, &shown), "{name} {shown}");
            }
        }
    }
}

#[test]
fn help_fits_80_columns() {
    let mut program = program();
    let mut pages = vec![program.render_help(), program.render_long_help()];
    for command in program.get_subcommands_mut() {
        pages.extend([command.render_help(), command.render_long_help()]);
    }
    for page in pages {
        let page = narrow(&page.to_string());
        let long: Vec<&str> = page.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}

#[test]
fn completions_have_each_command_and_option_and_no_other() {
    let program = program();
    let [bash, zsh, fish] = [ShellChoice::Bash, ShellChoice::Zsh, ShellChoice::Fish].map(script);
    for command in program.get_subcommands() {
        let name = command.get_name();
        let options: BTreeSet<String> = options(command).map(long).collect();
        let case = format!("        shmwarden__subcmd__{name})\n            opts=\"");
        let (_, rest) = bash.split_once(&case).unwrap_or_else(|| panic!("bash: no {case}"));
        let words = rest.split('"').next().unwrap().split(' ');
        let told: BTreeSet<String> =
            words.filter(|word| word.starts_with("--")).map(str::to_owned).collect();
        assert_eq!(told, options, "bash: {name}");
        let (_, rest) = zsh.split_once(&format!("({name})\n_arguments")).unwrap();
        let rules = rest.split("\n;;").next().unwrap().lines();
        // A rule is 'NAME[WORDS]...' or '(WHAT IT EXCLUDES)NAME[WORDS]...'.
        let rules =
            rules.filter(|line| line.starts_with('\'')).filter_map(|line| line.split_once('['));
        let told: BTreeSet<String> =
            rules.filter_map(|(head, _)| name_behind(&head[head.rfind("--")?..], "--")).collect();
        assert_eq!(told, options, "zsh: {name}");
        let used = format!("using_subcommand {name}\"");
        let rules = fish.lines().filter(|line| line.contains(&used));
        let told: BTreeSet<String> = rules.filter_map(|line| name_behind(line, " -l ")).collect();
        assert_eq!(told, options, "fish: {name}");
    }
}

/// The option whose name begins behind a mark.
fn name_behind(line: &str, mark: &str) -> Option<String> {
    let rest = &line[line.find(mark)? + mark.len()..];
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    rest.split(|c| !is_part(c))
        .next()
        .filter(|name| !name.is_empty())
        .map(|name| format!("--{name}"))
}

#[test]
fn a_name_never_leads_out_of_the_directory_of_ledgers() {
    for good in ["main", "var-lib-postgresql-15-main", "a b", "x\\x2dy", &"n".repeat(180)] {
        assert_eq!(instance_name(good).as_deref(), Ok(good));
    }
    for bad in ["", ".", "..", ".hidden", "../x", "a/b", "/x", "a\nb", "\x1b[2J"] {
        assert!(instance_name(bad).is_err(), "{bad:?}");
    }
    assert!(instance_name(&"n".repeat(181)).is_err());
}
