//! A stand-in `gaussdb` under a launcher or alone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// The port of the known case.
pub const PORT: u16 = 16000;
/// Its first key.
pub const FIRST_KEY: u32 = 0x00f4_2401;

/// A server that runs.
pub struct Gauss {
    outermost: Process,
    pid: i32,
    data: PathBuf,
}

/// A data directory of a user, empty.
pub fn data_directory(user: User) -> PathBuf {
    let number = fs::read_dir(sandbox::scratch()).unwrap().count();
    let data = sandbox::scratch().join(format!("gauss{number}"));
    user.make_directory(&data);
    data
}

/// The command line of a server.
pub fn words(data: &Path, port: u16, settings: &[&str]) -> Vec<String> {
    words_called("gaussdb", data, port, settings)
}

/// The same, of one whose program has this name.
pub fn words_called(name: &str, data: &Path, port: u16, settings: &[&str]) -> Vec<String> {
    let program = warden::gaussdb_called(name);
    let mut words = vec![program.to_str().unwrap().to_owned()];
    words.extend(["-D", data.to_str().unwrap(), "-p", &port.to_string()].map(str::to_owned));
    words.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    words
}

impl Gauss {
    /// One under the ledger of an instance, all of it recorded.
    pub fn under(instance: &Instance, user: User, settings: &[&str]) -> Self {
        let data = data_directory(user);
        Gauss::spawn(instance.run(&["--linger=0s"], &words(&data, PORT, settings)), data)
    }

    /// One without a launcher.
    pub fn alone(user: User, port: u16, settings: &[&str]) -> Self {
        let data = data_directory(user);
        let words = words(&data, port, settings);
        let mut command = user.command(&words[0]);
        command.args(&words[1..]);
        Gauss::spawn(command, data)
    }

    /// By any command that starts one; gives it back when it serves.
    pub fn spawn(mut command: Command, data: PathBuf) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut outermost = Process::spawn(&mut command);
        let mut output = BufReader::new(outermost.child().stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "what the server says");
        let mut below = vec![outermost.pid()];
        below.extend(processes::descendants(outermost.pid()));
        let is_server = |pid: &i32| {
            let path = fs::read_link(format!("/proc/{pid}/exe"));
            let warden = warden::binary();
            path.is_ok_and(|path| path.parent() == warden.parent() && path != warden)
        };
        let pid = below.into_iter().find(is_server).expect("the server");
        Gauss { outermost, pid, data }
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Sends it a signal and waits for the end of what was started.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        processes::kill(self.pid, signal);
        self.outermost.wait(SOON)
    }

    /// Waits for the end of what was started.
    pub fn wait(&mut self) -> ExitStatus {
        self.outermost.wait(SOON)
    }

    /// Ends it by a signal after its launcher can no longer witness that; both are dead then.
    pub fn end_both(&mut self, signal: Signal) {
        let launcher = processes::parent(self.pid).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(self.pid, signal);
        processes::wait_end(self.pid, SOON);
        processes::kill(launcher, Signal::SIGKILL);
        wait_until("what stands before the launcher has ended", SOON, || {
            self.outermost.signal(Signal::SIGCONT);
            !self.outermost.is_running()
        });
    }

    /// What it has: its segment and its sets, by id.
    pub fn belongings(&self) -> (Vec<i32>, Vec<i32>) {
        let segments = segments().into_iter().filter(|s| s.creator_pid == self.pid);
        let marked = |set: &i32| mark(*set) == (537, self.pid);
        (
            segments.map(|segment| segment.id).collect(),
            sets().iter().map(|line| line.id).filter(marked).collect(),
        )
    }
}

/// Value of the last member of a set of 17, and who operated it last.
pub fn mark(set: i32) -> (i32, i32) {
    let ask = "print semctl($ARGV[0], 16, 12, 0) + 0, ' ', semctl($ARGV[0], 16, 11, 0) + 0";
    let output = Command::new("perl").args(["-e", ask, &set.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (value, pid) = text.split_once(' ').expect("two numbers");
    (value.parse().unwrap(), pid.parse().unwrap())
}

/// Fails unless a server takes and releases the semaphores of each of its sets from now on.
pub fn assert_works(server: &Gauss, sets: &[i32]) {
    let operated = |id: i32| {
        let text = fs::read_to_string("/proc/sysvipc/sem").unwrap();
        let columns: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let line = columns.iter().find(|columns| columns[1] == id.to_string());
        line.map(|columns| columns[8].parse::<i64>().unwrap())
    };
    let before: Vec<_> = sets.iter().map(|&set| operated(set)).collect();
    wait_until("the server goes on working", SOON, || {
        let moved = |(set, before): (&i32, &Option<i64>)| operated(*set) > *before;
        sets.iter().zip(&before).all(moved)
    });
    assert!(processes::lives(server.pid));
}
