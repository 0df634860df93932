//! The files that `--install` writes and `--remove` takes back: replaced as a whole, removed.
//!
//! Root writes its own only where nobody else can change what their path means. A file in a user's
//! directory is read and written with that user's rights.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use shmwarden::sys::user;

use crate::exit;
use crate::ledgers::directory;
use crate::render::output_file;
use crate::units::ask::NoAnswer;
use crate::units::settings::{acting, failed, read, refused};

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
