//! Decides for each signal whether it is passed on or dropped ([`route`]): the only place that
//! does. Pure: what the kernel says of the job is given.
//!
//! A signal that the server has already is dropped: a terminal and a shell's `fg` signal the whole
//! group, the server included. So is one that the launcher brought upon itself (SIGPIPE: a log
//! line to a pipe without a reader).

use nix::libc::{SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP};
use nix::libc::{SIGVTALRM, SIGWINCH};
use shmwarden::sys::signals::Arrived;

/// The process that signals are passed on to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    /// COMMAND, which is not reaped: its pid is its own.
    Command,
    /// The servers that COMMAND left as daemons.
    Daemons,
    /// The launcher, which waits for survivors.
    Launcher,
    /// Nobody: all is done, or this is a guardian, which no service manager asks to stop.
    Nobody,
}

/// Facts of this process and COMMAND that decide where a signal goes, as the kernel tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Pid of this process.
    pub(super) own: u32,
    /// Pid of COMMAND.
    pub(super) command: u32,
    /// Pid of the helper that last woke this process when it was stopped.
    pub(super) waker: Option<u32>,
    /// This process leads its session.
    pub(super) leads_session: bool,
    /// The group that COMMAND has made for itself (`timeout(1)` does), where this process leads the
    /// one that a terminal signals: without a launcher COMMAND would lead that.
    pub(super) own_group: Option<i32>,
}

/// The destination of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Nowhere: whoever it is for has it already, or nobody is there.
    Dropped,
    /// To COMMAND; to the `group` that it has made, since what a terminal or a shell's `fg` sends
    /// is for all of a group; not if it was continued by this very signal, as a whole group is.
    Command { group: Option<i32>, unless_continued: bool },
    /// To each daemon.
    Daemons,
    /// It ends the wait for survivors: whoever stops the service wants it stopped.
    EndsWait,
}

/// Decides where a signal goes that arrived here.
pub(super) fn route(arrived: &Arrived, listener: Listener, standing: &Standing) -> Route {
    let has_command = listener == Listener::Command;
    let own_group = standing.own_group.filter(|_| has_command);
    let signal = arrived.signal;
    let is_meant = if arrived.is_from_kernel() {
        match signal {
            // A terminal sends its signals to the whole foreground group, the server included; but
            // its hang-up to the session's leader alone.
            SIGHUP | SIGCONT => standing.leads_session || own_group.is_some(),
            SIGINT | SIGQUIT | SIGTSTP | SIGWINCH => own_group.is_some(),
            // A timer that was armed before the launcher was executed.
            SIGALRM | SIGVTALRM | SIGPROF => true,
            _ => false,
        }
    } else {
        let of_child = signal == SIGCHLD && arrived.code > 0;
        let of_waker = signal == SIGCONT && standing.waker == Some(arrived.sender);
        // The server sends to its group, and has its own copy, or to its parent.
        let of_command = has_command && standing.command == arrived.sender;
        !of_child && !of_waker && !of_command && arrived.sender != standing.own
    };
    if !is_meant {
        return Route::Dropped;
    }
    match listener {
        Listener::Command => {
            let for_group = arrived.is_from_kernel() || signal == SIGCONT;
            let unless_continued = signal == SIGCONT && !arrived.is_from_kernel();
            Route::Command { group: own_group.filter(|_| for_group), unless_continued }
        }
        Listener::Daemons => Route::Daemons,
        Listener::Launcher if is_stop(signal) => Route::EndsWait,
        Listener::Launcher | Listener::Nobody => Route::Dropped,
    }
}

/// Checks for a signal that asks a service to stop.
fn is_stop(signal: i32) -> bool {
    matches!(signal, SIGHUP | SIGINT | SIGQUIT | SIGTERM)
}

#[cfg(test)]
mod tests {
    use nix::libc::{CLD_EXITED, SI_KERNEL, SI_QUEUE, SI_USER};

    use super::*;

    const OWN: u32 = 10;
    const COMMAND: u32 = 11;
    const WAKER: u32 = 12;
    const OTHER: u32 = 13;
    const SERVED: [Listener; 2] = [Listener::Command, Listener::Daemons];
    const LISTENERS: [Listener; 4] =
        [Listener::Command, Listener::Daemons, Listener::Launcher, Listener::Nobody];

    fn arrived(signal: i32, code: i32, sender: u32) -> Arrived {
        Arrived { signal, code, sender, uid: 0, value: 0 }
    }

    fn standings() -> Vec<Standing> {
        let mut all = Vec::new();
        for leads_session in [false, true] {
            for own_group in [None, Some(11)] {
                let waker = Some(WAKER);
                all.push(Standing { own: OWN, command: COMMAND, waker, leads_session, own_group });
            }
        }
        all
    }

    /// Every signal as anybody may send it.
    fn sent() -> Vec<Arrived> {
        let mut all = Vec::new();
        for signal in 1..=64 {
            for sender in [OWN, COMMAND, WAKER, OTHER] {
                for code in [SI_USER, SI_QUEUE, CLD_EXITED] {
                    all.push(arrived(signal, code, sender));
                }
            }
        }
        all
    }

    #[test]
    fn every_signal_that_another_sends_reaches_the_server_and_a_continuation_may_have() {
        for signal in 1..=64 {
            for standing in standings() {
                for code in [SI_USER, SI_QUEUE] {
                    let one = arrived(signal, code, OTHER);
                    let unless_continued = signal == SIGCONT;
                    let group = standing.own_group.filter(|_| unless_continued);
                    let expected = Route::Command { group, unless_continued };
                    assert_eq!(route(&one, Listener::Command, &standing), expected, "{signal}");
                    assert_eq!(route(&one, Listener::Daemons, &standing), Route::Daemons);
                }
            }
        }
    }

    #[test]
    fn what_the_launcher_its_helper_or_the_server_has_sent_does_not_come_back() {
        for standing in standings() {
            for one in sent() {
                let own = one.sender == OWN
                    || (one.sender == WAKER && one.signal == SIGCONT)
                    || (one.signal == SIGCHLD && one.code == CLD_EXITED);
                let to_command = route(&one, Listener::Command, &standing);
                let dropped = own || one.sender == COMMAND;
                assert_eq!(to_command == Route::Dropped, dropped, "{one:?}");
                // COMMAND is reaped then: its pid may be another's.
                let to_daemons = route(&one, Listener::Daemons, &standing);
                assert_eq!(to_daemons == Route::Dropped, own, "{one:?}");
            }
        }
    }

    #[test]
    fn what_a_terminal_sends_goes_to_a_group_that_it_does_not_reach() {
        for signal in 1..=64 {
            for standing in standings() {
                let one = arrived(signal, SI_KERNEL, 0);
                let (leads, group) = (standing.leads_session, standing.own_group);
                let sent = Route::Command { group, unless_continued: false };
                let expected = match signal {
                    SIGALRM | SIGVTALRM | SIGPROF => sent,
                    SIGHUP | SIGCONT if leads || group.is_some() => sent,
                    SIGINT | SIGQUIT | SIGTSTP | SIGWINCH if group.is_some() => sent,
                    _ => Route::Dropped,
                };
                assert_eq!(route(&one, Listener::Command, &standing), expected, "{signal}");
                let to_daemons = match signal {
                    SIGALRM | SIGVTALRM | SIGPROF => Route::Daemons,
                    SIGHUP | SIGCONT if leads => Route::Daemons,
                    _ => Route::Dropped,
                };
                assert_eq!(route(&one, Listener::Daemons, &standing), to_daemons, "{signal}");
            }
        }
    }

    #[test]
    fn a_signal_that_stops_ends_a_wait_for_survivors_and_another_does_not() {
        for standing in standings() {
            for one in sent() {
                let stops = matches!(one.signal, SIGTERM | SIGINT | SIGQUIT | SIGHUP);
                let ends = stops && one.sender != OWN;
                let expected = if ends { Route::EndsWait } else { Route::Dropped };
                assert_eq!(route(&one, Listener::Launcher, &standing), expected, "{one:?}");
            }
        }
    }

    #[test]
    fn nobody_is_sent_anything_where_nobody_listens_and_nothing_ends_a_wait_that_is_none() {
        for standing in standings() {
            for one in sent() {
                assert_eq!(route(&one, Listener::Nobody, &standing), Route::Dropped);
                for served in SERVED {
                    assert_ne!(route(&one, served, &standing), Route::EndsWait);
                }
            }
        }
    }

    #[test]
    fn the_kernels_own_signals_are_not_passed_on() {
        use nix::libc::{SIGIO, SIGPIPE, SIGSEGV, SIGXCPU};
        for standing in standings() {
            for listener in LISTENERS {
                for signal in [SIGPIPE, SIGSEGV, SIGXCPU, SIGIO] {
                    let one = arrived(signal, SI_KERNEL, 0);
                    assert_eq!(route(&one, listener, &standing), Route::Dropped);
                }
            }
        }
    }
}
