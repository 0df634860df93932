//! From the bytes of a ledger to what it says: up to the first line that does not check, which is
//! told and never guessed at. Pure.

use super::beginning::{self, Beginning};
use super::book::Book;
use super::line;

/// The end of the bytes of a ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail {
    /// With a whole line.
    Clean,
    /// With a line that was cut short: dropped.
    Torn,
    /// A line does not check.
    Damaged {
        /// Its number, from 1.
        line: u64,
        /// The fault.
        why: String,
    },
    /// Written by a newer version.
    Newer(u64),
    /// It does not begin as a ledger: somebody's file, never to be moved, replaced or written.
    NotALedger,
}

impl Book {
    /// Reads the bytes of a ledger; gives back what it says up to the first line that does not
    /// check, the length of that part in bytes, and how it ended.
    #[must_use]
    pub fn replay(bytes: &[u8]) -> (Self, usize, Tail) {
        match beginning::of(bytes) {
            Beginning::Ledger | Beginning::NotYet => {}
            Beginning::Newer(version) => return (Self::default(), 0, Tail::Newer(version)),
            Beginning::NoLedger => return (Self::default(), 0, Tail::NotALedger),
        }
        let mut book = Self::default();
        let mut good = 0;
        for (number, part) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
            let Some(text) = part.strip_suffix(b"\n") else {
                return (book, good, Tail::Torn);
            };
            let entry = line::decode(text).map_err(|bad| bad.to_string());
            let applied = entry.and_then(|e| book.apply(&e).map_err(|illegal| illegal.to_string()));
            if let Err(why) = applied {
                return (book, good, Tail::Damaged { line: number, why });
            }
            good += part.len();
        }
        (book, good, Tail::Clean)
    }
}
