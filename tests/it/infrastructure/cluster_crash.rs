//! Crashes of real servers, as the tests bring them about: what they leave is what makes shmwarden
//! necessary, and without these leaks the tests of its work would prove nothing.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::cluster::Cluster;
use crate::support::objects::{Snapshot, segment, segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::waiting::wait_until;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_killed_postmaster_of_12_leaks_all_it_had() {
    sandbox::run(|| a_killed_postmaster_leaks_all_it_had(12));
}

#[test]
fn a_killed_postmaster_of_15_leaks_all_it_had() {
    sandbox::run(|| a_killed_postmaster_leaks_all_it_had(15));
}

#[test]
fn a_killed_postmaster_of_18_leaks_all_it_had() {
    sandbox::run(|| a_killed_postmaster_leaks_all_it_had(18));
}

#[test]
fn a_busy_backend_survives_the_postmaster_and_stays_attached() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        cluster.start();
        let main = cluster.main_segment();
        let idle = cluster.query_in_background("select pg_sleep(1000)");
        let orphan = cluster.cpu_bound_query_in_background(6);
        cluster.kill_postmaster();
        processes::wait_end(idle.pid(), SOON);
        assert!(processes::outlives(orphan.pid(), Duration::from_secs(3)), "an orphan");
        assert_eq!(processes::parent(orphan.pid()), Some(1));
        assert_eq!(segment(main).unwrap().nattch, 1);
        cluster.spawn_under(&[]);
        assert_eq!(cluster.wait_end().code(), Some(1), "the server's own interlock");
        processes::wait_end(orphan.pid(), SOON);
        wait_until("it is detached", SOON, || segment(main).unwrap().nattch == 0);
    });
}

#[test]
fn a_killed_backend_makes_the_server_take_another_segment() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        cluster.start();
        let (postmaster, first) = (cluster.postmaster_pid(), cluster.main_segment());
        let victim = cluster.query_in_background("select pg_sleep(1000)");
        processes::kill(victim.pid(), Signal::SIGKILL);
        wait_until("another segment is there", SOON, || cluster.main_segment() != first);
        cluster.wait_ready();
        assert_eq!(cluster.postmaster_pid(), postmaster);
        assert!(segment(first).is_none());
    });
}

#[test]
fn everything_killed_at_once_leaks_too() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[("dynamic_shared_memory_type", "sysv")]);
        cluster.start();
        let _query = cluster.parallel_query_in_background();
        processes::kill_everything();
        cluster.wait_end();
        wait_until("all is detached", SOON, || segments().iter().all(|s| s.nattch == 0));
        assert!(segments().len() >= 4, "nobody was left to remove the query's own");
        assert_eq!(shm_files(), []);
    });
}

#[test]
fn an_orphaned_postmaster_leaves_no_zombie() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[]);
        cluster.start_under(&["sh", "-c", "\"$@\" & wait", "sh"].map(str::to_owned));
        let postmaster = cluster.postmaster_pid();
        cluster.server().signal(Signal::SIGKILL);
        cluster.wait_end();
        assert_eq!(processes::parent(postmaster), Some(1));
        processes::kill(postmaster, Signal::SIGKILL);
        wait_until("it is reaped", SOON, || processes::state(postmaster).is_none());
    });
}

fn a_killed_postmaster_leaks_all_it_had(major: u32) {
    let before = Snapshot::take();
    let mut cluster = Cluster::new(major, &[("shared_memory_type", "sysv")]);
    cluster.start();
    let _query = cluster.parallel_query_in_background();
    let others = processes::descendants(cluster.postmaster_pid());
    cluster.kill_postmaster();
    others.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    let left = before.left_over();
    assert!(left.iter().any(|object| object.starts_with("segment")), "{left:?}");
    // The query's own were removed by the backends as they ended. The control segment never is,
    // nor, from 15 on, that of the statistics.
    assert_eq!(shm_files().len(), if major < 15 { 1 } else { 2 }, "{left:?}");
    assert!(segments().iter().all(|segment| segment.nattch == 0), "nobody holds it");
}
