//! Semaphore sets and message queues of a dead server: what is removed, each part of their
//! identity, and what nobody saw appear.

use shmwarden::attribute::{self, Doubt};
use shmwarden::judge::{Action, Policy, Reason};
use shmwarden::ledger::record::{Claim, End, Record, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::tables::Set;
use shmwarden::snapshot::{Process, Snapshot, Table};
use shmwarden::sys::{msg, sem};

use super::make::{
    Change, OTHER_UID, SERVER, generic, in_boot, in_ipc, process, row, segment, shm,
};
use super::sets_make::{
    both, codes_of, crashed, operated_by, queue, queue_code, recorded, set, set_code, with,
    with_queue, with_set,
};
use super::story::{Story, codes_of_suspects, reason, removed, settle, would_remove};

#[test]
fn what_nobody_uses_is_removed_after_all_memory() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Other, Identity::Msg(queue()))
        .object(3, Role::Other, shm(&segment(0)))
        .end(1, End::Signal(9));
    let mut look = both();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    let all = [shm(&segment(0)), Identity::Sem(set()), Identity::Msg(queue())];
    assert_eq!(would_remove(&story.book, &look), all);
}

#[test]
fn a_queue_says_what_is_lost_with_it() {
    let (_, verdicts) = settle(&crashed().book, &both(), &Policy::default());
    let Action::Remove(removal) = &verdicts[1] else { panic!() };
    assert!(removal.evidence().contains("2 messages of 700 bytes"), "{}", removal.evidence());
}

#[test]
fn a_set_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut sem::Row);
    let changes: [(&str, Change); 4] = [
        ("key", |row| row.perm.key += 1),
        ("number of semaphores", |row| row.members += 1),
        ("creator uid", |row| row.perm.creator_uid = OTHER_UID),
        ("creator gid", |row| row.perm.creator_gid += 1),
    ];
    for (what, change) in changes {
        let look = with_set(|set| change(&mut set.row));
        assert_eq!(reason(&crashed().book, &look, 1), Some(Reason::Changed(what)));
    }
    assert_eq!(set_code(&with_set(|set| set.row.id += 1)), "gone");
    let chowned = |set: &mut Set| (set.row.perm.uid, set.row.perm.mode) = (OTHER_UID, 0o666);
    assert_eq!(set_code(&with_set(chowned)), "removed");
}

#[test]
fn a_queue_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut msg::Row);
    let changes: [(&str, Change); 3] = [
        ("key", |row| row.perm.key += 1),
        ("creator uid", |row| row.perm.creator_uid = OTHER_UID),
        ("creator gid", |row| row.perm.creator_gid += 1),
    ];
    for (what, change) in changes {
        assert_eq!(reason(&crashed().book, &with_queue(change), 2), Some(Reason::Changed(what)));
    }
    assert_eq!(queue_code(&with_queue(|row| row.id += 1)), "gone");
}

#[test]
fn in_another_boot_or_ipc_namespace_both_are_kept_though_everything_fits() {
    let elsewhere = |place| both().with(|look| look.place = place);
    let code = |place| codes_of(&crashed(), &elsewhere(place));
    assert_eq!(code(in_ipc("id:99")), ("other-ipc-namespace", "other-ipc-namespace"));
    assert_eq!(code(in_boot("another")), ("other-boot", "other-boot"));
}

/// Before Linux 6.18 a namespace is named by what may come back.
#[test]
fn both_are_kept_where_the_namespace_may_have_been_another() {
    let in_place = |ipc: &str| {
        let header = super::make::header(in_ipc(ipc));
        let story = Story::default().then(header).then(super::make::run(1));
        let story = story
            .then(Record::Claim(generic(1)))
            .object(1, Role::Other, Identity::Sem(set()))
            .object(2, Role::Other, Identity::Msg(queue()))
            .end(1, End::Signal(9));
        codes_of(&story, &both().with(|look| look.place = in_ipc(ipc)))
    };
    let unsure = ("unsure-namespace", "unsure-namespace");
    assert_eq!(in_place("inode:4026532177/first:100"), unsure);
    assert_eq!(in_place("inode:4026532177/first:unknown"), unsure);
    assert_eq!(in_place("inode:4026531839"), ("removed", "removed"), "the machine's own");
}

#[test]
fn nothing_goes_while_anything_of_the_instance_lives_or_is_held() {
    let mut attached = both();
    let mut main = row(&segment(0));
    main.nattch = 1;
    attached.change(|look| look.segments = Table::Whole(vec![main]));
    let story = recorded().object(3, Role::Other, shm(&segment(0))).end(1, End::Signal(9));
    assert_eq!(codes_of(&story, &attached), ("instance-held", "instance-held"));
    let alive = with(both(), process(SERVER.pid, SERVER.start));
    let (_, verdicts) = settle(&recorded().book, &alive, &Policy::default());
    assert_eq!(removed(&verdicts), []);
    let child = Process { group: SERVER.pid, ..process(4800, 1500) };
    let codes = codes_of(&crashed(), &with(both(), child));
    assert_eq!(codes, ("orphan-lives", "orphan-lives"));
}

#[test]
fn what_a_clean_exit_left_stays_unless_it_is_asked_for_or_was_begun() {
    let story = recorded().end(1, End::Exit(0));
    assert_eq!(codes_of(&story, &both()), ("left-clean", "left-clean"));
    let policy = Policy { include_clean: true, ..Policy::default() };
    assert_eq!(removed(&settle(&story.book, &both(), &policy).1).len(), 2);
    let begun = story.then(Record::Intent { object: 1, reason: String::new() });
    assert_eq!(codes_of(&begun, &both()), ("removed", "left-clean"));
}

#[test]
fn what_is_only_used_is_never_judged() {
    let story = Story::of(generic(1))
        .then(Record::Used { run: 1, identity: Identity::Sem(set()) })
        .then(Record::Used { run: 1, identity: Identity::Msg(queue()) });
    let (_, verdicts) = settle(&story.book, &both(), &Policy::default());
    assert!(verdicts.is_empty(), "{verdicts:?}");
}

#[test]
fn what_nobody_saw_appear_is_a_suspect_and_no_object() {
    let codes = |claim: Claim, look: &Snapshot| {
        let story = Story::of(claim);
        let (_, verdicts) = settle(&story.book, look, &Policy::default());
        assert_eq!(removed(&verdicts), []);
        codes_of_suspects(&verdicts)
    };
    assert_eq!(codes(generic(1), &both()), ["unwitnessed", "unwitnessed"]);
    let before = Claim { sets_before: vec![3], queues_before: vec![5], ..generic(1) };
    assert!(codes(before, &both()).is_empty(), "there before the server was");
    let mut others = both();
    others.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[8000])));
    others.change(|look| look.queues.rows_mut()[0].perm.creator_uid = OTHER_UID);
    assert!(codes(generic(1), &others).is_empty());
    let (found, suspects) = attribute::after_death(&Story::of(generic(1)).book, &both());
    assert_eq!(found, []);
    assert!(suspects.iter().all(|suspect| suspect.doubt == Doubt::Unwitnessed));
    let seen_to_end = Story::of(generic(1)).end(1, End::Signal(9));
    assert_eq!(attribute::after_death(&seen_to_end.book, &both()), (vec![], vec![]));
}
