//! What a server holds that nobody watched from its start: which of that is its own, and what may
//! be left from an earlier process of its number.

use shmwarden::attribute::living::{self, Member};
use shmwarden::ledger::record::{Claim, How, Record, Role};
use shmwarden::object::{ProcessRef, Segment};
use shmwarden::snapshot::{Mapped, Snapshot, Table};

use super::make::{
    Change, DATA, OTHER_UID, SERVER, UID, claim, file, files, generic, look, main_header, posix,
    process, row, seconds, segment, shm,
};
use super::story::Story;

const BACKEND: ProcessRef = ProcessRef { pid: 4800, start: 1100 };

/// The server, begun in the second in which its segments were made, with these attached.
fn server(ids: &[i32]) -> Member {
    let holds = ids.iter().map(|&id| Mapped::Segment(id)).collect();
    Member { process: SERVER, began: seconds(10), holds: Some(holds) }
}

fn with(segments: &[Segment]) -> Snapshot {
    look().with(|look| look.segments = Table::Whole(segments.iter().map(row).collect()))
}

/// What is recorded by which proof, and what is in doubt.
fn created(claim: &Claim, known: bool, member: &Member, look: &Snapshot) -> (Vec<How>, Vec<i32>) {
    let story = Story::of(claim.clone());
    let (found, doubtful) = living::created(&story.book, claim, known, member, look);
    (found.iter().map(|seen| seen.how).collect(), doubtful)
}

#[test]
fn what_the_server_made_and_has_attached_is_its_own() {
    let look = with(&[segment(0)]);
    assert_eq!(created(&generic(1), false, &server(&[0]), &look), (vec![How::Claim], vec![]));
}

#[test]
fn what_is_older_than_the_server_or_not_attached_is_in_doubt() {
    let doubt = (vec![], vec![0]);
    let now = with(&[segment(0)]);
    assert_eq!(created(&generic(1), false, &server(&[]), &now), doubt);
    let closed = Member { holds: None, ..server(&[0]) };
    assert_eq!(created(&generic(1), false, &closed, &now), doubt);
    for (ago, proven) in [(1, true), (2, false)] {
        let old = with(&[Segment { ctime: seconds(10) - ago, ..segment(0) }]);
        let (found, doubtful) = created(&generic(1), false, &server(&[0]), &old);
        assert_eq!((found.len(), doubtful.len()), if proven { (1, 0) } else { (0, 1) }, "{ago}");
    }
}

#[test]
fn what_another_user_made_is_not_the_servers_because_that_began_as_root() {
    let root = |uids: &[u32]| Claim { uids: uids.to_vec(), ..generic(1) };
    let look = with(&[segment(0)]);
    for known in [false, true] {
        assert_eq!(created(&root(&[0]), known, &server(&[0]), &look), (vec![], vec![0]));
        let became = created(&root(&[0, UID]), known, &server(&[0]), &look);
        assert_eq!(became, (vec![How::Claim], vec![]));
    }
}

#[test]
fn what_came_since_an_earlier_record_is_the_servers_own() {
    let look = with(&[segment(0)]);
    assert_eq!(created(&generic(1), true, &server(&[]), &look), (vec![How::Claim], vec![]));
    let before = Claim { before: vec![0], ..generic(1) };
    assert_eq!(created(&before, true, &server(&[0]), &look), (vec![], vec![]));
}

#[test]
fn a_header_with_pid_and_data_directory_needs_no_other_proof() {
    let mut look = with(&[Segment { ctime: 1, ..segment(0) }]);
    look.change(|look| look.headers.insert(0, main_header(SERVER.pid, 0, DATA)));
    assert_eq!(created(&claim(1), false, &server(&[]), &look), (vec![How::Header], vec![]));
    look.change(|look| look.headers.insert(0, main_header(SERVER.pid + 1, 0, DATA)));
    assert_eq!(created(&claim(1), false, &server(&[]), &look), (vec![], vec![0]));
}

#[test]
fn what_bears_the_pid_and_is_another_users_is_not_claimed() {
    let look = with(&[Segment { creator_uid: OTHER_UID, ..segment(0) }]);
    assert_eq!(created(&claim(1), true, &server(&[0]), &look), (vec![], vec![]));
}

#[test]
fn what_a_living_descendant_made_and_has_attached_is_the_servers() {
    let made = Segment { creator_pid: BACKEND.pid, ..segment(3) };
    let foreign = Segment { creator_uid: OTHER_UID, ..made.clone() };
    let backend = |ids: &[i32]| Member { process: BACKEND, ..server(ids) };
    let story = Story::of(claim(1));
    let below = |segment: &Segment, members: &[Member]| {
        let look = with(std::slice::from_ref(segment));
        living::created_below(&story.book, &claim(1), members, &look)
    };
    let found = below(&made, &[backend(&[3])]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].how, found[0].creator), (How::Watch, Some(BACKEND)));
    assert!(below(&made, &[backend(&[])]).is_empty(), "its number may have come round");
    assert!(below(&made, &[]).is_empty(), "its creator is dead");
    assert!(below(&foreign, &[backend(&[3])]).is_empty());
    // One that has become another user, as a worker of a root server does.
    let story = Story::of(Claim { uids: vec![0], ..claim(1) });
    let by_root = Claim { uids: vec![0], ..claim(1) };
    let mut look = with(std::slice::from_ref(&made));
    let found = living::created_below(&story.book, &by_root, &[backend(&[3])], &look);
    assert_eq!(found, [], "nobody saw it as that user");
    look.change(|look| look.processes = Table::Whole(vec![process(BACKEND.pid, BACKEND.start)]));
    let found = living::created_below(&story.book, &by_root, &[backend(&[3])], &look);
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_attached_and_not_recorded_is_used_and_said_once() {
    let mut story = Story::of(claim(1)).object(1, Role::Main, shm(&segment(0)));
    let mut look = with(&[segment(0), segment(1)]);
    look.change(|look| look.files = files(vec![file("theirs", 7)]));
    let holds = vec![
        Mapped::Segment(0),
        Mapped::Segment(1),
        Mapped::File(file("theirs", 7).file),
        Mapped::File(file("elsewhere", 8).file),
    ];
    let member = Member { holds: Some(holds), ..server(&[]) };
    let used = living::used(&story.book, 1, &member, &look);
    assert_eq!(used, [shm(&segment(1)), posix(&file("theirs", 7))]);
    for identity in used {
        story.tell(None, Record::Used { run: 1, identity }).unwrap();
    }
    assert!(living::used(&story.book, 1, &member, &look).is_empty());
}
