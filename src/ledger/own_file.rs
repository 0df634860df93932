//! The file that a ledger is: what tells it from a copy, a restored backup or a clone of itself.
//!
//! Its lock proves that a launcher is dead only where it is the very file that the launcher had
//! locked. A copy has the content and never had the lock.

use std::fs::File;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use crate::sys::files;

/// A file by its device, inode and birth time. Where the file system keeps no birth time a file has
/// no such identity: an inode's number is given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFile {
    /// Device, as `st_dev` encodes it.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Birth time, seconds and nanoseconds.
    pub born: (i64, u32),
    /// Set where it lies on an overlay file system, which has another device at each mount.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
}

impl OwnFile {
    /// Looks at an open file; `None` where it has no birth time, or cannot be looked at.
    #[must_use]
    pub fn of(file: &File) -> Option<Self> {
        let facts = files::facts(file.as_fd()).ok()?;
        let overlay = files::file_system(file.as_fd()).is_ok_and(|system| system.is_overlay);
        Some(Self { dev: facts.dev, ino: facts.ino, born: facts.born?, overlay })
    }

    /// Checks that both are the same file. On another device it is one only where an overlay was
    /// mounted again: the upper directory of an overlay, a snapshot and the clone of a disk have
    /// the same inode and birth time, and other locks.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let on_overlay = |file: &Self| file.overlay && nix::libc::major(file.dev) == 0;
        (self.ino, self.born) == (other.ino, other.born)
            && (self.dev == other.dev || (on_overlay(self) && on_overlay(other)))
    }
}
