//! The command line: openGauss's own options, and settings of the stand-in (`-c NAME=VALUE`).

use std::ffi::OsString;
use std::path::PathBuf;

/// What it is to be.
pub(crate) struct Options {
    /// `-D`, absolute.
    pub(crate) data: PathBuf,
    /// `-p`; 0 for a standalone backend.
    pub(crate) port: u16,
    /// `shared_memory`: bytes of the segment.
    pub(crate) bytes: usize,
    /// `enable_huge_pages` (`knl_guc` of that name).
    pub(crate) huge_pages: bool,
    /// `sets`: how many (one for 16 sessions).
    pub(crate) sets: usize,
    /// `threads`: how many take and release semaphores.
    pub(crate) threads: usize,
    /// `fenced_udf`: forks a fenced UDF master (python builds, `PythonFencedMasterModel`).
    pub(crate) fenced: bool,
    /// `recovering`: stays in `PM_STARTUP`.
    pub(crate) starts: bool,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Options {
            data: PathBuf::new(),
            port: 5432,
            bytes: 1 << 20,
            huge_pages: false,
            sets: 3,
            threads: 4,
            fenced: false,
            starts: false,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word:?} needs a value"))?;
            match word.to_str() {
                Some("-D") => options.data = std::path::absolute(&value).map_err(message)?,
                Some("-p") => options.port = number(value.to_str().unwrap_or_default())?,
                // The role (primary, standby, pending): nothing here depends on it.
                Some("-M") => {}
                Some("-c") => options.set(value.to_str().unwrap_or_default())?,
                _ => return Err(format!("invalid argument: {word:?}")),
            }
        }
        if options.data.as_os_str().is_empty() {
            return Err("no data directory (-D)".to_owned());
        }
        Ok(options)
    }

    fn set(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "on"));
        match name {
            "shared_memory" => self.bytes = number(value)?,
            "sets" => self.sets = number(value)?,
            "threads" => self.threads = number(value)?,
            "enable_huge_pages" => self.huge_pages = value == "on",
            "fenced_udf" => self.fenced = value == "on",
            "recovering" => self.starts = value == "on",
            _ => return Err(format!("unrecognized configuration parameter \"{name}\"")),
        }
        Ok(())
    }
}

fn number<N: std::str::FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{value} is no number for this"))
}

/// For `map_err`.
pub(crate) fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}
