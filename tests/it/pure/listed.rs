//! What the server's own lists name: the control segment, what that lists, in both kinds of memory
//! and both layouts, and what should be listed and is not.

use shmwarden::attribute::{self, Doubt, Suspect, controls_wanted, headers_wanted};
use shmwarden::ledger::record::{Claim, End, How, Record, Role};
use shmwarden::object::{Birth, Identity, Segment, ShmFile};
use shmwarden::snapshot::{Mapped, Process, Seen, Snapshot, Table};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::{MODE_DEST, Row};

use super::make::{
    CONTROL_HANDLE, Change, DATA, DYNAMIC_HANDLE, OTHER_UID, SERVER, claim, control_list, files,
    generic, look, main_header, posix, posix_of, process, row, seconds, segment, shm, sysv_of,
};
use super::story::{Story, attributed, would_remove};

/// A server of which nothing but its main segment was recorded before it was killed.
fn only_main() -> Story {
    Story::of(claim(1)).object(1, Role::Main, shm(&segment(0))).end(1, End::Signal(9))
}

fn with_main(control: u32) -> Snapshot {
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, control, DATA))].into());
    look
}

/// A segment that a backend made which has ended.
fn by_backend(handle: u32, id: i32) -> Segment {
    Segment { creator_pid: 4999, ..sysv_of(handle, id) }
}

fn roles_in(story: &Story) -> Vec<(Role, Identity)> {
    let objects = story.book.open_objects();
    objects.map(|object| (object.role, object.identity.clone())).collect()
}

#[test]
fn posix_dynamic_shared_memory_is_found_through_the_header_and_the_list() {
    for (major, wide) in [(10, false), (13, false), (14, true), (18, true)] {
        let (control, dynamic) = (posix_of(CONTROL_HANDLE), posix_of(DYNAMIC_HANDLE));
        let story = Story::of(Claim { major: Some(major), ..claim(1) })
            .object(1, Role::Main, shm(&segment(0)))
            .end(1, End::Signal(9));
        let mut look = with_main(CONTROL_HANDLE);
        look.change(|look| look.files = files(vec![dynamic.clone(), control.clone(), posix_of(2)]));
        look.change(|look| {
            look.controls = vec![(posix(&control), control_list(wide, &[DYNAMIC_HANDLE]))]
        });
        let (story, _) = attributed(story, &look);
        let expected = [
            (Role::Main, shm(&segment(0))),
            (Role::Control, posix(&control)),
            (Role::Dynamic, posix(&dynamic)),
        ];
        assert_eq!(roles_in(&story), expected, "{major}");
        assert_eq!(story.book.objects[&3].how, How::Listed);
    }
}

#[test]
fn system_v_dynamic_shared_memory_is_found_by_the_keys_of_the_handles() {
    for wide in [false, true] {
        let major = Some(if wide { 15 } else { 12 });
        let (control, dynamic) = (sysv_of(CONTROL_HANDLE, 1), by_backend(DYNAMIC_HANDLE, 2));
        let story = Story::of(Claim { major, ..claim(1) })
            .object(1, Role::Main, shm(&segment(0)))
            .end(1, End::Signal(9));
        let mut look = with_main(CONTROL_HANDLE);
        look.change(|look| {
            [row(&dynamic), row(&control)].into_iter().for_each(|row| look.segments.add(row))
        });
        look.change(|look| look.headers.insert(1, control_list(wide, &[DYNAMIC_HANDLE])));
        look.change(|look| {
            look.controls = vec![(shm(&control), control_list(wide, &[DYNAMIC_HANDLE]))]
        });
        let removed = would_remove(&story.book, &look);
        assert_eq!(removed, [shm(&dynamic), shm(&control), shm(&segment(0))]);
    }
}

#[test]
fn a_control_segment_that_was_recorded_before_its_role_was_known_is_still_a_list() {
    // Both bear the postmaster's pid, and launcher and server were killed before a look into them.
    let (control, dynamic) = (sysv_of(CONTROL_HANDLE, 1), by_backend(DYNAMIC_HANDLE, 2));
    let recorded = Story::of(claim(1)).object(1, Role::Other, shm(&segment(0))).object(
        2,
        Role::Other,
        shm(&control),
    );
    let mut look = with_main(CONTROL_HANDLE);
    look.change(|look| {
        [row(&control), row(&dynamic)].into_iter().for_each(|row| look.segments.add(row))
    });
    look.change(|look| look.headers.insert(1, control_list(true, &[DYNAMIC_HANDLE])));
    look.change(|look| {
        look.controls = vec![(shm(&control), control_list(true, &[DYNAMIC_HANDLE]))]
    });
    for story in [recorded, Story::of(claim(1))] {
        let removed = would_remove(&story.book, &look);
        assert_eq!(removed, [shm(&dynamic), shm(&control), shm(&segment(0))]);
    }
}

#[test]
fn a_list_names_objects_of_its_own_kind_only() {
    // A bystander of the same user has a key that equals the handle of a listed file.
    let (control, dynamic) = (posix_of(CONTROL_HANDLE), posix_of(DYNAMIC_HANDLE));
    let bystander = by_backend(DYNAMIC_HANDLE, 5);
    let mut look = with_main(CONTROL_HANDLE);
    look.change(|look| look.segments.add(row(&bystander)));
    look.change(|look| look.files = files(vec![control.clone(), dynamic.clone()]));
    look.change(|look| {
        look.controls = vec![(posix(&control), control_list(true, &[DYNAMIC_HANDLE]))]
    });
    let removed = would_remove(&only_main().book, &look);
    assert_eq!(removed, [posix(&dynamic), posix(&control), shm(&segment(0))]);
}

#[test]
fn what_is_listed_and_anothers_is_a_suspect_and_no_object() {
    let theirs = ShmFile { uid: OTHER_UID, ..posix_of(CONTROL_HANDLE) };
    let mut look = with_main(CONTROL_HANDLE);
    look.change(|look| look.files = files(vec![theirs.clone()]));
    let their_segment = Segment { creator_uid: OTHER_UID, ..sysv_of(CONTROL_HANDLE, 4) };
    look.change(|look| look.segments.add(row(&their_segment)));
    let (found, suspects) = attribute::after_death(&only_main().book, &look);
    assert_eq!(found, []);
    let suspect = |identity| Suspect { run: 1, identity, doubt: Doubt::Foreign };
    assert_eq!(suspects, [suspect(posix(&theirs)), suspect(shm(&their_segment))]);
    assert_eq!(would_remove(&only_main().book, &look), []);
}

/// Whoever attached the segment may have written it; its creator is the kernel's word.
#[test]
fn a_header_that_bears_another_pid_than_its_segments_creator_leads_to_no_list() {
    let control = posix_of(CONTROL_HANDLE);
    let found = |pid| {
        let mut look = with_main(CONTROL_HANDLE);
        look.change(|look| look.headers = [(0, main_header(pid, CONTROL_HANDLE, DATA))].into());
        look.change(|look| look.files = files(vec![control.clone()]));
        attribute::after_death(&only_main().book, &look).0.len()
    };
    assert_eq!((found(SERVER.pid), found(SERVER.pid + 1)), (1, 0));
}

#[test]
fn a_header_without_a_handle_lists_nothing() {
    let mut look = with_main(0);
    look.change(|look| look.files = files(vec![posix_of(0)]));
    let private = Segment { key: shmwarden::object::Key(0), ..segment(4) };
    look.change(|look| look.segments.add(row(&private)));
    let (found, suspects) = attribute::after_death(&only_main().book, &look);
    assert_eq!(
        (found.len(), suspects.iter().filter(|s| s.doubt == Doubt::Foreign).count()),
        (0, 0)
    );
}

#[test]
fn a_list_that_names_handle_0_names_no_private_segment() {
    let control = posix_of(CONTROL_HANDLE);
    let private = Segment { key: shmwarden::object::Key(0), ..by_backend(2, 4) };
    let story = only_main().object(2, Role::Control, posix(&control));
    let mut look = with_main(CONTROL_HANDLE);
    look.change(|look| look.files = files(vec![control.clone()]));
    look.change(|look| look.segments.add(row(&private)));
    look.change(|look| look.controls = vec![(posix(&control), control_list(true, &[0]))]);
    let removed = would_remove(&story.book, &look);
    assert_eq!(removed, [posix(&control), shm(&segment(0))]);
}

#[test]
fn a_segment_becomes_the_main_one_by_a_header_that_names_its_creator() {
    let story = Story::of(claim(1)).object(1, Role::Other, shm(&segment(0)));
    let role = |pid| {
        let mut look = with_main(0);
        look.change(|look| look.headers = [(0, main_header(pid, 0, DATA))].into());
        attribute::roles(&story.book, &look).iter().map(|seen| seen.role).collect::<Vec<_>>()
    };
    assert_eq!(role(SERVER.pid), [Role::Main]);
    assert_eq!(role(SERVER.pid + 1), []);
}

#[test]
fn what_a_header_may_name_is_read_before_anything_is_judged() {
    let story = Story::of(claim(1)).object(1, Role::Other, shm(&segment(0)));
    let mut look = with_main(0);
    look.change(|look| look.headers.clear());
    look.change(|look| look.segments.add(row(&segment(1))));
    assert_eq!(headers_wanted(&story.book, &look), [0, 1]);
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    assert_eq!(headers_wanted(&story.book, &look), [1], "never attached where others are");
    look.change(|look| look.headers.insert(1, vec![]));
    assert_eq!(headers_wanted(&story.book, &look), Vec::<i32>::new());
}

#[test]
fn a_control_segment_is_read_where_it_is_the_recorded_one_and_unattached() {
    let (file, segment_of) = (posix_of(CONTROL_HANDLE), sysv_of(CONTROL_HANDLE, 1));
    let story = only_main().object(2, Role::Control, posix(&file)).object(
        3,
        Role::Control,
        shm(&segment_of),
    );
    let mut look = look();
    look.change(|look| look.files = files(vec![file.clone()]));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment_of)]));
    assert_eq!(controls_wanted(&story.book, &look), [posix(&file), shm(&segment_of)]);
    look.change(|look| look.files.rows_mut()[0].identity.birth = super::make::LATER);
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    assert_eq!(controls_wanted(&story.book, &look), []);
}

#[test]
fn a_control_segment_whose_id_is_anothers_by_now_is_not_read() {
    let control = sysv_of(CONTROL_HANDLE, 1);
    let story = only_main().object(2, Role::Control, shm(&control));
    let mut look = look();
    look.change(|look| {
        look.segments = Table::Whole(vec![Row {
            perm: IpcPerm { key: 0x1234, ..row(&control).perm },
            ctime: control.ctime + 60,
            ..row(&control)
        }])
    });
    assert_eq!(controls_wanted(&story.book, &look), []);
}

#[test]
fn a_list_under_an_id_that_is_anothers_by_now_is_not_followed() {
    // Another server of the same user, dead too: its list is not ours to follow.
    let (control, theirs) = (sysv_of(CONTROL_HANDLE, 1), by_backend(DYNAMIC_HANDLE, 2));
    let story = only_main().object(2, Role::Control, shm(&control));
    let mut look = with_main(0);
    look.change(|look| look.segments.add(row(&theirs)));
    look.change(|look| {
        look.segments.add(Row {
            perm: IpcPerm { key: 0x1234, ..row(&control).perm },
            ctime: control.ctime + 60,
            ..row(&control)
        })
    });
    look.change(|look| {
        look.controls = vec![(shm(&control), control_list(true, &[DYNAMIC_HANDLE]))]
    });
    assert!(!would_remove(&story.book, &look).contains(&shm(&theirs)));

    let mut look = with_main(CONTROL_HANDLE);
    look.change(|look| look.segments.rows_mut()[0].ctime += 60);
    look.change(|look| look.segments.add(row(&control)));
    assert!(!would_remove(&only_main().book, &look).contains(&shm(&control)));
}

/// Suspects of a crashed server beside these bystanders.
fn suspected(files: Vec<ShmFile>, rows: Vec<Row>) -> Vec<Identity> {
    let story = only_main().object(2, Role::Control, shm(&sysv_of(CONTROL_HANDLE, 1)));
    let mut look = with_main(0);
    look.change(|look| look.files = super::make::files(files));
    look.change(|look| rows.into_iter().for_each(|row| look.segments.add(row)));
    let (found, suspects) = attribute::after_death(&story.book, &look);
    assert_eq!(found, []);
    suspects.into_iter().map(|suspect| suspect.identity).collect()
}

#[test]
fn what_looks_like_an_unlisted_dynamic_segment_is_only_a_suspect() {
    let at = |after| ShmFile { birth: Birth::At(seconds(after), 0), ..posix_of(8) };
    assert_eq!(suspected(vec![at(4)], vec![]), [posix(&at(4))]);
    let theirs = ShmFile { uid: OTHER_UID, ..at(4) };
    let other_name = ShmFile { name: super::make::bytes("PostgreSQL.x"), ..at(4) };
    for file in [theirs, other_name, at(-100), at(500)] {
        assert_eq!(suspected(vec![file], vec![]), []);
    }
    let made = Segment { ctime: seconds(4), ..by_backend(8, 7) };
    assert_eq!(suspected(vec![], vec![row(&made)]), [shm(&made)]);
    let attached = Row { nattch: 1, ..row(&made) };
    let dest = Row { perm: IpcPerm { mode: MODE_DEST, ..row(&made).perm }, ..row(&made) };
    let private = Row { perm: IpcPerm { key: 0, ..row(&made).perm }, ..row(&made) };
    let invisible = Row { creator_pid: 0, ..row(&made) };
    for row in [attached, dest, private, invisible] {
        assert_eq!(suspected(vec![], vec![row]), []);
    }
}

#[test]
fn a_segment_whose_creator_lives_is_no_suspect() {
    let made = Segment { ctime: seconds(4), ..by_backend(8, 7) };
    let story = only_main().object(2, Role::Control, shm(&sysv_of(CONTROL_HANDLE, 1)));
    let mut look = with_main(0);
    look.change(|look| look.segments.add(row(&made)));
    assert_eq!(attribute::after_death(&story.book, &look).1.len(), 1);
    look.change(|look| look.processes = Table::Whole(vec![process(made.creator_pid, 2000)]));
    assert_eq!(attribute::after_death(&story.book, &look).1, []);
}

#[test]
fn a_mapped_file_is_no_suspect_and_a_clean_or_other_server_has_none() {
    let file = ShmFile { birth: Birth::At(seconds(4), 0), ..posix_of(8) };
    let mut look = with_main(0);
    look.change(|look| look.files = files(vec![file.clone()]));
    let count = |story: &Story, look: &Snapshot| attribute::after_death(&story.book, look).1.len();
    assert_eq!(count(&only_main(), &look), 1);
    let clean = Story::of(claim(1)).end(1, End::Exit(0));
    let other = Story::of(generic(1)).end(1, End::Signal(9));
    assert_eq!((count(&clean, &look), count(&other, &look)), (0, 0));
    look.change(|look| {
        look.processes = Table::Whole(vec![Process {
            maps: Some(Seen::Here(vec![(Mapped::File(file.file), 1)])),
            ..process(8000, 2000)
        }])
    });
    assert_eq!(count(&only_main(), &look), 0);
}

#[test]
fn what_was_begun_and_never_ended_goes_on_from_where_it_stands() {
    let reason = String::new();
    let begun = only_main().then(Record::Intent { object: 1, reason });
    assert_eq!(would_remove(&begun.book, &with_main(0)), [shm(&segment(0))]);
    let mut gone = with_main(0);
    gone.change(|look| look.segments = Table::Whole(vec![]));
    assert_eq!(would_remove(&begun.book, &gone), []);
}
