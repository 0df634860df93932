//! The proof that nobody wants an object, in literals: each test changes the one thing that speaks
//! against it. What a name waives is asked twice, by a filter and by name.

use std::time::Duration;

use shmwarden::judge::Reason;
use shmwarden::judge::unowned::{Plan, Scene, Wish, plan};
use shmwarden::ledger::record::{How, Role};
use shmwarden::object::{Bytes, Identity, Key, Segment, ShmFile};
use shmwarden::snapshot::callers::Caller;
use shmwarden::snapshot::subject::Subject;
use shmwarden::snapshot::tables::Set;
use shmwarden::snapshot::waits::{Found, Waits, WaitsFor};
use shmwarden::snapshot::{Mapped, Process, Seen, Sight, Snapshot, Table};
use shmwarden::sys::shm::{MODE_DEST, Row};
use shmwarden::sys::{IpcPerm, msg, sem};

use super::make::{
    CONTROL_HANDLE, Change, DATA, DYNAMIC_HANDLE, OTHER_UID, SERVER, UID, control_list, file,
    listed, look, main_header, posix_of, process, row, seconds, segment, sysv_of, time,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A look as root, two hours after the objects of `make` were made; nobody of their user lives.
pub fn later() -> Snapshot {
    let mut later = look();
    later.change(|look| (look.uid, look.now) = (0, time(2 * 3600 + 10)));
    later
        .change(|look| look.processes = Table::Whole(vec![of_user(1, 0), of_user(900, OTHER_UID)]));
    later
}

/// A process of a user that maps nothing.
pub fn of_user(pid: i32, uid: u32) -> Process {
    Process { uids: Some([uid; 4]), ..process(pid, 5) }
}

/// Adds a segment that nobody has attached and that holds nothing of PostgreSQL's.
pub fn add(look: &mut Snapshot, segment: &Segment) {
    look.change(|look| look.segments.add(row(segment)));
    look.change(|look| drop(look.headers.insert(segment.id, vec![0; 56])));
}

/// Adds a file.
pub fn add_file(look: &mut Snapshot, file: &ShmFile) {
    look.change(|look| look.files.add(listed(file.clone())));
}

fn change_row(look: &mut Snapshot, id: i32, how: impl FnOnce(&mut Row)) {
    look.change(|look| how(look.segments.rows_mut().iter_mut().find(|row| row.id == id).unwrap()));
}

/// What is made of objects: kind, number or name, role, and the code of what speaks against it.
type Made = (String, Role, &'static str);

/// What is made of those that are wished.
fn made(look: &Snapshot, how: How, wished: impl Fn(Subject<'_>) -> bool) -> Vec<Made> {
    let (plan, _) = planned(look, how, wished, Some(HOUR));
    plan
}

fn planned(
    look: &Snapshot,
    how: How,
    wished: impl Fn(Subject<'_>) -> bool,
    min_age: Option<Duration>,
) -> (Vec<Made>, Vec<i32>) {
    let scene = Scene::of(look, &[]);
    let wishes = Subject::all(look).filter(|subject| wished(*subject));
    let wishes: Vec<Wish<'_>> = wishes.map(|subject| Wish { subject, how }).collect();
    let Plan { proposals, unread } = plan(&scene, &wishes, min_age, &|_| None);
    let made = proposals.iter().map(|one| {
        let name = match one.subject {
            Subject::Posix(file) => file.name.lossy(),
            other => format!("{} {}", other.kind().word(), other.id().unwrap()),
        };
        (name, one.role, one.against.as_ref().map_or("", Reason::code))
    });
    (made.collect(), unread)
}

/// The codes by a filter and by name, of the segment with this id.
fn both(look: &Snapshot, id: i32) -> [&'static str; 2] {
    [How::Adopted, How::Named].map(|how| {
        let made = made(look, how, |subject| matches!(subject, Subject::Shm(row) if row.id == id));
        made[0].2
    })
}

fn one() -> Snapshot {
    let mut look = later();
    add(&mut look, &segment(7));
    look
}

#[test]
fn nothing_speaks_against_an_old_segment_whose_user_has_no_process() {
    assert_eq!(both(&one(), 7), ["", ""]);
}

#[test]
fn a_process_of_its_owner_or_creator_keeps_it_from_every_filter() {
    let mut look = one();
    look.change(|look| look.processes.add(of_user(50, UID)));
    assert_eq!(both(&look, 7), ["user-lives", ""]);
    let mut look = one();
    change_row(&mut look, 7, |row| row.perm.uid = OTHER_UID);
    assert_eq!(both(&look, 7), ["user-lives", ""]);
    // One of four places is enough.
    let mut look = one();
    look.change(|look| {
        look.processes.add(Process { uids: Some([0, 0, UID, 0]), ..of_user(50, 0) })
    });
    assert_eq!(both(&look, 7), ["user-lives", ""]);
    let mut look = one();
    look.change(|look| look.processes.add(Process { ended: true, ..of_user(50, UID) }));
    assert_eq!(both(&look, 7), ["", ""]);
}

/// The header of a main segment is read where processes of its users live, and proves its server
/// dead: then it is taken, and with it what its list names.
#[test]
fn what_a_dead_servers_main_segment_leads_to_is_taken_though_its_user_lives() {
    let mut look = later();
    let control = posix_of(CONTROL_HANDLE);
    let dynamic = posix_of(DYNAMIC_HANDLE);
    look.change(|look| look.segments.add(row(&segment(7))));
    add_file(&mut look, &control);
    add_file(&mut look, &dynamic);
    let list = (Identity::Posix(control.clone()), whole_list(true, &[DYNAMIC_HANDLE]));
    look.change(|look| look.controls.push(list));
    look.change(|look| look.processes.add(of_user(50, UID)));
    let all = |look: &Snapshot| planned(look, How::Adopted, |_| true, Some(HOUR));
    let (plan, unread) = all(&look);
    assert!(plan.iter().all(|one| one.2 == "user-lives"), "{plan:?}");
    assert_eq!(unread, [7], "its header is to be read");
    look.change(|look| {
        look.headers.insert(7, main_header(SERVER.pid, CONTROL_HANDLE, DATA));
    });
    let (plan, unread) = all(&look);
    assert!(plan.iter().all(|one| one.2.is_empty()) && plan.len() == 3, "{plan:?}");
    assert!(unread.is_empty());
    // A header of another process's proves nothing; nor is one looked at while a server lives that
    // could come upon the segment meanwhile.
    let mut other = look.clone();
    other.change(|look| {
        look.headers.insert(7, main_header(SERVER.pid + 1, CONTROL_HANDLE, DATA));
    });
    assert!(all(&other).0.iter().all(|one| !one.2.is_empty()));
    // Nor does what others could have written.
    let mut open = look.clone();
    change_row(&mut open, 7, |row| row.perm.mode = 0o660);
    assert!(all(&open).0.iter().all(|one| !one.2.is_empty()));
    let server = Seen::Here("/usr/lib/postgresql/15/bin/postgres".into());
    let mut running = look.clone();
    running.change(|look| {
        look.processes.add(Process { executable: server.clone(), ..of_user(60, UID) });
    });
    assert_eq!(all(&running).0[0].2, "user-lives");
    running.change(|look| look.headers.clear());
    assert_eq!(all(&running).1, [0; 0]);
}

/// A living process of another user, in these groups.
fn caller(groups: &[u32]) -> Caller {
    let (uids, groups) = (Some([OTHER_UID; 4]), Some(groups.to_vec()));
    Caller { pid: 900, uids, groups, same_ipc: Some(true) }
}

#[test]
fn whom_its_mode_lets_in_keeps_a_segment_from_every_filter() {
    let beside = |mode: u32, caller: Caller| {
        let mut look = one();
        change_row(&mut look, 7, |row| row.perm.mode = mode);
        look.change(|look| look.callers = Table::Whole(vec![caller]));
        both(&look, 7)
    };
    let gid = one().segments.seen().next().unwrap().perm.gid;
    assert_eq!(beside(0o600, caller(&[gid])), ["", ""]);
    assert_eq!(beside(0o666, caller(&[])), ["user-lives", ""]);
    assert_eq!(beside(0o660, caller(&[gid])), ["user-lives", ""]);
    assert_eq!(beside(0o660, caller(&[gid + 1])), ["", ""]);
    assert_eq!(beside(0o666, Caller { uids: Some([0; 4]), ..caller(&[]) }), ["", ""], "root");
    assert_eq!(beside(0o666, Caller { same_ipc: Some(false), ..caller(&[]) }), ["", ""]);
    assert_eq!(beside(0o660, Caller { groups: None, ..caller(&[]) }), ["user-lives", ""]);
}

#[test]
fn a_segment_of_pids_elsewhere_stays_unless_its_nattch_tells_all_or_everybody_is_seen() {
    let mut look = one();
    change_row(&mut look, 7, |row| {
        (row.creator_pid, row.last_pid, row.dtime) = (0, 0, seconds(20));
    });
    assert_eq!(both(&look, 7)[1], "", "everybody is seen");
    look.change(|look| look.sight = Sight::Namespace);
    assert_eq!(both(&look, 7), ["last-user-unseen"; 2]);
    look.change(|look| look.headers.insert(7, main_header(SERVER.pid, 0, DATA)));
    assert_eq!(both(&look, 7)[1], "", "a main segment");
    look.change(|look| look.headers.clear());
    assert_eq!(planned(&look, How::Named, |_| true, Some(HOUR)).1, [7], "it is read first");
}

#[test]
fn the_caller_itself_is_nobody_who_could_want_it() {
    let mut look = one();
    look.change(|look| look.uid = UID);
    look.change(|look| look.processes.add(of_user(50, UID)));
    let wish =
        Wish { subject: Subject::Shm(look.segments.seen().next().unwrap()), how: How::Adopted };
    for (exempt, expected) in [(vec![], true), (vec![50], false)] {
        let scene = Scene::of(&look, &exempt);
        let plan = plan(&scene, &[wish], Some(HOUR), &|_| None);
        assert_eq!(plan.proposals[0].against.is_some(), expected);
    }
}

#[test]
fn what_cannot_be_seen_counts_as_living() {
    let mut look = one();
    look.change(|look| look.sight = Sight::Part);
    assert_eq!(both(&look, 7), ["processes-hidden", ""]);
    let mut look = one();
    look.change(|look| look.processes.add(Process { uids: None, ..of_user(50, 0) }));
    assert_eq!(both(&look, 7), ["user-unread", ""]);
    let mut look = one();
    look.change(|look| look.sight = Sight::Namespace);
    assert_eq!(both(&look, 7), ["pids-elsewhere", ""]);
    // Another segment of the same user shows that it has processes elsewhere.
    let mut look = one();
    add(&mut look, &Segment { creator_pid: 0, ..segment(8) });
    assert_eq!(both(&look, 7), ["creator-unseen", ""]);
}

#[test]
fn what_is_in_use_is_refused_whoever_names_it() {
    let mut look = one();
    change_row(&mut look, 7, |row| row.nattch = 1);
    assert_eq!(both(&look, 7), ["attached"; 2]);
    change_row(&mut look, 7, |row| row.perm.mode |= MODE_DEST);
    assert_eq!(both(&look, 7), ["dest"; 2]);
    let mut look = one();
    look.change(|look| look.processes.add(of_user(SERVER.pid, OTHER_UID)));
    assert_eq!(both(&look, 7), ["creator-lives"; 2]);
    let mut look = one();
    look.change(|look| look.processes.add(of_user(SERVER.pid + 1, OTHER_UID)));
    change_row(&mut look, 7, |row| row.last_pid = SERVER.pid + 1);
    assert_eq!(both(&look, 7), ["last-user-lives"; 2]);
    look.change(|look| look.pid = SERVER.pid + 1);
    assert_eq!(both(&look, 7), [""; 2], "the onlooker's own look into it");
}

#[test]
fn what_is_young_or_of_a_time_to_come_is_refused() {
    let mut look = one();
    look.change(|look| look.now = time(10 + 3599));
    assert_eq!(both(&look, 7), ["young"; 2]);
    look.change(|look| look.now = time(10 + 3600));
    assert_eq!(both(&look, 7), ["", ""]);
    change_row(&mut look, 7, |row| row.ctime = seconds(10 + 3601));
    assert_eq!(both(&look, 7), ["young"; 2]);
}

#[test]
fn what_the_kernel_would_not_let_the_caller_remove_is_refused() {
    let mut look = one();
    look.change(|look| look.uid = OTHER_UID);
    assert_eq!(both(&look, 7), ["not-yours"; 2]);
    change_row(&mut look, 7, |row| row.perm.uid = OTHER_UID);
    assert_eq!(both(&look, 7)[1], "");
}

/// A list as long as its room, by which its layout is told.
pub fn whole_list(wide: bool, handles: &[u32]) -> Vec<u8> {
    let mut list = control_list(wide, handles);
    list.resize(list.len() + 8 * if wide { 40 } else { 24 }, 0);
    list
}

/// The segments of a living server with `dynamic_shared_memory_type=sysv`: list and statistics.
fn living_list(wide: bool, handle: u32) -> Snapshot {
    let mut look = later();
    let list = sysv_of(CONTROL_HANDLE, 8);
    look.change(|look| look.segments.add(Row { nattch: 5, ..row(&list) }));
    look.change(|look| {
        look.controls.push((Identity::Shm(list), whole_list(wide, &[2, handle, 4])))
    });
    add(&mut look, &sysv_of(DYNAMIC_HANDLE, 9));
    look
}

#[test]
fn what_a_living_servers_list_may_name_is_refused_whoever_names_it() {
    for wide in [false, true] {
        assert_eq!(both(&living_list(wide, DYNAMIC_HANDLE), 9), ["listed"; 2]);
        assert_eq!(both(&living_list(wide, 6), 9), ["", ""]);
        // Handles below 1 as a signed number are negated in the key.
        let negated = DYNAMIC_HANDLE.wrapping_neg();
        assert_eq!(both(&living_list(wide, negated), 9), ["listed"; 2]);
    }
}

#[test]
fn a_list_that_nobody_maps_is_a_living_servers_if_an_attached_main_segment_leads_to_it() {
    let mut look = later();
    let (list, named) = (posix_of(CONTROL_HANDLE), posix_of(DYNAMIC_HANDLE));
    add_file(&mut look, &list);
    add_file(&mut look, &named);
    look.change(|look| {
        look.controls.push((Identity::Posix(list), whole_list(true, &[DYNAMIC_HANDLE])))
    });
    let all = |look: &Snapshot| made(look, How::Named, |_| true);
    let codes = |made: Vec<Made>| made.iter().map(|one| one.2).collect::<Vec<_>>();
    assert_eq!(codes(all(&look)), ["", ""]);
    look.change(|look| look.segments.add(Row { nattch: 3, ..row(&segment(5)) }));
    look.change(|look| look.headers.insert(5, main_header(SERVER.pid, CONTROL_HANDLE, DATA)));
    assert_eq!(codes(all(&look)), ["attached", "listed-stays", "listed"]);
}

#[test]
fn what_may_be_a_list_and_cannot_be_read_refuses_all_of_its_users() {
    let mut look = one();
    let closed = Segment { creator_uid: OTHER_UID, ..segment(8) };
    look.change(|look| {
        look.segments.add(Row {
            perm: IpcPerm { uid: UID, ..row(&closed).perm },
            nattch: 1,
            ..row(&closed)
        })
    });
    assert_eq!(both(&look, 7), ["", ""]);
    look.change(|look| look.unread_lists.push(Identity::Shm(closed.clone())));
    assert_eq!(both(&look, 7), ["list-unread"; 2], "its owner");
    change_row(&mut look, 8, |row| row.perm.uid = OTHER_UID);
    assert_eq!(both(&look, 7), ["", ""], "another's");
    look.change(|look| look.unread_lists.push(Identity::Posix(file("PostgreSQL.1", 1))));
    assert_eq!(both(&look, 7), ["list-unread"; 2]);
}

#[test]
fn a_segment_counts_only_when_its_first_bytes_were_read() {
    let mut look = one();
    look.change(|look| look.headers.clear());
    let all = planned(&look, How::Adopted, |_| true, Some(HOUR));
    assert_eq!(all.1, [7]);
    look.change(|look| look.unread_lists.push(Identity::Shm(segment(7))));
    let all = planned(&look, How::Adopted, |_| true, Some(HOUR));
    assert_eq!((all.0[0].2, all.1.len()), ("unreadable", 0));
}

/// What a killed PostgreSQL left: main segment 5, its list and one more file.
pub fn crashed() -> Snapshot {
    let mut look = later();
    add(&mut look, &segment(5));
    look.change(|look| look.headers.insert(5, main_header(SERVER.pid, CONTROL_HANDLE, DATA)));
    let list = posix_of(CONTROL_HANDLE);
    add_file(&mut look, &list);
    add_file(&mut look, &posix_of(DYNAMIC_HANDLE));
    look.change(|look| {
        look.controls.push((Identity::Posix(list), whole_list(true, &[DYNAMIC_HANDLE])))
    });
    look
}

fn list_name() -> String {
    format!("PostgreSQL.{CONTROL_HANDLE}")
}

fn dynamic_name() -> String {
    format!("PostgreSQL.{DYNAMIC_HANDLE}")
}

#[test]
fn a_main_segment_takes_its_dynamic_shared_memory_along() {
    let expected = |code| {
        vec![
            ("shm 5".to_owned(), Role::Main, code),
            (list_name(), Role::Control, code),
            (dynamic_name(), Role::Dynamic, code),
        ]
    };
    let only_main = |subject: Subject<'_>| matches!(subject, Subject::Shm(_));
    for how in [How::Adopted, How::Named] {
        assert_eq!(made(&crashed(), how, |_| true), expected(""));
        assert_eq!(made(&crashed(), how, only_main), expected(""));
    }
}

/// Seen from outside, a container's server is not called what it calls itself.
#[test]
fn a_main_segment_of_another_pid_namespace_takes_its_dynamic_shared_memory_along() {
    for creator_pid in [0, SERVER.pid + 1] {
        let mut look = crashed();
        change_row(&mut look, 5, |row| row.creator_pid = creator_pid);
        let only_main = |subject: Subject<'_>| matches!(subject, Subject::Shm(_));
        let taken = made(&look, How::Named, only_main);
        let roles: Vec<Role> = taken.iter().map(|one| one.1).collect();
        assert_eq!(roles, [Role::Main, Role::Control, Role::Dynamic]);
        assert!(taken.iter().all(|one| one.2.is_empty()));
    }
}

#[test]
fn a_strangers_file_of_nearly_the_same_name_does_not_take_a_lists_place() {
    let mut look = crashed();
    let mut stranger = posix_of(CONTROL_HANDLE);
    stranger.name = Bytes(format!("PostgreSQL.0{CONTROL_HANDLE}").into_bytes());
    (stranger.file.ino, stranger.uid) = (4711, OTHER_UID);
    add_file(&mut look, &stranger);
    let only_main = |subject: Subject<'_>| matches!(subject, Subject::Shm(_));
    let taken = made(&look, How::Named, only_main);
    let names: Vec<&str> = taken.iter().map(|one| one.0.as_str()).collect();
    assert_eq!(names, ["shm 5", &list_name(), &dynamic_name()]);
}

#[test]
fn where_one_of_a_servers_objects_stays_all_of_them_stay() {
    let mut look = crashed();
    let mapped = Mapped::File(posix_of(DYNAMIC_HANDLE).file);
    let maps = Some(Seen::Here(vec![(mapped, 1)]));
    look.change(|look| look.processes.add(Process { maps, ..of_user(60, OTHER_UID) }));
    let only_main = |subject: Subject<'_>| matches!(subject, Subject::Shm(_));
    let all = made(&look, How::Named, only_main);
    let codes: Vec<&str> = all.iter().map(|one| one.2).collect();
    assert_eq!(codes, ["listed-stays", "listed-stays", "mapped"]);
}

#[test]
fn what_a_next_start_would_clean_is_not_taken_piece_by_piece() {
    let is = |subject: Subject<'_>, name: &str| match subject {
        Subject::Posix(file) => file.name.lossy() == name,
        _ => false,
    };
    let named = |name: String| move |subject: Subject<'_>| is(subject, &name);
    let list = made(&crashed(), How::Named, named(list_name()));
    assert_eq!(list[0].2, "main-stays");
    let dynamic = made(&crashed(), How::Named, named(dynamic_name()));
    assert_eq!(dynamic[0].2, "listed-by-dead");
    // Without a main segment the list goes, and takes along what it names.
    let mut look = crashed();
    look.change(|look| look.segments = Table::Whole(vec![]));
    assert_eq!(
        made(&look, How::Named, named(list_name())),
        [(list_name(), Role::Control, ""), (dynamic_name(), Role::Dynamic, "")]
    );
    assert_eq!(made(&look, How::Named, named(dynamic_name()))[0].2, "listed-by-dead");
    // Without any list it is stranded.
    look.change(|look| look.controls.clear());
    assert_eq!(made(&look, How::Named, named(dynamic_name()))[0].2, "");
}

/// What a killed PostgreSQL with `dynamic_shared_memory_type=sysv` left; what nobody has read yet
/// is not in the look.
fn crashed_of_segments() -> Snapshot {
    let mut look = later();
    let list = sysv_of(CONTROL_HANDLE, 8);
    for one in [&segment(5), &list, &sysv_of(DYNAMIC_HANDLE, 9)] {
        look.change(|look| look.segments.add(row(one)));
    }
    look
}

fn read_header(look: &mut Snapshot) {
    look.change(|look| look.headers.insert(5, main_header(SERVER.pid, CONTROL_HANDLE, DATA)));
}

fn read_list(look: &mut Snapshot) {
    look.change(|look| look.headers.insert(8, whole_list(true, &[DYNAMIC_HANDLE])[..56].to_vec()));
    let list = sysv_of(CONTROL_HANDLE, 8);
    look.change(|look| {
        look.controls.push((Identity::Shm(list), whole_list(true, &[DYNAMIC_HANDLE])))
    });
}

#[test]
fn a_list_named_by_its_number_is_taken_when_no_unread_segment_can_lead_to_it() {
    let list = |subject: Subject<'_>| matches!(subject, Subject::Shm(row) if row.id == 8);
    let judged = |look: &Snapshot| {
        let (made, unread) = planned(look, How::Named, list, Some(HOUR));
        (made[0].2, unread)
    };
    let mut look = crashed_of_segments();
    assert_eq!(judged(&look), ("", vec![8]));
    read_list(&mut look);
    look.change(|look| look.headers.insert(9, vec![0; 56]));
    assert_eq!(judged(&look), ("", vec![5]), "what may lead to it is read first");
    read_header(&mut look);
    assert_eq!(judged(&look), ("main-stays", vec![]));
    // What leads to it may not be attached: doubt keeps.
    look.change(|look| look.headers.remove(&5));
    change_row(&mut look, 5, |row| row.ctime = seconds(2 * 3600 + 10 - 60));
    assert_eq!(judged(&look), ("may-lead", vec![]));
    change_row(&mut look, 5, |row| row.perm.uid = OTHER_UID);
    let stranger = Segment { creator_uid: OTHER_UID, ..segment(5) };
    change_row(&mut look, 5, |now| *now = Row { ctime: now.ctime, ..row(&stranger) });
    assert_eq!(judged(&look), ("", vec![]), "another user's");
    // What is in a ledger was asked when it was written.
    let mut look = crashed_of_segments();
    assert_eq!(planned(&look, How::Named, list, None).1, [8]);
    read_list(&mut look);
    look.change(|look| look.headers.insert(9, vec![0; 56]));
    assert_eq!(planned(&look, How::Named, list, None).1, [0; 0]);
}

#[test]
fn a_piece_named_by_its_number_is_refused_once_its_list_is_read() {
    let piece = |subject: Subject<'_>| matches!(subject, Subject::Shm(row) if row.id == 9);
    let mut look = crashed_of_segments();
    look.change(|look| look.headers.insert(9, vec![0; 56]));
    let (made, unread) = planned(&look, How::Named, piece, Some(HOUR));
    assert_eq!((made[0].2, unread), ("", vec![5, 8]));
    read_list(&mut look);
    read_header(&mut look);
    let (made, unread) = planned(&look, How::Named, piece, Some(HOUR));
    assert_eq!((made[0].2, unread), ("listed-by-dead", vec![]));
}

#[test]
fn a_number_in_a_list_that_is_no_handle_leads_to_nothing() {
    // The key of a main segment is a small number where its data directory is a mount point; a
    // list is full of small numbers.
    let mut look = crashed();
    let small = Segment { key: Key(2), ..segment(5) };
    look.change(|look| look.segments.rows_mut()[0] = row(&small));
    add(&mut look, &Segment { key: Key(2), ..segment(6) });
    let all = made(&look, How::Adopted, |_| true);
    let (main, other) = (("shm 5", Role::Main, ""), ("shm 6", Role::Other, ""));
    for (name, role, code) in [main, other] {
        assert!(all.contains(&(name.to_owned(), role, code)), "{all:?}");
    }
    assert_eq!(all.len(), 4);
}

#[test]
fn a_dead_list_of_an_unknown_layout_keeps_its_server() {
    let mut look = crashed();
    look.change(|look| look.controls[0].1.push(0));
    let codes: Vec<&str> = made(&look, How::Named, |_| true).iter().map(|one| one.2).collect();
    assert_eq!(codes, ["listed-stays", "unknown-layout", "listed-by-dead"]);
}

#[test]
fn another_users_object_on_a_list_keeps_the_list() {
    let mut look = crashed();
    look.change(|look| look.files.rows_mut().last_mut().unwrap().facts.uid = OTHER_UID);
    let only_main = |subject: Subject<'_>| matches!(subject, Subject::Shm(_));
    let all = made(&look, How::Named, only_main);
    assert_eq!(all.iter().map(|one| one.2).collect::<Vec<_>>(), ["listed-stays"; 2]);
}

#[test]
fn a_list_that_is_not_here_keeps_its_main_segment_from_a_filter() {
    let mut look = crashed();
    look.change(|look| (look.files, look.controls) = (Table::Whole(vec![]), vec![]));
    assert_eq!(both(&look, 5), ["list-elsewhere", ""]);
    // openGauss has the same first bytes and no such list: its second word is 0.
    look.change(|look| look.headers.insert(5, main_header(0, 77, DATA)));
    assert_eq!(both(&look, 5), ["", ""]);
    // A sweep that was interrupted has removed it itself.
    look.change(|look| look.headers.insert(5, main_header(SERVER.pid, CONTROL_HANDLE, DATA)));
    let again = planned(&look, How::Adopted, |_| true, None);
    assert_eq!(again.0[0].2, "");
}

#[test]
fn a_file_that_is_not_of_postgresqls_form_is_taken_by_its_name_only() {
    let mut look = later();
    add_file(&mut look, &file("backup.tar", 9));
    assert_eq!(made(&look, How::Adopted, |_| true)[0].2, "any-file");
    assert_eq!(made(&look, How::Named, |_| true)[0].2, "");
}

#[test]
fn a_file_that_a_closed_process_may_map_is_refused() {
    let mut look = later();
    add_file(&mut look, &posix_of(DYNAMIC_HANDLE));
    look.change(|look| {
        look.processes.add(Process { maps: Some(Seen::Denied), ..of_user(60, OTHER_UID) })
    });
    assert_eq!(made(&look, How::Named, |_| true)[0].2, "", "it could not have opened it");
    look.change(|look| look.files.rows_mut()[0].facts.mode |= 0o040);
    assert_eq!(made(&look, How::Named, |_| true)[0].2, "perhaps-mapped");
    look.change(|look| look.processes = later().processes.clone());
    assert_eq!(made(&look, How::Named, |_| true)[0].2, "");
    for sight in [Sight::Namespace, Sight::Part] {
        look.change(|look| look.sight = sight);
        assert_eq!(made(&look, How::Named, |_| true)[0].2, "use-unseen");
    }
}

/// What a set whose members tell this shows of its use.
fn set(waiters: u64, operators: &[i32], otime: i64, readable: bool) -> Option<&'static str> {
    let mut look = later();
    look.change(|look| look.sight = Sight::Namespace);
    set_in(&look, waiters, operators, otime, readable)
}

fn set_in(
    look: &Snapshot,
    waiters: u64,
    operators: &[i32],
    otime: i64,
    readable: bool,
) -> Option<&'static str> {
    let row = sem::Row {
        id: 3,
        perm: IpcPerm {
            key: 5,
            mode: 0o600,
            uid: UID,
            gid: UID,
            creator_uid: UID,
            creator_gid: UID,
        },
        members: 17,
        otime,
        ctime: seconds(10),
    };
    let members = sem::Members { waiters, operators: operators.to_vec(), set_unseen: false };
    let set = Set { row, members: readable.then_some(members) };
    Scene::of(look, &[]).in_use(Subject::Sem(&set)).map(|reason| reason.code())
}

#[test]
fn a_set_with_a_waiter_or_a_living_operator_is_in_use() {
    assert_eq!(set(0, &[0], 0, true), None);
    assert_eq!(set(0, &[4711], 1, true), None);
    assert_eq!(set(0, &[0, 4711], 1, true), Some("last-user-unseen"));
    assert_eq!(set(1, &[0, 4711], 1, true), Some("waited-for"));
    assert_eq!(set(0, &[0, 4711, 900], 1, true), Some("last-user-lives"));
    assert_eq!(set(0, &[0], 1, true), Some("last-user-unseen"));
    assert_eq!(set(0, &[], 0, false), Some("last-user-unseen"));
}

/// `/proc` does not show it (`hidepid`), and the kernel says that it is there.
#[test]
fn a_set_or_queue_whose_last_user_is_hidden_counts_as_used() {
    let mut look = later();
    look.change(|look| look.hidden = vec![4711]);
    assert_eq!(set_in(&look, 0, &[4711], 1, true), Some("last-user-unseen"));
    assert_eq!(set_in(&look, 0, &[4712], 1, true), None);
    let queue = |last_receiver| msg::Row { last_receiver, ..queue() };
    let of = |row: &msg::Row| {
        let used = Scene::of(&look, &[]).in_use(Subject::Msg(row));
        used.map(|reason| reason.code())
    };
    assert_eq!(of(&queue(4711)), Some("last-user-unseen"));
    assert_eq!(of(&queue(4712)), None);
}

fn queue() -> msg::Row {
    msg::Row {
        id: 3,
        perm: IpcPerm {
            key: 5,
            mode: 0o600,
            uid: UID,
            gid: UID,
            creator_uid: UID,
            creator_gid: UID,
        },
        messages: 0,
        bytes: 0,
        most_bytes: 16384,
        last_sender: 4712,
        last_receiver: 0,
        stime: 5,
        rtime: 5,
        ctime: seconds(10),
    }
}

#[test]
fn a_queue_with_a_living_user_or_somebody_who_waits_is_in_use() {
    let row = msg::Row { last_sender: 4711, rtime: 0, ..queue() };
    let of = |look: &Snapshot, row: &msg::Row| {
        let used = Scene::of(look, &[]).in_use(Subject::Msg(row));
        used.map(|reason| reason.code())
    };
    let mut look = later();
    assert_eq!(of(&look, &row), None);
    let sender = msg::Row { last_sender: 900, ..row.clone() };
    assert_eq!(of(&look, &sender), Some("last-user-lives"));
    let unseen = msg::Row { last_sender: 0, ..row.clone() };
    assert_eq!(of(&look, &unseen), Some("last-user-unseen"));
    let waits = |blocked, unasked| Some(Waits { blocked, unasked });
    look.change(|look| look.waits = waits(vec![], vec![900]));
    assert_eq!(of(&look, &row), None, "900 may not open it");
    let open = msg::Row { perm: IpcPerm { mode: 0o666, ..row.perm }, ..row.clone() };
    assert_eq!(of(&look, &open), Some("perhaps-blocked-on"));
    let blocked = |pid, what| Found { pid, what, times: 1 };
    let both = vec![blocked(900, WaitsFor::Set(3)), blocked(1, WaitsFor::Queue(3))];
    look.change(|look| look.waits = waits(both, vec![900]));
    assert_eq!(of(&look, &row), Some("blocked-on"));
    look.change(|look| look.waits = None);
    assert_eq!(of(&look, &row), Some("last-user-unseen"), "nobody looked");
}
