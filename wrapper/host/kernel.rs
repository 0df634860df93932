//! The limits of this IPC namespace, the memory, the file system at `/dev/shm`.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use nix::sys::statvfs::statvfs;
use shmwarden::proc::limits::{SemLimits, meminfo};
use shmwarden::proc::read;
use shmwarden::snapshot::shm_files;
use shmwarden::sys::files;

/// What the kernel allows. `None` where it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Segments.
    pub(crate) shmmni: Option<u64>,
    /// Pages of all segments together.
    pub(crate) shmall: Option<u64>,
    /// Bytes of one segment.
    pub(crate) shmmax: Option<u64>,
    /// Semaphores.
    pub(crate) sem: Option<SemLimits>,
    /// Message queues.
    pub(crate) msgmni: Option<u64>,
    /// Whether segments go with the last detach (`kernel.shm_rmid_forced`).
    pub(crate) rmid_forced: Option<bool>,
    /// Bytes of a page.
    pub(crate) page_bytes: u64,
    /// Bytes of memory, and those that a new program can have (`MemTotal`, `MemAvailable`).
    pub(crate) memory: Option<(u64, u64)>,
    /// Huge pages of the usual size.
    pub(crate) huge: Option<HugePages>,
    /// The file system at `/dev/shm`.
    pub(crate) shm_fs: Option<ShmFileSystem>,
}

/// The pool of huge pages of the usual size (proc_meminfo(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HugePages {
    /// Pages in the pool.
    pub(crate) total: u64,
    /// Of these nobody has.
    pub(crate) free: u64,
    /// Of the free ones promised.
    pub(crate) reserved: u64,
    /// Bytes of one.
    pub(crate) page_bytes: u64,
}

/// The file system at `/dev/shm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ShmFileSystem {
    /// Whether it is a tmpfs.
    pub(crate) is_tmpfs: bool,
    /// Its size in bytes; 0 for no limit.
    pub(crate) total_bytes: u64,
    /// Of these taken.
    pub(crate) used_bytes: u64,
    /// Mode of its root, with the sticky bit: 01777 where all is well.
    pub(crate) mode: u32,
    /// Owner of its root.
    pub(crate) owner: u32,
}

/// Reads them all.
pub(crate) fn look() -> Limits {
    let memory = read::meminfo().unwrap_or_default();
    let line = |name| meminfo(&memory, name);
    let huge = || {
        Some(HugePages {
            total: line("HugePages_Total")?,
            free: line("HugePages_Free")?,
            reserved: line("HugePages_Rsvd")?,
            page_bytes: line("Hugepagesize")?,
        })
    };
    Limits {
        shmmni: read::kernel_number("shmmni").ok(),
        shmall: read::kernel_number("shmall").ok(),
        shmmax: read::kernel_number("shmmax").ok(),
        sem: read::sem_limits().ok(),
        msgmni: read::kernel_number("msgmni").ok(),
        rmid_forced: read::kernel_number("shm_rmid_forced").ok().map(|value| value != 0),
        page_bytes: page_bytes(),
        memory: line("MemTotal").zip(line("MemAvailable")),
        huge: huge(),
        shm_fs: shm_file_system(),
    }
}

/// Bytes of a page (`sysconf(3)`, `_SC_PAGESIZE`).
fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

fn shm_file_system() -> Option<ShmFileSystem> {
    let directory = File::open(shm_files::DIRECTORY).ok()?;
    let system = files::file_system(directory.as_fd()).ok()?;
    let room = statvfs(shm_files::DIRECTORY).ok()?;
    let root = directory.metadata().ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(room.fragment_size());
    Some(ShmFileSystem {
        is_tmpfs: system.is_tmpfs,
        total_bytes: bytes(room.blocks()),
        used_bytes: bytes(room.blocks().saturating_sub(room.blocks_free())),
        mode: root.mode() & 0o7777,
        owner: root.uid(),
    })
}
