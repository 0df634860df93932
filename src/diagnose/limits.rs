//! Limits and how full they are: what stands between a server and its next `shmget`. Pure.

use super::limit::{Limit, Nature, Taken, is_leaked, kind};
use super::{Finding, Level, Names, crowd, share};
use crate::judge::status::Judged;
use crate::proc::limits::SemLimits;
use crate::snapshot::Snapshot;
use crate::snapshot::limits::Limits;

/// Every limit with its use.
#[must_use]
pub fn table(limits: &Limits, look: &Snapshot, judged: &[Judged<'_>]) -> Vec<Limit> {
    let page = limits.page_bytes;
    let sum = |name: &str, of: &dyn Fn(&Judged<'_>) -> bool| {
        let found = judged.iter().filter(|one| one.subject.kind().word() == kind(name) && of(one));
        found.fold(0_u64, |sum, one| sum.saturating_add(Taken::of(one.subject, page).towards(name)))
    };
    let total = |name, what, limit: Option<u64>, unit| Limit {
        name,
        what,
        used: Some(sum(name, &|_| true)),
        limit,
        leaked: Some(sum(name, &|one| is_leaked(one.verdict))),
        unit,
        unit_bytes: None,
        nature: Nature::Total,
    };
    let each = |name, what, used: Option<u64>, limit: Option<u64>, unit| Limit {
        name,
        what,
        used,
        limit,
        leaked: None,
        unit,
        unit_bytes: None,
        nature: Nature::Each,
    };
    let largest = look.segments.seen().map(|row| row.bytes).max();
    let widest = look.sets.seen().map(|set| set.row.members).max();
    let sem = limits.sem;
    let mut all = vec![
        total("shmmni", "segments", limits.shmmni, "segments"),
        Limit { unit_bytes: Some(page), ..total("shmall", "their memory", limits.shmall, "pages") },
        Limit {
            unit_bytes: Some(1),
            ..each("shmmax", "largest segment", largest, limits.shmmax, "bytes")
        },
        total("semmni", "semaphore sets", sem.map(|sem| sem.semmni), "sets"),
        total("semmns", "semaphores", sem.map(|sem| sem.semmns), "semaphores"),
        each("semmsl", "largest set", widest, sem.map(|sem| sem.semmsl), "semaphores"),
        each("semopm", "ops of a semop", None, sem.map(|sem| sem.semopm), "operations"),
        total("msgmni", "queues", limits.msgmni, "queues"),
    ];
    if let Some(huge) = limits.huge {
        all.push(Limit {
            used: Some(huge.total.saturating_sub(huge.free).saturating_add(huge.reserved)),
            // A segment of huge pages is counted in ordinary ones; one size of them is the usual.
            leaked: Some(
                sum("hugepages", &|one| is_leaked(one.verdict)).saturating_mul(page)
                    / huge.page_bytes.max(1),
            ),
            unit_bytes: Some(huge.page_bytes),
            ..total("hugepages", "huge pages", Some(huge.total), "pages")
        });
    }
    if let Some(fs) = limits.shm_fs {
        all.push(Limit {
            used: Some(fs.used_bytes),
            unit_bytes: Some(1),
            ..total(
                "/dev/shm",
                "POSIX memory",
                Some(fs.total_bytes).filter(|total| *total > 0),
                "bytes",
            )
        });
    }
    all
}

/// Findings on limits that are full or nearly so: who takes them, and what frees them.
#[must_use]
pub fn judge(
    table: &[Limit],
    judged: &[Judged<'_>],
    page_bytes: u64,
    sem: Option<SemLimits>,
    names: Names<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for limit in table {
        let (Some(used), Some(most)) = (limit.used, limit.limit) else {
            continue;
        };
        let level = limit.level();
        if level == Level::Ok {
            continue;
        }
        let percent = share(used, most);
        let (who, fix) = crowd::who_and_fix(limit, judged, page_bytes, sem, names, 0);
        let text = format!(
            "{}: {used} of {most} {} are taken ({percent} %); {}{}",
            limit.name,
            limit.unit,
            consequence(limit.name),
            who.map_or_else(String::new, |who| format!("; {who}")),
        );
        findings.push(Finding { level, id: id(limit.name), text, fix: Some(fix) });
    }
    if findings.is_empty() {
        findings.push(Finding::ok("limits", "no limit is near"));
    }
    findings
}

fn id(limit: &str) -> &'static str {
    match limit {
        "shmmni" => "limit-shmmni",
        "shmall" => "limit-shmall",
        "semmni" => "limit-semmni",
        "semmns" => "limit-semmns",
        "msgmni" => "limit-msgmni",
        _ => "limit-dev-shm",
    }
}

fn consequence(limit: &str) -> &'static str {
    match limit {
        "shmmni" => {
            "when they are, shmget fails with \"No space left on device\", disks or no disks"
        }
        "shmall" => {
            "a server that asks for more gets \"No space left on device\" or \"Cannot allocate \
             memory\", disks or no disks"
        }
        "semmni" | "semmns" => {
            "when they are, semget fails with \"No space left on device\", disks or no disks"
        }
        "msgmni" => "when they are, msgget fails with \"No space left on device\"",
        _ => {
            "when it is full, PostgreSQL's parallel queries fail with \"could not resize shared \
             memory segment\", and whoever writes to a mapping there dies of SIGBUS"
        }
    }
}
