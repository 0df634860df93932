//! The knowledge of each server: how to recognise it, what it leaves, what its lists say. Pure.
//!
//! A server is one file with its [`Facts`], which the compiler asks for whole, and its name in
//! [`ENGINES`]. Nobody outside of this room asks which engine it is, but what is true of it.

pub mod command_line;
pub mod generic;
pub mod opengauss;
pub mod postgres;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::object::FileRef;

/// Every kind of server that this program knows, in the order in which people are told of them.
pub const ENGINES: &[Engine] = &[Engine::GENERIC, Engine::POSTGRES, Engine::OPENGAUSS];

/// What is known of one kind of server, as far as clean-up is concerned.
#[derive(Debug)]
pub struct Facts {
    /// Its word in ledgers, in documents and for `--engine`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What `--help` says of it.
    pub help: &'static str,
    /// Base names of its server's program, under whatever names it is sold.
    pub programs: &'static [&'static str],
    /// What names its data directory; `None` where it has none.
    pub data: Option<DirectoryOption>,
    /// Checks that a command line starts a server, and is none of the errands that scripts send the
    /// same program on, some while the server runs: those share no memory.
    pub starts_server: fn(&[OsString]) -> bool,
    /// Reads what its main segment begins with; `None` where that is no header, or none yet.
    pub main_header: fn(&[u8]) -> Option<MainHeader>,
    /// Its header is nobody else's, so that a server whose program has another name is known by it.
    /// Not PostgreSQL's: what was made of that has the same header and other lists.
    pub known_by_header: bool,
    /// It keeps its main segment attached in each of its processes for life, so that nattch 0 on it
    /// proves that none lives.
    pub has_interlock: bool,
    /// It has one segment: whichever its process made is the main one.
    pub has_one_segment: bool,
    /// It lists its other shared memory in a control segment that its header names, as PostgreSQL
    /// does: what is listed goes first, the main segment last, and none while a list is not
    /// understood.
    pub lists_its_memory: bool,
    /// It lets go of what it removes before it removes it, whatever else it does.
    pub detaches_before_removal: bool,
    /// The mark that it puts into each of its semaphore sets, each of them its own then.
    pub set_mark: Option<SetMark>,
    /// It leaves objects behind when it ends with status 0, by design or defect, so that they are
    /// cleaned then too.
    pub leaks_on_clean_exit: bool,
}

/// How a server is told its data directory.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryOption {
    /// Reads it from a command line.
    pub of_arguments: fn(&[OsString]) -> Option<OsString>,
    /// The environment variable that names it where the command line does not.
    pub variable: &'static str,
}

/// The mark of a semaphore set: a last member of this value, put there by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetMark {
    /// Members of a set, the mark included.
    pub members: i32,
    /// The value of the last one.
    pub value: i32,
}

impl SetMark {
    /// Returns the member that is the mark.
    #[must_use]
    pub fn member(self) -> i32 {
        self.members - 1
    }
}

/// Bytes of a main segment's header that are looked at, of whatever server.
pub const HEADER_BYTES: usize = 56;

/// The header that a server wrote at the beginning of its main segment, whichever server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MainHeader {
    /// The server that created the segment.
    pub pid: i32,
    /// Device of its data directory.
    pub dev: u64,
    /// Inode of its data directory.
    pub ino: u64,
    /// What it says of a control segment.
    pub control: Control,
}

/// What a header says of the control segment, the list of a server's other shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A server of this kind has none.
    Never,
    /// It is not named yet, or not any more.
    Unnamed,
    /// It has this handle.
    Handle(u32),
}

impl Control {
    /// Returns its handle, where it is named.
    #[must_use]
    pub fn handle(self) -> Option<u32> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Never | Self::Unnamed => None,
        }
    }
}

/// A kind of server: a handle to its facts, which it gives by its fields.
#[derive(Clone, Copy)]
pub struct Engine(&'static Facts);

impl Engine {
    /// Makes a handle of facts: for the rows of this room, and the tests' own servers.
    #[must_use]
    pub const fn of(facts: &'static Facts) -> Self {
        Self(facts)
    }

    /// Checks that it is a server that is known, and not just any program.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Self::GENERIC
    }

    /// Checks that a command line starts a server of this kind ([`Facts::starts_server`]).
    #[must_use]
    pub fn starts_server(self, args: &[OsString]) -> bool {
        (self.0.starts_server)(args)
    }

    /// Reads the header of a main segment as a server of this kind lays it out; of a server of no
    /// known kind, as PostgreSQL does.
    #[must_use]
    pub fn main_header(self, bytes: &[u8]) -> Option<MainHeader> {
        (self.0.main_header)(bytes)
    }

    /// Returns the data directory that a command line names, or else this value of its environment
    /// variable ([`DirectoryOption::variable`]), made absolute.
    #[must_use]
    pub fn data_directory(
        self,
        args: &[OsString],
        variable: Option<&OsStr>,
        cwd: &Path,
    ) -> Option<PathBuf> {
        let named = (self.0.data?.of_arguments)(args);
        let variable = variable.filter(|value| !value.is_empty()).map(OsStr::to_owned);
        let path = cwd.join(named.or(variable)?);
        Some(std::path::absolute(&path).unwrap_or(path))
    }
}

/// Returns the engine of a program, by the base name of its file.
#[must_use]
pub fn recognise(executable: &Path) -> Engine {
    recognise_among(ENGINES, executable)
}

/// Returns which of these engines a program is of, by the base name of its file.
#[must_use]
pub fn recognise_among(engines: &[Engine], executable: &Path) -> Engine {
    let name = executable.file_name().map(OsStr::as_bytes).unwrap_or_default();
    // After an upgrade the kernel shows the old file as "postgres (deleted)".
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    let is_its = |engine: &&Engine| engine.programs.iter().any(|its| its.as_bytes() == name);
    engines.iter().find(is_its).copied().unwrap_or(Engine::GENERIC)
}

/// Returns the kind of server that the header of a segment shows its maker to be, whatever its
/// program is called: it names this process, and the directory that the process works in.
#[must_use]
pub fn known_by_header(bytes: &[u8], pid: i32, works_in: FileRef) -> Option<Engine> {
    let is_its = |header: MainHeader| {
        header.pid == pid && FileRef { dev: header.dev, ino: header.ino } == works_in
    };
    let mut engines = ENGINES.iter().copied().filter(|engine| engine.known_by_header);
    engines.find(|engine| engine.main_header(bytes).is_some_and(is_its))
}

/// Returns what a segment begins with as each server that keeps its main segment attached reads it.
pub(crate) fn interlocks_in(bytes: &[u8]) -> impl Iterator<Item = MainHeader> {
    let engines = ENGINES.iter().filter(|engine| engine.has_interlock);
    engines.filter_map(|engine| engine.main_header(bytes))
}

impl Deref for Engine {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        self.0
    }
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Engine {}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let word = String::deserialize(input)?;
        let known = ENGINES.iter().find(|engine| engine.name == word).copied();
        known.ok_or_else(|| de::Error::custom(format!("no engine is called {word:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_recognised_by_the_base_name_of_its_file() {
        assert_eq!(recognise(Path::new("/usr/lib/postgresql/15/bin/postgres")), Engine::POSTGRES);
        assert_eq!(recognise(Path::new("/x/postgres (deleted)")), Engine::POSTGRES);
        assert_eq!(recognise(Path::new("gaussdb")), Engine::OPENGAUSS);
        assert_eq!(recognise(Path::new("/usr/bin/psql")), Engine::GENERIC);
        assert_eq!(recognise(Path::new("/")), Engine::GENERIC);
    }

    #[test]
    fn a_word_that_no_engine_has_is_an_error() {
        for engine in ENGINES {
            let word = serde_json::to_string(engine).unwrap();
            assert_eq!(serde_json::from_str::<Engine>(&word).unwrap(), *engine);
        }
        assert!(serde_json::from_str::<Engine>("\"oracle\"").is_err());
        assert!(serde_json::from_str::<Engine>("null").is_err());
    }
}
