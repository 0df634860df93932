//! The objects that nobody is left to use, counted by owner and instance.

use std::collections::BTreeMap;

use super::super::unowned::last_change;
use super::{Judged, Kind, Status};

/// Objects of one owner and instance that nobody is left to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Their owner.
    pub uid: u32,
    /// The ledger that has them: an index into the accounts.
    pub account: Option<usize>,
    /// `stale` or `orphan`.
    pub verdict: Status,
    /// The number of objects of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// The number of objects.
    pub objects: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// When the oldest was last changed, seconds since the epoch.
    pub oldest: i64,
}

/// Leaked objects by owner and instance, the largest first.
#[must_use]
pub fn table(judged: &[Judged<'_>]) -> Vec<Leak> {
    let mut found: BTreeMap<(u32, Option<usize>, Status), Leak> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.verdict.is_leaked()) {
        let key = (one.subject.owner().0, one.account, one.verdict);
        let (uid, account, verdict) = key;
        let leak = found.entry(key).or_insert_with(|| Leak {
            uid,
            account,
            verdict,
            kinds: BTreeMap::new(),
            objects: 0,
            bytes: 0,
            oldest: i64::MAX,
        });
        *leak.kinds.entry(one.subject.kind()).or_default() += 1;
        leak.objects += 1;
        leak.oldest = leak.oldest.min(last_change(one.subject));
        leak.bytes = leak.bytes.saturating_add(one.subject.bytes().unwrap_or(0));
    }
    let mut leaks: Vec<Leak> = found.into_values().collect();
    leaks.sort_by_key(|leak| std::cmp::Reverse((leak.bytes, leak.objects)));
    leaks
}
