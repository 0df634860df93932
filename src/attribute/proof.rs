//! The proofs that a segment which bears a claimed pid is the claimed process's own. Pure.

use crate::ledger::record::{Claim, How};
use crate::snapshot::{Seen, Snapshot};
use crate::sys::shm::{MODE_DEST, Row};

/// Checks that a claim allows objects of this creator uid: its own, or any where it began as root.
#[must_use]
pub fn uid_fits(claim: &Claim, uid: u32) -> bool {
    claim.uids.contains(&uid) || claim.uids.contains(&0)
}

/// Checks that the claimed process was seen with this user id. Where nobody watched, that root may
/// become anybody makes no other user's object its own.
#[must_use]
pub fn seen_with(claim: &Claim, uid: u32) -> bool {
    claim.uids.contains(&uid)
}

/// Checks that the claimed process created this segment, if its pid still means it.
#[must_use]
pub fn bears_claim(claim: &Claim, row: &Row) -> bool {
    claim.ended.is_none()
        && row.creator_pid == claim.process.pid
        && uid_fits(claim, row.perm.creator_uid)
        && !claim.before.contains(&row.id)
        && row.perm.mode & MODE_DEST == 0
}

/// Returns what proves that a segment which bears a claimed pid is the claimed process's own, where
/// nobody saw it appear: what the server itself wrote down, in its header or in `postmaster.pid`.
///
/// The age of the pid is no such proof: the pid may have been given out again, since nothing counts
/// the clones that fail, and each takes a number.
pub(super) fn written(claim: &Claim, row: &Row, look: &Snapshot) -> Option<How> {
    if !seen_with(claim, row.perm.creator_uid) {
        return None;
    }
    let data = claim.data.as_ref();
    let bytes = look.headers.get(&row.id);
    if let Some(header) = bytes.and_then(|bytes| claim.engine.main_header(bytes)) {
        let same_directory =
            data.is_some_and(|data| (data.file.dev, data.file.ino) == (header.dev, header.ino));
        if header.pid == claim.process.pid && same_directory {
            return Some(How::Header);
        }
    }
    let directory = data.and_then(|data| look.data_dir(&data.path));
    if let Some(Seen::Here(file)) = directory.map(|directory| &directory.pid_file) {
        if file.pid == claim.process.pid && file.segment == Some((row.perm.key, row.id)) {
            return Some(How::PidFile);
        }
    }
    None
}
