//! Calls that older kernels lack, each tried in a way that changes nothing.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::{Result, check};

/// `PIDFD_GET_INFO` (`linux/pidfd.h`, since 6.13): `_IOWR(0xff, 11, struct pidfd_info)`, with the
/// 64 bytes of its first version.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;

/// `PIDFD_GET_INFO` on an open pidfd.
///
/// # Errors
/// `ENOTTY`, `EINVAL` before 6.13.
pub fn pidfd_info(pidfd: BorrowedFd<'_>) -> Result<()> {
    let mut info = [0_u64; 8];
    // SAFETY: the call reads and writes one struct pidfd_info of 64 bytes, which info is.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, info.as_mut_ptr()) };
    check(done.into()).map(drop)
}

/// `PROCMAP_QUERY` (since 6.11) on an open `/proc/<pid>/maps`.
///
/// # Errors
/// `ENOTTY` before 6.11.
pub fn procmap_query(maps: &std::fs::File) -> Result<()> {
    match super::vma::next_file(maps, 0, false) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
