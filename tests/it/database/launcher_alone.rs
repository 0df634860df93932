//! The launcher alone is killed, and its server lives on: nothing of it is touched. Whatever ends
//! the server later, `sweep` finds all that is left then, be it seen by the launcher or not.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL};
use super::query;
use super::stage::{Stage, needs_root};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::waiting::wait_until;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn after_a_normal_stop_nothing_is_left() {
    sandbox::run(|| the_server_is_stopped_later(USUAL));
}

#[test]
fn after_a_normal_stop_all_in_system_v_nothing_is_left() {
    sandbox::run(|| the_server_is_stopped_later(ALL_SYSV));
}

#[test]
fn what_is_made_later_is_swept() {
    sandbox::run(|| the_server_is_killed_later(USUAL));
}

#[test]
fn what_is_made_later_all_in_system_v_is_swept() {
    sandbox::run(|| the_server_is_killed_later(ALL_SYSV));
}

#[test]
fn what_is_made_later_by_12_is_swept() {
    sandbox::run(|| the_server_is_killed_later(Kind { major: 12, ..ALL_SYSV }));
}

#[test]
fn what_is_made_later_by_18_is_swept() {
    sandbox::run(|| the_server_is_killed_later(Kind { major: 18, ..ALL_SYSV }));
}

#[test]
fn a_server_that_began_anew_later_is_swept() {
    sandbox::run(|| the_server_begins_anew_later(USUAL));
}

#[test]
fn a_server_that_began_anew_later_all_in_system_v_is_swept() {
    sandbox::run(|| the_server_begins_anew_later(ALL_SYSV));
}

#[test]
fn what_no_launcher_ever_saw_is_swept() {
    sandbox::run(|| the_launcher_saw_nothing(USUAL));
}

#[test]
fn what_no_launcher_ever_saw_all_in_system_v_is_swept() {
    sandbox::run(|| the_launcher_saw_nothing(ALL_SYSV));
}

fn the_server_is_stopped_later(kind: Kind) {
    let mut stage = Stage::new(kind);
    let postmaster = start_and_kill_launcher(&mut stage);
    let query = query::in_flight(&stage.cluster);
    stage.sweep_refuses_while_it_lives();
    processes::kill(query.pid(), Signal::SIGINT);
    processes::kill(postmaster, Signal::SIGINT);
    drop(query);
    stage.wait_alone();
    let left = stage.left();
    assert!(stage.sweep().is_empty(), "{left:?}");
    assert_eq!(stage.last_run()["end"], "unknown");
}

fn the_server_is_killed_later(kind: Kind) {
    let mut stage = Stage::new(kind);
    start_and_kill_launcher(&mut stage);
    let query = query::in_flight(&stage.cluster);
    stage.sweep_refuses_while_it_lives();
    kill_the_rest(&stage);
    drop(query);
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

fn the_server_begins_anew_later(kind: Kind) {
    let mut stage = Stage::new(kind);
    start_and_kill_launcher(&mut stage);
    let first = stage.cluster.main_segment();
    let victim = stage.cluster.query_in_background("select pg_sleep(1000)");
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("another main segment is there", SOON, || stage.cluster.main_segment() != first);
    wait_until("it answers", SOON, || stage.cluster.try_sql("select 1").is_ok());
    let query = query::in_flight(&stage.cluster);
    stage.sweep_refuses_while_it_lives();
    kill_the_rest(&stage);
    drop((victim, query));
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

/// Stopped before the server has made anything, and killed when it has made everything.
fn the_launcher_saw_nothing(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    let prefix = stage.prefix();
    stage.cluster.spawn_under(&prefix);
    let launcher = stage.cluster.server().pid();
    wait_until("the server is executed", SOON, || runs_postgres_below(launcher));
    processes::kill(launcher, Signal::SIGSTOP);
    wait_until("the server answers", SOON, || stage.cluster.try_sql("select 1").is_ok());
    let query = query::in_flight(&stage.cluster);
    stage.kill_launcher();
    let ledger = fs::read_to_string(&stage.ledger).unwrap();
    assert!(!ledger.contains(r#""record":"object""#), "{ledger}");
    stage.sweep_refuses_while_it_lives();
    kill_the_rest(&stage);
    drop(query);
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

fn start_and_kill_launcher(stage: &mut Stage) -> i32 {
    stage.start();
    let postmaster = stage.cluster.postmaster_pid();
    stage.kill_launcher();
    stage.add_strangers(2);
    postmaster
}

fn kill_the_rest(stage: &Stage) {
    processes::kill_everything();
    stage.wait_alone();
}

fn runs_postgres_below(launcher: i32) -> bool {
    processes::descendants(launcher).into_iter().any(|pid| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("postgres"))
    })
}
