//! The files that a process has open under a path of their own: which ledger a launcher holds.
//!
//! It must never ask a file itself, which may lie on a network mount that does not answer.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::threads::numeric_entries;
use super::{LARGE, seen, settled, whole};
use crate::proc::Seen;
use crate::sys::files;

/// Most descriptors of one process that are looked at.
const MOST: usize = 4096;

/// A file that a process has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Its name in the process's own mount namespace; ` (deleted)` is appended by the kernel.
    pub path: PathBuf,
    /// Device, as `st_dev` has it.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// Set where this process, or one that it shares the file with, has it locked (flock(2)).
    pub is_locked: bool,
}

/// The regular files that a process has open. `Denied` also where it has more than 4,096.
pub fn open_files(pid: i32) -> io::Result<Seen<Vec<OpenFile>>> {
    let directory = format!("/proc/{pid}/fd");
    let numbers = match seen(&directory, numeric_entries(&directory))? {
        Seen::Here(numbers) => numbers,
        Seen::Gone => return Ok(settled(pid, Seen::Gone)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    if numbers.len() > MOST {
        return Ok(Seen::Denied);
    }
    let mut found = Vec::new();
    for number in numbers {
        let link = format!("{directory}/{number}");
        match seen(&link, std::fs::read_link(&link))? {
            // Sockets, pipes and the like have no path.
            Seen::Here(path) if path.as_os_str().as_bytes().starts_with(b"/") => {
                found.extend(open_file(pid, number, &link, path)?);
            }
            Seen::Here(_) | Seen::Gone => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    Ok(Seen::Here(found))
}

/// The processes that a process has a pidfd of (since Linux 5.3).
pub fn pidfds(pid: i32) -> io::Result<Seen<Vec<i32>>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let numbers = match seen(&directory, numeric_entries(&directory))? {
        Seen::Here(numbers) => numbers,
        Seen::Gone => return Ok(settled(pid, Seen::Gone)),
        Seen::Denied => return Ok(Seen::Denied),
    };
    let mut found = Vec::new();
    for number in numbers.iter().take(MOST) {
        let info = format!("{directory}/{number}");
        match seen(&info, whole(&info, LARGE))? {
            Seen::Here(info) => found.extend(field(&info, b"Pid:").filter(|pid| *pid > 0)),
            Seen::Gone => {}
            Seen::Denied => return Ok(Seen::Denied),
        }
    }
    Ok(Seen::Here(found))
}

/// The number behind a name, on a line of its own.
fn field(info: &[u8], name: &[u8]) -> Option<i32> {
    let mut lines = info.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn open_file(pid: i32, number: i32, link: &str, path: PathBuf) -> io::Result<Option<OpenFile>> {
    let facts = match seen(link, files::facts_remembered(link).map_err(io::Error::from))? {
        Seen::Here(facts) if facts.is_regular() => facts,
        _ => return Ok(None),
    };
    let info = format!("/proc/{pid}/fdinfo/{number}");
    let info = seen(&info, whole(&info, LARGE))?.here().unwrap_or_default();
    let is_lock = |line: &[u8]| line.starts_with(b"lock:") && contains(line, b"FLOCK");
    let is_locked = info.split(|&byte| byte == b'\n').any(is_lock);
    let owner = (facts.uid, facts.gid);
    Ok(Some(OpenFile { path, dev: facts.dev, ino: facts.ino, owner, is_locked }))
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_process_sees_its_own_open_file_and_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b.ledger");
        let file = std::fs::File::create(&path).unwrap();
        let ino = file.metadata().unwrap().ino();
        let me = i32::try_from(std::process::id()).unwrap();
        let look = || {
            let all = open_files(me).unwrap().here().unwrap();
            all.into_iter().find(|one| one.ino == ino && one.path == path).unwrap()
        };
        assert!(!look().is_locked);
        fs2::FileExt::try_lock_exclusive(&file).unwrap();
        assert!(look().is_locked);
    }

    #[test]
    fn a_pidfd_names_its_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        let Ok(pidfd) = crate::sys::pidfd::PidFd::open(me) else { return };
        assert!(pidfds(me).unwrap().here().unwrap().contains(&me));
        drop(pidfd);
        assert_eq!(field(b"pos:\t0\nPid:\t-1\nNSpid:\t7\n", b"Pid:"), Some(-1));
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        assert_eq!(open_files(i32::MAX).unwrap(), Seen::Gone);
    }
}
