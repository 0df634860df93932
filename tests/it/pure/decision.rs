//! What is to be done with each object: in the server's own order, with evidence and holders, and
//! in words that a terminal may see. The reasons to keep have a file of their own.

use shmwarden::judge::{Action, Evidence, Policy, Reason};
use shmwarden::ledger::record::{End, Record, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::{Mapped, Process, Seen, Table};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::Row;

use super::make::{
    Change, DATA, OTHER_UID, SERVER, UID, bytes, claim, control_list, generic, header, here,
    in_pids, look, main_header, posix, process, row, segment, shm,
};
use super::story::{
    Crashed, Story, crashed, crashed_as, reason_among, removed, settle, would_remove,
};

fn with_cleaning() -> Policy {
    Policy { include_clean: true, ..Policy::default() }
}

#[test]
fn what_a_crash_left_is_removed_dynamic_shared_memory_first_and_the_main_segment_last() {
    let crashed = crashed();
    let all = would_remove(&crashed.story.book, &crashed.look);
    let (dynamic, control) = (posix(&crashed.dynamic), posix(&crashed.control));
    assert_eq!(all, [dynamic, control, shm(&crashed.main)]);
}

#[test]
fn objects_of_every_role_go_in_the_order_of_their_roles_and_numbers() {
    let roles = [Role::Main, Role::Control, Role::Other, Role::Dynamic];
    let mut story = Story::of(claim(1));
    let mut look = look();
    for (number, role) in (1..).zip(roles.into_iter().chain(roles)) {
        let made = segment(i32::try_from(number).unwrap());
        story = story.object(number, role, shm(&made));
        look.change(|look| look.segments.add(row(&made)));
        let is_main = role == Role::Main;
        look.change(|look| {
            look.headers.insert(made.id, main_header(if is_main { SERVER.pid } else { 0 }, 0, DATA))
        });
        if role == Role::Control {
            let list = control_list(true, &[]);
            look.change(|look| look.controls.push((shm(&made), list)));
        }
    }
    let story = story.end(1, End::Signal(9));
    let ids: Vec<i32> = would_remove(&story.book, &look)
        .iter()
        .map(|identity| match identity {
            Identity::Shm(segment) => segment.id,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(ids, [4, 8, 3, 7, 2, 6, 1, 5]);
}

#[test]
fn a_removal_carries_its_evidence_and_what_is_to_be_looked_at_again() {
    let crashed = crashed();
    let (_, verdicts) = settle(&crashed.story.book, &crashed.look, &Policy::default());
    let Action::Remove(first) = &verdicts[0] else { panic!() };
    assert_eq!(first.guard(), Some(&crashed.main));
    assert!(first.same_pids());
    assert_eq!(first.role(), Role::Dynamic);
    let evidence = first.evidence();
    for part in ["server 4711 of run 1 is dead", "nobody uses it", "owner uid 100001"] {
        assert!(evidence.contains(part), "{evidence}");
    }
    let mut elsewhere = crashed.look.clone();
    elsewhere.change(|look| look.place = in_pids("id:99"));
    let (_, verdicts) = settle(&crashed.story.book, &elsewhere, &Policy::default());
    assert!(matches!(&verdicts[0], Action::Remove(removal) if !removal.same_pids()));
}

/// The kernel lets only owner and creator remove it: root, who acts as the ledger's owner, does not
/// try, and what goes after it stays as where a removal fails.
#[test]
fn what_the_ledgers_owner_may_not_remove_is_kept_with_all_that_goes_after_it() {
    let Crashed { story, look, .. } = crashed();
    let as_user = |uid| {
        let policy = Policy { remover: Some(uid), ..Policy::default() };
        let (_, verdicts) = settle(&story.book, &look, &policy);
        [3, 2, 1].map(|object| reason_among(&verdicts, object))
    };
    assert_eq!(as_user(UID), [None, None, None]);
    assert_eq!(as_user(0), [None, None, None]);
    let kept = as_user(OTHER_UID).map(Option::unwrap);
    assert!(kept.iter().all(|why| *why == Reason::NotLedgerOwners(UID, OTHER_UID)), "{kept:?}");
    // One of them alone: its segment is its creator's, whoever owns it now.
    let mut look = look.clone();
    look.change(|look| {
        let perm = &mut look.segments.rows_mut()[0].perm;
        (perm.uid, perm.creator_uid) = (OTHER_UID, UID);
    });
    let policy = Policy { remover: Some(UID), ..Policy::default() };
    let (_, verdicts) = settle(&story.book, &look, &policy);
    assert_eq!(reason_among(&verdicts, 1), None);
}

#[test]
fn what_is_kept_names_its_holders() {
    let Crashed { story, mut look, .. } = crashed();
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    let attached = |same_ipc, pid| Process {
        maps: Some(Seen::Here(vec![(Mapped::Segment(0), 2)])),
        same_ipc,
        ..process(pid, 2000)
    };
    // The third maps a segment of the same id in another IPC namespace.
    look.change(|look| {
        look.processes = Table::Whole(vec![
            attached(Some(true), 8000),
            attached(None, 8001),
            attached(Some(false), 8002),
        ])
    });
    let (_, verdicts) = settle(&story.book, &look, &Policy::default());
    let Some(Action::Keep(kept)) = verdicts.last() else { panic!() };
    let pids: Vec<i32> = kept.holders.iter().map(|holder| holder.process.pid).collect();
    assert_eq!(pids, [8000, 8001]);
    assert!(kept.holders[0].orphan);
    assert_eq!((kept.holders[0].attachments, kept.holders[0].state), (2, 'S'));
    assert_eq!(kept.holders[0].command, "sleep now");
}

#[test]
fn an_empty_book_asks_for_nothing() {
    assert_eq!(would_remove(&Story::default().book, &look()), []);
    assert_eq!(would_remove(&Story::default().then(header(here())).book, &look()), []);
}

#[test]
fn each_reason_has_a_word_of_its_own_and_those_that_hold_are_known() {
    let holder = || super::make::closed(1, "x");
    let holder = || shmwarden::judge::Holder::of(&holder(), 0, false);
    let text = String::new;
    let held = [
        Reason::Attached(1),
        Reason::Mapped(holder()),
        Reason::PerhapsMapped(holder()),
        Reason::Dest,
        Reason::InstanceHeld(text()),
        Reason::OrphanLives(Evidence::RunsHere(holder())),
        Reason::Waited(2),
        Reason::PerhapsWaited(holder()),
        Reason::LastUserLives(holder()),
    ];
    let not_held = [
        Reason::Live(Evidence::Claimed(holder())),
        Reason::Unseen(Evidence::OtherPids { run: 1 }),
        Reason::OtherBoot,
        Reason::OtherIpcNamespace,
        Reason::OtherMount,
        Reason::Changed("key"),
        Reason::LeftClean,
        Reason::LeftUnseen,
        Reason::UnknownLayout(text()),
        Reason::ListedStays(text()),
        Reason::EarlierStays(text()),
        Reason::PidReused,
        Reason::Unlisted,
        Reason::Foreign,
        Reason::LastUserUnseen,
        Reason::Unreadable,
        Reason::UserUnrecorded(1),
        Reason::ChangedSince,
        Reason::UsedSince,
        Reason::UsedElsewhere(text()),
        Reason::UnsureSpace,
        Reason::Unwitnessed,
        Reason::Gone,
    ];
    assert!(held.iter().all(Reason::is_held));
    assert!(!not_held.iter().any(Reason::is_held));
    let mut codes: Vec<&str> = held.iter().chain(&not_held).map(Reason::code).collect();
    assert!(held.iter().chain(&not_held).all(|reason| !reason.to_string().is_empty()));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), held.len() + not_held.len());
}

#[test]
fn a_hostile_command_line_never_reaches_a_terminal_as_it_is() {
    let hostile = Process { command: bytes("x\x1b[2J\0\n"), ..process(1, 1) };
    let told = shmwarden::judge::Holder::of(&hostile, 1, true).to_string();
    assert!(!told.contains(['\x1b', '\n', '\0']), "{told:?}");
}

#[test]
fn a_run_that_was_dead_before_another_pid_namespace_is_recognised_there() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.place = in_pids("id:99"));
    crashed.look.change(|look| look.segments.rows_mut()[0].creator_pid = 0);
    assert_eq!(crashed.code_of_all(), "removed");
}

#[test]
fn a_used_object_is_never_judged() {
    let theirs = Row {
        perm: IpcPerm { creator_uid: OTHER_UID, ..row(&segment(3)).perm },
        ..row(&segment(3))
    };
    let story = Story::of(generic(1))
        .then(Record::Used {
            run: 1,
            identity: Identity::Shm(shmwarden::snapshot::identity_of(&theirs)),
        })
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![theirs]));
    let (_, verdicts) = settle(&story.book, &look, &with_cleaning());
    assert!(verdicts.is_empty(), "{verdicts:?}");
}

#[test]
fn a_removal_that_was_begun_is_finished_whatever_the_options_are_now() {
    let crashed = crashed_as(claim(1), End::Exit(0));
    let reason = String::new();
    let story = crashed.story.clone().then(Record::Intent { object: 3, reason });
    let (_, verdicts) = settle(&story.book, &crashed.look, &Policy::default());
    assert_eq!(removed(&verdicts), [posix(&crashed.dynamic)]);
}
