//! Ledgers that somebody tampered with, or that come from elsewhere: made from real ones by
//! changing a line, with the library's own encoding.

use std::fs;
use std::path::Path;

use shmwarden::ledger::line;
use shmwarden::ledger::record::{Entry, Place, Record};
use shmwarden::object::{Identity, Segment};

/// Every entry of a ledger.
pub fn entries(ledger: &Path) -> Vec<Entry> {
    let bytes = fs::read(ledger).unwrap();
    let lines = bytes.split(|&byte| byte == b'\n');
    let lines = lines.filter(|text| !text.is_empty());
    lines.map(|text| line::decode(text).unwrap()).collect()
}

/// Changes every entry of a ledger in place; owner and mode stay.
pub fn edit(ledger: &Path, change: impl Fn(&mut Entry)) {
    let bytes = fs::read(ledger).unwrap();
    let mut changed = Vec::new();
    for mut entry in entries(ledger) {
        change(&mut entry);
        changed.extend_from_slice(&line::encode(&entry));
    }
    assert_ne!(changed, bytes, "nothing was changed");
    fs::write(ledger, changed).unwrap();
}

/// Changes where a ledger was written.
pub fn edit_place(ledger: &Path, change: impl Fn(&mut Place)) {
    edit(ledger, |entry| {
        if let Record::Header(header) = &mut entry.record {
            change(&mut header.place);
        }
    });
}

/// Changes what a ledger says of its segments.
pub fn edit_segments(ledger: &Path, change: impl Fn(&mut Segment)) {
    edit(ledger, |entry| {
        if let Record::Object(seen) = &mut entry.record {
            if let Identity::Shm(segment) = &mut seen.identity {
                change(segment);
            }
        }
    });
}

/// The pid of the newest claim, as its launcher saw it.
pub fn claimed_pid(ledger: &Path) -> i32 {
    let claims = entries(ledger).into_iter().rev();
    let mut pids = claims.filter_map(|entry| match entry.record {
        Record::Claim(claim) => Some(claim.process.pid),
        _ => None,
    });
    pids.next().expect("a claim")
}

/// Has a ledger claim a process that never was.
pub fn edit_claims(ledger: &Path) {
    edit(ledger, |entry| {
        if let Record::Claim(claim) = &mut entry.record {
            claim.process.pid += 1_000_000;
        }
    });
}
