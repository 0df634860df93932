//! Replacing a file of settings or numbers as a whole: who reads it at any moment sees the old text
//! or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Everybody may read it: node_exporter runs as a user of its own.
const MODE: u32 = 0o644;

/// Writes a text to a file beside `path`, syncs it, and lets it take the name.
///
/// A file of that name must be a regular one: a device or a link is not to be replaced by accident.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    replace_with(path, text, MODE)
}

/// The same with a mode of the caller's.
pub(crate) fn replace_with(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("it is there, and no regular file"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let temporary = temporary(path)?;
    let written = write(&temporary, text, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes a file, no directory and nothing that a link names.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// A name that no collector of `*.prom` reads.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("that is no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file: File = match file {
        // Of a process of our pid that was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?
        }
        other => other?,
    };
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_readable_by_all_and_leaves_nothing_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("shmwarden.prom");
        for text in ["first\n", "second\n"] {
            let before = File::open(&path);
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            // Who had it open still reads the old one.
            if let Ok(file) = before {
                assert_eq!(io::read_to_string(file).unwrap(), "first\n");
            }
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(names(scratch.path()), ["shmwarden.prom"]);
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [Path::new("/dev/null"), &link, scratch.path(), Path::new("/")] {
            assert!(replace(path, "x").is_err(), "{}", path.display());
        }
        assert_eq!(names(scratch.path()), ["link"]);
        assert!(replace(&scratch.path().join("none/x"), "x").is_err());
    }
}
