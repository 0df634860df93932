//! `/proc/locks`: who has which file locked (proc_locks(5), kernel `fs/locks.c locks_show`).
//!
//! It must never be taken for complete: holders in another PID namespace are not shown, and some
//! file systems give locks another device than `stat` does.

use super::{decimal, unsigned, words};

/// A lock of `flock(2)` that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flock {
    /// The process that took it; whoever shares its open file holds it too.
    pub pid: i32,
    /// Major number of the file's device.
    pub dev_major: u32,
    /// Minor number of the file's device.
    pub dev_minor: u32,
    /// Inode number.
    pub inode: u64,
}

/// The locks of `flock(2)` that are held. Lines that do not parse are left out.
#[must_use]
pub fn flocks(bytes: &[u8]) -> Vec<Flock> {
    bytes.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// `1: FLOCK  ADVISORY  WRITE 1234 08:01:567 0 EOF`; whoever waits has `->` as its second word.
fn line(line: &[u8]) -> Option<Flock> {
    let mut words = words(line).skip(1);
    if words.next()? != b"FLOCK" {
        return None;
    }
    let pid = decimal(words.nth(2)?)?;
    let mut file = words.next()?.split(|&byte| byte == b':');
    Some(Flock {
        pid,
        dev_major: unsigned(file.next()?, 16)?.try_into().ok()?,
        dev_minor: unsigned(file.next()?, 16)?.try_into().ok()?,
        inode: decimal(file.next()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\
1: POSIX  ADVISORY  WRITE 568 00:2f:32388 0 EOF
2: FLOCK  ADVISORY  WRITE 771 103:0a:15207 0 EOF
2: -> FLOCK  ADVISORY  WRITE 915 103:0a:15207 0 EOF
3: OFDLCK ADVISORY  READ -1 00:06:1028 0 EOF
";

    #[test]
    fn only_a_lock_that_is_held_counts() {
        let expected = Flock { pid: 771, dev_major: 0x103, dev_minor: 10, inode: 15207 };
        assert_eq!(flocks(FILE), [expected]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| drop(flocks(bytes)));
    }
}
