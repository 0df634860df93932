//! The loop around the table: reads events, performs effects.

mod linger;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::libc::{SIGCHLD, SIGKILL};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::record::{End, Record};
use shmwarden::observe;
use shmwarden::sys::gate::Gated;
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::shm::Row;
use shmwarden::sys::signals::{self, SignalFd};

use super::claim::{self, Server};
use super::pace::Pace;
use super::scribe::{Scribe, Written};
use super::state::{Effect, Event, State, step};
use super::watch::Watch;
use super::{ancestry, events, program};
use crate::cli::{IfLedgerFails, Orphans, RunArgs};
use crate::exit::{self, Ending};
use crate::render::text;
use linger::Wait;

/// Everything that the launcher knows.
pub(crate) struct Launcher {
    state: State,
    program: PathBuf,
    child: Gated,
    signals: SignalFd,
    book: Option<Watched>,
    orphans: Orphans,
    linger: Duration,
    refuse_without_claim: bool,
    pace: Pace,
    ended: Option<Ended>,
    /// The end of a server that COMMAND left as a daemon.
    daemon_ended: Option<Ended>,
    exec_error: Option<i32>,
    claim_refused: bool,
    wait: Wait,
}

/// The ledger and what fills it.
struct Watched {
    ledger: Ledger,
    run: u64,
    watch: Watch,
    scribe: Scribe,
    complained: bool,
}

impl Launcher {
    /// Claims the child; the gate stays closed until that is on disk.
    pub(crate) fn new(
        args: &RunArgs,
        program: PathBuf,
        server: Server,
        ledger: Option<(Ledger, u64)>,
        child: Gated,
        signals: SignalFd,
        rows: &[Row],
    ) -> Self {
        let book = ledger.map(|(mut ledger, run)| {
            let claim = claim::of(run, child.pid, &server, rows);
            if let Some(claim) = claim {
                if let Err(error) = ledger.note(Record::Claim(claim), observe::forks()) {
                    log::error!("{error}");
                }
            }
            let watch = Watch::start(run, server.auto, rows);
            Watched {
                ledger,
                run,
                watch,
                scribe: Scribe::new(),
                complained: false,
            }
        });
        Self {
            state: State::Claiming,
            program,
            child,
            signals,
            book,
            orphans: args.orphans,
            linger: args.linger,
            refuse_without_claim: args.if_ledger_fails == IfLedgerFails::Refuse,
            pace: Pace::start(Instant::now()),
            ended: None,
            daemon_ended: None,
            exec_error: None,
            claim_refused: false,
            wait: Wait::default(),
        }
    }

    /// Runs until nothing is left to be done; how this process is to end.
    pub(crate) fn watch_over(mut self) -> Ending {
        match &mut self.book {
            Some(book) => book.scribe.start(&book.ledger, true),
            None => self.take(Event::Claimed),
        }
        while self.state != State::Done {
            self.wait_for_events();
            self.read_signals();
            self.read_gate();
            self.look_when_due();
            self.count_when_due();
        }
        self.ending()
    }

    fn ending(self) -> Ending {
        if self.claim_refused {
            return Ending::Status(exit::RUN_FAILED);
        }
        if let Some(errno) = self.exec_error {
            let (status, why) = program::exec_failed(&self.program, errno);
            log::error!("{why}");
            return Ending::Status(status);
        }
        match self.ended {
            Some(Ended::Exited(status)) => Ending::Status(u8::try_from(status).unwrap_or(u8::MAX)),
            Some(Ended::Signaled(signal, _)) => Ending::Signal(signal),
            None => Ending::Status(exit::RUN_FAILED),
        }
    }

    fn wait_for_events(&self) {
        let mut descriptors = vec![self.signals.as_fd()];
        if self.state == State::Opening {
            descriptors.push(self.child.report());
        }
        descriptors.extend(self.wait.holders.iter().map(AsFd::as_fd));
        let looks = matches!(self.state, State::Running | State::Daemonised) && self.book.is_some();
        let book = self.book.as_ref();
        let times = [
            looks.then(|| self.pace.next()),
            book.and_then(|book| book.scribe.retry_at(&book.ledger))
                .filter(|_| looks),
            self.wait.until,
            self.wait.next_count,
            self.wait.name_at.filter(|_| !self.wait.dealt_with),
        ];
        events::wait(&descriptors, times.into_iter().flatten().min());
    }

    fn read_signals(&mut self) {
        let mut children = false;
        while let Ok(Some(arrived)) = self.signals.take() {
            if arrived.signal == SIGCHLD {
                children = true;
            } else if !arrived.is_from_kernel() {
                // What a terminal sends goes to the whole foreground group: the server has it.
                self.take(Event::Signal(arrived.signal));
            }
        }
        if children {
            self.reap();
        }
    }

    fn read_gate(&mut self) {
        if self.state == State::Opening
            && events::wait(&[self.child.report()], Some(Instant::now()))
        {
            match self.child.exec_error() {
                None => self.take(Event::Executed),
                Some(errno) => {
                    self.exec_error = Some(errno as i32);
                    self.take(Event::NotExecuted(errno as i32));
                }
            }
        }
    }

    /// Takes in every child that has ended. The server is looked at once more before it is reaped.
    fn reap(&mut self) {
        while let Ok(Some(pid)) = process::any_ended() {
            if pid == self.child.pid && self.ended.is_none() {
                self.read_gate();
                self.server_ended(pid);
                continue;
            }
            let claimed = self.book.as_ref().is_some_and(|book| book.claims(pid));
            if claimed {
                self.last_look();
            }
            let Ok(Some(how)) = process::reap(pid) else {
                break;
            };
            if claimed {
                self.daemon_ended = Some(how);
            }
            match self
                .book
                .as_mut()
                .and_then(|b| b.scribe.ended(pid, how, &mut b.ledger))
            {
                Some(written) => self.written(written),
                None if self.state == State::Lingering => self.wait.settle_due = true,
                None => {}
            }
        }
        let helper = self.book.as_ref().and_then(|book| book.scribe.helper());
        if self.state == State::Daemonised && ancestry::children(helper).is_empty() {
            self.take(Event::DaemonGone);
        }
        if std::mem::take(&mut self.wait.settle_due) {
            self.take(Event::Freed);
        }
    }

    fn server_ended(&mut self, pid: i32) {
        self.last_look();
        let Ok(Some(how)) = process::reap(pid) else {
            return;
        };
        self.ended = Some(how);
        let helper = self.book.as_ref().and_then(|book| book.scribe.helper());
        let left = how == Ended::Exited(0) && !ancestry::children(helper).is_empty();
        self.take(Event::Ended(how, left));
    }

    fn last_look(&mut self) {
        if let Some(book) = &mut self.book {
            if let Err(error) = book.watch.last_look(&mut book.ledger) {
                log::error!("the last look at the server's objects failed: {error}");
            }
        }
    }

    /// The helper has written, or not.
    fn written(&mut self, written: Written) {
        match (self.state, written) {
            (State::Claiming, Written::Failed(_)) if self.refuse_without_claim => {
                self.take(Event::ClaimRefused);
            }
            (State::Claiming, Written::Failed(_)) => {
                log::error!("the server starts all the same, and no clean-up is promised");
                self.take(Event::Claimed);
            }
            (State::Claiming, Written::Done) => self.take(Event::Claimed),
            (State::Lingering, _) => self.wait.settle_due = true,
            _ => {}
        }
    }

    fn look_when_due(&mut self) {
        if !matches!(self.state, State::Running | State::Daemonised) {
            return;
        }
        let Some(book) = &mut self.book else { return };
        let began = Instant::now();
        if began >= self.pace.next() {
            if !book.scribe.is_full(&book.ledger) {
                let looked = book.watch.look(&mut book.ledger, self.pace.is_dense());
                if let Err(error) = looked {
                    if !std::mem::replace(&mut book.complained, true) {
                        log::error!("cannot watch the server's objects: {error}");
                    }
                }
            }
            self.pace.looked(began, Instant::now());
        }
        book.scribe.start(&book.ledger, false);
        book.scribe.compact_if_long(&book.ledger);
    }

    /// One step of the table, and what follows from it.
    fn take(&mut self, event: Event) {
        let (state, effects, signal) = step(self.state, event);
        self.state = state;
        if let Some(signal) = signal {
            self.forward(signal);
        }
        for effect in effects {
            self.perform(*effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::OpenGate => {
                // A child that has died at the gate is told by SIGCHLD.
                let _ = self.child.open();
                self.pace = Pace::start(Instant::now());
            }
            Effect::DropChild => {
                self.claim_refused = true;
                let _ = signals::send(self.child.pid, SIGKILL);
                let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.child.pid), None);
                log::error!("the server is not started: its claim could not be written");
            }
            Effect::NoteEnd => self.note_end(),
            Effect::Settle => self.settle(),
            Effect::Wait => self.wait_for_orphans(),
            Effect::Report => {
                if let Some(report) = &self.wait.report {
                    text::log_held(report);
                }
            }
        }
    }

    fn forward(&self, signal: i32) {
        if self.state == State::Daemonised {
            let helper = self.book.as_ref().and_then(|book| book.scribe.helper());
            for pid in ancestry::children(helper) {
                let _ = signals::send(pid, signal);
            }
        } else if self.ended.is_none() {
            // Unreaped, so the pid is the server's: alive, or a zombie that no signal hurts.
            let _ = signals::send(self.child.pid, signal);
        }
    }

    fn note_end(&mut self) {
        self.wait.until = Some(Instant::now() + self.linger);
        let how = self.daemon_ended.or(self.ended);
        let Some(book) = &mut self.book else { return };
        let end = match (self.exec_error, how) {
            (Some(errno), _) => End::NotStarted(errno),
            (None, Some(Ended::Exited(status))) => End::Exit(status),
            (None, Some(Ended::Signaled(signal, _))) => End::Signal(signal),
            (None, None) => End::Unknown,
        };
        let run = book.run;
        if let Err(error) = book.ledger.note(Record::End { run, end }, None) {
            log::error!("{error}");
        }
    }
}

impl Watched {
    fn claims(&self, pid: i32) -> bool {
        let run = self.ledger.book.runs.get(&self.run);
        run.is_some_and(|run| run.claims.iter().any(|claim| claim.process.pid == pid))
    }
}
