//! Who a command of a test runs as.
//!
//! The prefixes used are programs that execute the command in their place, so that its pid is the
//! one that was spawned. Without root the sandbox has one user under two names: 0, which may mount,
//! and the real uid, for a server that refuses to be root.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User as Account, chown};

use super::sandbox;
use super::skip;

/// A user that a test acts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The user of the test itself: root, in a sandbox without root at least by name.
    Root,
    /// The user that database servers run as: `postgres`, or `nobody` where there is none; in the
    /// machine's PID namespace one that no other test has.
    Server,
    /// Any uid, with the gid of the same number. Skips the test where that needs root.
    Other(u32),
}

impl User {
    /// A command of this user: `program`, to be given further arguments.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        let mut words = self.prefix();
        words.push(program.as_ref().to_str().expect("a program's path is UTF-8").to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The words to put before a command so that it runs as this user.
    pub fn prefix(self) -> Vec<String> {
        if self == User::Root {
            return Vec::new();
        }
        let (uid, gid) = self.ids();
        let words = if sandbox::has_root() {
            format!("setpriv --reuid={uid} --regid={gid} --clear-groups --")
        } else {
            format!("unshare --user --map-user={uid} --map-group={gid} --")
        };
        words.split(' ').map(str::to_owned).collect()
    }

    /// The uid and gid as this user itself sees them.
    pub fn ids(self) -> (u32, u32) {
        match self {
            User::Root => (0, 0),
            User::Server => sandbox::real_ids().unwrap_or_else(|| match sandbox::server_uid() {
                Some(uid) => (uid, uid),
                None => server_account(),
            }),
            User::Other(_) if !sandbox::has_root() => skip("needs root, to act as another user"),
            User::Other(uid) => (uid, uid),
        }
    }

    /// The uid as the test sees it in the kernel's tables.
    pub fn uid_seen(self) -> u32 {
        let (uid, _) = self.ids();
        if sandbox::has_root() { uid } else { 0 }
    }

    /// Makes a directory of this user, and those above it.
    pub fn make_directory(self, path: &Path) {
        fs::create_dir_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.own(path);
    }

    /// Gives a file to this user.
    pub fn own(self, path: &Path) {
        let (uid, gid) = self.ids();
        if sandbox::has_root() {
            chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).unwrap();
        }
    }
}

/// The account that the machine has for servers.
pub fn server_account() -> (u32, u32) {
    let account = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| Account::from_name(name).ok().flatten())
        .expect("an account named postgres or nobody");
    (account.uid.as_raw(), account.gid.as_raw())
}
