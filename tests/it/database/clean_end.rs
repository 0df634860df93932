//! A server that ends by itself: a clean stop, a start that fails. Its status is the launcher's,
//! nothing is left, and the ledger says so.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL};
use super::query;
use super::stage::Stage;
use crate::support::processes;
use crate::support::sandbox;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_smart_stop_ends_with_0_and_leaves_nothing() {
    sandbox::run(|| a_stop_ends_with_0_and_leaves_nothing(USUAL, Signal::SIGTERM));
}

#[test]
fn a_fast_stop_ends_with_0_and_leaves_nothing() {
    sandbox::run(|| a_stop_ends_with_0_and_leaves_nothing(USUAL, Signal::SIGINT));
}

#[test]
fn a_smart_stop_with_system_v_dynamic_memory_ends_with_0_and_leaves_nothing() {
    sandbox::run(|| a_stop_ends_with_0_and_leaves_nothing(ALL_SYSV, Signal::SIGTERM));
}

#[test]
fn a_fast_stop_with_system_v_dynamic_memory_ends_with_0_and_leaves_nothing() {
    sandbox::run(|| a_stop_ends_with_0_and_leaves_nothing(ALL_SYSV, Signal::SIGINT));
}

#[test]
fn an_immediate_stop_ends_with_1_and_leaves_nothing() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        stage.start();
        let _query = query::in_flight(&stage.cluster);
        stage.cluster.server().signal(Signal::SIGQUIT);
        let status = stage.cluster.wait_end();
        stage.assert_clean();
        // The server's own status, which differs between majors: 0 or 1.
        assert_eq!(end_of(&stage), format!("exit {}", status.code().unwrap()));
    });
}

#[test]
fn a_setting_that_does_not_exist_ends_with_1_and_leaves_nothing() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        append(&stage, "postgresql.conf", "no_such_setting = 1\n");
        a_failed_start_leaves_nothing(&mut stage, "no_such_setting");
        assert_eq!(stage.last_run()["objects"], serde_json::json!([]));
    });
}

/// Read when the shared memory is there already.
#[test]
fn an_hba_file_that_is_wrong_ends_with_1_and_leaves_nothing() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        let hba = stage.cluster.data().join("pg_hba.conf");
        fs::write(hba, "nonsense\n").unwrap();
        a_failed_start_leaves_nothing(&mut stage, "pg_hba.conf");
    });
}

/// Found by the startup process, which makes dynamic shared memory of its own.
#[test]
fn a_recovery_that_fails_ends_with_1_and_leaves_nothing() {
    sandbox::run(|| {
        let mut stage = Stage::new(ALL_SYSV);
        let signal = stage.cluster.data().join("recovery.signal");
        fs::write(signal, "").unwrap();
        a_failed_start_leaves_nothing(&mut stage, "restore_command");
    });
}

fn a_stop_ends_with_0_and_leaves_nothing(kind: Kind, signal: Signal) {
    let mut stage = Stage::new(kind);
    stage.start();
    let mut query = query::in_flight(&stage.cluster);
    processes::kill(query.pid(), Signal::SIGINT); // cancels the statement
    query.client().wait(SOON);
    stage.cluster.server().signal(signal);
    let status = stage.cluster.server().wait(SOON);
    assert_eq!(status.code(), Some(0), "{}", stage.told());
    stage.assert_clean();
    assert_eq!(end_of(&stage), "exit 0");
    all_objects_are_gone(&stage, 2);
}

fn a_failed_start_leaves_nothing(stage: &mut Stage, complaint: &str) {
    let prefix = stage.prefix();
    stage.cluster.spawn_under(&prefix);
    let status = stage.cluster.wait_end();
    assert_eq!(status.code(), Some(1), "{}", stage.told());
    assert!(stage.cluster.log().contains(complaint), "{}", stage.told());
    stage.assert_clean();
    assert_eq!(end_of(stage), "exit 1");
    all_objects_are_gone(stage, 0);
    assert!(stage.sweep().is_empty());
}

fn all_objects_are_gone(stage: &Stage, at_least: usize) {
    let run = stage.last_run();
    let objects = run["objects"].as_array().unwrap();
    assert!(objects.len() >= at_least, "{run:#}");
    let gone = |object: &&serde_json::Value| object["outcome"] == "gone";
    assert_eq!(objects.iter().filter(gone).count(), objects.len(), "{run:#}");
}

fn end_of(stage: &Stage) -> String {
    let run = stage.last_run();
    assert!(run["ended"].is_string(), "{run:#}");
    run["end"].as_str().unwrap().to_owned()
}

fn append(stage: &Stage, file: &str, text: &str) {
    let path = stage.cluster.data().join(file);
    let old = fs::read_to_string(&path).unwrap();
    fs::write(path, old + text).unwrap();
}
