//! Effects: what a phase asks for is done here, and what comes of it is the next event.

use std::time::Instant;

use nix::libc::SIGKILL;
use shmwarden::snapshot::processes;
use shmwarden::sys::process::Ended;
use shmwarden::sys::signals;

use super::phase::{Effect, Event};
use super::signal::Route;
use super::ward::Ward;
use super::{Launcher, survivors};

impl Launcher {
    /// Performs an effect; returns what has happened by that.
    pub(super) fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::OpenGate { durable } => {
                if !durable {
                    log::error!("the server starts all the same, and no clean-up is promised");
                    self.job.child.is_not_durable();
                }
                // A child that has died at the gate is told by SIGCHLD.
                let _ = self.job.child.open();
            }
            Effect::DropChild => self.drop_child(),
            Effect::Pass(arrived, way) => {
                let daemons = if way == Route::Daemons { self.daemons() } else { Vec::new() };
                self.job.pass(&arrived, way, &daemons);
            }
            Effect::StopToo(signal) if self.job.stop_too(signal) => self.inbox.stall.late = true,
            Effect::StopToo(_) => {}
            Effect::NoteEnd(life) => {
                let late = self.ward.as_ref().map_or(self.inbox.stall.late, Ward::is_late);
                let is_beside = self.ward.is_some();
                self.book.as_mut()?.note_end(&life, late, is_beside);
            }
            Effect::Look { dense } => {
                let began = Instant::now();
                self.book.as_mut()?.look(dense);
                return Some(Event::Looked { began });
            }
            Effect::FindDaemons { mains } => {
                let pids = self.daemons();
                // Asked after the list was made: what a main process leaves that has just died, and
                // is not reaped yet, is in the list too, and is none.
                let lives = |&pid: &i32| processes::by_pid(pid).is_some_and(processes::lives);
                let mains_live = mains.iter().all(lives);
                return Some(Event::Daemons { pids, mains_live });
            }
            Effect::NoteDescendants(pids) => {
                let all = pids.into_iter().filter_map(processes::by_pid);
                self.book.as_mut()?.note_descendants(all);
            }
            Effect::NameDaemon { pid, how, first } => {
                self.survivors.name_daemon(self.book.as_ref()?, pid, how, first);
            }
            Effect::Examine => {
                return Some(Event::Examined(survivors::examine(self.book.as_ref())));
            }
            Effect::Settle => return Some(self.survivors.settle(self.book.as_mut()?)),
            Effect::Count => {
                return Some(Event::Counted { attached: self.book.as_ref()?.is_attached() });
            }
            Effect::Name => {
                self.survivors.name(self.terms.linger);
                self.survivors.deal(self.book.as_ref()?);
            }
            Effect::Deal => self.survivors.deal(self.book.as_ref()?),
            Effect::Speak(life) => self.speak(&life),
            Effect::Report => self.survivors.report(),
        }
        None
    }

    /// Ends the child at the gate; one beside, told so, gives up by itself.
    fn drop_child(&mut self) {
        if self.ward.is_some() {
            self.job.child.is_not_durable();
            let _ = self.job.child.open();
            return;
        }
        let pid = self.job.child.pid;
        let _ = signals::send(pid, SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        log::error!("the server is not started: its claim could not be written");
    }

    /// Returns the pids of what COMMAND left to go on without it.
    pub(super) fn daemons(&self) -> Vec<i32> {
        self.daemons_after(self.phase.life().command)
    }

    /// The same once COMMAND has ended, and is reaped, where it is known how.
    pub(super) fn daemons_after(&self, command: Option<Ended>) -> Vec<i32> {
        let reaped = command.map(|_| self.job.child.pid);
        self.book.as_ref().map_or_else(Vec::new, |book| book.daemons(command, reaped))
    }
}
