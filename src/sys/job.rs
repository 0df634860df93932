//! Job control: a child that was stopped or continued, as its parent is told of it.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::{Result, check};

/// An event of a child that goes on living.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This signal stopped it.
    Stopped(i32),
    /// It was continued.
    Continued,
}

/// The last change of a child that was not asked for yet (`waitid(2)`).
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn change(pid: i32) -> Result<Option<Change>> {
    wait(pid, libc::WSTOPPED | libc::WCONTINUED)
}

/// Checks that a child was continued since this or [`change`] was asked last; a stop is left to be
/// asked for.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn was_continued(pid: i32) -> Result<bool> {
    wait(pid, libc::WCONTINUED).map(|change| change.is_some())
}

/// Checks whether a child is stopped now; that is left to be asked for.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn is_stopped(pid: i32) -> Result<bool> {
    wait(pid, libc::WSTOPPED | libc::WNOWAIT).map(|change| change.is_some())
}

fn wait(pid: i32, flags: libc::c_int) -> Result<Option<Change>> {
    let id = libc::id_t::try_from(pid).map_err(|_| Errno::EINVAL)?;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = flags | libc::WNOHANG;
    // SAFETY: info has room for one siginfo_t.
    check(unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags) }.into())?;
    // SAFETY: zeroed before; waitid fills it in, or leaves si_pid 0 where nothing has changed.
    let (code, pid, status) = unsafe {
        let info = info.assume_init();
        (info.si_code, info.si_pid(), info.si_status())
    };
    Ok((pid != 0).then_some(match code {
        libc::CLD_CONTINUED => Change::Continued,
        _ => Change::Stopped(status),
    }))
}

/// Returns when a signal that is being sent to a process group has reached all of its members.
///
/// The kernel holds a lock for reading from the first member to the last, and `setpgid` takes it
/// for writing; asking for the group that this process is in already changes nothing.
pub fn await_group_signal() {
    // SAFETY: both calls take and give numbers only.
    unsafe { libc::setpgid(0, libc::getpgrp()) };
}
