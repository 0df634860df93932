//! The owner of a ledger, and the trust in it: before it is opened, and once it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};

use super::{beginning, way};
use crate::error::{Error, Result};
use crate::sys::user::{self, Acting};

/// The bytes that are read of a file to see that it begins as a ledger.
const PEEKED: usize = 4096;

/// Checks for root on a ledger of another user's.
pub(super) fn is_anothers(me: u32, owner: (u32, u32)) -> bool {
    me == 0 && owner.0 != 0
}

/// Acts as the owner where the caller is root and the owner is not.
pub(super) fn act_as(me: u32, owner: (u32, u32), path: &Path) -> Result<Option<Acting>> {
    if !is_anothers(me, owner) {
        return Ok(None);
    }
    let acting = Acting::start(owner.0, owner.1).map_err(io::Error::from);
    acting.map(Some).map_err(Error::io("cannot act as the owner of", path))
}

type FileIdentity = (u64, u64);

pub(super) fn identity(file: &File) -> io::Result<FileIdentity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The file at a path.
pub(super) struct Found {
    /// It, opened for nothing.
    pub(super) file: File,
    pub(super) identity: FileIdentity,
    /// Owner and group.
    pub(super) owner: (u32, u32),
}

/// Looks at what lies at the path, without opening it for anything.
pub(super) fn look(path: &Path) -> Result<Option<Found>> {
    let file = match way::to(path) {
        Ok(file) => file,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let identity = identity(&file).map_err(Error::io("cannot look at the ledger", path))?;
    judge(&file, path, user::effective())?;
    let metadata = file.metadata().map_err(Error::io("cannot look at the ledger", path))?;
    let owner = (metadata.uid(), metadata.gid());
    Ok(Some(Found { file, identity, owner }))
}

/// Refuses what is no regular file, belongs to another user, or may be written by others.
pub(super) fn judge(file: &File, path: &Path, me: u32) -> Result<()> {
    let facts = crate::sys::files::facts(file.as_fd()).map_err(io::Error::from);
    let facts = facts.map_err(Error::io("cannot look at the ledger", path))?;
    let why = match facts.mode & S_IFMT {
        S_IFREG if facts.mode & 0o022 != 0 => format!(
            "its mode {:04o} lets others write it; check its content, then chmod go-w it",
            facts.mode & 0o7777
        ),
        S_IFREG if me != 0 && facts.uid != me => {
            format!("it belongs to user {}, and you are user {me}", facts.uid)
        }
        S_IFREG => return Ok(()),
        S_IFLNK => "it is a symbolic link; name the file itself".to_owned(),
        S_IFDIR => "it is a directory; name a file in it, or use --dir".to_owned(),
        S_IFIFO => "it is a named pipe, not a file".to_owned(),
        _ => "it is not a regular file".to_owned(),
    };
    Err(Error::Refused { path: path.to_owned(), why })
}

/// Makes an empty ledger of another user's as root, where only root can change what the path means:
/// elsewhere a link in the way would have root write wherever that user likes.
pub(super) fn make_for(path: &Path, owner: (u32, u32)) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let real = parent.canonicalize().map_err(Error::io("cannot open the directory", parent))?;
    let refused = |why: String| Err(Error::Refused { path: path.to_owned(), why });
    if real != parent {
        // The link may be a user's, and lead to where only root may make files.
        return refused(format!("name it as it is without links, below {}", real.display()));
    }
    for directory in real.ancestors() {
        let found = directory.symlink_metadata();
        let found = found.map_err(Error::io("cannot look at the directory", directory))?;
        if found.uid() != 0 || found.mode() & 0o022 != 0 {
            let why = format!(
                "user {} may not make it, and root does not make it for them in {}, which others \
                 than root can change; name a directory of that user's, or one of root's alone",
                owner.0,
                directory.display()
            );
            return refused(why);
        }
    }
    let path = real.join(path.file_name().unwrap_or_default());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW | O_CLOEXEC);
    let file = options.open(&path).map_err(Error::io("cannot make the ledger", &path))?;
    let given = std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1));
    given.map_err(Error::io("cannot give the ledger to its owner", &path))
}

/// Refuses a file that does not begin as a ledger, before it is locked or anything else is done.
pub(super) fn refuse_others(file: &File, path: &Path) -> Result<()> {
    let mut bytes = vec![0; PEEKED];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("cannot read the ledger", path)(error)),
        }
    }
    bytes.truncate(filled);
    if beginning::may_be(&bytes) {
        Ok(())
    } else {
        Err(Error::NotALedger { path: path.to_owned() })
    }
}
