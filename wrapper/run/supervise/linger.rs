//! The phase after the server's death: what it left is settled, and whoever still holds some of it
//! is waited for, by events and not by sleeping. Pure.

use std::time::{Duration, Instant};

use super::phase::{Deadline, Effect, Event, Life, Phase, Terms};

/// Pause between two counts of attachments while survivors hold something: a detach without an exit
/// gives no event.
const COUNT_EVERY: Duration = Duration::from_millis(50);
/// Counts before everything is looked at again, for what has no count.
const COUNTS_A_LOOK: u32 = 20;
/// Longest wait for a helper that is at the ledger when the server dies.
const FOR_HELPER: Duration = Duration::from_secs(5);
/// Idle backends end by themselves this soon after their postmaster: not worth a word.
const GRACE: Duration = Duration::from_millis(500);
/// Silence after the server's death. Mostly the launcher ends within it; otherwise it knows by then
/// who the survivors are.
const SILENCE: Duration = Duration::from_millis(600);
/// Pause between two notices.
const SPEAK_EVERY: Duration = Duration::from_secs(5);

/// The outcome of settling that the phase needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: there is no ledger.
    Nothing,
    /// Nothing yet: a helper writes the ledger, and two writers would overwrite each other.
    Busy,
    /// All that is recorded; whether somebody has a segment of it attached.
    Objects { attached: bool },
}

/// A wait for survivors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linger {
    pub(super) life: Life,
    /// The end of the wait; `None` where that is too far away to have a time.
    until: Option<Instant>,
    next_count: Option<Instant>,
    counts: u32,
    /// Set where a recorded segment was attached at the last count.
    attached: bool,
    /// A child has ended since everything was settled.
    settle_due: bool,
    /// Everything was settled at least once.
    settled: bool,
    /// The time at which survivors are named and dealt with; set when the first may exist.
    name_at: Option<Instant>,
    named: bool,
    /// The time of the next notice to the service manager.
    speak_at: Option<Instant>,
    spoke: bool,
}

impl Linger {
    /// Begins with the server's end.
    pub(super) fn begin(life: Life, now: Instant, terms: &Terms) -> (Phase, Vec<Effect>) {
        let linger = Self {
            life,
            until: now.checked_add(terms.linger),
            next_count: None,
            counts: 0,
            attached: false,
            settle_due: false,
            settled: false,
            name_at: None,
            named: false,
            speak_at: terms.speaks.then(|| now + SILENCE),
            spoke: false,
        };
        (Phase::Lingering(linger), vec![Effect::NoteEnd(life), Effect::Examine])
    }

    /// Ends the wait.
    pub(super) fn over(self) -> Phase {
        Phase::Done { life: self.life, refused: false, spoke: self.spoke }
    }

    /// Returns what is to be done at which time.
    pub(super) fn deadlines(&self) -> [Option<(Deadline, Instant)>; 4] {
        // A helper that is at the ledger is waited for, but not for ever.
        let more = if self.settled { Duration::ZERO } else { FOR_HELPER };
        let over = self.until.and_then(|until| until.checked_add(more));
        [
            self.next_count.map(|at| (Deadline::Count, at)),
            self.name_at.filter(|_| !self.named).map(|at| (Deadline::Name, at)),
            over.map(|at| (Deadline::Over, at)),
            self.speak_at.map(|at| (Deadline::Speak, at)),
        ]
    }

    /// Returns what follows from an event.
    pub(super) fn on(mut self, event: Event, now: Instant, terms: &Terms) -> (Phase, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::ChildEnded { .. } | Event::Written(_) => self.settle_due = true,
            Event::Reaped { .. } if std::mem::take(&mut self.settle_due) => {
                effects.push(Effect::Examine);
            }
            Event::HolderEnded | Event::Due(Deadline::Name) => effects.push(Effect::Examine),
            Event::Due(Deadline::Count) => {
                self.next_count = Some(now + COUNT_EVERY);
                self.counts = self.counts.wrapping_add(1);
                effects.push(Effect::Count);
            }
            Event::Counted { attached } => {
                let before = std::mem::replace(&mut self.attached, attached);
                if self.counts % COUNTS_A_LOOK == 0 || (before && !attached) {
                    effects.push(Effect::Examine);
                }
            }
            Event::Examined(Found::Nothing) | Event::Settled { held: false, .. } => {
                return (self.over(), effects);
            }
            Event::Examined(Found::Busy) => {
                let next = now + COUNT_EVERY;
                self.next_count = Some(next);
                self.name_at = self.name_at.map(|at| at.max(next));
            }
            Event::Examined(Found::Objects { attached }) => {
                if self.can_only_wait(attached, now) {
                    self.attached = true;
                    self.next_count = Some(now + COUNT_EVERY);
                } else {
                    effects.push(Effect::Settle);
                }
            }
            Event::Settled { held: true, attached } => {
                self.settled = true;
                self.attached = attached;
                self.next_count = Some(now + COUNT_EVERY);
                if !self.named && self.name_at.is_some_and(|at| at <= now) {
                    self.named = true;
                    effects.push(Effect::Name);
                } else if self.named && terms.ends_survivors {
                    effects.push(Effect::Deal);
                }
            }
            Event::Due(Deadline::Over) => return (self.over(), vec![Effect::Report]),
            Event::Due(Deadline::Speak) => {
                self.speak_at = Some(now + SPEAK_EVERY);
                self.spoke = true;
                effects.push(Effect::Speak(self.life));
            }
            _ => {}
        }
        (Phase::Lingering(self), effects)
    }

    /// Checks for a time in which nothing can be removed, and whoever is to be named has been, or
    /// ends by itself: a look at every process would only delay the next one.
    fn can_only_wait(&mut self, attached: bool, now: Instant) -> bool {
        let soon = self.until.map_or(now + GRACE, |until| until.min(now + GRACE));
        let name_at = *self.name_at.get_or_insert(soon);
        let may_wait = self.until.is_none_or(|until| now < until);
        may_wait && attached && (now < name_at || self.named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(linger: Duration, ends_survivors: bool) -> Terms {
        Terms {
            refuse_without_claim: false,
            is_beside: false,
            watches: true,
            speaks: true,
            ends_survivors,
            linger,
        }
    }

    const LINGER: Duration = Duration::from_secs(10);
    const MS: Duration = Duration::from_millis(1);

    fn begun(now: Instant, terms: &Terms) -> Linger {
        stays(Linger::begin(Life::default(), now, terms)).0
    }

    fn stays(step: (Phase, Vec<Effect>)) -> (Linger, Vec<Effect>) {
        let (Phase::Lingering(linger), effects) = step else { panic!("{step:?}") };
        (linger, effects)
    }

    /// Takes in events one after the other, each so long after the beginning.
    fn after(events: &[(Event, Duration)], terms: &Terms) -> (Linger, Vec<Effect>, Instant) {
        let start = Instant::now();
        let mut last = (begun(start, terms), Vec::new());
        for (event, at) in events {
            last = stays(last.0.on(event.clone(), start + *at, terms));
        }
        (last.0, last.1, start)
    }

    fn objects(attached: bool) -> Event {
        Event::Examined(Found::Objects { attached })
    }

    const HELD: Event = Event::Settled { held: true, attached: true };

    #[test]
    fn what_nobody_has_attached_is_settled_at_once_and_what_somebody_has_when_it_may_be_free() {
        let terms = terms(LINGER, false);
        let first = GRACE - MS;
        let child = Event::ChildEnded {
            pid: 7,
            how: shmwarden::sys::process::Ended::Exited(0),
            claimed: false,
        };
        for (name, events, expected) in [
            ("free", vec![(objects(false), MS)], vec![Effect::Settle]),
            ("attached", vec![(objects(true), MS)], vec![]),
            ("attached until survivors are named", vec![(objects(true), GRACE)], vec![]),
            (
                "to be named",
                vec![(objects(true), MS), (objects(true), MS + GRACE)],
                vec![Effect::Settle],
            ),
            (
                "named, and the time not over",
                vec![
                    (objects(true), MS),
                    (objects(true), MS + GRACE),
                    (HELD, MS + GRACE),
                    (objects(true), LINGER - MS),
                ],
                vec![],
            ),
            (
                "named, and the time over",
                vec![
                    (objects(true), MS),
                    (objects(true), MS + GRACE),
                    (HELD, MS + GRACE),
                    (objects(true), LINGER),
                ],
                vec![Effect::Settle],
            ),
            ("a holder has ended", vec![(Event::HolderEnded, first)], vec![Effect::Examine]),
            ("a child has ended", vec![(child.clone(), first)], vec![]),
            (
                "all children are taken in",
                vec![
                    (child.clone(), first),
                    (child, first),
                    (Event::Reaped { left: false }, first),
                ],
                vec![Effect::Examine],
            ),
            (
                "the helper has ended",
                vec![(Event::Written(false), first), (Event::Reaped { left: false }, first)],
                vec![Effect::Examine],
            ),
            ("no child has ended", vec![(Event::Reaped { left: false }, first)], vec![]),
        ] {
            assert_eq!(after(&events, &terms).1, expected, "{name}");
        }
    }

    #[test]
    fn a_detach_and_each_twentieth_count_have_it_looked_at_again() {
        let terms = terms(LINGER, false);
        let (mut linger, _, start) = after(&[(objects(true), MS)], &terms);
        let mut looks = Vec::new();
        for count in 1..=40_u32 {
            let now = start + COUNT_EVERY * count;
            let counted = stays(linger.on(Event::Due(Deadline::Count), now, &terms));
            assert_eq!(counted.1, [Effect::Count]);
            let attached = !(5..8).contains(&count);
            let (next, effects) = stays(counted.0.on(Event::Counted { attached }, now, &terms));
            assert_eq!(next.next_count, Some(now + COUNT_EVERY));
            linger = next;
            if effects == [Effect::Examine] {
                looks.push(count);
            }
        }
        assert_eq!(looks, [5, 20, 40]);
    }

    #[test]
    fn survivors_are_named_once_and_dealt_with_as_often_as_any_appears_where_that_is_asked() {
        for ends_survivors in [false, true] {
            let terms = terms(LINGER, ends_survivors);
            let early = (HELD, GRACE - MS);
            let (linger, effects, start) =
                after(&[(objects(false), Duration::ZERO), early], &terms);
            assert_eq!((effects, linger.named), (vec![], false));
            let (linger, effects) = stays(linger.on(HELD, start + GRACE, &terms));
            assert_eq!((effects, linger.named), (vec![Effect::Name], true));
            assert!(linger.deadlines().iter().flatten().all(|one| one.0 != Deadline::Name));
            let again = stays(linger.on(HELD, start + GRACE * 2, &terms)).1;
            assert_eq!(again.contains(&Effect::Deal), ends_survivors);
            assert!(!again.contains(&Effect::Name));
        }
    }

    /// Without time to linger they are named at the first settling.
    #[test]
    fn who_is_not_waited_for_is_named_all_the_same() {
        let terms = terms(Duration::ZERO, true);
        let events = [(objects(true), Duration::ZERO), (HELD, Duration::ZERO)];
        assert_eq!(after(&events[..1], &terms).1, [Effect::Settle]);
        let (linger, effects, start) = after(&events, &terms);
        assert_eq!(effects, [Effect::Name]);
        assert!(linger.deadlines().contains(&Some((Deadline::Over, start))));
    }

    #[test]
    fn a_helper_at_the_ledger_is_waited_for_five_seconds_longer() {
        let terms = terms(LINGER, false);
        let over = |linger: &Linger| {
            let mut times = linger.deadlines().into_iter().flatten();
            times.find(|one| one.0 == Deadline::Over).map(|one| one.1)
        };
        let (linger, effects, start) = after(&[(Event::Examined(Found::Busy), MS)], &terms);
        assert!(effects.is_empty());
        assert_eq!(linger.next_count, Some(start + MS + COUNT_EVERY));
        assert_eq!(over(&linger), Some(start + LINGER + FOR_HELPER));
        let (linger, _) = stays(linger.on(HELD, start + MS, &terms));
        assert_eq!(over(&linger), Some(start + LINGER));
    }

    #[test]
    fn a_wait_without_end_has_no_time_at_which_it_is_over() {
        let terms = terms(Duration::MAX, false);
        let (linger, effects, _) = after(&[(objects(false), MS)], &terms);
        assert_eq!(effects, [Effect::Settle]);
        assert!(linger.deadlines().iter().flatten().all(|one| one.0 != Deadline::Over));
    }

    #[test]
    fn the_service_manager_is_told_every_five_seconds_and_at_the_end_only_if_it_was_told_before() {
        let terms = terms(LINGER, false);
        let (linger, _, start) = after(&[(objects(true), MS)], &terms);
        let done = |phase| matches!(phase, Phase::Done { spoke, .. } if spoke);
        assert_eq!(linger.speak_at, Some(start + SILENCE));
        assert!(!done(linger.clone().over()));
        let (linger, effects) =
            stays(linger.on(Event::Due(Deadline::Speak), start + SILENCE, &terms));
        assert_eq!(effects, [Effect::Speak(Life::default())]);
        assert_eq!(linger.speak_at, Some(start + SILENCE + SPEAK_EVERY));
        assert!(done(linger.over()));
    }
}
