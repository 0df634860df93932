//! Files of `/dev/shm` that are in use though nobody maps them: open, or locked.

use std::collections::BTreeSet;

use super::{Process, Seen};
use crate::object::{FileRef, ShmFile};
use crate::proc::read;

/// What was found of some files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Processes that have one open.
    pub by: Vec<(FileRef, i32)>,
    /// Pids of processes whose descriptors may not be read.
    pub closed: Vec<i32>,
    /// Those that somebody has locked (`flock(2)`), whoever that is; all where that was not to be
    /// read.
    pub locked: Vec<FileRef>,
}

impl Opened {
    /// Takes in what was found of further files.
    pub fn add(&mut self, found: Self) {
        self.by.extend(found.by);
        self.closed.extend(found.closed);
        self.locked.extend(found.locked);
    }
}

/// Looks for who has any of these files open, and which of them are locked.
#[must_use]
pub fn look(processes: &[Process], files: &[ShmFile]) -> Opened {
    let mut opened = Opened::default();
    if files.is_empty() {
        return opened;
    }
    let all = files.iter().map(|file| (file.name.0.as_slice(), file.file.dev, file.file.ino));
    let among = read::Wanted::of(all);
    let wanted: BTreeSet<FileRef> = files.iter().map(|file| file.file).collect();
    for process in processes.iter().filter(|process| !process.ended) {
        let pid = process.process.pid;
        match read::open_among(pid, &among).unwrap_or(Seen::Denied) {
            Seen::Here(found) => {
                let found: BTreeSet<FileRef> =
                    found.into_iter().map(|(_, dev, ino)| FileRef { dev, ino }).collect();
                opened.by.extend(found.intersection(&wanted).map(|file| (*file, pid)));
            }
            Seen::Gone => {}
            Seen::Denied => opened.closed.push(pid),
        }
    }
    let locks = read::flocks().ok();
    let is_locked = |file: &&ShmFile| {
        locks.as_ref().is_none_or(|locks| {
            locks.iter().any(|lock| {
                let dev = nix::libc::makedev(lock.dev_major, lock.dev_minor);
                (dev, lock.inode) == (file.file.dev, file.file.ino)
            })
        })
    };
    opened.locked = files.iter().filter(is_locked).map(|file| file.file).collect();
    opened
}
