//! Which record may follow: everything else is refused and changes nothing, and what the book took
//! in can be replayed to the same book.

use proptest::prelude::*;
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{Illegal, Standing, Tail};
use shmwarden::ledger::record::{
    Claim, End, Entry, Header, Loss, Outcome, Record, Role, RunStart, VERSION,
};
use shmwarden::object::{Bytes, Key, ProcessRef, Segment};

use super::make::{
    FORKS, alive, claim, file, generic, header, here, in_boot, in_ipc, in_pids, posix, reaped, run,
    seen, segment, shm, time,
};
use super::story::Story;

/// Run 1 ended with one object present; run 2 is open and has one too.
fn two_runs() -> Story {
    Story::of(claim(1))
        .object(1, Role::Main, shm(&segment(0)))
        .end(1, End::Signal(9))
        .then(run(2))
        .then(Record::Claim(claim(2)))
        .object(2, Role::Other, shm(&segment(1)))
}

/// Run 1 ended; object 1 is present, the removal of 2 was begun, 3 was removed, 4 has gone, 5 could
/// not be removed.
fn one_of_each_standing() -> Story {
    let mut story = Story::of(claim(1));
    for object in 1..=5 {
        let id = i32::try_from(object).unwrap();
        story = story.object(object, Role::Other, shm(&segment(id)));
    }
    story = story.then(Record::Gone { object: 4 }).end(1, End::Signal(9));
    for object in [2, 3, 5] {
        story = story.then(intent(object));
    }
    story.then(outcome(3, Outcome::Removed)).then(outcome(5, Outcome::Failed))
}

/// Until the server has another main segment, and no longer than the run: a marked one that is
/// recorded again without its key is the same.
#[test]
fn a_server_is_robbed_until_it_begins_anew_or_ends() {
    let main = segment(1);
    let marked = Segment { key: Key(0), ..main.clone() };
    let lost = Record::Robbed { run: 1, loss: Loss::Marked, identity: shm(&main) };
    let robbed = |story: &Story| story.book.robbed_now().count();
    let story = Story::of(claim(1)).object(1, Role::Main, shm(&main)).then(lost.clone());
    assert_eq!(robbed(&story), 1);
    let story = story.object(2, Role::Main, shm(&marked));
    assert_eq!(robbed(&story), 1);
    let anew = story.clone().object(3, Role::Main, shm(&segment(2)));
    assert_eq!((robbed(&anew), anew.book.robbed.len()), (0, 1));
    let ended = story.end(1, End::Signal(9));
    assert_eq!((robbed(&ended), ended.book.robbed.len()), (0, 1));
    refused(ended, lost.clone());
    refused(Story::default().then(header(here())), lost);
}

fn intent(object: u64) -> Record {
    let reason = "nobody uses it".to_owned();
    Record::Intent { object, reason }
}

fn outcome(object: u64, outcome: Outcome) -> Record {
    let detail = String::new();
    Record::Outcome { object, outcome, detail }
}

#[track_caller]
fn refused(mut story: Story, record: Record) {
    let before = story.book.clone();
    let told = story.tell(Some(9), record.clone());
    assert!(matches!(told, Err(Illegal(_))), "may follow: {record:?}");
    assert_eq!(story.book, before, "changed by {record:?}");
}

#[test]
fn nothing_but_a_header_of_a_known_version_comes_first() {
    refused(Story::default(), run(1));
    refused(Story::default(), Record::Claim(claim(1)));
    refused(Story::default(), alive(1));
    refused(Story::default(), Record::Gone { object: 1 });
    for version in [0, VERSION + 1, u64::MAX] {
        let place = here();
        refused(Story::default(), Record::Header(Header { version, place, file: None }));
    }
}

#[test]
fn sequence_numbers_have_no_gap_and_no_repetition() {
    let story = two_runs();
    for seq in [0, 1, story.book.seq, story.book.seq + 2, u64::MAX] {
        let mut book = story.book.clone();
        let record = alive(2);
        let entry = Entry { seq, at: time(1), forks: None, record };
        assert!(book.apply(&entry).is_err(), "{seq}");
        assert_eq!(book, story.book);
    }
}

#[test]
fn a_run_begins_only_after_the_earlier_one_has_ended() {
    refused(two_runs(), run(3));
    let ended = two_runs().end(2, End::Unknown).then(run(3));
    assert_eq!(ended.book.next_run(), 4);
}

#[test]
fn a_run_number_is_never_given_again() {
    for number in [0, 1, 2] {
        refused(two_runs().end(2, End::Unknown), run(number));
    }
}

#[test]
fn a_run_of_another_pid_namespace_may_be_open_beside_one() {
    let story = two_runs().then(header(in_pids("id:99"))).then(run(3));
    assert_eq!(story.book.open_runs().count(), 2);
}

#[test]
fn another_boot_ends_every_run_and_another_namespace_none() {
    let open = |place| two_runs().then(header(place)).book.open_runs().count();
    assert_eq!(open(in_pids("id:99")), 1);
    assert_eq!(open(in_ipc("id:99")), 1);
    assert_eq!(open(in_boot("second")), 0);
}

#[test]
fn what_is_said_of_a_run_needs_that_run_open() {
    for run in [0, 1, 3] {
        refused(two_runs(), alive(run));
        refused(two_runs(), reaped(run, End::Exit(0)));
        refused(two_runs(), Record::Claim(claim(run)));
        let end = End::Exit(0);
        refused(two_runs(), Record::End { run, end });
    }
}

#[test]
fn a_claim_is_of_a_process() {
    for pid in [0, -1, i32::MIN] {
        let process = ProcessRef { pid, start: 1 };
        let claim = Claim { process, ..claim(2) };
        refused(two_runs(), Record::Claim(claim));
    }
}

#[test]
fn a_second_claim_of_a_process_replaces_the_first_and_one_of_another_does_not() {
    let again = Claim { major: Some(16), ..claim(2) };
    let story = two_runs().then(Record::Claim(again));
    assert_eq!(story.book.runs[&2].claims.len(), 1);
    assert_eq!(story.book.runs[&2].claims[0].major, Some(16));
    let later = ProcessRef { pid: 4711, start: 5000 };
    let story = story.then(Record::Claim(Claim { process: later, ..generic(2) }));
    assert_eq!(story.book.runs[&2].claims.len(), 2);
}

#[test]
fn what_is_said_of_a_claimed_process_needs_it_claimed_and_not_ended() {
    let stranger = ProcessRef { pid: 4711, start: 1001 };
    refused(two_runs(), Record::Alive { run: 2, process: stranger });
    refused(two_runs(), Record::Reaped { run: 2, process: stranger, end: End::Exit(0) });
    let ended = two_runs().then(reaped(2, End::Signal(9)));
    assert_eq!(ended.book.runs[&2].claims[0].ended, Some(End::Signal(9)));
    refused(ended.clone(), alive(2));
    refused(ended.clone(), reaped(2, End::Signal(9)));
    refused(ended, Record::Claim(claim(2)));
}

#[test]
fn an_object_belongs_to_a_known_run_and_has_a_new_number() {
    let of_run = |object, run| {
        let mut seen = seen(object, Role::Other, shm(&segment(7)));
        seen.run = run;
        Record::Object(seen)
    };
    refused(two_runs(), of_run(3, 3));
    refused(two_runs(), of_run(0, 1));
    let gap = two_runs().then(of_run(9, 2));
    refused(gap, of_run(8, 2));
}

#[test]
fn an_object_does_not_turn_into_another() {
    let other_id = seen(1, Role::Main, shm(&segment(5)));
    let other_kind = seen(1, Role::Main, posix(&file("x", 1)));
    refused(two_runs(), Record::Object(other_id));
    refused(two_runs(), Record::Object(other_kind));
}

#[test]
fn an_object_may_move_on_while_it_is_present_and_never_comes_back() {
    let moved = |object: u64| {
        let id = i32::try_from(object).unwrap();
        let moved = Segment { ctime: 99, ..segment(id) };
        Record::Object(seen(object, Role::Main, shm(&moved)))
    };
    let before = one_of_each_standing();
    let after = one_of_each_standing().then(moved(1));
    assert_eq!(after.book.objects[&1].since, before.book.objects[&1].since);
    assert_eq!(after.book.objects[&1].role, Role::Main);
    for object in 2..=5 {
        refused(one_of_each_standing(), moved(object));
    }
}

#[test]
fn no_removal_begins_while_a_run_has_not_ended() {
    refused(two_runs(), intent(1));
    refused(two_runs(), intent(2));
    let elsewhere = two_runs().then(header(in_pids("id:99")));
    refused(elsewhere, intent(1));
    let ended = two_runs().end(2, End::Unknown).then(intent(1));
    assert_eq!(ended.book.objects[&1].standing, Standing::Intended);
}

#[test]
fn what_is_said_of_an_object_depends_on_how_it_stands() {
    let gone = |object| Record::Gone { object };
    for object in [2, 3, 4, 6] {
        refused(one_of_each_standing(), gone(object));
    }
    for object in [3, 4, 6] {
        refused(one_of_each_standing(), intent(object));
    }
    for object in [1, 3, 4, 5, 6] {
        refused(one_of_each_standing(), outcome(object, Outcome::Removed));
    }
    let legal = one_of_each_standing()
        .then(gone(1))
        .then(gone(5))
        .then(intent(2))
        .then(outcome(2, Outcome::Kept))
        .then(intent(2))
        .then(outcome(2, Outcome::Gone));
    assert_eq!(legal.book.open_objects().count(), 0);
}

#[test]
fn an_object_stays_open_until_it_is_no_more() {
    let open = |result| {
        let story = one_of_each_standing().then(outcome(2, result));
        story.book.objects[&2].is_open()
    };
    assert!(open(Outcome::Failed) && open(Outcome::Kept));
    assert!(!open(Outcome::Removed) && !open(Outcome::Gone) && !open(Outcome::Raced));
    let open: Vec<u64> = one_of_each_standing().book.open_objects().map(|o| o.number).collect();
    assert_eq!(open, [1, 2, 5]);
}

#[test]
fn objects_of_an_earlier_boot_are_not_open() {
    let story = two_runs().then(header(in_boot("second")));
    assert_eq!(story.book.open_objects().count(), 0);
    let elsewhere = two_runs().then(header(in_ipc("id:99")));
    assert_eq!(elsewhere.book.open_objects().count(), 2);
}

#[test]
fn the_latest_fork_count_of_a_claimed_process_is_kept() {
    let story = Story::of(claim(1))
        .at_forks(FORKS + 5, alive(1))
        .then(alive(1))
        .then(Record::Claim(claim(1)));
    assert_eq!(story.book.runs[&1].claims[0].forks, Some(FORKS + 5));
}

#[test]
fn whatever_the_book_takes_in_can_be_read_back() {
    let Record::Run(start) = run(1) else { panic!() };
    // Linux takes 2 MiB of arguments; where they are no text, a byte is up to four in a line.
    for argument in [vec![b'x'; 1 << 20], vec![0xff; 300 << 10]] {
        let argv = vec![Bytes(argument)];
        let mut story = Story::default().then(header(here()));
        let long = Record::Run(RunStart { argv, ..start.clone() });
        if story.tell(None, long).is_ok() {
            assert_eq!(Book::replay(&story.bytes()).2, Tail::Clean);
        }
    }
}

#[test]
fn numbers_at_their_limit_do_not_overflow() {
    let mut story = Story::of(claim(1));
    let highest = seen(u64::MAX, Role::Other, shm(&segment(0)));
    let _ = story.tell(None, Record::Object(highest));
    let _ = story.book.next_object();
    let mut story = story.end(1, End::Unknown);
    let _ = story.tell(None, run(u64::MAX));
    let _ = story.book.next_run();
    // A number that was given is not given again.
    assert!(story.book.objects.keys().all(|number| *number < story.book.next_object()));
    assert!(story.book.runs.keys().all(|number| *number < story.book.next_run()));
}

/// A record made of four numbers, with run and object numbers in reach of what there is.
pub fn record_of((kind, a, b, c): (u8, u8, u8, u8), book: &Book) -> Record {
    let near = |next: u64, back: u8| next.saturating_sub(u64::from(back % 4));
    let (run_number, object) = (near(book.next_run(), a), near(book.next_object(), b));
    let id = i32::from(b % 16);
    let claimed = ProcessRef { pid: 100 + i32::from(b % 3), start: run_number };
    match kind % 17 {
        0 => {
            let boots = book.places.iter().filter(|p| p.boot == here().boot).count();
            let boot = if c % 8 == 0 || boots == 0 {
                format!("boot {}", book.places.len())
            } else {
                book.places.last().map_or(here().boot, |place| place.boot.clone())
            };
            header(shmwarden::object::Place {
                boot,
                ipc_namespace: format!("id:{}", a % 2),
                pid_namespace: format!("id:{}", b % 3),
                ..here()
            })
        }
        1 | 2 => run(book.next_run()),
        3 | 4 => Record::Claim(Claim {
            process: claimed,
            major: Some(u32::from(c)),
            ..claim(run_number)
        }),
        5 => Record::Alive { run: run_number, process: claimed },
        6..=8 => {
            let ctime = i64::from(c);
            let segment = Segment { ctime, key: Key(id), ..segment(id) };
            let mut seen = seen(object, Role::Other, shm(&segment));
            seen.run = run_number;
            Record::Object(seen)
        }
        9 if c % 2 == 0 => {
            let loss = if c % 4 == 0 { Loss::Marked } else { Loss::Removed };
            Record::Robbed { run: run_number, loss, identity: shm(&segment(id)) }
        }
        9 => Record::Used { run: run_number, identity: shm(&segment(id)) },
        10 if c % 2 == 0 => Record::Descendant { run: run_number, process: claimed },
        10 => Record::Gone { object },
        11 | 12 => intent(object),
        13 => {
            let results = [Outcome::Removed, Outcome::Kept, Outcome::Failed, Outcome::Raced];
            outcome(object, results[usize::from(c % 4)])
        }
        14 => Record::Reaped { run: run_number, process: claimed, end: End::Signal(9) },
        _ => Record::End { run: run_number, end: End::Exit(i32::from(c % 2)) },
    }
}

/// A story of every record that may follow, of those that the numbers stand for.
pub fn story_of(numbers: &[(u8, u8, u8, u8)]) -> Story {
    let mut story = Story::default().then(header(here()));
    for &four in numbers {
        let record = record_of(four, &story.book);
        // What says that a server was seen alive says it with the fork count of that moment.
        let counted = matches!(record, Record::Alive { .. }) || four.3 % 3 == 0;
        let forks = counted.then_some(FORKS + story.book.seq);
        let before = story.book.clone();
        if story.tell(forks, record.clone()).is_err() {
            assert_eq!(story.book, before, "changed by {record:?}");
        }
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_written_is_replayed_to_the_same_book(
        numbers in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..200),
    ) {
        let story = story_of(&numbers);
        let bytes = story.bytes();
        prop_assert_eq!(Book::replay(&bytes), (story.book, bytes.len(), Tail::Clean));
    }
}
