//! Process descriptors: a pid that cannot come to mean another process.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Result, check};

/// A process, held by descriptor (`pidfd_open(2)`, since 5.3). Readable once it has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens a living or unreaped process.
    ///
    /// # Errors
    /// `ESRCH` where there is none; `EINVAL`, `ENOENT` for a thread id; `ENOSYS` before 5.3.
    pub fn open(pid: i32) -> Result<Self> {
        // SAFETY: pidfd_open touches no memory of this process.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        let fd = i32::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel has just given this descriptor to us alone (it is CLOEXEC).
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Whether every thread of it has ended.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }

    /// Sends a signal to exactly this process (`pidfd_send_signal(2)`).
    ///
    /// # Errors
    /// `ESRCH` where it has been reaped, `EPERM`.
    pub fn send(&self, signal: i32) -> Result<()> {
        let null = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo asks the kernel to fill it in as kill(2) does.
        let done = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, null, 0)
        };
        check(done).map(drop)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
