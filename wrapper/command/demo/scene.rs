//! What the story is played with: the server's directory, this program, the launcher at work.

use std::ffi::OsString;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::libc::SIGKILL;
use shmwarden::ledger::file::{For, Ledger};
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
    /// What launcher and server write to stderr.
    log: PathBuf,
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
        let warden = scratch.join("shmwarden");
        let doing = format!("cannot copy this program to {}", warden.display());
        std::fs::copy("/proc/self/exe", &warden).map_err(failed(&doing))?;
        set_permissions(&warden, Permissions::from_mode(0o755)).map_err(failed(&doing))?;
        Ok(Self {
            account,
            processes: Processes::new(interrupts),
            ledger: home.join("demo.ledger"),
            home,
            warden,
            scratch: scratch.to_owned(),
            logs: 0,
        })
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
            match (claimed(&ledger, launcher), all.has_ended(launcher)) {
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
                let log = last_lines(&read(&launched.log));
                Trouble::Failed(format!("{why}; its log ends: {log}"))
            }
            other => other,
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
        let log = read(&launched.log);
        let lines = log.lines().filter(|line| {
            line.strip_prefix("shmwarden: ").is_some_and(|text| !text.starts_with("debug"))
        });
        lines.map(text::safe).collect()
    }

    fn new_log(&mut self) -> PathBuf {
        self.logs += 1;
        self.scratch.join(format!("log-{}", self.logs))
    }
}

/// The server that a launcher has claimed in the ledger.
fn claimed(ledger: &Path, launcher: i32) -> Option<i32> {
    let mut ledger = Ledger::open(ledger, For::Reading).ok()?;
    ledger.read_whole().ok()?;
    let run = ledger.book.last_run()?;
    let claim = run.claims.last()?;
    (run.start.launcher.pid == launcher).then_some(claim.process.pid)
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
