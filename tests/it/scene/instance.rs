//! An instance as the tests see it: a ledger in a directory of its own, and the program's answers
//! about it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// How long something may take that happens at once.
pub const SOON: Duration = Duration::from_secs(10);

/// A ledger's path, whether there is a ledger or not, and who it belongs to.
pub struct Instance {
    user: User,
    ledger: PathBuf,
}

impl Instance {
    /// An instance of `user`, with an empty directory for its ledger.
    pub fn new(user: User) -> Self {
        let number = fs::read_dir(sandbox::scratch()).unwrap().count();
        let directory = sandbox::scratch().join(format!("ledgers{number}"));
        user.make_directory(&directory);
        Instance::at(user, &directory.join("server.ledger"))
    }

    /// An instance with its ledger at a path of the test's choice.
    pub fn at(user: User, ledger: &Path) -> Self {
        let ledger = ledger.to_owned();
        Instance { user, ledger }
    }

    /// The path of the ledger.
    pub fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// The same as text, for an argument.
    pub fn path(&self) -> &str {
        self.ledger.to_str().unwrap()
    }

    /// The directory that the ledger is in.
    pub fn directory(&self) -> &Path {
        self.ledger.parent().unwrap()
    }

    /// `run OPTIONS --ledger LEDGER`: the arguments that start something under this ledger.
    fn run_arguments<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["run", "--ledger", self.path()];
        arguments.extend(options);
        arguments
    }

    /// The words to put before a server's command line.
    pub fn prefix(&self, options: &[&str]) -> Vec<String> {
        warden::prefix(&self.run_arguments(options))
    }

    /// `shmwarden run OPTIONS -- WORDS` as this user, in a process group of its own, as a service
    /// manager starts it: for the generic engine the group tells who is the server's.
    pub fn run(&self, options: &[&str], words: &[impl AsRef<str>]) -> Command {
        let mut command = warden::command(self.user, &self.run_arguments(options));
        command.arg("--").args(words.iter().map(AsRef::as_ref)).process_group(0);
        command
    }

    /// `shmwarden sweep --json OPTIONS LEDGER` as this user.
    pub fn sweep(&self, options: &[&str]) -> Answer {
        self.sweep_as(self.user, options)
    }

    /// The same as another user.
    pub fn sweep_as(&self, user: User, options: &[&str]) -> Answer {
        Answer::of(self.sweep_command(user, options).arg(self.path()))
    }

    /// `shmwarden sweep LEDGER` as this user, for people: what it prints.
    pub fn sweep_in_words(&self) -> Answer {
        warden::answer(self.user, &["sweep", self.path()])
    }

    /// `shmwarden sweep --json --dir DIRECTORY` as this user: as a hook calls it.
    pub fn sweep_directory(&self) -> Answer {
        let mut command = self.sweep_command(self.user, &["--dir"]);
        Answer::of(command.arg(self.directory()))
    }

    /// Starts a `sweep --json --wait 10s` and gives it back when it has begun to wait.
    pub fn sweep_waiting(&self) -> Process {
        let mut command = self.sweep_command(self.user, &["--wait", "90s", self.path()]);
        let mut sweep = Process::spawn(command.stdout(std::process::Stdio::piped()));
        let pid = sweep.pid();
        wait_until("the sweep waits", SOON, || is_polling(pid));
        assert!(sweep.is_running());
        sweep
    }

    fn sweep_command(&self, user: User, options: &[&str]) -> Command {
        let mut command = warden::command(user, &["sweep", "--json"]);
        command.args(options);
        command
    }

    /// The ledger's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.ledger).unwrap()
    }

    /// Waits until this many objects have been written into the ledger.
    pub fn wait_recorded(&self, count: usize) {
        wait_until("the objects are in the ledger", SOON, || self.count("object") >= count);
    }

    /// How many records of a kind the ledger has.
    pub fn count(&self, kind: &str) -> usize {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        text.matches(&format!(r#""record":"{kind}""#)).count()
    }

    /// Names of the files beside the ledger that begin as it does.
    pub fn set_aside(&self) -> Vec<String> {
        let name = self.ledger.file_name().unwrap().to_str().unwrap();
        let entries = fs::read_dir(self.directory()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|other| other.starts_with(name) && other != name).collect()
    }
}

/// Skips a test in which processes have to look into each other, where a sandbox without root gives
/// each a user namespace of its own: what may not be looked into is kept, and that is right.
pub fn need_to_look_into_others() {
    need_root("for processes that may look into each other");
}

/// Skips a test without root.
pub fn need_root(why: &str) {
    if !sandbox::has_root() {
        skip(format!("needs root, {why}"));
    }
}

/// Whether a process is in `poll`, by its number or that of `ppoll`.
fn is_polling(pid: i32) -> bool {
    let numbers = if cfg!(target_arch = "x86_64") { ["7 ", "271 "] } else { ["73 ", "73 "] };
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    processes::lives(pid) && numbers.iter().any(|number| call.starts_with(number))
}

/// The one ledger of an answer of `sweep --json`.
pub fn only_ledger(answer: &Answer) -> Value {
    let document = answer.json();
    assert_eq!(document["schema"], 1, "{answer:?}");
    let ledgers = document["ledgers"].as_array().unwrap();
    assert_eq!(ledgers.len(), 1, "{answer:?}");
    ledgers[0].clone()
}

/// The state that an answer of `sweep --json` gives its one ledger.
pub fn state(answer: &Answer) -> String {
    only_ledger(answer)["state"].as_str().unwrap().to_owned()
}

/// What an answer of `sweep --json` says of each object of its one ledger: `outcome reason_code`,
/// sorted, each once.
pub fn outcomes(answer: &Answer) -> Vec<String> {
    let ledger = only_ledger(answer);
    let objects = ledger["objects"].as_array().unwrap();
    let word = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
    let mut all: Vec<String> = objects
        .iter()
        .map(|object| word(object, "outcome") + " " + &word(object, "reason_code"))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The pids of every holder in an answer of `sweep --json`, sorted, each once.
pub fn holders(answer: &Answer) -> Vec<i64> {
    let ledger = only_ledger(answer);
    let objects = ledger["objects"].as_array().unwrap();
    let holders = objects.iter().flat_map(|object| object["holders"].as_array().unwrap());
    let mut pids: Vec<i64> = holders.map(|holder| holder["pid"].as_i64().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}
