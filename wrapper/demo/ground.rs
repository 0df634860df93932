//! The ground that the story is told on: IPC, mount and PID namespaces of its own where they are to
//! be had, else the machine's own tables.
//!
//! In namespaces of its own the kernel takes away whatever is left when the teller, PID 1 there,
//! has ended. Without root they need a user namespace, in which some systems allow no mount
//! (Ubuntu's AppArmor). The story is the same on either ground, and so is its clearing away.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid};
use shmwarden::sys::process;

/// Where the story is told.
#[derive(Debug)]
pub(super) struct Ground {
    /// Not root, so a user namespace is needed as well.
    user: bool,
    /// Why it is the machine's own tables.
    pub(super) refused: Option<Errno>,
}

impl Ground {
    /// Returns the best that is allowed here, found by trying it once in a child.
    pub(super) fn best() -> Self {
        let mut ground = Self { user: !geteuid().is_root(), refused: None };
        let furnish = || process::fork_for(|| status(ground.furnish()));
        let try_out = || status(ground.enter().and_then(|()| ended(furnish())));
        ground.refused = ended(process::fork_for(try_out)).err();
        ground
    }

    /// Returns its name in the document.
    pub(super) fn word(&self) -> &'static str {
        match (self.refused, self.user) {
            (Some(_), _) => "machine",
            (None, true) => "user",
            (None, false) => "own",
        }
    }

    /// Describes it.
    pub(super) fn described(&self) -> String {
        let user = if self.user { "user, " } else { "" };
        match self.refused {
            None => format!("in namespaces of its own ({user}IPC, mounts, processes)"),
            Some(errno) => format!(
                "in this machine's own tables, as {user}IPC and mount namespaces are refused here \
                 ({});\nwhat the demo makes has keys that nobody has, and the demo takes back only \
                 that",
                errno.desc()
            ),
        }
    }

    /// Moves this process, and its next child as PID 1, into the namespaces.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        if self.refused.is_some() {
            return Ok(());
        }
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let all = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
        let user = if self.user { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
        unshare(all | user)?;
        if self.user {
            // The ids stay what they are: PostgreSQL refuses to be root, in name too.
            let map = |id| format!("{id} {id} 1");
            let files =
                [("setgroups", "deny".to_owned()), ("gid_map", map(gid)), ("uid_map", map(uid))];
            for (file, text) in files {
                std::fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
            }
        }
        let all_private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, all_private, None::<&str>)
    }

    /// Mounts what must be fresh: to be done by PID 1.
    pub(super) fn furnish(&self) -> Result<(), Errno> {
        if self.refused.is_some() {
            return Ok(());
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("proc"), "/proc", Some("proc"), flags | MsFlags::MS_NOEXEC, None::<&str>)?;
        mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), flags, Some("mode=1777"))
    }
}

/// The exit status that tells an outcome.
fn status(outcome: Result<(), Errno>) -> i32 {
    outcome.err().map_or(0, |errno| errno as i32)
}

/// Waits for a child with such a status.
fn ended(child: Result<i32, Errno>) -> Result<(), Errno> {
    match waitpid(Pid::from_raw(child?), None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, status) => Err(Errno::from_raw(status)),
        _ => Err(Errno::EINTR),
    }
}
