//! A server with very many objects: what is done with them takes time in proportion to their
//! number. With all walks nested, 8,000 segments took eleven seconds and 32,000 some minutes.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use shmwarden::decide::{self, Policy, Verdict};
use shmwarden::ledger::record::{End, Record, Role};
use shmwarden::object::{Key, Segment};
use shmwarden::observe::Observation;

use super::make::{generic, look, row, segment, shm};
use super::story::{Story, attributed};

/// Of this thread alone: other work on the machine does not count.
fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// The least of three times, which others of this machine disturb least.
fn took((story, look): &(Story, Observation)) -> Duration {
    let once = || {
        let before = processor_time();
        assert_eq!(removed(story, look), look.segments.len());
        processor_time() - before
    };
    (0..3).map(|_| once()).min().unwrap()
}

/// A dead server with so many segments, the upper half of which nobody saw appear.
fn with(count: i32) -> (Story, Observation) {
    // Each slot has its own sequence number: no id is the one before it and one more.
    let one = |slot: i32| Segment { key: Key(slot), ..segment(slot | ((slot % 7) << 15)) };
    let recorded = (0..count / 2).zip(1..);
    let story = recorded.fold(Story::of(generic(1)), |story, (slot, number)| {
        story.object(number, Role::Other, shm(&one(slot)))
    });
    let mut look = look();
    look.segments = (0..count).map(|slot| row(&one(slot))).collect();
    (story, look)
}

fn removed(story: &Story, look: &Observation) -> usize {
    let (story, suspects) = attributed(story.clone(), look);
    let story = story.end(1, End::Signal(9));
    let life = decide::life::judge(&story.book, look, &Policy::default());
    let verdicts = decide::decide(&story.book, look, &life, &suspects, &Policy::default());
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Remove(_))).count()
}

#[test]
fn four_times_as_many_segments_take_about_four_times_as_long() {
    let (short, long) = (took(&with(4_000)), took(&with(16_000)));
    // Were it quadratic, it would be sixteen.
    assert!(long < short * 9, "4,000: {short:?}; 16,000: {long:?}");
}

#[test]
fn what_is_recorded_is_known_by_its_id_through_its_changes() {
    let old = segment(3);
    let moved = Segment { ctime: old.ctime + 60, ..old.clone() };
    let story = Story::of(generic(1)).object(1, Role::Other, shm(&old));
    assert!(story.book.has(&shm(&old)) && !story.book.has(&shm(&moved)));
    let story = story.object(1, Role::Other, shm(&moved));
    assert!(story.book.has(&shm(&moved)) && !story.book.has(&shm(&old)));
    // The id came back.
    let later = Segment { key: Key(9), ..old };
    let gone = Record::Gone { object: 1 };
    let story = story.then(gone).object(2, Role::Other, shm(&later));
    let numbers: Vec<u64> = story.book.segments_of(3).map(|object| object.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(story.book.has(&shm(&later)) && story.book.has(&shm(&moved)));
    assert_eq!(story.book.segments_of(4).count(), 0);
}
