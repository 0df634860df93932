//! Never another object under the same number: each part of an identity, changed alone, keeps the
//! object, and nothing else of a row matters.

use shmwarden::judge::{self, Reason};
use shmwarden::ledger::record::{End, Role};
use shmwarden::object::{Birth, FileRef, Identity, ShmFile};
use shmwarden::sys::shm::{MODE_DEST, MODE_LOCKED, Row};

use super::make::{
    Change, GID, LATER, OTHER_UID, UID, bytes, file, files, generic, here, in_boot, in_ipc,
    in_pids, look, posix, row, seconds, segment, shm,
};
use super::story::{Story, reason};
use shmwarden::snapshot::Table;

/// What happens to the recorded, unused segment of a dead server when the kernel shows this row.
fn with_row(change: impl Fn(&mut Row)) -> Option<Reason> {
    let story =
        Story::of(generic(1)).object(1, Role::Other, shm(&segment(0))).end(1, End::Signal(9));
    let mut look = look();
    let mut now = row(&segment(0));
    change(&mut now);
    look.change(|look| look.segments = Table::Whole(vec![now]));
    reason(&story.book, &look, 1)
}

/// What happens to the recorded, unused file of a dead server when `/dev/shm` shows this one.
fn with_file(change: impl Fn(&mut ShmFile)) -> Option<Reason> {
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    let mut look = look();
    let mut now = file("arena", 9);
    change(&mut now);
    look.change(|look| look.files = files(vec![now]));
    reason(&story.book, &look, 1)
}

#[test]
fn a_segment_with_every_part_of_its_identity_is_removed() {
    assert_eq!(with_row(|_| {}), None);
}

#[test]
fn a_segment_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut Row);
    let changes: [(&str, Change); 6] = [
        ("key", |row| row.perm.key += 1),
        ("size", |row| row.bytes += 1),
        ("creator uid", |row| row.perm.creator_uid = OTHER_UID),
        ("creator gid", |row| row.perm.creator_gid = GID + 1),
        ("change time", |row| row.ctime += 1),
        ("creator pid", |row| row.creator_pid += 1),
    ];
    for (what, change) in changes {
        assert_eq!(with_row(change), Some(Reason::Changed(what)));
    }
    assert_eq!(with_row(|row| row.ctime -= 1), Some(Reason::Changed("change time")));
    assert_eq!(with_row(|row| row.creator_pid = 0), Some(Reason::Changed("creator pid")));
    assert_eq!(with_row(|row| row.perm.key = 0), Some(Reason::Changed("key")));
}

#[test]
fn a_segment_of_another_id_says_nothing_of_the_recorded_one() {
    assert_eq!(with_row(|row| row.id += 1), Some(Reason::Gone));
    let other = row(&segment(1));
    let known = segment(0);
    assert_eq!(judge::differs(&known, &other, true), Some("id"));
}

#[test]
fn the_present_owner_and_mode_are_no_part_of_a_segments_identity() {
    let chowned = with_row(|row| {
        (row.perm.uid, row.perm.gid, row.perm.mode) = (OTHER_UID, GID + 1, 0o666 | MODE_LOCKED);
        row.last_pid = 1;
    });
    assert_eq!(chowned, None);
}

#[test]
fn a_segment_that_is_marked_for_destruction_has_lost_its_key_and_nothing_else() {
    let dest =
        with_row(|row| (row.perm.key, row.perm.mode, row.nattch) = (0, 0o600 | MODE_DEST, 1));
    assert_eq!(dest, Some(Reason::Dest));
    let other =
        with_row(|row| (row.perm.key, row.perm.mode, row.bytes) = (0, 0o600 | MODE_DEST, 1));
    assert_eq!(other, Some(Reason::Changed("size")));
}

#[test]
fn the_creators_pid_counts_only_within_its_pid_namespace() {
    let story = Story::of(super::make::claim(1))
        .object(1, Role::Main, shm(&segment(0)))
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.place = in_pids("id:99"));
    look.change(|look| {
        look.segments = Table::Whole(vec![Row { creator_pid: 0, ..row(&segment(0)) }])
    });
    look.change(|look| {
        look.headers = [(0, super::make::main_header(4711, 0, super::make::DATA))].into()
    });
    assert_eq!(reason(&story.book, &look, 1), None);
    look.change(|look| look.place = here());
    assert_eq!(reason(&story.book, &look, 1), Some(Reason::Changed("creator pid")));
}

#[test]
fn a_segment_of_another_ipc_namespace_or_boot_is_kept_though_everything_fits() {
    let story =
        Story::of(generic(1)).object(1, Role::Other, shm(&segment(0))).end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.place = in_ipc("id:99"));
    assert_eq!(reason(&story.book, &look, 1), Some(Reason::OtherIpcNamespace));
    look.change(|look| look.place = in_boot("second"));
    assert_eq!(reason(&story.book, &look, 1), Some(Reason::OtherBoot));
}

#[test]
fn a_file_with_every_part_of_its_identity_is_removed_whatever_its_size() {
    assert_eq!(with_file(|file| file.bytes += 4096), None);
}

#[test]
fn a_file_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut ShmFile);
    let changes: [Change; 5] = [
        |file| file.file.dev += 1,
        |file| file.file.ino += 1,
        |file| file.birth = Birth::At(seconds(11), 500_000_000),
        |file| file.birth = LATER,
        |file| file.uid = OTHER_UID,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let found = with_file(change);
        assert!(matches!(found, Some(Reason::Changed(_))), "{index}: {found:?}");
    }
    assert_eq!(with_file(|file| file.name = bytes("other")), Some(Reason::Gone));
}

#[test]
fn a_file_on_another_file_system_is_kept_though_everything_fits() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    for mount in [None, Some("tmpfs:00000000000000bb".to_owned())] {
        let mut look = look();
        look.change(|look| look.place.shm_mount = mount);
        look.change(|look| look.files = files(vec![file("arena", 9)]));
        assert_eq!(reason(&story.book, &look, 1), Some(Reason::OtherMount));
    }
}

#[test]
fn a_file_is_judged_by_its_mount_and_not_by_the_ipc_namespace() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.place = in_ipc("id:99"));
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    assert_eq!(reason(&story.book, &look, 1), None);
}

#[test]
fn the_numbers_of_two_kinds_are_never_the_same() {
    let (a, b) = (shm(&segment(1)), posix(&file("1", 1)));
    assert!(!a.has_number_of(&b) && !b.has_number_of(&a));
    assert!(a.has_number_of(&shm(&segment(1))) && !a.has_number_of(&shm(&segment(2))));
    let elsewhere = ShmFile { mount: "tmpfs:00000000000000bb".to_owned(), ..file("1", 1) };
    assert!(!b.has_number_of(&posix(&elsewhere)));
    let later = ShmFile { file: FileRef { dev: 26, ino: 2 }, uid: UID, ..file("1", 1) };
    assert!(b.has_number_of(&posix(&later)));
}

#[test]
fn a_hostile_name_never_reaches_a_terminal_as_it_is() {
    let hostile =
        ShmFile { name: shmwarden::object::Bytes(b"a\x1b[2J\n\xffb".to_vec()), ..file("x", 1) };
    let told = Identity::Posix(hostile).to_string();
    assert!(!told.contains(['\x1b', '\n']), "{told:?}");
}
