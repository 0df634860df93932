//! Makes the directory of a ledger.
//!
//! Root makes one only where nobody else can change what its path means: a user's symbolic link
//! would have root make directories wherever that leads.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::libc::S_ISVTX;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

use crate::render::text;

/// Most symbolic links that are followed (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Makes the directory of a ledger, where it is missing: with all above it in the default place.
/// Of a path that was named it makes the last directory alone: one of which more is missing is
/// mistyped, or on a disk that is not mounted.
///
/// # Errors
/// [`Error::Io`]; [`Error::Refused`] where it cannot be made, and where another than root could
/// have chosen where root makes it.
pub(crate) fn make(ledger: &Path, is_default_place: bool) -> Result<()> {
    let Some(parent) = ledger.parent().filter(|parent| is_missing(parent)) else {
        return Ok(());
    };
    let missing: Vec<&Path> = parent
        .ancestors()
        // The last ancestor of a relative path is empty.
        .take_while(|step| *step != Path::new("") && is_missing(step))
        .collect();
    if missing.len() > 1 && !is_default_place {
        let above = missing.last().map_or(parent, |step| *step);
        let why = format!("{} is missing too, is the path right? ", above.display());
        return Err(unmade(ledger, parent, &why));
    }
    let as_root = user::effective() == 0;
    if as_root {
        judge(parent, ledger)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o755);
    for step in missing.into_iter().rev() {
        match builder.create(step) {
            // In a sticky directory another may have been quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unmade(ledger, parent, &format!("{error}; "))),
            Ok(()) if !is_default_place => {
                log::info!(
                    "made the directory {} for the ledger",
                    text::safe(&step.to_string_lossy())
                );
            }
            Ok(()) => {}
        }
        if as_root {
            judge(step, ledger)?;
        }
    }
    Ok(())
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn unmade(ledger: &Path, parent: &Path, why: &str) -> Error {
    let why = format!(
        "its directory is missing, and could not be made: {why}as root: install -d -m 0755 \
         -o {} {}",
        user::effective(),
        parent.display()
    );
    Error::Refused { path: ledger.to_owned(), why }
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
///
/// # Errors
/// Those of the look.
pub(crate) fn changeable(path: &Path) -> io::Result<Option<(u32, PathBuf)>> {
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
