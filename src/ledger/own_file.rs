//! Which file a ledger is: what tells it from a copy, a restored backup or a clone of itself.
//!
//! Its lock proves that a launcher is dead only where it is the very file that the launcher had
//! locked. A copy has the content and never had the lock.

use std::fs::File;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use crate::proc::read;
use crate::sys::files;

/// A file by its inode and birth time. Where the file system keeps no birth time a file has no
/// such identity: an inode's number is given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFile {
    /// Device, as `st_dev` encodes it: for people, and a doubt at most.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Birth time, seconds and nanoseconds.
    pub born: (i64, u32),
}

impl OwnFile {
    /// Looks at an open file; `None` where it has no birth time, or cannot be looked at.
    #[must_use]
    pub fn of(file: &File) -> Option<Self> {
        let facts = files::facts(file.as_fd()).ok()?;
        Some(Self { dev: facts.dev, ino: facts.ino, born: facts.born? })
    }

    /// Checks that both are the same file. The device is not compared: an overlay file system has
    /// another one at each mount.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.ino, self.born) == (other.ino, other.born)
    }

    /// Checks for a clone of a whole file system: the same inode and birth time on another disk,
    /// while that of the original is mounted.
    #[must_use]
    pub fn is_cloned_from(&self, original: &Self) -> bool {
        let is_disk = |dev: u64| nix::libc::major(dev) != 0;
        self.is(original)
            && self.dev != original.dev
            && is_disk(self.dev)
            && is_disk(original.dev)
            && read::is_mounted(original.dev)
    }
}
