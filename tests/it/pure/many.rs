//! Which recorded segments bear an id, and what becomes of a server's many segments.

use shmwarden::judge::{self, Action, Policy};
use shmwarden::ledger::record::{End, Record, Role};
use shmwarden::object::{Key, Segment};

use super::make::{Change, generic, look, row, segment, shm};
use super::story::{Story, attributed};
use shmwarden::snapshot::Table;

/// The upper half nobody saw appear: each of those is reported once. (How long it takes for many
/// more is a matter of benchmarks.)
#[test]
fn each_of_a_thousand_segments_is_removed_once() {
    const COUNT: i32 = 1_000;
    // Each slot has its own sequence number: no id is the one before it and one more.
    let one = |slot: i32| Segment { key: Key(slot), ..segment(slot | ((slot % 7) << 15)) };
    let recorded = (0..COUNT / 2).zip(1..);
    let story = recorded.fold(Story::of(generic(1)), |story, (slot, number)| {
        story.object(number, Role::Other, shm(&one(slot)))
    });
    let mut look = look();
    look.change(|look| {
        look.segments = Table::Whole((0..COUNT).map(|slot| row(&one(slot))).collect())
    });
    let (story, suspects) = attributed(story, &look);
    let story = story.end(1, End::Signal(9));
    let life = judge::life::judge(&story.book, &look, &Policy::default());
    let verdicts = judge::decide(&story.book, &look, &life, &suspects, &Policy::default());
    let mut removed: Vec<String> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Action::Remove(removal) => Some(removal.identity().to_string()),
            _ => None,
        })
        .collect();
    removed.sort();
    removed.dedup();
    assert_eq!((removed.len(), suspects.len()), (COUNT as usize / 2, COUNT as usize / 2));
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
