//! Attributes of this process, and of its children, that nix does not reach.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::{Result, check};

/// The end of a child, as `waitid(2)` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called `exit` with this status.
    Exited(i32),
    /// This signal ended it; whether it left a core file.
    Signaled(i32, bool),
}

/// Returns the end of a child that has ended, without reaping it (`WNOWAIT`): its pid stays taken.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn peek(pid: i32) -> Result<Option<Ended>> {
    wait(pid, libc::WNOWAIT)
}

/// Reaps a child that has ended.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn reap(pid: i32) -> Result<Option<Ended>> {
    wait(pid, 0)
}

/// The pid of any child that has ended, without reaping it; `None` where there is none.
///
/// # Errors
/// What `waitid` says, other than that there are no children.
pub fn any_ended() -> Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: info has room for one siginfo_t.
    let done = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    match check(done.into()) {
        Err(Errno::ECHILD) => return Ok(None),
        other => other?,
    };
    // SAFETY: zeroed before and filled in by waitid; si_pid is 0 where nothing has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    Ok((pid != 0).then_some(pid))
}

fn wait(pid: i32, flags: libc::c_int) -> Result<Option<Ended>> {
    let id = libc::id_t::try_from(pid).map_err(|_| Errno::EINVAL)?;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | flags;
    // SAFETY: info has room for one siginfo_t.
    check(unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags) }.into())?;
    // SAFETY: zeroed before; waitid fills it in, or leaves si_pid 0 where nothing has ended.
    let (info, pid, status) = unsafe {
        let info = info.assume_init();
        (info, info.si_pid(), info.si_status())
    };
    Ok((pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Ended::Exited(status),
        code => Ended::Signaled(status, code == libc::CLD_DUMPED),
    }))
}

/// Makes this process the one that orphaned descendants become children of (`prctl(2)`).
///
/// # Errors
/// What `prctl` says.
pub fn become_subreaper() -> Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a number and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_usize, 0, 0, 0) }.into()).map(drop)
}

/// Asks for a signal when the parent dies (`PR_SET_PDEATHSIG`).
///
/// # Errors
/// What `prctl` says.
pub fn die_with_parent(signal: i32) -> Result<()> {
    let signal = usize::try_from(signal).map_err(|_| Errno::EINVAL)?;
    // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }.into()).map(drop)
}

/// Has nobody but root trace this process, read its memory or see its descriptors, whatever user it
/// becomes; and no core file (`PR_SET_DUMPABLE`).
///
/// # Errors
/// What `prctl` says.
pub(crate) fn forbid_looking_in() -> Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes a number and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0_usize, 0, 0, 0) }.into()).map(drop)
}

/// Sets the soft limit for core files to 0: no second core file after the server's own.
///
/// # Errors
/// What `setrlimit` says.
pub fn no_core_file() -> Result<()> {
    forbid_looking_in()?;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct rlimit into limit, setrlimit reads it.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit).into())?;
        limit.rlim_cur = 0;
        check(libc::setrlimit(libc::RLIMIT_CORE, &raw const limit).into()).map(drop)
    }
}

/// Raises the soft limit of open descriptors to the hard one. Call it after the fork: the limit of
/// a child stays as it was.
///
/// # Errors
/// What `setrlimit` says.
pub fn allow_most_descriptors() -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct rlimit into limit, setrlimit reads it.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit).into())?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit).into()).map(drop)
    }
}

/// Forks this single-threaded process; in the child runs `body` and ends with its status.
///
/// The child ends by `_exit`: no destructors, no buffered output of the parent written twice.
///
/// # Errors
/// What `fork` says.
pub fn fork_for(body: impl FnOnce() -> i32) -> Result<i32> {
    // SAFETY: the launcher has one thread, so the child may run any code (fork(2)).
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        let status = body();
        // SAFETY: _exit does not return and touches no memory.
        unsafe { libc::_exit(status) };
    }
    i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)
}

/// Gives memory that is no longer used back to the kernel (`malloc_trim(3)`).
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
