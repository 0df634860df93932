//! The files that `--install` writes and `--remove` takes back: read, replaced as a whole, removed.
//!
//! Root writes its own only where nobody else can change what their path means. A file in a user's
//! directory is read and written with that user's rights.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use shmwarden::sys::user::{self, Acting};

use crate::exit;
use crate::ledgers::directory;
use crate::render::output_file;
use crate::units::ask::NoAnswer;

/// Far more than any of these files has.
const MOST_BYTES: u64 = 1 << 20;

/// What one file is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its path.
    pub(super) path: PathBuf,
    /// What is in it; `None` where it is not there.
    pub(super) before: Option<String>,
    /// What is to be in it; `None` where it is to go.
    pub(super) after: Option<String>,
    /// Its mode, where it is written.
    pub(super) mode: u32,
    /// Set where it belongs to the user whose its directory is, else it is root's.
    pub(super) is_users: bool,
}

fn refused(status: u8, path: &Path, why: impl std::fmt::Display) -> NoAnswer {
    NoAnswer { status, text: format!("{} {why}", path.display()) }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> NoAnswer {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let status = if denied { exit::PERMISSION } else { exit::FAILED };
    NoAnswer { status, text: format!("cannot {doing} {}: {error}", path.display()) }
}

/// Returns the text of a file, and its mode; `None` where it is not there.
pub(super) fn read(path: &Path, is_users: bool) -> Result<Option<(String, u32)>, NoAnswer> {
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

/// Makes the file what it is to become.
pub(super) fn carry_out(change: &Change) -> Result<(), NoAnswer> {
    let path = &change.path;
    let _acting = change.is_users.then(|| acting(path)).transpose()?;
    if change.is_users {
        must_be_own(path)?;
    } else {
        make_directories(path)?;
    }
    // Somebody may have changed it since it was read.
    if read(path, false)?.map(|(text, _)| text) != change.before {
        return Err(refused(exit::FAILED, path, "was changed meanwhile: ask again"));
    }
    match &change.after {
        Some(text) => output_file::replace_with(path, text, change.mode)
            .map_err(|error| failed("write", path, &error)),
        None => output_file::remove(path).map_err(|error| failed("remove", path, &error)),
    }
}

/// Removes the directories above a file, the lowest first, where nothing is in them.
pub(super) fn remove_empty(path: &Path, most: usize) {
    for directory in path.ancestors().skip(1).take(most) {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

/// Takes on the rights of the user whose a file's directory is.
fn acting(path: &Path) -> Result<Option<Acting>, NoAnswer> {
    let directory = path.parent().unwrap_or(path);
    let found = directory.symlink_metadata();
    let found = found.map_err(|error| failed("look at", directory, &error))?;
    if user::effective() != 0 || found.uid() == 0 {
        return Ok(None);
    }
    let acting = Acting::start(found.uid(), found.gid());
    acting.map(Some).map_err(|errno| failed("act as the owner of", directory, &errno.into()))
}

/// Checks that writing a file anew gives it to nobody else.
fn must_be_own(path: &Path) -> Result<(), NoAnswer> {
    let found = path.symlink_metadata().map_err(|error| failed("look at", path, &error))?;
    if found.uid() != user::effective() {
        let why = format!(
            "belongs to user {}, and its directory to another: change it yourself",
            found.uid()
        );
        return Err(refused(exit::PERMISSION, path, why));
    }
    Ok(())
}

/// Makes what is missing of the directories above a file of root's.
fn make_directories(path: &Path) -> Result<(), NoAnswer> {
    let parent = path.parent().unwrap_or(path);
    if parent.is_symlink() {
        let why = "is not written: its directory is a symbolic link, which is not followed";
        return Err(refused(exit::USAGE, path, why));
    }
    must_be_roots(parent, path)?;
    let missing: Vec<&Path> = parent.ancestors().take_while(|step| !step.is_dir()).collect();
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755);
    for step in missing.into_iter().rev() {
        let made = builder.create(step).and_then(|()| {
            // Whatever the umask is: the server's user has to come through.
            fs::set_permissions(step, fs::Permissions::from_mode(0o755))
        });
        made.map_err(|error| failed("make the directory", step, &error))?;
    }
    must_be_roots(parent, path)
}

/// Checks that nobody but root can change what a path means.
fn must_be_roots(parent: &Path, path: &Path) -> Result<(), NoAnswer> {
    match directory::changeable(parent).map_err(|error| failed("look at", parent, &error))? {
        None => Ok(()),
        Some((_, at)) => {
            let why = format!("is not written: others than root can change {}", at.display());
            Err(refused(exit::PERMISSION, path, why))
        }
    }
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

    #[test]
    fn a_file_that_changed_meanwhile_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "new").unwrap();
        let change = |before: &str| Change {
            path: path.clone(),
            before: Some(before.to_owned()),
            after: Some("after".to_owned()),
            mode: 0o640,
            is_users: true,
        };
        assert!(carry_out(&change("old")).unwrap_err().text.contains("changed meanwhile"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        carry_out(&change("new")).unwrap();
        assert_eq!(read(&path, true).unwrap(), Some(("after".to_owned(), 0o640)));
        carry_out(&Change { after: None, ..change("after") }).unwrap();
        assert_eq!(read(&path, true).unwrap(), None);
    }
}
