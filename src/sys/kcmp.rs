//! Compares the descriptor tables of two threads: `kcmp(2)`.

use super::{Result, check};

/// `KCMP_FILES` (`linux/kcmp.h`).
const KCMP_FILES: libc::c_int = 2;

/// Checks whether two threads have one table of descriptors.
///
/// # Errors
/// `ENOSYS` where the kernel lacks the call, `EPERM` where ptrace would be refused, `ESRCH`.
pub(crate) fn share_descriptors(one: i32, other: i32) -> Result<bool> {
    // SAFETY: kcmp takes five numbers and touches no memory of ours.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0_usize, 0_usize) };
    check(order).map(|order| order == 0)
}
