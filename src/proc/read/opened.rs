//! The files that the processes have open, whatever name they have them under: a file may be
//! mounted elsewhere, the first thread may have ended, and a thread may have descriptors of its
//! own.
//!
//! It must never ask a file for its identity that may be on a network mount that does not answer.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::stat_file::stat_at;
use super::threads::{numeric_entries, tids};
use super::{LARGE, seen, settled, whole};
use crate::proc::mountinfo::{self, Mount};
use crate::proc::{Seen, decimal};
use crate::sys::{files, kcmp};

/// The number of descriptors of one process that are looked at: where it cannot be told which
/// threads share theirs, each thread's are.
const MOST: usize = 200_000;

/// Files that are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    names: BTreeSet<Vec<u8>>,
    devices: BTreeSet<u64>,
    inodes: BTreeSet<u64>,
}

impl Wanted {
    /// Of the name, device and inode of each.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a [u8], u64, u64)>) -> Self {
        let mut wanted = Self::default();
        for (name, device, inode) in files {
            wanted.names.insert(name.to_vec());
            wanted.devices.insert(device);
            wanted.inodes.insert(inode);
        }
        wanted
    }

    fn has_name(&self, path: &[u8]) -> bool {
        let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let bare = last.strip_suffix(b" (deleted)").unwrap_or(last);
        self.names.contains(last) || self.names.contains(bare)
    }
}

/// A descriptor of a process that may be of a wanted file, by number; what threads have as copies
/// counts once.
pub type Open = (i32, u64, u64);

/// Number, device and inode of the descriptors of a process that may be of wanted files, in every
/// thread. What cannot be read is `Denied`, or an error.
pub fn open_among(pid: i32, wanted: &Wanted) -> io::Result<Seen<BTreeSet<Open>>> {
    let tids = match tids(pid)? {
        Seen::Here(tids) => tids,
        Seen::Gone => return Ok(settled(pid, Seen::Gone)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let mut known: Vec<i32> = Vec::new();
    let (mut found, mut looked, mut any) = (BTreeSet::new(), 0, false);
    for tid in tids {
        let is_shared = |other: &i32| kcmp::share_descriptors(*other, tid) == Ok(true);
        if known.iter().any(is_shared) {
            continue;
        }
        let path = format!("/proc/{pid}/task/{tid}");
        match of_thread(&path, wanted, &mut looked, &mut found)? {
            Seen::Here(()) => {
                any = true;
                known.push(tid);
            }
            Seen::Gone => {}
            Seen::Denied if has_ended(&path) => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    // Threads that came meanwhile share the table of the one that started them, as a rule.
    Ok(if any { Seen::Here(found) } else { settled(pid, Seen::Gone) })
}

fn has_ended(thread: &str) -> bool {
    let stat = stat_at(&format!("{thread}/stat"));
    matches!(stat, Ok(Seen::Here(stat)) if matches!(stat.state, b'Z' | b'X'))
}

fn of_thread(
    thread: &str,
    wanted: &Wanted,
    looked: &mut usize,
    found: &mut BTreeSet<Open>,
) -> io::Result<Seen<()>> {
    let path = format!("{thread}/fd");
    let numbers = match seen(&path, numeric_entries(&path))? {
        Seen::Here(numbers) => numbers,
        Seen::Gone => return Ok(Seen::Gone),
        Seen::Denied => return Ok(Seen::Denied),
    };
    *looked += numbers.len();
    if *looked > MOST {
        return Ok(Seen::Denied);
    }
    let mut mounts = None;
    for number in numbers {
        match identity(thread, number, wanted, &mut mounts)? {
            Seen::Here(Some((dev, ino))) => drop(found.insert((number, dev, ino))),
            // Another file's, or closed meanwhile.
            Seen::Here(None) | Seen::Gone => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    Ok(Seen::Here(()))
}

/// Device and inode of an open file that may be a wanted one.
fn identity(
    thread: &str,
    number: i32,
    wanted: &Wanted,
    mounts: &mut Option<Vec<Mount>>,
) -> io::Result<Seen<Option<(u64, u64)>>> {
    let link = format!("{thread}/fd/{number}");
    let to = match seen(&link, std::fs::read_link(&link))? {
        Seen::Here(to) => to,
        Seen::Gone => return Ok(Seen::Gone),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let to = to.as_os_str().as_bytes();
    // Sockets, pipes and the like have no path.
    if !to.contains(&b'/') {
        return Ok(Seen::Here(None));
    }
    if !wanted.has_name(to) {
        let path = format!("{thread}/fdinfo/{number}");
        let info = match seen(&path, whole(&path, LARGE))? {
            Seen::Here(info) => info,
            Seen::Gone => return Ok(Seen::Gone),
            Seen::Denied => return Ok(Seen::Denied),
        };
        // Since 5.14; before, the mount tells of a file on another file system.
        let may_be = match field(&info, b"ino:") {
            Some(inode) => wanted.inodes.contains(&inode),
            None => {
                let mounts = mounts.get_or_insert_with(|| mounts_of(thread));
                let id = field(&info, b"mnt_id:");
                let its = id.and_then(|id| mounts.iter().find(|mount| mount.id == id));
                its.is_none_or(|mount| {
                    let device = nix::libc::makedev(mount.dev_major, mount.dev_minor);
                    wanted.devices.contains(&device)
                })
            }
        };
        if !may_be {
            return Ok(Seen::Here(None));
        }
    }
    let facts = files::facts_remembered(&link).map_err(io::Error::from);
    Ok(match seen(&link, facts)? {
        Seen::Here(facts) => Seen::Here(Some((facts.dev, facts.ino))),
        Seen::Gone => Seen::Gone,
        Seen::Denied => Seen::Denied,
    })
}

fn mounts_of(thread: &str) -> Vec<Mount> {
    let bytes = whole(&format!("{thread}/mountinfo"), LARGE).unwrap_or_default();
    mountinfo::parse(&bytes)
}

fn field(info: &[u8], name: &[u8]) -> Option<u64> {
    let mut lines = info.split(|&byte| byte == b'\n');
    decimal(lines.find_map(|line| line.strip_prefix(name))?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_process_sees_its_own_open_file_under_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b\n");
        let file = std::fs::File::create(&path).unwrap();
        let second = file.as_fd().try_clone_to_owned().unwrap();
        std::fs::remove_file(&path).unwrap();
        let facts = file.metadata().unwrap();
        let (dev, ino) = (facts.dev(), facts.ino());
        let count = |name: &[u8], ino| {
            let found = open_among(me(), &Wanted::of([(name, dev, ino)])).unwrap();
            found.here().unwrap().iter().filter(|one| (one.1, one.2) == (dev, ino)).count()
        };
        assert_eq!(count(b"a b\n", ino), 2);
        assert_eq!(count(b"b", ino), 2);
        assert_eq!(count(b"b", ino + 1_000_000), 0);
        drop(second);
        assert_eq!(count(b"b", ino), 1);
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        let wanted = Wanted::of([(&b"a"[..], 1, 1)]);
        assert_eq!(open_among(i32::MAX, &wanted).unwrap(), Seen::Gone);
    }

    #[test]
    fn a_field_is_its_lines_number_and_nothing_else() {
        let info = b"pos:\t0\nflags:\t0100000\nmnt_id:\t23\nino:\t4711\n";
        assert_eq!(field(info, b"ino:"), Some(4711));
        assert_eq!(field(info, b"mnt_id:"), Some(23));
        assert_eq!(field(b"pos:\t0\n", b"ino:"), None);
    }
}
