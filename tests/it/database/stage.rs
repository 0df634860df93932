//! A server behind `shmwarden run`, with strangers around it that look like what a dead server
//! leaves, and everything that is to be said about who is left when it is over.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::matrix::Kind;
use crate::support::cluster::Cluster;
use crate::support::objects::{
    KEY_FAMILY, create_segment, create_shm_file, remove_segment, segments, shm_files,
};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::{processes, sandbox, skip, warden};

/// Numbers of strangers: no two of a test have the same, and after each lot one is free for the key
/// that a server with that port takes.
static NUMBERS: AtomicU32 = AtomicU32::new(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// What is there, by the name that `--json` gives it (`shm 5`, `posix PostgreSQL.7`), with what
/// tells it from another of that name.
pub type Objects = BTreeMap<String, String>;

/// Everything that is there now.
pub fn objects() -> Objects {
    let segments = segments().into_iter().map(|s| {
        let identity = format!("key {:#010x}, creator {}, {}", s.key, s.creator_pid, s.ctime);
        (format!("shm {}", s.id), identity)
    });
    let files = shm_files().into_iter();
    let files = files.map(|f| (format!("posix {}", f.name), format!("inode {}", f.inode)));
    segments.chain(files).collect()
}

/// What of `objects` is not in `others`.
pub fn without(objects: &Objects, others: &Objects) -> Objects {
    let is_other = |(name, identity): &(&String, &String)| others.get(*name) == Some(identity);
    let rest = objects.iter().filter(|object| !is_other(object));
    rest.map(|(name, identity)| (name.clone(), identity.clone())).collect()
}

/// A cluster with its ledger and its strangers.
pub struct Stage {
    /// The server.
    pub cluster: Cluster,
    /// Of its instance.
    pub ledger: PathBuf,
    strangers: Objects,
}

/// Whether what is kept is proven by nothing that the server wrote.
fn is_unproven(entry: &Value) -> bool {
    ["unlisted", "pid-reused", "appeared"].iter().any(|code| entry["reason_code"] == *code)
}

impl Stage {
    /// A cluster that was not started yet, with strangers that were there before it.
    pub fn new(kind: Kind) -> Self {
        Self::on_port(kind, "5432")
    }

    /// Like [`Stage::new`], with a port of the test's choice.
    pub fn on_port(kind: Kind, port: &str) -> Self {
        let cluster = kind.cluster(port);
        let directory = cluster.data().parent().unwrap().join("ledgers");
        User::Server.make_directory(&directory);
        let mut stage =
            Stage { cluster, ledger: directory.join("test.ledger"), strangers: Objects::new() };
        stage.add_strangers(3);
        stage
    }

    /// More strangers of the server's own user: segments in the known key family that nobody has
    /// attached, files with names like a server's, of which one differs from a server's in nothing.
    pub fn add_strangers(&mut self, count: u32) {
        let mut names = Vec::new();
        let first = NUMBERS.fetch_add(count + 1, Ordering::Relaxed);
        for number in first..first + count {
            let id = create_segment(User::Server, KEY_FAMILY + number, 4096);
            names.push(format!("shm {id}"));
            let file = match number == first {
                true => format!("PostgreSQL.{}", 1000 + number),
                false => format!("PostgreSQL.stranger{number}"),
            };
            create_shm_file(User::Server, &file, 4096);
            names.push(format!("posix {file}"));
        }
        let mut new = objects();
        new.retain(|name, _| names.contains(name));
        assert_eq!(new.len(), names.len(), "all strangers are there");
        self.strangers.extend(new);
    }

    /// Where a test of this stage may keep files that the server's user writes.
    pub fn directory(&self) -> &Path {
        self.ledger.parent().unwrap()
    }

    /// The words to put before the server's command line.
    pub fn prefix(&self) -> Vec<String> {
        warden::prefix(&["run", "--ledger", self.ledger.to_str().unwrap()])
    }

    /// Starts the server behind the launcher, which is the test's own child, and waits for it.
    pub fn start(&mut self) {
        let prefix = self.prefix();
        self.cluster.start_under(&prefix);
    }

    /// Kills the postmaster; what became of the launcher.
    pub fn kill_server(&mut self) -> ExitStatus {
        processes::kill(self.cluster.postmaster_pid(), Signal::SIGKILL);
        self.cluster.wait_end()
    }

    /// Kills the launcher alone.
    pub fn kill_launcher(&mut self) {
        self.cluster.server().signal(Signal::SIGKILL);
        self.cluster.wait_end();
    }

    /// Kills everything there is in one system call, and waits until nothing of it is left.
    pub fn kill_together(&mut self) {
        processes::kill_everything();
        self.cluster.wait_end();
        self.wait_alone();
        self.cluster.remove_empty_lock_files();
    }

    /// Waits until nothing runs but the test. Its own children may be zombies.
    pub fn wait_alone(&self) {
        sandbox::assert_inside();
        let alive = |pid: &i32| processes::lives(*pid);
        wait_until("everything else has ended", PATIENCE, || {
            processes::all().iter().filter(|pid| alive(pid)).count() == 2
        });
    }

    /// What is there beside the strangers.
    pub fn left(&self) -> Objects {
        without(&objects(), &self.strangers)
    }

    /// Fails if a stranger was touched.
    pub fn assert_strangers_stand(&self) {
        let gone = without(&self.strangers, &objects());
        assert_eq!(gone, Objects::new(), "strangers are gone; {}", self.told());
    }

    /// Fails if anything of the server is left, or a stranger was touched.
    pub fn assert_clean(&self) {
        self.assert_strangers_stand();
        assert_eq!(self.left(), Objects::new(), "left over; {}", self.told());
    }

    /// Sweeps as the server's user. Fails unless everything that stays is reported as kept because
    /// it was never listed or got no header, and nothing that is gone is. Gives what stays of the
    /// server.
    pub fn sweep(&self) -> Objects {
        let answer = self.sweep_json();
        self.assert_strangers_stand();
        let left = self.left();
        let mut reported: Vec<&str> = Vec::new();
        let entries = answer["ledgers"][0]["objects"].as_array().unwrap();
        let names: Vec<String> = entries.iter().map(name_of).collect();
        for (entry, name) in entries.iter().zip(&names) {
            match entry["outcome"].as_str().unwrap() {
                "removed" | "gone" => {}
                "kept" if is_unproven(entry) => reported.push(name),
                _ => panic!("{entry}\n{}", self.told()),
            }
        }
        let strangers = |name: &&str| self.strangers.contains_key(*name);
        reported.retain(|name| !strangers(name));
        reported.sort_unstable();
        let there: Vec<&str> = left.keys().map(String::as_str).collect();
        assert_eq!(there, reported, "{answer:#}\n{}", self.told());
        left
    }

    /// `sweep` says that the server lives, and what it has stands.
    pub fn sweep_refuses_while_it_lives(&self) {
        let before = self.left();
        let ledger = self.ledger.to_str().unwrap();
        let answer = warden::answer(User::Server, &["sweep", "--json", ledger]).expect_code(75);
        assert_eq!(answer.json()["ledgers"][0]["state"], "live", "{answer:?}");
        assert_eq!(self.left(), before);
        self.assert_strangers_stand();
        assert_eq!(self.cluster.sql("select 1"), "1");
    }

    /// What `sweep` says, which must end with 0.
    pub fn sweep_json(&self) -> Value {
        let ledger = self.ledger.to_str().unwrap();
        warden::answer(User::Server, &["sweep", "--json", ledger]).expect_code(0).json()
    }

    /// The last run, as `history` tells it.
    pub fn last_run(&self) -> Value {
        let ledger = self.ledger.to_str().unwrap();
        let answer = warden::answer(User::Server, &["history", "--json", ledger]).expect_code(0);
        let runs = answer.json()["runs"].as_array().unwrap().clone();
        runs.last().expect("a run").clone()
    }

    /// For messages: what the server and the launcher said, and what the ledger holds.
    pub fn told(&self) -> String {
        let ledger = fs::read_to_string(&self.ledger).unwrap_or_default();
        format!("ledger:\n{ledger}\nlog:\n{}", self.cluster.log())
    }
}

/// Skips the test without root: every server is in a user namespace of its own then, from where
/// neither the sandbox's init nor another server can be looked into, and what cannot is kept.
pub fn needs_root() {
    if !sandbox::has_root() {
        skip("needs root, for processes of one user that may look into each other");
    }
}

/// The end of the launcher as its parent sees it: by the server's own signal.
pub fn assert_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}");
}

/// Removes what a test has looked at, as an administrator would.
pub fn remove_by_hand(objects: &Objects) {
    for name in objects.keys() {
        match name.split_once(' ').unwrap() {
            ("shm", id) => remove_segment(id.parse().unwrap()),
            (_, file) => fs::remove_file(Path::new("/dev/shm").join(file)).unwrap(),
        }
    }
}

fn name_of(entry: &Value) -> String {
    let kind = entry["kind"].as_str().unwrap();
    match entry["name"].as_str() {
        Some(name) => format!("{kind} {name}"),
        None => format!("{kind} {}", entry["id"]),
    }
}
