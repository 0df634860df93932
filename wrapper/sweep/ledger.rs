//! The result of a sweep at one path: what it found, and what came of it.

use std::path::PathBuf;

use shmwarden::sweep::{Report, Settled};

/// The finding at one path.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A ledger that could be judged.
    Settled(Report),
    /// A ledger that its run has locked, which is why it counts as alive.
    Busy(String),
    /// A ledger that somebody has locked who is no run of it: nothing is known of its instance.
    Locked,
    /// No ledger.
    Missing,
    /// A ledger that does not check, or of a newer version.
    Damaged(String),
    /// A ledger that is not trusted, or that cannot be read or written, with the status for it.
    Refused(u8, String),
}

/// One ledger and what came of it.
#[derive(Debug)]
pub(crate) struct Swept {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its instance.
    pub(crate) instance: String,
    /// The findings.
    pub(crate) finding: Finding,
    /// The status that it stands for.
    pub(crate) status: u8,
}

impl Swept {
    /// The objects that were judged.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Settled> {
        let report = match &self.finding {
            Finding::Settled(report) => Some(report),
            _ => None,
        };
        report.into_iter().flat_map(|report| &report.objects)
    }

    /// Returns what was found where something of a dead instance is held.
    pub(crate) fn held(&self) -> Option<&Report> {
        match &self.finding {
            Finding::Settled(report) if report.is_held() => Some(report),
            _ => None,
        }
    }

    /// Returns what went wrong, as a sentence.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.finding {
            Finding::Damaged(why) | Finding::Refused(_, why) => Some(why),
            _ => None,
        }
    }
}
