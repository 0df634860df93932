//! The processes that can be seen, and what each of them holds.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::mapped::{self, Devices, Mapped};
use super::{Scope, Seen, Table, shm_files};
use crate::engine;
use crate::error::{Error, Result};
use crate::object::{Bytes, Key, ProcessRef};
use crate::proc::read::{self, FileId};
use crate::proc::stat::Stat;
use crate::sys::pidfd::PidFd;

/// A process that can be seen.
#[derive(Debug, Clone)]
pub struct Process {
    /// Which; of one that is [`Self::unread`] the pid alone.
    pub process: ProcessRef,
    /// Set where its `stat` could not be read, though it is there: nothing of it is known but its
    /// pid. It counts as whoever could use an object, and as the claimed process of its pid.
    pub unread: bool,
    /// Parent's pid.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// State letter of `proc(5)`.
    pub state: u8,
    /// Set where every thread of it has ended (a zombie in full).
    pub ended: bool,
    /// Real, effective, saved and file system user id; `None` where that is not known, or was not
    /// looked for.
    pub uids: Option<[u32; 4]>,
    /// Name of its first thread.
    pub comm: Bytes,
    /// Command line, for one that maps shared memory.
    pub command: Bytes,
    /// The path of the file that it executes, as `/proc/<pid>/exe` names it.
    pub executable: Seen<PathBuf>,
    /// The directory that it works in; looked at for what bears the name of a known server only:
    /// a look at a stranger's directory may wait for that stranger's dead disk.
    pub cwd: Seen<FileId>,
    /// The objects that it maps, each with the number of mappings; `None` where they were not
    /// looked for.
    pub maps: Option<Seen<Vec<(Mapped, u64)>>>,
    /// Set where it is in the onlooker's IPC namespace; `None` where that cannot be seen.
    pub same_ipc: Option<bool>,
    /// Its control group, where that was looked for.
    pub control_group: Option<Seen<Bytes>>,
}

impl Process {
    /// Reads which directory it works in.
    pub(super) fn add_directory(&mut self) {
        self.cwd = read::cwd(self.process.pid).unwrap_or(Seen::Denied);
    }

    /// Reads what it executes, whose it is, where it works and in which control group, as a look
    /// that was not brief has it.
    pub(super) fn add_program(&mut self) {
        let pid = self.process.pid;
        self.add_owner();
        if self.ended {
            return;
        }
        self.executable = read::exe_path(pid).unwrap_or(Seen::Denied);
        let is_server = matches!(&self.executable, Seen::Here(path)
            if engine::recognise(path).is_known());
        if is_server || matches!(self.executable, Seen::Denied) {
            self.add_directory();
        }
        self.control_group = Some(read::cgroup(pid).map(Bytes));
    }

    /// Returns a process of which nothing but the pid could be read.
    #[must_use]
    pub fn unread(pid: i32) -> Self {
        Self {
            process: ProcessRef { pid, start: 0 },
            unread: true,
            parent: 0,
            group: 0,
            session: 0,
            state: b'?',
            ended: false,
            uids: None,
            comm: Bytes::default(),
            command: Bytes::default(),
            executable: Seen::Denied,
            cwd: Seen::Denied,
            maps: Some(Seen::Denied),
            same_ipc: None,
            control_group: Some(Seen::Denied),
        }
    }

    /// Checks whether it is the process that a reference means, or may be.
    #[must_use]
    pub fn may_be(&self, wanted: ProcessRef) -> bool {
        self.process == wanted || (self.unread && self.process.pid == wanted.pid)
    }

    /// Checks whether it has a user id in any of its four places, or may have: of whom it is not
    /// known whose process it is counts as anybody's.
    #[must_use]
    pub fn may_be_of(&self, uid: u32) -> bool {
        self.uids.is_none_or(|uids| uids.contains(&uid))
    }

    /// Checks that it could not be looked into.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.executable, Seen::Denied) || matches!(self.maps, Some(Seen::Denied))
    }

    /// Returns the number of mappings of an object that it has.
    #[must_use]
    pub fn mappings(&self, object: Mapped) -> u64 {
        match &self.maps {
            Some(Seen::Here(list)) => {
                list.iter().find(|(mapped, _)| *mapped == object).map_or(0, |(_, count)| *count)
            }
            _ => 0,
        }
    }
}

impl Devices {
    fn find(scope: Scope) -> Self {
        let own_pid = i32::try_from(std::process::id()).unwrap_or(0);
        let shm = std::fs::metadata(shm_files::DIRECTORY);
        Self {
            sysv: if scope.maps { read::sysv_devices() } else { Vec::new() },
            shm: shm.as_ref().map(MetadataExt::dev).ok(),
            shm_unread: shm.is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound),
            own_ipc: read::namespace_inode(own_pid, "ipc").ok().and_then(Seen::here),
        }
    }
}

/// Every process but kernel threads, as far as the scope asks.
///
/// # Errors
/// [`Error::Unsupported`] where there is no `/proc`.
pub fn all(scope: Scope) -> Result<Vec<Process>> {
    with_keys(scope, &mut BTreeMap::new())
}

/// As [`all`]; also notes the key under which each mapped segment was made, by its id.
///
/// # Errors
/// [`Error::Unsupported`] where there is no `/proc`.
pub(super) fn with_keys(scope: Scope, keys: &mut BTreeMap<i32, Key>) -> Result<Vec<Process>> {
    let unsupported = |error| Error::Unsupported(format!("cannot list processes: {error}"));
    let pids = read::pids().map_err(unsupported)?;
    let mut found = Vec::with_capacity(pids.len());
    look_at(pids, scope, &mut found, keys);
    Ok(found)
}

/// One process and what it maps; `None` where it has gone.
#[must_use]
pub fn one(pid: i32) -> Option<Process> {
    let scope = Scope { processes: true, maps: true, ..Scope::default() };
    let mut found = Vec::new();
    look_at(vec![pid], scope, &mut found, &mut BTreeMap::new());
    found.pop()
}

/// Adds the processes that have come since: what one of them made or holds is not left over.
///
/// # Errors
/// [`Error::Unsupported`] where there is no `/proc`.
pub(super) fn add_new(look: &mut super::Tables, scope: Scope) -> Result<()> {
    let unsupported = |error| Error::Unsupported(format!("cannot list processes: {error}"));
    let mut known: Vec<i32> = look.processes.seen().map(|p| p.process.pid).collect();
    known.sort_unstable();
    let new = read::new_pids(&known).map_err(unsupported)?;
    let mut found = Vec::new();
    look_at(new, scope, &mut found, &mut look.keys);
    found.into_iter().for_each(|process| look.processes.add(process));
    Ok(())
}

/// Fills in whose each process is, where a brief look left that out.
pub(super) fn add_owners(processes: &mut Table<Process>) {
    for process in processes.rows_mut() {
        if process.uids.is_none() && !process.ended {
            process.add_owner();
        }
    }
}

/// Fills in the command line and the user of one process, where that was left out.
pub(super) fn add_command(process: &mut Process) {
    let pid = process.process.pid;
    if process.command.0.is_empty() && !process.ended {
        process.command = Bytes(read::cmdline(pid).here().unwrap_or_default());
        process.add_owner();
    }
}

impl Process {
    /// Fills in whose it is, where that is not known; one that has gone meanwhile has ended.
    fn add_owner(&mut self) {
        if self.uids.is_none() {
            match uids(self.process.pid) {
                Seen::Here(uids) => self.uids = Some(uids),
                Seen::Gone => self.ended = true,
                Seen::Denied => {}
            }
        }
    }

    /// Reads what it maps, and of one that maps something what it is called and whose it is.
    fn add_maps(&mut self, scope: Scope, devices: &Devices, keys: &mut BTreeMap<i32, Key>) {
        let pid = self.process.pid;
        let found = if scope.brief {
            mapped::by_questions(pid, devices, !scope.files)
        } else {
            mapped::by_text(pid, devices)
        };
        let mut made_under = Vec::new();
        let found = found.map(|(found, keys)| {
            made_under = keys;
            found
        });
        let holds = matches!(&found, Seen::Here(list) if !list.is_empty());
        if holds || !scope.brief {
            let inode = read::namespace_inode(pid, "ipc").ok().and_then(Seen::here);
            self.same_ipc = inode.zip(devices.own_ipc).map(|(its, own)| its == own);
        }
        if holds {
            self.add_owner();
            self.command = Bytes(read::cmdline(pid).here().unwrap_or_default());
        }
        if self.same_ipc != Some(false) {
            keys.extend(made_under);
        }
        self.maps = Some(found);
    }
}

/// Reads what those of these processes map of which that was not looked at; also notes the key
/// under which each mapped segment was made, by its id.
pub(super) fn add_maps(
    processes: &mut Table<Process>,
    scope: Scope,
    keys: &mut BTreeMap<i32, Key>,
) {
    let scope = Scope { maps: true, ..scope };
    let devices = Devices::find(scope);
    let unread = |process: &&mut Process| process.maps.is_none() && !process.ended;
    for process in processes.rows_mut().iter_mut().filter(unread) {
        process.add_maps(scope, &devices, keys);
    }
}

fn look_at(pids: Vec<i32>, scope: Scope, found: &mut Vec<Process>, keys: &mut BTreeMap<i32, Key>) {
    let devices = Devices::find(scope);
    for pid in pids {
        match read::stat(pid) {
            Ok(Seen::Here(stat)) if stat.is_kernel_thread() => {}
            Ok(Seen::Here(stat)) => found.push(look_into(&stat, scope, &devices, keys)),
            Ok(Seen::Gone) => {}
            Ok(Seen::Denied) | Err(_) => found.push(Process::unread(pid)),
        }
    }
}

fn uids(pid: i32) -> Seen<[u32; 4]> {
    read::status(pid).unwrap_or(Seen::Denied).map(|status| status.uids)
}

/// Checks that a process is there and not fully ended; another process of its number does not
/// count.
#[must_use]
pub fn lives(process: ProcessRef) -> bool {
    match read::stat(process.pid) {
        Ok(Seen::Here(stat)) => stat.start_ticks == process.start && !has_ended(&stat),
        Ok(Seen::Gone) => false,
        Ok(Seen::Denied) | Err(_) => true,
    }
}

/// The process that bears a pid now, as far as that can be read.
#[must_use]
pub fn by_pid(pid: i32) -> Option<ProcessRef> {
    let stat = read::stat(pid).ok()?.here()?;
    Some(ProcessRef { pid, start: stat.start_ticks })
}

/// State Z is not death: the first thread may have ended while others run.
fn has_ended(stat: &Stat) -> bool {
    if !matches!(stat.state, b'Z' | b'X') {
        return false;
    }
    match PidFd::open(stat.pid).and_then(|process| process.has_ended()) {
        Ok(ended) => ended,
        Err(nix::errno::Errno::ESRCH) => true,
        // No pidfd_open before Linux 5.3.
        Err(_) => stat.threads <= 1,
    }
}

fn look_into(
    stat: &Stat,
    scope: Scope,
    devices: &Devices,
    keys: &mut BTreeMap<i32, Key>,
) -> Process {
    let pid = stat.pid;
    let ended = has_ended(stat);
    let mut process = Process {
        process: ProcessRef { pid, start: stat.start_ticks },
        unread: false,
        parent: stat.ppid,
        group: stat.pgrp,
        session: stat.session,
        state: stat.state,
        ended,
        uids: None,
        comm: Bytes(stat.comm.clone()),
        command: Bytes::default(),
        executable: Seen::Gone,
        cwd: Seen::Gone,
        maps: None,
        same_ipc: None,
        control_group: None,
    };
    if ended {
        return process;
    }
    if !scope.brief {
        process.add_owner();
        if process.ended {
            return process;
        }
        process.executable = read::exe_path(pid).unwrap_or(Seen::Denied);
    }
    let server = matches!(&process.executable, Seen::Here(path)
        if engine::recognise(path).is_known());
    if server || matches!(process.executable, Seen::Denied) {
        process.add_directory();
    }
    if scope.control_groups {
        process.control_group = Some(read::cgroup(pid).map(Bytes));
    }
    if scope.maps {
        process.add_maps(scope, devices, keys);
    }
    process
}
