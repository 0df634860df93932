//! Reading what a server wrote into its shared memory.
//!
//! While the server lives, through `/proc/<pid>/mem`, which disturbs nobody. Attaching is for the
//! dead only: it raises nattch for a moment, and a server that starts then refuses to.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_PATH};

use super::{Seen, Snapshot, Tables, identity_of, memory, shm_files};
use crate::engine::postgres;
use crate::object::{Identity, ShmFile};
use crate::proc::{maps, read};
use crate::sys::shm::Row;
use crate::sys::{files, shm};

pub use crate::engine::postgres::LARGEST_CONTROL;

/// Most that is read of one user's control segments in one look, in bytes.
const MOST_OF_USER: usize = 2 * LARGEST_CONTROL;

/// The bytes that may still be read of each user's control segments: one user's many do not fill
/// memory.
#[derive(Debug, Default)]
pub struct Room(BTreeMap<u32, usize>);

impl Room {
    /// Returns what is left of it beside the lists that a look has read already.
    fn beside(look: &Tables) -> Self {
        let mut room = Self::default();
        for (list, _) in &look.controls {
            room.take_all(list);
        }
        room
    }

    /// Takes so many bytes of what a user may have read; whether they are left.
    fn take(&mut self, uid: u32, bytes: usize) -> bool {
        let taken = self.0.entry(uid).or_default();
        let together = taken.saturating_add(bytes);
        if together <= MOST_OF_USER {
            *taken = together;
        }
        together <= MOST_OF_USER
    }

    /// Takes what the control segment that an object is comes to.
    pub(crate) fn take_all(&mut self, identity: &Identity) -> bool {
        let (uid, bytes) = match identity {
            Identity::Shm(segment) => (segment.creator_uid, segment.bytes),
            Identity::Posix(file) => (file.uid, file.bytes),
            Identity::Sem(_) | Identity::Msg(_) => return false,
        };
        self.take(uid, control_bytes(bytes))
    }
}

/// Returns how much is read of a control segment that was so long when it was recorded.
fn control_bytes(bytes: u64) -> usize {
    usize::try_from(bytes).map_or(LARGEST_CONTROL, |bytes| bytes.min(LARGEST_CONTROL))
}

/// The first bytes of a segment in the memory of a living process that has it attached.
#[must_use]
pub fn of_living(pid: i32, segment: i32, most_bytes: usize) -> Option<Vec<u8>> {
    let raw = match read::maps(pid).ok()? {
        Seen::Here(raw) => raw,
        Seen::Gone | Seen::Denied => return None,
    };
    let devices = read::sysv_devices();
    let is_it = |m: &maps::Mapping<'_>| m.sysv_shmid_on(&devices) == Some(segment) && m.offset == 0;
    let mapping = maps::lines(&raw).find(is_it)?;
    memory::of_process(pid, &[range(&mapping, most_bytes)]).pop()?
}

/// Where a mapping begins, and how much of it is read: what is mapped behind it is no part of it.
fn range(mapping: &maps::Mapping<'_>, most_bytes: usize) -> memory::Range {
    let length = mapping.end.saturating_sub(mapping.start);
    (mapping.start, usize::try_from(length).map_or(most_bytes, |length| length.min(most_bytes)))
}

/// The first bytes of several segments in the memory of one living process, by id; those that it
/// does not have attached from their start, or does not let be read, are left out.
#[must_use]
pub(crate) fn each_of_living(pid: i32, ids: &[i32], most_bytes: usize) -> BTreeMap<i32, Vec<u8>> {
    let Ok(Seen::Here(raw)) = read::maps(pid) else {
        return BTreeMap::new();
    };
    let devices = read::sysv_devices();
    let starts = maps::lines(&raw).filter(|mapping| mapping.offset == 0);
    let wanted = starts.filter_map(|mapping| {
        let id = mapping.sysv_shmid_on(&devices).filter(|id| ids.contains(id))?;
        Some((id, range(&mapping, most_bytes)))
    });
    let (ids, ranges): (Vec<i32>, Vec<memory::Range>) = wanted.unzip();
    let found = ids.into_iter().zip(memory::of_process(pid, &ranges));
    found.filter_map(|(id, bytes)| Some((id, bytes?))).collect()
}

fn of_dead(segment: i32, most_bytes: usize) -> io::Result<Vec<u8>> {
    shm::peek(segment, most_bytes).map_err(io::Error::from)
}

impl Tables {
    /// Reads the first bytes of a segment that nobody has attached, and notes the row as that
    /// leaves it: whoever uses it from now on is told by the difference. Where somebody has used it
    /// since it had this row none is noted, and that row tells that, too.
    ///
    /// # Errors
    /// What `shmat` says.
    pub(super) fn read_unattached(
        &mut self,
        segment: i32,
        row: &Row,
        most_bytes: usize,
    ) -> io::Result<Vec<u8>> {
        let before = shm::stat(segment).ok().flatten();
        let bytes = of_dead(segment, most_bytes)?;
        let after = shm::stat(segment).ok().flatten();
        if let (Some(before), Some(after)) = (before, after) {
            let (atime, dtime) = (after.atime, after.dtime);
            let ours = Row { last_pid: self.pid, atime, dtime, ..before.clone() };
            let known = self.read_rows.get(&segment).unwrap_or(row);
            if *known == before && after == ours {
                self.read_rows.insert(segment, after);
            }
        }
        Ok(bytes)
    }
}

impl Snapshot {
    /// Reads, after the death of their server, the first bytes of these segments and the whole
    /// content of these lists, as far as that can be had. Nobody may have the segments attached.
    #[must_use]
    pub(crate) fn with_contents(
        self,
        headers: &[i32],
        most_bytes: usize,
        lists: &[Identity],
    ) -> Self {
        let row_of = |id: i32| self.segment(id).here().cloned();
        let rows: Vec<Row> = headers.iter().filter_map(|&id| row_of(id)).collect();
        let of_lists: Vec<(&Identity, Option<Row>)> = lists
            .iter()
            .map(|list| match list {
                Identity::Shm(segment) => (list, row_of(segment.id)),
                _ => (list, None),
            })
            .collect();
        self.beside(|look| {
            let mut room = Room::beside(look);
            for row in &rows {
                match look.read_unattached(row.id, row, most_bytes) {
                    Ok(bytes) => drop(look.headers.insert(row.id, bytes)),
                    Err(_) => look.unread_lists.push(Identity::Shm(identity_of(row))),
                }
            }
            for (list, row) in of_lists {
                if !room.take_all(list) {
                    continue;
                }
                let bytes = match (list, &row) {
                    (Identity::Shm(segment), Some(row)) => {
                        look.read_unattached(row.id, row, control_bytes(segment.bytes)).ok()
                    }
                    (Identity::Posix(file), _) => of_file(file, control_bytes(file.bytes)).ok(),
                    _ => None,
                };
                look.controls.extend(bytes.map(|bytes| (list.clone(), bytes)));
            }
        })
    }

    /// Reads the first bytes of segments in the memory of a living process that has them attached,
    /// as far as that lets itself be read.
    #[must_use]
    pub fn with_headers_of(self, pid: i32, ids: &[i32], most_bytes: usize) -> Self {
        self.beside(|look| look.headers.extend(each_of_living(pid, ids, most_bytes)))
    }

    /// Reads the whole of those of these lists that need no attach: of a file by reading it, of a
    /// segment in the memory of one of these processes.
    #[must_use]
    pub fn with_living_lists(self, lists: &[Identity], pids: &[i32]) -> Self {
        self.beside(|look| {
            let mut room = Room::beside(look);
            for list in lists.iter().filter(|list| room.take_all(list)) {
                let bytes = of_control_unattached(list, pids);
                look.controls.extend(bytes.map(|bytes| (list.clone(), bytes)));
            }
        })
    }
}

/// The whole content of a control segment without attaching it, for who has no lock: of a file by
/// reading it, of a segment through the memory of one of these processes, if one has it attached.
#[must_use]
fn of_control_unattached(identity: &Identity, pids: &[i32]) -> Option<Vec<u8>> {
    match identity {
        Identity::Shm(segment) => {
            let bytes = control_bytes(segment.bytes);
            pids.iter().find_map(|&pid| of_living(pid, segment.id, bytes))
        }
        Identity::Posix(file) => of_file(file, control_bytes(file.bytes)).ok(),
        Identity::Sem(_) | Identity::Msg(_) => None,
    }
}

/// The first bytes of a file in `/dev/shm`.
///
/// # Errors
/// What the kernel says; `NotFound` where it is no longer that file.
pub fn of_file(wanted: &ShmFile, most_bytes: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(shm_files::DIRECTORY).join(std::ffi::OsStr::from_bytes(&wanted.name.0));
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_PATH | O_NOFOLLOW | O_CLOEXEC);
    let file = options.open(path)?;
    let facts = files::facts_kept(file.as_fd())?;
    let found = shm_files::identity(&wanted.name.0, &wanted.mount, &facts);
    if !found.is(wanted) {
        return Err(io::ErrorKind::NotFound.into());
    }
    // The very file that was looked at, whatever bears or covers its name by now.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NONBLOCK | O_CLOEXEC);
    let file = options.open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut bytes = Vec::new();
    file.take(most_bytes as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The whole of a file in `/dev/shm` that begins as a control segment and is as long as it says;
/// `None` where it begins otherwise.
///
/// # Errors
/// As [`of_file`]; `InvalidData` where its length is not what it says, or there is no room for it.
pub(crate) fn of_control_file(wanted: &ShmFile, room: &mut Room) -> io::Result<Option<Vec<u8>>> {
    let start = of_file(wanted, postgres::HEADER_BYTES)?;
    if !postgres::is_control(&start) {
        return Ok(None);
    }
    let fits = postgres::fits_length(&start, wanted.bytes);
    if !fits || !room.take_all(&Identity::Posix(wanted.clone())) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    of_file(wanted, LARGEST_CONTROL).map(Some)
}
