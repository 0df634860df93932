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
    /// COMMAND ended; whether it has left a server that lives.
    Ended(Ended, bool),
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
    use Effect::{DropChild, NoteEnd, OpenGate, Report, Settle, Wait};
    match (state, event) {
        (State::Claiming, Event::Claimed) => (State::Opening, &[OpenGate], None),
        (State::Claiming, Event::ClaimRefused) => (State::Done, &[DropChild], None),
        (State::Opening, Event::Executed) => (State::Running, &[], None),
        (State::Opening, Event::NotExecuted(_)) => (State::Opening, &[], None),
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
