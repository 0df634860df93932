//! Files of `/dev/shm` that are in use though nobody maps them: open, or locked.

use std::collections::BTreeSet;

use super::{Process, Seen, Table};
use crate::object::{FileRef, ShmFile};
use crate::proc::read;

/// The findings on the files that were asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Those files: of others nothing is known.
    pub asked: BTreeSet<FileRef>,
    /// Processes that have one open.
    pub by: Vec<(FileRef, i32)>,
    /// Pids of processes whose descriptors may not be read.
    pub closed: Vec<i32>,
    /// Those that somebody has locked (`flock(2)`), whoever that is; all where that was not to be
    /// read.
    pub locked: Vec<FileRef>,
    /// Why it was not to be read who has locked what.
    pub trouble: Option<String>,
}

impl Opened {
    /// Takes in what was found of further files.
    pub fn add(&mut self, found: Self) {
        self.asked.extend(found.asked);
        self.by.extend(found.by);
        self.closed.extend(found.closed);
        self.locked.extend(found.locked);
        self.trouble = self.trouble.take().or(found.trouble);
    }
}

/// Looks for who has any of these files open, and which of them are locked.
#[must_use]
pub fn look(processes: &Table<Process>, files: &[ShmFile]) -> Opened {
    let mut opened = Opened::default();
    if files.is_empty() {
        return opened;
    }
    let all = files.iter().map(|file| (file.name.0.as_slice(), file.file.dev, file.file.ino));
    let among = read::Wanted::of(all);
    opened.asked = files.iter().map(|file| file.file).collect();
    for process in processes.seen().filter(|process| !process.ended) {
        let pid = process.process.pid;
        match read::open_among(pid, &among).unwrap_or(Seen::Denied) {
            Seen::Here(found) => {
                let found: BTreeSet<FileRef> =
                    found.into_iter().map(|(_, dev, ino)| FileRef { dev, ino }).collect();
                opened.by.extend(found.intersection(&opened.asked).map(|file| (*file, pid)));
            }
            Seen::Gone => {}
            Seen::Denied => opened.closed.push(pid),
        }
    }
    let locks = read::flocks();
    if let Err(error) = &locks {
        let why = "so each file in question counts as locked";
        opened.trouble = Some(format!("cannot read /proc/locks, {why}: {error}"));
    }
    let is_locked = |file: &&ShmFile| {
        locks.as_ref().map_or(true, |locks| {
            locks.iter().any(|lock| {
                let dev = nix::libc::makedev(lock.dev_major, lock.dev_minor);
                (dev, lock.inode) == (file.file.dev, file.file.ino)
            })
        })
    };
    opened.locked = files.iter().filter(is_locked).map(|file| file.file).collect();
    opened
}
