//! `/proc/<pid>/task/<tid>/syscall`: what a thread is blocked in (proc_pid_syscall(5), kernel
//! `fs/proc/base.c proc_pid_syscall`).
//!
//! It must never name a set or queue for a call that merely has the same first argument.

use super::{decimal, unsigned, words};

/// The set or queue that a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// A semaphore set, by id.
    Set(i32),
    /// A message queue, by id.
    Queue(i32),
}

/// The set or queue that a thread is blocked on; `None` where it runs, or waits for anything else.
#[must_use]
pub fn waits_for(bytes: &[u8]) -> Option<WaitsFor> {
    let mut words = words(bytes);
    let call: i64 = decimal(words.next()?)?;
    let first = unsigned(words.next()?.strip_prefix(b"0x")?, 16)?;
    // An id is an int: the upper half of the register says nothing.
    let id = i32::try_from(first & u64::from(u32::MAX)).ok()?;
    use nix::libc;
    match call {
        libc::SYS_semop | libc::SYS_semtimedop => Some(WaitsFor::Set(id)),
        libc::SYS_msgsnd | libc::SYS_msgrcv => Some(WaitsFor::Queue(id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_call_names_the_set_or_queue() {
        let line = |call: i64, id: &str| {
            let text = format!("{call} {id} 0x7ffd8 0x1 0x0 0x0 0x7f 0x7ffd8 0x7f9\n");
            waits_for(text.as_bytes())
        };
        assert_eq!(line(nix::libc::SYS_semop, "0x2"), Some(WaitsFor::Set(2)));
        assert_eq!(line(nix::libc::SYS_semtimedop, "0xffffffff00000000"), Some(WaitsFor::Set(0)));
        assert_eq!(line(nix::libc::SYS_msgrcv, "0x8001"), Some(WaitsFor::Queue(32769)));
        assert_eq!(line(nix::libc::SYS_read, "0x2"), None);
        assert_eq!(line(nix::libc::SYS_semop, "0xffffffff"), None);
        assert_eq!(waits_for(b"running\n"), None);
        assert_eq!(waits_for(b"-1 0x7ffd8 0x7f9\n"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = b"65 0x2 0x7ffd8 0x1 0x0 0x0 0x7f 0x7ffd8 0x7f9\n";
        crate::proc::tests::mutate(good, |bytes| {
            let _ = waits_for(bytes);
        });
    }
}
