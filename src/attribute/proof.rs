//! What proves that a segment which bears a claimed pid is the claimed process's own. Pure.

use crate::engine;
use crate::ledger::record::{Claim, How};
use crate::observe::{Observation, Seen};
use crate::sys::shm::{MODE_DEST, Row};

/// Fewest pids that the kernel gives out before a number comes round, less than `pid_max`
/// (`kernel/pid.c`: `RESERVED_PIDS` are left out after the first round).
const RESERVED_PIDS: u64 = 301;

/// Whether a pid that was given out at fork count `then` cannot have come round at `now`.
#[must_use]
pub fn pid_cannot_be_reused(
    then: Option<u64>,
    now: Option<u64>,
    pid_max: [Option<u64>; 2],
) -> bool {
    let [Some(one), Some(other)] = pid_max else {
        return false;
    };
    let smallest = one.min(other);
    match then.zip(now) {
        Some((then, now)) => {
            now.checked_sub(then).is_some_and(|n| n < smallest.saturating_sub(RESERVED_PIDS))
        }
        None => false,
    }
}

/// Whether a claim allows objects of this creator uid: its own, or any where it began as root.
#[must_use]
pub fn uid_fits(claim: &Claim, uid: u32) -> bool {
    claim.uids.contains(&uid) || claim.uids.contains(&0)
}

/// Whether the claimed process created this segment, if its pid still means it.
#[must_use]
pub fn bears_claim(claim: &Claim, row: &Row) -> bool {
    claim.ended.is_none()
        && row.creator_pid == claim.process.pid
        && uid_fits(claim, row.creator_uid)
        && !claim.before.contains(&row.id)
        && row.mode & MODE_DEST == 0
}

/// What the server itself wrote down of a segment that bears a claimed pid: its header, or
/// `postmaster.pid`.
pub(super) fn written(claim: &Claim, row: &Row, look: &Observation) -> Option<How> {
    let data = claim.data.as_ref();
    let bytes = look.headers.get(&row.id);
    if let Some(header) = bytes.and_then(|bytes| engine::main_header(claim.engine, bytes)) {
        let same_directory =
            data.is_some_and(|data| (data.file.dev, data.file.ino) == (header.dev, header.ino));
        if header.pid == claim.process.pid && same_directory {
            return Some(How::Header);
        }
    }
    let directory = data.and_then(|data| look.data_dir(&data.path));
    if let Some(Seen::Here(file)) = directory.map(|directory| &directory.pid_file) {
        if file.pid == claim.process.pid && file.segment == Some((row.key, row.id)) {
            return Some(How::PidFile);
        }
    }
    None
}

/// What proves that a segment which bears a claimed pid is the claimed process's own.
pub(super) fn of(claim: &Claim, row: &Row, look: &Observation) -> Option<How> {
    if let Some(how) = written(claim, row, look) {
        return Some(how);
    }
    let borne_by_another = look
        .process(claim.process.pid)
        .is_some_and(|process| process.process.start != claim.process.start);
    let pid_max = [claim.pid_max, look.pid_max];
    let proven = !borne_by_another && pid_cannot_be_reused(claim.forks, look.forks, pid_max);
    proven.then_some(How::ForkCount)
}
