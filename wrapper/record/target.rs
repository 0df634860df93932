//! The process that is meant, which must be a server that can be recorded: alive, of this place,
//! one that may be looked into, the server itself and none of its children.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shmwarden::engine::{self, Engine};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::proc::read::{self, FileId};
use shmwarden::snapshot::{self, DataDirectory, Seen, data_dir, place, processes};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::user::{self, Acting};

use super::args::RecordArgs;
use super::kind;
use super::refusal::Refusal;
use crate::ledgers;
use crate::recording::claim;
use crate::render::text::safe;

/// A server that lives.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) process: ProcessRef,
    /// The owner that the ledger is to have: root where the server may act as root.
    pub(crate) owner: (u32, u32),
    pub(crate) engine: Engine,
    pub(crate) program: PathBuf,
    /// Its data directory, for an engine that has one.
    pub(crate) data: Option<DataDirectory>,
    /// `None` before Linux 5.3.
    held: Option<PidFd>,
}

impl Target {
    /// Checks that it lived all the time since it was found, as the same process.
    pub(crate) fn still_lives(&self) -> bool {
        let ended = self.held.as_ref().is_some_and(|held| held.has_ended().unwrap_or(true));
        !ended && processes::lives(self.process)
    }
}

/// The process that the caller means.
///
/// # Errors
/// A refusal.
pub(crate) fn find(args: &RecordArgs) -> Result<Target, Refusal> {
    match (args.pid, &args.data) {
        (Some(pid), _) => look_at(pid, None),
        (None, Some(data)) => {
            let path = ledgers::absolute(data);
            let directory = directory(&path)?;
            look_at(server_in(&path, &directory)?, Some(directory))
        }
        (None, None) => Err(Refusal::Unnamed {}),
    }
}

/// The process that `postmaster.pid` names.
fn server_in(path: &Path, directory: &DataDirectory) -> Result<i32, Refusal> {
    let shown = safe(&path.to_string_lossy());
    if directory.file.is_none() {
        return Err(Refusal::NoDirectory { directory: shown });
    }
    match &directory.pid_file {
        Seen::Here(file) if snapshot::is_there(file.pid) => {
            if file.standalone {
                log::warn!(
                    "process {} in {shown} is a standalone backend (postgres --single), which \
                     nobody can connect to; it is recorded like a server",
                    file.pid
                );
            }
            Ok(file.pid)
        }
        Seen::Here(file) => {
            let kind = match file.standalone {
                true => ", a standalone backend (postgres --single)",
                false => "",
            };
            Err(Refusal::ServerEnded { directory: shown, pid: file.pid, kind })
        }
        Seen::Gone => Err(Refusal::NoPidFile { directory: shown }),
        Seen::Denied => Err(Refusal::PidFileClosed { directory: shown }),
    }
}

/// A data directory, looked at with the rights of its owner where the caller is root.
pub(super) fn directory(path: &Path) -> Result<DataDirectory, Refusal> {
    let owner = std::fs::metadata(path).ok().map(|found| (found.uid(), found.gid()));
    let acting = match owner.filter(|owner| user::effective() == 0 && owner.0 != 0) {
        Some((uid, gid)) => Some(Acting::start(uid, gid).map_err(|errno| {
            Refusal::CannotActAsOwner { directory: safe(&path.to_string_lossy()), errno }
        })?),
        None => None,
    };
    let found = data_dir::look(&Bytes::from(path));
    drop(acting);
    Ok(found)
}

fn look_at(pid: i32, named: Option<DataDirectory>) -> Result<Target, Refusal> {
    let (process, held) = alive(pid)?;
    let owner = owner(pid)?;
    let program = read::exe(pid).map_or(Seen::Denied, |found| found);
    let program = opened(program, pid, owner.0)?;
    is_in_this_place(pid)?;
    is_no_part_of_us(pid, &program)?;
    let engine = kind::of(process, &program.path);
    let data = match (engine.data, named) {
        (Some(_), named) => Some(of_server(pid, owner.0, engine, named)?),
        (None, Some(directory)) => {
            let directory = safe(&directory.path.lossy());
            return Err(Refusal::NoServerThere { pid, directory });
        }
        (None, None) => {
            is_no_wrapper(pid, &program)?;
            is_no_fork(pid)?;
            None
        }
    };
    Ok(Target { process, owner, engine, program: program.path, data, held })
}

/// The process, held, if it is one and lives.
fn alive(pid: i32) -> Result<(ProcessRef, Option<PidFd>), Refusal> {
    let held = PidFd::open(pid);
    let Ok(Seen::Here(stat)) = read::stat(pid) else {
        return match snapshot::is_there(pid) {
            true => Err(Refusal::Hidden { pid }),
            false => Err(Refusal::NoProcess { pid }),
        };
    };
    if !read::pids().unwrap_or_default().contains(&pid) {
        return Err(Refusal::Thread { pid });
    }
    if stat.is_kernel_thread() {
        return Err(Refusal::KernelThread { pid });
    }
    let process = ProcessRef { pid, start: stat.start_ticks };
    if !processes::lives(process) {
        return Err(Refusal::Zombie { pid });
    }
    Ok((process, held.ok()))
}

/// Returns its owner; refused where the caller is neither that user nor root.
fn owner(pid: i32) -> Result<(u32, u32), Refusal> {
    let Some(status) = read::status(pid).ok().and_then(Seen::here) else {
        return Err(Refusal::NoProcess { pid });
    };
    let me = user::effective();
    let [_, uid, ..] = status.uids;
    let [_, gid, ..] = status.gids;
    match status.uids.contains(&0) {
        _ if me != 0 && uid != me => Err(Refusal::Foreign { pid, uid }),
        // What may act as root may make objects as root, which only root may remove.
        true if me == 0 => Ok((0, 0)),
        _ => Ok((uid, gid)),
    }
}

fn opened(seen: Seen<FileId>, pid: i32, uid: u32) -> Result<FileId, Refusal> {
    match seen {
        Seen::Here(file) => Ok(file),
        Seen::Gone => Err(Refusal::JustEnded { pid }),
        Seen::Denied => Err(Refusal::Foreign { pid, uid }),
    }
}

/// Its pids, ids and files in `/dev/shm` have to mean here what they mean there.
fn is_in_this_place(pid: i32) -> Result<(), Refusal> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    for (kind, name) in [("pid", "PID"), ("ipc", "IPC")] {
        let inode = |pid| read::namespace_inode(pid, kind).ok().and_then(Seen::here);
        let Some(its) = inode(pid) else {
            return Err(Refusal::NamespaceClosed { pid, kind: name });
        };
        if inode(own) != Some(its) {
            return Err(Refusal::OtherNamespace { pid, kind: name });
        }
    }
    match place::shm_mount_of(pid) {
        Ok(mount) if mount == place::shm_mount() => Ok(()),
        Ok(_) => Err(Refusal::OtherShm { pid }),
        Err(error) => Err(Refusal::ShmClosed { pid, error }),
    }
}

/// A launcher is no server: what it started is.
fn is_no_part_of_us(pid: i32, program: &FileId) -> Result<(), Refusal> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let ours = read::exe(own).ok().and_then(Seen::here);
    if ours.is_some_and(|ours| (ours.dev, ours.ino) == (program.dev, program.ino)) {
        return Err(Refusal::Ourselves { pid });
    }
    Ok(())
}

/// A script or supervisor whose child is the server: that is to be named.
fn is_no_wrapper(pid: i32, program: &FileId) -> Result<(), Refusal> {
    let children = read::children(pid).here().unwrap_or_default();
    let is_server = |child: &&i32| {
        let path = read::exe_path(**child).ok().and_then(Seen::here);
        path.is_some_and(|path| engine::recognise(&path).is_known())
    };
    match children.iter().find(is_server) {
        Some(&child) => {
            let program = safe(&program.path.to_string_lossy());
            Err(Refusal::Wrapper { pid, program, child })
        }
        None => Ok(()),
    }
}

/// A worker that its server has forked off: with it alone under a ledger, what it made would pass
/// for a dead server's while that and its other workers live.
fn is_no_fork(pid: i32) -> Result<(), Refusal> {
    let Some(parent) = read::stat(pid).ok().and_then(Seen::here).map(|stat| stat.ppid) else {
        return Err(Refusal::JustEnded { pid });
    };
    let of = |pid| read::auxiliary_vector(pid).here().filter(|all| !all.is_empty());
    match (of(pid), of(parent)) {
        (Some(its), Some(parents)) if its == parents => Err(Refusal::Fork { pid, parent }),
        _ => Ok(()),
    }
}

/// The data directory of a server of a known kind, which it works in and whose `postmaster.pid`
/// names it: else it is a backend, or what is left of a dead server.
fn of_server(
    pid: i32,
    uid: u32,
    engine: Engine,
    named: Option<DataDirectory>,
) -> Result<DataDirectory, Refusal> {
    let cwd = opened(read::cwd(pid).unwrap_or(Seen::Denied), pid, uid)?;
    let works_in = FileRef { dev: cwd.dev, ino: cwd.ino };
    let directory = match named {
        Some(named) => named,
        None => {
            // As the command line has it: the instance is then called as `run` would call it.
            let told = claim::data_of_running(pid, engine).filter(|data| data.file == works_in);
            directory(&told.map_or(cwd.path, |data| PathBuf::from(&data.path)))?
        }
    };
    let owned = directory.uid.is_none_or(|owner| owner == uid);
    let shown = safe(&directory.path.lossy());
    if directory.file != Some(works_in) || !owned {
        return Err(Refusal::NoServerThere { pid, directory: shown });
    }
    match &directory.pid_file {
        Seen::Here(file) if file.pid == pid => Ok(directory),
        Seen::Here(file) => Err(Refusal::Backend { pid, directory: shown, server: file.pid }),
        Seen::Gone => Err(Refusal::WithoutPidFile { pid, directory: shown }),
        Seen::Denied => Err(Refusal::Untold { pid, directory: shown }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Target {
        /// A target for tests, which nobody has looked at.
        pub(crate) fn literal(process: ProcessRef, engine: Engine) -> Self {
            let program = PathBuf::from("/usr/lib/postgresql/15/bin/postgres");
            Self { process, owner: (0, 0), engine, program, data: None, held: None }
        }
    }

    #[test]
    fn what_a_data_directory_tells_is_its_server_or_a_refusal() {
        let of = |exists: bool, pid_file| {
            let directory = DataDirectory {
                path: Bytes::from(Path::new("/srv/data")),
                file: exists.then_some(FileRef { dev: 64, ino: 77 }),
                uid: Some(100_001),
                major: Some(15),
                pid_file,
            };
            server_in(Path::new("/srv/data"), &directory)
        };
        let names = |pid, standalone| {
            Seen::Here(engine::postgres::PidFile { pid, standalone, segment: None })
        };
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(matches!(of(true, names(own, false)), Ok(pid) if pid == own));
        assert!(matches!(of(false, Seen::Gone), Err(Refusal::NoDirectory { .. })));
        assert!(matches!(of(true, Seen::Gone), Err(Refusal::NoPidFile { .. })));
        assert!(matches!(of(true, Seen::Denied), Err(Refusal::PidFileClosed { .. })));
        // No process has this pid: it is above every pid_max.
        for (standalone, word) in [(false, ""), (true, ", a standalone backend")] {
            let refused = of(true, names(i32::MAX, standalone));
            assert!(
                matches!(refused, Err(Refusal::ServerEnded { kind, .. }) if kind.starts_with(word)
                    && kind.is_empty() == word.is_empty())
            );
        }
    }

    #[test]
    fn a_link_that_is_gone_or_closed_is_a_refusal() {
        let of = |seen| opened(seen, 4711, 100_001);
        assert!(matches!(of(Seen::Gone), Err(Refusal::JustEnded { pid: 4711 })));
        assert!(matches!(of(Seen::Denied), Err(Refusal::Foreign { pid: 4711, uid: 100_001 })));
    }
}
