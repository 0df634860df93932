//! Processes whose first thread has ended while others run: `/proc/<pid>` then shows a zombie
//! without memory, program or namespaces, and only `/proc/<pid>/task/<tid>` tells the truth.
//!
//! It must never report such a process, nor one that is just letting its memory go, as one that
//! maps nothing: a segment would seem to have no holder.

use std::io;

use super::stat_file::{stat, stat_at};
use super::{LARGE, seen, settled, up_to};
use crate::proc::{Seen, decimal};

/// The number of times that a process that changes under the look is looked at again.
const ROUNDS: usize = 4;

/// The bytes of `/proc/<pid>/maps`, for `maps::lines`; where the first thread has ended, those of
/// a thread that runs. Empty: a kernel thread, or every thread has ended. `Denied` also when the
/// table is over 64 MiB, or when a process that has not ended shows no memory (it is exiting and
/// may still be attached).
pub fn maps(pid: i32) -> io::Result<Seen<Vec<u8>>> {
    let mut ended_before = None;
    for _ in 0..ROUNDS {
        let look = |path: &str| up_to(path, LARGE);
        match via_threads(pid, "maps", look, |(bytes, _)| bytes.is_empty())? {
            Seen::Here((bytes, true)) if bytes.is_empty() => {}
            Seen::Here((bytes, true)) => return Ok(Seen::Here(bytes)),
            Seen::Gone => return Ok(Seen::Gone),
            Seen::Here((_, false)) | Seen::Denied => return Ok(Seen::Denied),
        }
        match stat(pid)? {
            Seen::Here(stat) if stat.is_kernel_thread() => return Ok(Seen::Here(Vec::new())),
            Seen::Here(_) => {}
            Seen::Gone => return Ok(Seen::Gone),
            Seen::Denied => return Ok(Seen::Denied),
        }
        // Twice the same: the last thread listed might have started another before it ended.
        let ended = all_ended(pid)?;
        if ended.is_some() && ended == ended_before {
            return Ok(Seen::Here(Vec::new()));
        }
        ended_before = ended;
    }
    Ok(Seen::Denied)
}

/// Looks at `/proc/<pid>/<name>`, and where that is gone or `empty`, at the same file of each
/// other thread until one answers.
pub(super) fn via_threads<T>(
    pid: i32,
    name: &str,
    look: impl Fn(&str) -> io::Result<T>,
    empty: impl Fn(&T) -> bool,
) -> io::Result<Seen<T>> {
    let answers = |found: &Seen<T>| match found {
        Seen::Here(value) => !empty(value),
        Seen::Gone => false,
        Seen::Denied => true,
    };
    let path = format!("/proc/{pid}/{name}");
    let first = seen(&path, look(&path))?;
    if answers(&first) {
        return Ok(first);
    }
    let others = match tids(pid)? {
        Seen::Here(tids) => tids,
        Seen::Gone => return Ok(settled(pid, first)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    for tid in others.into_iter().filter(|&tid| tid != pid) {
        let path = format!("/proc/{pid}/task/{tid}/{name}");
        let found = seen(&path, look(&path))?;
        if answers(&found) {
            return Ok(found);
        }
    }
    Ok(settled(pid, first))
}

/// The ids of a process's threads, its own first.
pub(super) fn tids(pid: i32) -> io::Result<Seen<Vec<i32>>> {
    let path = format!("/proc/{pid}/task");
    seen(&path, numeric_entries(&path))
}

/// The entries of a directory that are numbers.
pub(super) fn numeric_entries(path: &str) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        numbers.extend(decimal::<i32>(name.as_encoded_bytes()));
    }
    Ok(numbers)
}

/// Checks whether every thread of a process is seen to have ended.
pub(super) fn has_ended(pid: i32) -> bool {
    matches!(all_ended(pid), Ok(Some(_)))
}

/// The threads, if each of them has ended: state Z or X comes after the memory was let go.
fn all_ended(pid: i32) -> io::Result<Option<Vec<i32>>> {
    let Seen::Here(tids) = tids(pid)? else {
        return Ok(None);
    };
    for &tid in &tids {
        match stat_at(&format!("/proc/{pid}/task/{tid}/stat"))? {
            Seen::Here(stat) if matches!(stat.state, b'Z' | b'X') => {}
            Seen::Here(_) | Seen::Gone | Seen::Denied => return Ok(None),
        }
    }
    Ok(Some(tids))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::proc::maps;

    #[test]
    fn a_process_sees_its_own_program_mapped() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let bytes = super::maps(pid).unwrap().here().unwrap();
        let program = std::env::current_exe().unwrap();
        let name = program.as_os_str().as_encoded_bytes();
        assert!(maps::lines(&bytes).any(|mapping| mapping.path == name));
    }

    #[test]
    fn a_zombie_maps_nothing_until_it_is_reaped_and_is_gone_then() {
        let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while stat(pid).unwrap().here().unwrap().state != b'Z' {
            std::thread::yield_now();
        }
        assert_eq!(super::maps(pid).unwrap(), Seen::Here(Vec::new()));
        child.wait().unwrap();
        assert_eq!(super::maps(pid).unwrap(), Seen::Gone);
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        assert_eq!(super::maps(i32::MAX).unwrap(), Seen::Gone);
        assert_eq!(tids(i32::MAX).unwrap(), Seen::Gone);
    }
}
