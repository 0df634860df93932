//! What openGauss does with what others have under its keys: it removes it, by key, without a look
//! at nattch (`sysv_shmem.cpp`, `sysv_sema.cpp`).

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use shmwarden::engine::opengauss::{HEADER_BYTES, Header, SET_MAGIC, SET_MEMBERS, header_bytes};
use shmwarden::sys::sem;

use super::calls::{self, Attached};

/// The member that marks a set.
const MARK: i32 = SET_MEMBERS - 1;

/// `PGSharedMemoryCreate`: what can be attached and looks like an openGauss's is removed, whoever
/// has it attached, and the key is tried again; what cannot be attached is left.
pub(crate) fn segment(key: i32) -> bool {
    let Some(other) = another(key) else { return false };
    let _ = calls::remove_segment(other);
    true
}

/// `PGSharedMemoryAttach`: the segment under a key, if it may be attached and has the magic number.
fn another(key: i32) -> Option<i32> {
    let id = calls::find_segment(key, HEADER_BYTES).ok()?;
    let bytes = Attached::attach(id).ok()?.read(4);
    let ours = header_bytes(&Header { pid: 0, bytes: 0, dev: 0, ino: 0 });
    ours.starts_with(&bytes).then_some(id)
}

/// `IpcSemaphoreCreate`: what is under a key is removed where its mark is openGauss's and whoever
/// set the mark is dead; whether it is gone.
pub(crate) fn set(key: i32) -> bool {
    left_over(key).is_some_and(|other| calls::remove_set(other).is_ok())
}

fn left_over(key: i32) -> Option<i32> {
    let set = calls::find_set(key, SET_MEMBERS).ok()?;
    let marked = sem::value(set, MARK).ok()? == SET_MAGIC;
    let by = sem::last_operator(set, MARK).ok().filter(|&pid| pid > 0)?;
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let dead = by == own || kill(Pid::from_raw(by), None) == Err(Errno::ESRCH);
    (marked && dead).then_some(set)
}
