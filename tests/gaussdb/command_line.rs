//! The command line: openGauss's own options, and settings of the stand-in (`-c NAME=VALUE`).

use std::ffi::OsString;
use std::path::PathBuf;

use super::options::Options;

/// Reads it, program name left out.
pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Options, String> {
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
            Some("-D") => {
                options.data = std::path::absolute(&value).map_err(|error| error.to_string())?
            }
            Some("-p") => options.port = number(value.to_str().unwrap_or_default())?,
            // The role (primary, standby, pending): nothing here depends on it.
            Some("-M") => {}
            Some("-c") => set(&mut options, value.to_str().unwrap_or_default())?,
            _ => return Err(format!("invalid argument: {word:?}")),
        }
    }
    if options.data.as_os_str().is_empty() {
        return Err("no data directory (-D)".to_owned());
    }
    Ok(options)
}

fn set(options: &mut Options, setting: &str) -> Result<(), String> {
    let (name, value) = setting.split_once('=').unwrap_or((setting, "on"));
    match name {
        "shared_memory" => options.bytes = number(value)?,
        "sets" => options.sets = number(value)?,
        "threads" => options.threads = number(value)?,
        "enable_huge_pages" => options.huge_pages = value == "on",
        "fenced_udf" => options.fenced = value == "on",
        "recovering" => options.starts = value == "on",
        _ => return Err(format!("unrecognized configuration parameter \"{name}\"")),
    }
    Ok(())
}

fn number<N: std::str::FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{value} is no number for this"))
}
