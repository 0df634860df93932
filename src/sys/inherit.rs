//! The properties that a program keeps across `execve` and its child does not get by `fork`: the
//! launcher's child stands where the launcher's program would stand without it, so it is given all
//! of them.

use super::{Result, check};

/// The timers that `setitimer(2)` knows: `alarm` in front of a command is the usual case.
const TIMERS: [libc::c_int; 3] = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];

const OFF: libc::itimerval = libc::itimerval {
    it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
    it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
};

/// The properties that this process was executed with.
#[derive(Clone, Copy)]
pub struct Kept {
    timers: [libc::itimerval; 3],
    is_subreaper: bool,
    /// SIGKILL at the parent's death: the one signal that cannot be passed on.
    is_killed_with_parent: bool,
}

impl Kept {
    /// Asks for it; before this process becomes a subreaper itself.
    #[must_use]
    pub fn look() -> Self {
        let mut timers = [OFF; 3];
        for (which, timer) in TIMERS.into_iter().zip(&mut timers) {
            // SAFETY: getitimer writes one struct itimerval into timer.
            unsafe { libc::getitimer(which as _, timer) };
        }
        let (mut subreaper, mut signal) = (0_i32, 0_i32);
        // SAFETY: both calls write one int each.
        unsafe {
            libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper, 0, 0, 0);
            libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0);
        }
        Self {
            timers,
            is_subreaper: subreaper != 0,
            is_killed_with_parent: signal == libc::SIGKILL,
        }
    }

    /// Gives it to this process, the child; async-signal-safe.
    pub(super) fn give(&self) {
        for (which, timer) in self.armed() {
            // SAFETY: setitimer reads one struct itimerval.
            unsafe { libc::setitimer(which as _, timer, std::ptr::null_mut()) };
        }
        // SAFETY: these calls of prctl take numbers and touch no memory.
        unsafe {
            if self.is_subreaper {
                libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_usize, 0, 0, 0);
            }
            if self.is_killed_with_parent {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize, 0, 0, 0);
            }
        }
    }

    /// Stops the timers in this process, the parent.
    pub(super) fn let_go(&self) {
        for (which, _) in self.armed() {
            // SAFETY: setitimer reads one struct itimerval.
            unsafe { libc::setitimer(which as _, &OFF, std::ptr::null_mut()) };
        }
    }

    fn armed(&self) -> impl Iterator<Item = (libc::c_int, &libc::itimerval)> {
        let is_armed =
            |timer: &libc::itimerval| timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0;
        TIMERS.into_iter().zip(&self.timers).filter(move |(_, timer)| is_armed(timer))
    }
}

/// The inode of this process's descriptor (`pidfd_open(2)`): unlike a pid it is never given out
/// again within one boot, and from Linux 6.9 on it tells processes apart.
///
/// # Errors
/// `ENOSYS` before 5.3.
pub(super) fn own_pidfd_inode() -> Result<u64> {
    // SAFETY: stat is written by fstat before it is read, the descriptor is closed once; no call
    // allocates.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0))? as libc::c_int;
        let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
        let done = check(libc::fstat(fd, stat.as_mut_ptr()).into());
        libc::close(fd);
        done.map(|_| stat.assume_init().st_ino)
    }
}
