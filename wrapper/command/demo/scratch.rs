//! The scratch directory: made under a name that nobody has, and taken away with all in it.

use std::fs::{Permissions, set_permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::trouble::{Outcome, failed};

/// A socket's whole path has room for 107 bytes, and the server adds to this one.
const LONGEST_BYTES: usize = 60;

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, readable for every user: as root the server is another one.
    pub(super) fn create() -> Outcome<Self> {
        let temporary = std::env::temp_dir();
        let fits = temporary.as_os_str().as_bytes().len() <= LONGEST_BYTES;
        // Root's own TMPDIR may be closed to the server's user.
        let parent = if fits && temporary.is_absolute() && !geteuid().is_root() {
            temporary
        } else {
            PathBuf::from("/tmp")
        };
        let template = parent.join("shmwarden-demo-XXXXXX");
        let doing = format!("cannot make a scratch directory in {}", parent.display());
        let path = nix::unistd::mkdtemp(&template).map_err(failed(&doing))?;
        let scratch = Self(path);
        set_permissions(&scratch.0, Permissions::from_mode(0o755)).map_err(failed(&doing))?;
        Ok(scratch)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::error!("cannot remove {}: {error}", self.0.display());
        }
    }
}
