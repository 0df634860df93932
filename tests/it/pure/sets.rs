//! Semaphore sets and message queues of a dead server: they have no nattch, so everything that
//! may be a use keeps them, and each part of their identity counts.

use std::time::{Duration, SystemTime};

use shmwarden::attribute::{self, Doubt};
use shmwarden::decide::{Policy, Reason, Verdict};
use shmwarden::ledger::Book;
use shmwarden::ledger::book::Tail;
use shmwarden::ledger::record::{
    Claim, End, Header, How, ObjectSeen, Outcome, Record, Role, VERSION,
};
use shmwarden::object::{Identity, Key, ProcessRef, Queue, SemaphoreSet};
use shmwarden::observe::tables::{Extra, Set, queue_identity};
use shmwarden::observe::uses::{Found, WaitsFor};
use shmwarden::observe::{Observation, Process};
use shmwarden::sys::sem::Members;
use shmwarden::sys::{msg, sem};

use super::make::{
    GID, OTHER_UID, SERVER, UID, closed, generic, in_boot, in_ipc, in_pids, look, process, row,
    seconds, seen, segment, shm,
};
use super::story::{Story, codes_of_suspects, reason, removed, settle, would_remove};

/// A descendant that the ledger knows.
const WORKER: ProcessRef = ProcessRef { pid: 4720, start: 1010 };

fn set() -> SemaphoreSet {
    SemaphoreSet {
        id: 3,
        key: Key(0x00f4_2401),
        nsems: 17,
        creator_uid: UID,
        creator_gid: GID,
        ctime: seconds(20),
    }
}

/// The set as the kernel shows it when its server, dead now, was its last operator.
fn set_now() -> Set {
    let row = sem::Row {
        id: 3,
        key: 0x00f4_2401,
        mode: 0o600,
        uid: UID,
        gid: GID,
        creator_uid: UID,
        creator_gid: GID,
        members: 17,
        otime: seconds(30),
        ctime: seconds(20),
    };
    Set { row, members: Some(operated_by(&[SERVER.pid])) }
}

fn operated_by(operators: &[i32]) -> Members {
    Members { operators: operators.to_vec(), ..Members::default() }
}

fn queue_now() -> msg::Row {
    msg::Row {
        id: 5,
        key: 0x00f4_2402,
        mode: 0o600,
        uid: UID,
        gid: GID,
        creator_uid: UID,
        creator_gid: GID,
        messages: 2,
        bytes: 700,
        last_sender: SERVER.pid,
        last_receiver: 0,
        stime: seconds(30),
        rtime: 0,
        ctime: seconds(20),
    }
}

fn queue() -> Queue {
    queue_identity(&queue_now())
}

fn recorded() -> Story {
    Story::of(generic(1)).object(1, Role::Other, Identity::Sem(set())).object(
        2,
        Role::Other,
        Identity::Msg(queue()),
    )
}

/// The server was seen to die; object 1 is its set, 2 its queue.
fn crashed() -> Story {
    recorded().end(1, End::Signal(9))
}

/// A look at both, with every pid visible.
fn both() -> Observation {
    let extra = Extra {
        sets: vec![set_now()],
        sets_were_read: true,
        queues: vec![queue_now()],
        queues_were_read: true,
        shows_all_pids: true,
        ..Extra::default()
    };
    Observation { extra, ..look() }
}

fn with_set(change: impl Fn(&mut Set)) -> Observation {
    let mut look = both();
    change(&mut look.extra.sets[0]);
    look
}

fn with_members(members: Members) -> Observation {
    with_set(|set| set.members = Some(members.clone()))
}

fn with_queue(change: impl Fn(&mut msg::Row)) -> Observation {
    let mut look = both();
    change(&mut look.extra.queues[0]);
    look
}

fn with(mut look: Observation, process: Process) -> Observation {
    look.processes.push(process);
    look
}

/// The codes for set and queue; `removed` where there is no reason to keep.
fn codes_of(story: &Story, look: &Observation) -> (&'static str, &'static str) {
    let code = |object| reason(&story.book, look, object).map_or("removed", |r| r.code());
    (code(1), code(2))
}

fn set_code(look: &Observation) -> &'static str {
    codes_of(&crashed(), look).0
}

fn queue_code(look: &Observation) -> &'static str {
    codes_of(&crashed(), look).1
}

#[test]
fn what_nobody_uses_is_removed_after_all_memory() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Other, Identity::Msg(queue()))
        .object(3, Role::Other, shm(&segment(0)))
        .end(1, End::Signal(9));
    let mut look = both();
    look.segments = vec![row(&segment(0))];
    let all = [shm(&segment(0)), Identity::Sem(set()), Identity::Msg(queue())];
    assert_eq!(would_remove(&story.book, &look), all);
}

#[test]
fn a_queue_says_what_is_lost_with_it() {
    let (_, verdicts) = settle(&crashed().book, &both(), &Policy::default());
    let Verdict::Remove(removal) = &verdicts[1] else { panic!() };
    assert!(removal.evidence().contains("2 messages of 700 bytes"), "{}", removal.evidence());
}

#[test]
fn a_set_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut sem::Row);
    let changes: [(&str, Change); 4] = [
        ("key", |row| row.key += 1),
        ("number of semaphores", |row| row.members += 1),
        ("creator uid", |row| row.creator_uid = OTHER_UID),
        ("creator gid", |row| row.creator_gid += 1),
    ];
    for (what, change) in changes {
        let look = with_set(|set| change(&mut set.row));
        assert_eq!(reason(&crashed().book, &look, 1), Some(Reason::Changed(what)));
    }
    assert_eq!(set_code(&with_set(|set| set.row.id += 1)), "gone");
    let chowned = |set: &mut Set| (set.row.uid, set.row.mode) = (OTHER_UID, 0o666);
    assert_eq!(set_code(&with_set(chowned)), "removed");
}

#[test]
fn a_queue_that_differs_in_one_part_of_its_identity_is_another_one() {
    type Change = fn(&mut msg::Row);
    let changes: [(&str, Change); 3] = [
        ("key", |row| row.key += 1),
        ("creator uid", |row| row.creator_uid = OTHER_UID),
        ("creator gid", |row| row.creator_gid += 1),
    ];
    for (what, change) in changes {
        assert_eq!(reason(&crashed().book, &with_queue(change), 2), Some(Reason::Changed(what)));
    }
    assert_eq!(queue_code(&with_queue(|row| row.id += 1)), "gone");
}

#[test]
fn in_another_boot_or_ipc_namespace_both_are_kept_though_everything_fits() {
    let elsewhere = |place| Observation { place, ..both() };
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
        codes_of(&story, &Observation { place: in_ipc(ipc), ..both() })
    };
    let unsure = ("unsure-namespace", "unsure-namespace");
    assert_eq!(in_place("inode:4026532177/first:100"), unsure);
    assert_eq!(in_place("inode:4026532177/first:unknown"), unsure);
    assert_eq!(in_place("inode:4026531839"), ("removed", "removed"), "the machine's own");
}

#[test]
fn a_waiter_keeps_a_set_and_all_of_its_instance() {
    let waited = Members { waiters: 1, ..operated_by(&[SERVER.pid]) };
    assert_eq!(codes_of(&crashed(), &with_members(waited)), ("waited-for", "instance-held"));
    for what in [WaitsFor::Set(3), WaitsFor::Queue(5)] {
        let mut look = both();
        look.extra.blocked = vec![Found { pid: 8000, what, times: 2 }];
        let (set, queue) = codes_of(&crashed(), &look);
        assert!([set, queue].contains(&"waited-for"), "{what:?}");
        assert!([set, queue].contains(&"instance-held"), "{what:?}");
    }
    let mut look = both();
    look.extra.blocked = vec![
        Found { pid: 8000, what: WaitsFor::Set(5), times: 1 },
        Found { pid: 8000, what: WaitsFor::Queue(3), times: 1 },
    ];
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
    let hidden = Observation { hidden: vec![8000], ..look() };
    assert_eq!(set_code(&hidden), "last-user-unseen");
    let (_, verdicts) =
        settle(&crashed().book, &with(look(), process(8000, 2000)), &Policy::default());
    let Verdict::Keep(kept) = &verdicts[0] else { panic!() };
    assert_eq!(kept.holders[0].process.pid, 8000);
}

#[test]
fn a_last_sender_or_receiver_that_lives_keeps_a_queue() {
    let sent = with_queue(|row| row.last_sender = 8000);
    let received = with_queue(|row| (row.last_receiver, row.rtime) = (8000, 1));
    for look in [sent, received] {
        assert_eq!(queue_code(&look), "removed");
        let hidden = Observation { hidden: vec![8000], ..look.clone() };
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
    let look = |shows_all_pids, otime, members: Members| {
        let mut look = with_members(members);
        look.extra.shows_all_pids = shows_all_pids;
        look.extra.sets[0].row.otime = otime;
        set_code(&look)
    };
    let some = || operated_by(&[0, SERVER.pid]);
    let fresh = || operated_by(&[0]);
    assert_eq!(look(true, seconds(30), some()), "removed");
    assert_eq!(look(false, seconds(30), some()), "last-user-unseen");
    assert_eq!(look(false, seconds(30), fresh()), "last-user-unseen");
    assert_eq!(look(false, 0, some()), "removed", "nobody ever used semop on it");
    assert_eq!(look(false, 0, fresh()), "removed");
    let valued = Members { set_unseen: true, ..fresh() };
    assert_eq!(look(false, 0, valued), "last-user-unseen");
}

#[test]
fn who_may_not_be_asked_counts_as_a_user() {
    assert_eq!(set_code(&with_set(|set| set.members = None)), "unreadable");
    let mut look = both();
    (look.extra.sets_were_read, look.extra.queues_were_read) = (false, false);
    (look.extra.sets, look.extra.queues) = (vec![], vec![]);
    assert_eq!(codes_of(&crashed(), &look), ("unreadable", "unreadable"));
}

#[test]
fn a_process_that_may_wait_for_a_queue_and_may_not_be_asked_keeps_it() {
    let unasked = |uid, mode| {
        let mut look = with_queue(|row| row.mode = mode);
        look.extra.unasked = vec![8000];
        let other = Process { uids: Some([uid; 4]), ..closed(8000, "client") };
        queue_code(&with(look, other))
    };
    assert_eq!(unasked(UID, 0o600), "perhaps-waited-for");
    assert_eq!(unasked(OTHER_UID, 0o600), "removed");
    assert_eq!(unasked(OTHER_UID, 0o620), "perhaps-waited-for");
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
        look.now = SystemTime::UNIX_EPOCH + now;
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
    let by = |operators: &[i32]| codes_of(&recorded(), &with_members(operated_by(operators))).0;
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
    assert_eq!(codes_of(&knows_worker, &look).0, "removed");
    let descendant = Record::Descendant { run: 1, process: WORKER };
    let of_both = recorded().then(descendant);
    assert_eq!(codes_of(&of_both, &look).0, "removed");
    let anew = Book::replay(&shmwarden::ledger::compact::rewrite(&of_both.bytes())).0;
    assert_eq!(anew.runs[&1].descendants, [WORKER], "as long as the set is open");
    // The server may have set it after the launcher's last look.
    let moved = with_set(|set| set.row.ctime = seconds(25));
    assert_eq!(codes_of(&recorded(), &moved).0, "removed");
    let unused = with_set(|set| {
        (set.row.ctime, set.row.otime) = (seconds(25), 0);
        set.members = Some(operated_by(&[0]));
    });
    assert_eq!(codes_of(&recorded(), &unused).0, "changed-since");
    let sent = with_queue(|row| row.last_sender = WORKER.pid);
    assert_eq!(codes_of(&recorded(), &sent).1, "user-unrecorded");
}

#[test]
fn pids_of_another_pid_namespace_are_not_the_recorded_ones() {
    let elsewhere = Observation { place: in_pids("id:99"), ..both() };
    assert_eq!(codes_of(&crashed(), &elsewhere), ("removed", "removed"), "seen to die");
    let mut unseen = elsewhere.clone();
    unseen.extra.shows_all_pids = false;
    unseen.extra.sets[0].members = Some(operated_by(&[0]));
    unseen.extra.queues[0].last_sender = 0;
    assert_eq!(codes_of(&crashed(), &unseen), ("last-user-unseen", "last-user-unseen"));
    // The death follows from the launcher's, which was the first process there; who used the set
    // last does not.
    let mut start = match super::make::run(1) {
        Record::Run(start) => start,
        other => panic!("{other:?}"),
    };
    start.launcher.pid = 1;
    let header = super::make::header(super::make::here());
    let story = Story::default().then(header).then(Record::Run(start));
    let story = story
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, Identity::Sem(set()))
        .object(2, Role::Other, Identity::Msg(queue()));
    assert_eq!(codes_of(&story, &elsewhere), ("user-unrecorded", "user-unrecorded"));
}

#[test]
fn nothing_goes_while_anything_of_the_instance_lives_or_is_held() {
    let mut attached = both();
    let mut main = row(&segment(0));
    main.nattch = 1;
    attached.segments = vec![main];
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
    let codes = |claim: Claim, look: &Observation| {
        let story = Story::of(claim);
        let (_, verdicts) = settle(&story.book, look, &Policy::default());
        assert_eq!(removed(&verdicts), []);
        codes_of_suspects(&verdicts)
    };
    assert_eq!(codes(generic(1), &both()), ["unwitnessed", "unwitnessed"]);
    let before = Claim { sets_before: vec![3], queues_before: vec![5], ..generic(1) };
    assert!(codes(before, &both()).is_empty(), "there before the server was");
    let mut others = both();
    others.extra.sets[0].members = Some(operated_by(&[8000]));
    others.extra.queues[0].creator_uid = OTHER_UID;
    assert!(codes(generic(1), &others).is_empty());
    let (found, suspects) = attribute::after_death(&Story::of(generic(1)).book, &both());
    assert_eq!(found, []);
    assert!(suspects.iter().all(|suspect| suspect.doubt == Doubt::Unwitnessed));
    let seen_to_end = Story::of(generic(1)).end(1, End::Signal(9));
    assert_eq!(attribute::after_death(&seen_to_end.book, &both()), (vec![], vec![]));
}

/// A segment that was raced for goes by itself; a set was left alone.
#[test]
fn a_set_that_was_raced_for_is_tried_again() {
    let raced = |object| {
        let intent = Record::Intent { object, reason: String::new() };
        let detail = String::new();
        (intent, Record::Outcome { object, outcome: Outcome::Raced, detail })
    };
    let story = recorded().object(3, Role::Other, shm(&segment(0))).end(1, End::Signal(9));
    let story = [1, 2, 3].into_iter().fold(story, |story, object| {
        let (intent, outcome) = raced(object);
        story.then(intent).then(outcome)
    });
    let open: Vec<u64> = story.book.open_objects().map(|object| object.number).collect();
    assert_eq!(open, [1, 2]);
    assert_eq!(codes_of(&story, &both()), ("removed", "removed"));
}

/// A program of version 1 goes by the first line, and would take a set's line for damage.
#[test]
fn a_ledger_of_version_1_names_no_set_until_a_header_says_so() {
    let header = |version| {
        let place = super::make::here();
        Record::Header(Header { version, place })
    };
    let begun = |version| Story::default().then(header(version)).then(super::make::run(1));
    let object = || Record::Object(seen(1, Role::Other, Identity::Sem(set())));
    let used = || Record::Used { run: 1, identity: Identity::Msg(queue()) };
    for record in [object(), used()] {
        assert!(begun(1).tell(None, record.clone()).is_err());
        assert_eq!(begun(1).then(header(2)).tell(None, record.clone()), Ok(()));
        assert_eq!(begun(2).tell(None, record), Ok(()));
    }
    assert!(begun(2).tell(None, header(1)).is_err(), "an older one after a newer one");
}

#[test]
fn an_older_ledger_written_anew_says_the_same_in_the_newest_version() {
    let place = super::make::here();
    let old = Story::default()
        .then(Record::Header(Header { version: 1, place }))
        .then(super::make::run(1))
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, shm(&segment(0)));
    let new = shmwarden::ledger::compact::rewrite(&old.bytes());
    let (book, _, tail) = Book::replay(&new);
    assert_eq!(tail, Tail::Clean);
    assert_eq!((old.book.first_version, book.first_version), (1, VERSION));
    assert_eq!((&book.objects, &book.runs), (&old.book.objects, &old.book.runs));
    let mut both = recorded();
    both.book = Book::replay(&shmwarden::ledger::compact::rewrite(&both.bytes())).0;
    assert_eq!(both.book, recorded().book);
}

#[test]
fn a_set_that_is_recorded_again_may_have_changed_in_its_time_alone() {
    let again = |identity| {
        let mut story = recorded();
        story.tell(None, Record::Object(seen(1, Role::Other, identity)))
    };
    let later = SemaphoreSet { ctime: seconds(99), ..set() };
    assert_eq!(again(Identity::Sem(later)), Ok(()));
    assert!(again(Identity::Sem(SemaphoreSet { nsems: 16, ..set() })).is_err());
    assert!(again(Identity::Sem(SemaphoreSet { id: 4, ..set() })).is_err());
    assert!(again(Identity::Msg(queue())).is_err());
}
