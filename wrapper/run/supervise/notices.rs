//! The launcher's side of notifications: whose are passed on, and what it says itself while it
//! lingers after the server's death.
//!
//! Never `STOPPING=1`: systemd would take the server's death for a stop that it announced, skip
//! `ExecStop=` and run `ExecStopPost=` before it ends what is left of the service.

use std::time::Duration;

use super::super::notify::datagram::Kind;
use super::super::notify::{Relay, status};
use super::Launcher;
use super::phase::{Life, Phase};
use crate::cli::NotifyAccess;
use crate::recording::ancestry;

/// By how much a notice extends the manager's timeouts, its watchdog's too: long enough for one
/// notice to come late.
const EXTENDED_BY: Duration = Duration::from_secs(15);

impl Launcher {
    /// Passes on what the server has sent.
    pub(super) fn relay_notifications(&mut self) {
        self.with_relay(|relay, launcher| relay.turn(|pid, kind| launcher.may_notify(pid, kind)));
    }

    /// Says what the launcher waits for.
    pub(super) fn speak(&mut self, life: &Life) {
        let text = status::waiting(life.end(), &self.holders().unwrap_or_default());
        let extend = EXTENDED_BY.as_micros();
        self.say(format!("STATUS={text}\nEXTEND_TIMEOUT_USEC={extend}"));
    }

    /// Takes what a process has sent that has ended and is not reaped yet.
    pub(super) fn last_words(&mut self) {
        self.with_relay(|relay, launcher| relay.drain(|pid, kind| launcher.may_notify(pid, kind)));
    }

    /// Sends the last notifications of all.
    pub(super) fn end_relay(&mut self) {
        self.last_words();
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

    /// Checks for a process whose notifications are passed on. Its pid is its own: COMMAND and
    /// claimed servers count only as long as they are not reaped.
    fn may_notify(&self, pid: i32, kind: Kind) -> bool {
        let is_command = pid == self.job.child.pid && self.phase.has_command();
        let descendants = self.notify_access == NotifyAccess::All || kind == Kind::Barrier;
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        is_command || self.claims(pid) || (descendants && ancestry::descends_from(pid, own))
    }

    /// Works on the relay, if there is one, with the rest of the launcher to ask.
    fn with_relay(&mut self, work: impl FnOnce(&mut Relay, &Self)) {
        if let Some(mut relay) = self.relay.take() {
            work(&mut relay, self);
            self.relay = Some(relay);
        }
    }
}
