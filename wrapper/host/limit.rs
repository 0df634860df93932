//! One limit: how full it is, what counts towards it, and what of that is leaked. Pure.

use serde::Serialize;
use shmwarden::judge::status::{Judged, Subject};
use shmwarden::snapshot::Snapshot;
use shmwarden::sys::shm::MODE_HUGETLB;

use super::kernel::Limits;
use crate::finding::Level;

/// From here on a limit is none: the kernel's defaults for `shmall` and `shmmax` are near 2^64.
pub(crate) const NO_LIMIT: u64 = 1 << 60;
/// Full to this many percent, a limit is worth a warning.
const NEAR_PERCENT: u64 = 80;
/// Full to this many percent, the next server is likely to fail.
const FULL_PERCENT: u64 = 95;

/// What a limit is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// All objects together: it fills up.
    Total,
    /// Each object, or each call: its use is that of the largest.
    Each,
}

/// A limit and its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Limit {
    /// Its name, as the kernel's documentation has it; `hugepages` and `/dev/shm` for those two.
    pub(crate) name: &'static str,
    /// What it limits, for people.
    #[serde(skip)]
    pub(crate) what: &'static str,
    /// How much is taken; `None` where that cannot be seen.
    pub(crate) used: Option<u64>,
    /// The limit; `None` where the kernel does not say or there is none.
    pub(crate) limit: Option<u64>,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// How much of what is taken nobody is left to use (`stale`, `orphan`).
    pub(crate) leaked: Option<u64>,
    /// Bytes of one unit, where it has a size.
    #[serde(skip)]
    pub(crate) unit_bytes: Option<u64>,
    /// What it is a limit of.
    #[serde(skip)]
    pub(crate) nature: Nature,
}

impl Limit {
    /// How full it is in percent, for what fills up.
    pub(crate) fn percent(&self) -> Option<u64> {
        let limit = self.limit.filter(|_| self.nature == Nature::Total)?;
        // Most machines have no pool of huge pages at all.
        if limit == 0 && self.name == "hugepages" {
            return None;
        }
        Some(share(self.used?, limit))
    }

    /// How bad that is.
    pub(crate) fn level(&self) -> Level {
        match self.percent() {
            // A pool of huge pages is made to be used up.
            _ if self.name == "hugepages" => Level::Ok,
            Some(percent) if percent >= FULL_PERCENT => Level::Bad,
            Some(percent) if percent >= NEAR_PERCENT => Level::Warn,
            _ => Level::Ok,
        }
    }
}

/// What one object takes of the limits of its kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    ids: u64,
    pages: u64,
    semaphores: u64,
    bytes: u64,
    huge_pages: u64,
}

impl Taken {
    pub(crate) fn of(subject: Subject<'_>, page_bytes: u64) -> Self {
        let one = Self { ids: 1, ..Self::default() };
        match subject {
            Subject::Shm(row) => {
                let pages = row.bytes.div_ceil(page_bytes.max(1));
                let huge_pages = if row.perm.mode & MODE_HUGETLB == 0 { 0 } else { pages };
                Self { pages, huge_pages, bytes: row.bytes, ..one }
            }
            Subject::Sem(set) => Self { semaphores: set.row.members, ..one },
            Subject::Msg(_) => one,
            Subject::Posix(file) => Self { bytes: file.facts.resident_bytes, ..one },
        }
    }

    /// The part that counts towards a limit.
    pub(crate) fn towards(self, limit: &str) -> u64 {
        match limit {
            "shmmni" | "semmni" | "msgmni" => self.ids,
            "shmall" => self.pages,
            "semmns" => self.semaphores,
            "hugepages" => self.huge_pages,
            "/dev/shm" => self.bytes,
            _ => 0,
        }
    }
}

/// The kind of object that counts towards a limit, as the options of `list` name it.
pub(crate) fn kind(limit: &str) -> &'static str {
    match limit {
        "semmni" | "semmns" => "sem",
        "msgmni" => "msg",
        "/dev/shm" => "posix",
        _ => "shm",
    }
}

/// Every limit with its use.
pub(crate) fn table(limits: &Limits, look: &Snapshot, judged: &[Judged<'_>]) -> Vec<Limit> {
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
        leaked: Some(sum(name, &|one| one.verdict.is_leaked())),
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
                sum("hugepages", &|one| one.verdict.is_leaked()).saturating_mul(page)
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

/// A part of a whole in percent, rounded down; 100 and more where there is no room left.
pub(crate) fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 100;
    }
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
}
