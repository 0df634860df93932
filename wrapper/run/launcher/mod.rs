//! The loop around the table: reads events, performs effects.

mod awake;
mod daemon;
mod job;
mod linger;
mod notices;
mod reap;
mod ward;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::libc::{SIGCHLD, SIGKILL, SIGSTOP};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::record::Record;
use shmwarden::sys::gate::Gated;
use shmwarden::sys::process::Ended;
use shmwarden::sys::shm::Row;
use shmwarden::sys::signals::{self, Arrived, SignalFd};

use super::ancestry::Family;
use super::claim::{self, Server};
use super::notify::Relay;
use super::pace::Pace;
use super::scribe::{Scribe, Written};
use super::state::{Effect, Event, State, step};
use super::watch::{self, Watch};
use super::{events, program};
use crate::cli::{IfLedgerFails, NotifyAccess, Orphans, RunArgs};
use crate::exit::{self, Ending};
use crate::render::text;
use awake::Awake;
use daemon::Daemon;
use linger::Wait;
use notices::Notices;
pub(crate) use ward::Ward;

/// Most signals that are read at a time.
const MOST_SIGNALS: usize = 256;

/// Everything that the launcher knows.
pub(crate) struct Launcher {
    state: State,
    program: PathBuf,
    child: Gated,
    /// The server where it is no child, but a process beside this one.
    ward: Option<Ward>,
    signals: SignalFd,
    awake: Awake,
    /// Signals that were read, and not yet acted on.
    heard: VecDeque<Arrived>,
    book: Option<Watched>,
    orphans: Orphans,
    linger: Duration,
    refuse_without_claim: bool,
    pace: Pace,
    ended: Option<Ended>,
    /// The end of a server that COMMAND left as a daemon.
    daemon_ended: Option<Ended>,
    daemon: Daemon,
    exec_error: Option<i32>,
    claim_refused: bool,
    /// The signal that stopped COMMAND last.
    stopped_by: i32,
    /// The helper that woke the launcher last when it was stopped.
    waker: Option<u32>,
    wait: Wait,
    relay: Option<Relay>,
    notify_access: NotifyAccess,
    notices: Notices,
}

/// What a launcher begins with.
pub(crate) struct Start {
    /// The file that COMMAND means.
    pub(crate) program: PathBuf,
    /// What is known of the server.
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

/// The ledger and what fills it.
struct Watched {
    ledger: Ledger,
    run: u64,
    watch: Watch,
    scribe: Scribe,
    /// Why the child could not be claimed.
    unclaimed: Option<String>,
    complained: bool,
    /// Whether it was told that the name of the ledger is another file's.
    told_lost: bool,
}

impl Watched {
    /// Says once that the ledger was moved, replaced or removed.
    fn tell_a_lost_name(&mut self) {
        if self.told_lost || self.ledger.has_its_name() {
            return;
        }
        self.told_lost = true;
        log::error!(
            "the ledger {} was moved, replaced or removed while its server runs: this launcher \
             goes on with the file that it has, and cleans up after the server; should the \
             launcher be killed, nobody finds that file. Restart the server to begin a ledger \
             anew, and leave the file alone",
            self.ledger.path().display()
        );
    }
}

impl Launcher {
    /// Claims the child; the gate stays closed until that is on disk.
    pub(crate) fn new(args: &RunArgs, start: Start) -> Self {
        let Start { program, server, ledger, child, ward, arriving, rows, family, relay } = start;
        let book = ledger.map(|(mut ledger, run)| {
            let unclaimed = rows
                .as_ref()
                .map_err(ToString::to_string)
                .and_then(|rows| claim::of(run, child.pid, &server, rows))
                .and_then(|mut claim| {
                    (claim.sets_before, claim.queues_before) = watch::sets::before(&claim);
                    let noted = ledger.note(Record::Claim(claim));
                    noted.map_err(|error| error.to_string())
                })
                .err();
            let rows = rows.unwrap_or_default();
            let watch = Watch::start(run, server.auto, &rows, family);
            Watched {
                ledger,
                run,
                watch,
                scribe: Scribe::new(),
                unclaimed,
                complained: false,
                told_lost: false,
            }
        });
        Self {
            state: State::Claiming,
            program,
            child,
            ward,
            signals: arriving,
            awake: Awake::default(),
            heard: VecDeque::new(),
            book,
            orphans: args.orphans,
            linger: args.linger,
            refuse_without_claim: args.if_ledger_fails == IfLedgerFails::Refuse,
            pace: Pace::start(Instant::now()),
            ended: None,
            daemon_ended: None,
            daemon: Daemon::default(),
            exec_error: None,
            claim_refused: false,
            stopped_by: SIGSTOP,
            waker: None,
            wait: Wait::default(),
            relay,
            notify_access: args.notify_access,
            notices: Notices::default(),
        }
    }

    /// Runs until nothing is left to be done; how this process is to end.
    pub(crate) fn watch_over(mut self) -> Ending {
        self.guard();
        self.ending()
    }

    /// Runs until nothing is left to be done.
    pub(crate) fn guard(&mut self) {
        match &mut self.book {
            None => self.take(Event::Claimed),
            // A claim that could not be made is one that could not be written.
            Some(Watched { unclaimed: Some(why), .. }) => {
                log::error!("cannot claim the server: {why}");
                self.written(Written::Failed(nix::libc::EIO));
            }
            Some(book) => {
                // No helper can be had: no claim will be on disk.
                if !book.scribe.start(&book.ledger, true, self.child.gate()) {
                    self.written(Written::Failed(nix::libc::EAGAIN));
                }
            }
        }
        while self.state != State::Done {
            let due = self.wait_for_events();
            self.awake.woke(due);
            self.read_signals();
            self.read_gate();
            self.look_at_ward();
            self.relay_notifications();
            self.look_when_due();
            self.count_when_due();
            self.speak_when_due();
        }
        self.end_relay();
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

    /// Waits; until when that was to be at the latest.
    fn wait_for_events(&self) -> Option<Instant> {
        let mut descriptors = vec![self.signals.as_fd()];
        if self.state == State::Opening {
            descriptors.push(self.child.report());
        }
        descriptors.extend(self.wait.holders.iter().map(AsFd::as_fd));
        descriptors.extend(self.ward.as_ref().and_then(Ward::descriptor));
        let relay = self.relay.as_ref();
        descriptors.extend(relay.and_then(Relay::readable));
        let looks = matches!(self.state, State::Running | State::Daemonised) && self.book.is_some();
        let book = self.book.as_ref();
        let times = [
            looks.then(|| self.pace.next()),
            book.filter(|_| looks).map(|book| book.watch.robbery_due()),
            book.and_then(|book| book.scribe.retry_at(&book.ledger)).filter(|_| looks),
            self.linger_until(),
            self.daemon_due(),
            self.ward.as_ref().and_then(Ward::look_at),
            self.wait.next_count,
            self.wait.name_at.filter(|_| !self.wait.dealt_with),
            relay.and_then(Relay::retry_at),
            self.notices.next(),
            (!self.heard.is_empty()).then(Instant::now),
        ];
        let writable = relay.and_then(Relay::writable);
        let due = times.into_iter().flatten().min();
        events::wait_also(&descriptors, writable, due);
        due
    }

    /// Reads the signals that have arrived, and notes what they tell of a stop of this process.
    fn hear(&mut self) {
        // A flood of signals must not keep the loop from everything else.
        while self.heard.len() < MOST_SIGNALS {
            let Ok(Some(arrived)) = self.signals.take() else { break };
            self.awake.signalled(&arrived);
            self.heard.push_back(arrived);
        }
    }

    fn read_signals(&mut self) {
        let mut children = false;
        self.hear();
        for arrived in std::mem::take(&mut self.heard) {
            // Sent by a process it is for the server; pending, it may stand for a child's too.
            children |= arrived.signal == SIGCHLD;
            // A guardian passes nothing on, and is not the one that a service manager asks to stop.
            if self.ward.is_none() {
                self.pass_to_server(&arrived);
            }
        }
        if children {
            self.job_changed();
            self.reap();
        }
    }

    fn pass_to_server(&mut self, arrived: &Arrived) {
        if self.is_for_server(arrived) {
            self.take_signal(arrived);
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

    /// The helper has written, or not.
    fn written(&mut self, written: Written) {
        match (self.state, written) {
            (State::Claiming, Written::Failed(_)) if self.refuse_without_claim => {
                self.take(Event::ClaimRefused);
            }
            (State::Claiming, Written::Failed(_)) => {
                log::error!("the server starts all the same, and no clean-up is promised");
                self.child.is_not_durable();
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
            book.tell_a_lost_name();
            self.pace.looked(began, Instant::now());
            self.note_daemons();
        } else if began >= book.watch.robbery_due() {
            book.watch.look_for_robbery(&mut book.ledger);
        }
        self.name_what_a_daemon_left();
        let Some(book) = &mut self.book else { return };
        book.scribe.start(&book.ledger, false, None);
        book.scribe.compact_if_long(&book.ledger);
    }

    /// One step of the table, and what follows from it.
    fn take(&mut self, event: Event) {
        let (state, effects, _) = step(self.state, event);
        self.go_on(state, effects);
    }

    /// The same for a signal, which may be passed on as it arrived.
    fn take_signal(&mut self, arrived: &Arrived) {
        let (state, effects, signal) = step(self.state, Event::Signal(arrived.signal));
        if signal.is_some() {
            self.forward(arrived);
        }
        self.go_on(state, effects);
    }

    fn go_on(&mut self, state: State, effects: &[Effect]) {
        self.state = state;
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
            // Told so, it gives up by itself.
            Effect::DropChild if self.ward.is_some() => {
                self.child.is_not_durable();
                let _ = self.child.open();
            }
            Effect::DropChild => {
                self.claim_refused = true;
                let _ = signals::send(self.child.pid, SIGKILL);
                let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.child.pid), None);
                log::error!("the server is not started: its claim could not be written");
            }
            Effect::StopToo => self.stop_too(),
            Effect::NoteEnd => self.note_end(),
            Effect::Settle => self.settle(),
            Effect::Wait => self.wait_for_orphans(),
            Effect::Report => match &self.wait.report {
                Some(report) => text::log_held(report),
                None => {
                    log::error!("what the server left could not be looked at in time, and is kept")
                }
            },
        }
    }

    fn forward(&mut self, arrived: &Arrived) {
        if self.state == State::Daemonised {
            for pid in self.daemons() {
                self.pass_to(pid, arrived);
            }
        } else if self.ended.is_none() {
            // Unreaped, so the pid is the server's: alive, or a zombie that no signal hurts.
            self.pass_to_command(arrived);
        }
    }
}
