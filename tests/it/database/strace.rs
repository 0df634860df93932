//! Holding a process at a named system call, by `strace`: before it is done, or when it is done and
//! the process does not know yet. Held by the tracer, it can still be killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::Kind;
use crate::support::processes::{self, Process};
use crate::support::skip::skip_without_strace;
use crate::support::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where in a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Asked for, not done.
    Before,
    /// Done, not returned from.
    After,
}

/// Calls to hold, and how to tell the one that is meant by its line.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Their names, as `strace` takes them.
    pub calls: &'static str,
    /// Where each is held.
    pub point: Point,
    /// Which call of each process; all of them if `None`.
    pub when: Option<u32>,
    /// What the line says.
    pub says: &'static str,
    /// How long any of them is held.
    pub held: Duration,
}

impl Hold {
    /// Holds what comes first of `calls`, long enough for whatever the test has to do meanwhile.
    pub fn first(calls: &'static str, point: Point) -> Self {
        Hold { calls, point, when: Some(1), says: "", held: Duration::from_secs(15) }
    }

    /// Holds a backend when it has made dynamic shared memory and listed it nowhere. Segments that
    /// others made are asked for by the same call.
    pub fn dynamic_memory_made(kind: Kind) -> Self {
        let (calls, says) = match kind.dynamic {
            "sysv" => ("shmget", "IPC_CREAT"),
            _ => ("fallocate", ""),
        };
        Hold { when: None, says, ..Hold::first(calls, Point::After) }
    }

    /// The options of `strace` for this, which writes to `file`.
    fn options(&self, file: &Path) -> Vec<String> {
        let delay = match self.point {
            Point::Before => "delay_enter",
            Point::After => "delay_exit",
        };
        let (calls, micros) = (self.calls, self.held.as_micros());
        let when = self.when.map_or(String::new(), |n| format!(":when={n}"));
        ["-qq", "-s", "400", "-o", file.to_str().unwrap(), "-e"]
            .map(str::to_owned)
            .into_iter()
            .chain([
                format!("trace={calls}"),
                "-e".to_owned(),
                format!("inject={calls}:{delay}={micros}{when}"),
            ])
            .collect()
    }

    /// Adds what makes a command line run under `strace`, with everything it starts.
    pub fn command(&self, mut strace: Command, file: &Path, words: &[String]) -> Command {
        skip_without_strace();
        strace.arg("-f").args(self.options(file)).arg("--").args(words);
        strace
    }

    /// Attaches to a process.
    pub fn attach(&self, pid: i32, file: &Path) -> Process {
        self.attach_with(&[], pid, file)
    }

    /// Attaches to a process and to what it forks from now on.
    pub fn attach_to_all(&self, pid: i32, file: &Path) -> Process {
        self.attach_with(&["-f"], pid, file)
    }

    fn attach_with(&self, more: &[&str], pid: i32, file: &Path) -> Process {
        skip_without_strace();
        let mut strace = Command::new("strace");
        strace.args(more).args(self.options(file)).arg("-p").arg(pid.to_string());
        let process = Process::spawn(strace.stdin(Stdio::null()).stderr(Stdio::null()));
        wait_until("strace is attached", PATIENCE, || tracer_of(pid) == Some(process.pid()));
        process
    }

    /// Waits until the process that is meant is held.
    pub fn wait(&self, file: &Path) {
        let is_it = |line: &str| {
            let held = match self.point {
                Point::Before => line.contains('('),
                Point::After => line.ends_with("(DELAYED)"),
            };
            held && line.contains(self.says)
        };
        wait_until(&format!("{self:?}"), PATIENCE, || {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().any(is_it)
        });
    }
}

/// Ends what holds a process and everything below it: their calls go on at once, and are not
/// traced any more.
pub fn let_go(pid: i32) {
    let tracers = processes::descendants(pid).into_iter().chain([pid]).filter_map(tracer_of);
    tracers.for_each(|tracer| processes::kill(tracer, Signal::SIGKILL));
}

/// Returns the pid of a process's tracer, if it has one.
pub fn tracer_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t"))?;
    tracer.parse().ok().filter(|tracer| *tracer != 0)
}
