//! Who takes most of a limit, and what frees it. Pure.

use std::collections::BTreeMap;

use super::Names;
use super::limits::{Limit, Taken, is_leaked, kind};
use crate::proc::limits::SemLimits;
use crate::verdict::{Alone, Judged, Verdict, Why};

/// `IPCMNI` (`linux/ipc_namespace.h`): most ids of a kind, unless the kernel was started with
/// `ipcmni_extend`.
const MOST_IDS: u64 = 32_768;

/// The user who takes most of a limit.
struct Crowd {
    uid: u32,
    amount: u64,
    idle: u64,
}

impl Crowd {
    fn sentence(&self, unit: &str, names: Names<'_>) -> String {
        format!(
            "{} {unit} are of {}, and nobody uses {} of these",
            self.amount,
            names(self.uid),
            if self.idle == self.amount { "any".to_owned() } else { self.idle.to_string() }
        )
    }
}

fn crowd(limit: &str, judged: &[Judged<'_>], page_bytes: u64) -> Option<Crowd> {
    let mut owners: BTreeMap<u32, Crowd> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.subject.kind().word() == kind(limit)) {
        let uid = one.subject.owner().0;
        let amount = Taken::of(one.subject, page_bytes).towards(limit);
        let crowd = owners.entry(uid).or_insert(Crowd { uid, amount: 0, idle: 0 });
        crowd.amount = crowd.amount.saturating_add(amount);
        if is_idle(one) {
            crowd.idle = crowd.idle.saturating_add(amount);
        }
    }
    owners.into_values().max_by_key(|crowd| crowd.amount).filter(|crowd| crowd.amount > 0)
}

/// Who takes most of a limit, and what frees it or raises the limit, as sentences.
pub(super) fn who_and_fix(
    limit: &Limit,
    judged: &[Judged<'_>],
    page_bytes: u64,
    sem: Option<SemLimits>,
    names: Names<'_>,
) -> (Option<String>, String) {
    let who = crowd(limit.name, judged, page_bytes);
    let sentence = who.as_ref().map(|who| who.sentence(limit.unit, names));
    (sentence, fix(limit, judged, who.as_ref(), sem, names))
}

/// Whether nobody uses an object now, whoever may still want it.
fn is_idle(one: &Judged<'_>) -> bool {
    let unused = matches!(
        one.why,
        Why::Alone(
            Alone::CreatorDead(_)
                | Alone::NoUser
                | Alone::CreatorLives(_)
                | Alone::CreatorUnseen
                | Alone::UserLives(_)
                | Alone::Hidden
        )
    );
    is_leaked(one.verdict) || unused
}

fn fix(
    limit: &Limit,
    judged: &[Judged<'_>],
    who: Option<&Crowd>,
    sem: Option<SemLimits>,
    names: Names<'_>,
) -> String {
    let of_kind = |verdict: Verdict| {
        judged
            .iter()
            .any(|one| one.subject.kind().word() == kind(limit.name) && one.verdict == verdict)
    };
    let free = match who {
        _ if of_kind(Verdict::Stale) => "free what dead servers left: shmwarden sweep".to_owned(),
        _ if of_kind(Verdict::Orphan) => {
            "free what no ledger has: shmwarden adopt --dry-run, then adopt and sweep".to_owned()
        }
        Some(who) if who.idle > 0 => format!(
            "see why each is kept: shmwarden list --kind {} --owner {} -v",
            kind(limit.name),
            names(who.uid)
        ),
        _ => format!("see who takes it: shmwarden list --kind {} --holders", kind(limit.name)),
    };
    format!("{free}; {}", raise(limit, sem))
}

/// How to raise a limit.
fn raise(limit: &Limit, sem: Option<SemLimits>) -> String {
    let doubled = |most: u64| most.saturating_mul(2);
    let most = limit.limit.unwrap_or(0);
    let ids = matches!(limit.name, "shmmni" | "semmni" | "msgmni");
    if ids && most >= MOST_IDS {
        return format!(
            "{} cannot be raised unless the kernel starts with ipcmni_extend",
            limit.name
        );
    }
    let wanted = if ids { doubled(most).min(MOST_IDS) } else { doubled(most) };
    match (limit.name, sem) {
        ("semmni", Some(s)) => format!(
            "or raise it: sysctl -w kernel.sem=\"{} {} {} {wanted}\"",
            s.semmsl, s.semmns, s.semopm
        ),
        ("semmns", Some(s)) => format!(
            "or raise it: sysctl -w kernel.sem=\"{} {wanted} {} {}\"",
            s.semmsl, s.semopm, s.semmni
        ),
        ("/dev/shm", _) => {
            "or make it larger: mount -o remount,size=SIZE /dev/shm (a container: --shm-size)"
                .to_owned()
        }
        (name, _) => format!("or raise it: sysctl -w kernel.{name}={wanted}"),
    }
}
