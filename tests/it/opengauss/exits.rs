//! Each way to end, under a launcher that sees it and with one that does not.

use nix::sys::signal::Signal;

use super::gauss::{Gauss, PORT, assert_works, mark};
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden;

/// An end: the signal for it, settings, the status, and whether it leaves the segment and the sets.
type End = (Signal, &'static [&'static str], Option<i32>, bool, bool);

const KILLED: End = (Signal::SIGKILL, &[], None, true, true);
const IMMEDIATE: End = (Signal::SIGQUIT, &[], Some(0), false, true);
const FAILED_CHANGE_OF_ROLES: End = (Signal::SIGUSR1, &[], Some(0), true, true);
const CRASHED_THREAD: End = (Signal::SIGUSR2, &[], Some(1), true, true);
const DURING_START: End = (Signal::SIGINT, &["recovering=on"], Some(0), false, true);
const FAST: End = (Signal::SIGINT, &[], Some(0), false, false);

#[test]
fn killed() {
    sandbox::run(|| leaves_nothing(KILLED));
}

#[test]
fn an_immediate_stop_with_status_0() {
    sandbox::run(|| leaves_nothing(IMMEDIATE));
}

#[test]
fn an_exit_with_status_0_without_any_clean_up() {
    sandbox::run(|| leaves_nothing(FAILED_CHANGE_OF_ROLES));
}

#[test]
fn a_thread_that_crashes() {
    sandbox::run(|| leaves_nothing(CRASHED_THREAD));
}

#[test]
fn a_stop_during_the_start() {
    sandbox::run(|| leaves_nothing(DURING_START));
}

#[test]
fn a_fast_stop() {
    sandbox::run(|| leaves_nothing(FAST));
}

/// The end alone leaves what it is said to leave; with a launcher nothing is left; after the death
/// of both, nothing is left by a sweep. All the while another server of the user works on.
fn leaves_nothing(end: End) {
    let (signal, settings, status, segment_stays, sets_stay) = end;
    let neighbour = Gauss::alone(User::Server, PORT, &["sets=2"]);
    let theirs = neighbour.belongings();
    assert_eq!((theirs.0.len(), theirs.1.len()), (1, 2));
    let others = |all: Vec<i32>, theirs: &[i32]| -> usize {
        all.into_iter().filter(|id| !theirs.contains(id)).count()
    };
    let left = || {
        let segments = segments().into_iter().map(|segment| segment.id).collect();
        let sets = sets().into_iter().map(|set| set.id).collect();
        (others(segments, &theirs.0), others(sets, &theirs.1))
    };

    let mut without = Gauss::alone(User::Server, PORT + 1, settings);
    assert_eq!(without.end(signal).code(), status);
    assert_eq!(left(), (usize::from(segment_stays), if sets_stay { 3 } else { 0 }));
    // The next start on that port reclaims it, and leaves nothing.
    Gauss::alone(User::Server, PORT + 1, &[]).end(Signal::SIGINT);
    assert_eq!(left(), (0, 0));

    let watched = Instance::new(User::Server);
    let mut server = on_another_port(&watched, settings);
    watched.wait_recorded(4);
    assert_eq!(server.end(signal).code(), status);
    assert_eq!(left(), (0, 0), "{}", String::from_utf8_lossy(&watched.bytes()));

    let unseen = Instance::new(User::Server);
    let mut server = on_another_port(&unseen, settings);
    unseen.wait_recorded(4);
    server.end_both(signal);
    assert_eq!(left(), (usize::from(segment_stays), if sets_stay { 3 } else { 0 }));
    let sweep = unseen.sweep(&[]).expect_code(0);
    assert_eq!(left(), (0, 0), "{sweep:?}");
    assert_eq!(outcomes(&unseen.sweep(&[]).expect_code(0)), [""; 0]);

    assert_works(&neighbour, &theirs.1);
    assert_eq!(neighbour.belongings(), theirs);
}

fn on_another_port(instance: &Instance, settings: &[&str]) -> Gauss {
    let data = super::gauss::data_directory(User::Server);
    let words = super::gauss::words(&data, PORT + 1, settings);
    Gauss::spawn(instance.run(&[], &words), data)
}

/// What the ledger says of it: the engine, its main segment by the header, no thread's number.
#[test]
fn a_ledger_knows_the_server_as_one_process_with_its_segment_and_sets() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = Gauss::under(&instance, User::Server, &["threads=8", "sets=2"]);
        instance.wait_recorded(4); // the segment, the segment as the main one, two sets
        let (segment, sets) = server.belongings();
        let ledger = String::from_utf8(instance.bytes()).unwrap();
        assert!(ledger.contains(r#""engine":"opengauss""#), "{ledger}");
        assert!(ledger.contains(r#""role":"main""#), "{ledger}");
        assert_eq!((segment.len(), sets.len()), (1, 2));
        assert_eq!(mark(sets[0]), (537, server.pid()));
        let number = sets[0].to_string();
        let who = warden::answer(User::Server, &["who", "--json", &number]).expect_code(0).json();
        let objects = who["objects"].as_array().unwrap();
        let set = objects.iter().find(|object| object["kind"] == "sem").unwrap();
        let holders = set["holders"].as_array().unwrap();
        assert!(holders.iter().all(|holder| holder["pid"] == server.pid()), "{who}");
        assert!(!holders.is_empty(), "{who}");
        let mut server = server;
        server.end(Signal::SIGKILL);
        let history = ["history", "--json", instance.path()];
        let history = warden::answer(User::Server, &history).expect_code(0).json();
        assert_eq!(history["runs"][0]["pid"], server.pid());
        let objects = history["runs"][0]["objects"].as_array().unwrap();
        assert!(objects.iter().all(|object| object["outcome"] == "removed"), "{history}");
        assert_eq!(objects.len(), 3);
    });
}
