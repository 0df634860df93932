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

use super::Failure;
use super::args::RecordArgs;
use super::kind;
use crate::exit;
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
/// The status to end with and a sentence.
pub(crate) fn find(args: &RecordArgs) -> Result<Target, Failure> {
    match (args.pid, &args.data) {
        (Some(pid), _) => look_at(pid, None),
        (None, Some(data)) => {
            let path = ledgers::absolute(data);
            let directory = directory(&path)?;
            look_at(server_in(&path, &directory)?, Some(directory))
        }
        (None, None) => Err((exit::USAGE, "name the server by --pid or --data".to_owned())),
    }
}

/// The process that `postmaster.pid` names.
fn server_in(path: &Path, directory: &DataDirectory) -> Result<i32, Failure> {
    let shown = safe(&path.to_string_lossy());
    if directory.file.is_none() {
        return Err((exit::NO_SUCH_OBJECT, format!("there is no directory {shown}")));
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
            let why = format!(
                "no server runs in {shown}: its postmaster.pid names process {0}{kind}, and there \
                 is no process {0} any more; the next start clears that file away by itself",
                file.pid
            );
            Err((exit::NO_SUCH_OBJECT, why))
        }
        Seen::Gone => {
            let why = format!("no server runs in {shown}: it has no postmaster.pid");
            Err((exit::NO_SUCH_OBJECT, why))
        }
        Seen::Denied => Err((
            exit::PERMISSION,
            format!(
                "postmaster.pid in {shown} cannot be read, or names no process; run this as the \
                 directory's owner or as root, or use --pid"
            ),
        )),
    }
}

/// A data directory, looked at with the rights of its owner where the caller is root.
pub(super) fn directory(path: &Path) -> Result<DataDirectory, Failure> {
    let owner = std::fs::metadata(path).ok().map(|found| (found.uid(), found.gid()));
    let acting = match owner.filter(|owner| user::effective() == 0 && owner.0 != 0) {
        Some((uid, gid)) => Some(Acting::start(uid, gid).map_err(|errno| {
            let shown = safe(&path.to_string_lossy());
            (exit::PERMISSION, format!("cannot act as the owner of {shown}: {errno}"))
        })?),
        None => None,
    };
    let found = data_dir::look(&Bytes::from(path));
    drop(acting);
    Ok(found)
}

fn look_at(pid: i32, named: Option<DataDirectory>) -> Result<Target, Failure> {
    let (process, held) = alive(pid)?;
    let owner = owner(pid)?;
    let program = read::exe(pid).map_or(Seen::Denied, |found| found);
    let program = opened(program, pid, owner.0)?;
    is_in_this_place(pid)?;
    is_no_part_of_us(pid, &program)?;
    let engine = kind::of(process, &program.path);
    let data = match (engine.data, named) {
        (Some(_), named) => Some(of_server(pid, owner.0, engine, named)?),
        (None, Some(directory)) => return Err(no_server_there(pid, &directory)),
        (None, None) => {
            is_no_wrapper(pid, &program)?;
            is_no_fork(pid)?;
            None
        }
    };
    Ok(Target { process, owner, engine, program: program.path, data, held })
}

/// The process, held, if it is one and lives.
fn alive(pid: i32) -> Result<(ProcessRef, Option<PidFd>), Failure> {
    let missing = |why: String| Err((exit::NO_SUCH_OBJECT, why));
    let held = PidFd::open(pid);
    let Ok(Seen::Here(stat)) = read::stat(pid) else {
        return match snapshot::is_there(pid) {
            true => Err((
                exit::PERMISSION,
                format!("process {pid} is hidden here (hidepid, proc(5)); run this as root"),
            )),
            false => missing(format!("there is no process {pid}")),
        };
    };
    if !read::pids().unwrap_or_default().contains(&pid) {
        return missing(format!("{pid} is a thread's number; name the process that it is part of"));
    }
    if stat.is_kernel_thread() {
        return missing(format!("process {pid} is a kernel thread"));
    }
    let process = ProcessRef { pid, start: stat.start_ticks };
    if !processes::lives(process) {
        return missing(format!("process {pid} has ended; sweep cleans up after servers"));
    }
    Ok((process, held.ok()))
}

/// Returns its owner; refused where the caller is neither that user nor root.
fn owner(pid: i32) -> Result<(u32, u32), Failure> {
    let Some(status) = read::status(pid).ok().and_then(Seen::here) else {
        return Err((exit::NO_SUCH_OBJECT, format!("there is no process {pid}")));
    };
    let me = user::effective();
    let [_, uid, ..] = status.uids;
    let [_, gid, ..] = status.gids;
    match status.uids.contains(&0) {
        _ if me != 0 && uid != me => Err(foreign(pid, uid)),
        // What may act as root may make objects as root, which only root may remove.
        true if me == 0 => Ok((0, 0)),
        _ => Ok((uid, gid)),
    }
}

fn foreign(pid: i32, uid: u32) -> Failure {
    let why = format!(
        "not allowed to look into process {pid}, which is user {uid}'s; run this as that user, \
         with the rights of the server, or as root"
    );
    (exit::PERMISSION, why)
}

fn opened(seen: Seen<FileId>, pid: i32, uid: u32) -> Result<FileId, Failure> {
    match seen {
        Seen::Here(file) => Ok(file),
        Seen::Gone => Err((exit::NO_SUCH_OBJECT, format!("process {pid} has just ended"))),
        Seen::Denied => Err(foreign(pid, uid)),
    }
}

/// Its pids, ids and files in `/dev/shm` have to mean here what they mean there.
fn is_in_this_place(pid: i32) -> Result<(), Failure> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    for (kind, name) in [("pid", "PID"), ("ipc", "IPC")] {
        let inode = |pid| read::namespace_inode(pid, kind).ok().and_then(Seen::here);
        let Some(its) = inode(pid) else {
            let why = format!("not allowed to see which {name} namespace process {pid} is in");
            return Err((exit::PERMISSION, why));
        };
        if inode(own) != Some(its) {
            let why = format!(
                "process {pid} is in another {name} namespace (a container?): run this inside, as \
                 with nsenter --target {pid} --all"
            );
            return Err((exit::UNSUPPORTED, why));
        }
    }
    match place::shm_mount_of(pid) {
        Ok(mount) if mount == place::shm_mount() => Ok(()),
        Ok(_) => {
            let why = format!(
                "process {pid} has another /dev/shm than this one: run this inside, as with \
                 nsenter --target {pid} --all"
            );
            Err((exit::UNSUPPORTED, why))
        }
        Err(error) => {
            let why = format!("not allowed to see which /dev/shm process {pid} has: {error}");
            Err((exit::PERMISSION, why))
        }
    }
}

/// A launcher is no server: what it started is.
fn is_no_part_of_us(pid: i32, program: &FileId) -> Result<(), Failure> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let ours = read::exe(own).ok().and_then(Seen::here);
    if ours.is_some_and(|ours| (ours.dev, ours.ino) == (program.dev, program.ino)) {
        let why = format!(
            "process {pid} is shmwarden itself, no server; what it has started is under a ledger \
             already"
        );
        return Err((exit::NO_SUCH_OBJECT, why));
    }
    Ok(())
}

/// A script or supervisor whose child is the server: that is to be named.
fn is_no_wrapper(pid: i32, program: &FileId) -> Result<(), Failure> {
    let children = read::children(pid).here().unwrap_or_default();
    let is_server = |child: &&i32| {
        let path = read::exe_path(**child).ok().and_then(Seen::here);
        path.is_some_and(|path| engine::recognise(&path).is_known())
    };
    match children.iter().find(is_server) {
        Some(child) => Err((
            exit::NO_SUCH_OBJECT,
            format!(
                "process {pid} ({}) is not the database server, its child {child} is: use --pid \
                 {child}",
                safe(&program.path.to_string_lossy())
            ),
        )),
        None => Ok(()),
    }
}

/// A worker that its server has forked off: with it alone under a ledger, what it made would pass
/// for a dead server's while that and its other workers live.
fn is_no_fork(pid: i32) -> Result<(), Failure> {
    let Some(parent) = read::stat(pid).ok().and_then(Seen::here).map(|stat| stat.ppid) else {
        return Err((exit::NO_SUCH_OBJECT, format!("process {pid} has just ended")));
    };
    let of = |pid| read::auxiliary_vector(pid).here().filter(|all| !all.is_empty());
    match (of(pid), of(parent)) {
        (Some(its), Some(parents)) if its == parents => Err((
            exit::NO_SUCH_OBJECT,
            format!(
                "process {pid} is not the server, but one that process {parent} has forked off: \
                 use --pid {parent}"
            ),
        )),
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
) -> Result<DataDirectory, Failure> {
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
    if directory.file != Some(works_in) || !owned {
        return Err(no_server_there(pid, &directory));
    }
    let shown = safe(&directory.path.lossy());
    match &directory.pid_file {
        Seen::Here(file) if file.pid == pid => Ok(directory),
        Seen::Here(file) => Err((
            exit::NO_SUCH_OBJECT,
            format!(
                "process {pid} is not the server of {shown}: its postmaster.pid names process {}; \
                 a process that the server started is recorded with it",
                file.pid
            ),
        )),
        Seen::Gone => Err((
            exit::NO_SUCH_OBJECT,
            format!("process {pid} is not the server of {shown}, which has no postmaster.pid"),
        )),
        Seen::Denied => Err((
            exit::PERMISSION,
            format!(
                "cannot tell whether process {pid} is the server of {shown}: its postmaster.pid \
                 cannot be read"
            ),
        )),
    }
}

fn no_server_there(pid: i32, directory: &DataDirectory) -> Failure {
    let shown = safe(&directory.path.lossy());
    let why = format!(
        "no server runs in {shown}: process {pid}, which its postmaster.pid names, is no database \
         server of its owner's in that directory"
    );
    (exit::NO_SUCH_OBJECT, why)
}

#[cfg(test)]
impl Target {
    /// A target for tests, which nobody has looked at.
    pub(crate) fn literal(process: ProcessRef, engine: Engine) -> Self {
        let program = PathBuf::from("/usr/lib/postgresql/15/bin/postgres");
        Self { process, owner: (0, 0), engine, program, data: None, held: None }
    }

    /// Every refusal that takes no look at a living process.
    pub(crate) fn refusals() -> Vec<Failure> {
        let shown = Path::new("/srv/da\nta");
        let directory = |pid_file| DataDirectory {
            path: Bytes::from(shown),
            file: Some(FileRef { dev: 64, ino: 77 }),
            uid: Some(100_001),
            major: Some(15),
            pid_file,
        };
        // No process has this pid: it is above every pid_max.
        let dead = |standalone| {
            let file = engine::postgres::PidFile { pid: i32::MAX, standalone, segment: None };
            directory(Seen::Here(file))
        };
        let missing = DataDirectory { file: None, ..directory(Seen::Gone) };
        let others = [dead(false), dead(true), directory(Seen::Gone), directory(Seen::Denied)];
        let in_directory = std::iter::once(missing).chain(others);
        let mut all: Vec<Failure> =
            in_directory.filter_map(|directory| server_in(shown, &directory).err()).collect();
        all.extend([Seen::Gone, Seen::Denied].into_iter().filter_map(|seen| {
            let refused: Result<FileId, Failure> = opened(seen, 4711, 100_001);
            refused.err()
        }));
        all.push(no_server_there(4711, &directory(Seen::Gone)));
        all
    }
}
