//! Fork now, execute later: the child waits at a gate until its claim is on disk.
//!
//! Between fork and exec the child allocates nothing. It executes only when a byte came through
//! the gate; when the launcher dies first, the gate reads end-of-file and nothing runs.

mod in_place;

pub use in_place::{Heard, Waiting, between};

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::inherit::{self, Kept};
use super::signals::{self, Mask};
use super::{Result, check};

/// Decimal digits that a pid or an inode may have, and the NUL behind them.
const NUMBER_ROOM: usize = 21;

/// A number by which the environment names a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Pid,
    PidfdInode,
}

/// The program that the child is to execute, and what it gets back of what the launcher was given.
pub struct Program {
    path: CString,
    args: Vec<CString>,
    /// `NAME=value` with a NUL at the end.
    environment: Vec<Vec<u8>>,
    /// Entries of the environment that named the launcher, where the value begins, and by what.
    own_numbers: Vec<(usize, usize, Number)>,
    /// The signal mask that the launcher was started with.
    pub mask: Mask,
    /// Set where SIGPIPE was ignored at the launcher's start.
    pub ignore_sigpipe: bool,
    /// Set where SIGXFSZ was ignored at the launcher's start.
    pub ignore_sigxfsz: bool,
    /// Set where SIGCHLD was ignored at the launcher's start.
    pub ignore_sigchld: bool,
    /// The descriptors of 0 to 2 that were closed at the launcher's start.
    pub closed: [bool; 3],
}

impl Program {
    /// A program with its arguments and environment, and nothing else to restore but `mask`.
    #[must_use]
    pub fn new(path: CString, args: Vec<CString>, environment: Vec<CString>, mask: Mask) -> Self {
        let environment = environment.into_iter().map(CString::into_bytes_with_nul).collect();
        Self {
            path,
            args,
            environment,
            own_numbers: Vec::new(),
            mask,
            ignore_sigpipe: false,
            ignore_sigxfsz: false,
            ignore_sigchld: false,
            closed: [false; 3],
        }
    }

    /// Gives a variable that is in the environment another value.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        let start = [name.as_bytes(), b"="].concat();
        for entry in &mut self.environment {
            if entry.starts_with(&start) {
                *entry = [&start, value, b"\0"].concat();
            }
        }
    }

    /// Has the variables in `names` that hold this process's pid hold the child's pid.
    pub fn rewrite_pids(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.rewrite(name, std::process::id().into(), Number::Pid));
    }

    /// Has a variable that holds the inode of this process's descriptor hold the child's.
    pub fn rewrite_pidfd_inode(&mut self, name: &str) {
        let is_there = |entry: &Vec<u8>| entry.starts_with(name.as_bytes());
        if self.environment.iter().any(is_there) {
            if let Ok(own) = inherit::own_pidfd_inode() {
                self.rewrite(name, own, Number::PidfdInode);
            }
        }
    }

    fn rewrite(&mut self, name: &str, own: u64, number: Number) {
        let wanted = format!("{name}={own}\0");
        let entries = self.environment.iter_mut().enumerate();
        for (index, entry) in entries.filter(|(_, entry)| **entry == wanted.as_bytes()) {
            entry.resize(name.len() + 1 + NUMBER_ROOM, 0);
            self.own_numbers.push((index, name.len() + 1, number));
        }
    }
}

/// A child that waits at the gate.
#[derive(Debug)]
pub struct Gated {
    /// Its pid.
    pub pid: i32,
    gate: Option<File>,
    report: File,
    word: u8,
}

/// The byte through the gate: the claim is on disk.
const DURABLE: u8 = b'!';
/// The byte through the gate where the start goes on without the claim on disk.
const NOT_DURABLE: u8 = b'?';

impl Gated {
    /// Lets the child execute its program.
    ///
    /// # Errors
    /// `EPIPE` where the child has died at the gate.
    pub fn open(&mut self) -> std::io::Result<()> {
        match self.gate.take() {
            Some(mut gate) => gate.write_all(&[self.word]),
            None => Ok(()),
        }
    }

    /// Has the gate say that the claim is not on disk. A child is let through all the same.
    pub fn is_not_durable(&mut self) {
        self.word = NOT_DURABLE;
    }

    /// The launcher's end of the gate, for a helper to close its copy: the gate then opens on the
    /// launcher's death alone.
    #[must_use]
    pub fn gate(&self) -> Option<i32> {
        self.gate.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Readable (end-of-file) once the program was executed, or with the errno where it was not.
    #[must_use]
    pub fn report(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// The errno of an exec that failed; `None` where it succeeded or the child died before it.
    #[must_use]
    pub fn exec_error(&mut self) -> Option<Errno> {
        let mut bytes = [0_u8; 4];
        self.report.read_exact(&mut bytes).ok()?;
        Some(Errno::from_raw(i32::from_ne_bytes(bytes)))
    }
}

/// Forks a child that executes `program` when [`Gated::open`] is called.
///
/// # Errors
/// What `pipe2` and `fork` say.
pub fn fork(mut program: Program) -> Result<Gated> {
    let (gate_out, gate_in) = pipe2(OFlag::O_CLOEXEC)?;
    let (report_out, report_in) = pipe2(OFlag::O_CLOEXEC)?;
    let mut args: Vec<*const libc::c_char> = program.args.iter().map(|a| a.as_ptr()).collect();
    args.push(std::ptr::null());
    let values: Vec<(*mut u8, usize, Number)> = program
        .own_numbers
        .iter()
        .filter_map(|&(index, at, number)| {
            let entry = program.environment.get_mut(index)?.get_mut(at..)?;
            Some((entry.as_mut_ptr(), entry.len(), number))
        })
        .collect();
    let mut environment: Vec<*const libc::c_char> =
        program.environment.iter().map(|e| e.as_ptr().cast()).collect();
    environment.push(std::ptr::null());
    let kept = Kept::look();
    // SAFETY: the launcher has one thread; the child calls async-signal-safe functions only.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        // SAFETY: every pointer is into vectors that this function holds, each list ends with
        // null, and each value has NUMBER_ROOM writable bytes.
        unsafe {
            libc::close(gate_in.as_raw_fd());
            kept.give();
            child(&program, &args, &environment, &values, &gate_out, &report_in)
        }
    }
    kept.let_go();
    let pid = i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?;
    Ok(Gated { pid, gate: Some(gate_in.into()), report: report_out.into(), word: DURABLE })
}

/// The child's way from fork to exec; never returns.
unsafe fn child(
    program: &Program,
    args: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    own_numbers: &[(*mut u8, usize, Number)],
    gate: &OwnedFd,
    report: &OwnedFd,
) -> ! {
    signals::dispose(libc::SIGPIPE, program.ignore_sigpipe);
    signals::dispose(libc::SIGXFSZ, program.ignore_sigxfsz);
    signals::dispose(libc::SIGCHLD, program.ignore_sigchld);
    // With the inherited mask back, a signal ends the child at the gate as it would a server.
    signals::set_mask(&program.mask);
    let mut byte = 0_u8;
    // SAFETY: the descriptors are open and owned by this process; byte has room for one byte;
    // args and environment are lists that end with null, as execve(2) wants them.
    unsafe {
        loop {
            match libc::read(gate.as_raw_fd(), (&raw mut byte).cast(), 1) {
                1 => break,
                -1 if *libc::__errno_location() == libc::EINTR => {}
                _ => libc::_exit(125),
            }
        }
        for &(at, room, number) in own_numbers {
            let own = match number {
                Number::Pid => libc::getpid().unsigned_abs().into(),
                Number::PidfdInode => inherit::own_pidfd_inode().unwrap_or(0),
            };
            write_decimal(own, std::slice::from_raw_parts_mut(at, room));
        }
        let errno = (execute(program, args, environment.as_ptr()) as i32).to_ne_bytes();
        libc::write(report.as_raw_fd(), errno.as_ptr().cast(), errno.len());
        libc::_exit(125)
    }
}

/// The last step; comes back only where the program could not be executed.
///
/// # Safety
/// `args` and `environment` are lists that end with null.
unsafe fn execute(
    program: &Program,
    args: &[*const libc::c_char],
    environment: *const *const libc::c_char,
) -> Errno {
    // SAFETY: as the caller promises; the descriptors are numbers that no value here owns.
    unsafe {
        for (fd, closed) in (0..).zip(program.closed) {
            if closed {
                libc::close(fd);
            }
        }
        libc::execve(program.path.as_ptr(), args.as_ptr(), environment);
    }
    Errno::last()
}

/// Writes a number and a NUL without allocating.
fn write_decimal(number: u64, room: &mut [u8]) {
    let mut digits = [0_u8; NUMBER_ROOM];
    let mut rest = number;
    let mut count = 0;
    for digit in &mut digits {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.iter().take(count).rev();
    for (place, digit) in room.iter_mut().zip(digits.chain(std::iter::once(&0))) {
        *place = *digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_without_allocating_and_ends_with_nul() {
        let largest = "18446744073709551615\0";
        for (number, text) in [(1, "1\0"), (4_194_304, "4194304\0"), (u64::MAX, largest)] {
            let mut room = [b'x'; NUMBER_ROOM];
            write_decimal(number, &mut room);
            assert!(room.starts_with(text.as_bytes()), "{number}");
        }
    }
}
