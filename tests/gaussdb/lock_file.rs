//! `postmaster.pid` (`miscinit.cpp CreateLockFile`, `AddToDataDirLockFile`, `UnlinkLockFile`).

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use shmwarden::engine::postgres;

use super::options::{Options, message};
use super::segment;

/// Relative, for the server works in its data directory.
const PATH: &str = "postmaster.pid";

/// The file, and that it is this server's.
pub(crate) struct LockFile;

impl LockFile {
    /// Makes it with its first five lines; refuses where another server lives, or something still
    /// has that one's segment attached (`PGSharedMemoryIsInUse`).
    pub(crate) fn create(options: &Options) -> Result<Self, String> {
        let mut file = loop {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(PATH);
            match made {
                Ok(file) => break file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("could not create lock file {PATH:?}: {error}")),
            }
            let old = postgres::pid_file(&fs::read(PATH).map_err(message)?);
            let old = old.ok_or_else(|| format!("bogus data in lock file {PATH:?}"))?;
            let own = i32::try_from(std::process::id()).unwrap_or(0);
            if old.pid != own && fs::exists(format!("/proc/{}", old.pid)).unwrap_or(true) {
                return Err(format!("lock file {PATH:?} already exists (PID {})", old.pid));
            }
            if let Some((key, id)) = old.segment.filter(|(_, id)| segment::is_in_use(*id)) {
                return Err(format!(
                    "pre-existing shared memory block (key {key}, ID {id}) is still in use"
                ));
            }
            fs::remove_file(PATH).map_err(message)?;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(message)?;
        let lines = [
            std::process::id().to_string(),
            options.data.display().to_string(),
            now.as_secs().to_string(),
            options.port.to_string(),
            options.data.display().to_string(),
        ];
        file.write_all((lines.join("\n") + "\n").as_bytes()).map_err(message)?;
        file.sync_all().map_err(message)?;
        Ok(LockFile)
    }

    /// Writes a line in its place; those before it must be there, those after it go.
    pub(crate) fn add_line(&self, number: usize, line: &str) -> Result<(), String> {
        let text = fs::read_to_string(PATH).map_err(message)?;
        let mut lines: Vec<&str> = text.lines().take(number - 1).collect();
        lines.push(line);
        let mut file = OpenOptions::new().write(true).open(PATH).map_err(message)?;
        file.write_all((lines.join("\n") + "\n").as_bytes()).map_err(message)
    }

    /// `proc_exit`.
    pub(crate) fn unlink(self) {
        let _ = fs::remove_file(PATH);
    }
}
