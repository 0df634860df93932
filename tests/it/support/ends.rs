//! What the kernel tells of a process's end to whoever is not its parent.

use std::fs;

/// What `history` says of an end that no parent of ours has seen: the kernel tells it from 6.15 on.
pub fn seen_from_beside(told: &str) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap(), parts.next().unwrap());
    if version >= (6, 15) { told.to_owned() } else { "unknown".to_owned() }
}
