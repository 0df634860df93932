//! One limit: how full it is, what counts towards it, and what of that is leaked. Pure.

use super::{Level, share};
use crate::judge::status::{Status, Subject};
use crate::sys::shm::MODE_HUGETLB;

/// Full to this many percent, a limit is worth a warning.
const NEAR_PERCENT: u64 = 80;
/// Full to this many percent, the next server is likely to fail.
const FULL_PERCENT: u64 = 95;

/// What a limit is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// All objects together: it fills up.
    Total,
    /// Each object, or each call: its use is that of the largest.
    Each,
}

/// A limit and its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name, as the kernel's documentation has it; `hugepages` and `/dev/shm` for those two.
    pub name: &'static str,
    /// What it limits, for people.
    pub what: &'static str,
    /// How much is taken; `None` where that cannot be seen.
    pub used: Option<u64>,
    /// The limit; `None` where the kernel does not say or there is none.
    pub limit: Option<u64>,
    /// How much of what is taken nobody is left to use (`stale`, `orphan`).
    pub leaked: Option<u64>,
    /// What is counted.
    pub unit: &'static str,
    /// Bytes of one unit, where it has a size.
    pub unit_bytes: Option<u64>,
    /// What it is a limit of.
    pub nature: Nature,
}

impl Limit {
    /// How full it is in percent, for what fills up.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let limit = self.limit.filter(|_| self.nature == Nature::Total)?;
        // Most machines have no pool of huge pages at all.
        if limit == 0 && self.name == "hugepages" {
            return None;
        }
        Some(share(self.used?, limit))
    }

    /// How bad that is.
    #[must_use]
    pub fn level(&self) -> Level {
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
pub(super) struct Taken {
    ids: u64,
    pages: u64,
    semaphores: u64,
    bytes: u64,
    huge_pages: u64,
}

impl Taken {
    pub(super) fn of(subject: Subject<'_>, page_bytes: u64) -> Self {
        let one = Self { ids: 1, ..Self::default() };
        match subject {
            Subject::Shm(row) => {
                let pages = row.bytes.div_ceil(page_bytes.max(1));
                let huge_pages = if row.mode & MODE_HUGETLB == 0 { 0 } else { pages };
                Self { pages, huge_pages, bytes: row.bytes, ..one }
            }
            Subject::Sem(set) => Self { semaphores: set.row.members, ..one },
            Subject::Msg(_) => one,
            Subject::Posix(file) => Self { bytes: file.facts.resident_bytes, ..one },
        }
    }

    /// The part that counts towards a limit.
    pub(super) fn towards(self, limit: &str) -> u64 {
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
pub(super) fn kind(limit: &str) -> &'static str {
    match limit {
        "semmni" | "semmns" => "sem",
        "msgmni" => "msg",
        "/dev/shm" => "posix",
        _ => "shm",
    }
}

/// Whether nobody is left who could use it.
#[must_use]
pub fn is_leaked(verdict: Status) -> bool {
    matches!(verdict, Status::Stale | Status::Orphan)
}
