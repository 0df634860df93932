//! The users who take most of a limit, and what frees it. Pure.

use std::collections::BTreeMap;

use shmwarden::judge::status::leaks as leaked;
use shmwarden::judge::status::{Judged, Status};
use shmwarden::judge::{Class, Reason};
use shmwarden::proc::limits::SemLimits;

use super::leaks::{self, Asker};
use crate::finding::Names;
use crate::host::limit::{Limit, Taken, kind};

/// `IPCMNI` (`linux/ipc_namespace.h`): most ids of a kind, unless the kernel was started with
/// `ipcmni_extend`.
const MOST_IDS: u64 = 32_768;

/// The users who take a limit.
struct Crowd {
    /// The sum of what they take, and the part of it that nobody uses.
    total: u64,
    idle: u64,
    /// The number of users, the one who takes most, and how much.
    users: usize,
    first: u32,
    most: u64,
}

impl Crowd {
    fn sentence(&self, names: Names<'_>) -> String {
        let name = names(self.first);
        let whose = match self.users {
            1 => format!("{name} has all of them"),
            users => format!("{users} users have them, most of all {name} ({})", self.most),
        };
        match self.idle {
            0 => format!("{whose}, and each is in use"),
            idle if idle == self.total => format!("{whose}, and nobody uses any"),
            idle => format!("{whose}, and nobody uses {idle} of these {}", self.total),
        }
    }
}

fn crowd(limit: &str, judged: &[Judged<'_>], page_bytes: u64) -> Option<Crowd> {
    let mut users: BTreeMap<u32, u64> = BTreeMap::new();
    let (mut total, mut idle) = (0_u64, 0_u64);
    for one in judged.iter().filter(|one| one.subject.kind().word() == kind(limit)) {
        let amount = Taken::of(one.subject, page_bytes).towards(limit);
        let of_user = users.entry(one.subject.owner().0).or_default();
        *of_user = of_user.saturating_add(amount);
        total = total.saturating_add(amount);
        if is_idle(one) {
            idle = idle.saturating_add(amount);
        }
    }
    users.retain(|_, amount| *amount > 0);
    let (&first, &most) = users.iter().max_by_key(|(_, amount)| **amount)?;
    Some(Crowd { total, idle, users: users.len(), first, most })
}

/// Returns who takes most of a limit, and what frees it or raises the limit, as sentences; `more`
/// was asked for in vain, in the limit's own units.
pub(crate) fn who_and_fix(
    limit: &Limit,
    judged: &[Judged<'_>],
    page_bytes: u64,
    sem: Option<SemLimits>,
    names: Names<'_>,
    asker: Asker,
    more: u64,
) -> (Option<String>, String) {
    let who = crowd(limit.name, judged, page_bytes);
    let sentence = who.as_ref().map(|who| who.sentence(names));
    (sentence, fix(limit, judged, who.as_ref(), names, asker, &raise(limit, sem, more)))
}

/// Checks that nobody uses an object now, whoever may still want it.
fn is_idle(one: &Judged<'_>) -> bool {
    let unused = one.account.is_none()
        && (one.why.class() == Class::Wanted || matches!(one.why, Reason::CreatorLives(_)));
    one.verdict.is_leaked() || unused
}

fn fix(
    limit: &Limit,
    judged: &[Judged<'_>],
    who: Option<&Crowd>,
    names: Names<'_>,
    asker: Asker,
    raise: &str,
) -> String {
    let leaks = leaked::table(judged);
    let mut of_kind = leaks
        .iter()
        .filter(|leak| leak.kinds.keys().any(|one| one.word() == kind(limit.name)))
        .collect::<Vec<_>>();
    // What a ledger has first, then what is old enough to be taken as it is.
    of_kind.sort_by_key(|leak| (leak.verdict != Status::Stale, leak.oldest));
    let free = match (of_kind.first(), who) {
        (Some(leak), _) if leak.verdict == Status::Stale => {
            format!("free what dead servers left: {}", leaks::fix(leak, asker))
        }
        (Some(leak), _) => {
            format!("free what no ledger has: {}, then adopt and sweep", leaks::fix(leak, asker))
        }
        (None, Some(who)) if who.idle > 0 => format!(
            "see why each is kept: shmwarden list --kind {} --owner {} -v",
            kind(limit.name),
            names(who.first)
        ),
        _ => format!("see who takes it: shmwarden list --kind {} --holders", kind(limit.name)),
    };
    format!("{free}; {raise}")
}

/// Returns how to raise a limit, so that it holds what there is and what was asked for.
fn raise(limit: &Limit, sem: Option<SemLimits>, more: u64) -> String {
    let most = limit.limit.unwrap_or(0);
    let needed = limit.used.unwrap_or(0).saturating_add(more);
    let ids = matches!(limit.name, "shmmni" | "semmni" | "msgmni");
    if ids && most >= MOST_IDS {
        return format!(
            "{} cannot be raised unless the kernel starts with ipcmni_extend",
            limit.name
        );
    }
    // Where it was lowered there may be more already than it allows.
    let wanted = match most.max(limit.used.unwrap_or(0)) {
        0 => usual(limit.name),
        taken => taken.saturating_mul(2),
    };
    let wanted = wanted.max(needed);
    let wanted = if ids { wanted.min(MOST_IDS) } else { wanted };
    // One set takes all four numbers: those that are 0 allow none either.
    let sem = sem.map(|s| SemLimits {
        semmsl: at_least_usual(s.semmsl, "semmsl"),
        semmns: at_least_usual(s.semmns, "semmns"),
        semopm: at_least_usual(s.semopm, "semopm"),
        semmni: at_least_usual(s.semmni, "semmni"),
    });
    match (limit.name, sem) {
        ("semmni", Some(s)) => format!(
            "or raise it: sysctl -w kernel.sem=\"{} {} {} {wanted}\"",
            s.semmsl, s.semmns, s.semopm
        ),
        ("semmns", Some(s)) => format!(
            "or raise it: sysctl -w kernel.sem=\"{} {wanted} {} {}\"",
            s.semmsl, s.semopm, s.semmni
        ),
        // Never a size below the present one, however much of it is free.
        ("/dev/shm", _) => format!(
            "or make it larger: mount -o remount,size={}m /dev/shm (a container: --shm-size)",
            wanted.div_ceil(1 << 20)
        ),
        (name, _) if wanted <= most => {
            format!("{name} is as high as it can be set: lower what the servers ask for")
        }
        (name, _) => format!("or raise it: sysctl -w kernel.{name}={wanted}"),
    }
}

/// Returns the kernel's own value of a limit (`include/uapi/linux/{shm,sem,msg}.h`).
fn usual(limit: &str) -> u64 {
    match limit {
        "shmmni" => 4096,
        "shmall" => u64::MAX - (1 << 24),
        "semmsl" | "semmni" | "msgmni" => 32_000,
        "semmns" => 1_024_000_000,
        _ => 500,
    }
}

fn at_least_usual(value: u64, limit: &str) -> u64 {
    if value == 0 { usual(limit) } else { value }
}
