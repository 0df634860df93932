//! POSIX shared memory: the regular files in `/dev/shm`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::object::{Birth, Bytes, FileRef, ShmFile};
use crate::sys::files::{self, FileFacts};

/// The directory in which glibc and musl put POSIX shared memory (`shm_overview(7)`).
pub const DIRECTORY: &str = "/dev/shm";

/// Every regular file directly in `/dev/shm`; none where it is no tmpfs (`mount` is `None`).
///
/// # Errors
/// [`Error::Io`].
pub fn all(mount: Option<&str>) -> Result<Vec<ShmFile>> {
    let mut found = Vec::new();
    each(mount, |name, mount, facts| {
        found.push(identity(name, mount, &facts));
    })?;
    Ok(found)
}

/// Shows each regular file directly in `/dev/shm` with its name and the name of its mount.
///
/// # Errors
/// [`Error::Io`].
pub fn each(mount: Option<&str>, mut show: impl FnMut(&[u8], &str, FileFacts)) -> Result<()> {
    let Some(mount) = mount else {
        return Ok(());
    };
    let path = Path::new(DIRECTORY);
    let dir = Directory::open()?;
    for entry in std::fs::read_dir(path).map_err(Error::io("cannot read", path))? {
        let entry = entry.map_err(Error::io("cannot read", path))?;
        let name = entry.file_name();
        if let Some(facts) = dir.facts(name.as_bytes())? {
            show(name.as_bytes(), mount, facts);
        }
    }
    Ok(())
}

/// Names in `/dev/shm` of what is none of [`all`]: no regular file, or not on a tmpfs. What a list
/// names and is one of these is there, and is nothing that could be recorded or removed.
///
/// # Errors
/// [`Error::Io`]; a `/dev/shm` that is not there has no names.
pub fn others(mount: Option<&str>) -> Result<BTreeSet<Bytes>> {
    let path = Path::new(DIRECTORY);
    let dir = match Directory::open() {
        Ok(dir) => dir,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("cannot read", path))? {
        let entry = entry.map_err(Error::io("cannot read", path))?;
        let name = entry.file_name();
        if mount.is_none() || dir.facts(name.as_bytes())?.is_none() {
            names.insert(Bytes(name.as_bytes().to_vec()));
        }
    }
    Ok(names)
}

/// Checks that nothing bears a name in `/dev/shm`; what cannot be looked at counts as there.
#[must_use]
pub fn is_absent(name: &[u8]) -> bool {
    let dir = match File::open(Path::new(DIRECTORY)) {
        Ok(dir) => dir,
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    files::facts_at(dir.as_fd(), name) == Err(Errno::ENOENT)
}

/// One file by name; `None` where there is none, or no regular one.
///
/// # Errors
/// [`Error::Io`], also where another file system is mounted on the name: what lies below it is not
/// gone.
pub fn one(name: &[u8], mount: &str) -> Result<Option<ShmFile>> {
    let dir = Directory::open()?;
    let facts = dir.facts(name)?;
    if facts.is_none() && dir.is_covered(name) {
        let path = Path::new(DIRECTORY).join(Bytes(name.to_vec()).lossy());
        return Err(Error::io("cannot look at", &path)(io::Error::from(Errno::EXDEV)));
    }
    Ok(facts.map(|facts| identity(name, mount, &facts)))
}

/// Returns what a file is recognised by, of what `statx` says of it.
#[must_use]
pub fn identity(name: &[u8], mount: &str, facts: &FileFacts) -> ShmFile {
    let not_kept = Birth::NotKept { changed: facts.ctime };
    ShmFile {
        name: Bytes(name.to_vec()),
        mount: mount.to_owned(),
        file: FileRef { dev: facts.dev, ino: facts.ino },
        birth: facts.born.map_or(not_kept, |(seconds, nanos)| Birth::At(seconds, nanos)),
        uid: facts.uid,
        bytes: facts.bytes,
    }
}

/// The directory, open, with its device.
struct Directory {
    dir: File,
    dev: u64,
}

impl Directory {
    fn open() -> Result<Self> {
        let path = Path::new(DIRECTORY);
        let dir = File::open(path).map_err(Error::io("cannot open", path))?;
        let facts = files::facts(dir.as_fd()).map_err(io::Error::from);
        let dev = facts.map_err(Error::io("cannot look at", path))?.dev;
        Ok(Self { dir, dev })
    }

    /// Checks whether something of another file system bears a name.
    fn is_covered(&self, name: &[u8]) -> bool {
        match files::facts_at(self.dir.as_fd(), name) {
            Ok(facts) => facts.dev != self.dev,
            Err(errno) => errno != Errno::ENOENT,
        }
    }

    /// Looks at a name; `None` where it is no regular file of this file system. A user may mount
    /// one of his own on a name here, and have it answer as he likes, or not at all.
    fn facts(&self, name: &[u8]) -> Result<Option<FileFacts>> {
        match files::facts_at(self.dir.as_fd(), name) {
            Ok(facts) => {
                Ok(Some(facts).filter(|facts| facts.is_regular() && facts.dev == self.dev))
            }
            Err(Errno::ENOENT | Errno::EACCES | Errno::EPERM | Errno::ENOTCONN | Errno::EIO) => {
                Ok(None)
            }
            Err(errno) => {
                let path = Path::new(DIRECTORY).join(Bytes(name.to_vec()).lossy());
                Err(Error::io("cannot look at", &path)(io::Error::from(errno)))
            }
        }
    }
}
