//! What the story is played with: the server's directory, this program, the launcher at work.

use std::ffi::OsString;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::libc::SIGKILL;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::object::{EngineName, Identity, SemaphoreSet};
use shmwarden::sys::process::Ended;

use super::account::Account;
use super::processes::Processes;
use super::trouble::{Interrupts, Outcome, Trouble, failed};
use crate::render::text;

/// Lines of a log that are shown when something failed.
const LINES_SHOWN: usize = 6;

/// A server that runs under `shmwarden run`.
#[derive(Debug, Clone)]
pub(super) struct Launched {
    pub(super) launcher: i32,
    pub(super) server: i32,
    /// What launcher and server write.
    log: PathBuf,
}

impl Launched {
    /// What launcher and server have written so far.
    pub(super) fn said(&self) -> String {
        read(&self.log)
    }
}

/// The scene.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) account: Account,
    pub(super) processes: Processes,
    /// The directory of the server's user, with the ledger in it.
    pub(super) home: PathBuf,
    /// The ledger of all runs.
    pub(super) ledger: PathBuf,
    /// A copy of this program that the server's user may execute.
    pub(super) warden: PathBuf,
    scratch: PathBuf,
    logs: usize,
}

impl Scene {
    /// Sets it in the scratch directory.
    pub(super) fn set(scratch: &Path, interrupts: Interrupts) -> Outcome<Self> {
        let account = Account::of_server();
        let home = scratch.join("server");
        account.make_directory(&home)?;
        let mut scene = Self {
            account,
            processes: Processes::new(interrupts),
            ledger: home.join("demo.ledger"),
            home,
            warden: PathBuf::new(),
            scratch: scratch.to_owned(),
            logs: 0,
        };
        scene.warden = scene.copy_program("shmwarden")?;
        Ok(scene)
    }

    /// Copies this program for the server's user under a name; where to.
    pub(super) fn copy_program(&self, name: &str) -> Outcome<PathBuf> {
        let copy = self.program(name);
        let doing = format!("cannot copy this program to {}", copy.display());
        std::fs::copy("/proc/self/exe", &copy).map_err(failed(&doing))?;
        set_permissions(&copy, Permissions::from_mode(0o755)).map_err(failed(&doing))?;
        Ok(copy)
    }

    /// Where the copy of a name is.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Runs a program as the server's user to its end; what it printed.
    pub(super) fn output(&mut self, program: &Path, args: &[OsString]) -> Outcome<(Ended, String)> {
        let (out, err) = (self.new_log(), self.new_log());
        let mut command = self.account.command(program, &self.home);
        let ended = self.processes.run(command.args(args), &out, &err)?;
        let complaint = read(&err);
        if ended != Ended::Exited(0) && !complaint.trim().is_empty() {
            log::warn!("{} said: {}", program.display(), last_lines(&complaint));
        }
        Ok((ended, read(&out)))
    }

    /// Runs this program with these words and the ledger.
    pub(super) fn warden(&mut self, words: &[&str]) -> Outcome<(Ended, String)> {
        let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
        args.push(self.ledger.clone().into());
        let warden = self.warden.clone();
        self.output(&warden, &args)
    }

    /// Starts a server under `shmwarden run`, up to its claim.
    pub(super) fn launch(&mut self, server: &[OsString]) -> Outcome<Launched> {
        let log = self.new_log();
        let mut command = self.account.command(&self.warden, &self.home);
        command.arg("run").arg("--ledger").arg(&self.ledger);
        command.arg("--").args(server);
        let launcher = self.processes.start(&mut command, &log, &log)?;
        let ledger = self.ledger.clone();
        let server = self.processes.wait_until("the claim of the server", |all| {
            let claim = last_claim(&ledger, launcher);
            match (claim.map(|(pid, _)| pid), all.has_ended(launcher)) {
                (None, Some(_)) => Err(Trouble::Failed(format!(
                    "shmwarden run has ended before the server began: {}",
                    last_lines(&read(&log))
                ))),
                (found, _) => Ok(found),
            }
        })?;
        Ok(Launched { launcher, server, log })
    }

    /// Waits until a launched server answers.
    pub(super) fn wait_until_ready<T>(
        &mut self,
        launched: &Launched,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Outcome<T> {
        let what = "the server to be ready";
        let waited = self.processes.wait_until(what, |all| {
            if all.has_ended(launched.launcher).is_some() {
                return Err(Trouble::Failed("the server has ended by itself".to_owned()));
            }
            Ok(ready())
        });
        waited.map_err(|trouble| match trouble {
            Trouble::Failed(why) => {
                let log = last_lines(&launched.said());
                Trouble::Failed(format!("{why}; its log ends: {log}"))
            }
            other => other,
        })
    }

    /// Waits until the ledger names these sets. The kernel keeps no creator of a set: had launcher
    /// and server died together before that, nobody could prove whose it was.
    pub(super) fn wait_until_recorded(&mut self, sets: &[SemaphoreSet]) -> Outcome<()> {
        let path = self.ledger.clone();
        self.processes.wait_until("the ledger to name the server's sets", |_| {
            let Some(ledger) = read_ledger(&path) else { return Ok(None) };
            let is_named = |set: &SemaphoreSet| {
                let named = ledger.book.objects.values().map(|object| &object.identity);
                named.into_iter().any(|one| matches!(one, Identity::Sem(named) if named.is(set)))
            };
            Ok(sets.iter().all(is_named).then_some(()))
        })
    }

    /// Waits for the end of the launcher; whether it was SIGKILL.
    pub(super) fn launcher_was_killed(&mut self, launched: &Launched) -> Outcome<bool> {
        let what = "the end of shmwarden run";
        let ended = self.processes.end_of(launched.launcher, what)?;
        Ok(matches!(ended, Ended::Signaled(SIGKILL, _)))
    }

    /// What the launcher wrote to its log of objects, line by line, safe to print.
    pub(super) fn removals_told(&self, launched: &Launched) -> Vec<String> {
        let log = launched.said();
        let lines = log.lines().filter(|line| {
            line.strip_prefix("shmwarden: ").is_some_and(|text| !text.starts_with("debug"))
        });
        lines.map(text::safe).collect()
    }

    /// What a launcher takes its server for, by its claim.
    pub(super) fn engine_of(&self, launched: &Launched) -> Option<EngineName> {
        last_claim(&self.ledger, launched.launcher).map(|(_, engine)| engine)
    }

    fn new_log(&mut self) -> PathBuf {
        self.logs += 1;
        self.scratch.join(format!("log-{}", self.logs))
    }
}

/// Whom a launcher has claimed last in the ledger, and as what.
fn last_claim(ledger: &Path, launcher: i32) -> Option<(i32, EngineName)> {
    let ledger = read_ledger(ledger)?;
    let run = ledger.book.last_run()?;
    let claim = run.claims.last()?;
    (run.start.launcher.pid == launcher).then_some((claim.process.pid, claim.engine))
}

fn read_ledger(path: &Path) -> Option<Ledger> {
    let mut ledger = Ledger::open(path, For::Reading).ok()?;
    ledger.read_whole().ok()?;
    Some(ledger)
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The end of a log, on one line and safe to print.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(LINES_SHOWN);
    let shown: Vec<String> = lines.iter().skip(first).map(|line| text::safe(line)).collect();
    shown.join(" | ")
}
