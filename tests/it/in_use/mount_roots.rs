//! Two data directories with one inode number: the roots of two file systems. Both servers begin
//! with the same key, and the second takes the next.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes};
use crate::support::cluster::Cluster;
use crate::support::objects::{Snapshot, segment};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// PostgreSQL looks for what it left from its first key on, and stops at the first free one.
#[test]
fn without_us_the_second_leaks() {
    sandbox::run(|| {
        let left = crash_and_restart(&|_| Vec::new());
        assert!(left.iter().any(|object| object.starts_with("segment ")), "{left:?}");
    });
}

#[test]
fn with_us_the_second_leaks_nothing() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let prefix = instance.prefix(&[]);
        let left = crash_and_restart(&|name| {
            if name == "two" { prefix.clone() } else { vec![] }
        });
        assert_eq!(left, [""; 0]);
    });
}

#[test]
fn with_us_neither_disturbs_the_other() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let mut both: Vec<(Instance, Cluster)> = ["one", "two"]
            .map(|name| (Instance::new(User::Server), on_a_mount_of_its_own(name)))
            .into();
        for (instance, cluster) in &mut both {
            cluster.start_under(&instance.prefix(&[]));
        }
        let second = Snapshot::take();
        let (_, first) = &mut both[0];
        first.kill_postmaster();
        first.wait_end();
        let (_, cluster) = &mut both[1];
        assert!(segment(cluster.main_segment()).is_some_and(|s| s.nattch > 0));
        assert_eq!(cluster.sql("select 1"), "1");
        assert!(!second.missing().is_empty(), "the first one's objects are gone");
        cluster.kill_postmaster();
        cluster.wait_end();
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// A server that starts anew after a crash of a backend tries its keys from the first on, and
/// attaches what it finds there for a moment.
#[test]
fn a_neighbour_that_tested_the_main_segment_does_not_keep_it() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let mut both: Vec<(Instance, Cluster)> = ["one", "two"]
            .map(|name| (Instance::new(User::Server), on_a_mount_of_its_own(name)))
            .into();
        for (instance, cluster) in &mut both {
            cluster.start_under(&instance.prefix(&[]));
        }
        let (_, second) = &both[1];
        let neighbour = second.postmaster_pid();
        let (instance, first) = &mut both[0];
        let main = first.main_segment();
        let launcher = processes::parent(first.postmaster_pid()).unwrap();
        processes::kill(launcher, Signal::SIGKILL);
        first.kill_postmaster();
        wait_until("nobody has it attached", SOON, || segment(main).is_some_and(|s| s.nattch == 0));
        let below = processes::descendants(neighbour);
        let backend = below.into_iter().rfind(|&pid| pid != neighbour).unwrap();
        processes::kill(backend, Signal::SIGKILL);
        let last = || {
            let table = shmwarden::proc::read::sysvipc_shm().unwrap();
            table.iter().find(|one| one.row.id == main).map(|one| one.row.last_pid)
        };
        wait_until("the neighbour has tested it", SOON, || last() == Some(neighbour));
        let swept = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&swept), ["removed dead"]);
        assert!(segment(main).is_none() && processes::lives(neighbour));
        let (_, second) = &mut both[1];
        wait_until("it serves again", SOON, || second.try_sql("select 1").is_ok());
        second.kill_postmaster();
        second.wait_end();
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// Both start, the second is killed, the first stops, the second starts again alone and stops:
/// what is left then.
fn crash_and_restart(prefix: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    let before = Snapshot::take();
    let mut one = on_a_mount_of_its_own("one");
    let mut two = on_a_mount_of_its_own("two");
    one.start_under(&prefix("one"));
    two.start_under(&prefix("two"));
    let keys = [&one, &two].map(|cluster| segment(cluster.main_segment()).unwrap().key);
    assert_eq!(keys[0] + 1, keys[1]);
    let all = two.processes();
    processes::kill(two.postmaster_pid(), Signal::SIGKILL);
    two.wait_end();
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    one.stop();
    two.start_under(&prefix("two"));
    assert_eq!(segment(two.main_segment()).unwrap().key, keys[0]);
    two.stop();
    before.left_over()
}

/// A cluster whose data directory is the root of a file system.
fn on_a_mount_of_its_own(name: &str) -> Cluster {
    let data = sandbox::scratch().join(name).join("data");
    User::Server.make_directory(data.parent().unwrap());
    User::Server.make_directory(&data);
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=0700", "shmwarden-test"]).arg(&data);
    assert!(mount.status().unwrap().success());
    User::Server.own(&data);
    Cluster::in_data_directory(15, &data, &[])
}
