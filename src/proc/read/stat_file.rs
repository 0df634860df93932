//! `/proc/<pid>/stat`, and that of a thread.

use std::io;

use super::{malformed, record, seen};
use crate::proc::Seen;
use crate::proc::stat::{self, Stat};

/// `/proc/<pid>/stat`. The kernel answers for a thread's id too, though it does not list it.
pub fn stat(pid: i32) -> io::Result<Seen<Stat>> {
    stat_at(&format!("/proc/{pid}/stat"))
}

pub(super) fn stat_at(path: &str) -> io::Result<Seen<Stat>> {
    match seen(path, record(path))? {
        // A process that ends between open and read may leave nothing.
        Seen::Here(bytes) if bytes.is_empty() => Ok(Seen::Gone),
        Seen::Here(bytes) => stat::parse(&bytes).map(Seen::Here).map_err(malformed),
        Seen::Gone => Ok(Seen::Gone),
        Seen::Denied => Ok(Seen::Denied),
    }
}
