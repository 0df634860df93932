//! The command line of PostgreSQL's postmaster, which openGauss has kept. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::DirectoryOption;

/// How both are told their data directory.
pub const DATA: DirectoryOption = DirectoryOption { of_arguments: option_d, variable: "PGDATA" };

/// Checks that a command line starts a server, and not one of the errands that scripts send the
/// same program on, some while the server runs (`main.c`, `postmaster.c`): those share no memory.
#[must_use]
pub fn starts_server(args: &[OsString]) -> bool {
    const ERRANDS: [&[u8]; 6] =
        [b"--help", b"-?", b"--version", b"-V", b"--describe-config", b"--check"];
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
    use std::path::Path;

    use super::*;
    use crate::engine::Engine;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_prints_and_ends_starts_no_server() {
        let starts = |words: &[&str]| starts_server(&args(words));
        assert!(starts(&["postgres"]) && starts(&["postgres", "-c", "-C", "-D", "-C"]));
        assert!(!starts(&["postgres", "-D", "/a", "-C", "port", "--config-file=x"]));
        assert!(!starts(&["postgres", "-Cport", "-D", "/a"]));
        assert!(starts(&["postgres", "--single", "-D", "/a", "postgres"]));
        for errand in ["--version", "-V", "--help", "-?", "--describe-config", "--check", "-C"] {
            assert!(!starts(&["postgres", errand, "x"]), "{errand}");
            assert!(Engine::GENERIC.starts_server(&args(&["x", errand])));
        }
    }

    #[test]
    fn the_last_data_directory_counts_and_is_made_absolute() {
        let dir = |words: &[&str], pgdata: Option<&str>| {
            let pgdata = pgdata.map(OsStr::new);
            Engine::POSTGRES.data_directory(&args(words), pgdata, Path::new("/here"))
        };
        assert_eq!(dir(&["postgres", "-D", "/a", "-D/b"], None), Some("/b".into()));
        assert_eq!(dir(&["postgres", "-p", "-D", "-D", "c"], None), Some("/here/c".into()));
        assert_eq!(dir(&["postgres"], Some("/env")), Some("/env".into()));
        assert_eq!(dir(&["postgres"], Some("")), None);
        assert_eq!(dir(&["postgres", "-D"], None), None);
    }
}
