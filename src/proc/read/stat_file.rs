//! `/proc/<pid>/stat`, and that of a thread.

use std::io;

use super::clock::on_machine_clock;
use super::{malformed, record, seen};
use crate::proc::Seen;
use crate::proc::stat::{self, Stat};
use crate::sys::signals::exists;

/// `/proc/<pid>/stat`, with the start time on the machine's own boot clock. The kernel answers for
/// a thread's id too, though it does not list it. `Gone` only where the kernel knows no such pid.
pub fn stat(pid: i32) -> io::Result<Seen<Stat>> {
    let path = format!("/proc/{pid}/stat");
    match stat_at(&path)? {
        Seen::Here(mut stat) => {
            stat.start_ticks = on_machine_clock(stat.start_ticks)?;
            Ok(Seen::Here(stat))
        }
        Seen::Gone if exists(pid) => Ok(Seen::Denied),
        other => Ok(other),
    }
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
