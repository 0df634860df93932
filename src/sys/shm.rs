//! System V shared memory: the table, one segment, its first bytes, its removal.
//!
//! `remove` is called from `sweep::remove`, and by `own` for the demo's own segments; a test of the
//! layout holds that nobody else does.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::table::{self, IpcPerm};
use super::{Result, check};

/// `SHM_STAT_ANY` (`linux/shm.h`, since 4.17): like `SHM_STAT`, without a permission check.
const SHM_STAT_ANY: libc::c_int = 15;
/// `SHM_INFO` (`linux/shm.h`).
const SHM_INFO: libc::c_int = 14;
/// `SHM_DEST` (`linux/shm.h`): destroyed on the last detach.
pub const MODE_DEST: u32 = 0o1000;
/// `SHM_LOCKED` (`linux/shm.h`): not swapped.
pub const MODE_LOCKED: u32 = 0o2000;
/// `SHM_HUGETLB` (`linux/shm.h`): made of huge pages. Linux 6.18 does not show it: `shmget` keeps
/// only the permissions of its flags (`ipc/shm.c newseg`).
pub const MODE_HUGETLB: u32 = 0o4000;

/// One row of the kernel's table, as `SHM_STAT_ANY` gives it (`shmctl(2)`).
///
/// Process ids are 0 where the process is not visible in the caller's PID namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The identifier.
    pub id: i32,
    /// Key and rights: the key is 0 (`IPC_PRIVATE`) also where it is marked for destruction, the
    /// mode has [`MODE_DEST`] and [`MODE_LOCKED`] too.
    pub perm: IpcPerm,
    /// Size in bytes.
    pub bytes: u64,
    /// Process that created it.
    pub creator_pid: i32,
    /// Process of the last `shmat`, `shmdt` or fork.
    pub last_pid: i32,
    /// Mappings (not processes).
    pub nattch: u64,
    /// Last `shmat`, seconds since the epoch; 0 for never.
    pub atime: i64,
    /// Last `shmdt`, or the last end of a process that had it attached; 0 for never.
    pub dtime: i64,
    /// Creation or last `IPC_SET`, seconds since the epoch.
    pub ctime: i64,
}

impl Row {
    /// Returns the time at which its last user used it, seconds since the epoch; 0 for never.
    #[must_use]
    pub fn last_use(&self) -> i64 {
        self.atime.max(self.dtime)
    }
}

/// The highest index in use, 0 where the table is empty (`IPC_INFO`, `shmctl(2)`).
fn highest_index() -> Result<i64> {
    let mut info = MaybeUninit::<[u64; 32]>::zeroed();
    // SAFETY: IPC_INFO writes one struct shminfo (72 bytes), for which the buffer has room.
    check(unsafe { libc::shmctl(0, libc::IPC_INFO, info.as_mut_ptr().cast()) }.into())
}

/// The segment at a table index (an id serves: the kernel uses its low bits only).
///
/// # Errors
/// `EINVAL` where the index is free.
fn at_index(index: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: SHM_STAT_ANY writes one struct shmid_ds into the buffer of that type.
    let id = check(unsafe { libc::shmctl(index, SHM_STAT_ANY, ds.as_mut_ptr()) }.into())?;
    Ok(row(i32::try_from(id).map_err(|_| Errno::EOVERFLOW)?, ds))
}

/// The segment of an id, for whoever may read it (`IPC_STAT`).
fn by_id(id: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: IPC_STAT writes one struct shmid_ds into the buffer of that type.
    check(unsafe { libc::shmctl(id, libc::IPC_STAT, ds.as_mut_ptr()) }.into())?;
    Ok(row(id, ds))
}

/// Returns the row that the kernel has just filled in.
fn row(id: i32, ds: MaybeUninit<libc::shmid_ds>) -> Row {
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let ds = unsafe { ds.assume_init() };
    #[allow(clippy::unnecessary_cast)]
    Row {
        id,
        perm: IpcPerm::of(&ds.shm_perm),
        bytes: ds.shm_segsz as u64,
        creator_pid: ds.shm_cpid,
        last_pid: ds.shm_lpid,
        nattch: ds.shm_nattch as u64,
        atime: ds.shm_atime as i64,
        dtime: ds.shm_dtime as i64,
        ctime: ds.shm_ctime as i64,
    }
}

/// Returns the number of segments (`SHM_INFO`, `used_ids`).
fn count() -> Result<i64> {
    let mut info = MaybeUninit::<[i32; 64]>::zeroed();
    // SAFETY: SHM_INFO writes one struct shm_info (48 bytes), for which the buffer has room.
    check(unsafe { libc::shmctl(0, SHM_INFO, info.as_mut_ptr().cast()) }.into())?;
    // SAFETY: the buffer was zeroed before, and any bits are integers.
    let [used, ..] = unsafe { info.assume_init() };
    Ok(used.into())
}

/// Every segment of this IPC namespace, in the order of the table.
///
/// # Errors
/// Whatever `shmctl` says other than that an index is free.
pub fn table() -> Result<Vec<Row>> {
    table::rows(highest_index()?, at_index, count)
}

/// One segment by id, `None` where there is none of that very id.
///
/// # Errors
/// Whatever `shmctl` says other than that there is no such segment.
pub fn stat(id: i32) -> Result<Option<Row>> {
    table::row_of(at_index(id), |row| row.id == id, || by_id(id))
}

/// What is left of a segment that was to be removed; `None` where it is gone.
///
/// # Errors
/// As [`stat`].
pub fn left(id: i32) -> Result<Option<Row>> {
    table::row_left(by_id(id), || stat(id))
}

/// `IPC_RMID`: destroys at once where nobody is attached, on the last detach otherwise.
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL`, `EIDRM` where it is gone.
pub(crate) fn remove(id: i32) -> Result<()> {
    // SAFETY: IPC_RMID reads and writes no memory of this process.
    check(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// Copies the first bytes of a segment by attaching it read-only for a moment.
///
/// Raises nattch while it lasts: a server that starts at that moment refuses (FACTS of the header).
/// Call it only when the instance is dead and its ledger locked.
///
/// # Errors
/// What `shmat` says; `EINVAL` where there is no such segment.
pub fn peek(id: i32, most_bytes: usize) -> Result<Vec<u8>> {
    let row = stat(id)?.ok_or(Errno::EINVAL)?;
    let len = most_bytes.min(usize::try_from(row.bytes).unwrap_or(usize::MAX));
    // SAFETY: a null address lets the kernel choose a free range; nothing of ours is replaced.
    let start = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
    if start as isize == -1 {
        return Err(Errno::last());
    }
    let mut bytes = vec![0_u8; len];
    // SAFETY: the mapping is at least row.bytes long (the size of a segment never changes) and len
    // is at most that; the destination was allocated with len bytes and cannot overlap it.
    unsafe { std::ptr::copy_nonoverlapping(start.cast::<u8>(), bytes.as_mut_ptr(), len) };
    // SAFETY: start is what shmat gave, and no reference into the mapping is kept.
    check(unsafe { libc::shmdt(start) }.into())?;
    Ok(bytes)
}

/// Creates a segment that must not exist yet (`IPC_CREAT | IPC_EXCL`), mode 0600.
///
/// # Errors
/// `EEXIST` where the key is taken, `ENOSPC`, `ENOMEM`, `EINVAL` at the limits (`shmget(2)`).
pub(super) fn create(key: i32, bytes: usize) -> Result<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    // SAFETY: shmget touches no memory of this process.
    let id = check(unsafe { libc::shmget(key, bytes, flags) }.into())?;
    i32::try_from(id).map_err(|_| Errno::EOVERFLOW)
}

/// Attaches a segment until this process ends.
///
/// # Errors
/// What `shmat` says.
pub(super) fn attach_for_life(id: i32) -> Result<()> {
    // SAFETY: as in peek: the kernel chooses a free range. Nobody is given its address.
    let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    if start as isize == -1 { Err(Errno::last()) } else { Ok(()) }
}
