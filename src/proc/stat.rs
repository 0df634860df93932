//! `/proc/<pid>/stat`: who a process is (proc_pid_stat(5), kernel `fs/proc/array.c`).
//!
//! It must never be split at blanks from the left: the second field is the process's own choice
//! and may hold blanks, newlines and parentheses.

use super::{Malformed, decimal, words};

const WHAT: &str = "/proc/<pid>/stat";

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The identity of a process or thread, and its place among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process id, in the PID namespace of the proc mount (field 1).
    pub pid: i32,
    /// The name, without its parentheses; any bytes, chosen by the process (field 2).
    pub comm: Vec<u8>,
    /// One letter: R S D T t Z X I (field 3). `Z` alone is not death, see `threads`.
    pub state: u8,
    /// The parent's pid; 0 where the parent is not visible (field 4).
    pub ppid: i32,
    /// Process group (field 5).
    pub pgrp: i32,
    /// Session (field 6).
    pub session: i32,
    /// The kernel's `PF_` bits (field 9).
    pub flags: u64,
    /// Threads of the process; above 1 with state `Z`: only the first thread has ended (field 20).
    pub threads: i64,
    /// Start, in clock ticks since boot (field 22). With the pid and the boot id an identity.
    pub start_ticks: u64,
}

impl Stat {
    /// Checks that this is a thread of the kernel's own: it has no memory map, program or
    /// directory.
    #[must_use]
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// Reads the one line of the file; fields after the 22nd are not looked at.
pub fn parse(bytes: &[u8]) -> Result<Stat, Malformed> {
    split(bytes).ok_or_else(|| Malformed::quoting(WHAT, "a field is missing or no number", bytes))
}

fn split(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    // The last one: what follows the name holds no parenthesis.
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    let pid = decimal(bytes.get(..open)?.trim_ascii())?;
    let comm = bytes.get(open + 1..close)?.to_vec();
    let mut fields = words(bytes.get(close + 1..)?);
    let &[state] = fields.next()? else {
        return None;
    };
    Some(Stat {
        pid,
        comm,
        state,
        ppid: decimal(fields.next()?)?,
        pgrp: decimal(fields.next()?)?,
        session: decimal(fields.next()?)?,
        flags: decimal(fields.nth(2)?)?,
        threads: decimal(fields.nth(10)?)?,
        start_ticks: decimal(fields.nth(1)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"3862 (h) Z 3851 3850 2198 0 -1 4227340 211 165 1 0 0 0 0 0 20 0 2 0 \
        232302 0 0 18446744073709551615 0 0 0 0 0 0 0 6 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    fn named(comm: &[u8]) -> Vec<u8> {
        let tail = LINE.strip_prefix(b"3862 (h").unwrap();
        [b"3862 (", comm, tail].concat()
    }

    #[test]
    fn each_field_comes_from_its_own_column() {
        let expected = Stat {
            pid: 3862,
            comm: b"h".to_vec(),
            state: b'Z',
            ppid: 3851,
            pgrp: 3850,
            session: 2198,
            flags: 4_227_340,
            threads: 2,
            start_ticks: 232_302,
        };
        assert_eq!(parse(LINE), Ok(expected));
    }

    #[test]
    fn a_name_may_be_anything() {
        for comm in [&b") R 1 1 ("[..], b"a\nb", b"(sd-pam)", b"", b"\xff \t)", b"))))"] {
            let stat = parse(&named(comm)).unwrap();
            assert_eq!((stat.comm.as_slice(), stat.ppid), (comm, 3851));
        }
    }

    #[test]
    fn kernel_threads_are_known_by_their_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 7 0\n";
        assert!(parse(line).unwrap().is_kernel_thread());
        assert!(!parse(LINE).unwrap().is_kernel_thread());
    }

    #[test]
    fn a_line_that_is_cut_short_is_malformed() {
        for bad in [&b""[..], b"1", b"1 (x", b"1 (x)", b"x (x) S", b"1 )x( S 1", b"1 (x) S 1 1 1"] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(LINE, |bytes| drop(parse(bytes)));
    }
}
