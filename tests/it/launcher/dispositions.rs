//! The mask and the ignored signals that the command is given: those that the launcher was given.

use std::fs;

use super::page::measure;
use super::signals::numbers;
use super::subject::{LIMIT, Subject, kill_all};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::waiting::wait_until;

/// Numbers of the signals in a mask of `/proc/<pid>/status`.
fn signals(text: &str, name: &str) -> Vec<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    let mask = u64::from_str_radix(line.trim(), 16).unwrap();
    (1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
}

/// The mask and the ignored signals behind each launcher, as options of env(1) set them. What the
/// caller of the tests ignores is none of theirs.
fn same_signals(title: &str, options: &[&str]) {
    let before = [&["env", "--default-signal"], options].concat();
    let look = |subject: Subject| {
        // To a file: what hangs at COMMAND's end is another matter.
        let file = sandbox::scratch().join(format!("status-{}", subject.name()));
        let to = format!("of={}", file.display());
        let command = ["dd", "if=/proc/self/status", &to, "bs=64k", "status=none"];
        let mut process = Process::spawn(&mut subject.command(&before, &command));
        let text = || fs::read_to_string(&file).unwrap_or_default();
        wait_until("COMMAND has said its signals", LIMIT, || !text().is_empty());
        kill_all(&mut process);
        let text = text();
        (signals(&text, "SigBlk:"), signals(&text, "SigIgn:"))
    };
    let given = look(Subject::Without);
    measure(title, "the same", |subject| {
        let found = look(subject);
        let mut words = Vec::new();
        let kinds = [("blocked", &given.0, &found.0), ("ignored", &given.1, &found.1)];
        for (kind, given, found) in kinds {
            let only = |one: &[u32], other: &[u32]| {
                let only = one.iter().copied().filter(|signal| !other.contains(signal));
                numbers(&only.collect::<Vec<_>>())
            };
            let (more, less) = (only(found, given), only(given, found));
            if !more.is_empty() {
                words.push(format!("{kind} too: {more}"));
            }
            if !less.is_empty() {
                words.push(format!("no longer {kind}: {less}"));
            }
        }
        if words.is_empty() { "the same".to_owned() } else { words.join("; ") }
    });
}

#[test]
fn the_default_signals() {
    sandbox::run(|| same_signals("mask and ignored signals: none", &[]));
}

#[test]
fn an_ignored_hang_up() {
    sandbox::run(|| {
        same_signals("mask and ignored signals: HUP ignored", &["--ignore-signal=HUP"]);
    });
}

#[test]
fn an_ignored_broken_pipe() {
    sandbox::run(|| {
        same_signals("mask and ignored signals: PIPE ignored", &["--ignore-signal=PIPE"]);
    });
}

#[test]
fn an_ignored_child() {
    sandbox::run(|| {
        same_signals("mask and ignored signals: CHLD ignored", &["--ignore-signal=CHLD"]);
    });
}

#[test]
fn everything_blocked() {
    sandbox::run(|| {
        same_signals("mask and ignored signals: all blocked", &["--block-signal"]);
    });
}
