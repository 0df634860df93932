//! Settling what a dead server left, and what is done about whoever still holds some of it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use shmwarden::judge::{Evidence, Holder, Policy, Reason};
use shmwarden::object::ProcessRef;
use shmwarden::sweep::{self, Fate, Report, State};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::process::Ended;

use super::super::holders;
use super::book::Book;
use super::linger::Found;
use super::phase::Event;
use crate::cli::Orphans;
use crate::ledgers;
use crate::render::text;

/// Survivors seen so far, and what was done about them.
pub(super) struct Survivors {
    choice: Orphans,
    /// The result of the last settling.
    report: Option<Report>,
    /// Those that are waited for.
    holders: Vec<PidFd>,
    /// Those that were named when the main process of a daemon had died.
    named: BTreeSet<ProcessRef>,
    /// Those that were dealt with after the server's death.
    dealt: BTreeSet<ProcessRef>,
}

impl Survivors {
    /// Begins with nobody; `choice` is what is done with them.
    pub(super) fn new(choice: Orphans) -> Self {
        let (named, dealt) = Default::default();
        Self { choice, report: None, holders: Vec::new(), named, dealt }
    }

    /// Returns what becomes readable when one of them ends.
    pub(super) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.holders.iter().map(AsFd::as_fd)
    }

    /// Forgets those that have ended; returns whether there are such.
    pub(super) fn have_ended(&mut self) -> bool {
        let before = self.holders.len();
        self.holders.retain(|holder| !holder.has_ended().unwrap_or(true));
        self.holders.len() < before
    }

    /// Returns whoever holds what the server left, as far as the last settling knows.
    pub(super) fn held_by(&self) -> Option<Vec<Holder>> {
        self.report.as_ref().map(held_by)
    }

    /// Removes what nobody uses any more.
    pub(super) fn settle(&mut self, book: &mut Book) -> Event {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let descendants = book.members();
        let beside = vec![ledgers::default_directory()];
        let policy = Policy { descendants, exempt: vec![own], beside, ..Policy::default() };
        let ledger = &mut book.ledger;
        let report = match ledger.flush().and_then(|()| sweep::once(ledger, &policy)) {
            Ok(report) => report,
            Err(error) => {
                log::error!("{error}; what the server left is kept, the next sweep removes it");
                return Event::Settled { held: false, attached: false };
            }
        };
        text::log_changes(&report);
        // A claimed server that lives is waited for like a survivor, and never ended.
        let lives = matches!(&report.state, State::Live(Evidence::Claimed(_)));
        let held = report.is_held() || lives;
        if held {
            let pids = held_by(&report).into_iter().map(|holder| holder.process.pid);
            self.holders = pids.filter_map(|pid| PidFd::open(pid).ok()).collect();
        } else {
            text::log_kept(&report);
        }
        self.report = Some(report);
        Event::Settled { held, attached: held && book.is_attached() }
    }

    /// Says who is waited for, and for how long.
    pub(super) fn name(&self, linger: Duration) {
        let Some(report) = &self.report else { return };
        let holding = holders::holders(report);
        for holder in &held_by(report) {
            let holds = holding.iter().any(|other| other.process == holder.process);
            let (does, what) = match holds {
                true => ("still holds what it left", "let go"),
                false => ("still runs, which it has started and which may use what it left", "end"),
            };
            log::warn!(
                "the server is dead, and {holder} {does}; waiting up to {} for it to {what}",
                humantime::format_duration(linger)
            );
        }
    }

    /// Does what the command line says with each holder once, also with one that held nothing
    /// before.
    pub(super) fn deal(&mut self, book: &Book) {
        let Some(report) = self.report.as_ref().filter(|report| report.state == State::Dead) else {
            return;
        };
        let mut holders = holders::holders(report);
        holders.retain(|holder| self.dealt.insert(holder.process));
        self.deal_with(&holders, book);
    }

    fn deal_with(&self, holders: &[Holder], book: &Book) {
        let Some(run) = book.run() else { return };
        holders::deal_with(self.choice, holders, &book.ledger.book, run, book.watch.family());
    }

    /// Names what outlives the main process of a daemon, each once, and deals with it. What is
    /// left may be the server, so it is watched over as before.
    pub(super) fn name_daemon(&mut self, book: &Book, pid: i32, how: Ended, first: bool) {
        let members = book.members();
        let mut holders = book.holders_among(&members);
        holders.retain(|holder| self.named.insert(holder.process));
        let how = match how {
            Ended::Exited(status) => format!("ended with status {status}"),
            Ended::Signaled(signal, _) => format!("died of signal {signal}"),
        };
        if first {
            log::warn!(
                "process {pid}, which COMMAND had left as a daemon, {how}, and {} that descend \
                 from it live on: nothing is removed, and a new server may find its port taken, \
                 until they have ended",
                members.len()
            );
        }
        for holder in &holders {
            log::warn!("{holder} still holds what is the server's");
        }
        self.deal_with(&holders, book);
    }

    /// Says what is still held.
    pub(super) fn report(&self) {
        match &self.report {
            Some(report) => text::log_held(report),
            None => log::error!("what the server left could not be looked at in time, and is kept"),
        }
    }
}

/// Asks whether what a dead server left can be settled.
pub(super) fn examine(book: Option<&Book>) -> Found {
    match book {
        None => Found::Nothing,
        Some(book) if book.scribe.helper().is_some() => Found::Busy,
        Some(book) => Found::Objects { attached: book.is_attached() },
    }
}

/// Returns every process that holds an object of a report, or is left of its server.
fn held_by(report: &Report) -> Vec<Holder> {
    let mut found = holders::holders(report);
    if let State::Live(evidence) = &report.state {
        found.extend(evidence.holder().cloned());
    }
    if report.state == State::Dead {
        found.extend(report.objects.iter().filter_map(|object| match &object.result {
            Fate::Kept(Reason::OrphanLives(evidence)) => evidence.holder().cloned(),
            _ => None,
        }));
    }
    holders::once_each(found)
}
