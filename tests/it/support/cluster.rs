//! A real PostgreSQL server in the sandbox: a data directory, a socket, a postmaster.
//!
//! The data directory is a copy of a template that is made once (`template`); the settings are
//! appended to `postgresql.conf`, so that the command line is what a distribution would use.

pub mod installed;
mod query;
mod template;

pub use query::Backend;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::processes::{self, Process};
use super::sandbox;
use super::user::User;
use super::waiting::wait_until;

/// How long a server may take to answer, to stop, or to start a query.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every cluster is set to, unless a test says otherwise. `max_stack_depth`, `jit` and the
/// like are left alone: what is tested is a server as people run it, only small and hasty.
const USUAL: [(&str, &str); 10] = [
    ("listen_addresses", "''"),
    ("shared_buffers", "256MB"),
    ("fsync", "off"),
    ("autovacuum", "off"),
    ("max_wal_size", "64MB"),
    ("min_wal_size", "2MB"),
    ("max_worker_processes", "8"),
    ("max_parallel_workers", "8"),
    ("log_line_prefix", "'%m [%p] '"),
    ("restart_after_crash", "on"),
];

/// A data directory with what is needed to run a server on it; the server, where one was started.
pub struct Cluster {
    binaries: PathBuf,
    directory: PathBuf,
    data: PathBuf,
    port: String,
    server: Option<Process>,
}

impl Cluster {
    /// A new cluster of this major; skips the test where there is no such server here.
    pub fn new(major: u32, settings: &[(&str, &str)]) -> Self {
        let number = fs::read_dir(sandbox::scratch()).unwrap().count();
        let directory = sandbox::scratch().join(format!("cluster{number}"));
        User::Server.make_directory(&directory);
        let data = directory.join("data");
        Cluster::in_data_directory(major, &data, settings)
    }

    /// Like [`Cluster::new`], with its data directory at a place of the test's choice, which may
    /// exist if it is empty (a mount point). Socket and log are in the directory above it.
    pub fn in_data_directory(major: u32, data: &Path, settings: &[(&str, &str)]) -> Self {
        let binaries = installed::binaries(major);
        template::copy(major, &binaries, data);
        let directory = data.parent().unwrap().to_owned();
        let mut conf =
            fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        for (name, value) in USUAL.iter().chain(settings) {
            writeln!(conf, "{name} = {value}").unwrap();
        }
        writeln!(conf, "unix_socket_directories = '{}'", directory.display()).unwrap();
        let port = settings.iter().rev().find(|(name, _)| *name == "port");
        let port = port.map_or("5432", |(_, port)| port).to_owned();
        Cluster { binaries, directory, data: data.to_owned(), port, server: None }
    }

    /// Removes lock files that a server which was killed had made and not yet written: PostgreSQL
    /// does not start on an empty one, and asks for a person (`miscinit.c`, `CreateLockFile`).
    pub fn remove_empty_lock_files(&self) {
        let socket = self.directory.join(format!(".s.PGSQL.{}.lock", self.port));
        for path in [socket, self.data.join("postmaster.pid")] {
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The server's command line.
    pub fn command_line(&self) -> Vec<String> {
        let postgres = self.binaries.join("postgres");
        let words = [postgres.as_path(), Path::new("-D"), &self.data];
        words.iter().map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    /// Starts the server as the child of the test and waits until it answers.
    pub fn start(&mut self) {
        self.start_under(&[]);
    }

    /// Starts the server behind a prefix, all of it as [`User::Server`], and waits for an answer.
    pub fn start_under(&mut self, prefix: &[String]) {
        self.spawn_under(prefix);
        self.wait_ready();
    }

    /// Like [`Cluster::start_under`], without waiting.
    pub fn spawn_under(&mut self, prefix: &[String]) {
        let mut words = prefix.to_vec();
        words.extend(self.command_line());
        let mut command = User::Server.command(&words[0]);
        command.args(&words[1..]);
        self.spawn(command);
    }

    /// Starts the server by any command that does; its output goes to the log.
    pub fn spawn(&mut self, mut command: Command) {
        assert!(self.server.is_none(), "a server of this cluster was started and not waited for");
        let log = fs::OpenOptions::new().append(true).create(true).open(self.log_path()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(Process::spawn(command.current_dir("/")));
    }

    /// Waits until the server answers; fails, with its log, if it ends before.
    pub fn wait_ready(&mut self) {
        let mut ended = false;
        wait_until(&format!("the server answers; log:\n{}", self.log()), PATIENCE, || {
            ended = self.server.as_mut().is_none_or(|server| !server.is_running());
            ended || self.try_sql("select 1").is_ok()
        });
        assert!(!ended, "the server has ended; log:\n{}", self.log());
    }

    /// What was started: the postmaster itself, or the launcher in front of it.
    pub fn server(&mut self) -> &mut Process {
        self.server.as_mut().expect("a server was started")
    }

    /// Waits for the end of what was started; another server may be started then.
    pub fn wait_end(&mut self) -> ExitStatus {
        let status = self.server().wait(PATIENCE);
        self.server = None;
        status
    }

    /// Kills the postmaster, and waits for its end if it is the test's child.
    pub fn kill_postmaster(&mut self) {
        let postmaster = self.postmaster_pid();
        processes::kill(postmaster, Signal::SIGKILL);
        if self.server().pid() == postmaster {
            self.wait_end();
        }
    }

    /// Asks the postmaster for a fast stop and waits for the end of what was started.
    pub fn stop(&mut self) -> ExitStatus {
        processes::kill(self.postmaster_pid(), Signal::SIGINT);
        self.wait_end()
    }

    /// Line 1 of `postmaster.pid`.
    pub fn postmaster_pid(&self) -> i32 {
        self.lock_file_line(1).parse().unwrap()
    }

    /// The id of the main segment, from line 7 of `postmaster.pid`.
    pub fn main_segment(&self) -> i32 {
        let line = self.lock_file_line(7);
        line.split_whitespace().nth(1).expect("KEY ID").parse().unwrap()
    }

    /// The postmaster's pid and those of everything below it.
    pub fn processes(&self) -> Vec<i32> {
        let postmaster = self.postmaster_pid();
        let mut pids = vec![postmaster];
        pids.extend(processes::descendants(postmaster));
        pids
    }

    /// What server and launcher wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn lock_file_line(&self, number: usize) -> String {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        text.lines().nth(number - 1).expect("a complete postmaster.pid").to_owned()
    }
}
