//! The facts that tell one file from a later one of the same name: `statx` and the file system's
//! own id.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::{Result, check};

/// `STATX_MNT_ID` (`linux/stat.h`, since 5.8).
const STATX_MNT_ID: u32 = 0x1000;
/// `TMPFS_MAGIC` (`linux/magic.h`).
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// `OVERLAYFS_SUPER_MAGIC` (`linux/magic.h`).
const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;

/// A file as `statx(2)` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Device, as `st_dev` encodes it.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Birth time, seconds and nanoseconds; `None` where the file system keeps none.
    pub born: Option<(i64, u32)>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// The part of it that takes up memory or disk, in bytes.
    pub resident_bytes: u64,
    /// Last change of the inode: seconds since the epoch, nanoseconds.
    pub ctime: (i64, u32),
    /// Id of the mount, 0 where the kernel does not say (before 5.8).
    pub mount_id: u64,
}

impl FileFacts {
    /// Checks that it is a regular file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// Looks at `name` below an open directory, never through a symbolic link, with what the kernel
/// remembers of it.
///
/// # Errors
/// What `statx` says; `EINVAL` for a name with a NUL byte.
pub(crate) fn facts_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<FileFacts> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // What is mounted there may be a file system that does not answer: it is not asked.
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC;
    statx(dir.as_raw_fd(), &name, flags)
}

/// Looks at an open file.
///
/// # Errors
/// What `statx` says.
pub fn facts(file: BorrowedFd<'_>) -> Result<FileFacts> {
    statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

fn statx(dir: i32, name: &CStr, flags: i32) -> Result<FileFacts> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME | STATX_MNT_ID;
    let mut out = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: name is a C string that outlives the call, and out has room for one struct statx.
    let done = unsafe { libc::statx(dir, name.as_ptr(), flags, mask, out.as_mut_ptr()) };
    check(done.into())?;
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let out = unsafe { out.assume_init() };
    let born = (out.stx_mask & libc::STATX_BTIME != 0)
        .then_some((out.stx_btime.tv_sec, out.stx_btime.tv_nsec));
    Ok(FileFacts {
        dev: libc::makedev(out.stx_dev_major, out.stx_dev_minor),
        ino: out.stx_ino,
        born,
        uid: out.stx_uid,
        gid: out.stx_gid,
        mode: u32::from(out.stx_mode),
        bytes: out.stx_size,
        resident_bytes: out.stx_blocks.saturating_mul(512),
        ctime: (out.stx_ctime.tv_sec, out.stx_ctime.tv_nsec),
        mount_id: if out.stx_mask & STATX_MNT_ID == 0 { 0 } else { out.stx_mnt_id },
    })
}

/// Looks at what a path leads to, with what the kernel remembers of it: a network file system that
/// does not answer is not asked (`AT_STATX_DONT_SYNC`).
///
/// # Errors
/// What `statx` says; `EINVAL` for a path with a NUL byte.
pub fn facts_remembered(path: impl AsRef<Path>) -> Result<FileFacts> {
    let path = path.as_ref().as_os_str().as_bytes();
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    statx(libc::AT_FDCWD, &path, libc::AT_STATX_DONT_SYNC)
}

/// Looks at an open file with what the kernel remembers of it: no file system is asked.
///
/// # Errors
/// What `statx` says.
pub(crate) fn facts_kept(file: BorrowedFd<'_>) -> Result<FileFacts> {
    statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC)
}

/// The type and the id of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Set where it is a tmpfs.
    pub is_tmpfs: bool,
    /// Set where it is an overlay.
    pub is_overlay: bool,
    /// `f_fsid`; random for each tmpfs since 5.14 (`mm/shmem.c shmem_fill_super`), 0 before.
    pub fsid: u64,
}

/// Asks the file system that an open file lies on (`fstatfs(2)`).
///
/// # Errors
/// What `fstatfs` says.
pub fn file_system(file: BorrowedFd<'_>) -> Result<FileSystem> {
    let mut out = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: out has room for one struct statfs, and the descriptor is open.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), out.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so the structure is filled in; it was zeroed before.
    let out = unsafe { out.assume_init() };
    // SAFETY: fsid_t is two 32-bit integers (statfs(2)), the same size as u64, any bits valid.
    let fsid: u64 = unsafe { std::mem::transmute(out.f_fsid) };
    #[allow(clippy::unnecessary_cast)] // f_type differs between architectures
    let magic = out.f_type as i64;
    let is_overlay = magic == OVERLAYFS_SUPER_MAGIC;
    Ok(FileSystem { is_tmpfs: magic == TMPFS_MAGIC, is_overlay, fsid })
}
