//! A demo that is run, and what it must not leave.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::calls::{Line, queues, sets};
use crate::support::filter::{self, Rule};
use crate::support::objects::{segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// Far longer than a demo takes on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What the story calls the server where there is no PostgreSQL.
pub const STAND_IN: &str = "the built-in stand-in for a database server";
/// What is claimed of every server.
pub const OF_EVERY_SERVER: [&str; 7] = [
    "run has left nothing of the server",
    "run has said so of each object",
    "run has left all 3 bystanders as they were",
    "sweep has left nothing of the server",
    "sweep has said so of each object",
    "sweep has left all 3 bystanders as they were",
    "the demo has left nothing",
];

/// Fails unless these claims were made.
pub fn assert_has(claims: &[String], wanted: &[&str]) {
    for claim in wanted {
        assert!(claims.iter().any(|made| made == claim), "{claim}: {claims:#?}");
    }
}

/// `shmwarden demo ARGUMENTS...`, with a temporary directory that its user may write.
pub fn command(user: User, arguments: &[&str]) -> Command {
    let words: Vec<&str> = ["demo"].iter().chain(arguments).copied().collect();
    let mut command = warden::command(user, &words);
    command.env("TMPDIR", temporary(user));
    command
}

/// The same as root without the right to make namespaces: the machine's own tables are what is
/// left to it.
pub fn without_namespaces(arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-sys_admin", "--bounding-set=-sys_admin", "--"]);
    command.arg(warden::binary()).arg("demo").args(arguments);
    command
}

/// The same for a user whose kernel refuses these calls.
pub fn command_without(user: User, refused: &[Rule], arguments: &[&str]) -> Command {
    let program = warden::binary().to_str().unwrap().to_owned();
    let words = ["demo"].iter().chain(arguments).map(|word| (*word).to_owned());
    let words: Vec<String> = std::iter::once(program).chain(words).collect();
    let mut command = filter::command(user, &[refused], &words);
    command.env("TMPDIR", temporary(user));
    command
}

fn temporary(user: User) -> PathBuf {
    let directory = sandbox::scratch().join("t");
    if !directory.exists() {
        user.make_directory(&directory);
    }
    directory
}

/// The claims that a demo has made with `--json`; fails unless each of them holds.
pub fn claims_of(answer: &Answer) -> Vec<String> {
    let document = answer.clone().expect_code(0).json();
    let checks = document["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|check| check["ok"] == true), "{document:#}");
    assert_eq!(document["error"], Value::Null);
    checks.iter().map(|check| check["claim"].as_str().unwrap().to_owned()).collect()
}

/// What there is before a demo begins.
pub struct Before {
    scratch: BTreeSet<PathBuf>,
    processes: Vec<i32>,
    sets: Vec<Line>,
}

impl Before {
    /// As it is now.
    pub fn look() -> Self {
        Before { scratch: scratch_directories(), processes: processes::all(), sets: sets() }
    }

    /// Fails unless all that a demo has brought goes: no process, no directory, and in the tables
    /// so many segments, and the sets of before.
    pub fn assert_again(&self, segments_left: usize) {
        wait_until("no process of the demo is left", PATIENCE, || {
            processes::all().iter().all(|pid| self.processes.contains(pid))
        });
        // Demos of other tests have theirs in the same place, for as long as they run.
        wait_until("no directory of a demo is left", PATIENCE, || {
            scratch_directories().is_subset(&self.scratch)
        });
        let left = (segments(), sets(), queues(), shm_files());
        assert_eq!(left.1, self.sets);
        let numbers = (left.0.len(), left.2.len(), left.3.len());
        assert_eq!(numbers, (segments_left, 0, 0), "{left:?}");
    }
}

fn scratch_directories() -> BTreeSet<PathBuf> {
    let places = [PathBuf::from("/tmp"), sandbox::scratch().join("t")];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.to_str().is_some_and(|text| text.contains("shmwarden-demo-")))
        .collect()
}
