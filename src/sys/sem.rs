//! System V semaphore sets: the table, one set, what its members tell of its use, its removal.
//!
//! `remove` is called from `sweep::remove`. By number and not through glibc: its `semctl` hands
//! `SEM_STAT_ANY` no buffer before 2.31.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::table::{self, IpcPerm};
use super::{Result, check};

/// `SEM_STAT_ANY` (`linux/sem.h`, since 4.17): like `SEM_STAT`, without a permission check.
const SEM_STAT_ANY: libc::c_int = 20;
/// `SEM_INFO` (`linux/sem.h`).
const SEM_INFO: libc::c_int = 19;
/// `GETPID` (`linux/sem.h`).
const GETPID: libc::c_int = 11;
/// `GETVAL` (`linux/sem.h`).
const GETVAL: libc::c_int = 12;
/// `GETNCNT` (`linux/sem.h`).
const GETNCNT: libc::c_int = 14;
/// `GETZCNT` (`linux/sem.h`).
const GETZCNT: libc::c_int = 15;

/// One row of the kernel's table, as `SEM_STAT_ANY` gives it (`semctl(2)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The identifier.
    pub id: i32,
    /// Key and rights.
    pub perm: IpcPerm,
    /// Semaphores in the set.
    pub members: u64,
    /// Last `semop`, seconds since the epoch; 0 for never.
    pub otime: i64,
    /// Creation, or last `SETVAL`, `SETALL`, `IPC_SET`: it moves while the set is used.
    pub ctime: i64,
}

/// The use of a set, as its members tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// Processes that wait for a member to grow, or to be 0.
    pub waiters: u64,
    /// The last operators of the members, each pid once; 0 where that is nobody, or not visible
    /// here.
    pub operators: Vec<i32>,
    /// Set where a member has a value (fresh ones are 0) though nobody who is visible here operated
    /// it.
    pub set_unseen: bool,
}

/// Every set of this IPC namespace, in the order of the table.
///
/// # Errors
/// Whatever `semctl` says other than that an index is free.
pub fn table() -> Result<Vec<Row>> {
    let mut info = MaybeUninit::<[u64; 32]>::zeroed();
    let info = info.as_mut_ptr().cast::<libc::c_void>();
    // SAFETY: IPC_INFO writes one struct seminfo (40 bytes), for which the buffer has room.
    let highest = check(unsafe { semctl(0, 0, libc::IPC_INFO, info) })?;
    table::rows(highest, at_index, count)
}

/// One set by id, `None` where there is none of that very id.
///
/// # Errors
/// Whatever `semctl` says other than that there is no such set.
pub fn stat(id: i32) -> Result<Option<Row>> {
    table::row_of(at_index(id), |row| row.id == id, || by_id(id))
}

/// What is left of a set that was to be removed; `None` where it is gone.
///
/// # Errors
/// As [`stat`].
pub fn left(id: i32) -> Result<Option<Row>> {
    table::row_left(by_id(id), || stat(id))
}

/// `IPC_RMID`: destroys at once; whoever waits is woken with `EIDRM`.
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL`, `EIDRM` where it is gone.
pub(crate) fn remove(id: i32) -> Result<()> {
    // SAFETY: IPC_RMID reads and writes no memory of this process.
    check(unsafe { semctl(id, 0, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// The set at a table index (an id serves: the kernel uses its low bits only).
fn at_index(index: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: SEM_STAT_ANY writes one struct semid64_ds, which on 64-bit machines is libc's.
    let id = check(unsafe { semctl(index, 0, SEM_STAT_ANY, ds.as_mut_ptr().cast()) })?;
    Ok(row(i32::try_from(id).map_err(|_| Errno::EOVERFLOW)?, ds))
}

/// The set of an id, for whoever may read it (`IPC_STAT`).
fn by_id(id: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: IPC_STAT writes one struct semid64_ds, which on 64-bit machines is libc's.
    check(unsafe { semctl(id, 0, libc::IPC_STAT, ds.as_mut_ptr().cast()) })?;
    Ok(row(id, ds))
}

/// Returns the row that the kernel has just filled in.
fn row(id: i32, ds: MaybeUninit<libc::semid_ds>) -> Row {
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let ds = unsafe { ds.assume_init() };
    #[allow(clippy::unnecessary_cast)] // the widths differ between architectures
    Row {
        id,
        perm: IpcPerm::of(&ds.sem_perm),
        members: ds.sem_nsems as u64,
        otime: ds.sem_otime as i64,
        ctime: ds.sem_ctime as i64,
    }
}

/// Returns the number of sets (`SEM_INFO`, `semusz`).
fn count() -> Result<i64> {
    let mut info = MaybeUninit::<[i32; 64]>::zeroed();
    // SAFETY: SEM_INFO writes one struct seminfo (40 bytes), for which the buffer has room.
    check(unsafe { semctl(0, 0, SEM_INFO, info.as_mut_ptr().cast()) })?;
    // SAFETY: the buffer was zeroed before, and any bits are integers.
    let [_, _, _, _, _, _, _, used, ..] = unsafe { info.assume_init() };
    Ok(used.into())
}

/// Asks each member who operated it last, then each who waits for it; changes nothing.
///
/// # Errors
/// `EACCES` without read permission; `EINVAL`, `EIDRM` where the set is gone.
pub fn members(id: i32, count: u64) -> Result<Members> {
    let mut found = Members { operators: operators(id, count)?, ..Members::default() };
    for member in indices(count)? {
        if found.operators.contains(&0) && !found.set_unseen {
            found.set_unseen = ask(id, member, GETVAL)? != 0 && ask(id, member, GETPID)? == 0;
        }
    }
    // Last: what is known of waiters is then as young as it can be.
    for member in indices(count)? {
        let waiting = ask(id, member, GETNCNT)? + ask(id, member, GETZCNT)?;
        found.waiters += u64::try_from(waiting).unwrap_or(0);
    }
    Ok(found)
}

/// Returns the last operators of the members, each pid once; 0 where that is nobody, or not visible
/// here.
///
/// # Errors
/// As [`members`].
pub fn operators(id: i32, count: u64) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for member in indices(count)? {
        let pid = i32::try_from(ask(id, member, GETPID)?).unwrap_or(0);
        // Members of one set are mostly operated by few processes, often one after the other.
        if found.last() != Some(&pid) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Returns the value of a member (`GETVAL`).
///
/// # Errors
/// As [`members`].
pub fn value(id: i32, member: i32) -> Result<i32> {
    i32::try_from(ask(id, member, GETVAL)?).map_err(|_| Errno::EOVERFLOW)
}

/// Returns who operated a member last (`GETPID`).
///
/// # Errors
/// As [`members`].
pub fn last_operator(id: i32, member: i32) -> Result<i32> {
    i32::try_from(ask(id, member, GETPID)?).map_err(|_| Errno::EOVERFLOW)
}

fn indices(count: u64) -> Result<std::ops::Range<i32>> {
    Ok(0..i32::try_from(count).map_err(|_| Errno::EOVERFLOW)?)
}

/// Asks `semctl` for one member: `GETPID`, `GETVAL`, `GETNCNT` or `GETZCNT`.
fn ask(id: i32, member: i32, what: libc::c_int) -> Result<libc::c_long> {
    // SAFETY: these commands read and write no memory of this process.
    check(unsafe { semctl(id, member, what, std::ptr::null_mut()) })
}

/// `semctl(2)`.
unsafe fn semctl(
    id: i32,
    member: i32,
    command: libc::c_int,
    buffer: *mut libc::c_void,
) -> libc::c_long {
    // SAFETY: the caller vouches for the buffer.
    unsafe { libc::syscall(libc::SYS_semctl, id, member, command, buffer) }
}
