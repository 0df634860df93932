//! A process that does not descend from the one that starts it: forked twice, and the one between
//! is reaped.

use nix::errno::Errno;

use super::process::fork_for;
use super::{Result, check};

/// Runs `body` in a process that is no child of this one, but of whoever adopts orphans; it ends
/// with the status that `body` gives. This process is left without a child of ours, and without a
/// SIGCHLD: one that is blocked would stay pending, and reach the program that this process
/// executes next.
///
/// What `body` holds is dropped here. Only for a process with one thread.
///
/// # Errors
/// What `clone` and `fork` say.
pub fn fork_apart(body: impl FnOnce() -> i32) -> Result<()> {
    // SAFETY: no flags, no stack: a fork(2) whose child has no exit signal (clone(2)). That child
    // has one thread, forks, and ends.
    let middle = check(unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) })?;
    if middle == 0 {
        let status = match fork_for(body) {
            Ok(_) => 0,
            Err(errno) => errno as i32,
        };
        // SAFETY: _exit does not return and touches no memory.
        unsafe { libc::_exit(status) };
    }
    let middle = i32::try_from(middle).map_err(|_| Errno::EOVERFLOW)?;
    let mut status = 0;
    loop {
        // SAFETY: status has room for one int. A child without exit signal is waited for so.
        match check(unsafe { libc::waitpid(middle, &raw mut status, libc::__WALL) }.into()) {
            Err(Errno::EINTR) => {}
            other => {
                other?;
                break;
            }
        }
    }
    match libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(errno)),
        None => Err(Errno::ECHILD),
    }
}

/// Checks that orphans below this process become its children (`PR_GET_CHILD_SUBREAPER`), as they
/// do for PID 1 of a PID namespace.
#[must_use]
pub fn adopts_orphans() -> bool {
    let mut is_subreaper: libc::c_int = 0;
    // SAFETY: PR_GET_CHILD_SUBREAPER writes one int.
    let done = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut is_subreaper, 0, 0, 0) };
    std::process::id() == 1 || (done == 0 && is_subreaper != 0)
}
