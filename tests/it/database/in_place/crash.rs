//! SIGKILL to a postmaster in place: its parent sees that, and the guardian removes what it left.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::matrix::{ALL_SYSV, Kind, USUAL};
use super::super::query;
use super::super::stage::{assert_killed, needs_root};
use super::InPlace;
use crate::support::ends::seen_from_beside;
use crate::support::objects::Snapshot;
use crate::support::processes;
use crate::support::sandbox;

#[test]
fn a_killed_server_leaves_nothing() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(USUAL));
}

#[test]
fn a_killed_server_leaves_nothing_all_in_system_v() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(ALL_SYSV));
}

#[test]
fn a_killed_server_leaves_nothing_mapped_and_posix() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(Kind { main: "mmap", ..USUAL }));
}

#[test]
fn a_killed_server_leaves_nothing_mapped_and_system_v() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(Kind { main: "mmap", ..ALL_SYSV }));
}

#[test]
fn a_killed_12_leaves_nothing() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(Kind { major: 12, ..ALL_SYSV }));
}

#[test]
fn a_killed_18_leaves_nothing() {
    sandbox::run(|| a_killed_server_in_place_leaves_nothing(Kind { major: 18, ..USUAL }));
}

fn a_killed_server_in_place_leaves_nothing(kind: Kind) {
    needs_root();
    let mut place = InPlace::new(kind);
    place.start();
    let postmaster = place.stage.cluster.postmaster_pid();
    assert_eq!(postmaster, place.stage.cluster.server().pid(), "the process that was started");
    let guardian = place.guardian();
    let _query = query::in_flight(&place.stage.cluster);
    place.stage.add_strangers(2);
    assert!(place.stage.left().len() >= 3, "{:?}", place.stage.left());
    assert_killed(place.stage.kill_server());
    place.wait_guardian(guardian);
    place.stage.assert_clean();
    assert_eq!(place.stage.last_run()["end"], seen_from_beside("signal 9"));
    assert!(place.stage.sweep().is_empty(), "nothing is left to be done");
}

/// The postmaster is a zombie for as long as its parent pleases: nothing waits for that.
#[test]
fn a_parent_that_reaps_late_delays_nothing() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(ALL_SYSV);
        place.start();
        let guardian = place.guardian();
        let postmaster = place.stage.cluster.postmaster_pid();
        processes::kill(postmaster, Signal::SIGKILL);
        place.wait_guardian(guardian);
        assert_eq!(processes::state(postmaster), Some('Z'));
        place.stage.assert_clean();
        assert_eq!(place.stage.last_run()["end"], "unknown");
        assert_killed(place.stage.cluster.wait_end());
    });
}

/// systemd asks everything in the control group to stop when the main process has died: it is the
/// backends' end that the guardian waits for.
#[test]
fn an_orphan_is_waited_for_though_the_guardian_is_asked_to_stop() {
    sandbox::run(|| {
        needs_root();
        let before = Snapshot::take();
        let mut place = InPlace::new(USUAL);
        place.start();
        let guardian = place.guardian();
        let orphan = place.stage.cluster.cpu_bound_query_in_background(100);
        assert_killed(place.stage.kill_server());
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCONT] {
            processes::kill(guardian, signal);
        }
        assert!(processes::outlives(guardian, Duration::from_secs(1)));
        assert!(!place.stage.left().is_empty());
        processes::kill(orphan.pid(), Signal::SIGKILL);
        place.wait_guardian(guardian);
        place.stage.assert_clean();
        let log = place.stage.cluster.log();
        assert!(log.contains(&format!("process {} (state R", orphan.pid())), "{log}");
        assert!(before.missing().is_empty());
    });
}
