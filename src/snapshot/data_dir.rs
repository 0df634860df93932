//! The files in a server's data directory that bear on its life: read only, never written.
//!
//! The path comes from a ledger: root asks as the ledger's owner, in a child, for a short time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK};

use serde::{Deserialize, Serialize};

use super::asked;
use crate::engine::postgres::{self, PidFile};
use crate::object::{Bytes, FileRef};
use crate::proc::Seen;

/// Most of `postmaster.pid` and `PG_VERSION` that is read, in bytes.
const MOST_BYTES: u64 = 8192;

/// A data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataDirectory {
    /// Its path.
    pub path: Bytes,
    /// Device and inode; `None` where it is not there.
    pub file: Option<FileRef>,
    /// Owner; PostgreSQL runs as nobody else.
    pub uid: Option<u32>,
    /// The content of `PG_VERSION`, where it is a number.
    pub major: Option<u32>,
    /// The content of `postmaster.pid`; [`Seen::Denied`] also where it cannot be understood.
    pub pid_file: Seen<PidFile>,
}

/// Looks at data directories that a ledger of this owner names. Of those that do not answer in
/// time nothing is known, and they count as those of living servers.
#[must_use]
pub(crate) fn look_as(owner: (u32, u32), paths: &[Bytes]) -> Vec<DataDirectory> {
    let unread = |path: &Bytes| DataDirectory {
        path: path.clone(),
        file: None,
        uid: None,
        major: None,
        pid_file: Seen::Denied,
    };
    if paths.is_empty() {
        return Vec::new();
    }
    // Root's own may lead to directories of several users: each is asked for apart.
    let each = if owner.0 == 0 { 1 } else { paths.len() };
    let looked = paths.chunks(each).flat_map(|some| {
        let what = some.first().map(Bytes::lossy).unwrap_or_default();
        let found = asked::of_user(owner, &what, || some.iter().map(look).collect());
        found.unwrap_or_else(|| some.iter().map(unread).collect::<Vec<DataDirectory>>())
    });
    looked.collect()
}

/// Looks at a data directory.
#[must_use]
pub fn look(path: &Bytes) -> DataDirectory {
    let dir = PathBuf::from(path);
    let metadata = std::fs::metadata(&dir).ok();
    let file = metadata.as_ref().map(|found| FileRef { dev: found.dev(), ino: found.ino() });
    let major = small_file(&dir.join("PG_VERSION")).here().and_then(|text| postgres::major(&text));
    let pid_file = match small_file(&dir.join("postmaster.pid")) {
        Seen::Here(text) => postgres::pid_file(&text).map_or(Seen::Denied, Seen::Here),
        Seen::Gone => Seen::Gone,
        Seen::Denied => Seen::Denied,
    };
    DataDirectory { path: path.clone(), file, uid: metadata.map(|m| m.uid()), major, pid_file }
}

/// Checks whether the server of a data directory says that it does not take connections yet.
#[must_use]
pub fn is_starting(path: &Bytes) -> bool {
    let text = small_file(&PathBuf::from(path).join("postmaster.pid")).here();
    text.is_some_and(|text| postgres::says_starting(&text))
}

/// A small regular file; a link or a pipe in its place counts as denied.
fn small_file(path: &Path) -> Seen<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        let file: File = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Seen::Here(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Gone,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Seen::Gone,
        Err(_) => Seen::Denied,
    }
}
