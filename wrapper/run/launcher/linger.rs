//! After the server's death: settling what it left, and waiting, by events and not by sleeping,
//! for orphans that still hold some of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shmwarden::judge::{Evidence, Holder, Policy, Reason};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::sweep::{self, Fate, Report, State as Found};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::shm;

use super::super::orphans;
use super::{Event, Launcher, State};
use crate::cli::Orphans;
use crate::ledgers;
use crate::render::text;

/// How often attachments are counted while orphans hold something: a detach without an exit gives
/// no event.
const COUNT_EVERY: Duration = Duration::from_millis(50);
/// Counts before everything is looked at again, for what has no count.
const COUNTS_A_LOOK: u32 = 20;
/// Longest wait for a helper that is at the ledger when the server dies.
const FOR_HELPER: Duration = Duration::from_secs(5);
/// Idle backends end by themselves this soon after their postmaster: not worth a word.
const GRACE: Duration = Duration::from_millis(500);

/// A wait for orphans.
#[derive(Default)]
pub(super) struct Wait {
    pub(super) until: Option<Instant>,
    pub(super) next_count: Option<Instant>,
    pub(super) counts: u32,
    pub(super) holders: Vec<PidFd>,
    pub(super) report: Option<Report>,
    /// When orphans are named and dealt with; set when the first is found.
    pub(super) name_at: Option<Instant>,
    pub(super) dealt_with: bool,
    dealt: BTreeSet<ProcessRef>,
    pub(super) settle_due: bool,
    /// Whether everything was settled at least once.
    pub(super) settled: bool,
    /// Whether somebody had a recorded segment attached at the last count.
    attached: bool,
}

impl Launcher {
    /// While orphans hold something: is it free, is the time over?
    pub(super) fn count_when_due(&mut self) {
        if self.state != State::Lingering {
            return;
        }
        let now = Instant::now();
        let holder_ended = self.wait.holders.iter().any(|h| h.has_ended().unwrap_or(true));
        if holder_ended {
            self.wait.holders.retain(|holder| !holder.has_ended().unwrap_or(true));
            self.take(Event::Freed);
        } else if self.wait.next_count.is_some_and(|next| now >= next) {
            self.wait.next_count = Some(now + COUNT_EVERY);
            self.wait.counts += 1;
            let look = self.wait.counts % COUNTS_A_LOOK == 0;
            let attached = self.is_attached();
            let before = std::mem::replace(&mut self.wait.attached, attached);
            if look || (before && !self.wait.attached) {
                self.take(Event::Freed);
            }
        }
        let unnamed = !self.wait.dealt_with && self.wait.name_at.is_some_and(|at| now >= at);
        if self.state == State::Lingering && unnamed {
            self.take(Event::Freed);
            self.name_orphans();
        }
        let until = self.linger_until();
        if self.state == State::Lingering && until.is_some_and(|until| now >= until) {
            self.take(Event::LingerOver);
        }
    }

    /// When the wait is over. A helper that is at the ledger when the server dies is waited for,
    /// but not for ever.
    pub(super) fn linger_until(&self) -> Option<Instant> {
        let more = if self.wait.settled { Duration::ZERO } else { FOR_HELPER };
        self.wait.until.and_then(|until| until.checked_add(more))
    }

    /// Whether somebody has a recorded segment attached: one system call each.
    fn is_attached(&self) -> bool {
        self.book.as_ref().is_some_and(|book| {
            book.ledger.book.open_objects().any(|object| match &object.identity {
                Identity::Shm(segment) => {
                    matches!(shm::stat(segment.id), Ok(Some(row)) if row.nattch > 0)
                }
                Identity::Posix(_) | Identity::Sem(_) | Identity::Msg(_) => false,
            })
        })
    }

    pub(super) fn settle(&mut self) {
        let Some(book) = &mut self.book else {
            return self.take(Event::Settled(false));
        };
        if book.scribe.helper().is_some() {
            // Two writers would overwrite each other: settled when the helper has ended.
            self.wait.next_count = Some(Instant::now() + COUNT_EVERY);
            return;
        }
        let now = Instant::now();
        let soon = now + GRACE;
        let soon = self.wait.until.map_or(soon, |until| soon.min(until));
        let name_at = *self.wait.name_at.get_or_insert(soon);
        let may_wait = self.wait.until.is_none_or(|until| now < until);
        if may_wait && self.is_attached() && (now < name_at || self.wait.dealt_with) {
            // Nothing can be removed yet, and whoever is to be named has been, or ends by itself:
            // a look at every process would only delay the next one.
            self.wait.attached = true;
            self.wait.next_count = Some(now + COUNT_EVERY);
            return;
        }
        let Some(book) = &mut self.book else { return };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let descendants = match book.watch.run(&book.ledger) {
            Some(run) => book.watch.family().members(run, None),
            None => Vec::new(),
        };
        let beside = vec![ledgers::default_directory()];
        let policy = Policy { descendants, exempt: vec![own], beside, ..Policy::default() };
        let settled = book.ledger.flush().and_then(|()| sweep::once(&mut book.ledger, &policy));
        match settled {
            Err(error) => {
                log::error!("{error}; what the server left is kept, the next sweep removes it");
                self.take(Event::Settled(false));
            }
            Ok(report) => {
                text::log_changes(&report);
                self.wait.settled = true;
                // A claimed server that lives is waited for like an orphan, and never ended.
                let lives = matches!(&report.state, Found::Live(Evidence::Claimed(_)));
                let held = report.is_held() || lives;
                if !held {
                    text::log_kept(&report);
                }
                self.wait.report = Some(report);
                self.take(Event::Settled(held));
            }
        }
    }

    /// Waits for the end of whoever holds something.
    pub(super) fn wait_for_orphans(&mut self) {
        self.wait.attached = self.is_attached();
        if self.wait.dealt_with && self.orphans != Orphans::Leave {
            self.deal_with_orphans();
        }
        let Some(report) = &self.wait.report else {
            return;
        };
        self.wait.next_count = Some(Instant::now() + COUNT_EVERY);
        self.wait.holders = held_by(report)
            .iter()
            .filter_map(|holder| PidFd::open(holder.process.pid).ok())
            .collect();
    }

    /// Names the orphans once, and deals with them as `--orphans` says.
    fn name_orphans(&mut self) {
        if self.state != State::Lingering {
            return;
        }
        let Some(report) = &self.wait.report else {
            // A helper is still at the ledger.
            self.wait.name_at = Some(Instant::now() + COUNT_EVERY);
            return;
        };
        let holding = orphans::holders(report);
        for holder in &held_by(report) {
            let holds = holding.iter().any(|other| other.process == holder.process);
            let (does, what) = match holds {
                true => ("still holds what it left", "let go"),
                false => ("still runs, which it has started and which may use what it left", "end"),
            };
            log::warn!(
                "the server is dead, and {holder} {does}; waiting up to {} for it to {what}",
                humantime::format_duration(self.linger)
            );
        }
        self.wait.dealt_with = true;
        self.deal_with_orphans();
    }

    /// Does what `--orphans` says with each holder once, also with one that held nothing before.
    fn deal_with_orphans(&mut self) {
        let Some(report) = &self.wait.report else { return };
        if report.state != Found::Dead {
            return;
        }
        let mut holders = orphans::holders(report);
        holders.retain(|holder| self.wait.dealt.insert(holder.process));
        if let Some(book) = self.book.as_ref() {
            if let Some(run) = book.ledger.book.runs.get(&book.run) {
                orphans::deal_with(
                    self.orphans,
                    &holders,
                    &book.ledger.book,
                    run,
                    book.watch.family(),
                );
            }
        }
    }
}

/// Every process that holds an object of a report, or is left of its server.
pub(super) fn held_by(report: &Report) -> Vec<Holder> {
    let mut found = orphans::holders(report);
    if let Found::Live(evidence) = &report.state {
        found.extend(evidence.holder().cloned());
    }
    if report.state == Found::Dead {
        found.extend(report.objects.iter().filter_map(|object| match &object.result {
            Fate::Kept(Reason::OrphanLives(evidence)) => evidence.holder().cloned(),
            _ => None,
        }));
    }
    found.sort_by_key(|holder| holder.process);
    found.dedup_by_key(|holder| holder.process);
    found
}
