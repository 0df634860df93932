//! Why an object is kept: a test for each reason, with how much of the instance it keeps.

use shmwarden::judge::{self, Life, Policy, Reason};
use shmwarden::ledger::record::{Claim, End, Engine, How, ObjectSeen, Record, Role};
use shmwarden::object::{FileRef, Identity, Key, ProcessRef, Segment};
use shmwarden::snapshot::opened::Opened;
use shmwarden::snapshot::{Mapped, Process, Seen, Sight, Table};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::{MODE_DEST, Row};

use super::make::{
    Change, OTHER_UID, SERVER, claim, closed, file, files, generic, here, in_boot, in_ipc, look,
    posix, postgres, process, reaped, row, run, seen, segment, shm,
};
use super::story::{
    Story, codes_of_suspects, crashed, crashed_as, reason, reason_among, removed, settle,
    would_remove,
};

fn with_cleaning() -> Policy {
    Policy { include_clean: true, ..Policy::default() }
}

/// A process that maps this file.
fn mapper(of: FileRef) -> Process {
    Process { maps: Some(Seen::Here(vec![(Mapped::File(of), 1)])), ..process(8000, 2000) }
}

#[test]
fn live_keeps_everything_while_the_server_lives() {
    let mut crashed = crashed_as(claim(1), End::Unknown);
    crashed
        .look
        .change(|look| look.processes = Table::Whole(vec![postgres(SERVER.pid, SERVER.start)]));
    assert_eq!(crashed.code_of_all(), "live");
}

#[test]
fn orphan_lives_keeps_everything_while_a_process_of_the_server_is_left() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.processes = Table::Whole(vec![postgres(4800, 2000)]));
    assert_eq!(crashed.code_of_all(), "orphan-lives");
}

#[test]
fn unseen_keeps_everything_where_the_life_cannot_be_judged() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.data_dirs[0].pid_file = Seen::Denied);
    assert_eq!(crashed.code_of_all(), "unseen");
}

#[test]
fn other_boot_keeps_everything_of_a_ledger_that_means_nothing_any_more() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.place = in_boot("second"));
    assert_eq!(crashed.code_of_all(), "other-boot");
}

#[test]
fn other_ipc_namespace_keeps_the_segments_and_what_they_list() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.place = in_ipc("id:99"));
    assert_eq!(crashed.reason(1), Some(Reason::OtherIpcNamespace));
    assert!(
        would_remove(&crashed.story.book, &crashed.look)
            .iter()
            .all(|identity| { matches!(identity, Identity::Posix(_)) })
    );
}

#[test]
fn an_object_of_another_boot_is_kept_whatever_was_said_of_the_life() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.place = in_boot("second"));
    let (book, dead) = (&crashed.story.book, Life::Dead(vec![]));
    let verdicts = judge::decide(book, &crashed.look, &dead, &[], &with_cleaning());
    assert_eq!(removed(&verdicts), []);
    assert_eq!(reason_among(&verdicts, 1), Some(Reason::OtherBoot));
}

#[test]
fn changed_keeps_what_bears_the_number_now_and_does_not_stop_the_rest() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.files.rows_mut()[1].identity.birth = super::make::LATER);
    assert!(matches!(crashed.reason(3), Some(Reason::Changed(_))));
    assert_eq!(crashed.reason(2), None);
}

#[test]
fn attached_keeps_everything_though_one_object_alone_is_attached() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.segments.rows_mut()[0].nattch = 2);
    assert_eq!(crashed.reason(1), Some(Reason::Attached(2)));
    assert!(matches!(crashed.reason(2), Some(Reason::InstanceHeld(_))));
    assert!(matches!(crashed.reason(3), Some(Reason::InstanceHeld(_))));
}

#[test]
fn mapped_keeps_everything_though_one_file_alone_is_mapped() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.processes = Table::Whole(vec![mapper(crashed.dynamic.file)]));
    assert!(matches!(crashed.reason(3), Some(Reason::Mapped(_))));
    assert!(matches!(crashed.reason(2), Some(Reason::InstanceHeld(_))));
    assert!(matches!(crashed.reason(1), Some(Reason::InstanceHeld(_))));
}

#[test]
fn dest_keeps_everything_while_a_destroyed_segment_is_still_attached() {
    let mut crashed = crashed();
    crashed.look.change(|look| {
        look.segments.rows_mut()[0] = Row {
            perm: IpcPerm { key: 0, mode: 0o600 | MODE_DEST, ..row(&crashed.main).perm },
            nattch: 1,
            ..row(&crashed.main)
        }
    });
    assert_eq!(crashed.reason(1), Some(Reason::Dest));
    assert!(matches!(crashed.reason(3), Some(Reason::InstanceHeld(_))));
}

#[test]
fn perhaps_mapped_keeps_a_file_while_a_process_of_its_user_may_not_be_looked_into() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    look.change(|look| look.processes = Table::Whole(vec![closed(8000, "gpg-agent")]));
    let kept = reason(&story.book, &look, 1);
    assert!(matches!(kept, Some(Reason::PerhapsMapped(holder)) if holder.process.pid == 8000));
    look.change(|look| look.processes.rows_mut()[0].maps = None);
    assert!(reason(&story.book, &look, 1).is_some());
    look.change(|look| look.processes.rows_mut()[0].uids = Some([OTHER_UID; 4]));
    assert_eq!(reason(&story.book, &look, 1), None);
}

#[test]
fn a_file_may_be_mapped_by_whoever_is_hidden_or_elsewhere_and_by_closed_ones_whom_it_lets_in() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    let with = |mode: u32, sight, processes: Vec<Process>| {
        let mut look = look();
        look.change(|look| look.files = files(vec![file("arena", 9)]));
        look.change(|look| look.files.rows_mut()[0].facts.mode = 0o100_000 | mode);
        look.change(|look| (look.sight, look.processes) = (sight, Table::Whole(processes)));
        reason(&story.book, &look, 1).map(|reason| reason.code())
    };
    let stranger = || vec![Process { uids: Some([OTHER_UID; 4]), ..closed(8000, "x") }];
    assert_eq!(with(0o600, Sight::Everybody, stranger()), None);
    for mode in [0o640, 0o604, 0o620, 0o602] {
        assert_eq!(with(mode, Sight::Everybody, stranger()), Some("perhaps-mapped"), "{mode:o}");
        assert_eq!(with(mode, Sight::Everybody, vec![]), None, "{mode:o}");
    }
    // The same user may be in another container, or be hidden from itself.
    for mode in [0o600, 0o640] {
        assert_eq!(with(mode, Sight::Namespace, vec![]), Some("unseen"), "{mode:o}");
        assert_eq!(with(mode, Sight::Part, vec![]), Some("unseen"), "{mode:o}");
    }
}

/// Strangers elsewhere are none of the instance, and nothing that descends from a server leaves
/// its PID namespace; but what `/proc` hides may descend from it.
#[test]
fn a_file_that_somebody_elsewhere_may_use_does_not_keep_the_rest_and_hidden_survivors_do() {
    let code = |engine: Claim, sight| {
        let story = Story::of(engine)
            .object(1, Role::Other, posix(&file("arena", 9)))
            .object(2, Role::Other, shm(&segment(7)))
            .end(1, End::Signal(9));
        let mut look = look();
        look.change(|look| look.files = files(vec![file("arena", 9)]));
        look.change(|look| look.segments = Table::Whole(vec![row(&segment(7))]));
        look.change(|look| look.sight = sight);
        [1, 2].map(|object| reason(&story.book, &look, object).map(|reason| reason.code()))
    };
    assert_eq!(code(generic(1), Sight::Everybody), [None, None]);
    assert_eq!(code(generic(1), Sight::Namespace), [Some("unseen"), None]);
    assert_eq!(code(generic(1), Sight::Part), [Some("unseen"), Some("instance-held")]);
}

#[test]
fn an_unattached_main_segment_tells_of_files_that_nobody_uses_them_whoever_can_be_seen() {
    for sight in [Sight::Everybody, Sight::Namespace, Sight::Part] {
        let mut crashed = crashed();
        crashed.look.change(|look| look.sight = sight);
        assert_eq!(crashed.code_of_all(), "removed", "{sight:?}");
        // Without that proof it takes everybody to be seen.
        crashed.look.change(|look| look.segments.rows_mut()[0].ctime += 1);
        let kept = crashed.reason(3).map(|reason| reason.code());
        assert_eq!(kept.is_some(), sight != Sight::Everybody, "{sight:?}: {kept:?}");
    }
}

#[test]
fn a_process_that_may_not_be_looked_into_is_no_doubt_where_the_main_segment_is_unattached() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.processes = Table::Whole(vec![closed(8000, "gpg-agent")]));
    assert_eq!(crashed.code_of_all(), "removed");
    crashed.look.change(|look| look.segments.rows_mut()[0].ctime += 1);
    assert!(matches!(crashed.reason(3), Some(Reason::PerhapsMapped(_))));
}

#[test]
fn no_segment_but_the_recorded_main_one_of_that_run_and_place_dispels_the_doubt_about_a_file() {
    let doubted = |story: Story, place| {
        let mut look = crashed().look;
        look.change(|look| look.place = place);
        look.change(|look| look.files = files(vec![file("arena", 9)]));
        look.change(|look| look.processes = Table::Whole(vec![closed(8000, "gpg-agent")]));
        let kept = reason(&story.end(1, End::Signal(9)).book, &look, 9);
        matches!(kept, Some(Reason::PerhapsMapped(_)))
    };
    let arena = posix(&file("arena", 9));
    let begun = |role| Story::of(claim(1)).object(1, role, shm(&segment(0)));
    let with = |role| begun(role).object(9, Role::Dynamic, arena.clone());
    assert!(!doubted(with(Role::Main), here()));
    let unlisted = begun(Role::Main).object(9, Role::Other, arena.clone());
    assert!(doubted(unlisted, here()), "what no list of the engine's names");
    assert!(doubted(with(Role::Dynamic), here()));
    assert!(doubted(with(Role::Main), in_ipc("id:99")));
    let of_later_run = ObjectSeen { run: 2, ..seen(9, Role::Dynamic, arena.clone()) };
    let two_runs = Story::of(claim(1))
        .object(1, Role::Main, shm(&segment(0)))
        .end(1, End::Signal(9))
        .then(run(2))
        .then(Record::Claim(claim(2)))
        .then(Record::Object(of_later_run));
    let mut look = crashed().look;
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    look.change(|look| look.processes = Table::Whole(vec![closed(8000, "gpg-agent")]));
    let kept = reason(&two_runs.book, &look, 9);
    assert!(matches!(kept, Some(Reason::PerhapsMapped(_))), "{kept:?}");
    look.change(|look| look.processes.rows_mut()[0].ended = true);
    assert_eq!(reason(&two_runs.book, &look, 9), None);
}

/// What is open is used, mapped or not; so is what somebody has locked, whoever that is.
#[test]
fn open_and_locked_files_of_a_generic_server_stay() {
    let arena = file("arena", 9);
    let story = Story::of(generic(1)).object(1, Role::Other, posix(&arena)).end(1, End::Signal(9));
    let with = |opened: Opened| {
        let mut look = look();
        look.change(|look| look.files = files(vec![arena.clone()]));
        look.change(|look| look.processes = Table::Whole(vec![process(8000, 2000)]));
        look.change(|look| look.processes.rows_mut()[0].maps = Some(Seen::Here(vec![])));
        let asked = [arena.file].into();
        look.change(|look| look.opened = Opened { asked, ..opened });
        reason(&story.book, &look, 1).map(|reason| reason.code())
    };
    assert_eq!(with(Opened::default()), None);
    let by = |file, pid| Opened { by: vec![(file, pid)], ..Opened::default() };
    assert_eq!(with(by(arena.file, 8000)), Some("open"));
    assert_eq!(with(by(file("other", 10).file, 8000)), None);
    assert_eq!(with(by(arena.file, 8001)), None, "it has ended");
    let locked = Opened { locked: vec![arena.file], ..Opened::default() };
    assert_eq!(with(locked), Some("locked"));
    let closed = Opened { closed: vec![8000], ..Opened::default() };
    assert_eq!(with(closed), Some("perhaps-mapped"), "its descriptors may not be read");
}

#[test]
fn instance_held_spans_the_runs_of_a_ledger() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, shm(&segment(0)))
        .end(1, End::Signal(9))
        .then(run(2))
        .then(Record::Claim(generic(2)))
        .object(2, Role::Other, shm(&segment(1)))
        .end(2, End::Signal(9));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0)), row(&segment(1))]));
    assert_eq!(would_remove(&story.book, &look).len(), 2);
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    assert!(matches!(reason(&story.book, &look, 2), Some(Reason::InstanceHeld(_))));
}

#[test]
fn left_clean_keeps_what_is_left_after_status_0_unless_asked() {
    let crashed = crashed_as(claim(1), End::Exit(0));
    assert_eq!(crashed.code_of_all(), "left-clean");
    let (_, verdicts) = settle(&crashed.story.book, &crashed.look, &with_cleaning());
    assert_eq!(removed(&verdicts).len(), 3);
}

#[test]
fn an_end_is_clean_where_the_server_and_its_command_ended_with_status_0() {
    let server = ProcessRef { pid: 4800, start: 2000 };
    let left = |of_server, of_command| {
        let story = Story::of(generic(1))
            .then(Record::Claim(Claim { process: server, ..claim(1) }))
            .object(1, Role::Other, posix(&file("arena", 9)))
            .then(Record::Reaped { run: 1, process: server, end: of_server })
            .then(reaped(1, of_command))
            .then(Record::End { run: 1, end: of_command });
        let mut look = look();
        look.change(|look| look.files = files(vec![file("arena", 9)]));
        reason(&story.book, &look, 1).map(|reason| reason.code())
    };
    assert_eq!(left(End::Exit(0), End::Exit(0)), Some("left-clean"));
    assert_eq!(left(End::Signal(9), End::Exit(0)), None);
    assert_eq!(left(End::Exit(0), End::Exit(1)), None);
}

/// Launcher and server killed together, or a server that was only recorded.
#[test]
fn what_the_next_start_finds_is_left_where_nobody_saw_a_generic_server_end() {
    let private = Segment { key: Key(0), ..segment(1) };
    let recorded = |claim| {
        Story::of(claim)
            .object(1, Role::Other, shm(&segment(0)))
            .object(2, Role::Other, shm(&private))
            .object(3, Role::Other, posix(&file("arena", 9)))
    };
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0)), row(&private)]));
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    let codes = |story: &Story, policy: &Policy| {
        let (_, verdicts) = settle(&story.book, &look, policy);
        [1, 2, 3].map(|at| reason_among(&verdicts, at).map_or("removed", |reason| reason.code()))
    };
    let (usual, asked) = (Policy::default(), with_cleaning());
    let left = ["left-unseen", "removed", "left-unseen"];
    let all = ["removed"; 3];
    assert_eq!(codes(&recorded(generic(1)), &usual), left);
    assert_eq!(codes(&recorded(generic(1)), &asked), all);
    assert_eq!(codes(&recorded(generic(1)).end(1, End::Unknown), &usual), left);
    // The next `run` begins.
    let starting = Policy { starting: true, ..Policy::default() };
    assert_eq!(codes(&recorded(generic(1)), &starting), left);
    // What was begun is finished.
    let intent = Record::Intent { object: 1, reason: String::new() };
    let begun = recorded(generic(1)).end(1, End::Unknown).then(intent);
    assert_eq!(codes(&begun, &usual), ["removed", "removed", "left-unseen"]);
    // A launcher that saw how it ended, and did not live to note the end of the run.
    let killed = recorded(generic(1)).then(reaped(1, End::Signal(9)));
    assert_eq!(codes(&killed, &usual), all);
    let ended = recorded(generic(1)).then(reaped(1, End::Exit(0)));
    assert_eq!(codes(&ended, &usual), left);
    // It was seen to crash.
    assert_eq!(codes(&recorded(generic(1)).end(1, End::Signal(9)), &usual), all);
    // What an engine leaves is known.
    let gauss = Claim { engine: Engine::OPENGAUSS, ..generic(1) };
    for claim in [gauss, claim(1)] {
        let engine = claim.engine;
        let codes = codes(&recorded(claim).end(1, End::Unknown), &usual);
        assert!(!codes.contains(&"left-unseen"), "{engine}: {codes:?}");
    }
}

#[test]
fn every_other_end_is_cleaned_up_after() {
    for end in [End::Exit(1), End::Signal(15), End::NotStarted(2), End::Unknown] {
        assert_eq!(crashed_as(claim(1), end).code_of_all(), "removed", "{end}");
    }
}

#[test]
fn a_server_that_leaks_on_a_clean_exit_is_cleaned_up_after_status_0() {
    let gauss = Claim { engine: Engine::OPENGAUSS, ..generic(1) };
    let left = |claim| {
        let story = Story::of(claim).object(1, Role::Other, shm(&segment(0))).end(1, End::Exit(0));
        let mut look = look();
        look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
        reason(&story.book, &look, 1)
    };
    assert_eq!(left(gauss), None);
    assert_eq!(left(generic(1)), Some(Reason::LeftClean));
}

#[test]
fn pid_reused_tells_of_what_may_be_anothers_by_now() {
    let story = Story::of(generic(1));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    let (_, verdicts) = settle(&story.book, &look, &with_cleaning());
    assert_eq!(codes_of_suspects(&verdicts), ["pid-reused"]);
    assert_eq!(removed(&verdicts), []);
    let by_count = ObjectSeen { how: How::ForkCount, ..seen(1, Role::Other, shm(&segment(0))) };
    let story = story.then(Record::Object(by_count));
    assert_eq!(reason(&story.book, &look, 1), Some(Reason::PidReused));
}

#[test]
fn gone_is_noted_and_keeps_nothing() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.files = files(vec![crashed.control.clone()]));
    assert_eq!(crashed.reason(3), Some(Reason::Gone));
    assert_eq!((crashed.reason(2), crashed.reason(1)), (None, None));
}
