//! COMMAND as a job: what the kernel says of it, signals that it is sent, and stopping with it.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
use shmwarden::proc::read;
use shmwarden::proc::stat::Stat;
use shmwarden::snapshot::Seen;
use shmwarden::sys::gate::Gated;
use shmwarden::sys::job::{self, Change};
use shmwarden::sys::process;
use shmwarden::sys::signals::{self, Arrived};

use super::signal::{Route, Standing};

/// Most processes between the launcher and the shell that are looked at.
const DEEPEST: usize = 64;
/// First and longest pause between two looks at a stopped server.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// COMMAND's process, from the gate on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) child: Gated,
    /// The helper that woke the launcher last when it was stopped.
    waker: Option<u32>,
    /// It was said that signals cannot be passed on.
    refused: bool,
}

impl Job {
    /// Begins with a child at the gate.
    pub(super) fn new(child: Gated) -> Self {
        Self { child, waker: None, refused: false }
    }

    /// Asks the kernel how this process and COMMAND stand to each other.
    pub(super) fn standing(&self) -> Standing {
        let (own, command) = (getpid(), Pid::from_raw(self.child.pid));
        let session = getsid(None);
        let has_group = getpgrp() == own
            && getpgid(Some(command)) == Ok(command)
            && getsid(Some(command)) == session;
        Standing {
            own: own.as_raw().unsigned_abs(),
            command: self.child.pid.unsigned_abs(),
            waker: self.waker,
            leads_session: session == Ok(own),
            own_group: has_group.then_some(self.child.pid),
        }
    }

    /// Sends a signal on by this route; to these daemons where it is for such.
    pub(super) fn pass(&mut self, arrived: &Arrived, way: Route, daemons: &[i32]) {
        let (command, signal) = (self.child.pid, arrived.signal);
        match way {
            Route::Dropped | Route::EndsWait => {}
            Route::Command { unless_continued: true, .. } if self.was_continued() => {}
            Route::Command { group: Some(group), .. } => {
                self.was_sent(group, signal, signals::send(-group, signal));
            }
            Route::Command { group: None, .. } => {
                self.was_sent(command, signal, signals::pass_on(command, arrived));
            }
            Route::Daemons => {
                for &pid in daemons {
                    self.was_sent(pid, signal, signals::pass_on(pid, arrived));
                }
            }
        }
    }

    /// Says once that signals are lost. A server that has taken on another user's rights, with a
    /// launcher that may not signal that user's processes, cannot be stopped by way of it.
    fn was_sent(&mut self, pid: i32, signal: i32, sent: nix::Result<()>) {
        if sent != Err(Errno::EPERM) || std::mem::replace(&mut self.refused, true) {
            return;
        }
        let name = Signal::try_from(signal).map_or("a real-time signal", Signal::as_str);
        log::warn!(
            "could not pass {name} on to process {pid}, which is another user's now: not \
             permitted; send it there as that user or as root (kill {pid}); further signals are \
             tried, and not reported"
        );
    }

    /// Checks for a SIGCONT that went to the whole group, as a shell's `fg` sends it: COMMAND,
    /// which is not reaped, has then been continued without us.
    fn was_continued(&self) -> bool {
        job::await_group_signal();
        job::was_continued(self.child.pid).unwrap_or(false)
    }

    /// Returns the signal that has stopped COMMAND, which is not reaped, if one has since this was
    /// asked last.
    pub(super) fn stopped(&self) -> Option<i32> {
        match job::change(self.child.pid) {
            Ok(Some(Change::Stopped(signal))) => Some(signal),
            Ok(Some(Change::Continued) | None) | Err(_) => None,
        }
    }

    /// Stops by the signal that stopped COMMAND, so that the shell that waits for this process
    /// sees its job stop; goes on when it is continued, or when COMMAND is. Returns whether it was
    /// stopped.
    ///
    /// Only where such a shell is: nobody would continue the leader of a session or a process of
    /// an orphaned group, and signals would no longer reach the server.
    pub(super) fn stop_too(&mut self, signal: i32) -> bool {
        let (launcher, server) = (std::process::id(), self.child.pid);
        // A server that may not be looked at (hidepid) could not be seen to be continued.
        if is_orphaned() || stat(server).is_none() {
            return false;
        }
        let Ok(waker) = process::fork_for(|| wake(launcher, server)) else {
            return false;
        };
        // Its SIGCONT is not for the server, which may have been stopped again meanwhile.
        self.waker = u32::try_from(waker).ok();
        signals::stop_by(signal);
        let _ = signals::send(waker, libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(Pid::from_raw(waker), None);
        true
    }
}

/// Continues the launcher when the server was continued, or has ended, by anybody: `kill -CONT` of
/// the server alone must not leave it without its launcher. It is in a group of its own, which a
/// signal to the job does not stop.
fn wake(launcher: u32, server: i32) -> i32 {
    let _ = process::die_with_parent(libc::SIGKILL);
    let _ = nix::unistd::setpgid(Pid::this(), Pid::this());
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

/// Checks for no process between here and the session's leader being of another group: no shell
/// then controls this job. In doubt it is so.
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
