//! Asking for single mappings of a process instead of reading them all as text: `PROCMAP_QUERY`.

use std::fs::File;
use std::os::fd::AsRawFd;

use super::{Result, check};

/// `PROCMAP_QUERY` (`linux/fs.h`, since 6.11): `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong = 0xc068_6611;
/// `PROCMAP_QUERY_VMA_SHARED`.
const SHARED: u64 = 0x08;
/// `PROCMAP_QUERY_COVERING_OR_NEXT_VMA`.
const COVERING_OR_NEXT: u64 = 0x10;
/// `PROCMAP_QUERY_FILE_BACKED_VMA`.
const FILE_BACKED: u64 = 0x20;

/// Longest name that is asked for, in bytes: that of a segment has 23.
const NAME_ROOM: usize = 64;

/// `struct procmap_query` (`linux/fs.h`).
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_address: u64,
    build_id_address: u64,
}

/// A mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// Inode number.
    pub inode: u64,
    /// Device of the file, as `(major, minor)`.
    pub device: (u32, u32),
}

/// The first mapping of a file at or behind `address`, in an open `/proc/<pid>/maps`; with
/// `shared_only` those are passed over that the process does not share.
///
/// # Errors
/// `ENOENT` where there is no further one, `ESRCH` where the memory is gone, `ENOTTY` before 6.11.
pub(crate) fn next_file(maps: &File, address: u64, shared_only: bool) -> Result<Vma> {
    let shared = if shared_only { SHARED } else { 0 };
    let mut query =
        Query { flags: COVERING_OR_NEXT | FILE_BACKED | shared, address, ..Query::default() };
    ask(maps, &mut query)?;
    Ok(Vma {
        start: query.start,
        end: query.end,
        inode: query.inode,
        device: (query.dev_major, query.dev_minor),
    })
}

/// The name of the mapping at an address, as `/proc/<pid>/maps` has it; short names only.
///
/// # Errors
/// As [`next_file`]; `ENAMETOOLONG` for a long name.
pub fn name_at(maps: &File, address: u64) -> Result<Vec<u8>> {
    let mut room = [0_u8; NAME_ROOM];
    let mut query = Query {
        address,
        name_size: u32::try_from(room.len()).unwrap_or(0),
        name_address: room.as_mut_ptr() as u64,
        ..Query::default()
    };
    ask(maps, &mut query)?;
    // The length that comes back counts the NUL at the end.
    let length = (query.name_size as usize).saturating_sub(1);
    Ok(room.get(..length).unwrap_or_default().to_vec())
}

fn ask(maps: &File, query: &mut Query) -> Result<()> {
    query.size = size_of::<Query>() as u64;
    // SAFETY: query is one struct procmap_query of the size it says, and what it names has room for
    // as many bytes as it says, or no room was offered.
    let done = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut *query) };
    check(done.into()).map(drop)
}
