//! Names for namespaces that do not come back: `NS_GET_ID`.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Result, check};

/// `NS_GET_ID` (`linux/nsfs.h`, since 6.18): `_IOR(0xb7, 13, __u64)`.
const NS_GET_ID: libc::c_ulong = 0x8008_b70d;

/// The id of an open `/proc/<pid>/ns/*`, which the kernel never gives out twice in a boot.
///
/// # Errors
/// `ENOTTY` before Linux 6.18.
pub fn id(namespace: BorrowedFd<'_>) -> Result<u64> {
    let mut id = 0_u64;
    // SAFETY: NS_GET_ID writes one u64, and id is one.
    let done = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_ID, &raw mut id) };
    check(done.into()).map(|_| id)
}
