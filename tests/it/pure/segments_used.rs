//! Unattached segments that may be used on and off: by their last user, by what changed after the
//! death of their server, by the word of another ledger.

use std::path::Path;

use shmwarden::engine::postgres::{self, HEADER_BYTES};
use shmwarden::judge::{self, PeerWord, Reason};
use shmwarden::ledger::record::{Claim, End, Engine, How, Record, Role, RunStart};
use shmwarden::ledger::{Book, OwnFile};
use shmwarden::object::{Identity, Key, ProcessRef, Segment};
use shmwarden::snapshot::{Process, Snapshot, Table, ticks_a_second};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::shm::Row;

use super::make::{
    Change, DYNAMIC_HANDLE, LAUNCHER, LEDGER, OTHER_UID, SERVER, UID, claim, control_list, generic,
    header, header_in, here, in_pids, look, process, row, run, seconds, seen, segment, shm,
};
use super::story::{Story, crashed, reason};

const USER: i32 = 8000;
/// So many seconds after the beginning of everything the machine started: all that runs did later.
const AHEAD_MS: i64 = -100_000;

/// A generic server with one keyed segment, which was seen to die.
fn dead(claim: Claim) -> Story {
    dead_with(claim, segment(0))
}

fn dead_with(claim: Claim, of: Segment) -> Story {
    let Record::Run(start) = run(1) else { panic!() };
    let start = RunStart { clock_ahead_ms: Some(ahead_ms()), ..start };
    let story = Story::default().then(header(here())).then(Record::Run(start));
    let story = story.then(Record::Claim(claim)).object(1, Role::Other, shm(&of));
    story.end(1, End::Signal(9))
}

fn ahead_ms() -> i64 {
    seconds(0) * 1000 + AHEAD_MS
}

/// When the run ended, in seconds as [`seconds`] counts them.
fn end_s(story: &Story) -> i64 {
    i64::try_from(story.book.seq).unwrap()
}

/// A process that started so many seconds after the beginning.
fn started(pid: i32, after: i64) -> Process {
    let boot_s = after - AHEAD_MS / 1000;
    process(pid, u64::try_from(boot_s).unwrap() * ticks_a_second())
}

/// The segment as its last user has left it, so many seconds after the beginning.
fn used(by: i32, after: i64) -> Row {
    Row { last_pid: by, dtime: seconds(after), ..row(&segment(0)) }
}

fn with(row: Row, processes: Vec<Process>) -> Snapshot {
    let clock_ahead_ms = ahead_ms();
    look().with(|look| {
        look.segments = Table::Whole(vec![row]);
        look.processes = Table::Whole(processes);
        look.clock_ahead_ms = clock_ahead_ms;
    })
}

fn code(story: &Story, look: &Snapshot) -> &'static str {
    reason(&story.book, look, 1).map_or("removed", |reason| reason.code())
}

#[test]
fn a_last_user_that_lives_keeps_it_and_a_later_process_of_its_pid_does_not() {
    let story = dead(generic(1));
    assert_eq!(code(&story, &with(used(USER, 3), vec![])), "removed");
    assert_eq!(code(&story, &with(used(USER, 3), vec![started(USER, 2)])), "last-user-lives");
    assert_eq!(code(&story, &with(used(USER, 3), vec![started(USER, 3)])), "last-user-lives");
    let later = || Process { uids: Some([OTHER_UID; 4]), ..started(USER, 9) };
    assert_eq!(code(&story, &with(used(USER, 3), vec![later()])), "removed");
    let set = with(used(USER, 3), vec![later()])
        .with(|look| look.clock_ahead_ms = ahead_ms() - 3_600_000);
    assert_eq!(code(&story, &set), "last-user-lives", "the clock was set");
    let hidden = with(used(USER, 3), vec![]).with(|look| look.hidden = vec![USER]);
    assert_eq!(code(&story, &hidden), "last-user-unseen");
    let own = with(used(USER, 3), vec![started(USER, 2)]).with(|look| look.pid = USER);
    assert_eq!(code(&story, &own), "removed", "the onlooker itself");
}

#[test]
fn a_pid_of_0_is_a_user_elsewhere_only_within_the_pid_namespace_that_recorded_it() {
    let story = dead(generic(1));
    assert_eq!(code(&story, &with(used(0, 3), vec![])), "last-user-unseen");
    let never = Row { dtime: 0, ..used(0, 3) };
    assert_eq!(code(&story, &with(never, vec![])), "removed");
    let restarted = with(used(0, 3), vec![]).with(|look| look.place = in_pids("id:99"));
    assert_eq!(code(&story, &restarted), "removed");
}

/// Two servers whose data directories have one inode number test each other's segments.
#[test]
fn an_engines_segment_goes_by_its_nattch_alone() {
    let mut crashed = crashed();
    crashed.look.change(|look| look.segments.rows_mut()[0].last_pid = USER);
    crashed.look.change(|look| look.segments.rows_mut()[0].dtime = seconds(500));
    crashed.look.change(|look| look.processes = Table::Whole(vec![started(USER, 1)]));
    assert_eq!(crashed.reason(1), None);
    crashed.look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    assert_eq!(crashed.reason(1), Some(Reason::Attached(1)));
    let gauss = dead(Claim { engine: Engine::OPENGAUSS, ..claim(1) });
    assert_ne!(code(&gauss, &with(used(USER, 3), vec![started(USER, 2)])), "last-user-lives");
}

#[test]
fn what_a_stranger_used_last_stays_while_one_lives_who_may() {
    let story = dead(generic(1));
    let end = end_s(&story);
    let neighbour = || vec![started(USER + 1, 2)];
    let late = |by, after| used(by, end + after);
    assert_eq!(code(&story, &with(late(USER, 3), neighbour())), "used-since");
    assert_eq!(code(&story, &with(late(USER, 3), vec![])), "removed", "nobody may");
    for after in [2, 0, -3, -4] {
        assert_eq!(code(&story, &with(late(USER, after), neighbour())), "used-since", "{after}");
    }
    let elsewhere = with(late(0, -1), neighbour()).with(|look| look.place = in_pids("id:99"));
    assert_eq!(code(&story, &elsewhere), "removed", "the number of everybody of then");
    let elsewhere = with(late(0, 3), neighbour()).with(|look| look.place = in_pids("id:99"));
    assert_eq!(code(&story, &elsewhere), "used-since");
    assert_eq!(code(&story, &with(late(SERVER.pid, 3), neighbour())), "removed", "its own");
    let private = Row { perm: IpcPerm { key: 0, ..late(USER, 3).perm }, ..late(USER, 3) };
    let unnamed = dead_with(generic(1), Segment { key: Key(0), ..segment(0) });
    assert_eq!(code(&unnamed, &with(private, neighbour())), "removed", "nobody finds it");
    let other = || vec![Process { uids: Some([OTHER_UID; 4]), ..started(USER + 1, 2) }];
    assert_eq!(code(&story, &with(late(USER, 3), other())), "removed");
    let open = Row { perm: IpcPerm { mode: 0o666, ..late(USER, 3).perm }, ..late(USER, 3) };
    assert_eq!(code(&story, &with(open, other())), "used-since");
    let set =
        with(late(USER, 0), neighbour()).with(|look| look.clock_ahead_ms = ahead_ms() + 60_000);
    assert_eq!(code(&story, &set), "used-since", "the clock was set");
}

#[test]
fn what_a_noted_descendant_used_long_after_the_death_is_removed() {
    let Record::Run(start) = run(1) else { panic!() };
    let known = Record::Descendant { run: 1, process: started(USER, 2).process };
    let story = Story::default().then(header(here())).then(Record::Run(start));
    let story = story.then(Record::Claim(generic(1))).object(1, Role::Other, shm(&segment(0)));
    let story = story.then(known).end(1, End::Signal(9));
    let late = used(USER, end_s(&story) + 60);
    assert_eq!(code(&story, &with(late.clone(), vec![started(USER + 1, 2)])), "removed");
    let other = Row { last_pid: USER + 2, ..late };
    assert_eq!(code(&story, &with(other, vec![started(USER + 1, 2)])), "used-since");
}

#[test]
fn the_one_noted_stranger_excuses_its_last_use_and_one_of_several_does_not() {
    let Record::Run(start) = run(1) else { panic!() };
    let story = Story::default().then(header(here())).then(Record::Run(start));
    let story = story.then(Record::Claim(generic(1))).object(1, Role::Other, shm(&segment(0)));
    let noted = |pid| Record::Stranger { object: 1, process: started(pid, 2).process };
    let one = story.then(noted(USER));
    let several = one.clone().then(noted(USER + 2)).end(1, End::Signal(9));
    let one = one.end(1, End::Signal(9));
    let neighbour = || vec![started(USER + 1, 2)];
    assert_eq!(code(&one, &with(used(USER, 3), neighbour())), "removed");
    assert_eq!(code(&several, &with(used(USER, 3), neighbour())), "used-since");
    assert_eq!(code(&several, &with(used(USER, 3), vec![])), "removed", "nobody may use it");
}

/// What a program that one of its sessions started has made is none of the engine's, though the
/// engine's main segment is unattached.
#[test]
fn what_a_descendant_of_an_engine_made_for_itself_goes_by_its_own_users() {
    let made_by = |creator_pid| Segment { id: 77, key: Key(0x4242), creator_pid, ..segment(0) };
    let codes = |creator_pid: i32, key: i32, processes: Vec<Process>| {
        let mut crashed = crashed();
        let control = Segment { id: 78, key: Key(78), ..segment(0) };
        crashed.story = crashed.story.object(4, Role::Control, shm(&control));
        crashed.look.change(|look| look.segments.add(row(&control)));
        crashed.look.change(|look| {
            look.controls.push((shm(&control), control_list(true, &[DYNAMIC_HANDLE])))
        });
        let (segment, object) = (Segment { key: Key(key), ..made_by(creator_pid) }, 5);
        let creator = ProcessRef { pid: creator_pid, start: 1 };
        let mut seen = seen(object, Role::Other, shm(&segment));
        seen.how = How::Watch;
        seen.creator = Some(creator);
        crashed.story = crashed.story.then(Record::Object(seen));
        let row = Row { last_pid: USER, dtime: seconds(3), ..row(&segment) };
        crashed.look.change(|look| look.segments.add(row));
        crashed.look.change(|look| look.headers.insert(77, vec![0; HEADER_BYTES]));
        crashed.look.change(|look| look.processes = Table::Whole(processes));
        crashed.reason(object).map_or("removed", |reason| reason.code())
    };
    let alive = || vec![started(USER, 1)];
    let neighbour = || vec![started(USER + 1, 1)];
    assert_eq!(codes(USER, 0x4242, alive()), "last-user-lives");
    assert_eq!(codes(USER + 2, 0x4242, neighbour()), "used-since");
    assert_eq!(codes(USER + 2, 0x4242, vec![]), "removed", "nobody may use it");
    assert_eq!(codes(USER, 0x4242, neighbour()), "removed", "its creator used it last");
    assert_eq!(codes(SERVER.pid, 0x4242, neighbour()), "removed", "the server's own");
    let listed = postgres::sysv_key(DYNAMIC_HANDLE);
    assert_eq!(codes(USER + 2, listed, neighbour()), "removed", "on its list");
}

/// A living server of another ledger, which has attached the segment before.
fn peer(end: Option<End>) -> Story {
    let story = Story::of(generic(1)).then(Record::Used { run: 1, identity: shm(&segment(0)) });
    end.into_iter().fold(story, |story, end| story.end(1, end))
}

fn elsewhere(story: Option<&Story>, uid: u32, look: &Snapshot) -> Option<Reason> {
    let path = Path::new("/var/lib/shmwarden/peer.ledger");
    let word = PeerWord { path, uid, book: story.map(|story| &story.book) };
    judge::used_elsewhere(&Book::default(), &shm(&segment(0)), [word], look)
}

#[test]
fn a_living_instances_ledger_keeps_what_it_has_as_used() {
    let server = Process { process: SERVER, ..process(SERVER.pid, SERVER.start) };
    let launcher = Process { process: LAUNCHER, ..server.clone() };
    let alive = with(used(USER, 3), vec![server.clone()]);
    let says = |story: &Story, uid, look: &Snapshot| elsewhere(Some(story), uid, look).is_some();
    assert!(says(&peer(None), UID, &alive));
    assert!(says(&peer(None), 0, &alive), "root may attach anything");
    assert!(says(&peer(None), UID, &with(used(USER, 3), vec![launcher])));
    assert!(!says(&peer(None), UID, &with(used(USER, 3), vec![])), "its run is over");
    assert!(says(&peer(Some(End::Unknown)), UID, &alive), "nobody saw it end");
    let over = peer(Some(End::Unknown));
    assert!(!says(&over, UID, &with(used(USER, 3), vec![])), "and it lives no more");
    let later = Process { process: started(SERVER.pid, 900).process, ..server };
    assert!(!says(&peer(None), UID, &with(used(USER, 3), vec![later])), "another process");
    assert!(!says(&peer(None), OTHER_UID, &alive), "whose owner may not attach it");
    let open = with(
        Row { perm: IpcPerm { mode: 0o666, ..used(USER, 3).perm }, ..used(USER, 3) },
        alive.processes.seen().cloned().collect(),
    );
    assert!(says(&peer(None), OTHER_UID, &open));
    let another =
        with(Row { bytes: 1, ..used(USER, 3) }, alive.processes.seen().cloned().collect());
    assert!(!says(&peer(None), UID, &another), "another object of its number");
    let pids = with(used(USER, 3), vec![]).with(|look| look.place = in_pids("id:99"));
    assert!(says(&peer(None), UID, &pids), "whose death cannot be seen");
}

/// What descends from a server may outlive the end that was noted of it.
#[test]
fn what_descends_from_another_ledgers_server_keeps_what_that_has_as_used() {
    let daemon = started(USER, 3);
    let noted = Record::Descendant { run: 1, process: daemon.process };
    let says = |end, place, processes| {
        let story = Story::of(generic(1)).then(Record::Used { run: 1, identity: shm(&segment(0)) });
        let story = story.then(noted.clone()).end(1, end);
        let look = with(used(USER, 3), processes).with(|look| look.place = place);
        elsewhere(Some(&story), UID, &look).is_some()
    };
    for end in [End::Unknown, End::Exit(0), End::Signal(9)] {
        assert!(says(end, here(), vec![daemon.clone()]), "{end:?}");
        assert!(!says(end, here(), vec![]), "{end:?}");
    }
    assert!(says(End::Unknown, in_pids("id:99"), vec![]), "whose death cannot be seen");
    assert!(!says(End::Exit(0), in_pids("id:99"), vec![]));
}

/// Whether that run lives is judged by the ledger itself; else a copy beside it would keep its
/// objects for good. A copy does not know what the ledger has noted since.
#[test]
fn a_copy_of_the_ledger_is_no_other_instance_and_the_ledger_is_one_to_its_copy() {
    let pids = with(used(USER, 3), vec![]).with(|look| look.place = in_pids("id:99"));
    let (copy, path) = (peer(None), Path::new("/var/lib/shmwarden/copy.ledger"));
    let word = PeerWord { path, uid: UID, book: Some(&copy.book) };
    let says = |own: &Book| judge::used_elsewhere(own, &shm(&segment(0)), [word], &pids).is_some();
    let own = |launcher, file| {
        let Record::Run(start) = run(1) else { panic!() };
        let story = Story::default().then(header_in(here(), file));
        story.then(Record::Run(RunStart { launcher, ..start }))
    };
    assert!(says(&Book::default()));
    let another = OwnFile { ino: LEDGER.ino + 1, ..LEDGER };
    assert!(!says(&own(LAUNCHER, Some(LEDGER)).read_from(LEDGER).book));
    assert!(says(&own(LAUNCHER, Some(LEDGER)).read_from(another).book), "this is the copy");
    assert!(says(&own(LAUNCHER, None).read_from(LEDGER).book), "or may be");
    let launcher = ProcessRef { start: LAUNCHER.start + 1, ..LAUNCHER };
    assert!(says(&own(launcher, Some(LEDGER)).read_from(LEDGER).book));
}

/// A word in a ledger cannot keep what its owner could not remove.
#[test]
fn another_ledgers_claim_counts_where_its_owner_may_remove_it() {
    let server = Process { process: SERVER, ..process(SERVER.pid, SERVER.start) };
    let open = with(
        Row { perm: IpcPerm { mode: 0o666, ..used(USER, 3).perm }, ..used(USER, 3) },
        vec![server],
    );
    let story = Story::of(generic(1)).object(1, Role::Other, shm(&segment(0)));
    assert!(elsewhere(Some(&story), UID, &open).is_some());
    assert!(elsewhere(Some(&story), OTHER_UID, &open).is_none());
}

#[test]
fn an_unread_ledger_counts_for_what_lets_its_owner_in_while_one_of_its_lives() {
    let other = || vec![Process { uids: Some([OTHER_UID; 4]), ..started(USER + 1, 2) }];
    let closed = with(used(USER, 3), other());
    let open =
        with(Row { perm: IpcPerm { mode: 0o666, ..used(USER, 3).perm }, ..used(USER, 3) }, other());
    assert!(elsewhere(None, OTHER_UID, &closed).is_none());
    assert!(elsewhere(None, 0, &closed).is_none(), "its mode does not let root in");
    let reason = elsewhere(None, OTHER_UID, &open).unwrap();
    assert_eq!(reason.code(), "used-elsewhere");
    assert!(reason.to_string().contains("could not be read"), "{reason}");
    let nobody = open.with(|look| look.processes = Table::Whole(vec![]));
    assert!(elsewhere(None, OTHER_UID, &nobody).is_none());
    assert!(matches!(shm(&segment(0)), Identity::Shm(_)));
}
