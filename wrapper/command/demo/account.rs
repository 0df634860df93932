//! Who the server runs as: as root `postgres`, else `nobody`; without root the caller.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown, getegid, geteuid};
use shmwarden::sys::user::Acting;

use super::trouble::{Outcome, failed};
use crate::render::text;

/// `nobody`, where there is no account of that name either.
const OVERFLOW_ID: u32 = 65534;
/// Where a program is looked for that the caller's PATH does not have.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The user of the server and of the bystanders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether the demo itself is somebody else (root).
    is_other: bool,
}

impl Account {
    /// The server's user.
    pub(super) fn of_server() -> Self {
        if !geteuid().is_root() {
            return Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), is_other: false };
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| {
            let user = User::from_name(name).ok().flatten()?;
            (!user.uid.is_root()).then_some((user.uid.as_raw(), user.gid.as_raw()))
        });
        let (uid, gid) = known.unwrap_or((OVERFLOW_ID, OVERFLOW_ID));
        let is_other = true;
        Self { uid, gid, is_other }
    }

    /// Its name, safe to print.
    pub(super) fn name(&self) -> String {
        text::user(self.uid)
    }

    /// A command of this user in a plain environment, so that no variable of the caller's changes
    /// what a server or `shmwarden` does.
    pub(super) fn command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(home).env("HOME", home);
        command.env("LC_ALL", "C");
        command.env("PATH", std::env::var_os("PATH").unwrap_or(USUAL_PATH.into()));
        if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        if self.is_other {
            // std leaves no further groups to a child that another user starts this way.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Does something with this user's rights.
    pub(super) fn act<T>(&self, body: impl FnOnce() -> T) -> Outcome<T> {
        let acting = self.start_acting()?;
        let done = body();
        drop(acting);
        Ok(done)
    }

    fn start_acting(&self) -> Outcome<Option<Acting>> {
        if !self.is_other {
            return Ok(None);
        }
        let doing = format!("cannot act as {}", self.name());
        Acting::start(self.uid, self.gid).map(Some).map_err(failed(&doing))
    }

    /// Makes a directory of this user.
    pub(super) fn make_directory(&self, path: &Path) -> Outcome<()> {
        let doing = format!("cannot make {}", path.display());
        std::fs::create_dir(path).map_err(failed(&doing))?;
        if self.is_other {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            chown(path, Some(uid), Some(gid)).map_err(failed(&doing))?;
        }
        Ok(())
    }
}
