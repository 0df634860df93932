//! The launcher's side of notifications: whose are passed on, and what it says itself while it
//! lingers after the server's death.

use std::time::{Duration, Instant};

use shmwarden::snapshot::processes;

use super::super::ancestry;
use super::super::notify::datagram::Kind;
use super::super::notify::{Relay, status};
use super::linger::held_by;
use super::{Launcher, State};
use crate::cli::NotifyAccess;

/// How soon after the server's death the launcher speaks: mostly it has ended by then, and else
/// it has just found out who the orphans are.
const SILENCE: Duration = Duration::from_millis(600);
/// Pause between two notices.
const EVERY: Duration = Duration::from_secs(5);
/// By how much a notice extends the manager's timeouts, its watchdog's too: long enough for one
/// notice to come late.
const EXTENDED_BY: Duration = Duration::from_secs(15);

/// When the launcher speaks for itself.
#[derive(Debug, Default)]
pub(super) struct Notices {
    next: Option<Instant>,
    spoke: bool,
    /// Whether it was said that signals cannot be passed on.
    pub(super) signals_refused: bool,
}

impl Notices {
    /// When the next notice is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Launcher {
    /// Passes on what the server has sent.
    pub(super) fn relay_notifications(&mut self) {
        self.with_relay(|relay, launcher| relay.turn(|pid, kind| launcher.may_notify(pid, kind)));
    }

    /// Says what the launcher waits for, if it is time.
    pub(super) fn speak_when_due(&mut self) {
        let is_due = self.notices.next.is_some_and(|next| Instant::now() >= next);
        if is_due && self.state == State::Lingering {
            self.notices.next = Some(Instant::now() + EVERY);
            self.notices.spoke = true;
            let holders = self.holders().unwrap_or_default();
            let text = status::waiting(self.daemon_ended.or(self.ended), &holders);
            let extend = EXTENDED_BY.as_micros();
            self.say(format!("STATUS={text}\nEXTEND_TIMEOUT_USEC={extend}"));
        }
    }

    /// Takes what a process has sent that has ended and is not reaped yet.
    pub(super) fn last_words(&mut self) {
        self.with_relay(|relay, launcher| relay.drain(|pid, kind| launcher.may_notify(pid, kind)));
    }

    /// From the server's death on the launcher speaks, if it lasts.
    ///
    /// Never `STOPPING=1`: systemd would take the server's death for a stop that it announced, skip
    /// `ExecStop=` and run `ExecStopPost=` before it ends what is left of the service.
    pub(super) fn begin_notices(&mut self) {
        self.notices.next = self.relay.as_ref().map(|_| Instant::now() + SILENCE);
    }

    /// The last notifications of all.
    pub(super) fn end_relay(&mut self) {
        self.last_words();
        if self.notices.spoke {
            let holders = self.holders();
            let text = status::over(self.daemon_ended.or(self.ended), holders.as_deref());
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

    /// Whoever holds what the server left, as far as the last look knows.
    fn holders(&self) -> Option<Vec<String>> {
        let report = self.wait.report.as_ref()?;
        Some(held_by(report).iter().map(status::name).collect())
    }

    /// Whether a process's notifications are passed on. Its pid is its own: COMMAND and claimed
    /// servers count only as long as they are not reaped.
    fn may_notify(&self, pid: i32, kind: Kind) -> bool {
        let is_command = pid == self.child.pid && self.ended.is_none();
        let descendants = self.notify_access == NotifyAccess::All || kind == Kind::Barrier;
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        is_command
            || self.is_claimed_server(pid)
            || (descendants && ancestry::descends_from(pid, own))
    }

    fn is_claimed_server(&self, pid: i32) -> bool {
        let Some(book) = &self.book else { return false };
        book.watch.run(&book.ledger).is_some_and(|run| {
            let open = run.claims.iter().filter(|claim| claim.ended.is_none());
            let mut own = open.filter(|claim| claim.process.pid == pid);
            own.any(|claim| processes::by_pid(pid) == Some(claim.process))
        })
    }

    /// Works on the relay, if there is one, with the rest of the launcher to ask.
    fn with_relay(&mut self, work: impl FnOnce(&mut Relay, &Self)) {
        if let Some(mut relay) = self.relay.take() {
            work(&mut relay, self);
            self.relay = Some(relay);
        }
    }
}
