//! A real PostgreSQL of whatever major is installed, with its buffer pool in System V memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use shmwarden::sys::process::Ended;

use super::query::Session;
use super::scene::Scene;
use super::trouble::{Outcome, Trouble, failed};

/// Majors that the engine knows.
pub(super) const MAJORS: std::ops::RangeInclusive<u32> = 10..=18;
/// The first major that can put its buffer pool into System V memory.
const FIRST_SYSV_MAJOR: u32 = 12;
/// With this port majors up to 12 take keys from 0x00f42401 on.
const PORT: u32 = 16_000;
/// Where packages put it: Debian and its kin; Red Hat's kin from postgresql.org.
const PLACES: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// Rows that are written before the crash.
pub(super) const ROWS: u32 = 1_000;
const WRITE: &str = "create table demo as select g as id, md5(g::text) as word
    from generate_series(1, 1000) g";
const READ: &str = "select count(*) || ' ' || md5(string_agg(word, ' ' order by id)) from demo";

/// Its programs.
#[derive(Debug, Clone)]
pub(super) struct Postgres {
    bin: PathBuf,
    version: String,
    major: u32,
}

impl Postgres {
    /// The first that the server's user can execute: of PATH, of `pg_config`, then by age.
    pub(super) fn find(scene: &mut Scene) -> Outcome<Option<Self>> {
        let mut places = in_path("postgres");
        if let Some(config) = in_path("pg_config").first() {
            let config = config.join("pg_config");
            let asked = scene.output(&config, &["--bindir".into()]);
            match asked {
                Ok((Ended::Exited(0), directory)) => places.push(directory.trim().into()),
                Err(interrupted @ Trouble::Interrupted(_)) => return Err(interrupted),
                _ => {}
            }
        }
        places.extend(packaged());
        for bin in places {
            if !bin.join("initdb").exists() || !bin.join("postgres").exists() {
                continue;
            }
            let asked = scene.output(&bin.join("postgres"), &["--version".into()]);
            let version = match asked {
                Ok((Ended::Exited(0), version)) => version,
                Err(interrupted @ Trouble::Interrupted(_)) => return Err(interrupted),
                _ => continue,
            };
            if let Some((version, major)) = version_of(&version) {
                return Ok(Some(Self { bin, version, major }));
            }
        }
        Ok(None)
    }

    /// For the story.
    pub(super) fn name(&self) -> String {
        format!("PostgreSQL {}", self.version)
    }

    /// Makes the data directory.
    pub(super) fn prepare(&self, scene: &mut Scene) -> Outcome<()> {
        let words = "--no-sync --auth=trust --username=postgres --no-locale --encoding=UTF8 -D";
        let mut args: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        args.push(data(scene).into());
        match scene.output(&self.bin.join("initdb"), &args)? {
            (Ended::Exited(0), _) => Ok(()),
            (ended, _) => Err(Trouble::Failed(format!(
                "initdb could not make a data directory ({}); try shmwarden demo --stand-in",
                how(ended)
            ))),
        }
    }

    /// The command line of the server.
    pub(super) fn command(&self, scene: &Scene) -> Vec<OsString> {
        let port = PORT.to_string();
        let mut command: Vec<OsString> = vec![self.bin.join("postgres").into()];
        command.extend(["-D".into(), data(scene).into()]);
        command.extend(["-k".into(), scene.home.clone().into()]);
        command.extend(["-p".into(), port.into()]);
        let settings = [
            ("listen_addresses=", 0),
            ("fsync=off", 0),
            ("shared_buffers=128MB", 0),
            ("max_connections=20", 0),
            ("dynamic_shared_memory_type=posix", 0),
            ("shared_memory_type=sysv", FIRST_SYSV_MAJOR),
        ];
        for (setting, since) in settings {
            if self.major >= since {
                command.extend(["-c".into(), setting.into()]);
            }
        }
        command
    }

    /// A session, once the server takes one.
    pub(super) fn session(home: &Path) -> Option<Session> {
        Session::connect(&home.join(format!(".s.PGSQL.{PORT}"))).ok()
    }
}

/// Writes the rows, or says why not.
pub(super) fn write_rows(session: &mut Session) -> Outcome<()> {
    let written = session.ask(WRITE).map(drop);
    written.map_err(failed("cannot write to the server"))
}

/// The number of rows, and what tells them from any others.
pub(super) fn read_rows(session: &mut Session) -> Outcome<String> {
    let read = session.ask(READ).map_err(failed("cannot read from the server"))?;
    Ok(read.concat())
}

fn how(ended: Ended) -> String {
    match ended {
        Ended::Exited(status) => format!("status {status}"),
        Ended::Signaled(signal, _) => format!("signal {signal}"),
    }
}

fn data(scene: &Scene) -> PathBuf {
    scene.home.join("data")
}

/// The real directories of PATH's programs of a name: a link in PATH leads to its neighbours.
fn in_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .filter_map(|directory| std::fs::canonicalize(directory.join(program)).ok());
    found
        .filter(|program| program.is_file())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .collect()
}

/// What packages have installed, the newest first.
fn packaged() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (place, prefix) in PLACES {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
            if let Some(Ok(major)) = digits.map(str::parse) {
                found.push((major, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.0));
    found.into_iter().map(|(_, bin)| bin).collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_of(text: &str) -> Option<(String, u32)> {
    let version = text.split(' ').nth(2)?.trim();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let major = digits.parse().ok().filter(|major| MAJORS.contains(major))?;
    Some((crate::render::text::safe(version), major))
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
