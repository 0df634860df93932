//! What a ledger may say of sets and queues, in which order and in which version.

use shmwarden::ledger::Book;
use shmwarden::ledger::book::Tail;
use shmwarden::ledger::record::{End, Header, Outcome, Record, Role, VERSION};
use shmwarden::object::{Identity, SemaphoreSet};

use super::make::{generic, seconds, seen, segment, shm};
use super::sets_make::{both, codes_of, queue, recorded, set};
use super::story::Story;

/// A segment that was raced for goes by itself; a set was left alone.
#[test]
fn a_set_that_was_raced_for_is_tried_again() {
    let raced = |object| {
        let intent = Record::Intent { object, reason: String::new() };
        let detail = String::new();
        (intent, Record::Outcome { object, outcome: Outcome::Raced, detail })
    };
    let story = recorded().object(3, Role::Other, shm(&segment(0))).end(1, End::Signal(9));
    let story = [1, 2, 3].into_iter().fold(story, |story, object| {
        let (intent, outcome) = raced(object);
        story.then(intent).then(outcome)
    });
    let open: Vec<u64> = story.book.open_objects().map(|object| object.number).collect();
    assert_eq!(open, [1, 2]);
    assert_eq!(codes_of(&story, &both()), ("removed", "removed"));
}

/// A program of version 1 goes by the first line, and would take a set's line for damage.
#[test]
fn a_ledger_of_version_1_names_no_set_until_a_header_says_so() {
    let header = |version| {
        let place = super::make::here();
        Record::Header(Header { version, place, file: None })
    };
    let begun = |version| Story::default().then(header(version)).then(super::make::run(1));
    let object = || Record::Object(seen(1, Role::Other, Identity::Sem(set())));
    let used = || Record::Used { run: 1, identity: Identity::Msg(queue()) };
    for record in [object(), used()] {
        assert!(begun(1).tell(None, record.clone()).is_err());
        assert_eq!(begun(1).then(header(2)).tell(None, record.clone()), Ok(()));
        assert_eq!(begun(2).tell(None, record), Ok(()));
    }
    assert!(begun(2).tell(None, header(1)).is_err(), "an older one after a newer one");
}

#[test]
fn an_older_ledger_written_anew_says_the_same_in_the_newest_version() {
    let place = super::make::here();
    let old = Story::default()
        .then(Record::Header(Header { version: 1, place, file: None }))
        .then(super::make::run(1))
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, shm(&segment(0)));
    let new = shmwarden::ledger::compact::rewrite(&old.bytes());
    let (book, _, tail) = Book::replay(&new);
    assert_eq!(tail, Tail::Clean);
    assert_eq!((old.book.first_version, book.first_version), (1, VERSION));
    assert_eq!((&book.objects, &book.runs), (&old.book.objects, &old.book.runs));
    let mut both = recorded();
    both.book = Book::replay(&shmwarden::ledger::compact::rewrite(&both.bytes())).0;
    assert_eq!(both.book, recorded().book);
}

#[test]
fn a_set_that_is_recorded_again_may_have_changed_in_its_time_alone() {
    let again = |identity| {
        let mut story = recorded();
        story.tell(None, Record::Object(seen(1, Role::Other, identity)))
    };
    let later = SemaphoreSet { ctime: seconds(99), ..set() };
    assert_eq!(again(Identity::Sem(later)), Ok(()));
    assert!(again(Identity::Sem(SemaphoreSet { nsems: 16, ..set() })).is_err());
    assert!(again(Identity::Sem(SemaphoreSet { id: 4, ..set() })).is_err());
    assert!(again(Identity::Msg(queue())).is_err());
}
