//! A killed backend makes the postmaster begin anew with another main segment and another list of
//! dynamic shared memory: what is removed later is what there is then.

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL};
use super::query;
use super::stage::{Stage, assert_killed};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::waiting::wait_until;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);

#[test]
fn a_server_that_began_anew_leaves_nothing_when_it_is_killed() {
    sandbox::run(|| a_server_that_began_anew_is_killed(USUAL));
}

#[test]
fn a_server_that_began_anew_all_in_system_v_leaves_nothing_when_it_is_killed() {
    sandbox::run(|| a_server_that_began_anew_is_killed(ALL_SYSV));
}

#[test]
fn a_server_killed_while_it_begins_anew_leaves_nothing() {
    sandbox::run(|| a_server_is_killed_as_it_begins_anew(USUAL));
}

#[test]
fn a_server_killed_while_it_begins_anew_all_in_system_v_leaves_nothing() {
    sandbox::run(|| a_server_is_killed_as_it_begins_anew(ALL_SYSV));
}

#[test]
fn a_server_that_began_anew_is_swept_when_its_launcher_dies_with_it() {
    sandbox::run(|| a_server_that_began_anew_is_swept(USUAL));
}

#[test]
fn a_server_that_began_anew_all_in_system_v_is_swept_when_its_launcher_dies_with_it() {
    sandbox::run(|| a_server_that_began_anew_is_swept(ALL_SYSV));
}

fn a_server_that_began_anew_is_killed(kind: Kind) {
    let mut stage = Stage::new(kind);
    begin_anew(&mut stage);
    stage.cluster.wait_ready();
    stage.add_strangers(2);
    let _query = query::in_flight(&stage.cluster);
    assert_killed(stage.kill_server());
    stage.assert_clean();
}

/// The launcher has looked at most once since, and may not have seen a thing.
fn a_server_is_killed_as_it_begins_anew(kind: Kind) {
    let mut stage = Stage::new(kind);
    begin_anew(&mut stage);
    assert_killed(stage.kill_server());
    stage.assert_clean();
}

fn a_server_that_began_anew_is_swept(kind: Kind) {
    let mut stage = Stage::new(kind);
    begin_anew(&mut stage);
    stage.cluster.wait_ready();
    let _query = query::in_flight(&stage.cluster);
    stage.kill_together();
    stage.add_strangers(2);
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

/// Starts the server, kills a backend of it, and waits until `postmaster.pid` names a new segment.
fn begin_anew(stage: &mut Stage) {
    stage.start();
    let (postmaster, first) = (stage.cluster.postmaster_pid(), stage.cluster.main_segment());
    let victim = query::in_flight(&stage.cluster);
    let old = stage.left();
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("another main segment is there", SOON, || stage.cluster.main_segment() != first);
    assert_eq!(stage.cluster.postmaster_pid(), postmaster);
    let main = format!("shm {first}");
    assert!(old.contains_key(&main) && !stage.left().contains_key(&main));
}
