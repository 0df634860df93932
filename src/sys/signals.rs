//! Signals by number, real-time ones included, for a process that reads them from a descriptor.
//!
//! nix names 31 signals only; the launcher has to pass on all of them. No handler is ever
//! installed: every signal is blocked and read from a signalfd, so that nothing runs at a bad
//! moment, and a child forked meanwhile has no handler of ours.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{Result, check};

/// A set of signals (`sigset_t`).
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// `si_code` (`sigaction(2)`): `SI_KERNEL` where a terminal or the kernel sent it.
    pub code: i32,
    /// Process that sent it, 0 where the kernel did.
    pub sender: u32,
}

impl Arrived {
    /// Whether the kernel itself sent it: a terminal's ^C goes to the whole foreground group.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.code == libc::SI_KERNEL
    }
}

/// Blocks every signal that can be blocked, and gives back the mask that was in force.
///
/// # Errors
/// What `sigprocmask` says.
pub fn block_all() -> Result<Mask> {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both point to one sigset_t each; sigfillset fills the first before it is read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        let done = libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        check(done.into())?;
        Ok(Mask(before.assume_init()))
    }
}

/// The mask of blocked signals.
///
/// # Errors
/// What `sigprocmask` says.
pub fn mask() -> Result<Mask> {
    let mut now = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a null new mask changes nothing; the present one is written into now.
    unsafe {
        let done = libc::sigprocmask(libc::SIG_SETMASK, std::ptr::null(), now.as_mut_ptr());
        check(done.into())?;
        Ok(Mask(now.assume_init()))
    }
}

/// Sets the mask of blocked signals.
pub fn set_mask(mask: &Mask) {
    // SAFETY: the pointer is to an initialised sigset_t; the call cannot fail with SIG_SETMASK.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask.0, std::ptr::null_mut()) };
}

/// Whether a signal is ignored at present.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; the old one is written into action.
    let done = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed before, so it is initialised even where the call failed.
    done == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Sets a signal to its default action, or to ignored.
pub fn dispose(signal: i32, ignore: bool) {
    // SAFETY: SIG_IGN and SIG_DFL install no code.
    unsafe { libc::signal(signal, if ignore { libc::SIG_IGN } else { libc::SIG_DFL }) };
}

/// Sends a signal to a process (`kill(2)`).
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn send(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: kill touches no memory of this process.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Whether there is a process of this pid, or a zombie (`kill(2)` with signal 0).
#[must_use]
pub fn exists(pid: i32) -> bool {
    pid > 0 && send(pid, 0) != Err(Errno::ESRCH)
}

/// Ends this process by a signal's default action, if that action ends processes.
///
/// Returns where it does not (as PID 1 of a PID namespace, `pid_namespaces(7)`).
pub fn die_of(signal: i32) {
    dispose(signal, false);
    let mut only = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: only is one sigset_t, emptied before use; raise and sigprocmask touch nothing else.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::raise(signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, only.as_ptr(), std::ptr::null_mut());
    }
}

/// Every blocked signal that arrives, readable from a descriptor (`signalfd(2)`).
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Opens it for all signals; call [`block_all`] first.
    ///
    /// # Errors
    /// What `signalfd` says.
    pub fn open() -> Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: all is one sigset_t, filled before signalfd reads it.
        let fd = check(unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::signalfd(-1, all.as_ptr(), flags).into()
        })?;
        let fd = i32::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel has just given this descriptor to us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next signal, `None` where none is waiting.
    ///
    /// # Errors
    /// What `read` says.
    pub fn take(&self) -> Result<Option<Arrived>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: info has room for the size that is named.
        let got = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        match check(got as libc::c_long) {
            Err(Errno::EAGAIN | Errno::EINTR) | Ok(0) => return Ok(None),
            other => other?,
        };
        // SAFETY: a signalfd gives whole structures, and it was zeroed before.
        let info = unsafe { info.assume_init() };
        let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(Some(Arrived { signal, code: info.ssi_code, sender: info.ssi_pid }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
