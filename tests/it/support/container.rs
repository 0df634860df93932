//! Further namespaces inside a sandbox: for two IPC namespaces side by side, for containers one
//! after the other, for a new PID namespace in a pod.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::processes::{self, Process};
use super::user::User;

/// What a container has of its own. It always has its own mounts, which begin as the sandbox's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// System V objects.
    Ipc,
    /// Pids, `/proc` included.
    Pids,
    /// An empty `/dev/shm`.
    DevShm,
}

/// Namespaces that live as long as this value; what runs in own [`Own::Pids`] ends with it.
pub struct Container {
    holder: Process,
    /// The first process in the namespaces, as the sandbox numbers it.
    first: i32,
    kinds: Vec<&'static str>,
}

/// Reaps orphans, as PID 1 must: a shell that waits for one child reaps every other too.
const FIRST_PROCESS: &str = "echo ready; while :; do sleep 1000 & wait $!; done";

impl Container {
    /// Makes new namespaces, with a first process that does nothing but reap.
    pub fn new(own: &[Own]) -> Self {
        let mut unshare = Command::new("unshare");
        let mut kinds = vec!["--mount"];
        unshare.args(["--mount", "--fork", "--kill-child"]);
        if own.contains(&Own::Ipc) {
            kinds.push("--ipc");
            unshare.arg("--ipc");
        }
        if own.contains(&Own::Pids) {
            kinds.push("--pid");
            unshare.args(["--pid", "--mount-proc"]);
        }
        let mount = "mount -t tmpfs -o mode=1777 shmwarden-test /dev/shm && ";
        let first = if own.contains(&Own::DevShm) { mount } else { "" };
        unshare.args(["--", "sh", "-c", &format!("{first}{FIRST_PROCESS}")]);
        let mut holder = Process::spawn(unshare.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(holder.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the first process of a container");
        let first = processes::descendants(holder.pid())[0];
        Container { holder, first, kinds }
    }

    /// A command of `user` in these namespaces. With own pids it is the child of what is spawned.
    pub fn command(&self, user: User, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .arg("--root") // else a test in a chroot leaves it with the mount namespace
            .args(&self.kinds)
            .arg("--");
        let inner = user.command(program);
        command.arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// The first process in the namespaces, as the sandbox numbers it: for `/proc/<pid>/ns/`.
    pub fn first_process(&self) -> i32 {
        self.first
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let others = processes::descendants(self.holder.pid());
        processes::kill(self.first, nix::sys::signal::Signal::SIGKILL);
        for pid in others {
            processes::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}
