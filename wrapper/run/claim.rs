//! What the ledger claims of a process: all that later proves an object or a process to be its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use shmwarden::engine::{self, EngineName, MainHeader, postgres};
use shmwarden::ledger::record::{Claim, DataDir, Executable};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::observe::{self, processes};
use shmwarden::proc::read::{self, FileId};
use shmwarden::sys::files;
use shmwarden::sys::shm::Row;

use crate::cli::EngineChoice;

/// What is known of the server before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// What kind of server.
    pub(crate) engine: EngineName,
    /// Whether the kind may change when the program that runs turns out to be another.
    pub(crate) auto: bool,
    /// Its data directory, if it has one.
    pub(crate) data: Option<PathBuf>,
    /// The file that it is about to execute.
    pub(crate) program: Option<PathBuf>,
}

impl Server {
    /// What COMMAND and the environment tell.
    pub(crate) fn from_command(
        choice: EngineChoice,
        program: &Path,
        command: &[std::ffi::OsString],
    ) -> Self {
        let engine = match choice {
            EngineChoice::Auto => engine::recognise(program),
            EngineChoice::Generic => EngineName::Generic,
            EngineChoice::Postgres => EngineName::Postgres,
            EngineChoice::Opengauss => EngineName::Opengauss,
        };
        let cwd = std::env::current_dir().or_else(|_| std::env::current_dir());
        let cwd = cwd.unwrap_or_else(|_| PathBuf::from("/"));
        let pgdata = std::env::var_os("PGDATA");
        let data = engine::data_directory(engine, command, pgdata.as_deref(), &cwd);
        let program = Some(program.to_owned());
        Self { engine, auto: choice == EngineChoice::Auto, data, program }
    }
}

/// A process's claim, as far as `/proc` tells; `None` where it has gone.
pub(crate) fn of(run: u64, pid: i32, server: &Server, rows: &[Row]) -> Option<Claim> {
    let stat = read::stat(pid).ok()?.here()?;
    let status = read::status(pid).ok()?.here()?;
    let mut uids = status.uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    let before = rows.iter().filter(|row| row.creator_pid == pid).map(|row| row.id).collect();
    Some(Claim {
        run,
        process: ProcessRef { pid, start: stat.start_ticks },
        uids,
        group: stat.pgrp,
        session: stat.session,
        control_group: Bytes(read::cgroup(pid).here().unwrap_or_default()),
        engine: server.engine,
        major: server.data.as_deref().and_then(major),
        data: server.data.as_deref().and_then(directory),
        executable: server.program.as_deref().and_then(to_execute),
        before,
        sets_before: Vec::new(),
        queues_before: Vec::new(),
        pid_max: observe::pid_max(),
        forks: None,
        ended: None,
    })
}

/// The claim as it stands once the program runs: its file, its user ids, and what they say of the
/// engine; `None` where nothing is new, or the pid is no longer the claimed process's.
pub(crate) fn again(old: &Claim, auto: bool) -> Option<Claim> {
    let pid = old.process.pid;
    let mut claim = old.clone();
    let file = read::exe(pid).ok()?.here()?;
    let status = read::status(pid).ok()?.here()?;
    claim.uids.extend(status.uids);
    claim.uids.sort_unstable();
    claim.uids.dedup();
    let found = engine::recognise(&file.path);
    if auto && found != EngineName::Generic && claim.engine == EngineName::Generic {
        claim.engine = found;
        claim.data = data_of_running(pid, found);
    }
    claim.executable = Some(executable(&file));
    // All of that was the claimed process's own if that is there still.
    let still = processes::by_pid(pid) == Some(old.process);
    (still && claim != *old).then_some(claim)
}

/// The claim with the data directory that a server's header names, which its own working directory
/// then is (`miscinit.c ChangeToDataDir`); `None` where it has it already, or that does not fit.
///
/// The major version is left to a look after the server's death: nothing is read from a disk here.
pub(crate) fn with_directory(old: &Claim, header: &MainHeader) -> Option<Claim> {
    let named = FileRef { dev: header.dev, ino: header.ino };
    if old.data.as_ref().is_some_and(|data| data.file == named) {
        return None;
    }
    let cwd = read::cwd(old.process.pid).ok()?.here()?;
    if (FileRef { dev: cwd.dev, ino: cwd.ino }) != named {
        return None;
    }
    let data = DataDir { path: Bytes::from(cwd.path.as_path()), file: named };
    Some(Claim { data: Some(data), major: None, ..old.clone() })
}

/// The data directory that a running server's arguments or environment name. Nothing is read from
/// a disk: the header of its main segment will tell where this is wrong.
pub(crate) fn data_of_running(pid: i32, engine: EngineName) -> Option<DataDir> {
    use std::os::unix::ffi::OsStringExt;
    let line = read::cmdline(pid).here()?;
    let args = line.split(|&byte| byte == 0);
    let args: Vec<OsString> = args.map(|arg| OsString::from_vec(arg.to_vec())).collect();
    let pgdata = read::environ_var(pid, "PGDATA").here().flatten().map(OsString::from_vec);
    let cwd = read::cwd(pid).ok()?.here()?;
    let path = engine::data_directory(engine, &args, pgdata.as_deref(), &cwd.path)?;
    let facts = files::facts_remembered(path.to_str()?).ok()?;
    let file = FileRef { dev: facts.dev, ino: facts.ino };
    Some(DataDir { path: Bytes::from(path.as_path()), file })
}

/// The file that is about to be executed.
fn to_execute(program: &Path) -> Option<Executable> {
    let path = std::fs::canonicalize(program).ok()?;
    let facts = files::facts_remembered(path.to_str()?).ok()?;
    let file = FileRef { dev: facts.dev, ino: facts.ino };
    Some(Executable { path: Bytes::from(path.as_path()), file })
}

fn executable(file: &FileId) -> Executable {
    let path = Bytes::from(file.path.as_path());
    Executable { path, file: FileRef { dev: file.dev, ino: file.ino } }
}

fn directory(path: &Path) -> Option<DataDir> {
    let path = Bytes::from(path);
    let file = observe::data_dir::look(&path).file?;
    Some(DataDir { path, file })
}

fn major(path: &Path) -> Option<u32> {
    postgres::major(&std::fs::read(path.join("PG_VERSION")).ok()?)
}
