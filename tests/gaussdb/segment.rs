//! The one segment (`sysv_shmem.cpp`): how it is made, reclaimed, removed.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use shmwarden::engine::opengauss::{HEADER_BYTES, Header, header, header_bytes, keys};
use shmwarden::sys::server::{Attached, Pages, create_segment, find_segment};
use shmwarden::sys::shm;

use super::options::{Options, message};

/// How often one key is tried while others take and lose it.
const RETRIES: usize = 3;

/// The segment.
pub(crate) struct Main {
    pub(crate) id: i32,
    pub(crate) key: i32,
    attached: Attached,
}

impl Main {
    /// `PGSharedMemoryCreate`: what is under the first key and can be attached and looks like an
    /// openGauss's is removed, whoever has it attached; what cannot be attached or removed is left,
    /// and the next key tried.
    pub(crate) fn create(options: &Options) -> Result<Self, String> {
        let (bytes, pages) = size(options);
        for key in keys(options.port) {
            for _ in 0..=RETRIES {
                match create_segment(key, bytes, pages) {
                    Ok(id) => return Self::fill(id, key, options).map_err(message),
                    Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM) => {}
                    Err(errno) => {
                        return Err(format!("could not create shared memory segment: {errno}"));
                    }
                }
                let Some(other) = another(key) else { break };
                let _ = shm::remove(other);
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
        Ok(Main { id, key, attached })
    }

    /// `IpcMemoryDetach`, where that was not cancelled, then `IpcMemoryDelete`.
    pub(crate) fn delete(self, detach_first: bool) {
        if detach_first {
            drop(self.attached);
            let _ = shm::remove(self.id);
        } else {
            let _ = shm::remove(self.id);
        }
    }
}

/// `PGSharedMemoryAttach`: the segment under a key, if it may be attached and has the magic number.
fn another(key: i32) -> Option<i32> {
    let id = find_segment(key, HEADER_BYTES).ok()?;
    let bytes = Attached::attach(id).ok()?.read(4);
    let ours = header_bytes(&Header { pid: 0, bytes: 0, dev: 0, ino: 0 });
    ours.starts_with(&bytes).then_some(id)
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
