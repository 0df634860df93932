//! Signals by number, all 64 of them, for a process that reads them from a descriptor.
//!
//! nix names 31 signals only; the launcher has to pass on every one. No handler is ever installed:
//! every signal is blocked and read from a signalfd, so that nothing runs at a bad moment, and a
//! child forked meanwhile has no handler of ours. Masks go to the kernel directly: glibc leaves
//! its own signals, 32 and 33, out of every mask, and they would end this process unread.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{Result, check};

/// A set of signals, one bit each, as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(u64);

impl Mask {
    /// Every signal.
    const ALL: Self = Self(u64::MAX);

    fn only(signal: i32) -> Self {
        let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit));
        Self(bit.unwrap_or(0))
    }
}

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// `si_code` (`sigaction(2)`): `SI_KERNEL` where a terminal or the kernel sent it.
    pub code: i32,
    /// Process that sent it, 0 where the kernel did.
    pub sender: u32,
    /// Real user id of the sender.
    pub uid: u32,
    /// The value that came with it, where it was sent by `sigqueue(3)`.
    pub value: u64,
}

impl Arrived {
    /// Checks that the kernel itself sent it: a terminal's ^C goes to the whole foreground group.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.code == libc::SI_KERNEL
    }
}

/// Blocks every signal that can be blocked, and gives back the mask that was in force.
///
/// # Errors
/// What `rt_sigprocmask` says.
pub fn block_all() -> Result<Mask> {
    change_mask(libc::SIG_SETMASK, Mask::ALL)
}

/// The mask of blocked signals.
///
/// # Errors
/// What `rt_sigprocmask` says.
pub fn mask() -> Result<Mask> {
    change_mask(libc::SIG_BLOCK, Mask(0))
}

/// Sets the mask of blocked signals.
pub(crate) fn set_mask(mask: &Mask) {
    // It cannot fail with a mask at a good address.
    let _ = change_mask(libc::SIG_SETMASK, *mask);
}

/// `rt_sigprocmask(2)`; the mask that was in force.
fn change_mask(how: libc::c_int, mask: Mask) -> Result<Mask> {
    let mut before = 0_u64;
    let size = size_of::<u64>();
    let (new, old) = (&raw const mask.0, &raw mut before);
    // SAFETY: both point to one 64-bit mask each, which is the size that is named.
    let done = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, new, old, size) };
    check(done).map(|_| Mask(before))
}

/// Checks that a signal is ignored at present.
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

/// Sends a signal on as it arrived: what `sigqueue(3)` sent keeps its value and its sender.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn pass_on(pid: i32, arrived: &Arrived) -> Result<()> {
    if arrived.code == libc::SI_QUEUE && queue(pid, arrived).is_ok() {
        return Ok(());
    }
    // Also where the receiver's queue is full: `kill` of a standard signal still gets through.
    send(pid, arrived.signal)
}

/// `rt_sigqueueinfo(2)`.
fn queue(pid: i32, arrived: &Arrived) -> Result<()> {
    /// The content of a `siginfo_t` for a queued signal on 64-bit Linux, and the rest of its 128
    /// bytes.
    #[repr(C)]
    struct Queued {
        signal: i32,
        errno: i32,
        code: i32,
        gap: i32,
        sender: u32,
        uid: u32,
        value: u64,
        rest: [u64; 12],
    }
    const { assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>()) };
    let Arrived { signal, code, sender, uid, value } = *arrived;
    let info = Queued { signal, errno: 0, code, gap: 0, sender, uid, value, rest: [0; 12] };
    // SAFETY: info is as large as a siginfo_t and initialised; the kernel only reads it.
    check(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) })
        .map(drop)
}

/// Checks for a process of this pid, or a zombie (`kill(2)` with signal 0).
#[must_use]
pub fn exists(pid: i32) -> bool {
    pid > 0 && send(pid, 0) != Err(Errno::ESRCH)
}

/// Ends this process by a signal's default action, if that action ends processes.
///
/// Returns where it does not (as PID 1 of a PID namespace, `pid_namespaces(7)`).
pub fn die_of(signal: i32) {
    take_default_action(signal);
}

/// Stops this process by a stop signal's default action, until it is continued.
///
/// Returns at once where that action is not taken: in an orphaned process group (`SIGSTOP`
/// excepted), or as PID 1.
pub fn stop_by(signal: i32) {
    take_default_action(signal);
}

/// Sends this process a signal and lets only that one through. The calls are the kernel's own:
/// glibc's refuse its signals 32 and 33.
fn take_default_action(signal: i32) {
    let default = [0_u64; 4];
    let null = std::ptr::null_mut::<u64>();
    let (action, size) = (default.as_ptr(), size_of::<u64>());
    // SAFETY: a kernel_sigaction of zeroes, at most 32 bytes long, is SIG_DFL without flags.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, null, size) };
    let _ = i32::try_from(std::process::id()).map(|own| send(own, signal));
    if let Ok(before) = change_mask(libc::SIG_UNBLOCK, Mask::only(signal)) {
        set_mask(&before);
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
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        let mask = Mask::ALL;
        let (all, size) = (&raw const mask.0, size_of::<u64>());
        // SAFETY: all points to one 64-bit mask, which is the size that is named.
        let fd = check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, all, size, flags) })?;
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
        let (code, sender) = (info.ssi_code, info.ssi_pid);
        Ok(Some(Arrived { signal, code, sender, uid: info.ssi_uid, value: info.ssi_ptr }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
