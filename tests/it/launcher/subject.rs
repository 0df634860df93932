//! The launchers that are compared, and a command under one of them.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::waiting::happens_within;
use crate::support::warden;

/// How long a launcher may take for what happens at once; one that hangs takes all of it.
pub const LIMIT: Duration = Duration::from_secs(8);

/// The same where nothing is waited for in vain.
const STALLED: Duration = Duration::from_secs(48);

static MAY_HANG: AtomicBool = AtomicBool::new(false);

/// How long what is measured may take to come: [`LIMIT`] with a launcher that may never do it, and
/// longer with ours and with none, for a machine that stalls.
pub fn patience() -> Duration {
    if MAY_HANG.load(Ordering::Relaxed) { LIMIT } else { STALLED }
}

/// How long something may take to come that ought not to come.
pub const A_WHILE: Duration = Duration::from_millis(300);

/// What stands between a test and the command that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Nothing.
    Without,
    /// `shmwarden run`.
    Ours,
    /// `tini -s`: as a subreaper, where it is not PID 1.
    Tini,
    DumbInit,
    Catatonit,
}

/// In the order of the page's columns.
pub const ALL: [Subject; 5] =
    [Subject::Without, Subject::Ours, Subject::Tini, Subject::DumbInit, Subject::Catatonit];

impl Subject {
    /// Says whose behaviour is measured from here on, in this test's process.
    pub fn is_measured(self) {
        let is_known = matches!(self, Subject::Without | Subject::Ours);
        MAY_HANG.store(!is_known, Ordering::Relaxed);
    }

    /// Its name as a column of the page.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Without => "none",
            Subject::Ours => "shmwarden",
            Subject::Tini => "tini",
            Subject::DumbInit => "dumb-init",
            Subject::Catatonit => "catatonit",
        }
    }

    /// Whether it can be measured here, in the version that the page is about.
    pub fn look(self) -> Result<(), String> {
        let (program, wanted) = match self {
            Subject::Without | Subject::Ours => return Ok(()),
            Subject::Tini => ("tini", "0.19."),
            Subject::DumbInit => ("dumb-init", "v1.2.5"),
            Subject::Catatonit => ("catatonit", "0.1.7"),
        };
        let Ok(output) = Command::new(program).arg("--version").output() else {
            return Err(format!("{program}, which is not installed"));
        };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match said.contains(wanted) {
            true => Ok(()),
            false => Err(format!("{program}, which is {said:?} here and {wanted} on the page")),
        }
    }

    /// The words to put before a command, as absolute paths. Each call has a ledger of its own.
    pub fn prefix(self) -> Vec<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let words = |program: &str, options: &[&str]| {
            let program = PathBuf::from("/usr/bin").join(program).to_str().unwrap().to_owned();
            let options = options.iter().map(|&option| option.to_owned());
            std::iter::once(program).chain(options).collect()
        };
        match self {
            Subject::Without => Vec::new(),
            Subject::Ours => {
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                let ledger = sandbox::scratch().join(format!("launcher-{number}.ledger"));
                warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()])
            }
            Subject::Tini => words("tini", &["-s", "--"]),
            Subject::DumbInit => words("dumb-init", &["--"]),
            Subject::Catatonit => words("catatonit", &["--"]),
        }
    }

    /// `before`, the launcher, `command`: the words of a whole command line.
    pub fn words(self, before: &[&str], command: &[&str]) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        [owned(before), self.prefix(), owned(command)].concat()
    }

    /// The same as a command, with nothing to read.
    pub fn command(self, before: &[&str], command: &[&str]) -> Command {
        let words = self.words(before, command);
        let mut all = Command::new(&words[0]);
        all.args(&words[1..]).stdin(Stdio::null());
        all
    }

    /// Runs it to its end; `None` if it has none within [`patience`].
    pub fn answer(self, before: &[&str], command: &[&str]) -> Option<Ended> {
        finish(&mut self.command(before, command))
    }

    /// What the command prints, or what else it came to.
    pub fn prints(self, before: &[&str], command: &[&str]) -> String {
        match self.answer(before, command) {
            Some(ended) if ended.status.success() => ended.stdout,
            Some(ended) => format!("ends with {}", in_words(ended.status)),
            None => "hangs".to_owned(),
        }
    }
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
}

/// Runs a command that prints little to its end; kills it, and all below it, after [`patience`].
pub fn finish(command: &mut Command) -> Option<Ended> {
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut output = process.child().stdout.take().unwrap();
    let ended = happens_within(patience(), || !process.is_running());
    if !ended {
        kill_all(&mut process);
        return None;
    }
    let status = process.wait(LIMIT);
    let mut stdout = Vec::new();
    output.read_to_end(&mut stdout).unwrap();
    Some(Ended { status, stdout: String::from_utf8_lossy(&stdout).into_owned() })
}

/// Kills a process and everything below it.
pub fn kill_all(process: &mut Process) {
    let below = processes::descendants(process.pid());
    process.signal(Signal::SIGKILL);
    below.into_iter().for_each(|pid| processes::kill(pid, Signal::SIGKILL));
    process.wait(LIMIT);
}

/// `status 3` or `signal 9`.
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (_, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}
