//! Whose is it: what proves that a segment which bears a claimed pid is the claimed process's own,
//! and what does not.

use shmwarden::attribute::{
    self, Doubt, bears_claim, created_by_claimed, headers_wanted, seen_with,
};
use shmwarden::engine::postgres::PidFile;
use shmwarden::ledger::record::{Claim, End, How, ObjectSeen, Record, Role};
use shmwarden::object::{FileRef, ProcessRef, Segment};
use shmwarden::snapshot::{Seen, Snapshot, Table};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::{MODE_DEST, Row};

use super::make::{
    CONTROL_HANDLE, Change, DATA, FORKS, OTHER_UID, SERVER, UID, alive, claim, file, files,
    generic, in_ipc, in_pids, look, main_header, posix, posix_of, process, reaped, row, seen,
    segment, shm,
};
use super::story::Story;

/// A look at a segment that bears the claimed pid and that nobody had seen.
fn unseen_segment() -> Snapshot {
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look
}

fn how(story: &Story, look: &Snapshot) -> Option<How> {
    let (found, suspects) = attribute::after_death(&story.book, look);
    match (found.as_slice(), suspects.as_slice()) {
        ([seen], []) => Some(seen.how),
        ([], [suspect]) if suspect.doubt == Doubt::PidReused => None,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn nothing(story: &Story, look: &Snapshot) {
    assert_eq!(attribute::after_death(&story.book, look), (vec![], vec![]));
}

#[test]
fn that_few_processes_were_forked_since_proves_nothing() {
    let look = unseen_segment();
    assert_eq!(how(&Story::of(generic(1)), &look), None);
    let seen_alive = Story::of(generic(1)).at_forks(FORKS, alive(1));
    assert_eq!(how(&seen_alive, &look), None);
}

#[test]
fn what_nobody_saw_is_of_a_user_that_the_pid_was_seen_with() {
    let of = |uids: &[u32]| Story::of(Claim { uids: uids.to_vec(), ..claim(1) });
    let mut look = unseen_segment();
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, 0, DATA))].into());
    assert_eq!(how(&of(&[UID]), &look), Some(How::Header));
    assert_eq!(how(&of(&[0, UID]), &look), Some(How::Header));
    assert_eq!(how(&of(&[0]), &look), None, "root may have become anybody");
    assert!(seen_with(&Claim { uids: vec![0], ..claim(1) }, 0));
    // Nor is what may be a stranger's attached for a look at its header.
    look.change(|look| look.headers.clear());
    assert_eq!(headers_wanted(&of(&[0]).book, &look), Vec::<i32>::new());
    assert_eq!(headers_wanted(&of(&[0, UID]).book, &look), [0]);
}

/// Versions up to 0.1 recorded segments by the fork count alone.
#[test]
fn what_an_older_version_recorded_by_the_fork_count_needs_another_proof() {
    let by_count = |role| ObjectSeen { how: How::ForkCount, ..seen(1, role, shm(&segment(0))) };
    let story = |role| Story::of(claim(1)).then(Record::Object(by_count(role)));
    let mut look = unseen_segment();
    assert_eq!(attribute::roles(&story(Role::Other).book, &look), []);
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, 0, DATA))].into());
    for role in [Role::Other, Role::Main] {
        let again = attribute::roles(&story(role).book, &look);
        let proven = ObjectSeen { how: How::Header, ..by_count(Role::Main) };
        assert_eq!(again, [proven], "{role:?}");
    }
    let elsewhere = FileRef { ino: DATA.ino + 1, ..DATA };
    look.change(|look| {
        look.headers = [(0, main_header(SERVER.pid, CONTROL_HANDLE, elsewhere))].into()
    });
    look.change(|look| look.files = files(vec![posix_of(CONTROL_HANDLE)]));
    let (found, _) = attribute::after_death(&story(Role::Main).book, &look);
    assert_eq!(found, [], "what another server's header names is not this one's");
}

#[test]
fn a_pid_that_another_process_bears_now_has_come_round() {
    let mut look = unseen_segment();
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start + 1)]));
    assert_eq!(how(&Story::of(generic(1)), &look), None);
}

#[test]
fn a_header_that_names_the_pid_and_the_data_directory_proves_it() {
    let proven = |pid, dev, ino| {
        let mut look = unseen_segment();
        look.change(|look| look.headers = [(0, main_header(pid, 0, FileRef { dev, ino }))].into());
        how(&Story::of(claim(1)), &look)
    };
    assert_eq!(proven(SERVER.pid, DATA.dev, DATA.ino), Some(How::Header));
    assert_eq!(proven(SERVER.pid + 1, DATA.dev, DATA.ino), None);
    assert_eq!(proven(SERVER.pid, DATA.dev + 1, DATA.ino), None);
    assert_eq!(proven(SERVER.pid, DATA.dev, DATA.ino + 1), None);
}

#[test]
fn a_header_proves_nothing_for_a_server_without_a_data_directory() {
    let mut look = unseen_segment();
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, 0, DATA))].into());
    assert_eq!(how(&Story::of(generic(1)), &look), None);
}

#[test]
fn postmaster_pid_proves_it_by_its_first_and_seventh_line_together() {
    let proven = |pid, key, id| {
        let mut look = unseen_segment();
        let segment = Some((key, id));
        look.change(|look| {
            look.data_dirs[0].pid_file = Seen::Here(PidFile { pid, standalone: false, segment })
        });
        how(&Story::of(claim(1)), &look)
    };
    let key = segment(0).key.0;
    assert_eq!(proven(SERVER.pid, key, 0), Some(How::PidFile));
    assert_eq!(proven(SERVER.pid + 1, key, 0), None);
    assert_eq!(proven(SERVER.pid, key + 1, 0), None);
    assert_eq!(proven(SERVER.pid, key, 1), None);
    let mut look = unseen_segment();
    let (pid, segment) = (SERVER.pid, None);
    look.change(|look| {
        look.data_dirs[0].pid_file = Seen::Here(PidFile { pid, standalone: false, segment })
    });
    assert_eq!(how(&Story::of(claim(1)), &look), None);
}

#[test]
fn a_witnessed_end_stops_the_claim_by_pid() {
    for end in [End::Exit(0), End::Exit(1), End::Signal(9), End::NotStarted(2)] {
        nothing(&Story::of(generic(1)).then(reaped(1, end)), &unseen_segment());
        nothing(&Story::of(generic(1)).end(1, end), &unseen_segment());
    }
    let unwitnessed = Story::of(generic(1)).end(1, End::Unknown);
    assert_eq!(how(&unwitnessed, &unseen_segment()), None, "it is reported");
}

#[test]
fn the_end_of_one_claimed_process_leaves_the_claim_of_another() {
    let other = Claim { process: ProcessRef { pid: 4800, start: 2000 }, ..generic(1) };
    let story =
        Story::of(generic(1)).at_forks(FORKS, Record::Claim(other)).then(reaped(1, End::Exit(0)));
    let mut look = unseen_segment();
    look.change(|look| look.segments.add(Row { creator_pid: 4800, ..row(&segment(1)) }));
    let (found, suspects) = attribute::after_death(&story.book, &look);
    assert_eq!((found.len(), suspects.len()), (0, 1));
    assert_eq!(suspects[0].identity, shm(&Segment { creator_pid: 4800, ..segment(1) }));
}

#[test]
fn a_claim_by_pid_counts_only_in_its_own_namespaces() {
    let story = Story::of(generic(1));
    for place in [in_pids("id:99"), in_ipc("id:99"), super::make::in_boot("second")] {
        let look = unseen_segment().with(|look| look.place = place);
        nothing(&story, &look);
    }
}

#[test]
fn no_header_of_a_stranger_is_read_in_another_pid_namespace() {
    // Pids are small in containers, and shmat makes a server that starts refuse to.
    let look = unseen_segment().with(|look| look.place = in_pids("id:99"));
    let story = Story::of(claim(1)).end(1, End::Unknown);
    assert_eq!(headers_wanted(&story.book, &look), Vec::<i32>::new());
}

#[test]
fn what_bore_the_pid_before_the_fork_is_not_ours() {
    let old = Claim { before: vec![0], ..generic(1) };
    nothing(&Story::of(old), &unseen_segment());
}

#[test]
fn the_creators_uid_is_the_servers_own_unless_it_began_as_root() {
    let theirs = Row {
        perm: IpcPerm { creator_uid: OTHER_UID, ..row(&segment(0)).perm },
        ..row(&segment(0))
    };
    let root = |uids: &[u32]| Claim { uids: uids.to_vec(), ..generic(1) };
    assert!(!bears_claim(&root(&[UID]), &theirs));
    assert!(bears_claim(&root(&[UID, OTHER_UID]), &theirs));
    assert!(bears_claim(&root(&[0, UID]), &theirs));
    assert!(bears_claim(&root(&[UID]), &row(&segment(0))));
}

#[test]
fn the_present_owner_of_a_segment_is_no_proof_and_no_obstacle() {
    let given_away =
        Row { perm: IpcPerm { uid: OTHER_UID, ..row(&segment(0)).perm }, ..row(&segment(0)) };
    assert!(bears_claim(&generic(1), &given_away));
    let given_to_us = Row {
        perm: IpcPerm { uid: UID, creator_uid: OTHER_UID, ..row(&segment(0)).perm },
        ..row(&segment(0))
    };
    assert!(!bears_claim(&generic(1), &given_to_us));
}

#[test]
fn a_segment_of_an_invisible_creator_is_nobodys() {
    let invisible = Row { creator_pid: 0, ..row(&segment(0)) };
    assert!(!bears_claim(&generic(1), &invisible));
}

#[test]
fn what_goes_on_the_last_detach_is_left_to_the_kernel() {
    let dest =
        Row { perm: IpcPerm { mode: MODE_DEST, ..row(&segment(0)).perm }, ..row(&segment(0)) };
    assert!(!bears_claim(&generic(1), &dest));
}

#[test]
fn the_last_look_takes_what_bears_the_pid_and_was_not_recorded() {
    let story = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0)));
    let stranger = Row { creator_pid: SERVER.pid + 1, ..row(&segment(2)) };
    let rows = [row(&segment(0)), row(&segment(1)), stranger];
    let run = &story.book.runs[&1];
    let look = |is_there| created_by_claimed(&story.book, run, &rows, How::LastLook, is_there);
    let gone: fn(ProcessRef) -> bool = |_| false;
    assert_eq!(look(gone), []);
    let found = look(|process| process == SERVER);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].object, found[0].how), (2, How::LastLook));
    assert_eq!(found[0].identity, shm(&segment(1)));
}

#[test]
fn what_was_recorded_once_is_not_recorded_again_whatever_became_of_it() {
    let gone = Story::of(generic(1))
        .object(1, Role::Other, shm(&segment(0)))
        .then(Record::Gone { object: 1 });
    nothing(&gone, &unseen_segment());
    let mut grown = file("arena", 9);
    let story = gone.object(2, Role::Other, posix(&grown));
    grown.bytes += 1;
    assert!(attribute::is_recorded(&story.book, &posix(&grown)));
    grown.birth = super::make::LATER;
    assert!(!attribute::is_recorded(&story.book, &posix(&grown)));
}

#[test]
fn a_recorded_segment_with_another_change_time_is_no_further_object() {
    let story = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0)));
    let later = Segment { ctime: segment(0).ctime + 60, ..segment(0) };
    let mut look = unseen_segment();
    look.change(|look| look.segments = Table::Whole(vec![row(&later)]));
    nothing(&story, &look);
}

/// Ids come round, after 65,536 creations on older kernels.
#[test]
fn a_segment_that_came_back_under_the_id_of_one_that_has_gone_is_a_further_object() {
    let story = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0)));
    let story = story.then(Record::Gone { object: 1 });
    let later = Segment { ctime: segment(0).ctime + 60, ..segment(0) };
    let rows = [row(&later)];
    let run = &story.book.runs[&1];
    let found = created_by_claimed(&story.book, run, &rows, How::LastLook, |_| true);
    assert_eq!(found.iter().map(|seen| &seen.identity).collect::<Vec<_>>(), [&shm(&later)]);
    let look = unseen_segment().with(|look| look.segments = Table::Whole(rows.to_vec()));
    let (found, suspects) = attribute::after_death(&story.book, &look);
    assert_eq!((found.len(), suspects.len()), (0, 1));
}

#[test]
fn new_objects_get_the_next_numbers() {
    let story = Story::of(claim(1)).object(7, Role::Other, shm(&segment(9)));
    let mut look = unseen_segment();
    look.change(|look| look.segments.add(row(&segment(1))));
    look.change(|look| {
        look.headers =
            [(0, main_header(SERVER.pid, 0, DATA)), (1, main_header(SERVER.pid, 0, DATA))].into()
    });
    let (found, _) = attribute::after_death(&story.book, &look);
    let numbers: Vec<u64> = found.iter().map(|seen| seen.object).collect();
    assert_eq!(numbers, [8, 9]);
}
