//! A real terminal: a pty, and in it a shell with job control, or a program as session leader.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::openpty;

use super::subject::patience;
use crate::support::processes::Process;

/// A terminal and what runs in it. Hung up when this is dropped.
pub struct Terminal {
    master: Option<File>,
    slave: PathBuf,
    /// Ended with this value.
    _leader: Process,
    seen: String,
}

impl Terminal {
    /// Runs a command as the leader of a session whose terminal this is.
    pub fn of(words: &[String]) -> Self {
        let pty = openpty(None, None).expect("a pty");
        for end in [&pty.master, &pty.slave] {
            // What runs in the terminal must not keep it from being hung up.
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let slave = std::fs::read_link(format!("/proc/self/fd/{}", fd_number(&pty.slave))).unwrap();
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words).env("PS1", "").env("HISTFILE", "");
        let copy = || pty.slave.try_clone().unwrap();
        let leader = Process::spawn(command.stdin(copy()).stdout(copy()).stderr(copy()));
        Terminal {
            master: Some(File::from(pty.master)),
            slave,
            _leader: leader,
            seen: String::new(),
        }
    }

    /// Runs bash, which echoes nothing.
    pub fn shell() -> Self {
        let words = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
        let mut terminal = Terminal::of(&words.map(str::to_owned));
        terminal.types("stty -echo; echo rea''dy\n");
        assert!(terminal.shows("ready"), "{}", terminal.seen);
        terminal
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.master.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Has the shell run a command line.
    pub fn runs(&mut self, words: &[String], rest: &str) {
        let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
        let line = quoted.collect::<Vec<_>>().join(" ");
        self.types(&format!("{line}{rest}\n"));
    }

    /// Whether a text is shown soon; what was shown up to its end is gone then.
    pub fn shows(&mut self, text: &str) -> bool {
        self.shows_within(text, patience())
    }

    /// The same with a limit of one's own.
    pub fn shows_within(&mut self, text: &str, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return true;
            }
            if Instant::now() >= until || !self.reads() {
                return false;
            }
        }
    }

    /// Gives the terminal's window another size.
    pub fn resize(&self, columns: u16) {
        let mut stty = Command::new("stty");
        stty.arg("-F").arg(&self.slave).args(["cols", &columns.to_string()]);
        assert!(stty.status().unwrap().success());
    }

    /// Hangs the terminal up.
    pub fn hang_up(&mut self) {
        self.master = None;
    }

    /// Reads what is there within a moment; false at the terminal's end.
    fn reads(&mut self) -> bool {
        let Some(master) = &mut self.master else { return false };
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, 100_u16).unwrap_or(0) == 0 {
            return true;
        }
        let mut bytes = [0; 4096];
        let Ok(count) = master.read(&mut bytes) else { return false };
        self.seen += &String::from_utf8_lossy(&bytes[..count]);
        count > 0
    }
}

fn fd_number(fd: &OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    fd.as_raw_fd()
}
