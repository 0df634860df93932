//! What a server's own lists mean for the decision: nothing is removed that is not understood, and
//! no list before what it lists.

use shmwarden::judge::{Policy, Reason};
use shmwarden::ledger::record::{Claim, End, Role};
use shmwarden::object::{Birth, ShmFile};

use super::make::{
    Change, DATA, DYNAMIC_HANDLE, OTHER_UID, SERVER, claim, control_list, listed, look,
    main_header, posix, posix_of, row, seconds, segment, shm,
};
use super::story::{
    IN_ORDER, Story, codes_of_suspects, crashed, crashed_as, reason, reason_among, removed, settle,
};
use shmwarden::snapshot::Table;

fn with_cleaning() -> Policy {
    Policy { include_clean: true, ..Policy::default() }
}

#[test]
fn a_list_is_not_removed_where_what_it_lists_cannot_be_reached() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.place.shm_mount = Some("tmpfs:00000000000000bb".to_owned()));
    crashed.look.change(|look| look.files = Table::Whole(vec![]));
    assert_eq!(crashed.reason(3), Some(Reason::OtherMount));
    assert_eq!(crashed.reason(2), Some(Reason::OtherMount));
    let kept = crashed.reason(1);
    assert!(matches!(kept, Some(Reason::ListedStays(_))), "{kept:?}");
}

#[test]
fn a_main_segment_stays_where_one_dynamic_segment_cannot_be_reached() {
    let mut crashed = crashed();
    let elsewhere = ShmFile { mount: "tmpfs:00000000000000bb".to_owned(), ..posix_of(8) };
    let story = Story::of(claim(1))
        .object(1, Role::Main, shm(&crashed.main))
        .object(2, Role::Dynamic, posix(&elsewhere))
        .end(1, End::Signal(9));
    crashed.look.change(|look| look.headers = [(0, main_header(SERVER.pid, 0, DATA))].into());
    let kept = reason(&story.book, &crashed.look, 1);
    assert!(matches!(kept, Some(Reason::ListedStays(_))), "{kept:?}");
}

#[test]
fn a_list_that_nobody_recorded_is_not_lost_with_another_dev_shm_either() {
    let crashed = crashed();
    let story =
        Story::of(claim(1)).object(1, Role::Main, shm(&crashed.main)).end(1, End::Signal(9));
    let mut look = crashed.look;
    look.change(|look| look.files = Table::Whole(vec![]));
    look.change(|look| look.controls.clear());
    look.change(|look| look.place.shm_mount = None);
    let kept = reason(&story.book, &look, 1);
    assert!(matches!(kept, Some(Reason::UnknownLayout(_))), "{kept:?}");
}

#[test]
fn unknown_layout_keeps_everything_of_a_major_that_is_not_known() {
    for major in [Some(9), Some(19)] {
        let claim = Claim { major, ..claim(1) };
        assert_eq!(crashed_as(claim, End::Signal(9)).code_of_all(), "unknown-layout");
    }
    let mut crashed = crashed_as(Claim { major: None, ..claim(1) }, End::Signal(9));
    assert_eq!(crashed.code_of_all(), "removed", "its data directory tells the major");
    crashed.look.change(|look| look.data_dirs[0].major = None);
    assert_eq!(crashed.code_of_all(), "unknown-layout");
}

#[test]
fn unknown_layout_keeps_a_main_segment_alone_of_a_major_that_is_not_known() {
    let claim = Claim { major: Some(19), ..claim(1) };
    let story = Story::of(claim).object(1, Role::Main, shm(&segment(0))).end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, 0, DATA))].into());
    let kept = reason(&story.book, &look, 1);
    assert!(matches!(kept, Some(Reason::UnknownLayout(_))), "{kept:?}");
}

#[test]
fn unknown_layout_keeps_everything_where_a_header_could_not_be_read() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.headers.clear());
    assert_eq!(crashed.code_of_all(), "unknown-layout");
}

#[test]
fn unknown_layout_keeps_everything_where_a_main_segment_does_not_begin_as_one_does() {
    let mut crashed = crashed();
    let story =
        Story::of(claim(1)).object(1, Role::Main, shm(&crashed.main)).end(1, End::Signal(9));
    crashed.look.change(|look| look.headers.insert(0, vec![0x55; 56]));
    let kept = reason(&story.book, &crashed.look, 1);
    assert!(matches!(kept, Some(Reason::UnknownLayout(_))), "{kept:?}");
}

#[test]
fn unknown_layout_keeps_everything_where_the_control_segment_is_not_understood() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.controls[0].1[0] ^= 1);
    assert_eq!(crashed.code_of_all(), "unknown-layout");
    crashed.look.change(|look| look.controls.clear());
    assert_eq!(crashed.code_of_all(), "unknown-layout");
}

#[test]
fn unlisted_and_foreign_objects_are_told_and_never_removed() {
    let mut crashed = crashed();
    crashed.look.change(|look| {
        look.files
            .add(listed(ShmFile { birth: Birth::At(seconds(4), 0), ..posix_of(4_000_000_002) }))
    });
    let (_, verdicts) = settle(&crashed.story.book, &crashed.look, &with_cleaning());
    assert_eq!(codes_of_suspects(&verdicts), ["unlisted"]);
    assert_eq!(removed(&verdicts).len(), 3);

    crashed
        .look
        .change(|look| look.controls[0].1 = control_list(true, &[DYNAMIC_HANDLE, 4_000_000_002]));
    crashed.look.change(|look| look.files.rows_mut()[2].identity.uid = OTHER_UID);
    let (_, verdicts) = settle(&crashed.story.book, &crashed.look, &with_cleaning());
    assert_eq!(codes_of_suspects(&verdicts), ["foreign"]);
    assert_eq!(removed(&verdicts), []);
    for object in IN_ORDER {
        let kept = reason_among(&verdicts, object);
        assert!(matches!(kept, Some(Reason::ListedStays(_))), "{object}: {kept:?}");
    }
}
