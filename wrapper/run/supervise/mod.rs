//! The loop around the phases: waits, asks what has happened, and has each event's effects done.

mod book;
mod daemon;
mod inbox;
mod job;
mod linger;
mod notices;
mod pace;
mod perform;
mod phase;
mod reap;
mod signal;
mod survivors;
mod ward;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use nix::libc::SIGCHLD;
use shmwarden::ledger::Ledger;
use shmwarden::sys::gate::Gated;
use shmwarden::sys::process::Ended;
use shmwarden::sys::shm::Row;
use shmwarden::sys::signals::SignalFd;

use super::notify::Relay;
use super::{events, program};
use crate::cli::{IfLedgerFails, NotifyAccess, Orphans, RunArgs};
use crate::exit::{self, Ending};
use crate::recording::ancestry::Family;
use crate::recording::claim::Server;
use book::Book;
use inbox::Inbox;
use job::Job;
use phase::{Event, Phase, Terms};
use survivors::Survivors;
pub(crate) use ward::Ward;

/// Everything that the launcher knows.
pub(crate) struct Launcher {
    phase: Phase,
    terms: Terms,
    inbox: Inbox,
    job: Job,
    /// The server where it is no child, but a process beside this one.
    ward: Option<Ward>,
    book: Option<Book>,
    survivors: Survivors,
    relay: Option<Relay>,
    notify_access: NotifyAccess,
    program: PathBuf,
}

/// Everything that a launcher begins with.
pub(crate) struct Start {
    /// The file that COMMAND means.
    pub(crate) program: PathBuf,
    /// The server as its command line describes it.
    pub(crate) server: Server,
    /// The locked ledger and the number of the run, if there is one.
    pub(crate) ledger: Option<(Ledger, u64)>,
    /// The child at the gate.
    pub(crate) child: Gated,
    /// The same process, where it is no child.
    pub(crate) ward: Option<Ward>,
    /// Signals that arrive.
    pub(crate) arriving: SignalFd,
    /// The segments that were there before the fork: without them there is no claim.
    pub(crate) rows: shmwarden::Result<Vec<Row>>,
    /// The children that were there before the fork.
    pub(crate) family: Family,
    /// The way of notifications to the service manager, where they are relayed.
    pub(crate) relay: Option<Relay>,
}

impl Launcher {
    /// Claims the child; the gate stays closed until that is on disk.
    pub(crate) fn new(args: &RunArgs, start: Start) -> Self {
        let Start { program, server, ledger, child, ward, arriving, rows, family, relay } = start;
        let begun = ledger.map(|ledger| Book::begin(ledger, child.pid, &server, rows, family));
        let terms = Terms {
            refuse_without_claim: args.if_ledger_fails == IfLedgerFails::Refuse,
            is_beside: ward.is_some(),
            watches: begun.is_some(),
            speaks: relay.is_some(),
            ends_survivors: args.orphans != Orphans::Leave,
            linger: args.linger,
        };
        let (book, claimed) = begun.unzip();
        let mut launcher = Self {
            phase: Phase::default(),
            terms,
            inbox: Inbox::new(arriving),
            job: Job::new(child),
            ward,
            book,
            survivors: Survivors::new(args.orphans),
            relay,
            notify_access: args.notify_access,
            program,
        };
        launcher.write_claim(claimed);
        launcher
    }

    fn write_claim(&mut self, claimed: Option<Result<(), String>>) {
        match (&mut self.book, claimed) {
            (Some(book), Some(Ok(()))) => {
                // No helper can be had: no claim will be on disk.
                if !book.scribe.start(&book.ledger, true, self.job.child.gate()) {
                    self.take(Event::Written(false));
                }
            }
            (_, Some(Err(why))) => {
                log::error!("cannot claim the server: {why}");
                self.take(Event::Written(false));
            }
            _ => self.take(Event::Written(true)),
        }
    }

    /// Runs until nothing is left to be done; how this process is to end.
    pub(crate) fn watch_over(mut self) -> Ending {
        self.guard();
        self.ending()
    }

    /// Runs until nothing is left to be done.
    pub(crate) fn guard(&mut self) {
        while !matches!(self.phase, Phase::Done { .. }) {
            let due = self.wait_for_events();
            self.inbox.stall.woke(due);
            self.read_signals();
            self.read_gate();
            self.look_at_ward();
            self.relay_notifications(false);
            if self.survivors.have_ended() {
                self.take(Event::HolderEnded);
            }
            for (deadline, _) in self.phase.deadlines(&self.terms) {
                self.take(Event::Due(deadline));
            }
            if let Some(book) = self.book.as_mut().filter(|_| self.phase.has_server()) {
                book.keep();
            }
        }
        self.end_relay();
    }

    /// Takes in an event: goes on to the next phase, has the effects of that done, and takes in
    /// what happens by them.
    fn take(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let phase = std::mem::take(&mut self.phase);
            let (phase, effects) = phase.on(event, Instant::now(), &self.terms);
            self.phase = phase;
            events.extend(effects.into_iter().filter_map(|effect| self.perform(effect)));
        }
    }

    /// Waits; until when that was to be at the latest.
    fn wait_for_events(&self) -> Option<Instant> {
        let mut descriptors = vec![self.inbox.readable()];
        if self.phase.awaits_exec() {
            descriptors.push(self.job.child.report());
        }
        descriptors.extend(self.survivors.readable());
        descriptors.extend(self.ward.as_ref().and_then(Ward::descriptor));
        let relay = self.relay.as_ref();
        descriptors.extend(relay.and_then(Relay::readable));
        let phase = self.phase.deadlines(&self.terms).into_iter().map(|(_, at)| at);
        let book = self.book.as_ref().filter(|_| self.phase.has_server());
        let times = [
            book.map(Book::keep_at),
            self.ward.as_ref().and_then(Ward::look_at),
            relay.and_then(Relay::retry_at),
            self.inbox.has_heard().then(Instant::now),
        ];
        let due = times.into_iter().flatten().chain(phase).min();
        events::wait(&descriptors, relay.and_then(Relay::writable), due);
        due
    }

    fn read_signals(&mut self) {
        let arrived = self.inbox.take();
        if arrived.is_empty() {
            return;
        }
        let standing = self.job.standing();
        let mut children = false;
        for signal in arrived {
            // Sent by a process it is for the server; pending, it may stand for a child's too.
            children |= signal.signal == SIGCHLD;
            self.take(Event::Signal(signal, standing));
        }
        if children {
            let stopped = if self.phase.has_command() { self.job.stopped() } else { None };
            if let Some(signal) = stopped {
                self.take(Event::Stopped(signal));
            }
            self.reap();
        }
    }

    fn read_gate(&mut self) {
        if self.phase.awaits_exec()
            && events::wait(&[self.job.child.report()], None, Some(Instant::now()))
        {
            let error = self.job.child.exec_error();
            self.take(error.map_or(Event::Executed, |errno| Event::NotExecuted(errno as i32)));
        }
    }

    fn ending(self) -> Ending {
        let Phase::Done { life, refused: false, .. } = self.phase else {
            return Ending::Status(exit::RUN_FAILED);
        };
        if let Some(errno) = life.exec_error {
            let (status, why) = program::exec_failed(&self.program, errno);
            log::error!("{why}");
            return Ending::Status(status);
        }
        match life.command {
            Some(Ended::Exited(status)) => Ending::Status(u8::try_from(status).unwrap_or(u8::MAX)),
            Some(Ended::Signaled(signal, _)) => Ending::Signal(signal),
            None => Ending::Status(exit::RUN_FAILED),
        }
    }
}
