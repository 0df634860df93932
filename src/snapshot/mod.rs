//! One look at the kernel: the tables, `/dev/shm`, the processes. Decides nothing.
//!
//! It never leaves out silently what could not be looked at ([`Seen::Denied`], `None`): the
//! decision counts it as in use.

pub mod asked;
pub mod callers;
pub mod calls;
pub mod contents;
pub mod data_dir;
mod index;
mod last_user;
mod mapped;
pub mod memory;
pub mod opened;
pub mod owners;
pub mod place;
pub mod processes;
pub mod server_lists;
pub mod shm_files;
pub mod sight;
mod stages;
pub mod subject;
mod table;
pub mod tables;
pub mod waits;

use std::ops::Deref;
use std::time::SystemTime;

pub use data_dir::DataDirectory;
use index::Index;
pub use last_user::{Clock, LastUser, clock_ahead_ms};
pub use mapped::Mapped;
pub use processes::Process;
pub use sight::Sight;
pub use table::Table;
pub use tables::Tables;

use crate::error::{Error, Result};
use crate::object::{Bytes, Key, Place, Segment};
pub use crate::proc::Seen;
pub use crate::proc::read::ticks_a_second;
use crate::sys::msg;
use crate::sys::shm::{self, Row};

/// The extent of a look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Files in `/dev/shm`.
    pub files: bool,
    /// Processes: who they are, what they execute, where they work.
    pub processes: bool,
    /// Their maps, too.
    pub maps: bool,
    /// The control group of each, too.
    pub control_groups: bool,
    /// Of processes that map nothing of interest, only what tells one from another: no program,
    /// no directory, no user. Not enough to judge the life of an instance by.
    pub brief: bool,
    /// Semaphore sets.
    pub sets: bool,
    /// Message queues.
    pub queues: bool,
    /// The part of each segment that is in memory.
    pub resident: bool,
}

impl Scope {
    /// Everything that bears on a removal.
    #[must_use]
    pub fn full() -> Self {
        Self { files: true, processes: true, maps: true, control_groups: true, ..Self::default() }
    }
}

/// One look: all that the decision knows of the world. Nobody writes into it; what is read later
/// makes a new one.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tables: Tables,
    index: Index,
}

impl Deref for Snapshot {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Snapshot {
    /// Makes a look of what was read.
    #[must_use]
    pub fn of(tables: Tables) -> Self {
        Self { tables, index: Index::default() }
    }

    /// Gives back what was read, for the stage that reads more.
    pub(super) fn into_tables(self) -> Tables {
        self.tables
    }

    /// Makes a later look of one by a stage that adds to no table which is found by number or name,
    /// and changes no row of it: the orders of the rows stay as they are.
    pub(super) fn beside(mut self, stage: impl FnOnce(&mut Tables)) -> Self {
        let rows = self.tables.rows();
        stage(&mut self.tables);
        match self.tables.rows() == rows {
            true => self,
            false => Self::of(self.tables),
        }
    }

    /// Returns a segment by id.
    pub fn segment(&self, id: i32) -> Seen<&Row> {
        let order = &self.index.segments;
        let found = order.find(self.segments.rows(), |a, b| a.id.cmp(&b.id), |row| row.id.cmp(&id));
        self.segments.answer(found)
    }

    /// Returns a segment's row as it was last, after what was read of the segment itself.
    pub(crate) fn latest_row(&self, id: i32) -> Seen<&Row> {
        self.read_rows.get(&id).map_or_else(|| self.segment(id), Seen::Here)
    }

    /// Returns a semaphore set by id.
    pub fn set(&self, id: i32) -> Seen<&tables::Set> {
        let (order, id_of) = (&self.index.sets, |set: &tables::Set| set.row.id);
        let by_id = |a: &tables::Set, b: &tables::Set| id_of(a).cmp(&id_of(b));
        self.sets.answer(order.find(self.sets.rows(), by_id, |set| id_of(set).cmp(&id)))
    }

    /// Returns a message queue by id.
    pub fn queue(&self, id: i32) -> Seen<&msg::Row> {
        let order = &self.index.queues;
        let found = order.find(self.queues.rows(), |a, b| a.id.cmp(&b.id), |row| row.id.cmp(&id));
        self.queues.answer(found)
    }

    /// Returns a file of `/dev/shm` by name.
    pub fn file(&self, name: &[u8]) -> Seen<&tables::ListedFile> {
        let order = &self.index.files;
        let with = |file: &tables::ListedFile| file.name.0.as_slice().cmp(name);
        self.files.answer(order.find(self.files.rows(), |a, b| a.name.cmp(&b.name), with))
    }

    /// Checks that nothing bears a name in `/dev/shm`; what was not read may be there.
    #[must_use]
    pub fn is_absent(&self, name: &Bytes) -> bool {
        self.file(&name.0) == Seen::Gone
            && self.other_names.find(|other| other == name) == Seen::Gone
    }

    /// Returns a process by pid. One that `/proc` does not show and the kernel knows is denied.
    pub fn process(&self, pid: i32) -> Seen<&Process> {
        let (order, pid_of) = (&self.index.processes, |one: &Process| one.process.pid);
        let by_pid = |a: &Process, b: &Process| pid_of(a).cmp(&pid_of(b));
        let found = order.find(self.processes.rows(), by_pid, |one| pid_of(one).cmp(&pid));
        match self.processes.answer(found) {
            Seen::Gone if self.hidden.contains(&pid) => Seen::Denied,
            Seen::Denied if self.absent.contains(&pid) => Seen::Gone,
            found => found,
        }
    }

    /// Returns the living processes that have a user id in any of its four places, or may have.
    pub(crate) fn living_of(&self, uid: u32) -> impl Iterator<Item = &Process> {
        let places = self.index.of_user(uid, &self.tables);
        places.filter_map(|place| self.processes.rows().get(place))
    }

    /// Checks whether it was looked at what every living process maps.
    #[must_use]
    pub(crate) fn has_maps(&self) -> bool {
        let mut living = self.processes.seen().filter(|process| !process.ended);
        self.processes.is_whole() && living.all(|process| process.maps.is_some())
    }

    /// Returns a data directory by path; `None` where it was not looked at.
    #[must_use]
    pub fn data_dir(&self, path: &Bytes) -> Option<&DataDirectory> {
        self.data_dirs.iter().find(|dir| dir.path == *path)
    }
}

/// The row of an id in a table that stands alone; a look has [`Snapshot::segment`]. It is in the
/// order of the kernel's slots, which are the low 15 bits of the ids: a search in halves. Where
/// there are more slots (`ipcmni_extend`) or the order is another, the walk finds it all the same.
#[must_use]
pub fn row_of(table: &[Row], id: i32) -> Option<&Row> {
    let slot = |id: i32| id & 0x7fff;
    let at = table.partition_point(|row| slot(row.id) < slot(id));
    let there = table.get(at).filter(|row| row.id == id);
    there.or_else(|| table.iter().find(|row| row.id == id))
}

/// Returns the identity of a row, by which it is recognised later.
#[must_use]
pub fn identity_of(row: &Row) -> Segment {
    Segment {
        id: row.id,
        key: Key(row.perm.key),
        bytes: row.bytes,
        creator_uid: row.perm.creator_uid,
        creator_gid: row.perm.creator_gid,
        creator_pid: row.creator_pid,
        ctime: row.ctime,
    }
}

/// The segments of this IPC namespace: `SHM_STAT_ANY`, or `/proc/sysvipc/shm` where that is barred.
///
/// # Errors
/// [`Error::Unsupported`] where there is no System V IPC.
pub fn segments() -> Result<Vec<Row>> {
    match shm::table() {
        Ok(rows) => return Ok(rows),
        Err(nix::errno::Errno::ENOSYS) => {
            return Err(Error::Unsupported("this kernel has no System V IPC".to_owned()));
        }
        Err(_) => {}
    }
    let table = crate::proc::read::sysvipc_shm()
        .map_err(Error::io("cannot read", std::path::Path::new("/proc/sysvipc/shm")))?;
    Ok(table.into_iter().map(|one| one.row).collect())
}

/// Looks once. Data directories, headers and control segments are added by whoever needs them.
///
/// # Errors
/// [`Error::Unsupported`] without System V IPC or `/proc`, [`Error::Io`].
pub fn take(scope: Scope) -> Result<Snapshot> {
    take_at(place::here()?, scope)
}

/// Looks once from the place where this process is.
///
/// # Errors
/// As [`take`].
pub(crate) fn take_at(here: Place, scope: Scope) -> Result<Snapshot> {
    let mut tables = Tables::unread(here);
    // Processes before objects: what appears in between is then seen as unattached and unmapped
    // only if it was so at the end; a removal re-checks each object anyway.
    if scope.processes {
        tables.processes = Table::Whole(processes::with_keys(scope, &mut tables.keys)?);
    }
    if scope.files {
        tables.read_files()?;
    }
    tables.segments = Table::Whole(segments()?);
    tables.read(scope);
    tables.now = SystemTime::now();
    Ok(Snapshot::of(tables))
}

/// Checks that the kernel knows a process of this pid, whoever may see it.
#[must_use]
pub fn is_there(pid: i32) -> bool {
    crate::sys::signals::exists(pid)
}

/// Now, in clock ticks since boot on the machine's own boot clock: what the start times of
/// processes are told in; 0 where that cannot be told.
#[must_use]
pub fn boot_ticks() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let Ok(now) = clock_gettime(ClockId::CLOCK_BOOTTIME) else {
        return 0;
    };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec()).unwrap_or(0);
    let ticks = ticks_a_second();
    let shown = seconds * ticks + nanos * ticks / 1_000_000_000;
    crate::proc::read::on_machine_clock(shown).unwrap_or(0)
}

#[cfg(test)]
mod tests;
