//! `/etc/shmwarden/places`: where an administrator says that ledgers are, a path a line.
//!
//! Only root's word counts: a file that others could have written is refused.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK};
use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::sys::files;

use super::find::{Looked, Place, Source, Told};
use crate::exit;

/// The file.
pub(super) const FILE: &str = "/etc/shmwarden/places";
/// Its largest size, in bytes.
const MOST_BYTES: u64 = 64 << 10;
/// Most places that it may name.
const MOST_PLACES: usize = 128;

/// The places that the file names; none where there is no such file.
pub(super) fn places() -> Told {
    let read = read(Path::new(FILE)).and_then(|text| parse(&text));
    match read {
        Ok(paths) => {
            let places = paths.into_iter().map(|path| Place::new(Source::Listed, path));
            Told { places: places.collect(), ..Told::default() }
        }
        Err(why) => {
            let place = format!("what {FILE} names ({why})");
            let looked = Looked {
                path: PathBuf::from(FILE),
                source: Source::Listed,
                ledgers: 0,
                is_missing: false,
                error: Some(why),
            };
            Told {
                places: Vec::new(),
                unlooked: vec![Unlooked { place, whose: Whose::Anybody }],
                looked: vec![looked],
                status: exit::PERMISSION,
            }
        }
    }
}

/// Returns the content of the file, where it is root's alone.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let words = |error: io::Error| error.to_string();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err("it is a symbolic link; put the file itself there".to_owned());
        }
        Err(error) => return Err(words(error)),
    };
    let facts = files::facts(file.as_fd()).map_err(|errno| errno.desc().to_owned())?;
    if !facts.is_regular() {
        return Err("it is not a regular file".to_owned());
    }
    judge("it", facts.uid, facts.mode)?;
    let directory = path.parent().unwrap_or(path).metadata().map_err(words)?;
    judge("its directory", directory.uid(), directory.mode())?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(words)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(format!("it is larger than {} KiB", MOST_BYTES >> 10)),
        false => Ok(bytes),
    }
}

/// Refuses what others than root could have written.
fn judge(what: &str, uid: u32, mode: u32) -> Result<(), String> {
    if uid != 0 {
        return Err(format!("{what} belongs to user {uid} and not to root: chown root it"));
    }
    match mode & 0o022 {
        0 => Ok(()),
        _ => Err(format!(
            "{what} may be written by others, mode {:04o}: check it, then chmod go-w it",
            mode & 0o7777
        )),
    }
}

/// A path a line; empty lines and those that begin with `#` say nothing.
fn parse(text: &[u8]) -> Result<Vec<PathBuf>, String> {
    let mut places = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if !line.starts_with(b"/") || line.contains(&0) {
            return Err(format!("line {} is no absolute path", number + 1));
        }
        if places.len() == MOST_PLACES {
            return Err(format!("it names more than {MOST_PLACES} places"));
        }
        places.push(PathBuf::from(std::ffi::OsStr::from_bytes(line)));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_line_and_nothing_else() {
        let paths = |text: &str| parse(text.as_bytes());
        let all = ["/srv/a b", "/srv/c.ledger"].map(PathBuf::from).to_vec();
        assert_eq!(paths("# ours\n\n /srv/a b \r\n/srv/c.ledger"), Ok(all));
        assert_eq!(paths(""), Ok(vec![]));
        for wrong in ["srv/a", "/a\n~/b", "\0"] {
            assert!(paths(wrong).is_err(), "{wrong:?}");
        }
        assert!(paths(&"/a\n".repeat(MOST_PLACES)).is_ok());
        assert!(paths(&"/a\n".repeat(MOST_PLACES + 1)).is_err());
    }
}
