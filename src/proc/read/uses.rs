//! What a process waits for and which files it has open: uses of an object that no map shows.
//!
//! It must never take what it may not read for nothing: every answer is a `Seen`.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::stat_file::stat_at;
use super::threads::{numeric_entries, tids};
use super::{LARGE, SMALL, at, seen, settled, whole};
use crate::proc::locks::{self, Flock};
use crate::proc::syscall::{self, WaitsFor};
use crate::proc::{Seen, decimal};
use crate::sys::signals::exists;

/// The sets and queues that threads of a process are blocked on, one entry a thread.
pub fn waits(pid: i32) -> io::Result<Seen<Vec<WaitsFor>>> {
    let tids = match tids(pid)? {
        Seen::Here(tids) => tids,
        Seen::Gone => return Ok(settled(pid, Seen::Gone)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let mut found = Vec::new();
    for tid in tids {
        let path = format!("/proc/{pid}/task/{tid}/syscall");
        match seen(&path, whole(&path, SMALL))? {
            Seen::Here(bytes) => found.extend(syscall::waits_for(&bytes)),
            Seen::Gone if !exists(tid) || sleeps_elsewhere(pid, tid) => {}
            Seen::Gone => return Ok(Seen::Denied),
            Seen::Denied if sleeps_elsewhere(pid, tid) => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    Ok(Seen::Here(found))
}

/// Whether a thread has ended, or the place in the kernel where it sleeps, which more may read
/// (proc_pid_wchan(5)), shows that it waits for no set and no queue: it names a function, and none
/// of `ipc/`.
fn sleeps_elsewhere(pid: i32, tid: i32) -> bool {
    let stat = stat_at(&format!("/proc/{pid}/task/{tid}/stat"));
    if matches!(stat, Ok(Seen::Here(stat)) if matches!(stat.state, b'Z' | b'X')) {
        return true;
    }
    let path = format!("/proc/{pid}/task/{tid}/wchan");
    let place = seen(&path, whole(&path, SMALL)).ok().and_then(Seen::here).unwrap_or_default();
    let place = String::from_utf8_lossy(&place);
    let is_named = !matches!(place.trim(), "" | "0");
    is_named && !place.contains("sem") && !place.contains("msg")
}

/// How many descriptors of a process are of this file, which has this name somewhere.
///
/// Only what bears the name is asked for its identity: asking every open file would wait for dead
/// network mounts.
pub fn open_files(pid: i32, name: &[u8], dev: u64, ino: u64) -> io::Result<Seen<u64>> {
    let path = format!("/proc/{pid}/fd");
    let numbers = match seen(&path, numeric_entries(&path))? {
        Seen::Here(numbers) => numbers,
        Seen::Gone => return Ok(settled(pid, Seen::Gone)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let mut count = 0;
    for number in numbers {
        let link = format!("{path}/{number}");
        match seen(&link, std::fs::read_link(&link))? {
            Seen::Here(to) if has_name(&to, name) => {}
            // Of another name, or closed meanwhile.
            Seen::Here(_) | Seen::Gone => continue,
            Seen::Denied => return Ok(Seen::Denied),
        }
        match seen(&link, std::fs::metadata(&link))? {
            Seen::Here(file) => count += u64::from((file.dev(), file.ino()) == (dev, ino)),
            Seen::Gone => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    Ok(Seen::Here(count))
}

/// Device and inode of each open file of a process whose name is `wanted`. One walk over its
/// descriptors; as [`open_files`] does, it asks nothing of a file of another name.
pub fn open_among(pid: i32, wanted: impl Fn(&[u8]) -> bool) -> io::Result<Seen<Vec<(u64, u64)>>> {
    let path = format!("/proc/{pid}/fd");
    let numbers = match seen(&path, numeric_entries(&path))? {
        Seen::Here(numbers) => numbers,
        Seen::Gone => return Ok(Seen::Gone),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let mut found = Vec::new();
    for number in numbers {
        let link = format!("{path}/{number}");
        let Ok(to) = std::fs::read_link(&link) else { continue };
        let last = to.as_os_str().as_bytes().rsplit(|&byte| byte == b'/').next();
        let last = last.unwrap_or_default();
        let bare = last.strip_suffix(b" (deleted)").unwrap_or(last);
        if wanted(last) || wanted(bare) {
            found.extend(std::fs::metadata(&link).map(|file| (file.dev(), file.ino())));
        }
    }
    Ok(Seen::Here(found))
}

fn has_name(path: &Path, name: &[u8]) -> bool {
    let last = path.as_os_str().as_bytes().rsplit(|&byte| byte == b'/').next();
    last.is_some_and(|last| last == name || last.strip_suffix(b" (deleted)") == Some(name))
}

/// The locks of `flock(2)` that this PID namespace shows.
pub fn flocks() -> io::Result<Vec<Flock>> {
    let path = "/proc/locks";
    let bytes = whole(path, LARGE).map_err(|error| at(path, error))?;
    Ok(locks::flocks(&bytes))
}

/// Every pid that `/proc` lists now and that is not in `known`, which is sorted.
pub fn new_pids(known: &[i32]) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|error| at("/proc", error))? {
        let name = entry?.file_name();
        let pid = decimal::<i32>(name.as_encoded_bytes());
        found.extend(pid.filter(|pid| known.binary_search(pid).is_err()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

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
        let count = |name| open_files(me(), name, facts.dev(), facts.ino()).unwrap();
        assert_eq!(count(b"a b\n"), Seen::Here(2));
        assert_eq!(count(b"b"), Seen::Here(0));
        drop(second);
        assert_eq!(count(b"a b\n"), Seen::Here(1));
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        assert_eq!(waits(i32::MAX).unwrap(), Seen::Gone);
        assert_eq!(open_files(i32::MAX, b"a", 1, 1).unwrap(), Seen::Gone);
    }

    #[test]
    fn nobody_is_new_at_once_but_who_is_not_known() {
        assert!(new_pids(&[]).unwrap().contains(&me()));
        assert!(!new_pids(&[me()]).unwrap().contains(&me()));
    }
}
