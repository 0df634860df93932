//! The launcher as phases, each with its data: an event leads to the next phase and to effects.
//! Pure: the time is given; the loop (`mod.rs`) waits for events, `perform.rs` performs effects.

use std::time::{Duration, Instant};

use shmwarden::sys::process::Ended;
use shmwarden::sys::signals::Arrived;

use super::daemon::Daemon;
use super::linger::{Found, Linger};
use super::pace::Pace;
use super::signal::{Listener, Route, Standing, route};

/// Settings that hold for the whole run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Nothing starts without a claim on disk.
    pub(super) refuse_without_claim: bool,
    /// The server is no child of this process, a guardian, which passes no signals on.
    pub(super) is_beside: bool,
    /// There is a ledger, and so something to look for while the server lives.
    pub(super) watches: bool,
    /// A service manager is told what is waited for.
    pub(super) speaks: bool,
    /// Survivors are ended, and not only named.
    pub(super) ends_survivors: bool,
    /// The longest wait for survivors.
    pub(super) linger: Duration,
}

/// The ends of COMMAND and of its server, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// The `errno` of an `execve` of COMMAND that failed.
    pub(super) exec_error: Option<i32>,
    /// The end of COMMAND.
    pub(super) command: Option<Ended>,
    /// The end of a server that COMMAND started, or left as a daemon.
    pub(super) server: Option<Ended>,
}

impl Life {
    /// Returns how the server ended.
    pub(super) fn end(&self) -> Option<Ended> {
        self.server.or(self.command)
    }
}

/// The phases of a run, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The child waits at the gate until its claim is on disk.
    Claiming { exec_error: Option<i32> },
    /// The gate is open; whether the program was executed is not known yet.
    Opening { exec_error: Option<i32>, pace: Pace },
    /// The server runs; `server` is the end of one that COMMAND has started.
    Running { server: Option<Ended>, pace: Pace },
    /// COMMAND ended and left a server that lives: it has become a daemon.
    Daemonised(Daemon),
    /// The server is dead; survivors may hold its objects.
    Lingering(Linger),
    /// Nothing is left to be done; `spoke` where the service manager was told of a wait.
    Done { life: Life, refused: bool, spoke: bool },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Claiming { exec_error: None }
    }
}

/// The events that a phase answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The helper at the ledger has ended, if any was needed; whether the disk has it all.
    Written(bool),
    /// The program was executed.
    Executed,
    /// It could not be: this errno.
    NotExecuted(i32),
    /// A signal arrived, and so the kernel has the job.
    Signal(Arrived, Standing),
    /// This signal stopped COMMAND, which has not ended.
    Stopped(i32),
    /// COMMAND ended, or a daemon that is no child did; whether a server that lives is left.
    Ended { how: Option<Ended>, left: bool },
    /// Another child ended; whether the ledger claims it.
    ChildEnded { pid: i32, how: Ended, claimed: bool },
    /// Every child that has ended is taken in; whether a daemon is left.
    Reaped { left: bool },
    /// The time for this has come.
    Due(Deadline),
    /// A look at the server's objects began at this time, and is over.
    Looked { began: Instant },
    /// These daemons go on without COMMAND; whether all known main processes live.
    Daemons { pids: Vec<i32>, mains_live: bool },
    /// A process that held something has ended.
    HolderEnded,
    /// Attachments were counted; whether there are any.
    Counted { attached: bool },
    /// It was asked whether the dead server's objects can be settled.
    Examined(Found),
    /// They were settled, or cannot be; whether something is still held, and attached.
    Settled { held: bool, attached: bool },
}

/// Reasons for a deadline, in the order in which they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    /// Looking at the server's objects.
    Look,
    /// Naming what outlives the main process of a daemon.
    NameDaemon,
    /// Counting attachments.
    Count,
    /// Naming survivors.
    Name,
    /// Ending the wait.
    Over,
    /// Telling the service manager.
    Speak,
}

/// The work that a phase asks the loop to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Let the child execute its program; all the same where its claim is not `durable`.
    OpenGate { durable: bool },
    /// End the child, which waits at the gate and has executed nothing.
    DropChild,
    /// Send a signal on.
    Pass(Arrived, Route),
    /// Stop by this signal until COMMAND is continued, where that is what a shell waits for.
    StopToo(i32),
    /// Look at the server's objects; densely while it may still be starting.
    Look { dense: bool },
    /// Find who goes on without COMMAND, and whether these main processes live.
    FindDaemons { mains: Vec<i32> },
    /// Have the ledger name these processes.
    NoteDescendants(Vec<i32>),
    /// Name and deal with what outlives the main process of a daemon; `first` for the first time.
    NameDaemon { pid: i32, how: Ended, first: bool },
    /// Note the end in the ledger.
    NoteEnd(Life),
    /// Ask whether the dead server's objects can be settled.
    Examine,
    /// Settle them.
    Settle,
    /// Count who has them attached.
    Count,
    /// Name the survivors, and deal with them.
    Name,
    /// Deal with the survivors as the command line says.
    Deal,
    /// Tell the service manager what is waited for.
    Speak(Life),
    /// Say what is still held.
    Report,
}

/// The next phase, and the effects in their order.
type Step = (Phase, Vec<Effect>);

impl Phase {
    /// Returns what follows from an event.
    #[must_use]
    pub(super) fn on(self, event: Event, now: Instant, terms: &Terms) -> Step {
        use Effect::{DropChild, Look, OpenGate, Pass, Report, StopToo};
        match (self, event) {
            (phase, Event::Signal(arrived, standing)) => {
                let way = route(&arrived, phase.listener(terms), &standing);
                match (way, phase) {
                    (Route::Dropped, phase) => (phase, Vec::new()),
                    (Route::EndsWait, Self::Lingering(linger)) => (linger.over(), vec![Report]),
                    (way, phase) => (phase, vec![Pass(arrived, way)]),
                }
            }
            (phase, Event::Due(which)) if !phase.is_due(which, now, terms) => (phase, Vec::new()),
            (Self::Daemonised(daemon), event) => daemon.on(event, now, terms),
            (Self::Lingering(linger), event) => linger.on(event, now, terms),
            (phase @ Self::Claiming { .. }, Event::Written(false))
                if terms.refuse_without_claim =>
            {
                let life = phase.life();
                (Self::Done { life, refused: true, spoke: false }, vec![DropChild])
            }
            (Self::Claiming { exec_error }, Event::Written(durable)) => {
                (Self::Opening { exec_error, pace: Pace::start(now) }, vec![OpenGate { durable }])
            }
            // In place, where the process did not wait for its claim any longer.
            (Self::Claiming { .. }, Event::NotExecuted(errno)) => {
                (Self::Claiming { exec_error: Some(errno) }, Vec::new())
            }
            (Self::Opening { exec_error: None, pace }, Event::Executed) => {
                (Self::Running { server: None, pace }, Vec::new())
            }
            (Self::Opening { pace, .. }, Event::NotExecuted(errno)) => {
                (Self::Opening { exec_error: Some(errno), pace }, Vec::new())
            }
            (Self::Running { server, pace }, Event::Due(Deadline::Look)) => {
                (Self::Running { server, pace }, vec![Look { dense: pace.is_dense() }])
            }
            (Self::Running { server, mut pace }, Event::Looked { began }) => {
                pace.looked(began, now);
                (Self::Running { server, pace }, Vec::new())
            }
            (Self::Running { pace, .. }, Event::ChildEnded { how, claimed: true, .. }) => {
                (Self::Running { server: Some(how), pace }, Vec::new())
            }
            (Self::Running { server, pace }, Event::Ended { how, left: true }) => {
                Daemon::begin(Life { exec_error: None, command: how, server }, pace)
            }
            (phase, Event::Ended { how, .. }) if phase.has_command() => {
                Linger::begin(Life { command: how, ..phase.life() }, now, terms)
            }
            (phase, Event::Stopped(signal)) if phase.has_command() => {
                (phase, vec![StopToo(signal)])
            }
            (phase, _) => (phase, Vec::new()),
        }
    }

    /// Returns who takes signals.
    fn listener(&self, terms: &Terms) -> Listener {
        match self {
            _ if terms.is_beside => Listener::Nobody,
            Self::Claiming { .. } | Self::Opening { .. } | Self::Running { .. } => {
                Listener::Command
            }
            Self::Daemonised(_) => Listener::Daemons,
            Self::Lingering(_) => Listener::Launcher,
            Self::Done { .. } => Listener::Nobody,
        }
    }

    /// Returns what is to be done at which time.
    pub(super) fn deadlines(&self, terms: &Terms) -> Vec<(Deadline, Instant)> {
        let look = |pace: &Pace| terms.watches.then(|| (Deadline::Look, pace.next()));
        match self {
            Self::Claiming { .. } | Self::Opening { .. } | Self::Done { .. } => Vec::new(),
            Self::Running { pace, .. } => look(pace).into_iter().collect(),
            Self::Daemonised(daemon) => {
                let name = daemon.name_at.map(|at| (Deadline::NameDaemon, at));
                look(&daemon.pace).into_iter().chain(name).collect()
            }
            Self::Lingering(linger) => linger.deadlines().into_iter().flatten().collect(),
        }
    }

    fn is_due(&self, deadline: Deadline, now: Instant, terms: &Terms) -> bool {
        self.deadlines(terms).iter().any(|&(other, at)| other == deadline && at <= now)
    }

    /// Checks for COMMAND being there, alive or unreaped.
    pub(super) fn has_command(&self) -> bool {
        matches!(self, Self::Claiming { .. } | Self::Opening { .. } | Self::Running { .. })
    }

    /// Checks for a child of which it is not known whether it has executed its program.
    pub(super) fn awaits_exec(&self) -> bool {
        matches!(self, Self::Opening { exec_error: None, .. })
    }

    /// Checks for a server that runs and may make objects.
    pub(super) fn has_server(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Daemonised(_))
    }

    /// Returns how COMMAND and its server ended.
    pub(super) fn life(&self) -> Life {
        match self {
            Self::Claiming { exec_error } | Self::Opening { exec_error, .. } => {
                Life { exec_error: *exec_error, ..Life::default() }
            }
            Self::Running { server, .. } => Life { server: *server, ..Life::default() },
            Self::Daemonised(daemon) => daemon.life,
            Self::Lingering(linger) => linger.life,
            Self::Done { life, .. } => *life,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};
    use std::sync::OnceLock;

    use nix::libc::{SI_KERNEL, SI_USER, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    use nix::libc::{SIGRTMIN, SIGUSR1};

    use super::*;

    /// Phases that are tried with every event, for each of the terms.
    const MOST_PHASES: usize = 200;

    /// One step that a launcher may take.
    #[derive(Debug)]
    struct Taken {
        terms: Terms,
        now: Instant,
        from: Phase,
        event: Event,
        to: Phase,
        effects: Vec<Effect>,
    }

    fn all_terms() -> Vec<Terms> {
        let each = |bits: u8| Terms {
            refuse_without_claim: bits & 1 != 0,
            is_beside: bits & 2 != 0,
            watches: true,
            speaks: bits & 4 != 0,
            ends_survivors: bits & 4 != 0,
            linger: Duration::from_secs(u64::from(bits)),
        };
        (0..8).map(each).collect()
    }

    fn signals() -> Vec<Event> {
        let standing = Standing { own: 10, command: 11, ..Standing::default() };
        let mut all = Vec::new();
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGRTMIN(), SIGCONT] {
            for (code, sender) in [(SI_USER, 1), (SI_USER, 10), (SI_USER, 11), (SI_KERNEL, 0)] {
                let arrived = Arrived { signal, code, sender, uid: 0, value: 0 };
                all.push(Event::Signal(arrived, standing));
            }
        }
        all
    }

    fn ends() -> Vec<Ended> {
        let signals = [Ended::Signaled(9, false), Ended::Signaled(11, true)];
        [Ended::Exited(0), Ended::Exited(1)].into_iter().chain(signals).collect()
    }

    /// Every kind of event, with each content that a phase looks at.
    fn events(now: Instant) -> Vec<Event> {
        use Deadline::{Count, Look, Name, NameDaemon, Over, Speak};
        let mut all = vec![
            Event::Executed,
            Event::NotExecuted(2),
            Event::Stopped(SIGTSTP),
            Event::Looked { began: now },
            Event::HolderEnded,
            Event::Examined(Found::Nothing),
            Event::Examined(Found::Busy),
        ];
        all.extend([Look, NameDaemon, Count, Name, Over, Speak].map(Event::Due));
        for yes in [false, true] {
            all.push(Event::Written(yes));
            all.push(Event::Reaped { left: yes });
            all.push(Event::Counted { attached: yes });
            all.push(Event::Examined(Found::Objects { attached: yes }));
            all.push(Event::Settled { held: true, attached: yes });
            all.push(Event::Daemons { pids: vec![7], mains_live: yes });
            all.push(Event::Daemons { pids: Vec::new(), mains_live: yes });
            all.push(Event::Ended { how: None, left: yes });
            for how in ends() {
                all.push(Event::Ended { how: Some(how), left: yes });
                all.push(Event::ChildEnded { pid: 7, how, claimed: yes });
            }
        }
        all.push(Event::Settled { held: false, attached: false });
        all.extend(signals());
        all
    }

    /// Every step from every phase that can be reached, nearest first, up to a bound. An event may
    /// come at once, or when something is due.
    fn steps() -> &'static [Taken] {
        static STEPS: OnceLock<Vec<Taken>> = OnceLock::new();
        STEPS.get_or_init(|| all_terms().into_iter().flat_map(steps_under).collect())
    }

    fn steps_under(terms: Terms) -> Vec<Taken> {
        let mut taken = Vec::new();
        let mut seen = HashSet::new();
        let mut open = VecDeque::from([(Phase::default(), Instant::now())]);
        while let Some((from, at)) = open.pop_front() {
            let times = from.deadlines(&terms).into_iter().map(|(_, due)| due.max(at));
            for now in times.chain([at]).collect::<Vec<_>>() {
                for event in events(now) {
                    let (to, effects) = from.clone().on(event.clone(), now, &terms);
                    let is_new = seen.len() < MOST_PHASES && seen.insert(format!("{to:?} {now:?}"));
                    if is_new {
                        open.push_back((to.clone(), now));
                    }
                    taken.push(Taken { terms, now, from: from.clone(), event, to, effects });
                }
            }
        }
        taken
    }

    /// A place for each phase in the order of a life; nothing goes back.
    fn age(phase: &Phase) -> usize {
        match phase {
            Phase::Claiming { .. } => 0,
            Phase::Opening { .. } => 1,
            Phase::Running { .. } => 2,
            Phase::Daemonised(_) => 3,
            Phase::Lingering(_) => 4,
            Phase::Done { .. } => 5,
        }
    }

    #[test]
    fn every_phase_is_tried() {
        for phase in 0..=5 {
            assert!(steps().iter().any(|step| age(&step.from) == phase), "{phase}");
        }
    }

    #[test]
    fn no_event_leads_back() {
        for step in steps() {
            assert!(age(&step.to) >= age(&step.from), "{step:?}");
        }
    }

    #[test]
    fn these_and_no_other_events_lead_on() {
        use Effect::{DropChild, Examine, FindDaemons, NoteEnd, OpenGate, Report};
        for step in steps() {
            let refuses = step.terms.refuse_without_claim;
            let ends = vec![NoteEnd(step.to.life()), Examine];
            let expected = match (&step.from, &step.event) {
                (Phase::Claiming { .. }, Event::Written(false)) if refuses => {
                    Some((5, vec![DropChild]))
                }
                (Phase::Claiming { .. }, Event::Written(durable)) => {
                    Some((1, vec![OpenGate { durable: *durable }]))
                }
                (Phase::Opening { exec_error: None, .. }, Event::Executed) => Some((2, vec![])),
                (Phase::Running { .. }, Event::Ended { left: true, .. }) => {
                    Some((3, vec![FindDaemons { mains: vec![] }]))
                }
                (phase, Event::Ended { .. }) if phase.has_command() => Some((4, ends)),
                (
                    Phase::Daemonised(_),
                    Event::Ended { left: false, .. } | Event::Reaped { left: false },
                ) => Some((4, ends)),
                // The third time in a row, as `daemon.rs` holds.
                (Phase::Daemonised(_), Event::Daemons { pids, .. })
                    if pids.is_empty() && age(&step.to) == 4 && !step.terms.is_beside =>
                {
                    Some((4, ends))
                }
                (
                    Phase::Lingering(_),
                    Event::Examined(Found::Nothing) | Event::Settled { held: false, .. },
                ) => Some((5, vec![])),
                (phase @ Phase::Lingering(_), Event::Due(Deadline::Over))
                    if phase.is_due(Deadline::Over, step.now, &step.terms) =>
                {
                    Some((5, vec![Report]))
                }
                (Phase::Lingering(_), Event::Signal(arrived, standing))
                    if route(arrived, step.from.listener(&step.terms), standing)
                        == Route::EndsWait =>
                {
                    Some((5, vec![Report]))
                }
                _ => None,
            };
            let found =
                (age(&step.to) != age(&step.from)).then(|| (age(&step.to), step.effects.clone()));
            assert_eq!(found, expected, "{step:?}");
        }
    }

    #[test]
    fn nothing_leaves_done_and_nothing_is_done_there() {
        for step in steps().iter().filter(|step| age(&step.from) == 5) {
            assert_eq!((&step.to, step.effects.len()), (&step.from, 0), "{step:?}");
        }
    }

    #[test]
    fn every_signal_goes_where_its_route_says_and_nothing_else_is_passed_on() {
        for step in steps() {
            let passed: Vec<&Effect> =
                step.effects.iter().filter(|effect| matches!(effect, Effect::Pass(..))).collect();
            let Event::Signal(arrived, standing) = step.event else {
                assert!(passed.is_empty(), "{step:?}");
                continue;
            };
            let way = route(&arrived, step.from.listener(&step.terms), &standing);
            match way {
                Route::Dropped => assert_eq!((&step.to, passed.len()), (&step.from, 0)),
                Route::EndsWait => assert!(passed.is_empty() && age(&step.to) == 5, "{step:?}"),
                _ => {
                    assert_eq!(passed, [&Effect::Pass(arrived, way)], "{step:?}");
                    assert_eq!((&step.to, step.effects.len()), (&step.from, 1), "{step:?}");
                }
            }
        }
    }

    #[test]
    fn somebody_takes_signals_while_a_server_lives_and_a_guardian_never_does() {
        for step in steps() {
            let expected = match age(&step.from) {
                _ if step.terms.is_beside => Listener::Nobody,
                0..=2 => Listener::Command,
                3 => Listener::Daemons,
                4 => Listener::Launcher,
                _ => Listener::Nobody,
            };
            assert_eq!(step.from.listener(&step.terms), expected);
        }
    }

    #[test]
    fn the_launcher_stops_with_its_command_and_at_nothing_else() {
        for step in steps() {
            let stops = step.effects.iter().any(|one| matches!(one, Effect::StopToo(_)));
            let stopped = matches!(step.event, Event::Stopped(_)) && step.from.has_command();
            assert_eq!(stops, stopped, "{step:?}");
            assert!(!stops || (step.to == step.from && step.effects.len() == 1), "{step:?}");
        }
    }

    #[test]
    fn nothing_is_settled_before_the_end_is_noted_or_while_a_daemon_lives() {
        for step in steps() {
            let does = |wanted: &Effect| step.effects.contains(wanted);
            if does(&Effect::Settle) {
                assert_eq!((age(&step.from), age(&step.to)), (4, 4), "{step:?}");
            }
            let begins = age(&step.from) < 4 && age(&step.to) == 4;
            assert_eq!(does(&Effect::NoteEnd(step.to.life())), begins, "{step:?}");
            if does(&Effect::Examine) {
                let noted = age(&step.from) == 4 || matches!(step.effects[0], Effect::NoteEnd(_));
                assert!(noted, "{step:?}");
            }
        }
    }

    #[test]
    fn the_gate_opens_once_and_not_without_a_claim_where_that_is_refused() {
        for step in steps() {
            let opens = |durable| step.effects.contains(&Effect::OpenGate { durable });
            let opened = age(&step.from) == 0 && age(&step.to) == 1;
            assert_eq!(opens(true) || opens(false), opened, "{step:?}");
            assert!(!opens(true) || step.event == Event::Written(true), "{step:?}");
            assert!(!opens(false) || !step.terms.refuse_without_claim, "{step:?}");
        }
    }

    #[test]
    fn a_deadline_that_has_not_come_changes_nothing() {
        for step in steps() {
            let Event::Due(deadline) = step.event else { continue };
            if !step.from.is_due(deadline, step.now, &step.terms) {
                assert_eq!((&step.to, step.effects.len()), (&step.from, 0), "{step:?}");
            }
        }
    }

    /// A time that stays in the past would have the loop spin.
    #[test]
    fn what_was_due_has_a_later_time_once_it_is_done() {
        for step in steps() {
            let Event::Due(deadline @ (Deadline::Count | Deadline::Speak | Deadline::NameDaemon)) =
                step.event
            else {
                continue;
            };
            assert!(!step.to.is_due(deadline, step.now, &step.terms), "{step:?}");
        }
    }

    #[test]
    fn how_it_ended_is_not_forgotten() {
        for step in steps() {
            let (before, after) = (step.from.life(), step.to.life());
            assert!(before.exec_error.is_none() || after.exec_error.is_some(), "{step:?}");
            let daemon_ended = age(&step.from) == 3 && matches!(step.event, Event::Ended { .. });
            if !daemon_ended {
                assert!(before.command.is_none() || after.command == before.command, "{step:?}");
                assert!(before.server.is_none() || after.server.is_some(), "{step:?}");
            }
            if let (Event::Ended { how, .. }, true) = (&step.event, step.from.has_command()) {
                assert_eq!(after.command, *how, "{step:?}");
            }
        }
    }
}
