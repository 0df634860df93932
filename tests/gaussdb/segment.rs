//! The one segment (`sysv_shmem.cpp`): how it is made, filled, removed.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use shmwarden::engine::opengauss::{HEADER_BYTES, Header, header, header_bytes, keys};
use shmwarden::sys::shm;

use super::calls::{self, Attached, Pages};
use super::options::{Options, message};
use super::reclaim;

/// How often one key is tried while others take and lose it.
const RETRIES: usize = 3;

/// The segment.
pub(crate) struct Main {
    pub(crate) key: i32,
    pub(crate) id: i32,
    attached: Attached,
}

impl Main {
    /// `PGSharedMemoryCreate`: under the first of its keys; where that is taken and cannot be
    /// reclaimed, under the next.
    pub(crate) fn create(options: &Options) -> Result<Self, String> {
        let (bytes, pages) = size(options);
        for key in keys(options.port) {
            for _ in 0..=RETRIES {
                match calls::create_segment(key, bytes, pages) {
                    Ok(id) => return Self::fill(id, key, options).map_err(message),
                    Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM) => {}
                    Err(errno) => {
                        return Err(format!("could not create shared memory segment: {errno}"));
                    }
                }
                if !reclaim::segment(key) {
                    break;
                }
            }
        }
        Err("no key is free".to_owned())
    }

    fn fill(id: i32, key: i32, options: &Options) -> Result<Self, std::io::Error> {
        let attached = Attached::attach(id)?;
        let directory = std::fs::metadata(&options.data)?;
        attached.write(&header_bytes(&Header {
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            bytes: options.bytes as u64,
            dev: directory.dev(),
            ino: directory.ino(),
        }));
        Ok(Main { key, id, attached })
    }

    /// `IpcMemoryDetach`, where that was not cancelled, then `IpcMemoryDelete`.
    pub(crate) fn delete(self, detach_first: bool) {
        if detach_first {
            drop(self.attached);
        }
        let _ = calls::remove_segment(self.id);
    }
}

/// `PGSharedMemoryIsInUse`: attached by anybody, and of this data directory.
pub(crate) fn is_in_use(id: i32) -> bool {
    let attached = shm::stat(id).ok().flatten().is_some_and(|row| row.nattch > 0);
    let Ok(directory) = std::fs::metadata(".") else { return attached };
    let ours = |bytes: &[u8]| {
        header(bytes)
            .is_some_and(|header| (header.dev, header.ino) == (directory.dev(), directory.ino()))
    };
    attached
        && match Attached::attach(id) {
            Ok(segment) => ours(&segment.read(HEADER_BYTES)),
            Err(errno) => errno != Errno::EACCES,
        }
}

/// `GetHugepageSize` and the rounding of `InternalIpcMemoryCreate`.
fn size(options: &Options) -> (usize, Pages) {
    if !options.huge_pages {
        return (options.bytes, Pages::Usual);
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    let page = kib.map_or(2 << 20, |kib| kib << 10);
    (options.bytes.next_multiple_of(page), Pages::Huge(page.trailing_zeros()))
}
