//! What can go wrong, as sentences that name the path or object and say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a library call.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the library. `wrapper/exit.rs` turns each kind into one exit status.
#[derive(Debug)]
pub enum Error {
    /// A call on a file failed.
    Io {
        /// What was being done, as in "cannot write the ledger".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A ledger that must not be trusted: a link, a foreign owner, a mode that lets others write.
    Refused {
        /// The ledger.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A ledger whose content does not check.
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// The first line that does not check, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A file that does not begin as a ledger: left as it is.
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// A ledger written by a newer shmwarden.
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// The newest that this program reads.
        known: u64,
    },
    /// There is no ledger at this path.
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The kernel does not offer what is needed.
    Unsupported(String),
    /// A record that may not follow: a mistake in this program.
    Illegal(String),
}

impl Error {
    /// An [`Error::Io`] on `path`, for `map_err`.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
            Self::Refused { path, why } => {
                write!(f, "refused the ledger {}: {why}", path.display())
            }
            Self::Damaged { path, line, why } => {
                write!(f, "the ledger {} is damaged at line {line}: {why}", path.display())
            }
            Self::NotALedger { path } => write!(
                f,
                "{} is not a ledger, and was left as it is: name the ledger that is meant; if \
                 this was one once, move it away",
                path.display()
            ),
            Self::Newer { path, version, known } => write!(
                f,
                "the ledger {} has version {version}, and this shmwarden knows versions up to \
                 {known}: use the shmwarden that wrote it, or a newer one",
                path.display()
            ),
            Self::Missing { path } => write!(f, "there is no ledger {}", path.display()),
            Self::Unsupported(what) => write!(f, "{what}"),
            Self::Illegal(what) => {
                write!(f, "a mistake in shmwarden, please report it: {what}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
