//! The boot clock: start times as the machine has them, whatever time namespace reads them.

use std::io;
use std::sync::OnceLock;

use super::{SMALL, at, malformed, seen, whole};
use crate::proc::{Seen, timens};

/// Returns how far this process's boot clock is from the machine's, in nanoseconds.
///
/// A process stays in its time namespace, whose offsets are fixed once somebody is in it; the file
/// tells those of the namespace that its children will be in, which may be another one.
pub fn boot_offset() -> io::Result<i64> {
    static FOUND: OnceLock<i64> = OnceLock::new();
    if let Some(&found) = FOUND.get() {
        return Ok(found);
    }
    let path = "/proc/self/timens_offsets";
    let offset = match seen(path, whole(path, SMALL))? {
        Seen::Here(bytes) => timens::boottime(&bytes).map_err(malformed)?,
        // Before Linux 5.6, or built without time namespaces.
        Seen::Gone => 0,
        Seen::Denied => return Err(at(path, io::ErrorKind::PermissionDenied.into())),
    };
    let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}"));
    if offset != 0 && link("time")? != link("time_for_children")? {
        let why = "this process is in another time namespace than its children will be";
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{path}: {why}")));
    }
    Ok(*FOUND.get_or_init(|| offset))
}

/// Returns a time that the kernel has shown this process in clock ticks, as it is on the machine's
/// own boot clock.
pub fn on_machine_clock(ticks: u64) -> io::Result<u64> {
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "a time namespace's odd offset");
    timens::on_machine_clock(ticks, boot_offset()?, ticks_a_second()).ok_or_else(odd)
}

/// Clock ticks a second (`sysconf(3)`, `_SC_CLK_TCK`).
#[must_use]
pub fn ticks_a_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100)
}
