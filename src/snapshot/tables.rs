//! The tables of a look: what was read, and what of it was not. Each part costs nothing where the
//! scope does not ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use nix::errno::Errno;

use super::callers::Caller;
use super::opened::Opened;
use super::waits::Waits;
use super::{DataDirectory, Process, Scope, Sight, Table, shm_files};
use crate::error::Result;
use crate::object::{Bytes, Identity, Key, Place, Queue, SemaphoreSet, ShmFile};
use crate::proc::read;
use crate::proc::sysvipc::ShmRow;
use crate::sys::files::FileFacts;
use crate::sys::sem::Members;
use crate::sys::{msg, sem, shm, user};

/// A semaphore set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its row in the table.
    pub row: sem::Row,
    /// The state of its members; `None` where they may not be asked, or are too many.
    pub members: Option<Members>,
}

/// Most members of one user's sets that root asks in one look, each by several calls: ten times
/// what a server of 20,000 sessions has.
const MOST_MEMBERS: u64 = 1 << 18;

/// The members of each user's sets that a look has asked: one user's many take no time of root's.
#[derive(Debug, Clone, Default)]
pub struct MembersAsked(BTreeMap<u32, u64>);

impl MembersAsked {
    /// Takes in the members of a set that is to be asked; whether they may be.
    fn take_in(&mut self, row: &sem::Row) -> bool {
        if row.perm.creator_uid == 0 || !user::is_root() {
            return true;
        }
        let asked = self.0.entry(row.perm.creator_uid).or_default();
        *asked = asked.saturating_add(row.members);
        *asked <= MOST_MEMBERS
    }
}

impl Set {
    /// Asks the members of a set what they tell.
    pub(super) fn of(row: sem::Row) -> Self {
        let members = sem::members(row.id, row.members).ok();
        Self { row, members }
    }

    /// Returns the same for one of many.
    pub(super) fn among(row: sem::Row, asked: &mut MembersAsked) -> Self {
        if asked.take_in(&row) { Self::of(row) } else { Self { row, members: None } }
    }

    /// Returns the identity it is recognised by later.
    #[must_use]
    pub fn identity(&self) -> SemaphoreSet {
        set_identity(&self.row)
    }
}

/// Returns the identity of a row of the table of sets, by which it is recognised later.
#[must_use]
pub fn set_identity(row: &sem::Row) -> SemaphoreSet {
    SemaphoreSet {
        id: row.id,
        key: Key(row.perm.key),
        nsems: row.members,
        creator_uid: row.perm.creator_uid,
        creator_gid: row.perm.creator_gid,
        ctime: row.ctime,
    }
}

/// Returns the identity of a row of the table of queues, by which it is recognised later.
#[must_use]
pub fn queue_identity(row: &msg::Row) -> Queue {
    Queue {
        id: row.id,
        key: Key(row.perm.key),
        creator_uid: row.perm.creator_uid,
        creator_gid: row.perm.creator_gid,
        ctime: row.ctime,
    }
}

/// A regular file in `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Name without `/dev/shm/`.
    pub name: Bytes,
    /// The facts that `statx` gives.
    pub facts: FileFacts,
    /// The identity it is recognised by.
    pub identity: ShmFile,
}

impl ListedFile {
    /// Checks whether it is a file that was recorded.
    #[must_use]
    pub fn is(&self, known: &ShmFile) -> bool {
        self.identity.is(known)
    }
}

/// The tables of one look. Nothing in it is complete but what says so: a [`Table`] that is whole.
/// What is found here by number is evidence, and what is not found was not read.
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
    /// The processes that can be seen at all.
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
    /// The members of sets that were asked, by user.
    pub members_asked: MembersAsked,
    /// The processes that wait for a set or queue; `None` where nobody was asked.
    pub waits: Option<Waits>,
    /// The living processes that could use an object by its rights.
    pub callers: Table<Caller>,
    /// The files that are open or locked, of those that were asked about.
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
    /// The objects that may be a server's list of its dynamic shared memory and could not be read.
    pub unread_lists: Vec<Identity>,
    /// The gaps of the look, as sentences.
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
            members_asked: MembersAsked::default(),
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
    pub(super) fn read_files(&mut self) -> Result<()> {
        let mount = self.place.shm_mount.clone();
        self.other_names = match shm_files::others(mount.as_deref()) {
            Ok(names) => Table::Whole(names.into_iter().collect()),
            Err(error) => self.unreadable(error.to_string()),
        };
        self.files = match (mount, self.other_names.missing()) {
            (None, Some(why)) => Table::Unread(why.to_owned()),
            (mount, _) => Table::Whole(files(mount.as_deref())?),
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
                    let rows = table.into_iter();
                    // Of huge pages Linux 6.18 counts 512 times as much as there is.
                    let resident =
                        |one: &ShmRow| one.rss.min(one.row.bytes.saturating_add(4095) & !4095);
                    self.resident = Some(rows.map(|one| (one.row.id, resident(&one))).collect());
                }
                Err(error) => self.tell(format!("cannot tell what is resident: {error}")),
            }
        }
    }

    /// Reads the table of sets, with the members of those whose creator is `of_interest`.
    pub(super) fn read_sets(&mut self, of_interest: impl Fn(u32) -> bool) {
        let asked = &mut self.members_asked;
        self.sets = match sem::table() {
            Ok(rows) => {
                let with_members = |row: sem::Row| match of_interest(row.perm.creator_uid) {
                    true => Set::among(row, asked),
                    false => Set { row, members: None },
                };
                Table::Whole(rows.into_iter().map(with_members).collect())
            }
            Err(errno) => self.unreadable(barred("semaphore sets", errno)),
        };
    }

    pub(super) fn read_queues(&mut self) {
        self.queues = match msg::table() {
            Ok(rows) => Table::Whole(rows),
            Err(errno) => self.unreadable(barred("message queues", errno)),
        };
    }

    /// Counts the rows of each table that has an index.
    pub(super) fn rows(&self) -> [usize; 5] {
        [
            self.segments.rows().len(),
            self.sets.rows().len(),
            self.queues.rows().len(),
            self.files.rows().len(),
            self.processes.rows().len(),
        ]
    }

    /// Returns a table that could not be read, and notes why.
    pub(super) fn unreadable<T>(&mut self, why: String) -> Table<T> {
        self.tell(why.clone());
        Table::Unread(why)
    }

    /// Notes what could not be looked at, once.
    pub(super) fn tell(&mut self, why: String) {
        if !self.trouble.contains(&why) {
            self.trouble.push(why);
        }
    }
}

pub(super) fn barred(what: &str, errno: Errno) -> String {
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
