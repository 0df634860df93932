//! The known case: 19 servers of 19 users on port 16000, killed with their launchers. Their
//! segments have the keys 0x00f42401 to 0x00f42413; whose is whose, only the ledgers know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::gauss::{FIRST_KEY, Gauss, PORT, data_directory, words};
use crate::scene::instance::{Instance, SOON};
use crate::support::calls::sets;
use crate::support::cluster::Cluster;
use crate::support::objects::{Bystanders, Segment, segments};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};
use crate::support::warden;

const SERVERS: u32 = 19;
/// Long enough for 19 servers of PostgreSQL on a busy machine.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn of_19_stand_ins_of_19_users_each_sweep_removes_its_own() {
    sandbox::run_within(LONG, || {
        let bystanders = bystanders();
        let theirs = segments().len();
        let ledgers: Vec<Instance> = (0..SERVERS).map(|n| one_that_was_killed(user(n))).collect();
        assert_family(theirs);
        assert_eq!(sets().len(), 3 * SERVERS as usize);
        for (number, ledger) in (0..SERVERS).zip(&ledgers) {
            sweep_removes_its_own(ledger, user(number), 1 + 3);
        }
        assert_eq!((segments().len(), sets().len()), (theirs, 0));
        bystanders.assert_untouched();
    });
}

#[test]
fn of_19_stand_ins_of_19_users_roots_sweep_removes_all() {
    sandbox::run_within(LONG, || {
        let bystanders = bystanders();
        let theirs = segments().len();
        let ledgers: Vec<Instance> = (0..SERVERS).map(|n| one_that_was_killed(user(n))).collect();
        assert_family(theirs);
        root_removes_all(&ledgers, u64::from(SERVERS) * (1 + 3));
        assert_eq!((segments().len(), sets().len()), (theirs, 0));
        bystanders.assert_untouched();
    });
}

#[test]
fn of_19_postgresql_12_of_19_users_each_sweep_removes_its_own() {
    sandbox::run_within(LONG, || {
        let bystanders = bystanders();
        let theirs = segments().len();
        let ledgers = postgresql_killed();
        assert_family(theirs);
        for (number, ledger) in (0..SERVERS).zip(&ledgers) {
            sweep_removes_its_own(ledger, user(number), 1 + 1);
        }
        assert_eq!(segments().len(), theirs);
        bystanders.assert_untouched();
    });
}

#[test]
fn of_19_postgresql_12_of_19_users_roots_sweep_removes_all() {
    sandbox::run_within(LONG, || {
        let bystanders = bystanders();
        let theirs = segments().len();
        let ledgers = postgresql_killed();
        assert_family(theirs);
        root_removes_all(&ledgers, u64::from(SERVERS) * (1 + 1));
        assert_eq!(segments().len(), theirs);
        bystanders.assert_untouched();
    });
}

/// Numbers without accounts.
fn user(number: u32) -> User {
    User::Other(7000 + number)
}

/// Behind the servers' keys, of one of their users, and one of a stranger.
fn bystanders() -> Bystanders {
    Bystanders::create(user(3), 0x50, 5)
}

fn one_that_was_killed(user: User) -> Instance {
    let instance = Instance::new(user);
    let data = data_directory(user);
    let mut server = Gauss::spawn(instance.run(&[], &words(&data, PORT, &["threads=1"])), data);
    instance.wait_recorded(5);
    // The launcher first and the server at once: neither witnesses the other's end.
    server.end_both(nix::sys::signal::Signal::SIGKILL);
    instance
}

/// All run at once, as in the known case, and are killed in one system call.
fn postgresql_killed() -> Vec<Instance> {
    let settings = [
        ("shared_memory_type", "sysv"),
        ("shared_buffers", "'128kB'"),
        ("max_connections", "5"),
        ("max_wal_senders", "0"),
        ("max_worker_processes", "0"),
        ("max_parallel_workers", "0"),
        ("port", "16000"),
    ];
    let mut servers: Vec<Process> = Vec::new();
    let mut ledgers = Vec::new();
    for number in 0..SERVERS {
        let user = user(number);
        let cluster = Cluster::new(12, &settings);
        give(cluster.data().parent().unwrap(), user);
        let instance = Instance::new(user);
        let mut command = instance.run(&[], &cluster.command_line());
        let log = fs::File::create(cluster.data().with_file_name("server.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
        servers.push(Process::spawn(&mut command));
        let log = || fs::read_to_string(cluster.data().with_file_name("server.log"));
        let pid_file = cluster.data().join("postmaster.pid");
        let ready = || fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("\nready"));
        assert!(happens_within(SOON * 6, ready), "server {number}: {log:?}", log = log());
        instance.wait_recorded(3); // the segment, what it is, the control file
        ledgers.push(instance);
    }
    processes::kill_everything();
    for server in &mut servers {
        server.wait(SOON);
    }
    wait_until("all have detached", SOON, || segments().iter().all(|one| one.nattch == 0));
    ledgers
}

fn give(directory: &Path, user: User) {
    let (uid, gid) = user.ids();
    let mut chown = Command::new("chown");
    chown.args(["-R", &format!("{uid}:{gid}")]).arg(directory);
    assert!(chown.status().unwrap().success());
}

/// One segment a server beside those of others: 19 keys in a row, 19 users, nobody attached.
fn assert_family(others: usize) {
    let family: Vec<Segment> =
        segments().into_iter().filter(|one| (7000..7100).contains(&one.uid)).collect();
    let family: Vec<&Segment> = family.iter().filter(|one| one.key < FIRST_KEY + SERVERS).collect();
    let keys: BTreeSet<u32> = family.iter().map(|one| one.key).collect();
    let users: BTreeSet<u32> = family.iter().map(|one| one.uid).collect();
    assert_eq!(keys, (FIRST_KEY..FIRST_KEY + SERVERS).collect());
    assert_eq!((family.len(), users.len()), (SERVERS as usize, SERVERS as usize));
    assert!(family.iter().all(|one| one.nattch == 0));
    assert_eq!(segments().len(), others + SERVERS as usize);
}

/// What goes is of that user, and as much as expected; nothing else goes.
fn sweep_removes_its_own(ledger: &Instance, user: User, count: u64) {
    let before = segments();
    let sweep = ledger.sweep(&[]).expect_code(0);
    assert_eq!(sweep.json()["removed"], count, "{sweep:?}");
    let after = segments();
    let gone: Vec<&Segment> = before.iter().filter(|one| !after.contains(one)).collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].uid, user.uid_seen());
    assert_eq!(after.len(), before.len() - 1);
}

/// Root's `sweep --dir` over all the ledgers, as in one state directory.
fn root_removes_all(ledgers: &[Instance], count: u64) {
    let all: PathBuf = sandbox::scratch().join("all");
    fs::create_dir(&all).unwrap();
    for (number, ledger) in ledgers.iter().enumerate() {
        let place = all.join(format!("server{number}"));
        fs::rename(ledger.directory(), &place).unwrap();
    }
    let sweep = warden::answer(User::Root, &["sweep", "--json", "--dir", all.to_str().unwrap()]);
    let sweep = sweep.expect_code(0).json();
    assert_eq!(sweep["removed"], count, "{sweep}");
    assert_eq!(sweep["ledgers"].as_array().unwrap().len(), ledgers.len());
}
