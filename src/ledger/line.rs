//! One record as one line of JSON with a checksum, and back. Pure; total on any bytes.
//!
//! `{"seq":1,"at":"...",...,"crc":"0123abcd"}`: the checksum (CRC-32) is of every byte before
//! `,"crc":`, and the whole ending is compared byte for byte, so no single flipped bit passes.

use std::time::SystemTime;

use serde::Deserialize;

use super::record::{Entry, ObjectSeen, Record, VERSION, rfc3339};

/// Longest line that is read, in bytes.
pub const LONGEST: usize = 1 << 20;

/// Why a line does not check.
#[derive(Debug, PartialEq, Eq)]
pub enum Bad {
    /// The checksum is not that of the line.
    Checksum,
    /// The checksum is right, and the content is none that this version knows.
    Content(String),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum does not match"),
            Self::Content(why) => write!(f, "its content is not understood ({why})"),
        }
    }
}

/// The line of an entry, with its newline.
#[must_use]
pub fn encode(entry: &Entry) -> Vec<u8> {
    // Serialising these types cannot fail: no maps with other keys than text, no foreign writers.
    let mut line = serde_json::to_vec(entry).unwrap_or_default();
    line.pop();
    let ending = ending(&line);
    line.extend_from_slice(ending.as_bytes());
    line.push(b'\n');
    line
}

/// The entry of a line without its newline.
///
/// # Errors
/// [`Bad`] where the line is not exactly what [`encode`] writes.
pub fn decode(line: &[u8]) -> Result<Entry, Bad> {
    let Some(at) = line.len().checked_sub(ending(&[]).len()) else {
        return Err(Bad::Checksum);
    };
    let (body, tail) = line.split_at(at);
    if line.len() > LONGEST || tail != ending(body).as_bytes() {
        return Err(Bad::Checksum);
    }
    let bad = |error: serde_json::Error| Bad::Content(error.to_string());
    // Most lines of a long ledger. Where the record is not known before the rest is read, serde
    // keeps a copy of every field until it is.
    match serde_json::from_slice(line) {
        Ok(Head { seq, at, forks, record }) if record == "object" => {
            let object: ObjectSeen = serde_json::from_slice(line).map_err(bad)?;
            Ok(Entry { seq, at, forks, record: Record::Object(object) })
        }
        _ => serde_json::from_slice(line).map_err(bad),
    }
}

/// The fields of every line, and the name of its record.
#[derive(Deserialize)]
struct Head {
    seq: u64,
    #[serde(with = "rfc3339")]
    at: SystemTime,
    #[serde(default)]
    forks: Option<u64>,
    record: String,
}

/// The version that a first line names, readable whatever else a newer format may have changed.
#[must_use]
pub fn newer_version(first_line: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(first_line).ok()?;
    let version = value.get("version")?.as_u64()?;
    (value.get("record")?.as_str()? == "header" && version > VERSION).then_some(version)
}

/// Checks for a line that ends with its own checksum, whatever it says.
#[must_use]
pub(super) fn is_checked(line: &[u8]) -> bool {
    let at = line.len().checked_sub(ending(&[]).len());
    at.and_then(|at| line.split_at_checked(at))
        .is_some_and(|(body, tail)| line.len() <= LONGEST && tail == ending(body).as_bytes())
}

fn ending(body: &[u8]) -> String {
    format!(",\"crc\":\"{:08x}\"}}", crc32fast::hash(body))
}
