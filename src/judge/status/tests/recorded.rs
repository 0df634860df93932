//! The status of objects that a ledger has.

use super::make::{
    Change, LAUNCHER, SERVER, Story, UID, file, file_ref, mapper, only, place, process, row,
    server, with, words,
};
use crate::judge::status::{Account, Status, statuses};
use crate::ledger::record::{End, Engine, How, Record, Role};
use crate::object::{Identity, Place, ProcessRef};
use crate::snapshot::{Mapped, Table, identity_of};
use crate::sys::IpcPerm;
use crate::sys::shm::MODE_DEST;

#[test]
fn what_a_living_server_made_is_live() {
    let mut look = with(vec![row(1)], vec![]);
    look.change(|look| look.processes.add(server()));
    let story = Story::begin().has(&row(1));
    assert_eq!(words(&story, &look), [(Status::Live, "live")]);
}

#[test]
fn what_a_living_server_has_just_made_is_live_before_it_is_written_down() {
    let mut look = with(vec![row(1)], vec![]);
    look.change(|look| look.processes.add(server()));
    assert_eq!(words(&Story::begin(), &look), [(Status::Live, "live")]);
}

#[test]
fn what_a_dead_server_left_is_stale() {
    let look = with(vec![row(1)], vec![]);
    let story = Story::begin().has(&row(1));
    // It has a key, and nobody saw the end.
    assert_eq!(words(&story, &look), [(Status::Left, "left-unseen")]);
    let story = story.ended(End::Signal(9));
    assert_eq!(words(&story, &look), [(Status::Stale, "dead")]);
}

#[test]
fn what_may_be_a_dead_servers_is_not_offered_as_an_orphan() {
    // Launcher and server were killed at once, and it bears the pid of that server.
    let look = with(vec![row(1)], vec![]);
    let story = Story::begin();
    assert_eq!(words(&story, &look), [(Status::Unrecorded, "pid-reused")]);
    let mut story = Story::begin().has(&row(1));
    story.0.objects.get_mut(&1).unwrap().how = How::ForkCount;
    assert_eq!(words(&story, &look), [(Status::Held, "pid-reused")]);
}

#[test]
fn what_may_be_on_a_list_that_only_sweep_reads_is_no_orphan() {
    let control = crate::sys::shm::Row { perm: IpcPerm { key: 9, ..row(1).perm }, ..row(1) };
    let listed = crate::sys::shm::Row {
        perm: IpcPerm { key: 10, ..row(2).perm },
        creator_pid: 77,
        ..row(2)
    };
    let list = Identity::Shm(identity_of(&control));
    let story = Story::begin().recorded_as(Role::Control, list);
    let mut story = story.ended(End::Signal(9));
    let claim = &mut story.0.runs.get_mut(&1).unwrap().claims[0];
    (claim.engine, claim.major) = (Engine::POSTGRES, Some(15));
    let look = with(vec![control, listed], vec![]);
    let expected = [(Status::Stale, "dead"), (Status::Unrecorded, "perhaps-listed")];
    assert_eq!(words(&story, &look), expected);
}

#[test]
fn while_one_object_is_held_all_of_the_instance_stay() {
    let held = crate::sys::shm::Row { nattch: 1, ..row(2) };
    let story = Story::begin().has(&row(1)).has(&row(2)).ended(End::Signal(9));
    let look = with(vec![row(1), held], vec![]);
    let expected = [(Status::Held, "instance-held"), (Status::Held, "attached")];
    assert_eq!(words(&story, &look), expected);
    let dest = crate::sys::shm::Row {
        perm: IpcPerm { mode: 0o600 | MODE_DEST, key: 0, ..row(2).perm },
        nattch: 1,
        ..row(2)
    };
    let look = with(vec![dest], vec![]);
    assert_eq!(words(&story, &look), [(Status::Held, "dest")]);
}

#[test]
fn a_file_of_a_dead_server_is_held_by_whoever_maps_it_or_may() {
    let file = file("queue");
    let identity = Identity::Posix(file.identity.clone());
    let story = Story::begin().recorded(identity).ended(End::Signal(9));
    let mut look = with(vec![], vec![file.clone()]);
    assert_eq!(words(&story, &look), [(Status::Stale, "dead")]);
    look.change(|look| {
        look.processes.add(mapper(70, 0, &[(Mapped::File(file_ref(&file.name)), 1)]))
    });
    assert_eq!(words(&story, &look), [(Status::Held, "mapped")]);
    let mut closed = process(70, 600, UID);
    closed.maps = Some(crate::snapshot::Seen::Denied);
    look.change(|look| *look.processes.rows_mut().last_mut().unwrap() = closed);
    assert_eq!(words(&story, &look), [(Status::Held, "perhaps-mapped")]);
}

#[test]
fn a_process_that_is_left_of_a_dead_server_keeps_all_of_it() {
    let mut look = with(vec![row(1)], vec![]);
    let mut child = process(60, 600, UID);
    child.group = SERVER.pid;
    look.change(|look| look.processes.add(child));
    let story = Story::begin().has(&row(1)).ended(End::Signal(9));
    assert_eq!(words(&story, &look), [(Status::Held, "orphan-lives")]);
}

#[test]
fn what_a_server_left_on_purpose_is_left() {
    let look = with(vec![row(1)], vec![]);
    let story = Story::begin().has(&row(1)).ended(End::Exit(0));
    assert_eq!(words(&story, &look), [(Status::Left, "left-clean")]);
}

#[test]
fn another_object_of_the_same_number_is_changed() {
    let story = Story::begin().has(&row(1)).ended(End::Signal(9));
    let later = crate::sys::shm::Row { creator_pid: 77, ..row(1) };
    let look = with(vec![later], vec![]);
    assert_eq!(words(&story, &look), [(Status::Changed, "changed")]);
    let mut again = file("queue");
    let identity = Identity::Posix(again.identity.clone());
    let story = Story::begin().recorded(identity).ended(End::Signal(9));
    again.identity.birth = crate::object::Birth::At(1_799_999_000, 6);
    let look = with(vec![], vec![again.clone()]);
    assert_eq!(words(&story, &look), [(Status::Changed, "changed")]);
}

#[test]
fn an_attached_object_that_was_only_changed_is_taken_for_the_recorded_one() {
    let story = Story::begin().has(&row(1)).ended(End::Signal(9));
    let set = crate::sys::shm::Row { ctime: 1, nattch: 1, ..row(1) };
    let look = with(vec![set], vec![]);
    assert_eq!(words(&story, &look), [(Status::Held, "attached")]);
}

#[test]
fn without_the_lock_a_container_that_may_be_dead_counts_as_alive() {
    let container = Place { pid_namespace: "pid2".to_owned(), ..place() };
    let look = with(vec![row(1)], vec![]);
    let mut story = Story::begin_in(container).has(&row(1));
    story.0.runs.get_mut(&1).unwrap().start.launcher.pid = 1;
    assert_eq!(words(&story, &look), [(Status::Live, "unseen")]);
    let story = story.ended(End::Signal(9));
    assert_eq!(words(&story, &look), [(Status::Stale, "dead")]);
}

#[test]
fn a_claimed_process_that_is_hidden_counts_as_alive() {
    let mut look = with(vec![row(1)], vec![]);
    look.change(|look| look.hidden = vec![SERVER.pid]);
    let story = Story::begin().has(&row(1));
    assert_eq!(words(&story, &look), [(Status::Live, "unseen")]);
}

#[test]
fn what_an_instance_only_uses_is_used_and_never_its_own() {
    let foreign = crate::sys::shm::Row { creator_pid: 33, nattch: 1, ..row(1) };
    let story = Story::begin()
        .then(Record::Used { run: 1, identity: Identity::Shm(identity_of(&foreign)) });
    let mut look = with(vec![foreign.clone()], vec![]);
    look.change(|look| look.processes.add(server()));
    assert_eq!(words(&story, &look), [(Status::Used, "used")]);
    let other = crate::sys::shm::Row { ctime: 1, ..foreign };
    look.change(|look| look.segments = Table::Whole(vec![other]));
    assert_eq!(words(&story, &look), [(Status::Unrecorded, "attached")]);
}

#[test]
fn a_ledger_that_somebody_is_at_work_on_counts_as_alive() {
    let look = with(vec![row(1)], vec![]);
    let story = Story::begin().has(&row(1)).ended(End::Signal(9));
    let locked = [Account::new(story.0.clone(), &look, Some(77), 0)];
    let judged = only(&look, &locked);
    assert_eq!((judged.verdict, judged.why.code()), (Status::Live, "at-work"));
    // Its launcher cleans up, or waits for orphans.
    let mut look = look;
    look.change(|look| look.processes.add(process(LAUNCHER.pid, LAUNCHER.start, UID)));
    assert_eq!(words(&story, &look), [(Status::Live, "at-work")]);
    // Another process of the launcher's number is not the launcher.
    look.change(|look| look.processes = with(vec![], vec![]).processes.clone());
    look.change(|look| look.processes.add(process(LAUNCHER.pid, LAUNCHER.start + 1, UID)));
    assert_eq!(words(&story, &look), [(Status::Stale, "dead")]);
}

#[test]
fn a_run_of_another_pid_namespace_cannot_be_seen_to_be_dead() {
    let elsewhere = Place { pid_namespace: "pid2".to_owned(), ..place() };
    let look = with(vec![row(1)], vec![]);
    let story = Story::begin_in(elsewhere).has(&row(1));
    assert_eq!(words(&story, &look), [(Status::Live, "unseen")]);
}

#[test]
fn a_ledger_of_another_boot_or_ipc_namespace_says_nothing_here() {
    let look = with(vec![row(1)], vec![]);
    let places = [
        Place { boot: "boot2".to_owned(), ..place() },
        Place { ipc_namespace: "ipc2".to_owned(), ..place() },
    ];
    for place in places {
        let story = Story::begin_in(place).has(&row(1)).ended(End::Signal(9));
        assert_eq!(words(&story, &look), [(Status::Orphan, "creator-dead")]);
    }
}

#[test]
fn of_two_ledgers_the_one_whose_instance_lives_counts() {
    let mut look = with(vec![row(1)], vec![]);
    look.change(|look| look.processes.add(server()));
    let mut dead = Story::begin().has(&row(1));
    dead.0.runs.get_mut(&1).unwrap().claims[0].process = ProcessRef { pid: 51, start: 1 };
    let live = Story::begin().has(&row(1));
    let accounts = [dead.account(&look), live.account(&look)];
    let judged = statuses(&look, &accounts, &[]);
    assert_eq!((judged[0].verdict, judged[0].account), (Status::Live, Some(1)));
}
