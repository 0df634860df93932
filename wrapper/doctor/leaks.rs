//! The leaks, by whom, and what frees them. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use shmwarden::judge::status::leaks::Leak;
use shmwarden::judge::status::{Judged, Status};
use shmwarden::snapshot::Snapshot;

use crate::finding::{Finding, Names};

/// The age from which `adopt` takes an object by a filter, where it is told none.
const OLD: Duration = Duration::from_secs(3600);

/// Who asks, and when: what is to be done now, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) uid: u32,
    pub(crate) now: SystemTime,
}

impl Asker {
    /// Returns the one who looked.
    pub(crate) fn of(look: &Snapshot) -> Self {
        Self { uid: look.uid, now: look.now }
    }

    /// Checks that he may remove what a user owns.
    fn may_free(self, owner: u32) -> bool {
        self.uid == 0 || self.uid == owner
    }
}

/// Returns the command that frees what leaked, or begins to, and does something now.
pub(crate) fn fix(leak: &Leak, asker: Asker) -> String {
    let command = match leak.verdict {
        Status::Stale => "shmwarden sweep",
        _ if is_old(leak, asker.now) => "shmwarden adopt --dry-run",
        _ => "shmwarden adopt --min-age 0 --dry-run",
    };
    let user = if asker.may_free(leak.uid) { "" } else { "sudo " };
    format!("{user}{command}")
}

fn is_old(leak: &Leak, now: SystemTime) -> bool {
    let changed = Duration::from_secs(u64::try_from(leak.oldest).unwrap_or(0));
    now.duration_since(SystemTime::UNIX_EPOCH + changed).is_ok_and(|age| age >= OLD)
}

/// Findings on what is leaked and on what is held; `size` makes a size for people. What others have
/// leaked is no alarm of somebody who cannot free it.
pub(crate) fn judge(
    judged: &[Judged<'_>],
    leaks: &[Leak],
    asker: Asker,
    names: Names<'_>,
    size: &dyn Fn(u64) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (verdict, id, words) in [
        (Status::Stale, "leak-stale", "of dead servers that a ledger has"),
        (
            Status::Orphan,
            "leak-orphan",
            "that no ledger has, nobody uses and nobody is left to want",
        ),
    ] {
        for is_his in [true, false] {
            let is_one =
                |leak: &&Leak| leak.verdict == verdict && asker.may_free(leak.uid) == is_his;
            let some: Vec<&Leak> = leaks.iter().filter(is_one).collect();
            let Some(text) = sentence(&some, words, names, size) else { continue };
            findings.push(match is_his {
                true => Finding::warn(id, text, steps(&some, asker)),
                false => Finding::ok(id, format!("{text}; root can free them")),
            });
        }
    }
    findings.extend(kept_objects(judged));
    if findings.is_empty() {
        findings.push(Finding::ok("leaks", "nothing is leaked as far as can be seen"));
    }
    findings
}

/// What leaked as a sentence; `None` where nothing did.
fn sentence(
    leaks: &[&Leak],
    words: &str,
    names: Names<'_>,
    size: &dyn Fn(u64) -> String,
) -> Option<String> {
    let objects: u64 = leaks.iter().map(|leak| leak.objects).sum();
    let bytes = leaks.iter().fold(0_u64, |sum, leak| sum.saturating_add(leak.bytes));
    let mut owners: Vec<u32> = leaks.iter().map(|leak| leak.uid).collect();
    owners.dedup();
    let whose = match owners.as_slice() {
        [one] => names(*one),
        [first, rest @ ..] => format!("{} and {} other users", names(*first), rest.len()),
        [] => return None,
    };
    Some(format!("leaked: {} {words}, {}, of {whose}", count(objects), size(bytes)))
}

/// The commands that free these, one after the other; first what is old enough to be taken as it
/// is.
fn steps(leaks: &[&Leak], asker: Asker) -> String {
    let of_old = leaks.iter().find(|leak| is_old(leak, asker.now)).or_else(|| leaks.first());
    let first = of_old.map(|leak| fix(leak, asker)).unwrap_or_default();
    match first.strip_suffix(" --dry-run") {
        Some(adopt) => format!("{first}; then {adopt}, and shmwarden sweep"),
        None => first,
    }
}

/// Findings on what dead servers left and nobody removes yet: of a server of which something is in
/// use, and of one of which that is only not ruled out.
fn kept_objects(judged: &[Judged<'_>]) -> impl Iterator<Item = Finding> {
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
