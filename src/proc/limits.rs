//! Limits of System V IPC and what of the memory is huge pages: numbers on a line.
//!
//! It must never make up a value: what does not read as documented is `None`.

use super::{decimal, words};

/// The limits of semaphores: `/proc/sys/kernel/sem` (proc_sys_kernel(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SemLimits {
    /// Semaphores of one set.
    pub semmsl: u64,
    /// Semaphores of all sets.
    pub semmns: u64,
    /// Operations of one `semop`.
    pub semopm: u64,
    /// Sets.
    pub semmni: u64,
}

/// A file of `/proc/sys` that holds one number.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    decimal(bytes.trim_ascii())
}

/// `/proc/sys/kernel/sem`.
#[must_use]
pub fn sem(bytes: &[u8]) -> Option<SemLimits> {
    let mut numbers = words(bytes).map(decimal::<u64>);
    let mut next = || numbers.next().flatten();
    let limits = SemLimits { semmsl: next()?, semmns: next()?, semopm: next()?, semmni: next()? };
    numbers.next().is_none().then_some(limits)
}

/// A line of `/proc/meminfo` (proc_meminfo(5)): its number, in bytes where the line says kB.
#[must_use]
pub fn meminfo(bytes: &[u8], name: &str) -> Option<u64> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let rest = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    let mut words = words(rest);
    let number: u64 = decimal(words.next()?)?;
    match words.next() {
        Some(b"kB") => number.checked_mul(1024),
        Some(_) => None,
        None => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_semaphores_are_four_numbers() {
        let limits = SemLimits { semmsl: 32000, semmns: 1_024_000_000, semopm: 500, semmni: 32000 };
        assert_eq!(sem(b"32000\t1024000000\t500\t32000\n"), Some(limits));
        for bad in [&b"1 2 3"[..], b"1 2 3 4 5", b"", b"1 2 3 -4", b"a b c d"] {
            assert_eq!(sem(bad), None);
        }
    }

    #[test]
    fn the_largest_default_fits() {
        assert_eq!(number(b"18446744073692774399\n"), Some(18_446_744_073_692_774_399));
        assert_eq!(number(b"18446744073709551616\n"), None);
        assert_eq!((number(b""), number(b"-1"), number(b"1 2")), (None, None, None));
    }

    #[test]
    fn a_line_of_meminfo_is_bytes_or_a_count() {
        let text =
            b"MemTotal:       24626748 kB\nHugePages_Total:       4\nHugepagesize: 2048 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(24_626_748 * 1024));
        assert_eq!(meminfo(text, "HugePages_Total"), Some(4));
        assert_eq!(meminfo(text, "HugePages"), None);
        assert_eq!(meminfo(b"A: 1 MB\n", "A"), None);
        assert_eq!(meminfo(b"A: 18446744073709551615 kB\n", "A"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(b"A: 12 kB\n1 2 3 4 \n", |bytes| {
            let _ = (number(bytes), sem(bytes), meminfo(bytes, "A"));
        });
    }
}
