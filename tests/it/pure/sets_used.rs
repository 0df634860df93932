//! Sets and queues of a dead server that somebody uses or may use: they have no nattch, so
//! everything that may be a use keeps them.

use std::time::{Duration, SystemTime};

use shmwarden::judge::{Action, Policy};
use shmwarden::ledger::Book;
use shmwarden::ledger::record::{End, How, ObjectSeen, Record, Role};
use shmwarden::object::{Identity, SemaphoreSet};
use shmwarden::snapshot::waits::{Found, Waits, WaitsFor};
use shmwarden::snapshot::{Process, Sight, Table};
use shmwarden::sys::sem::Members;

use super::make::{
    Change, LEDGER, OTHER_UID, SERVER, UID, closed, generic, in_pids, process, seconds, seen,
    segment, shm,
};
use super::sets_make::{
    WORKER, both, codes_of, codes_when_asked, crashed, operated_by, queue, queue_code, recorded,
    set, set_code, with, with_members, with_queue, with_set,
};
use super::story::{Story, settle};

#[test]
fn a_waiter_keeps_a_set_and_all_of_its_instance() {
    let waited = Members { waiters: 1, ..operated_by(&[SERVER.pid]) };
    assert_eq!(codes_of(&crashed(), &with_members(waited)), ("waited-for", "instance-held"));
    for what in [WaitsFor::Set(3), WaitsFor::Queue(5)] {
        let mut look = both();
        let blocked = vec![Found { pid: 8000, what, times: 2 }];
        look.change(|look| look.waits = Some(Waits { blocked, unasked: vec![] }));
        let (set, queue) = codes_of(&crashed(), &look);
        assert!([set, queue].contains(&"waited-for"), "{what:?}");
        assert!([set, queue].contains(&"instance-held"), "{what:?}");
    }
    let mut look = both();
    let blocked = vec![
        Found { pid: 8000, what: WaitsFor::Set(5), times: 1 },
        Found { pid: 8000, what: WaitsFor::Queue(3), times: 1 },
    ];
    look.change(|look| look.waits = Some(Waits { blocked, unasked: vec![] }));
    assert_eq!(codes_of(&crashed(), &look), ("removed", "removed"), "others of these numbers");
}

/// Inside its critical section it shows as the last operator, and nothing waits.
#[test]
fn a_last_operator_that_lives_keeps_a_set() {
    let look = || with_members(operated_by(&[SERVER.pid, 8000]));
    assert_eq!(set_code(&look()), "removed");
    assert_eq!(set_code(&with(look(), process(8000, 2000))), "last-user-lives");
    let ended = Process { ended: true, ..process(8000, 2000) };
    assert_eq!(set_code(&with(look(), ended)), "removed");
    let hidden = look().with(|look| look.hidden = vec![8000]);
    assert_eq!(set_code(&hidden), "last-user-unseen");
    let (_, verdicts) =
        settle(&crashed().book, &with(look(), process(8000, 2000)), &Policy::default());
    let Action::Keep(kept) = &verdicts[0] else { panic!() };
    assert_eq!(kept.holders[0].process.pid, 8000);
}

#[test]
fn a_last_sender_or_receiver_that_lives_keeps_a_queue() {
    let sent = with_queue(|row| row.last_sender = 8000);
    let received = with_queue(|row| (row.last_receiver, row.rtime) = (8000, 1));
    for look in [sent, received] {
        assert_eq!(queue_code(&look), "removed");
        let hidden = look.clone().with(|look| look.hidden = vec![8000]);
        assert_eq!(queue_code(&hidden), "last-user-unseen");
        assert_eq!(queue_code(&with(look, process(8000, 2000))), "last-user-lives");
    }
    assert_eq!(queue_code(&with_queue(|row| row.last_sender = 0)), "last-user-unseen");
    assert_eq!(queue_code(&with_queue(|row| row.rtime = 1)), "last-user-unseen");
    let never_used = with_queue(|row| (row.last_sender, row.stime) = (0, 0));
    assert_eq!(queue_code(&never_used), "removed");
}

/// A pid of 0 is nobody's, or that of a process of another PID namespace.
#[test]
fn a_member_whose_operator_may_be_elsewhere_keeps_a_set() {
    let look = |everybody, otime, members: Members| {
        let mut look = with_members(members);
        look.change(|look| {
            look.sight = if everybody { Sight::Everybody } else { Sight::Namespace }
        });
        look.change(|look| look.sets.rows_mut()[0].row.otime = otime);
        set_code(&look)
    };
    let some = || operated_by(&[0, SERVER.pid]);
    let fresh = || operated_by(&[0]);
    assert_eq!(look(true, seconds(30), some()), "removed");
    assert_eq!(look(false, seconds(30), some()), "last-user-unseen");
    assert_eq!(look(false, seconds(30), fresh()), "last-user-unseen");
    // Nobody ever used semop on it; but it has a key.
    assert_eq!(look(false, 0, some()), "others-unseen");
    assert_eq!(look(false, 0, fresh()), "others-unseen");
    let valued = Members { set_unseen: true, ..fresh() };
    assert_eq!(look(false, 0, valued), "last-user-unseen");
}

#[test]
fn who_may_not_be_asked_counts_as_a_user() {
    assert_eq!(set_code(&with_set(|set| set.members = None)), "unreadable");
    let mut look = both();
    look.change(|look| (look.sets, look.queues) = (Table::unasked(), Table::unasked()));
    assert_eq!(codes_of(&crashed(), &look), ("unreadable", "unreadable"));
}

#[test]
fn a_process_that_may_wait_for_a_queue_and_may_not_be_asked_keeps_it() {
    let unasked = |uid, mode| {
        let mut look = with_queue(|row| row.perm.mode = mode);
        let waits = Waits { blocked: vec![], unasked: vec![8000] };
        look.change(|look| look.waits = Some(waits));
        let other = Process { uids: Some([uid; 4]), ..closed(8000, "client") };
        queue_code(&with(look, other))
    };
    assert_eq!(unasked(UID, 0o600), "perhaps-waited-for");
    assert_eq!(unasked(OTHER_UID, 0o600), "removed");
    assert_eq!(unasked(OTHER_UID, 0o620), "perhaps-waited-for");
}

/// The kernel counts no waiters of a queue: who is elsewhere, or hidden, may wait for it. The
/// waiters of a set it counts; but of a generic server survivors may be hidden.
#[test]
fn a_queue_is_kept_where_somebody_may_wait_for_it_unseen() {
    let with = |sight| {
        let look = both().with(|look| (look.sight, look.absent) = (sight, [SERVER.pid].into()));
        (set_code(&look), queue_code(&look))
    };
    assert_eq!(with(Sight::Everybody), ("removed", "removed"));
    assert_eq!(with(Sight::Namespace), ("others-unseen", "unseen"));
    assert_eq!(with(Sight::Part), ("instance-held", "unseen"));
    let unasked = both().with(|look| look.sight = Sight::Part);
    let unseen = ("last-user-unseen", "last-user-unseen");
    assert_eq!(codes_of(&crashed(), &unasked), unseen, "the kernel did not say that it has gone");
}

/// Set back as well: a clock may be.
#[test]
fn what_was_changed_since_the_last_look_is_kept() {
    for other in [seconds(21), seconds(19)] {
        let look = with_set(|set| set.row.ctime = other);
        assert_eq!(codes_of(&crashed(), &look), ("changed-since", "removed"));
        let look = with_queue(|row| row.ctime = other);
        assert_eq!(codes_of(&crashed(), &look), ("removed", "changed-since"));
    }
}

#[test]
fn what_was_used_after_the_death_is_kept_while_another_than_the_onlooker_may_go_on() {
    let used = with_set(|set| {
        set.row.otime = seconds(900);
        set.members = Some(operated_by(&[9000]));
    });
    let of_user = |pid| Process { uids: Some([UID; 4]), ..process(pid, 5) };
    assert_eq!(set_code(&used), "removed");
    assert_eq!(set_code(&with(used.clone(), of_user(used.pid + 1))), "used-since");
    assert_eq!(set_code(&with(used.clone(), of_user(used.pid))), "removed");
}

#[test]
fn the_last_look_records_a_set_as_it_is_then() {
    let moved = SemaphoreSet { ctime: seconds(25), ..set() };
    let again = seen(1, Role::Other, Identity::Sem(moved));
    let story = recorded().then(Record::Object(again)).end(1, End::Signal(9));
    let look = with_set(|set| set.row.ctime = seconds(25));
    assert_eq!(codes_of(&story, &look), ("removed", "removed"));
    assert_eq!(codes_of(&story, &both()), ("changed-since", "removed"));
}

/// Launcher and server killed together: nobody saw who used it after that.
#[test]
fn without_a_recorded_death_every_last_user_has_to_be_in_the_ledger() {
    assert_eq!(codes_of(&recorded(), &both()), ("left-unseen", "left-unseen"));
    let by =
        |operators: &[i32]| codes_when_asked(&recorded(), &with_members(operated_by(operators))).0;
    assert_eq!(by(&[SERVER.pid]), "removed");
    assert_eq!(by(&[SERVER.pid, WORKER.pid]), "user-unrecorded");
    assert_eq!(by(&[0, SERVER.pid]), "removed", "a member that nobody used");
    let worker = ObjectSeen {
        how: How::Watch,
        creator: Some(WORKER),
        ..seen(3, Role::Other, shm(&segment(9)))
    };
    let knows_worker = recorded().then(Record::Object(worker));
    let look = with_members(operated_by(&[SERVER.pid, WORKER.pid]));
    assert_eq!(codes_when_asked(&knows_worker, &look).0, "removed");
    let descendant = Record::Descendant { run: 1, process: WORKER };
    let of_both = recorded().then(descendant);
    assert_eq!(codes_when_asked(&of_both, &look).0, "removed");
    let anew = Book::replay(&shmwarden::ledger::compact::rewrite(&of_both.bytes())).0;
    assert_eq!(anew.runs[&1].descendants, [WORKER], "as long as the set is open");
    // The server may have set it after the launcher's last look.
    let moved = with_set(|set| set.row.ctime = seconds(25));
    assert_eq!(codes_when_asked(&recorded(), &moved).0, "removed");
    let unused = with_set(|set| {
        (set.row.ctime, set.row.otime) = (seconds(25), 0);
        set.members = Some(operated_by(&[0]));
    });
    assert_eq!(codes_when_asked(&recorded(), &unused).0, "changed-since");
    let sent = with_queue(|row| row.last_sender = WORKER.pid);
    assert_eq!(codes_when_asked(&recorded(), &sent).1, "user-unrecorded");
}

#[test]
fn pids_of_another_pid_namespace_are_not_the_recorded_ones() {
    let elsewhere = both().with(|look| look.place = in_pids("id:99"));
    assert_eq!(codes_of(&crashed(), &elsewhere), ("removed", "removed"), "seen to die");
    let mut unseen = elsewhere.clone();
    unseen.change(|look| look.sight = Sight::Namespace);
    unseen.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[0])));
    unseen.change(|look| look.queues.rows_mut()[0].last_sender = 0);
    assert_eq!(codes_of(&crashed(), &unseen), ("last-user-unseen", "last-user-unseen"));
    // The death follows from the launcher's, which was the first process there; who used the set
    // last does not.
    let mut start = match super::make::run(1) {
        Record::Run(start) => start,
        other => panic!("{other:?}"),
    };
    start.launcher.pid = 1;
    let header = super::make::header_in(super::make::here(), Some(LEDGER));
    let story = Story::default().then(header).then(Record::Run(start)).read_from(LEDGER);
    let story = story
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Other, Identity::Msg(queue()));
    assert_eq!(codes_of(&story, &elsewhere), ("user-unrecorded", "user-unrecorded"));
}

/// The last use is told in whole seconds by a clock that may be set; the death was at second 30.
#[test]
fn a_clock_that_was_set_since_the_death_keeps_what_may_have_been_used_since() {
    let ended = {
        let (_, ended) = crashed().book.runs[&1].end.unwrap();
        let since = ended.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(since).unwrap()
    };
    let code = |used: i64, now: i64| {
        let mut look = with_set(|set| {
            set.row.otime = used;
            set.members = Some(operated_by(&[9000]));
        });
        let now = Duration::from_secs(now.unsigned_abs());
        look.change(|look| look.now = SystemTime::UNIX_EPOCH + now);
        let next = Process { uids: Some([UID; 4]), ..process(look.pid + 1, 5) };
        set_code(&with(look, next))
    };
    let hour = 3600;
    assert_eq!(code(ended - 1, ended + 5), "removed", "used before, by a short-lived child");
    assert_eq!(code(ended, ended + 5), "used-since", "in the second of the death: doubt keeps");
    // Set forward since: what was used later still looks later.
    assert_eq!(code(ended + hour, ended + hour + 5), "used-since");
    assert_eq!(code(ended - 1, ended + hour), "removed");
    // Set back since, and the look comes before the clock has caught up.
    assert_eq!(code(ended - hour + 2, ended - hour + 5), "used-since");
    // Once it has caught up nothing tells the one from the other (docs/safety.md).
    assert_eq!(code(ended - hour + 2, ended + hour), "removed");
}
