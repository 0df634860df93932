//! The kernel's limits of this IPC namespace, and the machine's memory.

use std::io;

use super::{SMALL, at, one, whole};
use crate::proc::limits::{self, SemLimits};

/// A file of `/proc/sys/kernel` that holds one number: `shmmni`, `shmall`, `shmmax`, `msgmni`...
///
/// The kernel gives the limits of the reader's own IPC namespace.
pub fn kernel_number(name: &str) -> io::Result<u64> {
    let path = format!("/proc/sys/kernel/{name}");
    let bytes = whole(&path, SMALL).map_err(|error| at(&path, error))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{path}: no number"));
    limits::number(&bytes).ok_or_else(malformed)
}

/// `/proc/sys/kernel/sem`.
pub fn sem_limits() -> io::Result<SemLimits> {
    one("/proc/sys/kernel/sem", limits::sem)
}

/// `/proc/meminfo`, whole.
pub fn meminfo() -> io::Result<Vec<u8>> {
    whole("/proc/meminfo", SMALL).map_err(|error| at("/proc/meminfo", error))
}
