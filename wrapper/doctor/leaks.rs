//! The leaks, by whom, and what frees them. Pure.

use std::collections::BTreeSet;

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
    findings.extend(kept(judged));
    if findings.is_empty() {
        findings.push(Finding::ok("leaks", "nothing is leaked as far as can be seen"));
    }
    findings
}

/// Findings on what dead servers left and nobody removes yet: of a server of which something is in
/// use, and of one of which that is only not ruled out.
fn kept(judged: &[Judged<'_>]) -> impl Iterator<Item = Finding> {
    let held: Vec<&Judged<'_>> = judged.iter().filter(|one| one.verdict == Status::Held).collect();
    let used: BTreeSet<Option<usize>> =
        held.iter().filter(|one| one.why.is_certain_use()).map(|one| one.account).collect();
    let in_use = held.iter().filter(|one| used.contains(&one.account)).count();
    let finding = |id, objects: usize, why, fix| {
        let text = format!("{} of dead servers are kept: {why}", count(objects as u64));
        (objects > 0).then(|| Finding::warn(id, text, fix))
    };
    let in_use_now = finding(
        "leak-held",
        in_use,
        "a process that outlived its server holds one of them",
        "shmwarden who ID names it; shmwarden sweep --wait 1m removes them when it has ended",
    );
    let in_doubt = finding(
        "leak-kept",
        held.len() - in_use,
        "nobody is seen to use them, and that nobody does could not be seen either",
        "shmwarden list -v says of each why; as root on the host, outside containers, more is seen",
    );
    in_use_now.into_iter().chain(in_doubt)
}

fn count(objects: u64) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}
