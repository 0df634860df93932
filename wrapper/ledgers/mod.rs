//! The paths of ledgers: the default place, the name of an instance, what lies in a directory.

pub(crate) mod directory;
pub(crate) mod find;
mod held;
mod instance;
mod listed;
mod reading;
pub(crate) mod robbery;
pub(crate) mod runs;
mod started;
mod units;
mod unprivileged;
mod users;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shmwarden::engine::generic;
use shmwarden::ledger::Ledger;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

use crate::render::text::word;

pub(crate) use find::{Found, Looked, Reach, find};
pub(crate) use held::{deleted, watched_by};
pub(crate) use instance::of_instance;

/// The file name ending of a ledger.
const ENDING: &str = "ledger";

/// Root's default place, with one directory a service below.
const ROOTS: &str = "/var/lib/shmwarden";

/// Returns what is wrong with a ledger, and what to do where the error does not say so: for
/// commands that only read.
pub(crate) fn trouble(error: &Error) -> String {
    match error {
        Error::Damaged { path, .. } => format!(
            "{error}; nothing in it is believed, and nothing that it recorded is removed; \
             `shmwarden sweep {}` sets it aside",
            word(path.as_os_str())
        ),
        other => other.to_string(),
    }
}

/// The directory that ledgers lie in where none is named.
pub(crate) fn default_directory() -> PathBuf {
    if let Some(listed) = std::env::var_os("STATE_DIRECTORY") {
        if let Some(entry) = of_state_directory(&listed) {
            return entry;
        }
    }
    if user::effective() == 0 {
        return PathBuf::from(ROOTS);
    }
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home().join(".local/state"));
    base.join("shmwarden")
}

/// Checks that a unit's command asks, which is about that unit's own ledgers (`StateDirectory=`).
pub(crate) fn is_in_unit() -> bool {
    std::env::var_os("STATE_DIRECTORY").is_some_and(|listed| of_state_directory(&listed).is_some())
}

/// The entry of a colon-separated list that has a component `shmwarden` (`systemd.exec(5)`).
fn of_state_directory(listed: &OsStr) -> Option<PathBuf> {
    let entries = listed.as_bytes().split(|&byte| byte == b':');
    entries
        .map(|entry| PathBuf::from(OsStr::from_bytes(entry)))
        .find(|entry| entry.components().any(|part| part.as_os_str() == "shmwarden"))
}

/// The home directory that the user database names.
fn home() -> PathBuf {
    let uid = nix::unistd::Uid::from_raw(user::effective());
    let look = || nix::unistd::User::from_uid(uid);
    // Asked again where that fails for a moment: another home directory is another ledger.
    let entry = look().or_else(|_| look()).ok().flatten();
    entry.map_or_else(|| PathBuf::from("/"), |entry| entry.dir)
}

/// Reads a ledger that is to be written to, and says where its last line was torn.
///
/// # Errors
/// As [`Ledger::read_whole`].
pub(crate) fn read_to_write(ledger: &mut Ledger) -> Result<()> {
    if ledger.read_whole()? {
        let path = ledger.path().display();
        log::warn!("{path} ended in the middle of a line, which is dropped");
    }
    Ok(())
}

/// The words of the caller on the ledger that is meant.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    /// `--ledger`.
    pub(crate) path: Option<&'a Path>,
    /// `--name`.
    pub(crate) name: Option<&'a str>,
    /// The server's data directory.
    pub(crate) data: Option<&'a Path>,
    /// COMMAND.
    pub(crate) command: Option<&'a Path>,
    /// `--dir`.
    pub(crate) directory: Option<&'a Path>,
    /// Set where an option chooses among the ledgers of a directory.
    pub(crate) chosen: bool,
}

/// `SHMWARDEN_LEDGER`; an empty one is none.
pub(crate) fn from_environment() -> Option<PathBuf> {
    let value = std::env::var_os("SHMWARDEN_LEDGER").filter(|value| !value.is_empty())?;
    Some(absolute(Path::new(&value)))
}

/// The path of one ledger: `--ledger`, `SHMWARDEN_LEDGER` unless an option chooses the instance,
/// or NAME in the default directory.
pub(crate) fn path(named: &Named<'_>) -> PathBuf {
    if let Some(path) = named.path {
        return absolute(path);
    }
    if let Some(path) = from_environment().filter(|_| !named.chosen) {
        return path;
    }
    let name = match named.name {
        Some(name) => name.to_owned(),
        None => generic::instance_name(named.data, named.command.unwrap_or(Path::new("server"))),
    };
    let directory = named.directory.map_or_else(default_directory, absolute);
    directory.join(format!("{name}.{ENDING}"))
}

/// A path that stays true when the working directory changes.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Checks that a path lies in a directory, whatever links lead to either.
pub(crate) fn lies_in(path: &Path, directory: &Path) -> bool {
    let real = |path: &Path| path.ancestors().find_map(|above| above.canonicalize().ok());
    let within = || {
        let (directory, above) = (directory.canonicalize().ok()?, real(path.parent()?)?);
        Some(above.starts_with(directory))
    };
    path.starts_with(directory) || within().unwrap_or(false)
}

/// The name of an instance by its ledger: the file's stem.
pub(crate) fn instance(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
