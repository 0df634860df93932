//! The tables of a look: what was read, and what of it was not. Each part costs nothing where the
//! scope does not ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use nix::errno::Errno;

use super::callers::{self, Caller};
use super::opened::Opened;
use super::uses::{self, Waits};
use super::{DataDirectory, Process, Scope, Seen, Sight, Snapshot, Table, processes, shm_files};
use crate::engine::opengauss;
use crate::error::Result;
use crate::object::{Bytes, Identity, Key, Place, Queue, SemaphoreSet, ShmFile};
use crate::proc::read;
use crate::proc::sysvipc::ShmRow;
use crate::sys::files::FileFacts;
use crate::sys::sem::Members;
use crate::sys::{msg, sem, server, shm};

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
    /// What it is recognised by.
    pub identity: ShmFile,
}

impl ListedFile {
    /// Checks whether it is a file that was recorded.
    #[must_use]
    pub fn is(&self, known: &ShmFile) -> bool {
        self.identity.is(known)
    }
}

/// What one look read. Nothing in it is complete but what says so: a [`Table`] that is whole.
#[derive(Debug, Clone)]
pub struct Tables {
    /// When.
    pub now: SystemTime,
    /// By how much the wall clock was ahead of the boot clock, in milliseconds.
    pub clock_ahead_ms: i64,
    /// Where.
    pub place: Place,
    /// Effective user of the onlooker.
    pub uid: u32,
    /// Pid of the onlooker.
    pub pid: i32,
    /// Which processes can be seen at all.
    pub sight: Sight,
    /// The segments of this IPC namespace.
    pub segments: Table<shm::Row>,
    /// The semaphore sets of this IPC namespace.
    pub sets: Table<Set>,
    /// The message queues of this IPC namespace.
    pub queues: Table<msg::Row>,
    /// The regular files in `/dev/shm`, where that is a tmpfs.
    pub files: Table<ListedFile>,
    /// Names in `/dev/shm` that are no regular file of a tmpfs.
    pub other_names: Table<Bytes>,
    /// The processes that `/proc` lists, kernel threads left out.
    pub processes: Table<Process>,
    /// Pids that were asked for, that `/proc` does not show and the kernel says are there.
    pub hidden: Vec<i32>,
    /// Pids that were asked for and that the kernel says nobody bears.
    pub absent: BTreeSet<i32>,
    /// Who waits for a set or queue; `None` where nobody was asked.
    pub waits: Option<Waits>,
    /// Who lives and could use an object by its rights.
    pub callers: Table<Caller>,
    /// Which files are open or locked, of those that were asked about.
    pub opened: Opened,
    /// Sets with an openGauss's mark, by id: the process that made it, 0 where it is not visible.
    pub marked: BTreeMap<i32, i32>,
    /// Bytes in memory of each segment, by id; `None` where that was not asked for.
    pub resident: Option<BTreeMap<i32, u64>>,
    /// The key that each mapped segment was made under, by id: it stays there when the segment is
    /// marked for destruction and its key in the table is 0.
    pub keys: BTreeMap<i32, Key>,
    /// Data directories that a ledger names.
    pub data_dirs: Vec<DataDirectory>,
    /// First bytes of segments that were read, by id.
    pub headers: BTreeMap<i32, Vec<u8>>,
    /// Rows of segments as the onlooker's own reading has left them, by id: it is their last user.
    pub read_rows: BTreeMap<i32, shm::Row>,
    /// Whole content of control segments that were read.
    pub controls: Vec<(Identity, Vec<u8>)>,
    /// What may be a server's list of its dynamic shared memory and could not be read.
    pub unread_lists: Vec<Identity>,
    /// What could not be looked at, as sentences.
    pub trouble: Vec<String>,
}

impl Tables {
    /// Returns a look of here and now in which nothing was read yet.
    pub(super) fn unread(place: Place) -> Self {
        Self {
            now: SystemTime::now(),
            clock_ahead_ms: super::clock_ahead_ms(),
            place,
            uid: crate::sys::user::effective(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            sight: super::sight::sight(),
            segments: Table::unasked(),
            sets: Table::unasked(),
            queues: Table::unasked(),
            files: Table::unasked(),
            other_names: Table::unasked(),
            processes: Table::unasked(),
            hidden: Vec::new(),
            absent: BTreeSet::new(),
            waits: None,
            callers: Table::unasked(),
            opened: Opened::default(),
            marked: BTreeMap::new(),
            resident: None,
            keys: BTreeMap::new(),
            data_dirs: Vec::new(),
            headers: BTreeMap::new(),
            read_rows: BTreeMap::new(),
            controls: Vec::new(),
            unread_lists: Vec::new(),
            trouble: Vec::new(),
        }
    }

    /// Reads the names in `/dev/shm`.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the files of a tmpfs cannot be listed.
    pub(super) fn read_files(&mut self, mount: Option<&str>) -> Result<()> {
        self.files = Table::Whole(files(mount)?);
        self.other_names = match shm_files::others(mount) {
            Ok(names) => Table::Whole(names.into_iter().collect()),
            Err(error) => self.unreadable(error.to_string()),
        };
        Ok(())
    }

    /// Reads what else the scope asks for of the kernel's tables.
    pub(super) fn read(&mut self, scope: Scope) {
        if scope.sets {
            self.read_sets(|_| true);
        }
        if scope.queues {
            self.read_queues();
        }
        if scope.resident {
            match read::sysvipc_shm() {
                Ok(table) => {
                    let rows = table.rows.into_iter();
                    // Of huge pages Linux 6.18 counts 512 times as much as there is.
                    let resident =
                        |row: &ShmRow| row.rss.min(row.bytes.saturating_add(4095) & !4095);
                    self.resident = Some(rows.map(|row| (row.id, resident(&row))).collect());
                }
                Err(error) => self.trouble.push(format!("cannot tell what is resident: {error}")),
            }
        }
    }

    /// Reads the table of sets, with the members of those whose creator is `of_interest`.
    fn read_sets(&mut self, of_interest: impl Fn(u32) -> bool) {
        self.sets = match sem::table() {
            Ok(rows) => {
                let with_members = |row: sem::Row| match of_interest(row.creator_uid) {
                    true => set(row),
                    false => Set { row, members: None },
                };
                Table::Whole(rows.into_iter().map(with_members).collect())
            }
            Err(errno) => self.unreadable(barred("semaphore sets", errno)),
        };
    }

    fn read_queues(&mut self) {
        self.queues = match msg::table() {
            Ok(rows) => Table::Whole(rows),
            Err(errno) => self.unreadable(barred("message queues", errno)),
        };
    }

    /// Returns a table that could not be read, and notes why.
    fn unreadable<T>(&mut self, why: String) -> Table<T> {
        self.trouble.push(why.clone());
        Table::Unread(why)
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
    if !look.sets.is_whole() {
        look.read_sets(&of_interest);
    }
    if !look.queues.is_whole() {
        look.read_queues();
    }
    let sets = look.sets.seen().filter(|set| of_interest(set.row.creator_uid));
    let queues = look.queues.seen().filter(|row| of_interest(row.creator_uid));
    let last = last_users(sets.clone(), queues.clone());
    let marked = sets.clone().filter_map(|set| marker(&set.row)).collect();
    let has_key = sets.clone().any(|set| set.row.key != 0) || queues.clone().any(|q| q.key != 0);
    let has_some = sets.count() + queues.count() > 0;
    look.marked = marked;
    if has_key {
        look.callers = callers::look(&look.processes);
    }
    if has_some {
        look.waits = Some(uses::waits(&look.processes));
    }
    let waiting: Vec<i32> = look.waits.iter().flat_map(|waits| waits.pids()).collect();
    for process in look.processes.rows_mut() {
        if last.contains(&process.process.pid) || waiting.contains(&process.process.pid) {
            processes::add_command(process);
        }
    }
    add_hidden(look, last);
}

/// Looks at one set or queue and at those who may use it, `noted` among them, and at nothing else:
/// a server may leave hundreds. `None` where it has gone. A set counts its waiters itself, and one
/// without a key is used by those alone who were given its number, as one is with its server's
/// mark, if the server is of a `known` engine; else every process has to be asked.
///
/// # Errors
/// As [`super::take`].
pub fn look_at_one(identity: &Identity, known: bool, noted: &[i32]) -> Result<Option<Snapshot>> {
    let mut look = super::take(Scope::default())?;
    let mut everybody = true;
    let only_one = || "only one of them was looked at".to_owned();
    match identity {
        Identity::Sem(wanted) => match sem::stat(wanted.id) {
            Ok(None) => return Ok(None),
            Ok(Some(row)) => {
                let mark = marker(&row);
                everybody = identity.is_findable() && !(known && mark.is_some());
                look.marked = mark.into_iter().collect();
                look.sets = Table::Part(vec![set(row)], only_one());
            }
            Err(errno) => look.sets = look.unreadable(barred("semaphore sets", errno)),
        },
        Identity::Msg(wanted) => match msg::stat(wanted.id) {
            Ok(None) => return Ok(None),
            Ok(Some(row)) => look.queues = Table::Part(vec![row], only_one()),
            Err(errno) => look.queues = look.unreadable(barred("message queues", errno)),
        },
        Identity::Shm(_) | Identity::Posix(_) => return Ok(None),
    }
    let mut last = last_users(look.sets.seen(), look.queues.seen());
    last.extend(noted);
    look.processes = if everybody {
        Table::Whole(processes::all(Scope { processes: true, ..Scope::default() })?)
    } else {
        let found = last.iter().filter_map(|&pid| processes::one(pid)).collect();
        Table::Part(found, "only its users were looked at".to_owned())
    };
    if everybody {
        look.callers = callers::look(&look.processes);
    }
    if matches!(identity, Identity::Msg(_)) {
        look.waits = Some(uses::waits(&look.processes));
    }
    add_hidden(&mut look, last);
    Ok(Some(look))
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

/// Asks the kernel for those of these pids that the look does not show, and notes which of them
/// are there all the same, and which are nobody's.
pub fn add_hidden(look: &mut Snapshot, mut pids: Vec<i32>) {
    pids.sort_unstable();
    pids.dedup();
    let shown: BTreeSet<i32> = look.processes.seen().map(|found| found.process.pid).collect();
    pids.retain(|pid| *pid > 0 && !shown.contains(pid) && !look.hidden.contains(pid));
    for pid in pids {
        if !super::is_there(pid) {
            look.absent.insert(pid);
        } else if !matches!(read::stat(pid), Ok(Seen::Here(_))) {
            // What has come since the look, and what a thread of a shown process bears, is shown
            // as well.
            look.hidden.push(pid);
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
        let identity = shm_files::identity(name, mount, &facts);
        let name = Bytes(name.to_vec());
        found.push(ListedFile { name, facts, identity });
    })?;
    Ok(found)
}
