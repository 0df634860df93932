//! What the story is played with: the scratch directory, and the processes that the demo starts.
//!
//! The demo is the parent of every one of them in the end (as subreaper, or as PID 1), reaps each,
//! waits for each with a limit, and ends by pid what is still there when the story is over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc::{SIGINT, SIGKILL};
use shmwarden::proc::{Seen, read};
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::signals;

use super::server::PID_FILE;
use crate::interrupts::Interrupts;
use crate::render::text;

/// How long anything may take that the story waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a process may take to end by itself when asked.
const GRACE: Duration = Duration::from_secs(5);
pub(super) const PAUSE: Duration = Duration::from_millis(10);
/// Lines of a log that are shown when something failed.
const LINES_SHOWN: usize = 6;

/// What may go wrong, as a sentence.
pub(super) type Outcome<T> = Result<T, String>;

/// For `map_err`: what was done, and what the system said.
pub(super) fn failed<E: fmt::Display>(doing: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{doing}: {error}")
}

/// A server that runs under `shmwarden run`.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) launcher: i32,
    pub(super) server: i32,
    log: PathBuf,
}

impl Launched {
    /// Returns what the launcher has said.
    pub(super) fn told(&self) -> String {
        let log = read_text(&self.log);
        let lines = log.lines().filter(|line| line.starts_with("shmwarden: "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Scratch directory and processes.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    scratch: PathBuf,
    interrupts: &'a Interrupts,
    /// How each child ended that has been reaped.
    ended: BTreeMap<i32, Ended>,
}

impl<'a> Stage<'a> {
    /// Sets it in the scratch directory. Links to this very program stand for the programs that are
    /// started: the file itself may lie where the server's user cannot reach it.
    pub(super) fn set(scratch: &Path, interrupts: &'a Interrupts) -> Outcome<Self> {
        let stage = Self { scratch: scratch.to_owned(), interrupts, ended: BTreeMap::new() };
        for program in ["shmwarden", "stand-in"] {
            std::os::unix::fs::symlink("/proc/self/exe", stage.path(program))
                .map_err(failed("cannot make a link in the scratch directory"))?;
        }
        Ok(stage)
    }

    /// Returns the path of something in the scratch directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Starts a program in a plain environment, so that no variable of the caller's changes what a
    /// server or `shmwarden` does. What it writes goes to `log`.
    fn start(&self, program: &Path, args: &[OsString], log: &Path) -> Outcome<i32> {
        let doing = format!("cannot start {}", program.display());
        let stdout = File::create(log).map_err(failed(&doing))?;
        let stderr = stdout.try_clone().map_err(failed(&doing))?;
        let mut command = Command::new(program);
        command.args(args).env_clear().env("HOME", &self.scratch).env("LC_ALL", "C");
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // A group of its own, as a service manager or a shell gives: a terminal's ^C is for the
        // demo, which ends the rest in order.
        command.process_group(0).current_dir(&self.scratch);
        // Not waited for through this handle: `has_ended` reaps every child.
        #[allow(clippy::zombie_processes)]
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        let pid = child.map_err(failed(&doing))?.id();
        i32::try_from(pid).map_err(failed(&doing))
    }

    /// Runs a program to its end; how it ended, and what it said. A signal to the demo waits for
    /// it: `initdb` interrupted in the middle leaves the shared memory of its own servers behind.
    pub(super) fn run(&mut self, program: &Path, args: &[OsString]) -> Outcome<(Ended, String)> {
        let log = self.path("output");
        let pid = self.start(program, args, &log)?;
        let what = format!("the end of {}", program.display());
        let ended = self.wait(&what, false, |stage| stage.has_ended(pid))?;
        Ok((ended, read_text(&log)))
    }

    /// Runs `shmwarden sweep` on the ledger of this name.
    pub(super) fn sweep(&mut self, name: &str, options: &[&str]) -> Outcome<(Ended, String)> {
        let ledger = self.path(&format!("{name}.ledger")).into_os_string();
        let words = ["sweep"].iter().chain(options).map(OsString::from);
        self.run(&self.path("shmwarden"), &words.chain([ledger]).collect::<Vec<_>>())
    }

    /// Starts a server under `shmwarden run`, with a ledger and a data directory of this name, and
    /// waits until it is ready.
    pub(super) fn launch(&mut self, name: &str, server: &[OsString]) -> Outcome<Launched> {
        let ledger = self.path(&format!("{name}.ledger")).into_os_string();
        let mut args: Vec<OsString> = vec!["run".into(), "--ledger".into(), ledger, "--".into()];
        args.extend(server.iter().cloned());
        let log = self.path(&format!("{name}.log"));
        let launcher = self.start(&self.path("shmwarden"), &args, &log)?;
        let pid_file = self.path(name).join(PID_FILE);
        let ready = self.wait("the server to be ready", true, |stage| {
            let text = read_text(&pid_file);
            let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
            let is_ready = text.lines().last().is_some_and(|line| line.starts_with("ready"));
            // The file of the server before may be there still.
            match pid.filter(|&pid| is_ready && parent(pid) == Some(launcher)) {
                None if stage.has_ended(launcher).is_some() => Some(None),
                pid => pid.map(Some),
            }
        });
        match ready? {
            Some(server) => Ok(Launched { launcher, server, log }),
            None => Err(format!("the server does not start: {}", last_lines(&read_text(&log)))),
        }
    }

    /// Returns how a child has ended, if it has.
    pub(super) fn has_ended(&mut self, pid: i32) -> Option<Ended> {
        while let Ok(Some(pid)) = process::any_ended() {
            let Ok(Some(ended)) = process::reap(pid) else { break };
            self.ended.insert(pid, ended);
        }
        self.ended.get(&pid).copied()
    }

    /// Waits until there is an answer, or, where it heeds signals, the demo is asked to end.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        heeds_signals: bool,
        mut answer: impl FnMut(&mut Self) -> Option<T>,
    ) -> Outcome<T> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !(heeds_signals && self.interrupts.signal().is_some()) {
            if let Some(found) = answer(self) {
                return Ok(found);
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("waited up to {} s for {what}", PATIENCE.as_secs()))
    }

    /// Ends every child and what comes after it: asked first (a database ends fast at SIGINT), so
    /// that each cleans up; then killed.
    pub(super) fn end_all(&mut self) {
        for signal in [SIGINT, SIGKILL] {
            let until = Instant::now() + GRACE;
            let mut asked = Vec::new();
            while Instant::now() < until {
                self.has_ended(0);
                let children = children();
                if children.is_empty() {
                    return;
                }
                // Unreaped children of ours: their pids cannot have come to mean others.
                for pid in children {
                    if !asked.contains(&pid) {
                        let _ = signals::send(pid, signal);
                        asked.push(pid);
                    }
                }
                std::thread::sleep(PAUSE);
            }
        }
        log::error!("processes of the demo are still there");
    }
}

/// The children of this process: its own, and those that came to it. Found by their parent's pid:
/// `children` files are not in every kernel.
fn children() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).ok();
    let pids = read::pids().unwrap_or_default().into_iter();
    pids.filter(|&pid| own.is_some() && parent(pid) == own).collect()
}

fn parent(pid: i32) -> Option<i32> {
    Some(read::stat(pid).ok().and_then(Seen::here)?.ppid)
}

fn read_text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The end of a log, on one line and safe to print.
pub(super) fn last_lines(log: &str) -> String {
    let mut lines: Vec<String> = log.lines().rev().take(LINES_SHOWN).map(text::safe).collect();
    lines.reverse();
    lines.join(" | ")
}
