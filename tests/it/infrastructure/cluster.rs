//! Real servers: each major starts, answers, runs a parallel query in dynamic shared memory.

use nix::sys::signal::Signal;

use crate::support::cluster::Cluster;
use crate::support::objects::{KEY_FAMILY, Snapshot, segment, segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;

#[test]
fn postgresql_12_works() {
    sandbox::run(|| a_server_works(12, "sysv", "posix"));
}

#[test]
fn postgresql_18_works() {
    sandbox::run(|| a_server_works(18, "mmap", "posix"));
}

#[test]
fn postgresql_15_works_all_in_system_v() {
    sandbox::run(|| a_server_works(15, "sysv", "sysv"));
}

#[test]
fn postgresql_15_works_with_system_v_buffers() {
    sandbox::run(|| a_server_works(15, "sysv", "posix"));
}

#[test]
fn postgresql_15_works_with_system_v_dynamic_memory() {
    sandbox::run(|| a_server_works(15, "mmap", "sysv"));
}

#[test]
fn postgresql_15_works_as_it_comes() {
    sandbox::run(|| a_server_works(15, "mmap", "posix"));
}

#[test]
fn two_servers_run_side_by_side_on_one_inode_number() {
    sandbox::run(|| {
        let mut clusters: Vec<Cluster> = ["one", "two"].map(on_a_mount_of_its_own).into();
        clusters.iter_mut().for_each(Cluster::start);
        let segments: Vec<_> =
            clusters.iter().map(|c| segment(c.main_segment()).unwrap()).collect();
        assert_eq!(segments[0].key + 1, segments[1].key, "the second key is the next one");
    });
}

#[test]
fn a_server_that_cannot_start_is_told_by_its_status() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[("no_such_setting", "1")]);
        cluster.spawn_under(&[]);
        assert_eq!(cluster.wait_end().code(), Some(1));
        assert!(cluster.log().contains("no_such_setting"), "{}", cluster.log());
    });
}

#[test]
fn a_server_can_stand_behind_a_prefix() {
    sandbox::run(|| {
        let mut cluster = Cluster::new(15, &[]);
        let shell = ["sh", "-c", "\"$@\" & wait", "sh"].map(str::to_owned);
        cluster.start_under(&shell);
        assert_ne!(cluster.postmaster_pid(), cluster.server().pid());
        let running = Snapshot::take();
        cluster.stop();
        assert!(!running.missing().is_empty(), "it had objects, and took them along");
    });
}

fn a_server_works(major: u32, main: &str, dynamic: &str) {
    let before = Snapshot::take();
    let settings =
        [("shared_memory_type", main), ("dynamic_shared_memory_type", dynamic), ("port", "16000")];
    let mut cluster = Cluster::new(major, &settings);
    cluster.start();
    assert!(cluster.sql("select version()").starts_with(&format!("PostgreSQL {major}.")));
    assert_eq!(cluster.postmaster_pid(), cluster.server().pid());
    let segment_of_server = segment(cluster.main_segment()).unwrap();
    assert_eq!(segment_of_server.uid, User::Server.uid_seen());
    assert_eq!(segment_of_server.bytes > 256 << 20, main == "sysv", "{segment_of_server:?}");
    if major == 12 {
        assert_eq!(segment_of_server.key, KEY_FAMILY + 1);
    }

    let mut query = cluster.parallel_query_in_background();
    let (files, segments) = (shm_files().len(), segments().len());
    match dynamic {
        "posix" => assert!(files >= 3 && segments == 1, "{files} files, {segments} segments"),
        _ => assert!(files == 0 && segments >= 4, "{files} files, {segments} segments"),
    }
    assert!(cluster.processes().contains(&query.pid()));
    let workers = "select count(*) from pg_stat_activity where backend_type = 'parallel worker'";
    assert_eq!(cluster.sql(workers), "2");

    processes::kill(query.pid(), Signal::SIGINT); // cancels the statement
    query.client().wait(std::time::Duration::from_secs(10));
    assert_eq!(cluster.stop().code(), Some(0), "{}", cluster.log());
    assert_eq!(before.left_over(), [""; 0]);
}

/// A cluster whose data directory is the root of a file system: inode 1, like the other's.
fn on_a_mount_of_its_own(name: &str) -> Cluster {
    let data = sandbox::scratch().join(name).join("data");
    User::Server.make_directory(data.parent().unwrap());
    User::Server.make_directory(&data);
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=0700", "shmwarden-test"]).arg(&data);
    assert!(mount.status().unwrap().success());
    User::Server.own(&data);
    Cluster::in_data_directory(15, &data, &[])
}
