//! The kernel's text tables: pure parsers, and in `read` the one place that opens the files.
//!
//! It must never decide anything, never write, and never take "could not look" for "is not
//! there": `Seen` keeps the two apart, and a parser answers any bytes without a panic.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod limits;
pub mod locks;
pub mod maps;
pub mod mountinfo;
pub mod read;
pub mod stat;
pub mod status;
pub mod syscall;
pub mod system;
pub mod sysvipc;
pub mod timens;

/// The result of a look at something that may vanish or be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Seen<T> {
    /// It was there and could be read.
    Here(T),
    /// It is not there (ENOENT, ESRCH): the process ended, or the kernel has no such file.
    Gone,
    /// It could not be looked at (EACCES, EPERM): unknown, to be counted as in use.
    Denied,
}

impl<T> Seen<T> {
    /// The value, with "gone" and "denied" folded together: only where both mean the same.
    #[must_use]
    pub fn here(self) -> Option<T> {
        match self {
            Seen::Here(value) => Some(value),
            Seen::Gone | Seen::Denied => None,
        }
    }

    /// Applies `f` to what was seen.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Seen::Here(value) => Seen::Here(f(value)),
            Seen::Gone => Seen::Gone,
            Seen::Denied => Seen::Denied,
        }
    }
}

/// A kernel table that does not read as its documentation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The table, as a reader knows it: `/proc/<pid>/stat`.
    pub what: &'static str,
    /// The fault, safe for a terminal.
    pub detail: String,
}

impl Malformed {
    /// Quotes the start of `bytes`, escaped: process names and paths are foreign text.
    fn quoting(what: &'static str, problem: &str, bytes: &[u8]) -> Malformed {
        let start = bytes.get(..80).unwrap_or(bytes);
        Malformed { what, detail: format!("{problem} in \"{}\"", start.escape_ascii()) }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in the form that the kernel documents: {}", self.what, self.detail)
    }
}

impl std::error::Error for Malformed {}

/// A decimal number that fills `bytes`. No leading `+`: the kernel prints none.
fn decimal<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    if bytes.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// An unsigned number in base `radix` that fills `bytes`.
fn unsigned(bytes: &[u8], radix: u32) -> Option<u64> {
    if bytes.first() == Some(&b'+') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(bytes).ok()?, radix).ok()
}

/// The words of a line, without the empty ones.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `parse` 20,000 mutations of `good`: flipped, cut, doubled, spliced. Fixed seed.
    pub(super) fn mutate(good: &[u8], mut parse: impl FnMut(&[u8])) {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 1).unwrap() % below.max(1)
        };
        let odd = b"\0\n ()-:+\\\xff\x80 9fF/";
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=next(6) {
                let at = next(bytes.len());
                match next(6) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, odd[next(odd.len())]),
                    2 if !bytes.is_empty() => drop(bytes.remove(at)),
                    3 => bytes.extend_from_within(at..),
                    4 if !bytes.is_empty() => bytes[at] = next(256) as u8,
                    _ if !bytes.is_empty() => bytes[at] = odd[next(odd.len())],
                    _ => {}
                }
                bytes.truncate(4096);
            }
            parse(&bytes);
        }
    }

    #[test]
    fn numbers_are_taken_only_as_the_kernel_prints_them() {
        assert_eq!(decimal::<i32>(b"-559038737"), Some(-559_038_737));
        assert_eq!(decimal::<u32>(b"4294967294"), Some(4_294_967_294));
        assert_eq!(decimal::<u32>(b"4294967296"), None);
        assert_eq!(decimal::<u32>(b"+1"), None);
        assert_eq!(decimal::<u32>(b""), None);
        assert_eq!(unsigned(b"7ffb9272e000", 16), Some(0x7ffb_9272_e000));
        assert_eq!(unsigned(b"1ffffffffffffffff", 16), None);
        assert_eq!(unsigned(b"\xff", 16), None);
    }

    #[test]
    fn a_complaint_never_carries_raw_terminal_bytes() {
        let error = Malformed::quoting("/proc/<pid>/stat", "no name", b"1 \x1b[31m\n");
        assert!(error.to_string().ends_with("no name in \"1 \\x1b[31m\\n\""));
    }

    #[test]
    fn only_what_is_here_is_mapped() {
        assert_eq!(Seen::Here(2).map(|n| n + 1), Seen::Here(3));
        assert_eq!(Seen::<i32>::Denied.map(|n| n + 1), Seen::Denied);
        assert_eq!(Seen::<i32>::Gone.here(), None);
    }
}
