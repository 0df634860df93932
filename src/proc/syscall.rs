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
pub(crate) fn waits_for(bytes: &[u8]) -> Option<WaitsFor> {
    let mut words = words(bytes);
    let call: i64 = decimal(words.next()?)?;
    let mut argument = || unsigned(words.next()?.strip_prefix(b"0x")?, 16);
    let mut id = argument()?;
    use nix::libc;
    let kind: fn(i32) -> WaitsFor = match call {
        libc::SYS_semop | libc::SYS_semtimedop => WaitsFor::Set,
        libc::SYS_msgsnd | libc::SYS_msgrcv => WaitsFor::Queue,
        narrow::IPC => {
            // The upper half is the version of the call (`ipc/syscall.c`).
            let kind = narrow::of_ipc(id & 0xffff)?;
            id = argument()?;
            kind
        }
        call if narrow::SETS.contains(&call) => WaitsFor::Set,
        call if narrow::QUEUES.contains(&call) => WaitsFor::Queue,
        _ => return None,
    };
    // An id is an int: the upper half of the register says nothing.
    i32::try_from(id & u64::from(u32::MAX)).ok().map(kind)
}

/// The numbers that the calls of 32-bit programs have, which are shown as they are. Where a number
/// is another call's of a 64-bit program, that is one that does not block.
mod narrow {
    use super::WaitsFor;

    /// `ipc(2)`, which is all of these calls.
    pub(super) const IPC: i64 = 117;
    /// `semtimedop_time64`; `semop` and `semtimedop` of x32.
    #[cfg(target_arch = "x86_64")]
    pub(super) const SETS: [i64; 3] = [420, X32 | 65, X32 | 220];
    /// `msgsnd`, `msgrcv`; the same of x32.
    #[cfg(target_arch = "x86_64")]
    pub(super) const QUEUES: [i64; 4] = [400, 401, X32 | 69, X32 | 70];
    /// `__X32_SYSCALL_BIT`.
    #[cfg(target_arch = "x86_64")]
    const X32: i64 = 0x4000_0000;

    /// `semop`, `semtimedop`, `semtimedop_time64`.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) const SETS: [i64; 3] = [298, 312, 420];
    /// `msgsnd`, `msgrcv`.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) const QUEUES: [i64; 2] = [301, 302];

    /// Which of the calls it is (`linux/ipc.h`).
    pub(super) fn of_ipc(call: u64) -> Option<fn(i32) -> WaitsFor> {
        match call {
            1 | 4 => Some(WaitsFor::Set),
            11 | 12 => Some(WaitsFor::Queue),
            _ => None,
        }
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
    fn a_blocked_call_of_a_32_bit_program_does_so_too() {
        let line = |call: i64, first: &str, second: &str| {
            waits_for(format!("{call} {first} {second} 0x64 0x0 0x0 0x0 0x7f 0x7ff\n").as_bytes())
        };
        let (set, queue) = (Some(WaitsFor::Set(7)), Some(WaitsFor::Queue(7)));
        for (call, expected) in [(1, set), (4, set), (11, queue), (12, queue), (23, None)] {
            assert_eq!(line(narrow::IPC, &format!("0x1{call:04x}"), "0x7"), expected, "{call}");
        }
        assert_eq!(line(420, "0x7", "0x406ab000"), set);
        let queues = if cfg!(target_arch = "x86_64") { [400, 401] } else { [301, 302] };
        assert_eq!(queues.map(|call| line(call, "0x7", "0x406ab000")), [queue, queue]);
        assert_eq!(line(402, "0x7", "0xb"), None, "msgctl");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = b"65 0x2 0x7ffd8 0x1 0x0 0x0 0x7f 0x7ffd8 0x7f9\n";
        crate::proc::tests::mutate(good, |bytes| {
            let _ = waits_for(bytes);
        });
    }
}
