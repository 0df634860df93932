//! Processes of a test: started with a guard that ends them, looked up in `/proc`, killed.
//!
//! Pids are plain numbers here: a child keeps its pid until it was waited for, and within a sandbox
//! nothing else is started that could take over a number.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::sandbox;
use super::waiting::{happens_within, wait_until};

/// A child that is killed and waited for when the test lets go of it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Process { child }
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What it was started with, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, which must come within `longest`.
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        let what = format!("process {} ended", describe(self.pid()));
        wait_until(&what, longest, || !self.is_running());
        self.child.wait().unwrap()
    }

    /// Sends a signal. Without effect once it has been waited for.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            kill(self.pid(), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            kill(self.pid(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process; it may have ended.
pub fn kill(pid: i32, signal: Signal) {
    assert!(pid > 0, "{pid} names no single process");
    let _ = signal::kill(Pid::from_raw(pid), signal);
}

/// Kills everything in the sandbox except this test and the init, in one system call.
pub fn kill_everything() {
    sandbox::assert_own_pids();
    let _ = signal::kill(Pid::from_raw(-1), Signal::SIGKILL);
}

/// Whether there is a process that still runs: zombies do not.
pub fn lives(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The state letter of `/proc/<pid>/stat`, if there is such a process.
pub fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Whether a process has ended when `span` has passed, as a zombie at most.
pub fn ends_within(pid: i32, span: Duration) -> bool {
    happens_within(span, || !lives(pid))
}

/// Waits until a process has ended, as a zombie at most.
pub fn wait_end(pid: i32, longest: Duration) {
    wait_until(&format!("process {pid} ended"), longest, || !lives(pid));
}

/// Whether a process still lives after `span` all along.
pub fn outlives(pid: i32, span: Duration) -> bool {
    !happens_within(span, || !lives(pid))
}

/// The pids that this process sees, in order.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut pids: Vec<i32> = names.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// The descendants of a process, children before grandchildren.
pub fn descendants(ancestor: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&one) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// The parent of a process, if there is such a process.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// One line for a message: pid, state, command line.
pub fn describe(pid: i32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("{pid} {} {}", state(pid).unwrap_or('-'), command.escape_debug())
}

/// The words of `/proc/<pid>/stat` after the name, which may hold blanks and brackets itself.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
