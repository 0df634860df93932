//! Files of settings that a unit's start depends on, read whole. A file in a user's directory is
//! read with that user's rights.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use shmwarden::sys::user::{self, Acting};

use super::ask::NoAnswer;
use crate::exit;

/// Far more than any of these files has.
const MOST_BYTES: u64 = 1 << 20;

/// Refuses a file.
pub(crate) fn refused(status: u8, path: &Path, why: impl std::fmt::Display) -> NoAnswer {
    NoAnswer { status, text: format!("{} {why}", path.display()) }
}

/// Returns the error of a step on a file.
pub(crate) fn failed(doing: &str, path: &Path, error: &io::Error) -> NoAnswer {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let status = if denied { exit::PERMISSION } else { exit::FAILED };
    NoAnswer { status, text: format!("cannot {doing} {}: {error}", path.display()) }
}

/// Returns the text of a file, and its mode; `None` where it is not there.
pub(crate) fn read(path: &Path, is_users: bool) -> Result<Option<(String, u32)>, NoAnswer> {
    let _acting = is_users.then(|| acting(path)).transpose()?;
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if path.is_symlink() => {
            let why = "is a symbolic link, which is not followed; put a file in its place";
            return Err(refused(exit::USAGE, path, why));
        }
        other => other.map_err(|error| failed("read", path, &error))?,
    };
    let metadata = file.metadata().map_err(|error| failed("look at", path, &error))?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(refused(exit::USAGE, path, "is no file of settings"));
    }
    let mut text = String::new();
    let read = file.take(MOST_BYTES).read_to_string(&mut text);
    read.map_err(|error| failed("read", path, &error))?;
    Ok(Some((text, metadata.mode() & 0o7777)))
}

/// Takes on the rights of the user whose a file's directory is.
pub(crate) fn acting(path: &Path) -> Result<Option<Acting>, NoAnswer> {
    let directory = path.parent().unwrap_or(path);
    let found = directory.symlink_metadata();
    let found = found.map_err(|error| failed("look at", directory, &error))?;
    if user::effective() != 0 || found.uid() == 0 {
        return Ok(None);
    }
    let acting = Acting::start(found.uid(), found.gid());
    acting.map(Some).map_err(|errno| failed("act as the owner of", directory, &errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert_eq!(read(&link, false).unwrap_err().status, exit::USAGE);
        assert_eq!(read(scratch.path(), false).unwrap_err().status, exit::USAGE);
        assert_eq!(read(&scratch.path().join("none"), false).unwrap(), None);
    }
}
