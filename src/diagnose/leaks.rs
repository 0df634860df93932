//! What is leaked, by whom, and what frees it. Pure.

use std::collections::BTreeMap;

use super::{Finding, Names, limit};
use crate::judge::status::{Judged, Kind, Status};

/// Objects of one owner and instance that nobody is left to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Their owner.
    pub uid: u32,
    /// The ledger that has them: an index into the accounts.
    pub account: Option<usize>,
    /// `stale` or `orphan`.
    pub verdict: Status,
    /// How many there are of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many there are.
    pub objects: u64,
    /// Bytes of all.
    pub bytes: u64,
}

impl Leak {
    /// The command that frees it, or begins to.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self.verdict {
            Status::Stale => "shmwarden sweep",
            _ => "shmwarden adopt --dry-run",
        }
    }
}

/// Leaked objects by owner and instance, the largest first.
#[must_use]
pub fn table(judged: &[Judged<'_>]) -> Vec<Leak> {
    let mut found: BTreeMap<(u32, Option<usize>, Status), Leak> = BTreeMap::new();
    for one in judged.iter().filter(|one| limit::is_leaked(one.verdict)) {
        let key = (one.subject.owner().0, one.account, one.verdict);
        let (uid, account, verdict) = key;
        let leak = found.entry(key).or_insert_with(|| Leak {
            uid,
            account,
            verdict,
            kinds: BTreeMap::new(),
            objects: 0,
            bytes: 0,
        });
        *leak.kinds.entry(one.subject.kind()).or_default() += 1;
        leak.objects += 1;
        leak.bytes = leak.bytes.saturating_add(one.subject.bytes().unwrap_or(0));
    }
    let mut leaks: Vec<Leak> = found.into_values().collect();
    leaks.sort_by_key(|leak| std::cmp::Reverse((leak.bytes, leak.objects)));
    leaks
}

/// Findings on what is leaked and on what is held; `size` makes a size for people.
#[must_use]
pub fn judge(
    judged: &[Judged<'_>],
    leaks: &[Leak],
    names: Names<'_>,
    size: &dyn Fn(u64) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = |verdict: Status| leaks.iter().filter(move |leak| leak.verdict == verdict);
    for (verdict, id, words, fix) in [
        (Status::Stale, "leak-stale", "of dead servers that a ledger has", "shmwarden sweep"),
        (
            Status::Orphan,
            "leak-orphan",
            "that no ledger has, nobody uses and nobody is left to want",
            "shmwarden adopt --dry-run; then shmwarden adopt, and shmwarden sweep",
        ),
    ] {
        let objects: u64 = of(verdict).map(|leak| leak.objects).sum();
        if objects == 0 {
            continue;
        }
        let bytes = of(verdict).fold(0_u64, |sum, leak| sum.saturating_add(leak.bytes));
        let mut owners: Vec<u32> = of(verdict).map(|leak| leak.uid).collect();
        owners.dedup();
        let whose = match owners.as_slice() {
            [one] => names(*one),
            [first, rest @ ..] => format!("{} and {} other users", names(*first), rest.len()),
            [] => String::new(),
        };
        findings.push(Finding::warn(
            id,
            format!("leaked: {} {words}, {}, of {whose}", count(objects), size(bytes)),
            fix,
        ));
    }
    let held = judged.iter().filter(|one| one.verdict == Status::Held).count();
    if held > 0 {
        findings.push(Finding::warn(
            "leak-held",
            format!(
                "{} of dead servers are kept: a process that outlived its server holds one of them",
                count(held as u64)
            ),
            "shmwarden who ID names it; shmwarden sweep --wait 1m removes them when it has ended",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("leaks", "nothing is leaked as far as can be seen"));
    }
    findings
}

fn count(objects: u64) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}
