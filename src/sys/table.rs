//! The tables of System V objects, which the kernel gives row by row under an index. The three
//! kinds differ in the call only.

use nix::errno::Errno;

use super::Result;

/// The key of an object, and whom the kernel lets use it (`struct ipc_perm`, `svipc(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpcPerm {
    /// The key.
    pub key: i32,
    /// Permission bits, and flags of the kind's own above them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group of the owner.
    pub gid: u32,
    /// Creator.
    pub creator_uid: u32,
    /// Group of the creator.
    pub creator_gid: u32,
}

impl IpcPerm {
    pub(super) fn of(perm: &libc::ipc_perm) -> Self {
        #[allow(clippy::unnecessary_cast)] // the width of mode differs between architectures
        let mode = perm.mode as u32;
        Self {
            key: perm.__key,
            mode,
            uid: perm.uid,
            gid: perm.gid,
            creator_uid: perm.cuid,
            creator_gid: perm.cgid,
        }
    }
}

/// Every row from index 0 to the highest, in that order; what is free in between is left out.
///
/// A kernel, or a filter, without the call answers as if each index were free; `count` says then
/// how many objects there are. An empty table is believed only where that is none.
///
/// # Errors
/// Whatever the calls say other than that an index is free; `EINVAL` where no row was to be had
/// though there are objects.
pub(super) fn rows<R>(
    highest: i64,
    at_index: impl Fn(i32) -> Result<R>,
    count: impl Fn() -> Result<i64>,
) -> Result<Vec<R>> {
    // Twice: the first object may have been made after the walk.
    for _ in 0..2 {
        let mut rows = Vec::new();
        for index in 0..=i32::try_from(highest).map_err(|_| Errno::EOVERFLOW)? {
            rows.extend(unless_free(at_index(index))?);
        }
        if !rows.is_empty() || count()? == 0 {
            return Ok(rows);
        }
    }
    Err(Errno::EINVAL)
}

/// The row of an id, found under its index, where it is that very id's: the kernel looks at the
/// low bits only. Where the index is free, `by_id` (`IPC_STAT`, as old as the tables) is asked
/// too: it alone tells a free index from a kernel without the call.
///
/// # Errors
/// Whatever the calls said other than that there is none; `EACCES` where only `by_id` could tell.
pub(super) fn row_of<R>(
    at_index: Result<R>,
    is_it: impl Fn(&R) -> bool,
    by_id: impl FnOnce() -> Result<R>,
) -> Result<Option<R>> {
    match unless_free(at_index)? {
        Some(row) => Ok(Some(row).filter(is_it)),
        None => unless_free(by_id()),
    }
}

/// Returns the row of an id that was to be removed: `by_id` (`IPC_STAT`) tells in one call that it
/// is gone, and whoever may not read it asks by `stat`.
///
/// # Errors
/// Whatever `stat` says.
pub(super) fn row_left<R>(
    by_id: Result<R>,
    stat: impl FnOnce() -> Result<Option<R>>,
) -> Result<Option<R>> {
    unless_free(by_id).or_else(|_| stat())
}

fn unless_free<R>(found: Result<R>) -> Result<Option<R>> {
    match found {
        Ok(row) => Ok(Some(row)),
        Err(Errno::EINVAL | Errno::EIDRM) => Ok(None),
        Err(errno) => Err(errno),
    }
}
