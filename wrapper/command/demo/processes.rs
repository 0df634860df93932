//! The processes that the demo starts: tracked by pid, waited for with a limit, ended by pid.
//!
//! The demo reaps every child that ends, its own and the orphans that come to it as subreaper or
//! as PID 1, so that no zombie waits for anybody slower.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc::{SIGINT, SIGKILL};
use shmwarden::proc::read;
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::signals;

use super::trouble::{Interrupts, Outcome, Trouble, failed};

/// How long anything may take that the story waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to end by itself when asked.
const GRACE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);

/// The children of the demo.
#[derive(Debug)]
pub(super) struct Processes {
    started: BTreeMap<i32, Option<Ended>>,
    interrupts: Interrupts,
}

impl Processes {
    /// None yet.
    pub(super) fn new(interrupts: Interrupts) -> Self {
        let started = BTreeMap::new();
        Self { started, interrupts }
    }

    /// Finishes from now on what it does, whatever signals came: for clearing away.
    pub(super) fn outlast_interrupts(&mut self) {
        self.interrupts = Interrupts::none();
    }

    /// Starts a command with its output in these files.
    pub(super) fn start(&mut self, command: &mut Command, out: &Path, err: &Path) -> Outcome<i32> {
        let doing = format!("cannot start {}", command.get_program().to_string_lossy());
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let stdout = open(out).map_err(failed(&doing))?;
        let stderr = open(err).map_err(failed(&doing))?;
        // A group of its own, as a service manager or a shell gives: a terminal's ^C is for the
        // demo, which ends the rest in order.
        command.process_group(0);
        // Not waited for through this handle: `tend` reaps every child.
        #[allow(clippy::zombie_processes)]
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(failed(&doing))?;
        let pid = i32::try_from(child.id()).map_err(failed(&doing))?;
        self.started.insert(pid, None);
        Ok(pid)
    }

    /// Runs a short command to its end, which must come in time. A signal to the demo waits for
    /// it: `initdb` interrupted in the middle leaves the shared memory of its own servers behind.
    pub(super) fn run(&mut self, command: &mut Command, out: &Path, err: &Path) -> Outcome<Ended> {
        let pid = self.start(command, out, err)?;
        let what = format!("the end of {}", command.get_program().to_string_lossy());
        let interrupts = std::mem::replace(&mut self.interrupts, Interrupts::none());
        let ended = self.end_of(pid, &what);
        self.interrupts = interrupts;
        self.interrupts.check()?;
        ended
    }

    /// Waits for a process that was started here.
    pub(super) fn end_of(&mut self, pid: i32, what: &str) -> Outcome<Ended> {
        self.wait_until(what, |processes| Ok(processes.has_ended(pid)))
    }

    /// How a process that was started here has ended, if it has.
    pub(super) fn has_ended(&mut self, pid: i32) -> Option<Ended> {
        self.tend();
        self.started.get(&pid).copied().flatten()
    }

    /// Waits until there is an answer.
    pub(super) fn wait_until<T>(
        &mut self,
        what: &str,
        mut answer: impl FnMut(&mut Self) -> Outcome<Option<T>>,
    ) -> Outcome<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.tend();
            if let Some(found) = answer(self)? {
                return Ok(found);
            }
            self.pause(what, until)?;
        }
    }

    /// A little later, unless somebody wants the demo to end or it has taken too long.
    fn pause(&self, what: &str, until: Instant) -> Outcome<()> {
        self.interrupts.check()?;
        if Instant::now() >= until {
            let seconds = PATIENCE.as_secs();
            return Err(Trouble::Failed(format!("waited {seconds} s for {what}")));
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }

    /// Ends every child and what comes after it: asked first (a database ends fast at SIGINT), so
    /// that each cleans up; then killed.
    pub(super) fn end_all(&mut self) {
        let killed_at = Instant::now() + GRACE;
        let mut asked = Vec::new();
        loop {
            self.tend();
            let children = children();
            let now = Instant::now();
            if children.is_empty() || now >= killed_at + GRACE {
                break;
            }
            // Unreaped children of ours: their pids cannot have come to mean others.
            for pid in children {
                if now >= killed_at {
                    let _ = signals::send(pid, SIGKILL);
                } else if !asked.contains(&pid) {
                    let _ = signals::send(pid, SIGINT);
                    asked.push(pid);
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Reaps whatever has ended.
    fn tend(&mut self) {
        while let Ok(Some(pid)) = process::any_ended() {
            match process::reap(pid) {
                Ok(ended) => {
                    if let Some(known) = self.started.get_mut(&pid) {
                        *known = ended;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// The children of this process: its own, and orphans that came to it. Found by their
/// parent's pid: `children` files are not in every kernel.
pub(super) fn children() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let pids = read::pids().unwrap_or_default().into_iter();
    pids.filter(|&pid| {
        let stat = read::stat(pid).ok().and_then(shmwarden::proc::Seen::here);
        stat.is_some_and(|stat| stat.ppid == own)
    })
    .collect()
}
