//! `/proc/self/timens_offsets`: how far the clocks of a time namespace are from the machine's
//! (time_namespaces(7), kernel `kernel/time/namespace.c`).
//!
//! It must never be taken for 0 where it cannot be read: start times of one process would differ
//! between two readers.

use super::{Malformed, decimal, words};

const WHAT: &str = "/proc/self/timens_offsets";

/// Returns the offset of the boot clock in nanoseconds.
pub fn boottime(bytes: &[u8]) -> Result<i64, Malformed> {
    let line = bytes.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"boottime"));
    let offset = line.and_then(|line| {
        let mut numbers = words(line);
        let (seconds, nanos): (i64, i64) = (decimal(numbers.next()?)?, decimal(numbers.next()?)?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    });
    offset.ok_or_else(|| Malformed::quoting(WHAT, "no offset of the boot clock", bytes))
}

/// More ticks than any machine has run for. A clock that is set back shows what began before its
/// own beginning so: as a negative number without its sign, and rounded.
const IMPOSSIBLE: u64 = 1_000_000_000_000;

/// Returns a time of a shifted clock on the machine's own, in ticks of which a second has so many;
/// `None` where the kernel has rounded it: it lies before the beginning of that clock, or the
/// offset is no whole number of ticks.
#[must_use]
pub fn on_machine_clock(ticks: u64, offset_nanos: i64, ticks_a_second: u64) -> Option<u64> {
    let tick = 1_000_000_000_i64.checked_div(i64::try_from(ticks_a_second).ok()?)?;
    if offset_nanos.checked_rem(tick)? != 0 || ticks > IMPOSSIBLE {
        return None;
    }
    ticks.checked_add_signed(offset_nanos.checked_div(tick)?.checked_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"monotonic      864000         0\nboottime         -500 500000000\n";

    #[test]
    fn the_offset_of_the_boot_clock_is_found() {
        assert_eq!(boottime(FILE), Ok(-499_500_000_000));
        assert_eq!(boottime(b"boottime 5000 0\n"), Ok(5_000_000_000_000));
        for bad in [&b""[..], b"monotonic 1 2\n", b"boottime 1\n", b"boottime x 0\n"] {
            assert!(boottime(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_shifted_time_is_given_back_on_the_machines_clock() {
        assert_eq!(on_machine_clock(700, 0, 100), Some(700));
        assert_eq!(on_machine_clock(700, 5_000_000_000, 100), Some(200));
        assert_eq!(on_machine_clock(700, -5_000_000_000, 100), Some(1200));
        assert_eq!(on_machine_clock(700, 5_000_000_001, 100), None, "the kernel has rounded");
        assert_eq!(on_machine_clock(1, 5_000_000_000, 100), None, "before the boot");
        assert_eq!(on_machine_clock(1, 0, 0), None);
        // Began 3 s after the boot, on a clock that is 5 s behind.
        let shown = (3_000_000_000_u64.wrapping_sub(5_000_000_000)) / 10_000_000;
        assert_eq!(on_machine_clock(shown, -5_000_000_000, 100), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| drop(boottime(bytes)));
    }
}
