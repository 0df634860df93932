//! Life across PID namespaces: a claim means nothing from elsewhere, and what cannot be seen from
//! there counts as alive, unless the main segment proves otherwise.

use shmwarden::judge::life::judge;
use shmwarden::judge::{Evidence, Life, Policy, Reason};
use shmwarden::ledger::record::{Claim, End, Record, Role, RunStart};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{Snapshot, Table};

use super::make::{
    Change, LEDGER, SERVER, claim, file, files, generic, header_in, here, in_pids, look, posix,
    process, row, run, segment, shm,
};
use super::story::{Story, reason, removed, settle, would_remove};

/// A look from another PID namespace at a run whose end nobody noted.
fn from_elsewhere(claim: Claim) -> (Story, Snapshot) {
    let mut look = look();
    look.change(|look| look.place = in_pids("id:99"));
    // Its number means another process here.
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    (Story::of(claim).object(1, Role::Main, shm(&segment(0))), look)
}

#[test]
fn a_run_of_another_pid_namespace_is_dead_only_by_its_unattached_main_segment() {
    let (story, mut look) = from_elsewhere(claim(1));
    let life = |look: &Snapshot| judge(&story.book, look, &Policy::default());
    let unseen = Life::Dead(vec![Evidence::OtherPids { run: 1 }]);
    assert_eq!(life(&look), unseen, "without its main segment");
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.segments.rows_mut()[0].creator_pid = 0);
    assert_eq!(life(&look), Life::Dead(vec![]));
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    assert_eq!(life(&look), unseen, "attached");
    look.change(|look| look.segments.rows_mut()[0].nattch = 0);
    look.change(|look| look.segments.rows_mut()[0].ctime += 1);
    assert_eq!(life(&look), unseen, "another segment of that id");
}

#[test]
fn a_main_segment_of_another_run_or_ipc_namespace_proves_no_death() {
    let (story, mut look) = from_elsewhere(claim(1));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.place.ipc_namespace = "id:98".to_owned());
    let life = judge(&story.book, &look, &Policy::default());
    assert_eq!(life, Life::Dead(vec![Evidence::OtherPids { run: 1 }]));

    let (ended, mut look) = from_elsewhere(claim(1));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    let second = ended.end(1, End::Signal(9)).then(run(2)).then(Record::Claim(claim(2)));
    let life = judge(&second.book, &look, &Policy::default());
    assert_eq!(life, Life::Dead(vec![Evidence::OtherPids { run: 2 }]));
}

#[test]
fn a_segment_that_is_not_the_main_one_or_not_of_a_known_server_proves_no_death() {
    let (_, mut look) = from_elsewhere(claim(1));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    let other_role = Story::of(claim(1)).object(1, Role::Other, shm(&segment(0)));
    let other_server = from_elsewhere(generic(1)).0;
    for story in [other_role, other_server] {
        let life = judge(&story.book, &look, &Policy::default());
        assert_eq!(life, Life::Dead(vec![Evidence::OtherPids { run: 1 }]));
    }
}

#[test]
fn a_file_of_another_pid_namespace_whose_users_cannot_be_seen_is_kept() {
    // Its launcher saw the end of the server; who else maps the file there, nobody sees from here.
    let story = Story::of(generic(1))
        .object(1, Role::Other, posix(&file("arena", 9)))
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    assert_eq!(would_remove(&story.book, &look).len(), 1);
    look.change(|look| look.place = in_pids("id:99"));
    assert_eq!(would_remove(&story.book, &look), Vec::<Identity>::new());
}

#[test]
fn while_a_run_cannot_be_seen_nothing_is_removed_that_its_server_could_come_by() {
    let generic_run = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0))).object(
        2,
        Role::Other,
        shm(&segment(1)),
    );
    let mut look = look();
    look.change(|look| look.place = in_pids("id:99"));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0)), row(&segment(1))]));
    assert_eq!(would_remove(&generic_run.book, &look), Vec::<Identity>::new());
    let kept = reason(&generic_run.book, &look, 2);
    assert_eq!(kept, Some(Reason::Unseen(Evidence::OtherPids { run: 1 })));
}

#[test]
fn an_earlier_run_is_kept_too_while_a_later_one_of_its_namespaces_cannot_be_seen() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, shm(&segment(0)))
        .end(1, End::Signal(9))
        .then(run(2))
        .then(Record::Claim(generic(2)));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    assert_eq!(would_remove(&story.book, &look), [shm(&segment(0))]);
    look.change(|look| look.place = in_pids("id:99"));
    assert_eq!(would_remove(&story.book, &look), Vec::<Identity>::new());
}

#[test]
fn a_namespace_whose_first_process_was_the_launcher_has_died_with_it() {
    let Record::Run(start) = run(1) else { panic!() };
    let launcher = ProcessRef { pid: 1, start: 5 };
    let story = Story::default()
        .then(header_in(here(), Some(LEDGER)))
        .then(Record::Run(RunStart { launcher, ..start }))
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, shm(&segment(0)))
        .object(2, Role::Other, posix(&file("arena", 9)))
        .read_from(LEDGER);
    let mut look = look();
    look.change(|look| look.place = in_pids("id:99"));
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.files = files(vec![file("arena", 9)]));
    // Nobody saw how it ended.
    assert_eq!(would_remove(&story.book, &look), []);
    let policy = Policy { include_clean: true, ..Policy::default() };
    assert_eq!(removed(&settle(&story.book, &look, &policy).1).len(), 2);
}
