//! Job control and the signals that are not passed on: what a terminal, a shell or the server
//! itself has brought to launcher and server alike.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use shmwarden::proc::read;
use shmwarden::proc::stat::Stat;
use shmwarden::snapshot::Seen;
use shmwarden::sys::job::{self, Change};
use shmwarden::sys::process;
use shmwarden::sys::signals::{self, Arrived};

use super::{Event, Launcher};

/// Most processes between the launcher and the shell that are looked at.
const DEEPEST: usize = 64;
/// First and longest pause between two looks at a stopped server.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

impl Launcher {
    /// Whether the server is to get a signal that arrived here: not if it has it already, and not
    /// if the launcher brought it upon itself (SIGPIPE: a log line to a pipe without a reader).
    pub(super) fn is_for_server(&self, arrived: &Arrived) -> bool {
        use libc::{SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTSTP};
        use libc::{SIGVTALRM, SIGWINCH};
        if arrived.is_from_kernel() {
            return match arrived.signal {
                // A terminal sends its signals to the whole foreground group, the server
                // included; but its hang-up to the session's leader alone.
                SIGHUP | SIGCONT => leads_session() || self.own_group().is_some(),
                SIGINT | SIGQUIT | SIGTSTP | SIGWINCH => self.own_group().is_some(),
                // A timer that was armed before the launcher was executed.
                SIGALRM | SIGVTALRM | SIGPROF => true,
                _ => false,
            };
        }
        let from_child = arrived.signal == SIGCHLD && arrived.code > 0;
        // The server sends to its group, and has its own copy, or to its parent.
        let server = u32::try_from(self.child.pid).is_ok_and(|pid| pid == arrived.sender);
        let waker = arrived.signal == SIGCONT && self.waker == Some(arrived.sender);
        let own = arrived.sender == std::process::id() || waker || (server && self.ended.is_none());
        let continued = || arrived.signal == SIGCONT && self.was_continued();
        !from_child && !own && !continued()
    }

    /// The group that COMMAND has made for itself (`timeout(1)` does), where the launcher leads
    /// the one that a terminal signals: without a launcher COMMAND would lead that.
    fn own_group(&self) -> Option<i32> {
        use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
        let server = Pid::from_raw(self.child.pid);
        let is_own = self.ended.is_none()
            && getpgrp() == getpid()
            && getpgid(Some(server)) == Ok(server)
            && getsid(Some(server)) == getsid(None);
        is_own.then_some(self.child.pid)
    }

    /// Sends COMMAND what arrived here. What a terminal or a shell's `fg` sends is for a whole
    /// group: where COMMAND has made one of its own, for all of that.
    pub(super) fn pass_to_command(&mut self, arrived: &Arrived) {
        let for_group = arrived.is_from_kernel() || arrived.signal == libc::SIGCONT;
        match self.own_group().filter(|_| for_group) {
            Some(group) => {
                let sent = signals::send(-group, arrived.signal);
                self.was_sent(group, arrived.signal, sent);
            }
            None => self.pass_to(self.child.pid, arrived),
        }
    }

    /// Sends a process what arrived here.
    pub(super) fn pass_to(&mut self, pid: i32, arrived: &Arrived) {
        let sent = signals::pass_on(pid, arrived);
        self.was_sent(pid, arrived.signal, sent);
    }

    /// Says once that signals are lost. A server that has taken on another user's rights, with a
    /// launcher that may not signal that user's processes, cannot be stopped by way of it.
    fn was_sent(&mut self, pid: i32, signal: i32, sent: nix::Result<()>) {
        if sent != Err(Errno::EPERM) || std::mem::replace(&mut self.notices.signals_refused, true) {
            return;
        }
        let name = Signal::try_from(signal).map_or("a real-time signal", Signal::as_str);
        log::warn!(
            "could not pass {name} on to process {pid}, which is another user's now: not \
             permitted; send it there as that user or as root (kill {pid}); further signals are \
             tried, and not reported"
        );
    }

    /// Whether a SIGCONT that arrived here went to the whole group, as a shell's `fg` sends it:
    /// the server has then been continued without us.
    fn was_continued(&self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        job::await_group_signal();
        job::was_continued(self.child.pid).unwrap_or(false)
    }

    /// Takes in that COMMAND was stopped or continued.
    pub(super) fn job_changed(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(Some(Change::Stopped(signal))) = job::change(self.child.pid) {
            self.stopped_by = signal;
            self.take(Event::Stopped);
        }
    }

    /// Stops by the signal that stopped the server, so that the shell that waits for this process
    /// sees its job stop; goes on when it is continued, or when the server is.
    ///
    /// Only where such a shell is: nobody would continue the leader of a session or a process of
    /// an orphaned group, and signals would no longer reach the server.
    pub(super) fn stop_too(&mut self) {
        let (launcher, server) = (std::process::id(), self.child.pid);
        // A server that may not be looked at (hidepid) could not be seen to be continued.
        if is_orphaned() || stat(server).is_none() {
            return;
        }
        let Ok(waker) = process::fork_for(|| wake(launcher, server)) else {
            return;
        };
        // Its SIGCONT is not for the server, which may have been stopped again meanwhile.
        self.waker = u32::try_from(waker).ok();
        signals::stop_by(self.stopped_by);
        self.awake.was_stopped();
        let _ = signals::send(waker, libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(waker), None);
    }
}

/// Continues the launcher when the server was continued, or has ended, by anybody: `kill -CONT` of
/// the server alone must not leave it without its launcher. It is in a group of its own, which a
/// signal to the job does not stop.
fn wake(launcher: u32, server: i32) -> i32 {
    let _ = process::die_with_parent(libc::SIGKILL);
    let _ = nix::unistd::setpgid(nix::unistd::Pid::this(), nix::unistd::Pid::this());
    let (mut pause, longest) = PAUSES;
    loop {
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
        if std::os::unix::process::parent_id() != launcher {
            return 0;
        }
        let stopped = stat(server).is_some_and(|stat| matches!(stat.state, b'T' | b't'));
        if !stopped {
            let _ = i32::try_from(launcher).map(|pid| signals::send(pid, libc::SIGCONT));
        }
    }
}

fn leads_session() -> bool {
    nix::unistd::getsid(None).is_ok_and(|session| session == nix::unistd::getpid())
}

/// Whether no process between here and the session's leader is of another group: no shell then
/// controls this job. In doubt it is so.
fn is_orphaned() -> bool {
    let Some(own) = i32::try_from(std::process::id()).ok().and_then(stat) else {
        return true;
    };
    let mut above = own.ppid;
    for _ in 0..DEEPEST {
        match stat(above) {
            Some(parent) if parent.session != own.session => return true,
            Some(parent) if parent.pgrp != own.pgrp => return false,
            Some(parent) => above = parent.ppid,
            None => return true,
        }
    }
    true
}

fn stat(pid: i32) -> Option<Stat> {
    read::stat(pid).ok().and_then(Seen::here)
}
