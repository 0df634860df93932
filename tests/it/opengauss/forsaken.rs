//! Instances that will never start again: their port was changed, their data directory moved or
//! deleted, their account deleted. Their ledgers are found in their directory, shown and settled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::gauss::{FIRST_KEY, Gauss, PORT, data_directory, words};
use crate::scene::instance::{Instance, need_root, need_to_look_into_others};
use crate::support::calls::sets;
use crate::support::cluster::Cluster;
use crate::support::objects::{Snapshot, create_segment, segment, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// A state directory with a sub-directory an instance, as services of different users have it.
fn state_directory() -> PathBuf {
    let all = sandbox::scratch().join("state");
    fs::create_dir_all(&all).unwrap();
    all
}

fn instance_named(user: User, name: &str) -> Instance {
    let place = state_directory().join(name);
    user.make_directory(&place);
    Instance::at(user, &place.join(format!("{name}.ledger")))
}

/// A server of a user that was killed with its launcher; its data directory, and its segment.
fn killed(instance: &Instance, user: User, port: u16) -> (PathBuf, i32) {
    let data = data_directory(user);
    let words = words(&data, port, &[]);
    let mut server = Gauss::spawn(instance.run(&[], &words), data);
    instance.wait_recorded(5);
    let id = server.belongings().0[0];
    server.end_both(Signal::SIGKILL);
    (server.data().to_owned(), id)
}

/// What `list` says of a segment: verdict and instance.
fn listed(user: User, id: i32) -> (String, String) {
    let all = state_directory();
    let list = ["list", "--json", "--dir", all.to_str().unwrap()];
    let list = warden::answer(user, &list).expect_code(0).json();
    let objects = list["objects"].as_array().unwrap();
    let one = objects.iter().find(|one| one["kind"] == "shm" && one["id"] == id).unwrap();
    (one["verdict"].as_str().unwrap().to_owned(), one["instance"].as_str().unwrap().to_owned())
}

/// `sweep --dir` over the state directory, ended with 0: how many objects it removed.
fn sweep_all(user: User) -> u64 {
    let all = state_directory();
    let sweep = ["sweep", "--json", "--dir", all.to_str().unwrap()];
    let sweep = warden::answer(user, &sweep).expect_code(0).json();
    sweep["removed"].as_u64().unwrap()
}

fn stale(name: &str) -> (String, String) {
    ("stale".to_owned(), name.to_owned())
}

/// Nobody ever comes to the old keys again: without the ledger they are leaked for good.
#[test]
fn what_a_server_left_on_its_former_port_is_removed_by_the_next_start_on_another() {
    sandbox::run(|| {
        let instance = instance_named(User::Server, "main");
        let (data, id) = killed(&instance, User::Server, PORT);
        assert_eq!(segment(id).unwrap().key, FIRST_KEY);
        assert_eq!(listed(User::Server, id), stale("main"));
        let words = words(&data, PORT + 1, &[]);
        let mut next = Gauss::spawn(instance.run(&[], &words), data);
        assert!(segments().iter().all(|one| one.key == FIRST_KEY + 1000));
        assert_eq!((segments().len(), sets().len()), (1, 3));
        next.end(Signal::SIGKILL);
        assert_eq!((segments().len(), sets().len()), (0, 0));
    });
}

/// Its new place has a new ledger; the old one is settled before the start.
#[test]
fn what_a_server_left_before_its_directory_was_moved_is_swept() {
    sandbox::run(|| {
        let instance = instance_named(User::Server, "old");
        let (data, id) = killed(&instance, User::Server, PORT);
        fs::rename(&data, data.with_extension("moved")).unwrap();
        assert_eq!(listed(User::Server, id), stale("old"));
        assert_eq!(sweep_all(User::Server), 4);
        assert_eq!((segments().len(), sets().len()), (0, 0));
    });
}

/// Then nothing tells the new server from one that works on with the old one's memory.
#[test]
fn while_a_server_lives_in_the_moved_directory_the_old_ledger_keeps_and_names_it() {
    sandbox::run(|| {
        need_to_look_into_others();
        let old = instance_named(User::Server, "old");
        let (data, id) = killed(&old, User::Server, PORT);
        let moved = data.with_extension("moved");
        fs::rename(&data, &moved).unwrap();
        let new = instance_named(User::Server, "new");
        let words = words(&moved, PORT + 1, &[]);
        let mut server = Gauss::spawn(new.run(&[], &words), moved);
        new.wait_recorded(5);
        assert_eq!(sweep_all(User::Server), 0);
        let kept = old.sweep(&[]);
        assert!(kept.stdout.contains(&format!("process {} (", server.pid())), "{kept:?}");
        assert!(segment(id).is_some());
        server.end(Signal::SIGINT);
        assert_eq!(sweep_all(User::Server), 4);
        assert_eq!((segments().len(), sets().len()), (0, 0));
    });
}

/// In the machine's list of accounts at first, and then not: only its number is left.
#[test]
fn root_settles_the_ledgers_of_accounts_and_directories_that_were_deleted() {
    sandbox::run(|| {
        need_root("to delete an account");
        let user = User::Other(7777);
        let passwd = sandbox::scratch().join("passwd");
        let before = fs::read_to_string("/etc/passwd").unwrap();
        let account = "omm:x:7777:7777::/nonexistent:/bin/false\n";
        fs::write(&passwd, format!("{before}{account}")).unwrap();
        mount(&passwd, Path::new("/etc/passwd"));
        let deleted = instance_named(user, "deleted");
        let (data, id) = killed(&deleted, user, PORT);
        let bystanders = [
            create_segment(user, FIRST_KEY + 5, 4096),
            create_segment(User::Server, FIRST_KEY + 6, 4096),
        ];
        let owner = || {
            let list =
                ["list", "--json", "--dir", state_directory().to_str().unwrap()].map(str::to_owned);
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let list = warden::answer(User::Root, &list).expect_code(0).json();
            let objects = list["objects"].as_array().unwrap().clone();
            objects.into_iter().find(|one| one["id"] == id && one["kind"] == "shm").unwrap()
        };
        assert_eq!(owner()["owner"], "omm");
        fs::write(&passwd, before).unwrap();
        fs::remove_dir_all(data).unwrap();
        assert_eq!((&owner()["uid"], owner()["owner"].is_null()), (&7777.into(), true));
        assert_eq!(listed(User::Root, id), stale("deleted"));
        assert_eq!(sweep_all(User::Root), 4);
        let left: Vec<i32> = segments().iter().map(|one| one.id).collect();
        assert_eq!((left.as_slice(), sets().len()), (bystanders.as_slice(), 0));
    });
}

#[test]
fn what_a_postgresql_left_whose_directory_was_deleted_is_swept() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = instance_named(User::Server, "postgres");
        let mut cluster = Cluster::new(15, &[]);
        cluster.start_under(&instance.prefix(&[]));
        instance.wait_recorded(3);
        let main = cluster.main_segment();
        let postmaster = cluster.postmaster_pid();
        let launcher = processes::parent(postmaster).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(postmaster, Signal::SIGKILL);
        processes::kill(launcher, Signal::SIGKILL);
        cluster.wait_end();
        wait_until("all have detached", crate::scene::instance::SOON, || {
            segment(main).is_some_and(|one| one.nattch == 0)
        });
        fs::remove_dir_all(cluster.data()).unwrap();
        assert_eq!(listed(User::Server, main), stale("postgres"));
        assert!(sweep_all(User::Server) >= 2);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

fn mount(file: &Path, over: &Path) {
    let mut mount = Command::new("mount");
    mount.arg("--bind").args([file, over]);
    assert!(mount.status().unwrap().success());
}
