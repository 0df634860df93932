//! What the ledger claims of a process: all that later proves an object or a process to be its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shmwarden::engine::{self, Engine, MainHeader, postgres};
use shmwarden::ledger::record::{Claim, DataDir, Executable};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::proc::Seen;
use shmwarden::proc::read::{self, FileId};
use shmwarden::snapshot;
use shmwarden::sys::files;
use shmwarden::sys::shm::Row;

use crate::cli::EngineChoice;

/// Pauses between the tries of a read that failed for a moment (a full table, no memory).
const PAUSES_MS: [u64; 4] = [1, 4, 10, 25];

/// The server as its command line and environment describe it, before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The kind of server.
    pub(crate) engine: Engine,
    /// Set where the kind may change when the program that runs turns out to be another.
    pub(crate) auto: bool,
    /// Its data directory, if it has one.
    pub(crate) data: Option<PathBuf>,
    /// The file that it is about to execute.
    pub(crate) program: Option<PathBuf>,
}

impl Server {
    /// Reads it from COMMAND and the environment.
    pub(crate) fn from_command(
        choice: EngineChoice,
        program: &Path,
        command: &[std::ffi::OsString],
    ) -> Self {
        let engine = match choice {
            EngineChoice::Auto => engine::recognise(program),
            EngineChoice::Named(engine) => engine,
        };
        let cwd = std::env::current_dir().or_else(|_| std::env::current_dir());
        let cwd = cwd.unwrap_or_else(|_| PathBuf::from("/"));
        let variable = engine.data.and_then(|data| std::env::var_os(data.variable));
        let data = engine.data_directory(command, variable.as_deref(), &cwd);
        let program = Some(program.to_owned());
        Self { engine, auto: choice == EngineChoice::Auto, data, program }
    }
}

/// Reads what a claim of a process needs, more than once where that fails.
///
/// # Errors
/// A sentence: what could not be read, or that the process has gone.
pub(crate) fn of(run: u64, pid: i32, server: &Server, rows: &[Row]) -> Result<Claim, String> {
    let stat = patiently(pid, "stat", || read::stat(pid))?;
    let status = patiently(pid, "status", || read::status(pid))?;
    let mut uids = status.uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    let before = rows.iter().filter(|row| row.creator_pid == pid).map(|row| row.id).collect();
    let control_group = patiently(pid, "cgroup", || Ok(read::cgroup(pid)));
    Ok(Claim {
        run,
        process: ProcessRef { pid, start: stat.start_ticks },
        uids,
        group: stat.pgrp,
        session: stat.session,
        control_group: Bytes(control_group.unwrap_or_default()),
        engine: server.engine,
        major: server.data.as_deref().and_then(major),
        data: server.data.as_deref().and_then(directory),
        executable: server.program.as_deref().and_then(to_execute),
        before,
        sets_before: Vec::new(),
        queues_before: Vec::new(),
        pid_max: None,
        forks: None,
        ended: None,
    })
}

/// Reads which process bears a pid now.
///
/// # Errors
/// A sentence, as [`of`].
pub(crate) fn process(pid: i32) -> Result<ProcessRef, String> {
    let stat = patiently(pid, "stat", || read::stat(pid))?;
    Ok(ProcessRef { pid, start: stat.start_ticks })
}

/// Reads the segments that are there before the server is, again after a moment where that fails.
///
/// # Errors
/// What the kernel says. What was there before cannot be told from the server's own then.
pub(crate) fn segments_before() -> shmwarden::Result<Vec<Row>> {
    let mut pauses = PAUSES_MS.iter();
    loop {
        match (snapshot::segments(), pauses.next()) {
            (Err(_), Some(pause)) => std::thread::sleep(Duration::from_millis(*pause)),
            (found, _) => return found,
        }
    }
}

/// Reads a file of a process, again after a moment where that fails: whoever claims a process would
/// lose everything that it makes by one full descriptor table.
fn patiently<T>(
    pid: i32,
    file: &str,
    read: impl Fn() -> std::io::Result<Seen<T>>,
) -> Result<T, String> {
    let mut pauses = PAUSES_MS.iter();
    loop {
        let why = match read() {
            Ok(Seen::Here(value)) => return Ok(value),
            Ok(Seen::Gone) => return Err(format!("process {pid} has ended")),
            Ok(Seen::Denied) => format!("/proc/{pid}/{file} may not be read"),
            Err(error) => error.to_string(),
        };
        match pauses.next() {
            Some(pause) => std::thread::sleep(Duration::from_millis(*pause)),
            None => return Err(why),
        }
    }
}

/// Returns the claim as it stands once the program runs: its file, its user ids, and what they say
/// of the engine; `None` where nothing is new, or the pid is no longer the claimed process's.
///
/// # Errors
/// A sentence: what could not be read. It is to be asked again.
pub(crate) fn again(old: &Claim, auto: bool) -> Result<Option<Claim>, String> {
    let pid = old.process.pid;
    let mut claim = old.clone();
    let failed = |error: std::io::Error| error.to_string();
    let Seen::Here(file) = read::exe(pid).map_err(failed)? else { return Ok(None) };
    let Seen::Here(status) = read::status(pid).map_err(failed)? else { return Ok(None) };
    claim.uids.extend(status.uids);
    claim.uids.sort_unstable();
    claim.uids.dedup();
    let found = engine::recognise(&file.path);
    if auto && found.is_known() && !claim.engine.is_known() {
        claim.engine = found;
        claim.data = data_of_running(pid, found);
    }
    claim.executable = Some(executable(&file));
    // All of that was the claimed process's own if that is there still.
    let Seen::Here(stat) = read::stat(pid).map_err(failed)? else { return Ok(None) };
    let still = stat.start_ticks == old.process.start;
    Ok((still && claim != *old).then_some(claim))
}

/// Returns the claim of a server that is known for its kind by what it wrote and not by its
/// program's name, with the directory that it works in; `None` where the process has ended.
pub(crate) fn known_as(engine: Engine, old: &Claim) -> Option<Claim> {
    let pid = old.process.pid;
    let cwd = read::cwd(pid).ok()?.here()?;
    let file = FileRef { dev: cwd.dev, ino: cwd.ino };
    let told = data_of_running(pid, engine).filter(|data| data.file == file);
    let data = told.unwrap_or_else(|| DataDir { path: Bytes::from(cwd.path.as_path()), file });
    let still = process(pid).is_ok_and(|now| now == old.process);
    still.then(|| Claim { engine, data: Some(data), major: None, ..old.clone() })
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
pub(crate) fn data_of_running(pid: i32, engine: Engine) -> Option<DataDir> {
    use std::os::unix::ffi::OsStringExt;
    let line = read::cmdline(pid).here()?;
    let args = line.split(|&byte| byte == 0);
    let args: Vec<OsString> = args.map(|arg| OsString::from_vec(arg.to_vec())).collect();
    let variable = read::environ_var(pid, engine.data?.variable).here().flatten();
    let variable = variable.map(OsString::from_vec);
    let cwd = read::cwd(pid).ok()?.here()?;
    let path = engine.data_directory(&args, variable.as_deref(), &cwd.path)?;
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
    let file = snapshot::data_dir::look(&path).file?;
    Some(DataDir { path, file })
}

fn major(path: &Path) -> Option<u32> {
    postgres::major(&std::fs::read(path.join("PG_VERSION")).ok()?)
}
