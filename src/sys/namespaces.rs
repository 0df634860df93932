//! Namespaces of one's own, and the two file systems that must be fresh in them; for the demo.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use nix::errno::Errno;

use super::{Result, check};

/// Moves this single-threaded process into a new user namespace, in which it may do all
/// (`unshare(2)`). Its ids have to be mapped next.
///
/// # Errors
/// `EPERM`, `ENOSPC`, `EUSERS` where that is not allowed; `EINVAL` with several threads.
pub fn enter_user() -> Result<()> {
    unshare(libc::CLONE_NEWUSER)
}

/// Moves this process into a new IPC and a new mount namespace, from which nothing gets back, and
/// its next child into a new PID namespace (`unshare(2)`).
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` at the limits, `EINVAL` where the kernel has none.
pub fn enter_ipc_mount_pid() -> Result<()> {
    unshare(libc::CLONE_NEWIPC | libc::CLONE_NEWNS | libc::CLONE_NEWPID)?;
    mount(None, c"none", c"/", libc::MS_REC | libc::MS_PRIVATE, None)
}

/// Mounts the `/proc` of this process's PID namespace over what is there.
///
/// # Errors
/// What `mount(2)` says: `EPERM` where parts of the old `/proc` are covered.
pub fn mount_proc() -> Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(Some(c"proc"), c"proc", c"/proc", flags, None)
}

/// Mounts an empty tmpfs with these permission bits.
///
/// # Errors
/// What `mount(2)` says.
pub fn mount_tmpfs(target: &Path, mode: u32) -> Result<()> {
    let target = CString::new(target.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let options = CString::new(format!("mode={mode:o}")).map_err(|_| Errno::EINVAL)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount(Some(c"tmpfs"), c"tmpfs", &target, flags, Some(&options))
}

fn unshare(flags: libc::c_int) -> Result<()> {
    // SAFETY: these flags take no file descriptors or memory away that anything here relies on.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

fn mount(
    kind: Option<&CStr>,
    source: &CStr,
    target: &CStr,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> Result<()> {
    // SAFETY: each pointer is null or to a C string that outlives the call.
    let done = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.map_or(null(), CStr::as_ptr),
            flags,
            options.map_or(null(), CStr::as_ptr).cast(),
        )
    };
    check(done.into()).map(drop)
}
