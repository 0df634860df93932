//! Makes the directory of a ledger in the default place, which `$STATE_DIRECTORY` may have chosen.
//!
//! Root makes one only where nobody else can change what its path means: a user's symbolic link
//! would have root make directories wherever that leads.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::libc::S_ISVTX;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

/// Most symbolic links that are followed (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Makes the directory of a ledger, where it is missing.
///
/// # Errors
/// [`Error::Io`]; [`Error::Refused`] where another than root could have chosen where it is made.
pub(crate) fn make(ledger: &Path) -> Result<()> {
    let Some(parent) = ledger.parent() else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o755);
    if user::effective() != 0 || parent.is_dir() {
        builder.recursive(true);
        return builder.create(parent).map_err(Error::io("cannot create the directory", parent));
    }
    judge(parent, ledger)?;
    // The last ancestor of a relative path is empty.
    let steps: Vec<&Path> = parent.ancestors().filter(|step| *step != Path::new("")).collect();
    for step in steps.into_iter().rev().filter(|step| !step.is_dir()) {
        match builder.create(step) {
            // In a sticky directory another may have been quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => other.map_err(Error::io("cannot create the directory", step))?,
        }
        judge(step, ledger)?;
    }
    Ok(())
}

/// Refuses a directory that another than root could have chosen.
fn judge(directory: &Path, ledger: &Path) -> Result<()> {
    let judged = changeable(directory);
    match judged.map_err(Error::io("cannot look at the way to", directory))? {
        None => Ok(()),
        Some((uid, at)) => {
            let why = format!(
                "its directory is missing, and root does not make it below {}, which user {uid} \
                 or others can change; make it yourself, or name a place of root's alone",
                at.display()
            );
            Err(Error::Refused { path: ledger.to_owned(), why })
        }
    }
}

/// The first thing on a path that another than root could change, and whose it is; links are
/// followed, up to what is missing.
fn changeable(path: &Path) -> io::Result<Option<(u32, PathBuf)>> {
    let mut links = 0;
    let mut rest: Vec<PathBuf> = parts(&std::path::absolute(path)?);
    let mut at = PathBuf::from("/");
    loop {
        let found = match at.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        // Who may write a sticky directory may not put something else in another's place there.
        let open = found.mode() & 0o022 != 0 && found.mode() & S_ISVTX == 0;
        if found.uid() != 0 || (open && !found.is_symlink()) {
            return Ok(Some((found.uid(), at)));
        }
        if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(ErrorKind::InvalidInput.into());
            }
            let target = std::fs::read_link(&at)?;
            at.pop();
            rest.extend(parts(&target));
            if target.is_absolute() {
                at = PathBuf::from("/");
                continue;
            }
        }
        match rest.pop() {
            None => return Ok(None),
            Some(part) if part == Path::new("..") => drop(at.pop()),
            Some(part) => at.push(part),
        }
    }
}

/// The components of a path but its root, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter(|part| {
        !matches!(part, std::path::Component::RootDir | std::path::Component::CurDir)
    });
    let mut parts: Vec<PathBuf> = parts.map(|part| PathBuf::from(part.as_os_str())).collect();
    parts.reverse();
    parts
}
