//! Ledgers of adopted objects: what may follow what, what stays of a long one, and what a sweep
//! decides.

use shmwarden::judge::{Action, CallState, Policy, adopted};
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{Illegal, Tail};
use shmwarden::ledger::compact::{LONG_BYTES, rewrite};
use shmwarden::ledger::record::{Adopted, How, Outcome, Record, Role};
use shmwarden::object::{Identity, Place, Segment};
use shmwarden::snapshot::callers::Caller;
use shmwarden::snapshot::{Process, Snapshot, Table};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::Row;

use super::make::{
    CONTROL_HANDLE, Change, DYNAMIC_HANDLE, OTHER_UID, UID, header, here, in_boot, in_ipc, in_pids,
    posix, posix_of, row, run, seen, segment, shm,
};
use super::orphan::{add, add_file, crashed, later, of_user, whole_list};
use super::story::Story;

fn record(object: u64, how: How, role: Role, identity: Identity) -> Record {
    Record::Adopted(Adopted { object, how, role, identity })
}

fn adopt(object: u64, id: i32) -> Record {
    record(object, How::Adopted, Role::Other, shm(&segment(id)))
}

fn ledger() -> Story {
    Story::default().then(header(here()))
}

fn removed(story: Story, object: u64) -> Story {
    let (outcome, detail) = (Outcome::Removed, "destroyed".to_owned());
    let intent = Record::Intent { object, reason: "adopted".to_owned() };
    story.then(intent).then(Record::Outcome { object, outcome, detail })
}

#[test]
fn adopted_objects_and_runs_are_never_in_one_ledger() {
    let refuses = |story: Story, record| {
        let before = story.book.clone();
        let mut story = story;
        assert!(matches!(story.tell(None, record), Err(Illegal(_))));
        assert_eq!(story.book, before);
    };
    refuses(ledger().then(run(1)), adopt(1, 7));
    refuses(ledger().then(adopt(1, 7)), run(1));
    refuses(removed(ledger().then(adopt(1, 7)), 1), run(1));
    refuses(Story::default(), adopt(1, 7));
    refuses(ledger().then(adopt(1, 7)), adopt(1, 8));
    refuses(ledger(), record(1, How::Claim, Role::Other, shm(&segment(7))));
    let mut of_run = seen(1, Role::Other, shm(&segment(7)));
    of_run.how = How::Named;
    refuses(ledger().then(run(1)), Record::Object(of_run));
}

#[test]
fn what_was_adopted_is_read_again() {
    let story = removed(ledger().then(adopt(1, 7)).then(adopt(2, 8)), 1);
    let (book, _, tail) = Book::replay(&story.bytes());
    assert_eq!((&book, tail), (&story.book, Tail::Clean));
    assert!(book.is_of_adopted());
    assert_eq!(book.open_objects().map(|object| object.number).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_long_ledger_forgets_what_was_removed_and_what_another_boot_had() {
    let mut story = Story::default().then(header(in_boot("earlier")));
    for object in 1..=1500 {
        story = story.then(adopt(object, i32::try_from(object).unwrap()));
    }
    story = story.then(header(here()));
    for object in 1501..=3500 {
        story = story.then(adopt(object, i32::try_from(object).unwrap()));
        if object != 2000 {
            story = removed(story, object);
        }
    }
    let bytes = story.bytes();
    assert!(bytes.len() as u64 > LONG_BYTES);
    let new = rewrite(&bytes);
    let (book, _, tail) = Book::replay(&new);
    assert_eq!((book.seq, tail), (story.book.seq, Tail::Clean));
    let kept: Vec<u64> = book.objects.keys().copied().collect();
    assert_eq!(book.open_objects().map(|object| object.number).collect::<Vec<_>>(), [2000]);
    // The newest of what was removed is still told.
    assert_eq!((kept[0], kept.last()), (2000, Some(&3500)));
    let newest = 3500 - u64::try_from(kept.len()).unwrap() + 2;
    assert!(kept.len() > 300 && kept[1..].iter().copied().eq(newest..=3500), "{kept:?}");
    assert!((new.len() as u64) < LONG_BYTES / 2, "{}", new.len());
    assert_eq!(rewrite(&new), new);
    // A short one keeps its history.
    let story = removed(ledger().then(adopt(1, 7)), 1);
    assert_eq!(rewrite(&story.bytes()), story.bytes());
}

/// What is decided of each object, in order: its number, and the code of the reason to keep it.
fn decided(book: &Book, look: &Snapshot) -> Vec<(u64, &'static str)> {
    let (verdicts, unread) = adopted::decide(book, look, &Policy::default());
    assert_eq!(unread, [0_i32; 0]);
    let codes = verdicts.iter().map(|verdict| match verdict {
        Action::Remove(removal) => (removal.object(), ""),
        Action::Keep(kept) => (kept.object.unwrap(), kept.reason.code()),
        Action::Forget(object) => (object.number, "forget"),
    });
    codes.collect()
}

#[test]
fn each_object_is_judged_by_itself() {
    let mut look = later();
    add(&mut look, &segment(7));
    add(&mut look, &segment(8));
    look.change(|look| look.segments.rows_mut()[1].nattch = 1);
    let story = ledger().then(adopt(1, 7)).then(adopt(2, 8)).then(adopt(3, 9));
    assert_eq!(decided(&story.book, &look), [(3, "forget"), (1, ""), (2, "attached")]);
}

#[test]
fn the_proof_is_the_same_at_the_removal() {
    let mut look = later();
    add(&mut look, &segment(7));
    let by_filter = ledger().then(adopt(1, 7)).book;
    let by_name = ledger().then(record(1, How::Named, Role::Other, shm(&segment(7)))).book;
    look.change(|look| look.processes.add(of_user(60, UID)));
    assert_eq!(decided(&by_filter, &look), [(1, "user-lives")]);
    assert_eq!(decided(&by_name, &look), [(1, "")]);
    look.change(|look| look.unread_lists.push(posix(&posix_of(CONTROL_HANDLE))));
    assert_eq!(decided(&by_name, &look), [(1, "list-unread")]);
    let policy = Policy { exempt: vec![60], ..Policy::default() };
    let (verdicts, _) = adopted::decide(&by_filter, &look, &policy);
    let [Action::Keep(kept)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert_eq!(kept.reason.code(), "list-unread");
}

#[test]
fn another_object_or_place_is_never_touched() {
    let mut look = later();
    add(&mut look, &Segment { ctime: 1, ..segment(7) });
    assert_eq!(decided(&ledger().then(adopt(1, 7)).book, &look), [(1, "changed")]);
    let elsewhere = |place: Place| Story::default().then(header(place)).then(adopt(1, 7)).book;
    let mut look = later();
    add(&mut look, &segment(7));
    assert_eq!(decided(&elsewhere(in_ipc("id:99")), &look), [(1, "other-ipc-namespace")]);
    assert_eq!(decided(&elsewhere(in_pids("id:99")), &look), [(1, "")]);
    let file = ledger().then(record(1, How::Named, Role::Other, posix(&posix_of(2)))).book;
    let mut moved = later();
    moved.change(|look| look.place.shm_mount = None);
    assert_eq!(decided(&file, &moved), [(1, "other-mount")]);
}

fn server() -> Story {
    let (list, dynamic) = (posix(&posix_of(CONTROL_HANDLE)), posix(&posix_of(DYNAMIC_HANDLE)));
    ledger()
        .then(record(1, How::Adopted, Role::Main, shm(&segment(5))))
        .then(record(2, How::Adopted, Role::Control, list))
        .then(record(3, How::Adopted, Role::Dynamic, dynamic))
}

#[test]
fn dynamic_shared_memory_goes_first_and_the_main_segment_last_as_one_group() {
    let (verdicts, _) = adopted::decide(&server().book, &crashed(), &Policy::default());
    let removals = verdicts.iter().map(|verdict| match verdict {
        Action::Remove(removal) => (removal.object(), removal.group(), removal.without_process()),
        other => panic!("{other:?}"),
    });
    let users = Some([UID, UID]);
    assert_eq!(removals.collect::<Vec<_>>(), [(3, 1, users), (2, 1, users), (1, 1, users)]);
}

#[test]
fn what_a_sweep_did_not_finish_the_next_one_does() {
    let story = removed(removed(server(), 3), 2);
    let mut look = crashed();
    look.change(|look| (look.files, look.controls) = (Table::Whole(vec![]), vec![]));
    assert_eq!(decided(&story.book, &look), [(1, "")]);
}

#[test]
fn what_came_to_a_list_since_keeps_all_of_its_server() {
    let mut look = crashed();
    add_file(&mut look, &posix_of(12));
    let list = whole_list(true, &[DYNAMIC_HANDLE, 12]);
    look.change(|look| look.controls[0].1 = list);
    let codes = [(3, "not-adopted"), (2, "not-adopted"), (1, "not-adopted")];
    assert_eq!(decided(&server().book, &look), codes);
}

#[test]
fn who_came_during_a_long_sweep_counts_and_so_does_who_cannot_be_read() {
    let code = |processes: &[Process]| {
        let reason = adopted::users_live([UID, UID], processes, &[70]);
        reason.map_or("", |reason| reason.code())
    };
    assert_eq!(code(&[of_user(60, OTHER_UID), of_user(70, UID)]), "");
    assert_eq!(code(&[of_user(60, UID)]), "user-lives");
    let unread = Process { uids: None, ..of_user(60, UID) };
    assert_eq!(code(std::slice::from_ref(&unread)), "user-unread");
    assert_eq!(code(&[Process { ended: true, ..unread }]), "");
}

#[test]
fn whom_its_mode_lets_in_and_who_came_during_a_long_sweep_counts() {
    let uids = Some([OTHER_UID; 4]);
    let callers = [Caller { pid: 60, uids, groups: Some(vec![]), same_ipc: Some(true) }];
    let code = |mode: u32, exempt: &[i32]| {
        let seen = CallState::Segment(Row {
            perm: IpcPerm { mode, ..row(&segment(7)).perm },
            ..row(&segment(7))
        });
        let reason = adopted::lets_others_in(&seen, &callers, exempt);
        reason.map_or("", |reason| reason.code())
    };
    assert_eq!(code(0o600, &[]), "");
    assert_eq!(code(0o666, &[]), "user-lives");
    assert_eq!(code(0o666, &[60]), "");
}
