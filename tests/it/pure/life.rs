//! Does anything of the instance live? Whatever is left of it, wherever it is seen, keeps
//! everything, and what cannot be seen counts as alive.

use shmwarden::engine::postgres::PidFile;
use shmwarden::judge::life::judge;
use shmwarden::judge::{Evidence, Life, Policy};
use shmwarden::ledger::record::{Claim, DataDir, End, Engine, ObjectSeen, Record, Role};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::snapshot::{Process, Seen, Snapshot, Table};

use super::make::{
    Change, DATA, OTHER_UID, SERVER, UID, bytes, claim, closed, file_id, generic, header, in_boot,
    look, postgres, process, run, seen, segment, shm,
};
use super::story::{Story, crashed};

fn life_with(claim: Claim, processes: Vec<Process>) -> Life {
    let story = Story::of(claim);
    let look = look().with(|look| look.processes = Table::Whole(processes));
    judge(&story.book, &look, &Policy::default())
}

fn life_with_pid_file(pid_file: Seen<PidFile>, processes: Vec<Process>) -> Life {
    let story = Story::of(claim(1));
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(processes));
    look.change(|look| look.data_dirs[0].pid_file = pid_file);
    judge(&story.book, &look, &Policy::default())
}

fn names(pid: i32) -> Seen<PidFile> {
    let segment = None;
    Seen::Here(PidFile { pid, standalone: false, segment })
}

fn nobody() -> Life {
    Life::Dead(vec![])
}

#[track_caller]
fn left(life: &Life) -> &Evidence {
    let Life::Dead(left) = life else { panic!("{life:?}") };
    assert_eq!(left.len(), 1, "{left:?}");
    &left[0]
}

#[test]
fn a_claimed_process_that_is_there_lives_even_where_the_run_was_noted_to_have_ended() {
    let ended = Story::of(generic(1)).then(Record::End { run: 1, end: End::Exit(0) });
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    let life = judge(&ended.book, &look, &Policy::default());
    assert!(matches!(life, Life::Live(Evidence::Claimed(h)) if h.process == SERVER));
}

#[test]
fn the_claimed_process_of_an_older_run_counts_too() {
    let story = Story::of(generic(1))
        .end(1, End::Unknown)
        .then(run(2))
        .then(Record::Claim(Claim { process: ProcessRef { pid: 9000, start: 9000 }, ..generic(2) }))
        .end(2, End::Signal(9));
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    assert!(matches!(judge(&story.book, &look, &Policy::default()), Life::Live(_)));
}

#[test]
fn another_process_of_the_same_pid_is_not_the_claimed_one() {
    let life = life_with(claim(1), vec![process(SERVER.pid, SERVER.start + 1)]);
    assert_eq!(life, nobody());
}

#[test]
fn a_server_whose_first_thread_has_ended_lives_and_a_full_zombie_does_not() {
    let zombie = |ended| Process {
        state: b'Z',
        ended,
        executable: Seen::Gone,
        cwd: Seen::Gone,
        ..process(SERVER.pid, SERVER.start)
    };
    assert!(matches!(life_with(claim(1), vec![zombie(false)]), Life::Live(_)));
    assert_eq!(life_with(claim(1), vec![zombie(true)]), nobody());
}

#[test]
fn a_claimed_process_that_may_not_be_looked_into_lives() {
    let hidden = Process { process: SERVER, uids: None, ..closed(SERVER.pid, "x") };
    assert!(matches!(life_with(claim(1), vec![hidden]), Life::Live(_)));
}

#[test]
fn a_claimed_process_is_no_less_alive_for_being_exempt() {
    let story = Story::of(generic(1));
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    let policy = Policy { exempt: vec![SERVER.pid], ..Policy::default() };
    assert!(matches!(judge(&story.book, &look, &policy), Life::Live(_)));
}

#[test]
fn a_ledger_of_another_boot_is_void_whoever_bears_its_pids() {
    let story = Story::of(claim(1));
    let mut look = look();
    look.change(|look| look.place = in_boot("second"));
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    assert_eq!(judge(&story.book, &look, &Policy::default()), Life::Void);
}

#[test]
fn claims_of_an_earlier_boot_mean_nothing() {
    let story = Story::of(generic(1)).then(header(in_boot("second")));
    let mut look = look();
    look.change(|look| look.place = in_boot("second"));
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    assert_eq!(judge(&story.book, &look, &Policy::default()), nobody());
}

#[test]
fn postmaster_pid_that_names_a_living_server_of_ours_keeps_it_alive() {
    let later = postgres(9000, 9000);
    let life = life_with_pid_file(names(9000), vec![later.clone()]);
    assert!(matches!(life, Life::Live(Evidence::PidFile(h)) if h.process.pid == 9000));
    // Also one whose program was upgraded, or may not be looked into.
    let upgraded = Process {
        executable: Seen::Here("/usr/lib/postgresql/16/bin/postgres (deleted)".into()),
        ..later
    };
    assert!(matches!(life_with_pid_file(names(9000), vec![upgraded]), Life::Live(_)));
    let hidden = closed(9000, "postgres");
    assert!(matches!(life_with_pid_file(names(9000), vec![hidden]), Life::Live(_)));
}

#[test]
fn postmaster_pid_that_names_no_server_of_ours_says_nothing() {
    let of_another_directory = Process {
        cwd: Seen::Here(file_id(DATA.dev, DATA.ino + 1, "/srv/other")),
        ..postgres(9000, 9000)
    };
    let of_another_user = Process { uids: Some([OTHER_UID; 4]), ..postgres(9000, 9000) };
    let ended = Process { ended: true, ..postgres(9000, 9000) };
    let no_server = process(9000, 9000);
    for process in [of_another_directory, of_another_user, ended, no_server] {
        assert_eq!(life_with_pid_file(names(9000), vec![process]), nobody());
    }
    assert_eq!(life_with_pid_file(names(9000), vec![]), nobody());
}

#[test]
fn postmaster_pid_that_cannot_be_read_counts_as_alive() {
    let life = life_with_pid_file(Seen::Denied, vec![]);
    assert!(matches!(life, Life::Unseen(Evidence::PidFileClosed { .. })), "{life:?}");
}

#[test]
fn what_is_seen_alive_says_more_than_what_cannot_be_seen() {
    let life = life_with_pid_file(Seen::Denied, vec![process(SERVER.pid, SERVER.start)]);
    assert!(matches!(life, Life::Live(_)), "{life:?}");
}

#[test]
fn a_process_of_the_servers_program_in_its_data_directory_is_left_of_it() {
    let life = life_with(claim(1), vec![postgres(9000, 9000)]);
    assert!(matches!(left(&life), Evidence::RunsHere(_)));
}

#[test]
fn neither_the_program_alone_nor_the_directory_alone_makes_a_process_the_servers() {
    let elsewhere = Process {
        cwd: Seen::Here(file_id(DATA.dev, DATA.ino + 1, "/srv/other")),
        ..postgres(9000, 9000)
    };
    let same_inode_elsewhere = Process {
        cwd: Seen::Here(file_id(DATA.dev + 1, DATA.ino, "/srv/data")),
        ..postgres(9000, 9000)
    };
    let shell = Process { cwd: postgres(1, 1).cwd, ..process(9000, 9000) };
    let ended = Process { ended: true, ..postgres(9000, 9000) };
    let of_another_user = Process { uids: Some([OTHER_UID; 4]), ..postgres(9000, 9000) };
    for other in [elsewhere, same_inode_elsewhere, shell, ended, of_another_user] {
        assert_eq!(life_with(claim(1), vec![other]), nobody());
    }
}

#[test]
fn a_closed_process_of_the_servers_name_and_user_is_left_of_it() {
    let life = life_with(claim(1), vec![closed(9000, "postgres")]);
    assert!(matches!(left(&life), Evidence::Closed(_)));
    assert_eq!(life_with(claim(1), vec![closed(9000, "gpg-agent")]), nobody());
    // A claim from before the exec knows no name yet: any closed process of the user may be it.
    let early = Claim { executable: None, ..claim(1) };
    assert!(matches!(left(&life_with(early, vec![closed(9000, "x")])), Evidence::Closed(_)));
}

#[test]
fn a_long_program_name_is_compared_as_the_kernel_cuts_it() {
    let mut long = claim(1);
    if let Some(executable) = &mut long.executable {
        executable.path = bytes("/opt/db/a-very-long-database-name");
    }
    let life = life_with(long, vec![closed(9000, "a-very-long-dat")]);
    assert!(matches!(left(&life), Evidence::Closed(_)));
}

#[test]
fn generic_counts_who_was_started_later_in_its_group_session_or_service() {
    let claim = Claim { control_group: bytes("/system.slice/app.service"), ..generic(1) };
    let stranger = process(9000, 9000);
    let same_group = Process { group: claim.group, ..stranger.clone() };
    let own_session = Process { session: claim.session, ..stranger.clone() };
    let same_service = Process {
        control_group: Some(Seen::Here(claim.control_group.clone())),
        ..stranger.clone()
    };
    assert_eq!(life_with(claim.clone(), vec![stranger]), nobody());
    for found in [same_group, own_session, same_service] {
        let life = life_with(claim.clone(), vec![found.clone()]);
        assert!(matches!(left(&life), Evidence::Descends(h) if h.process == found.process));
        let earlier = Process {
            process: ProcessRef { start: SERVER.start - 1, ..found.process },
            ..found.clone()
        };
        let of_another_user = Process { uids: Some([OTHER_UID; 4]), ..found.clone() };
        let ended = Process { ended: true, ..found };
        for other in [earlier, of_another_user, ended] {
            assert_eq!(life_with(claim.clone(), vec![other]), nobody());
        }
    }
}

#[test]
fn generic_takes_no_session_that_is_not_its_own_and_no_group_that_is_no_service() {
    let shell =
        Claim { session: 77, control_group: bytes("/user.slice/session-1.scope"), ..generic(1) };
    let neighbour = Process {
        session: 77,
        control_group: Some(Seen::Here(shell.control_group.clone())),
        ..process(9000, 9000)
    };
    assert_eq!(life_with(shell, vec![neighbour]), nobody());
}

#[test]
fn generic_that_began_as_root_may_have_left_anybody() {
    let root = Claim { uids: vec![0], ..generic(1) };
    let found = Process { uids: Some([OTHER_UID; 4]), group: SERVER.pid, ..process(9000, 9000) };
    assert!(matches!(left(&life_with(root, vec![found])), Evidence::Descends(_)));
}

/// Processes that the asking launcher knows to descend from its server.
fn knowing(descendants: Vec<ProcessRef>) -> Policy {
    Policy { descendants, ..Policy::default() }
}

#[test]
fn who_is_or_descends_from_a_known_descendant_is_left_of_the_server() {
    let story = Story::of(generic(1)).end(1, End::Signal(9));
    let child = Process { uids: Some([OTHER_UID; 4]), ..process(9000, 9000) };
    let grandchild = Process { parent: 9000, ..process(9001, 9000) };
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(vec![child.clone(), grandchild]));
    let count = |look: &Snapshot, policy: &Policy| match judge(&story.book, look, policy) {
        Life::Dead(left) => left.len(),
        other => panic!("{other:?}"),
    };
    let mut policy = knowing(vec![child.process]);
    assert_eq!(count(&look, &policy), 2);
    policy.exempt = vec![9000];
    assert_eq!(count(&look, &policy), 1);
    assert_eq!(count(&look, &knowing(vec![])), 0);
    // The number of a known one is another's by now.
    let earlier = ProcessRef { start: 8999, ..child.process };
    assert_eq!(count(&look, &knowing(vec![earlier])), 0);
}

/// A daemon's workers are in a session of their own, and a dead launcher knows nobody.
#[test]
fn a_descendant_that_the_ledger_names_is_left_of_a_generic_server_and_so_is_what_it_started() {
    let worker = ProcessRef { pid: 4800, start: SERVER.start + 10 };
    let noted = Record::Descendant { run: 1, process: worker };
    let story = Story::of(generic(1)).then(noted).end(1, End::Unknown);
    let own_group = |pid: i32, start: u64| Process {
        group: worker.pid,
        session: worker.pid,
        ..process(pid, start)
    };
    let child = Process { parent: worker.pid, ..own_group(4900, worker.start + 1) };
    let judged = |processes: Vec<Process>| {
        judge(
            &story.book,
            &look().with(|look| look.processes = Table::Whole(processes)),
            &Policy::default(),
        )
    };
    let alive = own_group(worker.pid, worker.start);
    let life = judged(vec![alive.clone()]);
    assert!(matches!(left(&life), Evidence::Descends(h) if h.process == worker));
    let Life::Dead(both) = judged(vec![alive, child]) else { panic!() };
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(judged(vec![own_group(worker.pid, worker.start + 1)]), nobody(), "of that number");
}

/// Nobody else need have noted it: the launcher was gone, or it was never seen to use a set.
#[test]
fn a_recorded_creator_is_left_of_a_generic_server() {
    let worker = ProcessRef { pid: 4800, start: SERVER.start + 10 };
    let made = seen(1, Role::Other, shm(&segment(7)));
    let made = ObjectSeen { creator: Some(worker), ..made };
    let story = Story::of(generic(1)).then(Record::Object(made)).end(1, End::Signal(9));
    let judged = |start: u64| {
        let alone = Process { group: 4800, session: 4800, ..process(worker.pid, start) };
        judge(
            &story.book,
            &look().with(|look| look.processes = Table::Whole(vec![alone])),
            &Policy::default(),
        )
    };
    assert!(matches!(left(&judged(worker.start)), Evidence::Descends(h) if h.process == worker));
    assert_eq!(judged(worker.start + 1), nobody(), "of that number");
}

#[test]
fn a_circle_of_parents_ends_the_search() {
    let story = Story::of(generic(1));
    let mut look = look();
    look.change(|look| {
        look.processes = Table::Whole(vec![
            Process { parent: 9001, ..process(9000, 9000) },
            Process { parent: 9000, ..process(9001, 9000) },
        ])
    });
    let policy = knowing(vec![ProcessRef { pid: 1, start: 1 }]);
    assert_eq!(judge(&story.book, &look, &policy), nobody());
}

#[test]
fn a_helper_of_the_servers_that_runs_another_program_does_not_keep_it_alive() {
    let archiver = process(9000, 9000);
    let story = Story::of(claim(1)).end(1, End::Signal(9));
    let policy = knowing(vec![archiver.process]);
    let mut look = look();
    look.change(|look| look.processes = Table::Whole(vec![archiver]));
    assert_eq!(judge(&story.book, &look, &policy), nobody());
    look.change(|look| look.processes = Table::Whole(vec![postgres(9000, 9000)]));
    assert!(matches!(left(&judge(&story.book, &look, &policy)), Evidence::Descends(_)));
}

#[test]
fn a_claimed_process_that_proc_does_not_show_and_the_kernel_knows_counts_as_alive() {
    let story = Story::of(claim(1));
    let mut look = look();
    look.change(|look| look.hidden = vec![SERVER.pid]);
    let hidden = Life::Unseen(Evidence::Hidden { pid: SERVER.pid });
    assert_eq!(judge(&story.book, &look, &Policy::default()), hidden);
    let reaped = story.end(1, End::Signal(9));
    assert_eq!(judge(&reaped.book, &look, &Policy::default()), nobody());
}

#[test]
fn two_servers_of_one_user_side_by_side_do_not_keep_each_other_alive() {
    let mut crashed = crashed();
    let other = file_id(DATA.dev, DATA.ino + 1, "/srv/other");
    crashed.look.change(|look| {
        look.processes =
            Table::Whole(vec![Process { cwd: Seen::Here(other), ..postgres(9000, 500) }])
    });
    assert_eq!(crashed.code_of_all(), "removed");
}

#[test]
fn a_data_directory_is_known_by_device_and_inode_and_not_by_its_path() {
    let moved = Claim {
        data: Some(DataDir { path: Bytes(b"/mnt/moved".to_vec()), file: FileRef { ..DATA } }),
        engine: Engine::POSTGRES,
        ..claim(1)
    };
    let life = life_with(moved, vec![postgres(9000, 9000)]);
    assert!(matches!(left(&life), Evidence::RunsHere(h) if h.uid == Some(UID)));
}

/// Of one whose `stat` could not be read nothing is known but its pid.
#[test]
fn an_unread_process_is_whoever_could_use_an_object() {
    let unread = |pid| vec![Process::unread(pid)];
    // As the claimed process, if its pid is claimed.
    assert!(matches!(life_with(claim(1), unread(SERVER.pid)), Life::Live(Evidence::Claimed(_))));
    // As a survivor, where no main segment tells that there is none.
    let has_left = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0)));
    let look = look().with(|look| look.processes = Table::Whole(unread(9000)));
    let left = judge(&has_left.book, &look, &Policy::default());
    assert!(
        matches!(&left, Life::Dead(left) if matches!(left[..], [Evidence::Closed(_)])),
        "{left:?}"
    );
    // Of a run that has left nothing it holds nothing.
    let nothing = has_left.then(Record::Gone { object: 1 });
    assert_eq!(judge(&nothing.book, &look, &Policy::default()), Life::Dead(vec![]));
    let ended = Process { ended: true, ..Process::unread(9000) };
    assert_eq!(life_with(generic(1), vec![ended]), Life::Dead(vec![]));
}
