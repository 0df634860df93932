//! The size of a terminal.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Columns and rows of the terminal behind a descriptor (`ioctl_tty(2)`, `TIOCGWINSZ`); `None`
/// where it is none, or has no size.
#[must_use]
pub fn size(file: BorrowedFd<'_>) -> Option<(usize, usize)> {
    let mut out = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ writes one struct winsize into the buffer of that type.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, out.as_mut_ptr()) };
    super::check(done.into()).ok()?;
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let out = unsafe { out.assume_init() };
    (out.ws_col > 0 && out.ws_row > 0).then(|| (out.ws_col.into(), out.ws_row.into()))
}
