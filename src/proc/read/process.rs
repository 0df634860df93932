//! The files of one process under `/proc/<pid>`.
//!
//! It must never read a process whose first thread has ended as if it had ended itself: its
//! program, directory and namespaces are then found through a thread that still runs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::threads::{numeric_entries, tids, via_threads};
use super::{SMALL, at, malformed, record, seen, settled, up_to, whole};
use crate::proc::status::{self, Status};
use crate::proc::{Seen, system};
use crate::sys::files;

/// A file that a process has open as its program or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId {
    /// Device number, as `st_dev` of stat(2) has it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Its name in the process's own mount namespace, ` (deleted)` appended by the kernel where
    /// that is so: for people to read, not to compare or to open.
    pub path: PathBuf,
}

/// Every process that `/proc` lists, in its order. hidepid leaves out those of others.
pub fn pids() -> io::Result<Vec<i32>> {
    numeric_entries("/proc").map_err(|error| at("/proc", error))
}

/// `/proc/<pid>/status`.
pub fn status(pid: i32) -> io::Result<Seen<Status>> {
    let path = format!("/proc/{pid}/status");
    match seen(&path, record(&path))? {
        Seen::Here(bytes) if bytes.is_empty() => Ok(settled(pid, Seen::Gone)),
        Seen::Here(bytes) => status::parse(&bytes).map(Seen::Here).map_err(malformed),
        Seen::Gone => Ok(settled(pid, Seen::Gone)),
        Seen::Denied => Ok(Seen::Denied),
    }
}

/// The program: `/proc/<pid>/exe` (proc_pid_exe(5)). `Gone` also for zombies; a kernel thread,
/// which has none, is `Denied`.
pub fn exe(pid: i32) -> io::Result<Seen<FileId>> {
    via_threads(pid, "exe", file_id, |_| false)
}

/// The path that `/proc/<pid>/exe` names, without a look at the file itself: no wait for a disk.
pub fn exe_path(pid: i32) -> io::Result<Seen<PathBuf>> {
    via_threads(pid, "exe", |link| std::fs::read_link(link), |_| false)
}

/// The working directory: `/proc/<pid>/cwd` (proc_pid_cwd(5)). Asks the file system it is on, so a
/// dead network mount can hold the caller up.
pub fn cwd(pid: i32) -> io::Result<Seen<FileId>> {
    via_threads(pid, "cwd", file_id, |_| false)
}

fn file_id(link: &str) -> io::Result<FileId> {
    let path = std::fs::read_link(link)?;
    // Follows the link to the file itself, whatever the name says by now.
    let file = files::facts_remembered(link)?;
    Ok(FileId { dev: file.dev, ino: file.ino, path })
}

/// The inode number of `/proc/<pid>/ns/<kind>` (namespaces(7)), `kind` being `ipc`, `pid`, `mnt`.
/// The number comes back after the namespace's end. `Gone` also for zombies.
pub fn namespace_inode(pid: i32, kind: &str) -> io::Result<Seen<u64>> {
    let look = |link: &str| std::fs::metadata(link).map(|namespace| namespace.ino());
    via_threads(pid, &format!("ns/{kind}"), look, |_| false)
}

/// The first 4,096 bytes of `/proc/<pid>/cmdline` (proc_pid_cmdline(5)): arguments ended by NUL,
/// which the process may have rewritten. Empty for kernel threads and zombies.
pub fn cmdline(pid: i32) -> Seen<Vec<u8>> {
    let look = |path: &str| up_to(path, 4096).map(|(bytes, _)| bytes);
    or_denied(via_threads(pid, "cmdline", look, Vec::is_empty))
}

/// The first 4,096 bytes of `/proc/<pid>/auxv` (proc_pid_auxv(5)). With its random addresses it
/// tells one `execve` from another: a process that has executed nothing since `fork` has its
/// parent's. Empty for kernel threads and zombies.
pub fn auxiliary_vector(pid: i32) -> Seen<Vec<u8>> {
    let look = |path: &str| up_to(path, 4096).map(|(bytes, _)| bytes);
    or_denied(via_threads(pid, "auxv", look, Vec::is_empty))
}

/// The control group: the version 2 path where `/proc/<pid>/cgroup` has one, else its first line.
/// Under systemd's hybrid hierarchy the version 2 path may be `/` for everybody.
pub fn cgroup(pid: i32) -> Seen<Vec<u8>> {
    let path = format!("/proc/{pid}/cgroup");
    let found = settled(pid, or_denied(seen(&path, whole(&path, SMALL))));
    found.map(|bytes| system::cgroup_path(&bytes).to_vec())
}

/// The value of a variable in `/proc/<pid>/environ`, as it was when the program was executed.
/// `Denied` also where the environment is larger than 1 MiB and the first of it has no such name.
pub fn environ_var(pid: i32, name: &str) -> Seen<Option<Vec<u8>>> {
    let look = |path: &str| up_to(path, SMALL);
    match or_denied(via_threads(pid, "environ", look, |(bytes, _)| bytes.is_empty())) {
        Seen::Here((bytes, is_whole)) => match system::environ_value(&bytes, name.as_bytes()) {
            Some(value) => Seen::Here(Some(value.to_vec())),
            None if is_whole => Seen::Here(None),
            None => Seen::Denied,
        },
        Seen::Gone => Seen::Gone,
        Seen::Denied => Seen::Denied,
    }
}

/// The children of all threads, from `/proc/<pid>/task/<tid>/children`. `Gone` also where the
/// kernel was built without that file (`CONFIG_PROC_CHILDREN`): then only parents' pids tell.
/// Children that come or go during the look may be missed (proc_tid_children(5)).
pub fn children(pid: i32) -> Seen<Vec<i32>> {
    let tids = match or_denied(tids(pid)) {
        Seen::Here(tids) => tids,
        Seen::Gone => return settled(pid, Seen::Gone),
        Seen::Denied => return Seen::Denied,
    };
    let (mut found, mut any) = (Vec::new(), false);
    for tid in tids {
        let path = format!("/proc/{pid}/task/{tid}/children");
        match or_denied(seen(&path, whole(&path, SMALL))).map(|bytes| system::pid_list(&bytes)) {
            Seen::Here(Some(pids)) => {
                found.extend(pids);
                any = true;
            }
            Seen::Gone => {}
            Seen::Here(None) | Seen::Denied => return Seen::Denied,
        }
    }
    if any { Seen::Here(found) } else { Seen::Gone }
}

/// An error of any other kind leaves the answer unknown, which is what `Denied` stands for.
fn or_denied<T>(looked: io::Result<Seen<T>>) -> Seen<T> {
    looked.unwrap_or(Seen::Denied)
}

#[cfg(test)]
mod tests {
    use super::super::stat_file::stat;
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_process_reads_about_itself() {
        let own = stat(me()).unwrap().here().unwrap();
        assert_eq!(own.pid, me());
        assert!(own.threads >= 1 && own.start_ticks > 0);
        assert!(status(me()).unwrap().here().unwrap().nspid.contains(&me()));
        assert!(pids().unwrap().contains(&me()));
        assert!(cgroup(me()).here().is_some());
        assert!(namespace_inode(me(), "ipc").unwrap().here().unwrap() > 0);
    }

    #[test]
    fn program_and_directory_are_the_files_themselves() {
        let program = std::env::current_exe().unwrap();
        let file = std::fs::metadata(&program).unwrap();
        let expected = FileId { dev: file.dev(), ino: file.ino(), path: program };
        assert_eq!(exe(me()).unwrap(), Seen::Here(expected));
        let expected = std::fs::metadata(".").unwrap().ino();
        assert_eq!(cwd(me()).unwrap().map(|directory| directory.ino), Seen::Here(expected));
    }

    #[test]
    fn a_variable_is_looked_up_in_the_environment_at_the_start() {
        let path = std::env::var("PATH").unwrap().into_bytes();
        assert_eq!(environ_var(me(), "PATH"), Seen::Here(Some(path)));
        assert_eq!(environ_var(me(), "NO_SUCH_NAME_HERE"), Seen::Here(None));
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone_for_every_question() {
        let none = i32::MAX;
        assert_eq!(stat(none).unwrap(), Seen::Gone);
        assert_eq!(status(none).unwrap(), Seen::Gone);
        assert_eq!(exe(none).unwrap(), Seen::Gone);
        assert_eq!(cwd(none).unwrap(), Seen::Gone);
        assert_eq!(namespace_inode(none, "ipc").unwrap(), Seen::Gone);
        assert_eq!((cmdline(none), cgroup(none)), (Seen::Gone, Seen::Gone));
        assert_eq!((children(none), environ_var(none, "A")), (Seen::Gone, Seen::Gone));
    }
}
