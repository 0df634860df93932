//! Writing a ledger anew: every open matter means afterwards what it meant before, the last runs
//! stay readable, and what is over-long becomes short.

use proptest::prelude::*;
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{MOST_DESCENDANTS, Recorded, Run, Tail};
use shmwarden::ledger::compact::{KEPT_RUNS, LONG_BYTES, rewrite};
use shmwarden::ledger::record::{Claim, End, Outcome, Record, Role, RunStart};
use shmwarden::object::{Bytes, Identity, Place, ProcessRef};

use super::book::story_of;
use super::make::{
    FORKS, OTHER_UID, alive, claim, header, here, in_boot, in_ipc, in_pids, run, seen, segment, shm,
};
use super::story::Story;

/// What a later reader acts on.
#[derive(Debug, PartialEq)]
struct Meaning {
    place: Option<Place>,
    open: Vec<(Recorded, Place)>,
    runs: Vec<(Run, Place)>,
}

fn meaning(book: &Book) -> Meaning {
    let place = |index: usize| book.places[index].clone();
    let of_object = |object: &Recorded| {
        let at = place(object.place);
        (Recorded { place: 0, ..object.clone() }, at)
    };
    let of_run = |run: &Run| {
        let at = place(run.place);
        // A run that another boot ended has no time of its own for that.
        let end = run.end.map(|(how, _)| (how, run.at));
        // Who used an ended run's sets and queues is nobody's matter when those are gone.
        let descendants = match run.end {
            None => run.descendants.clone(),
            Some(_) => Default::default(),
        };
        (Run { place: 0, end, descendants, ..run.clone() }, at)
    };
    Meaning {
        place: book.place().cloned(),
        open: book.open_objects().map(of_object).collect(),
        runs: book.runs.values().rev().take(KEPT_RUNS).map(of_run).collect(),
    }
}

#[track_caller]
fn rewritten(story: &Story) -> (Book, Vec<u8>) {
    let new = rewrite(&story.bytes());
    let (book, whole, tail) = Book::replay(&new);
    assert_eq!((whole, tail), (new.len(), Tail::Clean));
    assert_eq!(rewrite(&new), new, "not the same when written anew again");
    (book, new)
}

fn gone(object: u64) -> Record {
    Record::Gone { object }
}

fn begin_and_end(mut story: Story, runs: std::ops::Range<u64>) -> Story {
    for number in runs {
        story =
            story.then(run(number)).then(Record::Claim(claim(number))).end(number, End::Exit(0));
    }
    story
}

#[test]
fn nothing_is_made_of_nothing() {
    assert_eq!(rewrite(b""), b"");
    assert_eq!(rewrite(b"{\"seq\":1"), b"");
}

#[test]
fn a_short_ledger_keeps_all_that_it_says() {
    let story = Story::of(claim(1))
        .object(1, Role::Main, shm(&segment(0)))
        .object(2, Role::Other, shm(&segment(1)))
        .then(Record::Used { run: 1, identity: shm(&segment(9)) })
        .then(gone(2))
        .end(1, End::Signal(9));
    let (book, _) = rewritten(&story);
    assert_eq!(book, story.book);
}

/// A server that replaces its workers all the time names more than are kept; each of them can come
/// back into the list.
#[test]
fn the_newest_descendants_of_a_run_stay_in_their_order() {
    let process = |pid: i32| ProcessRef { pid, start: 1000 };
    let mut story = Story::of(claim(1));
    for pid in (0..1500).chain([3, 1499, 700]) {
        story = story.then(Record::Descendant { run: 1, process: process(5000 + pid) });
    }
    let kept = &story.book.runs[&1].descendants;
    assert_eq!(kept.len(), MOST_DESCENDANTS);
    assert_eq!(kept.iter().rev().take(3).map(|p| p.pid).collect::<Vec<_>>(), [5700, 6499, 5003]);
    let (book, _) = rewritten(&story);
    assert_eq!(&book.runs[&1].descendants, kept);
}

#[test]
fn a_torn_tail_is_dropped_and_damage_ends_what_is_kept() {
    let story = Story::of(claim(1)).object(1, Role::Main, shm(&segment(0)));
    let whole = story.bytes();
    let mut torn = whole.clone();
    torn.extend(b"{\"seq\":5,\"at");
    assert_eq!(rewrite(&torn), whole);
}

#[test]
fn the_last_hundred_runs_stay_readable_and_older_ones_go() {
    let story = begin_and_end(Story::default().then(header(here())), 1..151);
    let (book, _) = rewritten(&story);
    assert_eq!(book.runs.keys().copied().collect::<Vec<_>>(), (51..151).collect::<Vec<_>>());
    assert_eq!(meaning(&book), meaning(&story.book));
    assert_eq!(book.next_run(), 151);
}

#[test]
fn an_old_run_with_an_open_object_stays_with_its_claims_and_counts() {
    let held = Story::of(claim(1))
        .object(1, Role::Main, shm(&segment(0)))
        .at_forks(FORKS + 7, alive(1))
        .end(1, End::Unknown);
    let story = begin_and_end(held, 2..152);
    let (book, _) = rewritten(&story);
    assert_eq!(book.runs[&1], story.book.runs[&1]);
    assert_eq!(meaning(&book).open, meaning(&story.book).open);
    assert_eq!(book.runs.len(), KEPT_RUNS + 1);
}

#[test]
fn an_old_run_that_may_still_live_in_another_pid_namespace_stays() {
    let open = Story::of(claim(1)).then(header(in_pids("id:99")));
    let (book, _) = rewritten(&begin_and_end(open, 2..152));
    assert_eq!(book.open_runs().count(), 1);
    assert_eq!(book.runs[&1].claims, [Claim { forks: Some(FORKS), ..claim(1) }]);
    assert_eq!(book.places[book.runs[&1].place], here());
    assert_eq!(book.place(), Some(&in_pids("id:99")));
}

#[test]
fn each_run_and_object_keeps_the_place_that_it_was_in() {
    let places = [here(), in_pids("id:99"), in_ipc("id:98"), here(), in_boot("second")];
    let mut story = Story::default();
    for (number, place) in (1..).zip(places.clone()) {
        story = begin_and_end(story.then(header(place)), number..number + 1);
        let mut seen = seen(number, Role::Other, shm(&segment(i32::try_from(number).unwrap())));
        seen.run = number;
        story = story.then(Record::Object(seen));
    }
    let story = story.then(header(in_boot("third"))).then(header(in_boot("fourth")));
    let (book, _) = rewritten(&story);
    assert_eq!(meaning(&book), meaning(&story.book));
    let kept: Vec<Place> = book.runs.values().map(|r| book.places[r.place].clone()).collect();
    assert_eq!(kept, places);
    assert_eq!(book.place(), Some(&in_boot("fourth")));
}

#[test]
fn what_waits_to_be_written_may_follow_what_was_written_anew() {
    let story = begin_and_end(Story::default().then(header(here())), 1..120);
    let mut then = story.clone().then(run(120)).then(Record::Claim(claim(120)));
    let waiting = then.entries.split_off(story.entries.len());
    let mut new = rewrite(&story.bytes());
    new.extend(waiting.iter().flat_map(shmwarden::ledger::line::encode));
    assert_eq!(Book::replay(&new).2, Tail::Clean);
}

#[track_caller]
fn becomes_short(story: &Story) {
    assert!(story.bytes().len() as u64 > LONG_BYTES, "{}", story.bytes().len());
    let (book, new) = rewritten(story);
    assert!((new.len() as u64) < LONG_BYTES, "still {} bytes", new.len());
    let (before, after) = (meaning(&story.book), meaning(&book));
    assert_eq!((before.place, before.open), (after.place, after.open));
}

/// A run with one open object, in which very many objects came and went.
fn long_run() -> Story {
    let mut story =
        Story::of(claim(1)).at_forks(FORKS + 1, alive(1)).object(1, Role::Main, shm(&segment(0)));
    for object in 2..3000 {
        let id = i32::try_from(object).unwrap();
        let seen = seen(object, Role::Other, shm(&segment(id)));
        story = story.at_forks(FORKS + object, Record::Object(seen)).then(gone(object));
    }
    story
}

#[test]
fn objects_that_came_and_went_do_not_keep_a_ledger_long() {
    becomes_short(&long_run());
    becomes_short(&long_run().end(1, End::Signal(9)));
}

#[test]
fn the_fork_count_of_each_claimed_process_survives() {
    let second = ProcessRef { pid: 4800, start: 2000 };
    let mut story = Story::of(claim(1)).then(Record::Claim(Claim { process: second, ..claim(1) }));
    for turn in 1..9 {
        story = story.at_forks(FORKS + turn, alive(1));
        let of_second = Record::Alive { run: 1, process: second };
        story = story.at_forks(FORKS + 100 + turn, of_second);
    }
    let (book, new) = rewritten(&story);
    assert_eq!(book.runs[&1].claims, story.book.runs[&1].claims);
    assert!(new.len() < story.bytes().len());
}

#[test]
fn many_runs_with_long_command_lines_do_not_keep_a_ledger_long() {
    let mut story = Story::default().then(header(here()));
    for number in 1..100 {
        let Record::Run(start) = run(number) else { panic!() };
        let argv = vec![Bytes(vec![b'x'; 12_000])];
        story = story.then(Record::Run(RunStart { argv, ..start })).end(number, End::Exit(1));
    }
    becomes_short(&story);
}

#[test]
fn a_removal_that_fails_again_and_again_does_not_keep_a_ledger_long() {
    let mut story =
        Story::of(claim(1)).object(1, Role::Main, shm(&segment(0))).end(1, End::Signal(9));
    for _ in 0..3500 {
        let reason = "server 4711 of run 1 is dead, nobody uses it".to_owned();
        let detail = "not allowed (EPERM): run as its owner, its creator or root".to_owned();
        let (object, outcome) = (1, Outcome::Failed);
        story = story.then(Record::Intent { object, reason }).then(Record::Outcome {
            object,
            outcome,
            detail,
        });
    }
    becomes_short(&story);
}

#[test]
fn an_object_that_moves_on_again_and_again_does_not_keep_a_ledger_long() {
    let mut story = Story::of(claim(1));
    for ctime in 0..4500 {
        let moved = shmwarden::object::Segment { ctime, ..segment(0) };
        story = story.object(1, Role::Main, shm(&moved));
    }
    becomes_short(&story);
}

#[test]
fn what_a_server_used_again_and_again_does_not_keep_a_ledger_long() {
    let mut story = Story::of(claim(1)).object(1, Role::Main, shm(&segment(0)));
    for id in 1..5000 {
        let theirs = shmwarden::object::Segment { creator_uid: OTHER_UID, ..segment(id) };
        let (run, identity) = (1, Identity::Shm(theirs));
        story = story.then(Record::Used { run, identity });
    }
    becomes_short(&story);
}

#[test]
fn a_claim_that_is_made_again_and_again_does_not_keep_a_ledger_long() {
    let mut story = Story::of(claim(1)).object(1, Role::Main, shm(&segment(0)));
    for turn in 0..2900 {
        let uids = vec![turn];
        let process = ProcessRef { pid: 4711, start: 1000 };
        story = story.then(Record::Claim(Claim { uids, process, ..claim(1) }));
    }
    becomes_short(&story);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_story_means_the_same_when_written_anew(
        numbers in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..400),
    ) {
        let story = story_of(&numbers);
        let new = rewrite(&story.bytes());
        let (book, whole, tail) = Book::replay(&new);
        prop_assert_eq!((whole, tail), (new.len(), Tail::Clean));
        prop_assert!(meaning(&book) == meaning(&story.book), "{:#?}", story.entries);
        prop_assert_eq!(book.seq, story.book.seq);
        prop_assert!(rewrite(&new) == new);
    }
}
