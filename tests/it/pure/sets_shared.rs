//! Sets and queues that others than their server may use, by key and mode, and strangers that were
//! seen to use one.

use shmwarden::engine::Engine;
use shmwarden::ledger::record::{Claim, End, Header, Record, Role};
use shmwarden::ledger::{Book, compact};
use shmwarden::object::{Identity, Key, ProcessRef, Segment, SemaphoreSet};
use shmwarden::snapshot::callers::Caller;
use shmwarden::snapshot::tables::Set;
use shmwarden::snapshot::{Sight, Snapshot, Table};

use super::make::{
    Change, GID, OTHER_UID, SERVER, UID, generic, here, in_pids, process, row, segment, shm,
};
use super::sets_make::{
    both, codes_of, crashed, operated_by, recorded, set, set_code, set_now, with,
};
use super::story::{Story, reason};

const STRANGER: ProcessRef = ProcessRef { pid: 8000, start: 2000 };

/// A living process with these ids, in this IPC namespace.
fn caller(uids: Option<[u32; 4]>, groups: &[u32]) -> Caller {
    Caller { pid: STRANGER.pid, uids, groups: Some(groups.to_vec()), same_ipc: Some(true) }
}

fn of_uid(uid: u32) -> Caller {
    caller(Some([uid; 4]), &[uid])
}

/// The codes where this process lives beside a dead server, whose set and queue have these modes.
fn beside(other: Caller, mode: u32) -> (&'static str, &'static str) {
    let mut look = with(both(), process(STRANGER.pid, STRANGER.start));
    look.change(|look| look.callers = Table::Whole(vec![other]));
    look.change(|look| look.sets.rows_mut()[0].row.perm.mode = mode);
    look.change(|look| look.queues.rows_mut()[0].perm.mode = mode);
    codes_of(&crashed(), &look)
}

const STAYS: (&str, &str) = ("others-may-use", "others-may-use");
const GOES: (&str, &str) = ("removed", "removed");

#[test]
fn what_has_a_key_stays_while_somebody_lives_whom_its_mode_lets_in() {
    assert_eq!(beside(of_uid(UID), 0o600), STAYS);
    // It may change the mode.
    assert_eq!(beside(of_uid(UID), 0), STAYS);
    assert_eq!(beside(of_uid(OTHER_UID), 0o600), GOES);
    assert_eq!(beside(of_uid(OTHER_UID), 0o606), STAYS);
    assert_eq!(beside(of_uid(OTHER_UID), 0o660), GOES, "of another group");
    assert_eq!(beside(caller(Some([OTHER_UID; 4]), &[7, GID]), 0o660), STAYS);
    assert_eq!(beside(caller(Some([OTHER_UID; 4]), &[7, GID]), 0o600), GOES);
    let no_groups = Caller { groups: None, ..of_uid(OTHER_UID) };
    assert_eq!(beside(no_groups.clone(), 0o660), STAYS, "its groups are not known");
    assert_eq!(beside(no_groups, 0o600), GOES);
    assert_eq!(beside(caller(None, &[]), 0o600), STAYS, "its user is not known");
    assert_eq!(beside(caller(Some([OTHER_UID, UID, 5, 5]), &[]), 0o600), STAYS, "by setuid");
    // Root may use everything; its own it is likely to.
    assert_eq!(beside(of_uid(0), 0o666), GOES);
    let elsewhere = Caller { same_ipc: Some(false), ..of_uid(UID) };
    assert_eq!(beside(elsewhere, 0o666), GOES, "its ids mean other objects");
    let unknown = Caller { same_ipc: None, ..of_uid(UID) };
    assert_eq!(beside(unknown, 0o600), STAYS);
}

#[test]
fn what_is_roots_stays_while_another_process_of_roots_lives() {
    let code = |callers: Vec<Caller>| {
        let mut look = with(both(), process(STRANGER.pid, STRANGER.start));
        look.change(|look| look.callers = Table::Whole(callers));
        look.change(|look| look.sets.rows_mut()[0].row.perm.uid = 0);
        set_code(&look)
    };
    assert_eq!(code(vec![of_uid(0)]), "others-may-use");
    assert_eq!(code(vec![]), "removed");
    let own = Caller { pid: both().pid, ..of_uid(0) };
    assert_eq!(code(vec![own]), "removed", "the onlooker itself");
}

#[test]
fn what_has_a_key_stays_where_not_everybody_is_seen() {
    let mut look = both();
    look.change(|look| look.sight = Sight::Namespace);
    assert_eq!(codes_of(&crashed(), &look), ("others-unseen", "unseen"));
    look.change(|look| look.sight = Sight::Everybody);
    look.change(|look| look.callers = Table::unasked());
    assert_eq!(codes_of(&crashed(), &look), ("others-unseen", "others-unseen"), "not looked at");
}

/// Whoever was not given its number cannot find it.
#[test]
fn what_has_no_key_goes_by_who_used_it() {
    let known = SemaphoreSet { key: Key(0), ..set() };
    let story =
        Story::of(generic(1)).object(1, Role::Other, Identity::Sem(known)).end(1, End::Signal(9));
    let mut look = with(both(), process(STRANGER.pid, STRANGER.start));
    look.change(|look| look.callers = Table::Whole(vec![of_uid(UID)]));
    look.change(|look| look.sets.rows_mut()[0].row.perm.key = 0);
    assert_eq!(reason(&story.book, &look, 1), None);
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[STRANGER.pid])));
    assert_eq!(reason(&story.book, &look, 1).unwrap().code(), "last-user-lives");
}

#[test]
fn what_others_could_use_says_so_before_it_was_left_for_that_is_waived_by_an_option() {
    let mut look = with(both(), process(STRANGER.pid, STRANGER.start));
    look.change(|look| look.callers = Table::Whole(vec![of_uid(UID)]));
    let left = recorded().end(1, End::Exit(0));
    assert_eq!(codes_of(&left, &look), STAYS);
    assert_eq!(codes_of(&left, &both()), ("left-clean", "left-clean"));
    let asked = super::sets_make::codes_when_asked(&left, &look);
    assert_eq!(asked, STAYS, "asked for or not");
}

fn stranger(object: u64) -> Record {
    Record::Stranger { object, process: STRANGER }
}

#[test]
fn a_stranger_that_was_noted_keeps_what_it_used_while_it_lives() {
    let story = recorded().then(stranger(1)).end(1, End::Signal(9));
    assert_eq!(codes_of(&story, &both()), GOES, "it is dead");
    let alive = with(both(), process(STRANGER.pid, STRANGER.start));
    assert_eq!(codes_of(&story, &alive), ("shared", "removed"));
    let later = with(both(), process(STRANGER.pid, STRANGER.start + 1));
    assert_eq!(codes_of(&story, &later), GOES, "another process has the number");
    let mut hidden = both();
    hidden.change(|look| look.hidden = vec![STRANGER.pid]);
    assert_eq!(codes_of(&story, &hidden), ("last-user-unseen", "removed"));
    let elsewhere = both().with(|look| look.place = in_pids("id:99"));
    assert_eq!(codes_of(&story, &elsewhere).0, "last-user-unseen");
}

#[test]
fn strangers_are_kept_by_a_ledger_that_is_written_anew_as_long_as_the_set_is_there() {
    let story = recorded().then(stranger(1));
    let anew = |story: &Story| Book::replay(&compact::rewrite(&story.bytes())).0;
    assert_eq!(anew(&story).strangers[&1], [STRANGER]);
    let gone = story.then(Record::Gone { object: 1 });
    assert_eq!(anew(&gone).strangers.get(&1), None);
}

#[test]
fn an_older_ledger_names_no_stranger_and_what_is_not_there_has_none() {
    let old = Record::Header(Header { version: 2, place: here(), file: None });
    let mut story = Story::default()
        .then(old)
        .then(super::make::run(1))
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Other, shm(&segment(0)));
    assert!(story.tell(None, stranger(1)).is_err());
    let mut story = recorded().object(3, Role::Other, shm(&segment(0)));
    assert!(story.tell(None, stranger(3)).is_ok());
    assert!(story.tell(None, stranger(9)).is_err());
    assert!(story.tell(None, stranger(1)).is_ok());
}

/// An openGauss with a set of its own; `open` is the key of its segment.
fn gauss(segment: &Segment, end: End) -> Story {
    let claim = Claim { engine: Engine::OPENGAUSS, ..generic(1) };
    Story::of(claim)
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Main, shm(segment))
        .end(1, end)
}

/// Its set as it is seen where not everybody is: a member that nobody used, and others beside.
fn in_container(segment: &Segment, nattch: u64, mark: Option<i32>) -> Snapshot {
    let mut main = row(segment);
    main.nattch = nattch;
    let mut look = both().with(|look| look.segments = Table::Whole(vec![main]));
    let members = Some(operated_by(&[0, SERVER.pid]));
    look.change(|look| look.queues = Table::Whole(vec![]));
    look.change(|look| look.sets = Table::Whole(vec![Set { members, ..set_now() }]));
    look.change(|look| look.sight = Sight::Namespace);
    look.change(|look| look.callers = Table::Whole(vec![of_uid(UID)]));
    look.change(|look| look.marked = mark.into_iter().map(|pid| (3, pid)).collect());
    look
}

#[test]
fn an_opengausss_set_goes_by_its_mark_and_the_main_segment() {
    let main = segment(0);
    let story = gauss(&main, End::Signal(9));
    let code = |look: &Snapshot| reason(&story.book, look, 1).map_or("removed", |r| r.code());
    assert_eq!(code(&in_container(&main, 0, Some(SERVER.pid))), "removed");
    assert_eq!(code(&in_container(&main, 1, Some(SERVER.pid))), "last-user-unseen");
    assert_eq!(code(&in_container(&main, 0, None)), "others-unseen", "no mark");
    let other = in_container(&main, 0, Some(STRANGER.pid));
    assert_eq!(code(&other), "others-unseen", "another's mark");
    // Removed before, or by the server itself: then nobody has it attached.
    let mut gone = in_container(&main, 0, Some(SERVER.pid));
    gone.change(|look| look.segments = Table::Whole(vec![]));
    assert_eq!(code(&gone), "removed");
    // Who waits says more.
    let mut waited = in_container(&main, 0, Some(SERVER.pid));
    waited.change(|look| look.sets.rows_mut()[0].members.as_mut().unwrap().waiters = 1);
    assert_eq!(code(&waited), "waited-for");
    let mut changed = in_container(&main, 0, Some(SERVER.pid));
    changed.change(|look| look.sets.rows_mut()[0].row.ctime += 5);
    assert_eq!(code(&changed), "changed-since");
}

/// After a restart in a pod its pid reads 0 in every member, the mark's included.
#[test]
fn in_another_pid_namespace_the_mark_of_a_dead_opengauss_reads_0() {
    let main = Segment { creator_pid: 0, ..segment(0) };
    let story = gauss(&segment(0), End::Unknown);
    let mut look = in_container(&main, 0, Some(0));
    look.change(|look| look.place = in_pids("id:99"));
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[0])));
    let code = |look: &Snapshot| reason(&story.book, look, 1).map_or("removed", |r| r.code());
    assert_eq!(code(&look), "removed");
    // Seen from an outer namespace it has another number.
    look.change(|look| look.marked = [(3, 12_345)].into());
    assert_eq!(code(&look), "removed");
    look.change(|look| look.marked = [(3, STRANGER.pid)].into());
    let look = with(look, process(STRANGER.pid, STRANGER.start));
    assert_eq!(code(&look), "others-may-use", "somebody's of this namespace");
}

#[test]
fn a_keyed_set_without_its_mark_is_no_opengausss_by_proof() {
    let main = segment(0);
    let story = gauss(&main, End::Signal(9));
    let mut look = in_container(&main, 0, None);
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[SERVER.pid])));
    let look = with(look, process(STRANGER.pid, STRANGER.start));
    let kept = reason(&story.book, &look, 1).unwrap();
    assert_eq!(kept.code(), "others-may-use");
}
