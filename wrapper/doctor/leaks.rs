//! The leaks, by whom, and what frees them. Pure.

use shmwarden::judge::status::leaks::Leak;
use shmwarden::judge::status::{Judged, Status};

use crate::finding::{Finding, Names};

/// Returns the command that frees what leaked, or begins to.
pub(crate) fn fix(leak: &Leak) -> &'static str {
    match leak.verdict {
        Status::Stale => "shmwarden sweep",
        _ => "shmwarden adopt --dry-run",
    }
}

/// Findings on what is leaked and on what is held; `size` makes a size for people.
pub(crate) fn judge(
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
