//! What not every look asks for: sets and queues, and what only a listing shows: all of a file's
//! facts, resident memory. Each part costs nothing where the scope does not ask for it.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::callers::{self, Caller};
use super::opened::Opened;
use super::uses::{self, Found, WaitsFor};
use super::{Scope, Seen, Snapshot, processes, shm_files};
use crate::engine::opengauss;
use crate::error::Result;
use crate::object::{Bytes, Identity, Key, Queue, SemaphoreSet, ShmFile};
use crate::proc::read;
use crate::proc::sysvipc::ShmRow;
use crate::sys::files::FileFacts;
use crate::sys::sem::Members;
use crate::sys::{msg, sem, server};

/// A semaphore set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its row in the table.
    pub row: sem::Row,
    /// What its members tell; `None` where they may not be asked.
    pub members: Option<Members>,
}

impl Set {
    /// What it is recognised by later.
    #[must_use]
    pub fn identity(&self) -> SemaphoreSet {
        set_identity(&self.row)
    }
}

/// What a row of the table of sets is recognised by later.
#[must_use]
pub fn set_identity(row: &sem::Row) -> SemaphoreSet {
    SemaphoreSet {
        id: row.id,
        key: Key(row.key),
        nsems: row.members,
        creator_uid: row.creator_uid,
        creator_gid: row.creator_gid,
        ctime: row.ctime,
    }
}

/// What a row of the table of queues is recognised by later.
#[must_use]
pub fn queue_identity(row: &msg::Row) -> Queue {
    Queue {
        id: row.id,
        key: Key(row.key),
        creator_uid: row.creator_uid,
        creator_gid: row.creator_gid,
        ctime: row.ctime,
    }
}

/// A regular file in `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Name without `/dev/shm/`.
    pub name: Bytes,
    /// What `statx` says.
    pub facts: FileFacts,
    /// What it is recognised by; `None` where the file system keeps no birth times.
    pub identity: Option<ShmFile>,
}

/// What not every look asks for.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// The semaphore sets of this IPC namespace.
    pub sets: Vec<Set>,
    /// Whether the table of sets was read.
    pub sets_were_read: bool,
    /// The message queues of this IPC namespace.
    pub queues: Vec<msg::Row>,
    /// Whether the table of queues was read.
    pub queues_were_read: bool,
    /// Processes that are blocked on a set or queue, where that was looked for.
    pub blocked: Vec<Found<WaitsFor>>,
    /// Pids of processes that could not be asked what they wait for.
    pub unasked: Vec<i32>,
    /// Who lives and could use a set or queue by its rights; `None` where that was not looked at.
    pub callers: Option<Vec<Caller>>,
    /// Which files are open or locked; `None` where that was not looked at.
    pub opened: Option<Opened>,
    /// Sets with an openGauss's mark, by id: the process that made it, 0 where it is not visible.
    pub marked: BTreeMap<i32, i32>,
    /// The files in `/dev/shm`, those included that cannot be recognised again.
    pub files: Vec<ListedFile>,
    /// Names in `/dev/shm` that are no regular file of a tmpfs; `None` where it was not looked for
    /// them, or in vain: then each name may be there.
    pub other_names: Option<BTreeSet<Bytes>>,
    /// Bytes in memory of each segment, by id; `None` where that was not asked for.
    pub resident: Option<BTreeMap<i32, u64>>,
    /// The key that each mapped segment was made under, by id: it stays there when the segment is
    /// marked for destruction and its key in the table is 0.
    pub keys: BTreeMap<i32, Key>,
    /// What may be a server's list of its dynamic shared memory and could not be read.
    pub unread: Vec<Identity>,
    /// Whether processes were asked what they are blocked on.
    pub waits_were_read: bool,
    /// What could not be looked at, as sentences.
    pub trouble: Vec<String>,
}

/// Fills in what the scope asks for, files excepted.
pub(super) fn look(scope: Scope, extra: &mut Extra) {
    if scope.sets {
        match sem::table() {
            Ok(rows) => {
                extra.sets = rows.into_iter().map(set).collect();
                extra.sets_were_read = true;
            }
            Err(errno) => extra.trouble.push(barred("semaphore sets", errno)),
        }
    }
    if scope.queues {
        match msg::table() {
            Ok(rows) => {
                extra.queues = rows;
                extra.queues_were_read = true;
            }
            Err(errno) => extra.trouble.push(barred("message queues", errno)),
        }
    }
    if scope.resident {
        match crate::proc::read::sysvipc_shm() {
            Ok(table) => {
                let rows = table.rows.into_iter();
                // Of huge pages Linux 6.18 counts 512 times as much as there is.
                let resident = |row: &ShmRow| row.rss.min(row.bytes.saturating_add(4095) & !4095);
                extra.resident = Some(rows.map(|row| (row.id, resident(&row))).collect());
            }
            Err(error) => extra.trouble.push(format!("cannot tell what is resident: {error}")),
        }
    }
}

fn set(row: sem::Row) -> Set {
    let members = sem::members(row.id, row.members).ok();
    Set { row, members }
}

/// Returns who made the mark of a set that bears an openGauss's (`sysv_sema.cpp`), 0 where that
/// process is not visible here; `None` for any other set, and one that may not be asked.
fn marker(row: &sem::Row) -> Option<(i32, i32)> {
    let (members, mark) = (opengauss::SET_MEMBERS, opengauss::SET_MEMBERS - 1);
    let is_marked = row.members == u64::from(members.unsigned_abs())
        && server::value(row.id, mark) == Ok(opengauss::SET_MAGIC);
    let maker = || server::last_operator(row.id, mark).ok();
    is_marked.then(maker).flatten().map(|pid| (row.id, pid))
}

/// Adds to a look the sets and queues, with all that shows of their use where `of_interest` has
/// their creator's uid: members, who is blocked on one, and last users that `/proc` does not show.
pub fn add_calls(look: &mut Snapshot, of_interest: impl Fn(u32) -> bool) {
    let extra = &mut look.extra;
    if !extra.sets_were_read {
        if let Ok(rows) = sem::table() {
            let with_members = |row: sem::Row| match of_interest(row.creator_uid) {
                true => set(row),
                false => Set { row, members: None },
            };
            extra.sets = rows.into_iter().map(with_members).collect();
            extra.sets_were_read = true;
        }
    }
    if !extra.queues_were_read {
        if let Ok(rows) = msg::table() {
            extra.queues = rows;
            extra.queues_were_read = true;
        }
    }
    let sets = extra.sets.iter().filter(|set| of_interest(set.row.creator_uid));
    let queues = extra.queues.iter().filter(|row| of_interest(row.creator_uid));
    let last = last_users(sets.clone(), queues.clone());
    extra.marked = sets.clone().filter_map(|set| marker(&set.row)).collect();
    let has_key = sets.clone().any(|set| set.row.key != 0) || queues.clone().any(|q| q.key != 0);
    if has_key {
        extra.callers = Some(callers::look(&look.processes));
    }
    if sets.count() + queues.count() > 0 {
        (extra.blocked, extra.unasked) = uses::blocked(&look.processes);
        extra.waits_were_read = true;
    }
    let waits = |pid: i32| look.extra.blocked.iter().any(|found| found.pid == pid);
    for process in &mut look.processes {
        if last.contains(&process.process.pid) || waits(process.process.pid) {
            processes::add_command(process);
        }
    }
    add_hidden(look, last);
}

/// A look at one set or queue and at those who may use it, `noted` among them, and at nothing else:
/// a server may leave hundreds. A set counts its waiters itself, and one without a key is used by
/// those alone who were given its number, as one is with its server's mark, if the server is of a
/// `known` engine; else every process has to be asked.
///
/// # Errors
/// As [`super::observe`].
pub fn look_at_one(identity: &Identity, known: bool, noted: &[i32]) -> Result<Snapshot> {
    let mut look = super::take(Scope::default())?;
    let everybody = match identity {
        Identity::Sem(set) => {
            let row = || sem::stat(set.id).ok().flatten();
            identity.is_findable() && !(known && row().is_some_and(|row| marker(&row).is_some()))
        }
        Identity::Msg(_) => true,
        Identity::Shm(_) | Identity::Posix(_) => false,
    };
    if everybody {
        look.processes = processes::all(Scope { processes: true, ..Scope::default() })?;
        look.extra.callers = Some(callers::look(&look.processes));
    }
    let extra = &mut look.extra;
    match identity {
        Identity::Sem(known) => {
            if let Ok(row) = sem::stat(known.id) {
                extra.marked = row.iter().filter_map(marker).collect();
                extra.sets = row.into_iter().map(set).collect();
                extra.sets_were_read = true;
            }
            let mut last = last_users(extra.sets.iter(), [].iter());
            last.extend(noted);
            if !everybody {
                look.processes = last.iter().filter_map(|&pid| processes::one(pid)).collect();
            }
            add_hidden(&mut look, last);
        }
        Identity::Msg(known) => {
            (extra.blocked, extra.unasked) = uses::blocked(&look.processes);
            if let Ok(row) = msg::stat(known.id) {
                extra.queues = row.into_iter().collect();
                extra.queues_were_read = true;
            }
            let mut last = last_users([].iter(), extra.queues.iter());
            last.extend(noted);
            add_hidden(&mut look, last);
        }
        Identity::Shm(_) | Identity::Posix(_) => {}
    }
    Ok(look)
}

/// Who used any of these last, each pid once, without 0.
fn last_users<'a>(
    sets: impl Iterator<Item = &'a Set>,
    queues: impl Iterator<Item = &'a msg::Row>,
) -> Vec<i32> {
    let members = sets.filter_map(|set| set.members.as_ref());
    let mut last: Vec<i32> = members.flat_map(|members| members.operators.clone()).collect();
    last.extend(queues.flat_map(|row| [row.last_sender, row.last_receiver]));
    last.sort_unstable();
    last.dedup();
    last.retain(|&pid| pid != 0);
    last
}

/// Adds those of these pids that `/proc` does not show and the kernel says are there.
pub fn add_hidden(look: &mut Snapshot, mut pids: Vec<i32>) {
    pids.sort_unstable();
    pids.dedup();
    let shown: BTreeSet<i32> = look.processes.iter().map(|found| found.process.pid).collect();
    pids.retain(|pid| !shown.contains(pid) && !look.hidden.contains(pid));
    // What has come since the look, and what a thread of a shown process bears, is shown as well.
    pids.retain(|&pid| super::is_there(pid) && !matches!(read::stat(pid), Ok(Seen::Here(_))));
    look.hidden.extend(pids);
}

impl Snapshot {
    /// A semaphore set by id; denied where the table was not read.
    pub fn set(&self, id: i32) -> Seen<&Set> {
        match self.extra.sets.iter().find(|set| set.row.id == id) {
            Some(set) => Seen::Here(set),
            None if self.extra.sets_were_read => Seen::Gone,
            None => Seen::Denied,
        }
    }

    /// A message queue by id; denied where the table was not read.
    pub fn queue(&self, id: i32) -> Seen<&msg::Row> {
        match self.extra.queues.iter().find(|row| row.id == id) {
            Some(row) => Seen::Here(row),
            None if self.extra.queues_were_read => Seen::Gone,
            None => Seen::Denied,
        }
    }
}

fn barred(what: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => format!("this kernel has no {what}"),
        Errno::EINVAL => format!("cannot list {what}: Linux 4.17 or later is needed"),
        other => format!("cannot list {what}: {}", other.desc()),
    }
}

/// Every regular file directly in `/dev/shm`.
pub(super) fn files(mount: Option<&str>) -> Result<Vec<ListedFile>> {
    let mut found = Vec::new();
    shm_files::each(mount, |name, mount, facts| {
        let identity = Some(shm_files::identity(name, mount, &facts));
        let name = Bytes(name.to_vec());
        found.push(ListedFile { name, facts, identity });
    })?;
    Ok(found)
}
