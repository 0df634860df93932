//! The holders of an object.

use super::make::{Change, SERVER, Story, UID, mapper, only, process, row, server, set, with};
use crate::judge::status::Account;
use crate::judge::status::holders::{Holders, Holding};
use crate::judge::usage::Kind;
use crate::ledger::record::End;
use crate::snapshot::waits::{Found, Waits, WaitsFor};
use crate::snapshot::{Mapped, Process, Seen, Snapshot, Table};
use crate::sys::shm::Row;

fn holding(look: &Snapshot, accounts: &[Account]) -> Holding {
    Holders::of(look, accounts).of_object(&only(look, accounts))
}

/// Pid, attachments, way of use, account and orphan of each.
type Short = (i32, u64, Kind, Option<usize>, bool);

fn short(holding: &Holding) -> Vec<Short> {
    let one = |held: &crate::judge::status::holders::Held| {
        let holder = &held.holder;
        let (pid, count) = (holder.process.pid, holder.attachments);
        (pid, count, held.how, held.account, holder.orphan)
    };
    holding.holders.iter().map(one).collect()
}

fn attached(nattch: u64) -> Snapshot {
    with(vec![Row { nattch, ..row(1) }], vec![])
}

const IT: Mapped = Mapped::Segment(1);

#[test]
fn attachments_are_counted_a_process_and_what_is_left_is_unexplained() {
    let mut look = attached(5);
    look.change(|look| look.processes.add(mapper(60, UID, &[(IT, 3)])));
    look.change(|look| look.processes.add(mapper(61, 0, &[(IT, 1)])));
    let mut closed = process(62, 600, 0);
    closed.maps = Some(Seen::Denied);
    look.change(|look| look.processes.add(closed));
    let found = holding(&look, &[]);
    let expected = [(60, 3, Kind::Attached, None, false), (61, 1, Kind::Attached, None, false)];
    assert_eq!(short(&found), expected);
    assert_eq!((found.unexplained, found.closed), (Some(1), vec![62]));
}

#[test]
fn a_segment_of_the_same_id_in_another_namespace_is_another() {
    let mut look = attached(1);
    look.change(|look| {
        look.processes.add(Process { same_ipc: Some(false), ..mapper(60, UID, &[(IT, 1)]) })
    });
    let found = holding(&look, &[]);
    assert_eq!((short(&found), found.unexplained), (vec![], Some(1)));
}

#[test]
fn more_mappings_than_attachments_explain_all() {
    let mut look = attached(1);
    look.change(|look| look.processes.add(mapper(60, UID, &[(IT, 3)])));
    assert_eq!(holding(&look, &[]).unexplained, Some(0));
}

#[test]
fn a_descendant_of_a_living_server_is_of_its_instance() {
    let mut look = attached(2);
    look.change(|look| look.processes.add(server()));
    look.change(|look| {
        look.processes.add(Process { parent: SERVER.pid, ..mapper(60, UID, &[(IT, 1)]) })
    });
    look.change(|look| look.processes.add(mapper(61, 7, &[(IT, 1)])));
    let accounts = [Story::begin().has(&row(1)).account(&look)];
    let expected = [(60, 1, Kind::Attached, Some(0), false), (61, 1, Kind::Attached, None, false)];
    assert_eq!(short(&holding(&look, &accounts)), expected);
}

#[test]
fn who_holds_what_a_dead_server_left_is_its_orphan() {
    let mut look = attached(1);
    look.change(|look| look.processes.add(mapper(60, UID, &[(IT, 1)])));
    let story = Story::begin().has(&row(1)).ended(End::Signal(9));
    let accounts = [story.account(&look)];
    let expected = [(60, 1, Kind::Attached, Some(0), true)];
    assert_eq!(short(&holding(&look, &accounts)), expected);
}

#[test]
fn parents_in_a_circle_end() {
    let mut look = attached(1);
    look.change(|look| look.processes.add(Process { parent: 60, ..mapper(60, UID, &[(IT, 1)]) }));
    look.change(|look| look.processes.rows_mut()[0].parent = 1);
    assert_eq!(holding(&look, &[]).holders.len(), 1);
}

#[test]
fn a_set_is_held_by_who_waits_and_by_who_operated_it_last_and_lives() {
    let mut look = with(vec![], vec![]);
    look.change(|look| look.sets = Table::Whole(vec![set(&[0, 55, 56])]));
    look.change(|look| look.processes.add(process(55, 600, 0)));
    look.change(|look| look.processes.add(process(57, 600, 0)));
    let found = |pid, what| Found { pid, what, times: 2 };
    let blocked = vec![
        found(57, WaitsFor::Set(3)),
        found(55, WaitsFor::Set(4)),
        found(55, WaitsFor::Queue(3)),
    ];
    look.change(|look| look.waits = Some(Waits { blocked, unasked: vec![80] }));
    let found = holding(&look, &[]);
    let expected = [(57, 2, Kind::Waits, None, false), (55, 0, Kind::OperatedLast, None, false)];
    assert_eq!(short(&found), expected);
    assert_eq!((found.unexplained, found.closed), (None, vec![80]));
}
