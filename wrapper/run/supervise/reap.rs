//! Children that have ended: a claimed one is looked at once more before its pid is given up.

use shmwarden::sys::process;

use super::Launcher;
use super::phase::{Event, Phase};

impl Launcher {
    /// Takes in every child that has ended.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(pid)) = process::any_ended() {
            let is_command = pid == self.job.child.pid && self.phase.has_command();
            if is_command {
                self.read_gate();
            }
            let book = self.book.as_ref();
            let claimed = !is_command && book.is_some_and(|book| book.claimed(pid).is_some());
            if is_command || claimed {
                self.relay_notifications(true);
                self.last_look(pid);
            }
            let Ok(Some(how)) = process::reap(pid) else { break };
            if is_command {
                let left = !self.daemons_after(Some(how)).is_empty();
                self.take(Event::Ended { how: Some(how), left });
                continue;
            }
            let written = self.book.as_mut().and_then(|b| b.scribe.ended(pid, how, &mut b.ledger));
            self.take(match written {
                Some(written) => Event::Written(written),
                None => Event::ChildEnded { pid, how, claimed },
            });
        }
        let left = matches!(self.phase, Phase::Daemonised(_)) && !self.daemons().is_empty();
        self.take(Event::Reaped { left });
    }

    /// Looks at the tables while the pid of a process that has ended is still its own.
    pub(super) fn last_look(&mut self, pid: i32) {
        // It may have been stopped since this round's signals were read.
        self.inbox.hear();
        let is_late = self.ward.is_none() && self.inbox.stall.late;
        let exec_error = self.phase.life().exec_error.filter(|_| pid == self.job.child.pid);
        match &mut self.book {
            Some(book) if is_late => book.late_look(pid),
            Some(book) => book.last_look(pid, exec_error),
            None => {}
        }
    }
}
