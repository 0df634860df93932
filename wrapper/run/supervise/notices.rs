//! The launcher's side of notifications: whose are passed on, and what it says itself while it
//! lingers after the server's death.
//!
//! Never `STOPPING=1`: systemd would take the server's death for a stop that it announced, skip
//! `ExecStop=` and run `ExecStopPost=` before it ends what is left of the service.

use std::time::Duration;

use super::super::notify::datagram::Kind;
use super::super::notify::status;
use super::Launcher;
use super::phase::{Life, Phase};
use crate::cli::NotifyAccess;
use crate::recording::ancestry;

/// By how much a notice extends the manager's timeouts, its watchdog's too: long enough for one
/// notice to come late.
const EXTENDED_BY: Duration = Duration::from_secs(15);

impl Launcher {
    /// Passes on what has come from whose notifications are passed on: up to a bound, or, at a
    /// death, all that the dead process has sent while its pid is its own.
    pub(super) fn relay_notifications(&mut self, at_death: bool) {
        let Self { relay: Some(relay), job, phase, book, notify_access, .. } = self else { return };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        // COMMAND and claimed servers count only as long as they are not reaped.
        let may_send = |pid: i32, kind: Kind| {
            let descendants = *notify_access == NotifyAccess::All || kind == Kind::Barrier;
            (pid == job.child.pid && phase.has_command())
                || book.as_ref().is_some_and(|book| book.claimed(pid).is_some())
                || (descendants && ancestry::descends_from(pid, own))
        };
        match at_death {
            true => relay.drain(may_send),
            false => relay.turn(may_send),
        }
    }

    /// Says what the launcher waits for.
    pub(super) fn speak(&mut self, life: &Life) {
        let text = status::waiting(life.end(), &self.holders().unwrap_or_default());
        let extend = EXTENDED_BY.as_micros();
        self.say(format!("STATUS={text}\nEXTEND_TIMEOUT_USEC={extend}"));
    }

    /// Sends the last notifications of all.
    pub(super) fn end_relay(&mut self) {
        self.relay_notifications(true);
        if let Phase::Done { life, spoke: true, .. } = &self.phase {
            let text = status::over(life.end(), self.holders().as_deref());
            self.say(format!("STATUS={text}"));
        }
        if let Some(relay) = self.relay.take() {
            relay.finish();
        }
    }

    fn say(&mut self, text: String) {
        if let Some(relay) = &mut self.relay {
            relay.say(text);
        }
    }

    fn holders(&self) -> Option<Vec<String>> {
        Some(self.survivors.held_by()?.iter().map(status::name).collect())
    }
}
