//! Two servers of one user: what the death of the one brings about must not be felt by the other.

use std::thread;

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL};
use super::query;
use super::stage::{Objects, Stage, assert_killed, needs_root, objects, without};
use crate::support::processes;
use crate::support::sandbox;

#[test]
fn a_server_does_not_feel_the_death_of_another() {
    sandbox::run(|| the_other_goes_on(USUAL, killed_behind_its_launcher));
}

#[test]
fn a_server_all_in_system_v_does_not_feel_the_death_of_another() {
    sandbox::run(|| the_other_goes_on(ALL_SYSV, killed_behind_its_launcher));
}

#[test]
fn a_server_does_not_feel_the_sweep_of_another() {
    sandbox::run(|| the_other_goes_on(USUAL, killed_with_its_launcher_and_swept));
}

#[test]
fn a_server_all_in_system_v_does_not_feel_the_sweep_of_another() {
    sandbox::run(|| the_other_goes_on(ALL_SYSV, killed_with_its_launcher_and_swept));
}

fn killed_behind_its_launcher(victim: &mut Stage) {
    assert_killed(victim.kill_server());
}

fn killed_with_its_launcher_and_swept(victim: &mut Stage) {
    let mut all = vec![victim.cluster.server().pid()]; // first: else it would clean up itself
    all.extend(victim.cluster.processes());
    all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
    victim.cluster.wait_end();
    all.iter().for_each(|&pid| processes::wait_end(pid, std::time::Duration::from_secs(10)));
    let answer = victim.sweep_json();
    let objects = answer["ledgers"][0]["objects"].as_array().unwrap();
    assert!(objects.iter().any(|object| object["outcome"] == "removed"), "{answer:#}");
}

/// One of them began before the victim, one after it.
fn the_other_goes_on(kind: Kind, kill: fn(&mut Stage)) {
    needs_root();
    let (mut elder, mut victim) = (Stage::new(kind), Stage::new(kind));
    let mut younger = Stage::new(kind);
    elder.start();
    let mut long = vec![query::in_flight(&elder.cluster)];
    let before_victim = objects();
    victim.start();
    let _victims = query::in_flight(&victim.cluster);
    let of_victim = without(&objects(), &before_victim);
    younger.start();
    long.push(query::in_flight(&younger.cluster));
    let clusters = [&elder.cluster, &younger.cluster];
    clusters.into_iter().for_each(query::prepare);
    let others = without(&objects(), &of_victim);

    thread::scope(|scope| {
        let askers =
            clusters.map(|cluster| scope.spawn(|| (0..30).for_each(|_| query::ask(cluster))));
        kill(&mut victim);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });

    assert_eq!(without(&others, &objects()), Objects::new(), "the others' objects");
    let now = objects();
    let left: Vec<_> = of_victim.iter().filter(|(name, _)| now.contains_key(*name)).collect();
    assert!(left.is_empty(), "the victim's objects: {left:?}");
    for (cluster, query) in clusters.into_iter().zip(&mut long) {
        assert!(processes::lives(query.pid()) && query.client().is_running());
        query::ask(cluster);
        for word in ["ERROR", "FATAL", "PANIC", "WARNING"] {
            let log = cluster.log();
            let wrong = log.lines().filter(|line| line.contains(word) && !starting(line));
            assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
        }
    }
}

/// A client that comes too early is told so.
fn starting(line: &str) -> bool {
    line.contains("the database system is starting up")
}
