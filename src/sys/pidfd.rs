//! Process descriptors: a pid that cannot come to mean another process.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::Ended;
use super::{Result, check};

/// `PIDFD_GET_INFO`, `_IOWR(0xFF, 11, struct pidfd_info)` (`linux/pidfd.h`, since 6.13).
const GET_INFO: libc::c_ulong = (3 << 30) | ((size_of::<Info>() as libc::c_ulong) << 16) | 0xFF0B;
/// `PIDFD_INFO_EXIT`: asks for the exit status of a process that was reaped (since 6.15).
const INFO_EXIT: u64 = 1 << 3;

/// The first version of `struct pidfd_info`.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    pids: [u32; 3],
    ids: [u32; 8],
    exit_code: i32,
}

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

    /// Checks that every thread of it has ended.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }

    /// Returns how it ended, also to who is not its parent; `None` as long as its parent has not
    /// reaped it.
    ///
    /// # Errors
    /// What `ioctl` says: before 6.15 this is not to be known.
    pub fn exit(&self) -> Result<Option<Ended>> {
        let mut info = Info { mask: INFO_EXIT, ..Info::default() };
        // SAFETY: info has the size that the request names.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), GET_INFO, &raw mut info) }.into())?;
        let status = info.exit_code;
        Ok((info.mask & INFO_EXIT != 0).then(|| match libc::WIFSIGNALED(status) {
            true => Ended::Signaled(libc::WTERMSIG(status), libc::WCOREDUMP(status)),
            false => Ended::Exited(libc::WEXITSTATUS(status)),
        }))
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
