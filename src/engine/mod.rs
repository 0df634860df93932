//! The knowledge of each server: how to recognise it, what it leaves, what its lists say. Pure.

pub mod generic;
pub mod opengauss;
pub mod postgres;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use crate::object::EngineName;

/// The engine of a program, by the base name of its file.
#[must_use]
pub fn recognise(executable: &Path) -> EngineName {
    let name = executable.file_name().map(OsStr::as_bytes).unwrap_or_default();
    // After an upgrade the kernel shows the old file as "postgres (deleted)".
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    match name {
        b"postgres" | b"postmaster" => EngineName::Postgres,
        b"gaussdb" | b"gauss" => EngineName::Opengauss,
        _ => EngineName::Generic,
    }
}

/// Checks that a server of this kind leaves objects behind when it ends with status 0 by design or
/// defect (openGauss: `postmaster.cpp`, the immediate stop), so that they are cleaned then too.
#[must_use]
pub fn leaks_on_clean_exit(engine: EngineName) -> bool {
    engine == EngineName::Opengauss
}

/// Checks that a server keeps one segment attached in each of its processes all its life, so that
/// nattch 0 on it proves that none lives (`sysv_shmem.c`, `sysv_shmem.cpp`).
#[must_use]
pub fn has_interlock(engine: EngineName) -> bool {
    matches!(engine, EngineName::Postgres | EngineName::Opengauss)
}

/// Bytes of a main segment's header that are looked at; both servers' have as many.
pub const HEADER_BYTES: usize = postgres::HEADER_BYTES;
const _: () = assert!(HEADER_BYTES == opengauss::HEADER_BYTES);

/// The header that a server wrote at the beginning of its main segment, whichever server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MainHeader {
    /// The server that created the segment.
    pub pid: i32,
    /// Device of its data directory.
    pub dev: u64,
    /// Inode of its data directory.
    pub ino: u64,
}

/// Reads the header of a main segment as a server of this kind lays it out; of a server of no known
/// kind, as PostgreSQL does.
#[must_use]
pub fn main_header(engine: EngineName, bytes: &[u8]) -> Option<MainHeader> {
    if engine == EngineName::Opengauss {
        let opengauss::Header { pid, dev, ino, .. } = opengauss::header(bytes)?;
        return Some(MainHeader { pid, dev, ino });
    }
    let postgres::Header { pid, dev, ino, .. } = postgres::header(bytes)?;
    Some(MainHeader { pid, dev, ino })
}

/// The data directory that a command line or the environment names, made absolute.
#[must_use]
pub fn data_directory(
    engine: EngineName,
    args: &[OsString],
    pgdata: Option<&OsStr>,
    cwd: &Path,
) -> Option<PathBuf> {
    if engine == EngineName::Generic {
        return None;
    }
    let named = option_d(args).or(pgdata.filter(|value| !value.is_empty()).map(OsStr::to_owned))?;
    let path = cwd.join(named);
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Checks that a command line starts a server, and not one of the errands that scripts send the
/// same program on, some while the server runs (`main.c`, `postmaster.c`): those share no memory.
#[must_use]
pub fn starts_server(engine: EngineName, args: &[OsString]) -> bool {
    const ERRANDS: [&[u8]; 6] =
        [b"--help", b"-?", b"--version", b"-V", b"--describe-config", b"--check"];
    if engine == EngineName::Generic {
        return true;
    }
    let mut args = args.iter().skip(1).map(|arg| arg.as_bytes()).peekable();
    let errand = args.peek().is_some_and(|first| ERRANDS.contains(first));
    let mut asks_value = false;
    while let Some(arg) = args.next() {
        asks_value |= arg.starts_with(b"-C");
        if WITH_VALUE.contains(&arg) || matches!(arg, b"-D" | b"--pgdata") {
            args.next();
        }
    }
    !errand && !asks_value
}

/// Options of a server that take a value of their own (`postmaster.c`: getopt).
const WITH_VALUE: [&[u8]; 14] = [
    b"-c", b"-B", b"-d", b"-f", b"-h", b"-k", b"-N", b"-o", b"-p", b"-r", b"-S", b"-t", b"-v",
    b"-W",
];

/// The value of the last `-D` of a server's arguments (`postmaster.c`: getopt; the last counts).
fn option_d(args: &[OsString]) -> Option<OsString> {
    let mut found = None;
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"-D" | b"--pgdata" => found = args.next().cloned(),
            // Their value is not looked at.
            option if WITH_VALUE.contains(&option) => {
                args.next();
            }
            [b'-', b'D', value @ ..] => found = Some(OsStr::from_bytes(value).to_owned()),
            other => {
                if let Some(value) = other.strip_prefix(b"--pgdata=") {
                    found = Some(OsStr::from_bytes(value).to_owned());
                } else if let Some(value) = other.strip_prefix(b"--data_directory=") {
                    found = Some(OsStr::from_bytes(value).to_owned());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_server_is_recognised_by_the_base_name_of_its_file() {
        assert_eq!(
            recognise(Path::new("/usr/lib/postgresql/15/bin/postgres")),
            EngineName::Postgres
        );
        assert_eq!(recognise(Path::new("/x/postgres (deleted)")), EngineName::Postgres);
        assert_eq!(recognise(Path::new("gaussdb")), EngineName::Opengauss);
        assert_eq!(recognise(Path::new("/usr/bin/psql")), EngineName::Generic);
        assert_eq!(recognise(Path::new("/")), EngineName::Generic);
    }

    #[test]
    fn what_prints_and_ends_starts_no_server() {
        let starts = |words: &[&str]| starts_server(EngineName::Postgres, &args(words));
        assert!(starts(&["postgres"]) && starts(&["postgres", "-c", "-C", "-D", "-C"]));
        assert!(!starts(&["postgres", "-D", "/a", "-C", "port", "--config-file=x"]));
        assert!(!starts(&["postgres", "-Cport", "-D", "/a"]));
        assert!(starts(&["postgres", "--single", "-D", "/a", "postgres"]));
        for errand in ["--version", "-V", "--help", "-?", "--describe-config", "--check", "-C"] {
            assert!(!starts(&["postgres", errand, "x"]), "{errand}");
            assert!(starts_server(EngineName::Generic, &args(&["x", errand])));
        }
    }

    #[test]
    fn the_last_data_directory_counts_and_is_made_absolute() {
        let dir = |words: &[&str], pgdata: Option<&str>| {
            let pgdata = pgdata.map(OsStr::new);
            data_directory(EngineName::Postgres, &args(words), pgdata, Path::new("/here"))
        };
        assert_eq!(dir(&["postgres", "-D", "/a", "-D/b"], None), Some("/b".into()));
        assert_eq!(dir(&["postgres", "-p", "-D", "-D", "c"], None), Some("/here/c".into()));
        assert_eq!(dir(&["postgres"], Some("/env")), Some("/env".into()));
        assert_eq!(dir(&["postgres"], Some("")), None);
        assert_eq!(dir(&["postgres", "-D"], None), None);
    }
}
