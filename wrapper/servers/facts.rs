//! What is to be known of each server: who it is, where it works, what its `postmaster.pid` says.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shmwarden::engine::{self, Engine};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::{self, DataDirectory, Process, Seen, data_dir, owners, place};
use shmwarden::sys::errand::{Answer, Errand, gather as hear};
use shmwarden::sys::user;

use super::claims;
use crate::units;
use crate::units::cluster::Cluster;
use crate::view::View;

/// Longest wait for what all users keep.
const LONGEST: Duration = Duration::from_secs(2);
/// Most users whose servers are looked at.
const MOST_USERS: usize = 256;
/// Longest way up from a server to its launcher.
const MOST_ANCESTORS: usize = 64;
/// A server that was started less long ago may have to write its `postmaster.pid` yet.
const FIRST: Duration = Duration::from_secs(10);
/// One that was started less long ago may have hooks that are yet to record it.
const YOUNG: Duration = Duration::from_secs(3);
/// The variable that opts a server out, where it is 0.
const OPT_OUT: &str = "SHMWARDEN_WATCH";

/// A server, as far as it could be looked at.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) process: ProcessRef,
    pub(super) engine: Engine,
    pub(super) uid: u32,
    /// Its data directory: path, and device and inode.
    pub(super) data: Option<PathBuf>,
    pub(super) file: Option<FileRef>,
    pub(super) unit: Option<String>,
    pub(super) users_unit: Option<String>,
    pub(super) ipc: Ipc,
    /// Set where its directory may not be looked at by the caller, root or not (FUSE).
    pub(super) is_closed: bool,
    /// Set where its pids are of another PID namespace.
    pub(super) has_other_pids: bool,
    /// The process of this program that it descends from.
    pub(super) launcher: Option<i32>,
    /// A process above it that may be one, and could not be looked into.
    pub(super) closed: Option<i32>,
    /// Set where it takes no connections yet, or began a moment ago.
    pub(super) is_starting: bool,
    pub(super) is_young: bool,
    pub(super) is_ignored: bool,
    /// The part of it that could not be looked at.
    pub(super) unread: Option<String>,
    /// What it was taken for a server by, and the file that it executes.
    pub(super) known_by: KnownBy,
    pub(super) program: Option<PathBuf>,
    /// Set where its cluster's `pg_ctl.conf` names a script that starts this program.
    pub(super) names_script: bool,
}

impl Facts {
    /// Returns what it was taken for a server by, as words: anybody may call a program as he likes.
    pub(super) fn taken_for(&self) -> String {
        let program = match &self.program {
            Some(program) => format!("its program is {}", program.display()),
            None => "its program could not be seen".to_owned(),
        };
        match self.known_by {
            KnownBy::PidFile => format!("{program}, and postmaster.pid names it"),
            KnownBy::Process => format!(
                "{program}, and it works in a data directory whose postmaster.pid does not name it"
            ),
            KnownBy::Ledger | KnownBy::Start | KnownBy::Unread => program,
        }
    }
}

/// What shows that a process is a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownBy {
    /// `postmaster.pid` of the directory that it works in.
    PidFile,
    /// Its program, its command line, and the directory that it works in, whatever `postmaster.pid`
    /// says: that may be an older server's, or was changed.
    Process,
    /// A ledger that claims it.
    Ledger,
    /// It has only just begun, and there is no `postmaster.pid` yet.
    Start,
    /// Nothing: it could not be looked at.
    Unread,
}

/// The IPC namespace of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ipc {
    /// The one of this command.
    Ours,
    /// One that nobody else is in, with a `/dev/shm` of its own.
    Own,
    /// One that nobody else is in, with a `/dev/shm` that is ours too.
    OwnButFiles,
    /// Another, in which others are too.
    Shared,
    /// That could not be seen.
    Unseen,
}

impl Ipc {
    pub(super) fn is_ours(self) -> bool {
        self == Self::Ours
    }
}

/// The answer of a child on one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    directory: DataDirectory,
    is_starting: bool,
    is_ignored: bool,
    /// Its command line is none of an errand, and it works in a data directory of its user's.
    starts_server: bool,
    works_in_data: bool,
    names_script: bool,
}

/// A process that its user is asked about.
#[derive(Debug)]
struct Asked {
    process: ProcessRef,
    engine: Engine,
    /// The directory that it works in; one that the caller may not look at (a user's own FUSE
    /// mount) may be open to its user.
    cwd: Seen<(PathBuf, FileRef)>,
    uid: u32,
    unit: Option<String>,
}

/// The servers of a view: those that `postmaster.pid` names, those that are servers by their
/// programs and directories, and those that a ledger claims.
pub(super) fn gather(view: &View) -> Vec<Facts> {
    let by_pid: BTreeMap<i32, &Process> =
        view.look.processes.seen().map(|process| (process.process.pid, process)).collect();
    let claimed: BTreeSet<(ProcessRef, u32)> = claims::servers(view).collect();
    let is_claimed = |process: &Process| {
        let mut its = claimed.iter().filter(|(claimed, _)| *claimed == process.process);
        its.any(|(_, owner)| process.uids.is_some_and(|uids| claims::is_trusted(*owner, uids[1])))
    };
    let is_server = |process: &Process| engine_of(process).is_known();
    let makers = makers(view, &by_pid);
    let own_ipc = inode(view.look.pid, "ipc");
    let heads = by_pid.values().copied().filter(|process| {
        // A child of its kind is a backend, or another part of the server above it, and works
        // where that works.
        let is_part = |above: &&Process| is_server(above) && above.cwd == process.cwd;
        let is_part = || by_pid.get(&process.parent).is_some_and(is_part);
        let may_leak = || {
            let made = makers.as_ref().is_none_or(|makers| makers.contains(&process.process.pid));
            made || inode(process.process.pid, "ipc") != own_ipc
        };
        let is_one = || is_claimed(process) || is_server(process) && !is_part() && may_leak();
        !process.ended && is_one()
    });
    let heads: Vec<&Process> = heads.collect();
    let told = ask(&heads);
    heads
        .into_iter()
        .filter_map(|head| of(head, told.get(&head.process.pid), &by_pid, view, is_claimed(head)))
        .collect()
}

/// The processes that have made a segment, and their parents; `None` where not every segment was
/// seen. A server makes one before it does anything else; what has none can leave none, whatever
/// its user calls it.
fn makers(view: &View, by_pid: &BTreeMap<i32, &Process>) -> Option<BTreeSet<i32>> {
    let rows = view.look.segments.is_whole().then(|| view.look.segments.seen())?;
    let of_row = |pid: i32| [Some(pid), by_pid.get(&pid).map(|process| process.parent)];
    Some(rows.flat_map(|row| of_row(row.creator_pid)).flatten().collect())
}

/// The kind of server that a process is by its program, which everybody may call as he likes.
fn engine_of(process: &Process) -> Engine {
    match &process.executable {
        Seen::Here(path) => engine::recognise(path),
        Seen::Gone | Seen::Denied => Engine::GENERIC,
    }
}

/// The facts of a process, if it is a server.
fn of(
    head: &Process,
    told: Option<&Told>,
    by_pid: &BTreeMap<i32, &Process>,
    view: &View,
    is_claimed: bool,
) -> Option<Facts> {
    let pid = head.process.pid;
    let engine = engine_of(head);
    let age = age(head.process).unwrap_or(FIRST);
    let known_by = known_by(pid, told, age, is_claimed)?;
    let (unit, users_unit) = units_of(head);
    let cwd = match &head.cwd {
        Seen::Here(cwd) if engine.data.is_some() => Some(cwd),
        Seen::Here(_) | Seen::Gone | Seen::Denied => None,
    };
    // Before it goes to its data directory a server works where it was started.
    let is_there = match known_by {
        KnownBy::PidFile | KnownBy::Process | KnownBy::Unread => true,
        KnownBy::Ledger => told.is_none_or(|told| told.works_in_data),
        KnownBy::Start => false,
    };
    let cwd = cwd.filter(|_| is_there);
    Some(Facts {
        process: head.process,
        engine,
        uid: head.uids?[1],
        data: cwd.map(|cwd| cwd.path.clone()),
        file: cwd.map(|cwd| FileRef { dev: cwd.dev, ino: cwd.ino }),
        unit,
        users_unit,
        is_closed: engine.data.is_some() && head.cwd == Seen::Denied,
        ipc: ipc_of(head, by_pid, view.look.pid),
        has_other_pids: inode(pid, "pid") != inode(view.look.pid, "pid"),
        launcher: launcher_above(head, by_pid),
        closed: closed_above(head, by_pid),
        is_starting: known_by == KnownBy::Start || told.is_some_and(|told| told.is_starting),
        is_young: age < YOUNG,
        is_ignored: told.is_some_and(|told| told.is_ignored),
        unread: (known_by == KnownBy::Unread).then(|| "its data directory".to_owned()),
        known_by,
        program: head.executable.clone().here(),
        names_script: told.is_some_and(|told| told.names_script),
    })
}

/// Returns what shows that a process is a server; `None` where it is none.
fn known_by(pid: i32, told: Option<&Told>, age: Duration, is_claimed: bool) -> Option<KnownBy> {
    let pid_file = told.map(|told| &told.directory.pid_file);
    let is_named = matches!(pid_file, Some(Seen::Here(file))
        if !file.standalone && file.pid == in_its_namespace(pid));
    let starts = told.is_some_and(|told| told.starts_server);
    if is_named {
        return Some(KnownBy::PidFile);
    }
    if is_claimed {
        return Some(KnownBy::Ledger);
    }
    match pid_file {
        Some(Seen::Gone) if starts && age < FIRST => Some(KnownBy::Start),
        _ if starts && told.is_some_and(|told| told.works_in_data) => Some(KnownBy::Process),
        None | Some(Seen::Denied) => Some(KnownBy::Unread),
        Some(Seen::Gone | Seen::Here(_)) => None,
    }
}

/// The unit that a process runs in: the system's, and one of its user's own systemd.
fn units_of(process: &Process) -> (Option<String>, Option<String>) {
    let group = match &process.control_group {
        Some(Seen::Here(group)) => group.0.as_slice(),
        Some(Seen::Gone | Seen::Denied) | None => &[],
    };
    (units::unit_of(group), units::users_unit_of(group))
}

/// The pid that a process has in the innermost of its PID namespaces.
fn in_its_namespace(pid: i32) -> i32 {
    let status = read::status(pid).ok().and_then(Seen::here);
    status.and_then(|status| status.nspid.last().copied()).unwrap_or(pid)
}

/// The inode of one of a process's namespaces.
pub(super) fn inode(pid: i32, kind: &str) -> Option<u64> {
    read::namespace_inode(pid, kind).ok().and_then(Seen::here)
}

fn age(process: ProcessRef) -> Option<Duration> {
    let ticks = snapshot::boot_ticks().checked_sub(process.start)?;
    Some(Duration::from_secs(ticks.checked_div(snapshot::ticks_a_second())?))
}

/// Asks the users of these processes, all at once, for what each of them keeps.
fn ask(heads: &[&Process]) -> BTreeMap<i32, Told> {
    let mut of_users: BTreeMap<u32, Vec<Asked>> = BTreeMap::new();
    for head in heads {
        let Some([_, uid, ..]) = head.uids else { continue };
        let cwd = match &head.cwd {
            Seen::Here(cwd) => {
                Seen::Here((cwd.path.clone(), FileRef { dev: cwd.dev, ino: cwd.ino }))
            }
            Seen::Denied => Seen::Denied,
            Seen::Gone => continue,
        };
        let (process, engine, unit) = (head.process, engine_of(head), units_of(head).0);
        of_users.entry(uid).or_default().push(Asked { process, engine, cwd, uid, unit });
    }
    let tell = |asked: &[Asked]| -> Vec<(i32, Told)> {
        asked.iter().map(|asked| (asked.process.pid, tell(asked))).collect()
    };
    if !user::is_root() {
        return of_users.values().flat_map(|asked| tell(asked)).collect();
    }
    let sent = of_users.iter().take(MOST_USERS).filter_map(|(uid, asked)| {
        let pid = asked.first()?.process.pid;
        let status = read::status(pid).ok().and_then(Seen::here)?;
        let [_, gid, ..] = status.gids;
        let rights = (*uid != 0).then_some((*uid, gid));
        Errand::send(rights, || serde_json::to_vec(&tell(asked)).unwrap_or_default()).ok()
    });
    let answers = hear(sent.collect(), Instant::now() + LONGEST);
    let whole = answers.into_iter().filter_map(|answer| match answer {
        Answer::Whole(said) => serde_json::from_slice::<Vec<(i32, Told)>>(&said).ok(),
        Answer::Late | Answer::Ended => None,
    });
    whole.flatten().collect()
}

/// Looks at what the user of a process keeps.
fn tell(asked: &Asked) -> Told {
    let pid = asked.process.pid;
    let by_process = Bytes(format!("/proc/{pid}/cwd").into_bytes());
    let mut path = match &asked.cwd {
        Seen::Here((path, _)) => Bytes::from(path.as_path()),
        Seen::Gone | Seen::Denied => by_process.clone(),
    };
    let mut directory = data_dir::look(&path);
    let is_other = |file| matches!(&asked.cwd, Seen::Here((_, its)) if file != Some(*its));
    if is_other(directory.file) {
        // In another mount namespace the same path leads elsewhere.
        path = by_process;
        directory = data_dir::look(&path);
    }
    let version = PathBuf::from(&path).join("PG_VERSION");
    let has_version = version.symlink_metadata().is_ok_and(|found| found.is_file());
    let is_own = directory.uid == Some(asked.uid) && !is_other(directory.file);
    let cluster = asked.unit.as_deref().and_then(Cluster::of_unit);
    Told {
        is_starting: data_dir::is_starting(&path),
        directory,
        is_ignored: read::environ_var(pid, OPT_OUT) == Seen::Here(Some(b"0".to_vec())),
        starts_server: starts_server(asked),
        works_in_data: has_version && is_own,
        names_script: cluster.is_some_and(|cluster| cluster.is_done),
    }
}

/// Checks that a process's command line is that of a server. Its parts have titles of their own
/// (`postgres: checkpointer`); what `initdb` starts works alone, and ends in a moment.
fn starts_server(asked: &Asked) -> bool {
    let words = read::cmdline(asked.process.pid).here().unwrap_or_default();
    let words = words.split(|&byte| byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<OsString> = words.collect();
    let is_title = words.first().is_none_or(|word| {
        let name = Path::new(word).file_name().unwrap_or_default();
        name.as_bytes().contains(&b' ') || word.as_bytes().windows(2).any(|two| two == b": ")
    });
    let is_alone = words.get(1).is_some_and(|word| word == "--boot" || word == "--single");
    asked.engine.is_known() && !is_title && !is_alone && asked.engine.starts_server(&words)
}

/// The processes above one, the nearest first.
fn ancestors<'a>(
    process: &Process,
    by_pid: &'a BTreeMap<i32, &'a Process>,
) -> impl Iterator<Item = &'a Process> {
    let mut next = process.parent;
    std::iter::from_fn(move || {
        let found = by_pid.get(&next).copied()?;
        next = found.parent;
        Some(found)
    })
    .take(MOST_ANCESTORS)
}

fn launcher_above(head: &Process, by_pid: &BTreeMap<i32, &Process>) -> Option<i32> {
    let is_ours = |process: &&Process| match &process.executable {
        Seen::Here(path) => owners::is_ours(path),
        Seen::Gone => false,
        // Root's launcher of a user's server may not be looked into by that user.
        Seen::Denied => process.comm.0 == b"shmwarden",
    };
    ancestors(head, by_pid).find(is_ours).map(|process| process.process.pid)
}

/// The process above a server that may be its launcher and could not be looked into: `hidepid`
/// hides it, or it is this program, started by another user.
fn closed_above(head: &Process, by_pid: &BTreeMap<i32, &Process>) -> Option<i32> {
    let last = ancestors(head, by_pid).last().unwrap_or(head);
    let hidden = Some(last.parent).filter(|&above| above > 1 && !by_pid.contains_key(&above));
    let launcher = launcher_above(head, by_pid).and_then(|pid| by_pid.get(&pid));
    let closed = launcher.filter(|launcher| launcher.executable == Seen::Denied);
    closed.map(|launcher| launcher.process.pid).or(hidden)
}

/// The IPC namespace of a server, and whether it ends with the server: nobody else is in it but
/// what belongs to the server, or to its container.
fn ipc_of(head: &Process, by_pid: &BTreeMap<i32, &Process>, own: i32) -> Ipc {
    let pid = head.process.pid;
    let (Some(its), Some(ours)) = (inode(pid, "ipc"), inode(own, "ipc")) else {
        return Ipc::Unseen;
    };
    if its == ours {
        return Ipc::Ours;
    }
    let (its_pids, our_pids) = (inode(pid, "pid"), inode(own, "pid"));
    let above: BTreeSet<i32> = ancestors(head, by_pid).map(|process| process.process.pid).collect();
    let is_other = |process: &&Process| {
        let other = process.process.pid;
        let descends = || ancestors(process, by_pid).any(|above| above.process.pid == pid);
        let is_its = other == pid || above.contains(&other) || descends();
        !is_its && inode(other, "ipc") == Some(its) && {
            its_pids == our_pids || inode(other, "pid") != its_pids
        }
    };
    match by_pid.values().copied().find(|process| is_other(process)) {
        Some(_) if place::is_initial(ours) => Ipc::Shared,
        Some(_) => Ipc::Unseen,
        None if has_own_files(pid, own) => Ipc::Own,
        None => Ipc::OwnButFiles,
    }
}

/// Checks that what a process has mounted at `/dev/shm` is another file system than ours.
fn has_own_files(pid: i32, own: i32) -> bool {
    let device = |pid: i32| {
        let mounts = read::mountinfo_of(pid).unwrap_or_default();
        let there = mounts.iter().rev().find(|mount| mount.mount_point == b"/dev/shm");
        there.map(|mount| (mount.dev_major, mount.dev_minor))
    };
    device(pid).is_some_and(|its| device(own).is_some_and(|ours| its != ours))
}
