//! The launcher as a table: (state, event) -> (state, effects). Pure; the loop around it reads the
//! events and performs the effects.

use shmwarden::sys::process::Ended;

/// Where the launcher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The child waits at the gate until its claim is on disk.
    Claiming,
    /// The gate is open; whether the program was executed is not known yet.
    Opening,
    /// The server runs.
    Running,
    /// COMMAND ended and left a server that lives: it has become a daemon.
    Daemonised,
    /// The server is dead; orphans may hold its objects.
    Lingering,
    /// Nothing is left to be done.
    Done,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A signal arrived that is to be passed on.
    Signal(i32),
    /// The claim is on disk, or writing it failed and the start goes on all the same.
    Claimed,
    /// The claim could not be written and the start is to be given up.
    ClaimRefused,
    /// The program was executed.
    Executed,
    /// It could not be: this errno.
    NotExecuted(i32),
    /// A signal stopped COMMAND, which has not ended.
    Stopped,
    /// COMMAND ended, if it is known how; whether it has left a server that lives.
    Ended(Option<Ended>, bool),
    /// What a daemonised COMMAND had left has ended.
    DaemonGone,
    /// What was held may be free now.
    Freed,
    /// The dead server's objects were settled; whether something is still held.
    Settled(bool),
    /// The time to linger is over.
    LingerOver,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Let the child execute its program.
    OpenGate,
    /// End the child, which waits at the gate and has executed nothing.
    DropChild,
    /// Stop until COMMAND is continued, where that is what a shell waits for (`job.rs`).
    StopToo,
    /// Note the end in the ledger.
    NoteEnd,
    /// Settle what the dead server left.
    Settle,
    /// Wait for whoever still holds something.
    Wait,
    /// Say what is still held, and end.
    Report,
}

/// Signals that end a wait for orphans: whoever stops the service wants it stopped.
fn is_stop(signal: i32) -> bool {
    use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    matches!(signal, SIGHUP | SIGINT | SIGQUIT | SIGTERM)
}

/// What follows from an event: the next state, the effects in order, and a signal to pass on to
/// the server.
#[must_use]
pub(crate) fn step(state: State, event: Event) -> (State, &'static [Effect], Option<i32>) {
    use Effect::{DropChild, NoteEnd, OpenGate, Report, Settle, StopToo, Wait};
    match (state, event) {
        (State::Claiming, Event::Claimed) => (State::Opening, &[OpenGate], None),
        (State::Claiming, Event::ClaimRefused) => (State::Done, &[DropChild], None),
        (State::Opening, Event::Executed) => (State::Running, &[], None),
        (State::Opening, Event::NotExecuted(_)) => (State::Opening, &[], None),
        (State::Claiming | State::Opening | State::Running, Event::Stopped) => {
            (state, &[StopToo], None)
        }
        (State::Running, Event::Ended(_, true)) => (State::Daemonised, &[], None),
        (State::Claiming | State::Opening | State::Running, Event::Ended(..))
        | (State::Daemonised, Event::DaemonGone) => (State::Lingering, &[NoteEnd, Settle], None),
        (State::Lingering, Event::Freed) => (State::Lingering, &[Settle], None),
        (State::Lingering, Event::Settled(false)) => (State::Done, &[], None),
        (State::Lingering, Event::Settled(true)) => (State::Lingering, &[Wait], None),
        (State::Lingering, Event::LingerOver) => (State::Done, &[Report], None),
        (State::Lingering, Event::Signal(signal)) if is_stop(signal) => {
            (State::Done, &[Report], None)
        }
        (State::Lingering | State::Done, Event::Signal(_)) => (state, &[], None),
        (_, Event::Signal(signal)) => (state, &[], Some(signal)),
        (state, _) => (state, &[], None),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGRTMIN, SIGTERM, SIGUSR1, SIGUSR2};

    use super::*;

    const STATES: [State; 6] = [
        State::Claiming,
        State::Opening,
        State::Running,
        State::Daemonised,
        State::Lingering,
        State::Done,
    ];

    fn ends() -> Vec<Event> {
        let how = [
            None,
            Some(Ended::Exited(0)),
            Some(Ended::Exited(1)),
            Some(Ended::Signaled(9, false)),
            Some(Ended::Signaled(11, true)),
        ];
        let each = |how| [Event::Ended(how, false), Event::Ended(how, true)];
        how.into_iter().flat_map(each).collect()
    }

    fn signals() -> Vec<Event> {
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGRTMIN()];
        all.into_iter().map(Event::Signal).collect()
    }

    /// Every kind of event, with each content that the table looks at.
    fn events() -> Vec<Event> {
        let mut all = vec![
            Event::Claimed,
            Event::ClaimRefused,
            Event::Executed,
            Event::NotExecuted(2),
            Event::Stopped,
            Event::DaemonGone,
            Event::Freed,
            Event::Settled(false),
            Event::Settled(true),
            Event::LingerOver,
        ];
        all.extend(ends());
        all.extend(signals());
        all
    }

    /// A place for each state in the order of a life; nothing goes back.
    fn age(state: State) -> usize {
        STATES.iter().position(|other| *other == state).unwrap()
    }

    #[test]
    fn no_event_leads_back() {
        for state in STATES {
            for event in events() {
                let (next, _, _) = step(state, event);
                assert!(age(next) >= age(state), "{state:?} {event:?} {next:?}");
            }
        }
    }

    #[test]
    fn these_and_no_other_events_lead_on() {
        use Effect::{DropChild, NoteEnd, OpenGate, Report, Settle};
        let lingering = (State::Lingering, vec![NoteEnd, Settle]);
        let expected = |state: State, event: Event| match (state, event) {
            (State::Claiming, Event::Claimed) => Some((State::Opening, vec![OpenGate])),
            (State::Claiming, Event::ClaimRefused) => Some((State::Done, vec![DropChild])),
            (State::Opening, Event::Executed) => Some((State::Running, vec![])),
            (State::Running, Event::Ended(_, true)) => Some((State::Daemonised, vec![])),
            (State::Claiming | State::Opening | State::Running, Event::Ended(..))
            | (State::Daemonised, Event::DaemonGone) => Some(lingering.clone()),
            (State::Lingering, Event::Settled(false)) => Some((State::Done, vec![])),
            (State::Lingering, Event::LingerOver) => Some((State::Done, vec![Report])),
            (State::Lingering, Event::Signal(SIGHUP | SIGINT | SIGQUIT | SIGTERM)) => {
                Some((State::Done, vec![Report]))
            }
            _ => None,
        };
        for state in STATES {
            for event in events() {
                let (next, effects, _) = step(state, event);
                let found = (next != state).then(|| (next, effects.to_vec()));
                assert_eq!(found, expected(state, event), "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn nothing_leaves_done_and_nothing_is_done_there() {
        for event in events() {
            assert_eq!(step(State::Done, event), (State::Done, &[][..], None), "{event:?}");
        }
    }

    #[test]
    fn every_signal_is_passed_on_while_there_is_somebody_to_take_it() {
        let served = [State::Claiming, State::Opening, State::Running, State::Daemonised];
        for state in served {
            for event in signals() {
                let Event::Signal(signal) = event else { panic!() };
                assert_eq!(step(state, event), (state, &[][..], Some(signal)));
            }
        }
    }

    #[test]
    fn nothing_but_a_signal_is_passed_on() {
        for state in STATES {
            for event in events() {
                let passed_on = step(state, event).2;
                let is_signal = matches!(event, Event::Signal(_));
                assert!(passed_on.is_none() || is_signal, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_signal_that_stops_ends_a_wait_for_orphans_and_another_does_not() {
        for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
            let ended = (State::Done, &[Effect::Report][..], None);
            assert_eq!(step(State::Lingering, Event::Signal(signal)), ended);
        }
        for signal in [SIGUSR1, SIGUSR2, SIGRTMIN()] {
            let waits = (State::Lingering, &[][..], None);
            assert_eq!(step(State::Lingering, Event::Signal(signal)), waits);
        }
    }

    #[test]
    fn a_server_that_lives_on_makes_a_daemon_of_its_command_and_nothing_else_does() {
        for event in ends() {
            let left = matches!(event, Event::Ended(_, true));
            let next = step(State::Running, event).0;
            assert_eq!(next == State::Daemonised, left, "{event:?}");
        }
    }

    #[test]
    fn the_launcher_stops_with_its_command_and_at_nothing_else() {
        for state in STATES {
            for event in events() {
                let (next, effects, _) = step(state, event);
                let has_command =
                    matches!(state, State::Claiming | State::Opening | State::Running);
                let stops = event == Event::Stopped && has_command;
                assert_eq!(effects.contains(&Effect::StopToo), stops, "{state:?} {event:?}");
                assert!(!stops || (next == state && effects.len() == 1), "{state:?}");
            }
        }
    }

    #[test]
    fn nothing_is_settled_before_the_end_is_noted_or_while_a_daemon_lives() {
        for state in STATES {
            for event in events() {
                let (next, effects, _) = step(state, event);
                if effects.contains(&Effect::Settle) {
                    assert_eq!(next, State::Lingering, "{state:?} {event:?}");
                    let noted = state == State::Lingering || effects[0] == Effect::NoteEnd;
                    assert!(noted, "{state:?} {event:?}");
                }
            }
        }
        for event in ends() {
            assert_eq!(step(State::Daemonised, event), (State::Daemonised, &[][..], None));
        }
    }

    #[test]
    fn the_gate_opens_once_and_only_for_a_claim() {
        for state in STATES {
            for event in events() {
                let opens = step(state, event).1.contains(&Effect::OpenGate);
                let claimed = (state, event) == (State::Claiming, Event::Claimed);
                assert_eq!(opens, claimed, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn what_is_held_is_waited_for_and_what_was_freed_is_settled() {
        let held = step(State::Lingering, Event::Settled(true));
        assert_eq!(held, (State::Lingering, &[Effect::Wait][..], None));
        let freed = step(State::Lingering, Event::Freed);
        assert_eq!(freed, (State::Lingering, &[Effect::Settle][..], None));
    }
}
