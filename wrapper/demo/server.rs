//! The server of the story: PostgreSQL of whatever major is installed, with its buffer pool in
//! System V memory, else the stand-in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use shmwarden::engine::postgres::MAJORS;
use shmwarden::sys::process::Ended;

use super::stage::{Outcome, Stage, failed, last_lines};
use crate::render::text;

/// The file in its data directory in which a server says who it is, and that it is ready.
pub(super) const PID_FILE: &str = "postmaster.pid";
/// The first major that can put its buffer pool into System V memory.
const FIRST_SYSV_MAJOR: u32 = 12;
/// Where packages put it: Debian and its kin; Red Hat's kin from postgresql.org.
const PLACES: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// The server of the story.
#[derive(Debug)]
pub(super) enum Server {
    Postgres {
        bin: PathBuf,
        version: String,
        major: u32,
    },
    /// Whether that was asked for.
    StandIn {
        asked: bool,
    },
}

impl Server {
    /// Returns the one for this machine: the first PostgreSQL that can be executed, of PATH, then
    /// of packages, the newest first.
    pub(super) fn choose(stage: &mut Stage<'_>, stand_in: bool) -> Self {
        let places = if stand_in { Vec::new() } else { places() };
        for bin in places.into_iter().filter(|bin| bin.join("initdb").exists()) {
            let asked = stage.run(&bin.join("postgres"), &["--version".into()]);
            if let Some((version, major)) = asked.ok().and_then(|(_, said)| version_of(&said)) {
                return Self::Postgres { bin, version, major };
            }
        }
        Self::StandIn { asked: stand_in }
    }

    /// Returns what the document calls it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Postgres { version, .. } => format!("PostgreSQL {version}"),
            Self::StandIn { .. } => "the built-in stand-in for a database server".to_owned(),
        }
    }

    /// Returns how the story begins.
    pub(super) fn introduction(&self) -> String {
        let missed = matches!(self, Self::StandIn { asked: false });
        let why = format!("no PostgreSQL {} to {} was found, so\n", MAJORS.start(), MAJORS.end());
        if missed { why + &self.name() } else { self.name() }
    }

    /// Returns its command line as the story shows it.
    pub(super) fn command_shown(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "postgres -D server ...",
            Self::StandIn { .. } => "stand-in server",
        }
    }

    /// Makes its data directory.
    pub(super) fn prepare(&self, stage: &mut Stage<'_>, data: &Path) -> Outcome<()> {
        let Self::Postgres { bin, .. } = self else {
            return std::fs::create_dir(data).map_err(failed("cannot make a data directory"));
        };
        let words = "--no-sync --auth=trust --username=postgres --no-locale --encoding=UTF8 -D";
        let mut args: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        args.push(data.into());
        match stage.run(&bin.join("initdb"), &args)? {
            (Ended::Exited(0), _) => Ok(()),
            (_, said) => Err(format!(
                "initdb has failed (shmwarden demo --stand-in does without it): {}",
                last_lines(&said)
            )),
        }
    }

    /// Returns its command line.
    pub(super) fn command(&self, stage: &Stage<'_>, data: &Path) -> Vec<OsString> {
        let Self::Postgres { bin, major, .. } = self else {
            let words = [stage.path("stand-in").into(), "demo".into(), "--serve".into()];
            return words.into_iter().chain([data.into()]).collect();
        };
        // With this port majors up to 12 take keys from 0x00f42401 on.
        let settings = "-p 16000 -k . -c listen_addresses= -c fsync=off -c shared_buffers=128MB \
                        -c max_connections=20 -c dynamic_shared_memory_type=posix";
        let sysv = if *major >= FIRST_SYSV_MAJOR { " -c shared_memory_type=sysv" } else { "" };
        let words = settings.split(' ').chain(sysv.split_whitespace());
        let program = [bin.join("postgres").into(), "-D".into(), data.into()];
        program.into_iter().chain(words.map(OsString::from)).collect()
    }
}

/// Directories that may have PostgreSQL's programs. A link in PATH leads to its neighbours.
fn places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path)
        .filter_map(|place| Some(place.join("postgres").canonicalize().ok()?.parent()?.to_owned()));
    let mut places: Vec<PathBuf> = in_path.collect();
    let mut packaged: Vec<(u32, PathBuf)> = Vec::new();
    for (place, prefix) in PLACES {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            packaged.extend(major.map(|major| (major, entry.path().join("bin"))));
        }
    }
    packaged.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    places.extend(packaged.into_iter().map(|(_, bin)| bin));
    places
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_of(said: &str) -> Option<(String, u32)> {
    let version = said.split(' ').nth(2)?.trim();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let major = digits.parse().ok().filter(|major| MAJORS.contains(major))?;
    Some((text::safe(version), major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_and_of_betas_are_read() {
        let major = |text| version_of(text).map(|(_, major)| major);
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24\n"), None);
        assert_eq!(major("something else"), None);
    }
}
