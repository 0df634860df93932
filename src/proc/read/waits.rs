//! The waits of a process, and the locks: uses of an object that no map shows.
//!
//! It must never take what it may not read for nothing: every answer is a `Seen`.

use std::io;

use super::stat_file::stat_at;
use super::threads::tids;
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

/// Checks that a thread waits for no set and no queue: it has ended, or the place in the kernel
/// where it sleeps, which more may read (proc_pid_wchan(5)), is a function, and none of `ipc/`.
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
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        assert_eq!(waits(i32::MAX).unwrap(), Seen::Gone);
    }

    #[test]
    fn nobody_is_new_at_once_but_who_is_not_known() {
        assert!(new_pids(&[]).unwrap().contains(&me()));
        assert!(!new_pids(&[me()]).unwrap().contains(&me()));
    }
}
