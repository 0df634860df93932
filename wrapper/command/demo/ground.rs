//! The ground that the story is told on: namespaces of its own where the kernel allows them.
//!
//! A forked child moves into new IPC, mount and PID namespaces, and its child, PID 1 there, mounts
//! what must be fresh. When PID 1 ends the kernel ends and destroys everything in there, System V
//! segments included. Without root both happen in a new user namespace, as root in name; then
//! another one gives the caller's own uid back, which PostgreSQL insists on.

use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, getpid, getppid};
use shmwarden::sys::{namespaces, process};

/// Where the story is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// In IPC, mount and PID namespaces of its own.
    Own,
    /// The same, and in user namespaces.
    OwnUser,
    /// In the machine's own tables; why.
    Machine(String),
}

impl Ground {
    /// The best that is allowed here, found by trying it once.
    pub(super) fn best(scratch: &Path) -> Self {
        let (ground, word) = if geteuid().is_root() {
            (Self::Own, "namespaces")
        } else {
            (Self::OwnUser, "user namespaces")
        };
        match ground.probe(scratch) {
            Ok(()) => ground,
            Err(errno) => Self::Machine(format!("{word} are refused here ({})", errno.desc())),
        }
    }

    /// For the command line of the inner part.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::OwnUser => "user",
            Self::Machine(_) => "machine",
        }
    }

    /// The other way round; the machine's ground needs no inner part.
    pub(super) fn from_word(word: &OsStr) -> Option<Self> {
        match word.to_str() {
            Some("own") => Some(Self::Own),
            Some("user") => Some(Self::OwnUser),
            _ => None,
        }
    }

    /// Whether all in the tables is of this demo.
    pub(super) fn is_own(&self) -> bool {
        !matches!(self, Self::Machine(_))
    }

    /// Goes all the way in, and out again. A child's exit status has room for an errno.
    fn probe(&self, scratch: &Path) -> Result<(), Errno> {
        let child = self.fork(scratch, || 0, |errno| errno as i32)?;
        match wait(child)? {
            0 => Ok(()),
            status => Err(Errno::from_raw(status)),
        }
    }

    /// Forks; in there runs `body` as PID 1 and ends with its status, or with what `refused` makes
    /// of the errno. Killing the child ends all.
    pub(super) fn fork(
        &self,
        scratch: &Path,
        body: impl FnOnce() -> i32,
        refused: impl FnOnce(Errno) -> i32,
    ) -> Result<i32, Errno> {
        let user = *self == Self::OwnUser;
        let parent = getpid();
        process::fork_for(|| match inside(user, scratch, parent, body) {
            Ok(status) => status,
            Err(errno) => refused(errno),
        })
    }
}

/// What the forked child does: enters, starts PID 1, ends as PID 1 does.
fn inside(
    user: bool,
    scratch: &Path,
    parent: Pid,
    body: impl FnOnce() -> i32,
) -> Result<i32, Errno> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if user {
        namespaces::enter_user()?;
        map((0, uid), (0, gid))?;
    }
    namespaces::enter_ipc_mount_pid()?;
    // Asked for last: a new user namespace takes it back.
    process::die_with_parent(SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::EINTR);
    }
    let first = process::fork_for(|| {
        let ready = first_process(user.then_some((uid, gid)), scratch);
        ready.map_or_else(|errno| errno as i32, |()| body())
    })?;
    wait(first)
}

/// PID 1: fresh file systems, and its own uid again.
fn first_process(ids: Option<(u32, u32)>, scratch: &Path) -> Result<(), Errno> {
    namespaces::mount_proc()?;
    namespaces::mount_tmpfs(Path::new("/dev/shm"), 0o1777)?;
    // On a tmpfs: quick, executable, and gone with the namespace.
    namespaces::mount_tmpfs(scratch, 0o755)?;
    if let Some((uid, gid)) = ids {
        namespaces::enter_user()?;
        map((uid, 0), (gid, 0))?;
    }
    process::die_with_parent(SIGKILL)
}

/// Gives this process's user namespace one uid and one gid: (inside, outside).
fn map(uid: (u32, u32), gid: (u32, u32)) -> Result<(), Errno> {
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    write("setgroups", "deny".to_owned())?;
    write("gid_map", format!("{} {} 1", gid.0, gid.1))?;
    write("uid_map", format!("{} {} 1", uid.0, uid.1))
}

fn wait(pid: i32) -> Result<i32, Errno> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
