//! Tells a ledger from any other file by how it begins. Pure; total on any bytes.
//!
//! A mistyped path must never cost anybody a file, so this is strict: a file whose first bytes are
//! not those of a header line is no ledger, whatever it is called and whatever stands behind them.

use super::line;
use super::record::{Record, VERSION};

/// The first bytes of every ledger: `0` stands for one digit, `#` for a number. A header may say
/// the fork count, as any line may.
const OPENINGS: [&[u8]; 2] = [
    br#"{"seq":#,"at":"0000-00-00T00:00:00.000Z","record":"header","version":#,"#,
    br#"{"seq":#,"at":"0000-00-00T00:00:00.000Z","forks":#,"record":"header","version":#,"#,
];

/// Longest number in it, in digits.
const LONGEST_NUMBER: usize = 20;

/// The beginning of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// As a ledger of a version that this program reads.
    Ledger,
    /// As a ledger of a newer version.
    Newer(u64),
    /// It is empty, or a header line was cut short: a ledger that was not yet begun.
    NotYet,
    /// As none: it is somebody's file.
    NoLedger,
}

/// Returns how a file with these bytes begins. Where they are more than [`line::LONGEST`], no more
/// than that and one are needed.
#[must_use]
pub fn of(bytes: &[u8]) -> Beginning {
    let end = bytes.iter().take(line::LONGEST + 1).position(|&byte| byte == b'\n');
    let first_line = end.and_then(|end| bytes.get(..end));
    match (opening(bytes), first_line) {
        (Opening::CutShort, _) => Beginning::NotYet,
        (Opening::Whole(version), Some(_)) if version > VERSION => Beginning::Newer(version),
        (Opening::Whole(_), Some(_)) => Beginning::Ledger,
        (Opening::Whole(version), None) if version <= VERSION && is_cut_header(bytes) => {
            Beginning::NotYet
        }
        (Opening::None, Some(text)) => match line::newer_version(text) {
            // A later format may order its header otherwise; its checksum shows that it is one.
            Some(version) if line::is_checked(text) => Beginning::Newer(version),
            _ => Beginning::NoLedger,
        },
        _ => Beginning::NoLedger,
    }
}

/// Returns false for a file that is known to be no ledger by these first bytes of it.
#[must_use]
pub fn may_be(bytes: &[u8]) -> bool {
    !matches!(opening(bytes), Opening::None) || of(bytes) != Beginning::NoLedger
}

/// Checks for a header line without its newline, or the beginning of one.
fn is_cut_header(bytes: &[u8]) -> bool {
    if bytes.len() > line::LONGEST {
        return false;
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Err(error) => error.is_eof(),
        Ok(_) => line::decode(bytes).is_ok_and(|e| matches!(e.record, Record::Header(_))),
    }
}

/// The part of one of [`OPENINGS`] that is there.
enum Opening {
    /// All of it, with this version.
    Whole(u64),
    /// All that there is agrees with it, and then the file ends.
    CutShort,
    /// Some byte is another one.
    None,
}

fn opening(bytes: &[u8]) -> Opening {
    let found = OPENINGS.iter().map(|pattern| matched(bytes, pattern));
    found.into_iter().find(|one| !matches!(one, Opening::None)).unwrap_or(Opening::None)
}

fn matched(bytes: &[u8], pattern: &[u8]) -> Opening {
    let mut rest = bytes;
    let mut number = 0;
    for want in pattern {
        let Some((first, behind)) = rest.split_first() else {
            return Opening::CutShort;
        };
        rest = match want {
            b'#' => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let Some((value, behind)) = rest.split_at_checked(digits) else {
                    return Opening::None;
                };
                let value = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                match value {
                    Some(value) if digits <= LONGEST_NUMBER => number = value,
                    _ => return Opening::None,
                }
                behind
            }
            b'0' if first.is_ascii_digit() => behind,
            want if want == first && *want != b'0' => behind,
            _ => return Opening::None,
        };
    }
    Opening::Whole(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"seq\":1,\"at\":\"2026-11-21T09:01:27.953Z\",\"record\":\"header\",\
                          \"version\":2,\"boot\":\"b\",\"ipc_namespace\":\"id:1\",\
                          \"pid_namespace\":\"id:2\",\"shm_mount\":null";

    fn checked(body: &str) -> String {
        format!("{body},\"crc\":\"{:08x}\"}}", crc32fast::hash(body.as_bytes()))
    }

    #[test]
    fn every_beginning_of_a_header_line_is_a_ledger_not_yet_begun() {
        let line = checked(HEADER);
        for cut in 0..=line.len() {
            assert_eq!(of(&line.as_bytes()[..cut]), Beginning::NotYet, "{}", &line[..cut]);
        }
        assert_eq!(of(format!("{line}\n").as_bytes()), Beginning::Ledger);
    }

    #[test]
    fn other_peoples_files_are_no_ledgers() {
        let nul = vec![0; 4096];
        let long = [HEADER.as_bytes(), b",\"x\":\"", &vec![b'x'; line::LONGEST]].concat();
        let flipped = HEADER.replacen("header", "hfader", 1);
        let run = checked("{\"seq\":1,\"at\":\"2026-11-21T09:01:27.953Z\",\"record\":\"run\"");
        let of_version = |version: &str| HEADER.replacen("\"version\":2", version, 1);
        for (what, bytes) in [
            ("text", &b"root:x:0:0:root:/root:/bin/bash\n"[..]),
            ("another program's JSON", b"{\"seq\":1,\"some\":\"other program\"}\n"),
            ("JSON with a version", b"{\"record\":\"header\",\"version\":99}\n"),
            ("an empty line", b"\n"),
            ("two empty lines", b"\n\n"),
            ("a byte order mark", b"\xef\xbb\xbf{\"seq\":1"),
            ("a line of Windows", b"{\"seq\":1\r\n"),
            ("one letter", b"x"),
            ("a number that is none", b"{\"seq\":x"),
            ("a long number", b"{\"seq\":111111111111111111111,"),
            ("what a power cut leaves", &nul),
            ("a line without an end", &long),
            ("a changed byte in the opening", format!("{flipped}}}\n").as_bytes()),
            ("another record", format!("{run}\n").as_bytes()),
            ("a cut header of a newer version", of_version("\"version\":99").as_bytes()),
            ("a whole line that does not check", format!("{HEADER}}}").as_bytes()),
        ] {
            assert_eq!(of(bytes), Beginning::NoLedger, "{what}");
        }
    }

    #[test]
    fn a_newer_header_is_known_by_its_opening_or_by_its_checksum() {
        let newer = HEADER.replacen("\"version\":2", "\"version\":30", 1);
        assert_eq!(of(format!("{newer} anything\n").as_bytes()), Beginning::Newer(30));
        let other = "{\"record\":\"header\",\"version\":31,\"seq\":1";
        assert_eq!(of(format!("{}\n", checked(other)).as_bytes()), Beginning::Newer(31));
        assert_eq!(of(format!("{other}}}\n").as_bytes()), Beginning::NoLedger);
    }
}
