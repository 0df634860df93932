//! `pg_ctl -p` with the script that is shipped: it starts the server in place, and everything that
//! compares pids finds the one that it has forked.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::matrix::{ALL_SYSV, Kind, USUAL};
use super::super::stage::needs_root;
use super::{InPlace, as_server};
use crate::support::ends::seen_from_beside;
use crate::support::processes;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};
use crate::support::{objects::Snapshot, sandbox};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn pg_ctl_starts_reloads_restarts_and_stops_12() {
    sandbox::run(|| pg_ctl_starts_reloads_restarts_and_stops(Kind { major: 12, ..USUAL }));
}

#[test]
fn pg_ctl_starts_reloads_restarts_and_stops_15() {
    sandbox::run(|| pg_ctl_starts_reloads_restarts_and_stops(ALL_SYSV));
}

#[test]
fn pg_ctl_starts_reloads_restarts_and_stops_18() {
    sandbox::run(|| pg_ctl_starts_reloads_restarts_and_stops(Kind { major: 18, ..USUAL }));
}

fn pg_ctl_starts_reloads_restarts_and_stops(kind: Kind) {
    needs_root();
    let place = InPlace::new(kind);
    let cluster = &place.stage.cluster;
    let script = place.script_with_ledger();
    place.pg_ctl_with(&script, &["start"]).expect_code(0);
    let (first, guardian) = (cluster.postmaster_pid(), place.guardian());
    assert_eq!(place.stage.last_run()["pid"], first);
    assert_eq!(cluster.sql("select 1"), "1");
    place.pg_ctl(&["status"]).expect_code(0);
    place.pg_ctl(&["reload"]).expect_code(0);
    wait_until("it reloads", SOON, || cluster.log().contains("received SIGHUP"));

    let restarted = place.pg_ctl_with(&script, &["restart", "-m", "fast"]).expect_code(0);
    let second = cluster.postmaster_pid();
    assert_ne!(second, first, "{restarted:?}");
    place.wait_guardian(guardian);
    assert_eq!(cluster.sql("select 1"), "1");
    assert_eq!(place.stage.last_run()["pid"], second);

    let guardian = place.guardian();
    place.pg_ctl(&["stop", "-m", "fast"]).expect_code(0);
    place.wait_guardian(guardian);
    place.stage.assert_clean();
    assert_eq!(place.stage.last_run()["end"], seen_from_beside("exit 0"));
}

/// `pg_ctl` starts the next server when the pid file of the one before is gone, which is before its
/// process and its guardian are.
#[test]
fn a_restart_does_not_fall_over_the_guardian_before() {
    sandbox::run(|| {
        needs_root();
        let place = InPlace::new(USUAL);
        let script = place.script_with_ledger();
        place.pg_ctl_with(&script, &["start"]).expect_code(0);
        for mode in ["fast", "immediate"].into_iter().cycle().take(10) {
            place.pg_ctl_with(&script, &["restart", "-m", mode]).expect_code(0);
        }
        assert_eq!(place.stage.cluster.sql("select 1"), "1");
        let guardian = place.guardian();
        place.pg_ctl(&["stop", "-m", "fast"]).expect_code(0);
        place.wait_guardian(guardian);
        place.stage.assert_clean();
    });
}

#[test]
fn a_server_that_pg_ctl_started_leaves_nothing_when_it_is_killed() {
    sandbox::run(|| {
        needs_root();
        let place = InPlace::new(ALL_SYSV);
        let script = place.script_with_ledger();
        place.pg_ctl_with(&script, &["start"]).expect_code(0);
        let guardian = place.guardian();
        processes::kill(place.stage.cluster.postmaster_pid(), Signal::SIGKILL);
        place.wait_guardian(guardian);
        place.stage.assert_clean();
        assert_eq!(place.stage.last_run()["end"], seen_from_beside("signal 9"));
        // And the database goes on.
        place.pg_ctl_with(&script, &["start"]).expect_code(0);
        assert_eq!(place.stage.cluster.sql("select 1"), "1");
        place.pg_ctl(&["stop", "-m", "fast"]).expect_code(0);
    });
}

/// `pg_ctl` itself in place: it ends with status 0 and leaves the server, which is guarded on.
#[test]
fn a_server_that_its_command_leaves_behind_is_guarded_on() {
    sandbox::run(|| {
        needs_root();
        let mut place = InPlace::new(ALL_SYSV);
        let ledger = place.stage.ledger.to_str().unwrap().to_owned();
        let mut words = warden::prefix(&["run", "--in-place", "--ledger", &ledger]);
        words.extend(place.pg_ctl_words(&["-l", "/dev/null", "-w", "start"]));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        place.stage.cluster.spawn(as_server(&words));
        assert_eq!(place.stage.cluster.wait_end().code(), Some(0));
        let postmaster = place.stage.cluster.postmaster_pid();
        let guardian = place.guardian();
        assert!(processes::outlives(guardian, Duration::from_secs(1)), "{}", place.stage.told());
        assert_eq!(place.stage.last_run()["pid"], postmaster);
        place.stage.sweep_refuses_while_it_lives();
        processes::kill(postmaster, Signal::SIGKILL);
        place.wait_guardian(guardian);
        place.stage.assert_clean();
        assert_eq!(place.stage.last_run()["end"], seen_from_beside("signal 9"));
    });
}

/// As `pg_ctlcluster` starts it: no variable, so no HOME; the ledger is below the home directory
/// that the user database names, and its name comes from `-D`.
#[test]
fn without_any_environment_the_ledger_is_in_the_users_home() {
    sandbox::run(|| {
        needs_root();
        let before = Snapshot::take();
        let place = InPlace::new(ALL_SYSV);
        warden::default_ledger(place.stage.cluster.data());
        let script = place.script("--linger 10s");
        place.pg_ctl_with(&script, &["start"]).expect_code(0);
        let ledger = warden::default_ledger(place.stage.cluster.data());
        assert!(ledger.exists(), "{}", ledger.display());
        let postmaster = place.stage.cluster.postmaster_pid();
        let all = place.stage.cluster.processes();
        let words = ["history", "--json", ledger.to_str().unwrap()];
        let run = warden::answer(User::Server, &words).json()["runs"][0].clone();
        assert_eq!(run["pid"], postmaster);
        let guardian = i32::try_from(run["launcher"].as_i64().unwrap()).unwrap();
        processes::kill(guardian, Signal::SIGKILL);
        processes::kill(postmaster, Signal::SIGKILL);
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        // The hook that finishes the work names the directory.
        let directory = ledger.parent().unwrap().to_str().unwrap();
        warden::answer(User::Root, &["sweep", "--dir", directory]).expect_code(0);
        place.stage.assert_clean();
        assert!(before.missing().is_empty());
    });
}

/// Patroni and Debian's scripts ask the server's program questions while the server runs.
#[test]
fn errands_of_the_servers_program_need_no_ledger() {
    sandbox::run(|| {
        needs_root();
        let place = InPlace::new(USUAL);
        let script = place.script_with_ledger();
        place.pg_ctl_with(&script, &["start"]).expect_code(0);
        let data = place.stage.cluster.data().to_str().unwrap();
        let ask = |words: &[&str]| {
            let mut all = vec![script.to_str().unwrap()];
            all.extend(words);
            Answer::of(&mut as_server(&all)).expect_code(0).stdout
        };
        assert_eq!(ask(&["-C", "data_directory", "-D", data]).trim_end(), data);
        assert_eq!(ask(&["-D", data, "-C", "data_directory"]).trim_end(), data);
        assert!(ask(&["--version"]).starts_with("postgres (PostgreSQL) 15"));
        assert!(ask(&["--describe-config"]).contains("shared_buffers"));
        assert_eq!(place.stage.last_run()["run"], 1);
        assert_eq!(place.stage.last_run()["end"], serde_json::Value::Null);
        place.pg_ctl(&["stop", "-m", "fast"]).expect_code(0);
    });
}

/// Some are asked before there is any server; what starts one alone, for one user, is no errand.
#[test]
fn errands_of_the_servers_program_make_no_ledger() {
    sandbox::run(|| {
        needs_root();
        let place = InPlace::new(USUAL);
        let script = place.script_with_ledger();
        let data = place.stage.cluster.data().to_str().unwrap();
        let ask = |words: &[&str]| {
            let mut all = vec![script.to_str().unwrap()];
            all.extend(words);
            Answer::of(&mut as_server(&all)).expect_code(0);
            place.stage.ledger.exists()
        };
        let all: [&[&str]; 7] = [
            &["--version"],
            &["-V"],
            &["--help"],
            &["-?"],
            &["--describe-config"],
            &["--check", "-D", data],
            &["-D", data, "-C", "shared_buffers"],
        ];
        for errand in all {
            assert!(!ask(errand), "{errand:?}");
        }
        assert!(ask(&["--single", "-D", data, "postgres"]));
        assert_eq!(place.stage.last_run()["run"], 1);
    });
}
