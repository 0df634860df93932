//! Asking for what a user keeps: as that user, in a child that cannot come back, for a short time.
//!
//! A directory on a dead mount, or on a file system that a user's own process serves (FUSE), may
//! never answer, and whoever waits for it may not even be ended by SIGKILL. Root waits 2 s for a
//! user, and not again within the next minute.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::errand::{Answer, Errand, gather};
use crate::sys::user;

/// The longest that root waits for what a user keeps.
pub const LONGEST: Duration = Duration::from_secs(2);
/// The time for which nobody who was late is asked again.
const NOT_AGAIN: Duration = Duration::from_secs(60);

/// Those who were late, and when: a user, or what a path of root's own leads to.
static LATE: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

/// Runs `body` as this user where the caller is root, and gives back what it returns; `None` where
/// the user does not let it answer in time. `what` names what root's own ledger leads to, which
/// may be anybody's. A caller who is not root waits for its own.
pub fn of_user<T: Serialize + DeserializeOwned>(
    owner: (u32, u32),
    what: &str,
    body: impl FnOnce() -> T,
) -> Option<T> {
    if !user::is_root() {
        return Some(body());
    }
    let said = || serde_json::to_vec(&body()).unwrap_or_default();
    serde_json::from_slice(&in_child(owner, what, said)?).ok()
}

/// The same for bytes as they are, for root alone.
pub(super) fn in_child(
    owner: (u32, u32),
    what: &str,
    body: impl FnOnce() -> Vec<u8>,
) -> Option<Vec<u8>> {
    let who = if owner.0 == 0 { what.to_owned() } else { owner.0.to_string() };
    if was_late(&who) {
        return None;
    }
    let acts = Some(owner).filter(|owner| owner.0 != 0);
    let errand = Errand::send(acts, body).ok()?;
    match gather(vec![errand], Instant::now() + LONGEST).pop()? {
        Answer::Whole(said) => Some(said),
        Answer::Late => {
            if let Ok(mut late) = LATE.lock() {
                late.insert(who, Instant::now());
            }
            None
        }
        Answer::Ended => None,
    }
}

fn was_late(who: &str) -> bool {
    let late = LATE.lock().ok().and_then(|late| late.get(who).copied());
    late.is_some_and(|late| late.elapsed() < NOT_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_waited_for_once() {
        if user::effective() != 0 {
            return;
        }
        let begun = Instant::now();
        for _ in 0..20 {
            let never = || {
                std::thread::sleep(Duration::from_secs(60));
                0_u8
            };
            assert_eq!(of_user((0, 0), "/a/test's", never), None);
        }
        assert!(begun.elapsed() >= LONGEST);
        assert!(begun.elapsed() < LONGEST * 10, "{:?}", begun.elapsed());
        assert_eq!(of_user((0, 0), "/another", || 7_u8), Some(7));
    }
}
