//! The status of objects of no ledger.

use super::make::{
    Change, SERVER, UID, file, file_ref, look, mapper, process, row, set, unowned, with,
};
use crate::judge::status::Status::{Idle, Orphan, Unrecorded};
use crate::snapshot::{Mapped, Seen, Sight, Snapshot, Table};
use crate::sys::shm::{MODE_DEST, Row};
use crate::sys::{IpcPerm, msg};

fn and(mut look: Snapshot, process: crate::snapshot::Process) -> Snapshot {
    look.change(|look| look.processes.add(process));
    look
}

#[test]
fn an_unattached_segment_whose_creator_is_dead_is_an_orphan_or_idle_while_its_user_lives() {
    let look = with(vec![row(1)], vec![]);
    assert_eq!(unowned(&look), (Orphan, "creator-dead"));
    let owner = process(60, 600, UID);
    assert_eq!(unowned(&and(look, owner)), (Idle, "user-lives"));
}

#[test]
fn a_creator_that_may_live_makes_no_orphan() {
    let look = with(vec![row(1)], vec![]);
    let creator = process(50, 500, UID);
    assert_eq!(unowned(&and(look.clone(), creator)), (Unrecorded, "creator-lives"));
    let other = process(50, 500, 0);
    assert_eq!(unowned(&and(look.clone(), other)), (Unrecorded, "creator-lives"));
    let mut zombie = process(50, 500, UID);
    zombie.ended = true;
    assert_eq!(unowned(&and(look, zombie)), (Orphan, "creator-dead"));
}

#[test]
fn what_is_attached_or_marked_is_no_orphan() {
    let attached = Row { nattch: 2, ..row(1) };
    assert_eq!(unowned(&with(vec![attached], vec![])), (Unrecorded, "attached"));
    let dest = Row { perm: IpcPerm { mode: MODE_DEST, ..row(1).perm }, nattch: 1, ..row(1) };
    assert_eq!(unowned(&with(vec![dest], vec![])), (Unrecorded, "dest"));
}

#[test]
fn whom_one_cannot_see_counts_as_alive() {
    let unseen = Row { creator_pid: 0, ..row(1) };
    let look = with(vec![unseen], vec![]);
    assert_eq!(unowned(&look), (Unrecorded, "creator-unseen"));
    let mut hiding = with(vec![row(1)], vec![]);
    hiding.change(|look| look.sight = Sight::Part);
    assert_eq!(unowned(&hiding), (Unrecorded, "last-user-unseen"));
    // The kernel was asked for its last user, who has gone.
    hiding.change(|look| look.absent = [SERVER.pid].into());
    assert_eq!(unowned(&hiding), (Unrecorded, "processes-hidden"));
    hiding.change(|look| look.sight = Sight::Namespace);
    assert_eq!(unowned(&hiding), (Unrecorded, "pids-elsewhere"));
    let mut hiding = with(vec![], vec![file("a")]);
    for sight in [Sight::Part, Sight::Namespace] {
        hiding.change(|look| look.sight = sight);
        assert_eq!(unowned(&hiding), (Unrecorded, "use-unseen"));
    }
}

#[test]
fn a_set_is_in_use_by_waiters_and_by_its_last_operator() {
    let of = |set| {
        let mut look = look();
        look.change(|look| look.sets = Table::Whole(vec![set]));
        look
    };
    assert_eq!(unowned(&of(set(&[0, 55]))), (Orphan, "no-user"));
    let elsewhere = |set| {
        let mut look = of(set);
        look.change(|look| look.sight = Sight::Namespace);
        look
    };
    assert_eq!(unowned(&elsewhere(set(&[0, 55]))), (Unrecorded, "last-user-unseen"));
    let operator = process(55, 600, 0);
    let lives = and(of(set(&[0, 55])), operator);
    assert_eq!(unowned(&lives), (Unrecorded, "last-user-lives"));
    let owner = process(60, 600, UID);
    let wanted = and(of(set(&[55])), owner);
    assert_eq!(unowned(&wanted), (Unrecorded, "user-lives"));
    let mut waited = set(&[55]);
    waited.members.as_mut().unwrap().waiters = 1;
    assert_eq!(unowned(&of(waited)), (Unrecorded, "waited-for"));
    let mut closed = set(&[]);
    closed.members = None;
    assert_eq!(unowned(&of(closed)), (Unrecorded, "last-user-unseen"));
    // Operated, and by nobody that can be seen from this PID namespace.
    assert_eq!(unowned(&elsewhere(set(&[0]))), (Unrecorded, "last-user-unseen"));
    let mut fresh = set(&[0]);
    fresh.row.otime = 0;
    assert_eq!(unowned(&of(fresh)), (Orphan, "no-user"));
}

#[test]
fn a_queue_is_in_use_by_its_last_sender_and_receiver() {
    let queue = |last_sender, stime| msg::Row {
        most_bytes: 16384,
        id: 1,
        perm: IpcPerm {
            key: 5,
            mode: 0o600,
            uid: UID,
            gid: UID,
            creator_uid: UID,
            creator_gid: UID,
        },
        messages: 1,
        bytes: 10,
        last_sender,
        last_receiver: 0,
        stime,
        rtime: 0,
        ctime: 5,
    };
    let of = |queue| {
        let mut look = look();
        look.change(|look| look.queues = Table::Whole(vec![queue]));
        look
    };
    assert_eq!(unowned(&of(queue(55, 9))), (Orphan, "no-user"));
    assert_eq!(unowned(&of(queue(0, 0))), (Orphan, "no-user"));
    assert_eq!(unowned(&of(queue(0, 9))), (Unrecorded, "last-user-unseen"));
    let sender = process(55, 600, 0);
    let lives = and(of(queue(55, 9)), sender);
    assert_eq!(unowned(&lives), (Unrecorded, "last-user-lives"));
}

#[test]
fn a_file_is_in_use_by_whoever_maps_it_or_may() {
    let look = with(vec![], vec![file("a")]);
    assert_eq!(unowned(&look), (Unrecorded, "any-file"));
    let server = with(vec![], vec![file("PostgreSQL.1")]);
    assert_eq!(unowned(&server), (Orphan, "no-user"));
    let owner = process(60, 600, UID);
    assert_eq!(unowned(&and(server, owner)), (Unrecorded, "user-lives"));
    let maps = mapper(60, 7, &[(Mapped::File(file_ref(&file("a").name)), 1)]);
    assert_eq!(unowned(&and(look.clone(), maps)), (Unrecorded, "mapped"));
    for maps in [Some(Seen::Denied), None] {
        let mut closed = process(60, 600, 7);
        let code = if maps.is_some() { "perhaps-mapped" } else { "pids-elsewhere" };
        closed.maps = maps;
        let mut closed = and(look.clone(), closed);
        assert_eq!(unowned(&closed), (Unrecorded, "any-file"), "its mode lets in its owner alone");
        closed.change(|look| look.files.rows_mut()[0].facts.mode |= 0o044);
        assert_eq!(unowned(&closed), (Unrecorded, code));
    }
}
