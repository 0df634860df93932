//! Reading the memory of living processes.
//!
//! What a process has mapped at an address may be a file that its own user serves (FUSE), who never
//! answers, and it may change that after its mappings were read. Root has another user's memory
//! read by a child, for a short time.

use super::{Seen, asked};
use crate::proc::read;
use crate::sys::{memory, user};

/// A first address, and how many bytes from there.
pub type Range = (u64, usize);

/// Stands for the length of what could not be read.
const UNREAD: u64 = u64::MAX;

/// Reads these ranges of a process's memory, each as far as it goes; `None` for one that cannot be
/// read, or not in time.
#[must_use]
pub fn of_process(pid: i32, ranges: &[Range]) -> Vec<Option<Vec<u8>>> {
    let each = || ranges.iter().map(|&(start, length)| memory::read(pid, start, length).ok());
    if ranges.is_empty() || !user::is_root() {
        return each().collect();
    }
    let uids = read::status(pid).ok().and_then(Seen::here).map(|status| status.uids);
    let whose = match uids {
        Some(uids) => match uids.into_iter().find(|&uid| uid != 0) {
            Some(uid) => format!("memory of uid {uid}"),
            None => return each().collect(),
        },
        None => "memory of an unknown user".to_owned(),
    };
    let said = asked::in_child((0, 0), &whose, || each().flat_map(framed).collect());
    parts(&said.unwrap_or_default(), ranges.len())
}

/// One part as the child says it: its length first.
fn framed(part: Option<Vec<u8>>) -> Vec<u8> {
    let length = part.as_ref().map_or(UNREAD, |part| part.len() as u64);
    let mut framed = length.to_ne_bytes().to_vec();
    framed.extend(part.unwrap_or_default());
    framed
}

/// So many parts of what a child said; what it did not say could not be read.
fn parts(said: &[u8], count: usize) -> Vec<Option<Vec<u8>>> {
    let mut rest = said;
    let mut next = || {
        let (length, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let length = usize::try_from(u64::from_ne_bytes(*length)).ok()?;
        let (part, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(part.to_vec())
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_apart_as_they_were_put_together() {
        let all = [Some(b"ab".to_vec()), None, Some(Vec::new()), Some(b"c".to_vec())];
        let said: Vec<u8> = all.iter().cloned().flat_map(framed).collect();
        assert_eq!(parts(&said, all.len()), all);
        assert_eq!(parts(&[], 2), [None, None]);
        assert_eq!(parts(said.get(..9).unwrap(), 1), [None]);
    }

    #[test]
    fn each_range_is_read_as_far_as_it_can_be() {
        let bytes = *b"something";
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = of_process(pid, &[(bytes.as_ptr() as u64, 4), (0, 4)]);
        assert_eq!(found, [Some(b"some".to_vec()), None]);
    }
}
