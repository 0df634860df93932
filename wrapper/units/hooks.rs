//! What a unit does to shared memory by itself: hooks that remove it, and a stop that is a kill.

use super::properties::{Program, UnitProperties};
use crate::finding::Finding;

/// The commands of a unit.
const COMMANDS: [&str; 7] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
];
/// Programs that remove files.
const REMOVERS: [&str; 4] = ["rm", "unlink", "find", "truncate"];

/// Returns the findings on that.
pub(super) fn judge(unit: &UnitProperties) -> Vec<Finding> {
    let mut findings: Vec<Finding> = COMMANDS.iter().filter_map(|key| removes(unit, key)).collect();
    if matches!(unit.get("KillSignal"), "9" | "SIGKILL") {
        findings.push(Finding::warn(
            "kill-signal",
            "KillSignal=SIGKILL: each stop is a crash, after which the server recovers at its next \
             start, and what it held is left to shmwarden",
            "KillSignal=SIGINT, PostgreSQL's fast stop",
        ));
    }
    findings
}

fn removes(unit: &UnitProperties, key: &str) -> Option<Finding> {
    let programs = unit.programs(key);
    let what = programs.iter().find_map(what_it_removes)?;
    Some(Finding::warn(
        "hook-removes",
        format!(
            "{key}= {what}, with no look at whose that is or who uses it: another server may lose \
             memory that it works with"
        ),
        "take that command out: shmwarden removes what is this server's, once nobody uses it",
    ))
}

fn what_it_removes(program: &Program) -> Option<&'static str> {
    let words = || program.words.split(|c: char| c.is_whitespace() || "'\"`;|&()".contains(c));
    let runs = |name: &str| words().any(|word| word.rsplit('/').next() == Some(name));
    if runs("ipcrm") {
        return Some("runs ipcrm");
    }
    let names = words().any(|word| word.starts_with("/dev/shm"));
    (names && REMOVERS.into_iter().any(runs)).then_some("removes files in /dev/shm")
}
