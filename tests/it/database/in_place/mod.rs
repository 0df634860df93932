//! Servers behind `shmwarden run --in-place`: the postmaster is the process that was started, and a
//! guardian beside it cleans up after it.

mod control;
mod crash;
mod guardian;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::matrix::Kind;
use super::stage::Stage;
use crate::support::processes;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const PATIENCE: Duration = Duration::from_secs(20);
/// The script for `pg_ctl -p`, with the paths of a Debian system.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wrapper/postgres");

/// A stage whose server is started in place.
pub struct InPlace {
    /// The server and what is around it.
    pub stage: Stage,
}

impl InPlace {
    /// With strangers around it, not started yet.
    pub fn new(kind: Kind) -> Self {
        InPlace { stage: Stage::new(kind) }
    }

    /// Starts the server as the test's own child, and waits for it.
    pub fn start(&mut self) {
        let ledger = self.stage.ledger.to_str().unwrap().to_owned();
        let prefix = warden::prefix(&["run", "--in-place", "--ledger", &ledger]);
        self.stage.cluster.start_under(&prefix);
    }

    /// The guardian that the ledger names for the last run.
    pub fn guardian(&self) -> i32 {
        i32::try_from(self.stage.last_run()["launcher"].as_i64().unwrap()).unwrap()
    }

    /// Waits until the guardian has done its work.
    pub fn wait_guardian(&self, guardian: i32) {
        let what = format!("the guardian has ended; {}", self.stage.told());
        wait_until(&what, PATIENCE, || !processes::lives(guardian));
    }

    /// The shipped script with the paths of this test; the ledger is where `options` say.
    pub fn script(&self, options: &str) -> PathBuf {
        let script = self.stage.directory().join("postgres");
        write_script(&script, &self.stage.cluster.command_line()[0], options);
        script
    }

    /// The script with the stage's own ledger.
    pub fn script_with_ledger(&self) -> PathBuf {
        self.script(&format!("--ledger {}", self.stage.ledger.display()))
    }

    /// `pg_ctl -D DATA ARGUMENTS`.
    pub fn pg_ctl_words(&self, arguments: &[&str]) -> Vec<String> {
        let postgres = self.stage.cluster.command_line().swap_remove(0);
        let pg_ctl = Path::new(&postgres).with_file_name("pg_ctl");
        let words = [pg_ctl.to_str().unwrap(), "-D", self.stage.cluster.data().to_str().unwrap()];
        words.iter().chain(arguments).map(|&word| word.to_owned()).collect()
    }

    /// The same as the server's user, with an empty environment.
    pub fn pg_ctl(&self, arguments: &[&str]) -> Answer {
        let mut command = User::Server.command("env");
        command.arg("-i").args(self.pg_ctl_words(arguments));
        Answer::of(command.current_dir("/"))
    }

    /// `pg_ctl -p SCRIPT -w ARGUMENTS`, with the server's output in the stage's log.
    pub fn pg_ctl_with(&self, script: &Path, arguments: &[&str]) -> Answer {
        let log = self.stage.cluster.data().parent().unwrap().join("log");
        let mut words = vec!["-p", script.to_str().unwrap(), "-l", log.to_str().unwrap(), "-w"];
        words.extend(arguments);
        self.pg_ctl(&words)
    }
}

/// Writes the shipped script to a file, with the paths of this test: the program's, and that of the
/// server's own program.
pub fn write_script(file: &Path, server: &str, options: &str) {
    let text = fs::read_to_string(SCRIPT).unwrap();
    let changes = [
        ("/usr/bin/shmwarden", 2, warden::binary().to_str().unwrap().to_owned()),
        ("/usr/lib/postgresql/15/bin/postgres", 2, server.to_owned()),
        (" -- ", 1, format!(" {options} -- ")),
    ];
    let changed = changes.iter().fold(text, |text, (from, times, to)| {
        assert_eq!(text.matches(from).count(), *times, "{from} in {text}");
        text.replace(from, to)
    });
    fs::write(file, changed).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A command that was not run through any launcher.
pub fn as_server(words: &[&str]) -> Command {
    let mut command = User::Server.command(words[0]);
    command.args(&words[1..]);
    command
}
