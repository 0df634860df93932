//! Waiting: one `poll` over signals, the gate and the processes that hold something; and letting
//! go of what the launcher was given and does not need.

use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until a descriptor is readable, or one is writable, or the time has come; returns whether
/// any is.
pub(crate) fn wait(
    readable: &[BorrowedFd<'_>],
    writable: Option<BorrowedFd<'_>>,
    until: Option<Instant>,
) -> bool {
    let readable = readable.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
    let writable = writable.map(|fd| PollFd::new(fd, PollFlags::POLLOUT));
    let mut fds: Vec<PollFd<'_>> = readable.chain(writable).collect();
    let timeout = match until {
        None => PollTimeout::NONE,
        Some(until) => {
            let left = until.saturating_duration_since(Instant::now());
            // Rounded up, so that a wait of less than a millisecond does not spin.
            let left = if left.is_zero() { left } else { left + Duration::from_micros(999) };
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        }
    };
    poll(&mut fds, timeout).unwrap_or(0) > 0
}

/// Descriptors from 3 up that this process was given.
pub(crate) fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let listed: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd > 2)
        .collect();
    // The descriptor of this very listing is closed by now.
    listed
        .into_iter()
        .filter(|fd| std::fs::exists(format!("/proc/self/fd/{fd}")).unwrap_or(false))
        .collect()
}

/// Closes descriptors that the child has its own copies of, and leaves the working directory: a
/// launcher that kept them would keep pipes from ending and mounts from being unmounted. Standard
/// input and output, which it does not use, become `/dev/null`; standard error is for its log.
pub(crate) fn let_go(inherited: &[RawFd]) {
    for &fd in inherited {
        let _ = nix::unistd::close(fd);
    }
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
    }
    let _ = std::env::set_current_dir("/");
}
