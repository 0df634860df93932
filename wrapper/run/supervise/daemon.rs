//! The phase of a COMMAND that became a daemon: what it left is watched on, and what outlives the
//! main process of that is named. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shmwarden::sys::process::Ended;

use super::linger::Linger;
use super::pace::Pace;
use super::phase::{Deadline, Effect, Event, Life, Phase, Terms};

/// Workers that notice the death of their parent end by themselves this soon: not worth a word.
const GRACE: Duration = Duration::from_millis(1500);

/// Pause until survivors that held nothing before are looked for again, for `--orphans`.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks that see nobody before a daemon counts as gone without a child that ended.
const UNSEEN: u32 = 3;

/// The members of a daemon that were seen, and the end of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Daemon {
    pub(super) life: Life,
    pub(super) pace: Pace,
    /// The processes that COMMAND left to go on without it, and not what those left.
    mains: BTreeSet<i32>,
    /// The last abnormal end of a member; `None` while all ended with status 0.
    died: Option<(i32, Ended)>,
    /// The time at which what is left is to be named, or looked for again.
    pub(super) name_at: Option<Instant>,
    /// It was said that the main process died.
    told: bool,
    /// Looks in a row that saw nobody who goes on without COMMAND.
    unseen: u32,
}

impl Daemon {
    /// Begins with what COMMAND has left.
    pub(super) fn begin(life: Life, pace: Pace) -> (Phase, Vec<Effect>) {
        let mains = BTreeSet::new();
        let daemon = Self { life, pace, mains, died: None, name_at: None, told: false, unseen: 0 };
        daemon.find()
    }

    fn find(self) -> (Phase, Vec<Effect>) {
        let mains = self.mains.iter().copied().collect();
        (Phase::Daemonised(self), vec![Effect::FindDaemons { mains }])
    }

    /// Returns what follows from an event.
    pub(super) fn on(mut self, event: Event, now: Instant, terms: &Terms) -> (Phase, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Due(Deadline::Look) => {
                effects.push(Effect::Look { dense: self.pace.is_dense() });
            }
            Event::Looked { began } => {
                self.pace.looked(began, now);
                return self.find();
            }
            Event::Daemons { pids, mains_live } => {
                // One read that failed may have made a daemon of nobody, whose end no child tells.
                self.unseen = if pids.is_empty() { self.unseen + 1 } else { 0 };
                if self.unseen >= UNSEEN && !terms.is_beside {
                    return Linger::begin(self.life, now, terms);
                }
                if self.died.is_none() && mains_live {
                    self.mains.extend(&pids);
                }
                effects.push(Effect::NoteDescendants(pids));
            }
            Event::ChildEnded { pid, how, claimed } => self.child_ended(pid, how, claimed, now),
            // Nobody's status but the daemon's own says how it ended.
            Event::Ended { how, left } => {
                self.life = Life { server: how, ..Life::default() };
                if !left {
                    return Linger::begin(self.life, now, terms);
                }
            }
            Event::Reaped { left: false } => return Linger::begin(self.life, now, terms),
            Event::Due(Deadline::NameDaemon) => {
                // Who did not hold anything yet may come to.
                self.name_at = terms.ends_survivors.then(|| now + AGAIN);
                if let Some((pid, how)) = self.died {
                    let first = !std::mem::replace(&mut self.told, true);
                    effects.push(Effect::NameDaemon { pid, how, first });
                }
            }
            _ => {}
        }
        (Phase::Daemonised(self), effects)
    }

    /// Takes in the end of a child. A main process that ended with status 0 has been replaced by
    /// what it left, as COMMAND was. One that nobody knows by name speaks for COMMAND if it ended
    /// badly.
    fn child_ended(&mut self, pid: i32, how: Ended, claimed: bool, now: Instant) {
        let badly = how != Ended::Exited(0);
        if self.mains.remove(&pid) && badly && self.mains.is_empty() {
            self.died = Some((pid, how));
            self.name_at = Some(now + GRACE);
        }
        if claimed || badly {
            self.life.server = Some(how);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Ended = Ended::Signaled(9, false);
    const CLEAN: Ended = Ended::Exited(0);

    fn terms(is_beside: bool, ends_survivors: bool) -> Terms {
        Terms {
            refuse_without_claim: false,
            is_beside,
            watches: true,
            speaks: false,
            ends_survivors,
            linger: Duration::ZERO,
        }
    }

    /// A daemon with these main processes.
    fn daemon(mains: &[i32], now: Instant) -> Daemon {
        let life = Life { command: Some(CLEAN), ..Life::default() };
        let (Phase::Daemonised(mut daemon), effects) = Daemon::begin(life, Pace::start(now)) else {
            panic!()
        };
        assert_eq!(effects, [Effect::FindDaemons { mains: Vec::new() }]);
        daemon.mains.extend(mains);
        daemon
    }

    fn stays(step: (Phase, Vec<Effect>)) -> (Daemon, Vec<Effect>) {
        let (Phase::Daemonised(daemon), effects) = step else { panic!("{step:?}") };
        (daemon, effects)
    }

    fn found(pids: &[i32], mains_live: bool) -> Event {
        Event::Daemons { pids: pids.to_vec(), mains_live }
    }

    fn ended(pid: i32, how: Ended, claimed: bool) -> Event {
        Event::ChildEnded { pid, how, claimed }
    }

    #[test]
    fn only_the_third_look_in_a_row_that_sees_nobody_ends_it() {
        let (now, child) = (Instant::now(), terms(false, false));
        let mut one = daemon(&[7], now);
        for pids in [&[][..], &[], &[7], &[], &[]] {
            (one, _) = stays(one.on(found(pids, true), now, &child));
        }
        let beside = one.clone().on(found(&[], true), now, &terms(true, false));
        assert_eq!(stays(beside).1, [Effect::NoteDescendants(Vec::new())]);
        let (phase, effects) = one.on(found(&[], true), now, &child);
        assert!(matches!(phase, Phase::Lingering(_)));
        assert!(matches!(effects[..], [Effect::NoteEnd(_), Effect::Examine]));
    }

    #[test]
    fn after_each_look_the_main_processes_are_asked_for() {
        let now = Instant::now();
        let looked =
            daemon(&[7, 8], now).on(Event::Looked { began: now }, now, &terms(false, false));
        assert_eq!(stays(looked).1, [Effect::FindDaemons { mains: vec![7, 8] }]);
    }

    #[test]
    fn who_is_found_is_a_main_process_only_while_all_known_ones_live() {
        let (now, terms) = (Instant::now(), terms(false, false));
        for (mains_live, died, joins) in
            [(true, false, true), (false, false, false), (true, true, false)]
        {
            let mut one = daemon(&[7], now);
            one.died = died.then_some((6, KILLED));
            let (one, effects) = stays(one.on(found(&[7, 8], mains_live), now, &terms));
            assert_eq!(one.mains.contains(&8), joins, "{mains_live} {died}");
            assert_eq!(effects, [Effect::NoteDescendants(vec![7, 8])]);
        }
    }

    /// (pid, how, claimed) of a child that ends -> (its rest is named, the server's end is known).
    #[test]
    fn only_the_bad_end_of_the_last_main_process_has_its_rest_named() {
        let (now, terms) = (Instant::now(), terms(false, false));
        for ((mains, pid, how, claimed), (named, known)) in [
            ((&[7][..], 7, KILLED, false), (true, true)),
            ((&[7], 7, KILLED, true), (true, true)),
            ((&[7], 7, Ended::Exited(1), false), (true, true)),
            ((&[7], 7, CLEAN, false), (false, false)),
            ((&[7], 7, CLEAN, true), (false, true)),
            ((&[7, 8], 7, KILLED, false), (false, true)),
            ((&[7], 9, KILLED, false), (false, true)),
            ((&[7], 9, CLEAN, true), (false, true)),
            ((&[7], 9, CLEAN, false), (false, false)),
        ] {
            let (one, effects) =
                stays(daemon(mains, now).on(ended(pid, how, claimed), now, &terms));
            let case = format!("{mains:?} {pid} {how:?} {claimed}");
            assert_eq!(one.died, named.then_some((pid, how)), "{case}");
            assert_eq!(one.name_at, named.then_some(now + GRACE), "{case}");
            assert_eq!(one.life.server, known.then_some(how), "{case}");
            assert!(effects.is_empty() && !one.mains.contains(&pid), "{case}");
        }
    }

    #[test]
    fn its_rest_is_named_once_and_looked_for_again_where_survivors_are_ended() {
        let now = Instant::now();
        for ends_survivors in [false, true] {
            let terms = terms(false, ends_survivors);
            let (one, _) = stays(daemon(&[7], now).on(ended(7, KILLED, false), now, &terms));
            let due = Event::Due(Deadline::NameDaemon);
            let at = now + GRACE;
            let name = |first| [Effect::NameDaemon { pid: 7, how: KILLED, first }];
            let (one, effects) = stays(one.on(due.clone(), at, &terms));
            assert_eq!(effects, name(true));
            assert_eq!(one.name_at, ends_survivors.then_some(at + AGAIN));
            assert_eq!(stays(one.on(due, at + AGAIN, &terms)).1, name(false));
        }
    }

    #[test]
    fn beside_a_server_nobodys_end_but_the_daemons_own_is_the_servers() {
        let (now, terms) = (Instant::now(), terms(true, false));
        for how in [None, Some(CLEAN), Some(KILLED)] {
            let life = Life { server: how, ..Life::default() };
            let (one, effects) =
                stays(daemon(&[], now).on(Event::Ended { how, left: true }, now, &terms));
            assert_eq!((one.life, effects), (life, Vec::new()));
            let (phase, effects) = one.on(Event::Ended { how, left: false }, now, &terms);
            assert_eq!(
                (phase.life(), effects),
                (life, vec![Effect::NoteEnd(life), Effect::Examine])
            );
        }
    }
}
