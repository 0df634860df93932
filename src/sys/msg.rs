//! System V message queues: the table, one queue, its removal.
//!
//! `remove` is called from `sweep::remove` alone.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::table::{self, IpcPerm};
use super::{Result, check};

/// `MSG_STAT_ANY` (`linux/msg.h`, since 4.17): like `MSG_STAT`, without a permission check.
const MSG_STAT_ANY: libc::c_int = 13;
/// `MSG_INFO` (`linux/msg.h`).
const MSG_INFO: libc::c_int = 12;

/// One row of the kernel's table, as `MSG_STAT_ANY` gives it (`msgctl(2)`).
///
/// Process ids are 0 where there was none, or it is not visible in the caller's PID namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The identifier.
    pub id: i32,
    /// Key and rights.
    pub perm: IpcPerm,
    /// Messages that wait in it.
    pub messages: u64,
    /// Bytes in those messages.
    pub bytes: u64,
    /// Most bytes that may wait in it (`msg_qbytes`).
    pub most_bytes: u64,
    /// Process that sent last.
    pub last_sender: i32,
    /// Process that received last.
    pub last_receiver: i32,
    /// Last `msgsnd`, seconds since the epoch; 0 for never.
    pub stime: i64,
    /// Last `msgrcv`, seconds since the epoch; 0 for never.
    pub rtime: i64,
    /// Creation or last `IPC_SET`, seconds since the epoch.
    pub ctime: i64,
}

/// Every queue of this IPC namespace, in the order of the table.
///
/// # Errors
/// Whatever `msgctl` says other than that an index is free.
pub fn table() -> Result<Vec<Row>> {
    let mut info = MaybeUninit::<[u64; 32]>::zeroed();
    // SAFETY: IPC_INFO writes one struct msginfo (32 bytes), for which the buffer has room.
    let highest =
        check(unsafe { libc::msgctl(0, libc::IPC_INFO, info.as_mut_ptr().cast()) }.into())?;
    table::rows(highest, at_index, count)
}

/// One queue by id, `None` where there is none of that very id.
///
/// # Errors
/// Whatever `msgctl` says other than that there is no such queue.
pub fn stat(id: i32) -> Result<Option<Row>> {
    table::row_of(at_index(id), |row| row.id == id, || by_id(id))
}

/// What is left of a queue that was to be removed; `None` where it is gone.
///
/// # Errors
/// As [`stat`].
pub fn left(id: i32) -> Result<Option<Row>> {
    table::row_left(by_id(id), || stat(id))
}

/// `IPC_RMID`: destroys at once, with every message; whoever waits is woken with `EIDRM`.
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL`, `EIDRM` where it is gone.
pub(crate) fn remove(id: i32) -> Result<()> {
    // SAFETY: IPC_RMID reads and writes no memory of this process.
    check(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// The queue at a table index (an id serves: the kernel uses its low bits only).
fn at_index(index: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::msqid_ds>::zeroed();
    // SAFETY: MSG_STAT_ANY writes one struct msqid_ds into the buffer of that type.
    let id = check(unsafe { libc::msgctl(index, MSG_STAT_ANY, ds.as_mut_ptr()) }.into())?;
    Ok(row(i32::try_from(id).map_err(|_| Errno::EOVERFLOW)?, ds))
}

/// The queue of an id, for whoever may read it (`IPC_STAT`).
fn by_id(id: i32) -> Result<Row> {
    let mut ds = MaybeUninit::<libc::msqid_ds>::zeroed();
    // SAFETY: IPC_STAT writes one struct msqid_ds into the buffer of that type.
    check(unsafe { libc::msgctl(id, libc::IPC_STAT, ds.as_mut_ptr()) }.into())?;
    Ok(row(id, ds))
}

/// Returns the row that the kernel has just filled in.
fn row(id: i32, ds: MaybeUninit<libc::msqid_ds>) -> Row {
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let ds = unsafe { ds.assume_init() };
    #[allow(clippy::unnecessary_cast)] // the widths differ between architectures
    Row {
        id,
        perm: IpcPerm::of(&ds.msg_perm),
        messages: ds.msg_qnum as u64,
        bytes: ds.__msg_cbytes as u64,
        most_bytes: ds.msg_qbytes as u64,
        last_sender: ds.msg_lspid,
        last_receiver: ds.msg_lrpid,
        stime: ds.msg_stime as i64,
        rtime: ds.msg_rtime as i64,
        ctime: ds.msg_ctime as i64,
    }
}

/// Returns the number of queues (`MSG_INFO`, `msgpool`).
fn count() -> Result<i64> {
    let mut info = MaybeUninit::<[i32; 64]>::zeroed();
    // SAFETY: MSG_INFO writes one struct msginfo (32 bytes), for which the buffer has room.
    check(unsafe { libc::msgctl(0, MSG_INFO, info.as_mut_ptr().cast()) }.into())?;
    // SAFETY: the buffer was zeroed before, and any bits are integers.
    let [used, ..] = unsafe { info.assume_init() };
    Ok(used.into())
}
