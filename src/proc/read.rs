//! The one place that reads the kernel's files: whole, bounded, and with the path in each error.
//!
//! It must never take a part for the whole: what is larger than its bound is an error or
//! `Seen::Denied`, and what cannot be looked at is never `Gone`. Two reads of one pid may be of
//! two processes; whoever joins them compares `Stat::start_ticks` before and after.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{major, minor};

use super::maps::{Device, USUAL_SYSV_DEVICE};
use super::mountinfo::{self, Mount};
use super::sysvipc::{self, ShmRow};
use super::{Malformed, Seen, system};
use crate::sys::signals::exists;

mod clock;
mod descriptors;
mod limits;
mod opened;
mod process;
mod stat_file;
mod threads;
mod waits;

pub use clock::{boot_offset, on_machine_clock, ticks_a_second};
pub use descriptors::{OpenFile, open_files, pidfds};
pub use limits::{kernel_number, meminfo, sem_limits};
pub use opened::{Open, Wanted, open_among};
pub use process::{
    FileId, auxiliary_vector, cgroup, children, cmdline, cwd, environ_var, exe, exe_path,
    namespace_inode, pids, status,
};
pub use stat_file::stat;
pub use threads::maps;
pub use waits::{flocks, new_pids, waits};

/// The bound of what is small: one process's files, single numbers. Bytes.
const SMALL: usize = 1 << 20;

/// The bound of what grows with its subject: maps, mounts, segments (32,768 make 5 MiB). Bytes.
const LARGE: usize = 64 << 20;

/// `/proc/sys/kernel/random/boot_id`.
pub fn boot_id() -> io::Result<String> {
    one("/proc/sys/kernel/random/boot_id", system::boot_id)
}

/// `/proc/self/mountinfo`.
pub fn mountinfo() -> io::Result<Vec<Mount>> {
    mounts("/proc/self/mountinfo")
}

/// The mounts of another process, seen from its own root.
pub fn mountinfo_of(pid: i32) -> io::Result<Vec<Mount>> {
    mounts(&format!("/proc/{pid}/mountinfo"))
}

fn mounts(path: &str) -> io::Result<Vec<Mount>> {
    whole(path, LARGE).map(|bytes| mountinfo::parse(&bytes)).map_err(|error| at(path, error))
}

/// All of `/proc/sysvipc/shm`; `NotFound` where the kernel has no System V IPC, or /proc is a
/// subset.
pub fn sysvipc_shm() -> io::Result<Vec<ShmRow>> {
    let path = "/proc/sysvipc/shm";
    let bytes = whole(path, LARGE).map_err(|error| at(path, error))?;
    sysvipc::parse_shm(&bytes).map_err(malformed)
}

/// The devices on which this kernel keeps System V segments: one for ordinary pages and one for
/// each size of huge pages. A memfd comes from the same internal mounts, so one of each is made
/// and dropped once; the answer holds until the next boot. Where the kernel or a filter refuses
/// memfds, only the usual device is known.
#[must_use]
pub fn sysv_devices() -> Vec<Device> {
    static FOUND: std::sync::OnceLock<Vec<Device>> = std::sync::OnceLock::new();
    FOUND.get_or_init(find_sysv_devices).clone()
}

fn find_sysv_devices() -> Vec<Device> {
    // Each size of huge pages that Linux has, 64 KiB to 16 GiB, as a power of two.
    let sizes = [16, 19, 20, 21, 23, 24, 25, 28, 29, 30, 31, 34];
    let ordinary = device_of_memfd(MFdFlags::empty()).unwrap_or(USUAL_SYSV_DEVICE);
    let huge = sizes.into_iter().filter_map(|log2: u32| {
        // MFD_HUGE_SHIFT is 26 on every architecture (memfd_create(2)).
        device_of_memfd(MFdFlags::MFD_HUGETLB | MFdFlags::from_bits_retain(log2 << 26))
    });
    std::iter::once(ordinary).chain(huge).collect()
}

fn device_of_memfd(flags: MFdFlags) -> Option<Device> {
    // MFD_NOEXEC_SEAL: since 6.3 hardened hosts refuse a memfd without it; before, it is EINVAL.
    let hardened = MFdFlags::from_bits_retain(0x8) | MFdFlags::MFD_CLOEXEC | flags;
    let fd = memfd_create("shmwarden", hardened)
        .or_else(|_| memfd_create("shmwarden", MFdFlags::MFD_CLOEXEC | flags))
        .ok()?;
    let device = File::from(fd).metadata().ok()?.dev();
    Some((major(device).try_into().ok()?, minor(device).try_into().ok()?))
}

fn one<T>(path: &'static str, parse: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<T> {
    let bytes = whole(path, SMALL).map_err(|error| at(path, error))?;
    parse(&bytes).ok_or_else(|| malformed(Malformed::quoting(path, "no value", &bytes)))
}

/// All of a file, which must not be larger than `limit` bytes.
fn whole(path: &str, limit: usize) -> io::Result<Vec<u8>> {
    match up_to(path, limit)? {
        (bytes, true) => Ok(bytes),
        (_, false) => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// All of a file that the kernel hands out in one piece where there is room for it, ending with a
/// line break (`fs/seq_file.c`, `single_open`): one read tells, and there are thousands of them.
fn record(path: &str) -> io::Result<Vec<u8>> {
    let mut chunk = [0; 4096];
    let got = File::open(path)?.read(&mut chunk)?;
    match chunk.get(..got) {
        Some(bytes) if got < chunk.len() && bytes.ends_with(b"\n") => Ok(bytes.to_vec()),
        _ => whole(path, SMALL),
    }
}

/// The first `limit` bytes of a file, and whether that is all of it. Sizes that the kernel gives
/// for these files mean nothing, so it reads until the end.
fn up_to(path: &str, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let mut chunk = [0; 4096];
    let mut bytes = Vec::new();
    loop {
        let got = match file.read(&mut chunk) {
            Ok(0) => return Ok((bytes, true)),
            Ok(got) => chunk.get(..got).unwrap_or(&chunk),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let room = limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(got.get(..room).unwrap_or(got));
        if got.len() > room {
            return Ok((bytes, false));
        }
    }
}

/// Sorts the errors that mean something from those that do not.
fn seen<T>(path: &str, looked: io::Result<T>) -> io::Result<Seen<T>> {
    match looked {
        Ok(value) => Ok(Seen::Here(value)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH) => Ok(Seen::Gone),
            Some(Errno::EACCES | Errno::EPERM) => Ok(Seen::Denied),
            _ => Err(at(path, error)),
        },
    }
}

/// Checks whether "not there" holds for a process: the kernel knows no such pid either, or each of
/// its threads has ended. What `/proc` hides, or a read that failed otherwise, is not gone.
fn settled<T>(pid: i32, found: Seen<T>) -> Seen<T> {
    match found {
        Seen::Gone if exists(pid) && !threads::has_ended(pid) && exists(pid) => Seen::Denied,
        other => other,
    }
}

fn at(path: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

fn malformed(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_s_own_tables_are_read() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(mountinfo().unwrap().iter().any(|mount| mount.mount_point == b"/proc"));
        assert!(sysvipc_shm().is_ok());
        assert!(sysv_devices().iter().all(|&(major, _)| major == 0));
    }

    #[test]
    fn a_file_over_its_bound_is_an_error_and_never_a_part() {
        assert_eq!(whole("/dev/zero", 5000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let (bytes, is_whole) = up_to("/dev/zero", 5000).unwrap();
        assert_eq!((bytes.len(), is_whole), (5000, false));
        let version = std::fs::read("/proc/version").unwrap();
        assert_eq!(whole("/proc/version", version.len()).unwrap(), version);
    }

    #[test]
    fn absent_forbidden_and_broken_are_three_things() {
        let raw = |errno: Errno| Err::<(), _>(io::Error::from(errno));
        assert_eq!(seen("/p", raw(Errno::ESRCH)).unwrap(), Seen::Gone);
        assert_eq!(seen("/p", raw(Errno::ENOENT)).unwrap(), Seen::Gone);
        assert_eq!(seen("/p", raw(Errno::EACCES)).unwrap(), Seen::Denied);
        assert_eq!(seen("/p", raw(Errno::EPERM)).unwrap(), Seen::Denied);
        assert!(seen("/p", raw(Errno::EIO)).unwrap_err().to_string().starts_with("/p: "));
    }
}
