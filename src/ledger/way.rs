//! The way to a ledger as root goes it: step by step, so that no file system that a user's own
//! process serves (FUSE) is ever asked for anything, not even for a name in it.
//!
//! Such a file system need not answer, and whoever waits for it may not even be ended by SIGKILL.
//! One that is far away (NFS) is asked in a child first.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::libc::{S_IFLNK, S_IFMT};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::proc::mountinfo::Mount;
use crate::proc::read;
use crate::snapshot::asked;
use crate::sys::files::{self, FileFacts};
use crate::sys::user;

/// Most symbolic links on a way, as the kernel has it.
const MOST_LINKS: usize = 40;
/// File systems that lie elsewhere.
const REMOTE: [&[u8]; 7] = [b"nfs", b"nfs4", b"cifs", b"smb3", b"ceph", b"afs", b"lustre"];

/// Opens what lies at a path for nothing (`O_PATH`), never through a symbolic link at its end.
///
/// # Errors
/// [`Error::Refused`] where the way leads to a file system that need not answer; [`Error::Io`].
pub(super) fn to(path: &Path) -> Result<File> {
    let failed = Error::io("cannot open the ledger", path);
    if !user::is_root() {
        // Whoever asks for its own waits for its own.
        let opened = openat(AT_FDCWD, path, flags(), Mode::empty());
        return opened.map(File::from).map_err(io::Error::from).map_err(failed);
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match Way::along(&whole) {
        Ok(end) => Ok(end.into()),
        Err(Lost::Io(error)) => Err(failed(error)),
        Err(Lost::Served(why)) => Err(Error::Refused { path: path.to_owned(), why }),
    }
}

/// Lists a directory, with what each entry is called and whether it is a directory itself; nothing
/// where the way there cannot be gone.
pub(super) fn list(directory: &Path) -> Vec<(PathBuf, bool)> {
    let Ok(opened) = to(directory) else { return Vec::new() };
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let entries = entries.into_iter().flatten().flatten();
    let named = entries.map(|entry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        (directory.join(entry.file_name()), is_directory)
    });
    named.collect()
}

/// Why an end was not reached.
enum Lost {
    Io(io::Error),
    /// The sentence that says whose file system it is.
    Served(String),
}

impl From<nix::errno::Errno> for Lost {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// The position on the way.
struct Way {
    at: OwnedFd,
    dev: u64,
    mounts: Option<Vec<Mount>>,
    links: usize,
    /// Names that are still to be followed, the last first.
    ahead: Vec<OsString>,
}

impl Way {
    fn along(path: &Path) -> std::result::Result<OwnedFd, Lost> {
        let at = openat(AT_FDCWD, "/", flags(), Mode::empty())?;
        let dev = files::facts_kept(at.as_fd())?.dev;
        let mut way = Self { at, dev, mounts: None, links: 0, ahead: Vec::new() };
        way.add(path);
        while let Some(name) = way.ahead.pop() {
            way.step(&name)?;
        }
        Ok(way.at)
    }

    /// Puts the names of a path before those that are still to be followed.
    fn add(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(names);
    }

    fn step(&mut self, name: &OsStr) -> std::result::Result<(), Lost> {
        let next = openat(&self.at, name, flags(), Mode::empty())?;
        // An error here is that of a file system that lets root see nothing.
        let facts = files::facts_kept(next.as_fd())?;
        if facts.dev != self.dev {
            self.may_enter(&facts)?;
        }
        if facts.mode & S_IFMT != S_IFLNK || self.ahead.is_empty() {
            (self.at, self.dev) = (next, facts.dev);
            return Ok(());
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(nix::errno::Errno::ELOOP.into());
        }
        let target = PathBuf::from(readlinkat(&next, "")?);
        if target.is_absolute() {
            self.at = openat(AT_FDCWD, "/", flags(), Mode::empty())?;
            self.dev = files::facts_kept(self.at.as_fd())?.dev;
        }
        self.add(&target);
        Ok(())
    }

    /// Checks that a file system that begins here answers.
    fn may_enter(&mut self, facts: &FileFacts) -> std::result::Result<(), Lost> {
        if self.mounts.is_none() {
            self.mounts = Some(read::mountinfo().map_err(Lost::Io)?);
        }
        let device = |mount: &Mount| nix::libc::makedev(mount.dev_major, mount.dev_minor);
        let is_it = |mount: &&Mount| match facts.mount_id {
            0 => device(mount) == facts.dev,
            id => mount.id == id,
        };
        let Some(mount) = self.mounts.iter().flatten().rfind(is_it) else { return Ok(()) };
        if let Some(uid) = served_by(mount) {
            return Err(Lost::Served(format!(
                "it lies on a file system that a process of user {uid} serves (FUSE) and that need \
                 not answer; run this as that user"
            )));
        }
        let is_fuse = mount.fs_type.starts_with(b"fuse");
        if !is_fuse && !REMOTE.contains(&mount.fs_type.as_slice()) {
            return Ok(());
        }
        let point = PathBuf::from(OsStr::from_bytes(&mount.mount_point));
        let shown = point.to_string_lossy().into_owned();
        let asks = || std::fs::symlink_metadata(&point).is_ok();
        match asked::of_user((0, 0), &shown, asks) {
            Some(_) => Ok(()),
            None => Err(Lost::Served(format!("the file system at {shown} does not answer"))),
        }
    }
}

/// The user whose process serves a file system, where that is not root.
fn served_by(mount: &Mount) -> Option<u32> {
    if !mount.fs_type.starts_with(b"fuse") {
        return None;
    }
    let mut options = mount.super_options.split(|&byte| byte == b',');
    let uid = options.find_map(|option| option.strip_prefix(b"user_id="))?;
    let uid: u32 = std::str::from_utf8(uid).ok()?.parse().ok()?;
    (uid != 0).then_some(uid)
}

fn flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn the_way_leads_where_the_kernels_own_leads() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("file"), "").unwrap();
        symlink("real/../real", dir.path().join("relative")).unwrap();
        symlink(&real, dir.path().join("absolute")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let wanted = std::fs::metadata(real.join("file")).unwrap();
        for name in ["real/file", "relative/file", "absolute/file", "real/../absolute/./file"] {
            let found = to(&dir.path().join(name)).unwrap().metadata().unwrap();
            assert_eq!((found.dev(), found.ino()), (wanted.dev(), wanted.ino()), "{name}");
        }
        // Never through a link at the end, and never for ever.
        assert!(to(&dir.path().join("absolute")).unwrap().metadata().unwrap().is_symlink());
        assert!(to(&dir.path().join("loop/file")).is_err());
        assert!(to(&dir.path().join("real/none")).is_err());
    }
}
