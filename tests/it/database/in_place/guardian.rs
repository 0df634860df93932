//! The guardian itself: what it is, what it holds, and what its death means to the server: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::matrix::{ALL_SYSV, Kind, USUAL};
use super::super::query;
use super::super::stage::{assert_killed, needs_root};
use super::InPlace;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn it_is_in_nobodys_tree_session_or_directory() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let (postmaster, guardian) = (place.stage.cluster.postmaster_pid(), place.guardian());
        assert!(!processes::descendants(postmaster).contains(&guardian));
        assert_eq!(processes::parent(guardian), Some(1), "whoever adopts orphans");
        let stat = fs::read_to_string(format!("/proc/{guardian}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let own = guardian.to_string();
        assert_eq!(fields[2..5], [&own, &own, "0"], "group, session, terminal");
        assert_eq!(fs::read_link(format!("/proc/{guardian}/cwd")).unwrap().to_str(), Some("/"));
        place.stage.cluster.stop();
    });
}

#[test]
fn it_holds_nothing_of_what_the_server_was_given() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let guardian = place.guardian();
        let what = |fd: fs::DirEntry| {
            let target = fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned();
            Some(target.split([':', '[']).next().unwrap().to_owned())
        };
        let held: BTreeSet<String> = fs::read_dir(format!("/proc/{guardian}/fd"))
            .unwrap()
            .filter_map(|fd| what(fd.unwrap()))
            .collect();
        let ledger = place.stage.ledger.to_str().unwrap().to_owned();
        let log = place.stage.cluster.data().with_file_name("log").to_str().unwrap().to_owned();
        let allowed = ["/dev/null", "anon_inode", "pipe", &ledger, &log, "pidfd"];
        let more: Vec<&String> = held.iter().filter(|fd| !allowed.contains(&fd.as_str())).collect();
        assert!(more.is_empty(), "{held:?}");
        assert!(held.contains(&ledger) && held.contains(&log), "{held:?}");
        place.stage.cluster.stop();
    });
}

/// A child of the postmaster that died so would make it begin anew.
#[test]
fn its_death_leaves_no_trace_in_the_servers_log_and_no_backend_begins_anew() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let guardian = place.guardian();
        let session = place.stage.cluster.query_in_background("select pg_sleep(1000)");
        let before = settled_processes(&place);
        let said = place.stage.cluster.log();
        processes::kill(guardian, Signal::SIGKILL);
        wait_until("it has gone", SOON, || processes::state(guardian).is_none());
        assert!(processes::outlives(session.pid(), Duration::from_secs(2)));
        assert_eq!(place.stage.cluster.sql("select 1"), "1");
        assert_eq!(settled_processes(&place), before);
        assert_eq!(place.stage.cluster.log(), said);
        place.stage.sweep_refuses_while_it_lives();
        drop(session);
        place.stage.cluster.stop();
    });
}

/// Many clusters of one version run the same file. No postmaster becomes a daemon.
#[test]
fn another_cluster_that_began_later_is_not_taken_for_a_daemon_of_one_that_was_stopped() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let guardian = place.guardian();
        let mut other = USUAL.cluster("5433");
        other.start();
        assert_eq!(place.stage.cluster.stop().code(), Some(0));
        place.wait_guardian(guardian);
        let log = place.stage.cluster.log();
        assert!(!log.contains("became a daemon"), "{log}");
        other.stop();
    });
}

#[test]
fn what_a_server_without_its_guardian_leaves_is_swept() {
    sandbox::run(|| a_server_without_its_guardian_is_killed(USUAL));
}

#[test]
fn what_a_server_without_its_guardian_leaves_is_swept_all_in_system_v() {
    sandbox::run(|| a_server_without_its_guardian_is_killed(ALL_SYSV));
}

/// As systemd does it: everything in the control group, then `ExecStopPost=`.
#[test]
fn what_server_and_guardian_leave_that_were_killed_together_is_swept() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let query = query::in_flight(&place.stage.cluster);
        place.stage.kill_together();
        drop(query);
        assert!(!place.stage.left().is_empty());
        assert!(place.stage.sweep().is_empty(), "{}", place.stage.told());
    });
}

#[test]
fn what_both_left_is_cleaned_by_the_next_start() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(ALL_SYSV);
        place.start();
        let old = place.stage.left();
        place.stage.kill_together();
        place.start();
        let now = place.stage.left();
        assert!(old.keys().all(|name| old.get(name) != now.get(name)), "{old:?}\n{now:?}");
        let guardian = place.guardian();
        assert_eq!(place.stage.cluster.stop().code(), Some(0));
        place.wait_guardian(guardian);
        place.stage.assert_clean();
    });
}

#[test]
fn a_second_server_on_its_ledger_is_refused_and_both_are_named() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let (postmaster, guardian) = (place.stage.cluster.postmaster_pid(), place.guardian());
        let marker = sandbox::scratch().join("started");
        let ledger = place.stage.ledger.to_str().unwrap().to_owned();
        let began = Instant::now();
        for more in [&["--in-place"][..], &[]] {
            let mut words = vec!["run", "--ledger", &ledger];
            words.extend(more);
            words.extend(["--", "touch", marker.to_str().unwrap()]);
            let second = warden::answer(User::Server, &words).expect_code(125);
            assert!(second.stderr.contains(&format!("process {guardian}, ")), "{second:?}");
            assert!(second.stderr.contains(&format!("process {postmaster};")), "{second:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
        assert!(!marker.exists());
        place.stage.cluster.stop();
    });
}

#[test]
fn a_server_that_lives_without_its_guardian_is_not_started_twice() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(USUAL);
        place.start();
        let postmaster = place.stage.cluster.postmaster_pid();
        processes::kill(place.guardian(), Signal::SIGKILL);
        let ledger = place.stage.ledger.to_str().unwrap().to_owned();
        let words = ["run", "--in-place", "--ledger", &ledger, "--", "true"];
        let second = warden::answer(User::Server, &words).expect_code(125);
        assert!(second.stderr.contains(&format!("process {postmaster} ")), "{second:?}");
        assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
        place.stage.cluster.stop();
    });
}

/// The server's processes once those of the test's own questions have ended.
fn settled_processes(place: &InPlace) -> BTreeSet<i32> {
    let now = || -> BTreeSet<i32> { place.stage.cluster.processes().into_iter().collect() };
    let mut found = now();
    wait_until("its processes stay the same", SOON, || {
        std::thread::sleep(Duration::from_millis(200));
        let again = now();
        std::mem::replace(&mut found, again.clone()) == again
    });
    found
}

fn a_server_without_its_guardian_is_killed(kind: Kind) {
    needs_root();
    let mut place = InPlace::new(kind);
    place.start();
    processes::kill(place.guardian(), Signal::SIGKILL);
    place.stage.add_strangers(2);
    let query = query::in_flight(&place.stage.cluster);
    place.stage.sweep_refuses_while_it_lives();
    assert_killed(place.stage.kill_server());
    processes::kill_everything();
    place.stage.wait_alone();
    drop(query);
    assert!(place.stage.sweep().is_empty(), "{}", place.stage.told());
}
