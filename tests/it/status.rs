//! `status`: every server of a host, and whether what a kill leaves of it is removed by something
//! that needs no person.

mod alerts;
mod holes;
mod others;

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::database::matrix::USUAL;
use crate::database::stage::needs_root;
use crate::support::cluster::Cluster;
use crate::support::user::User;
use crate::support::waiting::happens_within;
use crate::support::warden::{self, Answer};
use crate::support::{processes, sandbox};

/// Longer than a server counts as one that has only just begun.
const SOON: Duration = Duration::from_secs(10);

/// A cluster, and a ledger for it that no default place has.
fn cluster() -> (Cluster, PathBuf) {
    let cluster = USUAL.cluster("5432");
    let directory = cluster.data().parent().unwrap().join("ledgers");
    User::Server.make_directory(&directory);
    (cluster, directory.join("test.ledger"))
}

/// What `status` says of the only server there is, once it says this of it.
fn covered(user: User, word: &str) -> (Value, Answer) {
    let ask = || warden::answer(user, &["status", "--json"]);
    let mut answer = ask();
    let is_so = |answer: &Answer| answer.json()["servers"][0]["covered_by"] == word;
    let _ = happens_within(SOON, || {
        answer = ask();
        is_so(&answer)
    });
    let servers = answer.json()["servers"].clone();
    assert!(is_so(&answer) && servers[1].is_null(), "{word}: {servers:#}\n{}", answer.stderr);
    (servers[0].clone(), answer)
}

fn level_of<'a>(doctor: &'a Value, id: &str) -> Vec<&'a str> {
    let findings = doctor["findings"].as_array().unwrap().iter();
    let its = findings.filter(|finding| finding["id"] == id);
    its.map(|finding| finding["level"].as_str().unwrap()).collect()
}

fn says(server: &Value, field: &str, part: &str) {
    let text = server[field].as_str().unwrap_or_default();
    assert!(text.contains(part), "{field}: {server:#}");
}

#[test]
fn a_server_that_nothing_covers_is_told_to_root_and_to_its_user() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, _) = cluster();
        cluster.start();
        for user in [User::Root, User::Server] {
            let (server, answer) = covered(user, "none");
            assert_eq!(answer.code(), 1);
            let document = answer.json();
            assert_eq!((&document["uncovered"], &document["watch"]), (&1.into(), &Value::Null));
            assert_eq!(server["pid"], cluster.postmaster_pid());
            assert_eq!((&server["engine"], &server["state"]), (&"postgres".into(), &"live".into()));
            assert_eq!(server["data"], cluster.data().to_str().unwrap());
            assert_eq!(server["uid"], User::Server.ids().0);
            assert_eq!(server["objects"], 1, "its main segment: {server:#}");
            says(&server, "fix", &format!("shmwarden record --data {}", cluster.data().display()));
        }
        let text = warden::answer(User::Root, &["status"]).expect_code(1).stdout;
        let last = text.lines().last().unwrap_or_default();
        let numbers = warden::answer(User::Root, &["status", "--format", "prometheus"]).stdout;
        assert!(text.contains("1 server, 1 not covered"), "{text} {last}");
        assert!(text.lines().all(|line| !line.contains('\x1b')), "{text}");
        assert!(numbers.contains("\nshmwarden_servers_uncovered 1\n"), "{numbers}");
        assert!(numbers.contains("\nshmwarden_servers{covered_by=\"none\"} 1\n"), "{numbers}");
        assert!(numbers.contains("\nshmwarden_servers{covered_by=\"run\"} 0\n"), "{numbers}");
        let doctor = warden::answer(User::Root, &["doctor", "--json"]).json();
        assert_eq!(level_of(&doctor, "uncovered"), ["warn"], "{doctor:#}");
        let list = warden::answer(User::Root, &["list", "--json"]).expect_code(0).json();
        let main = list["objects"].as_array().unwrap().iter().find(|one| one["kind"] == "shm");
        assert_eq!(main.unwrap()["status"], serde_json::json!(["uncovered"]), "{list:#}");
        let list = warden::answer(User::Server, &["list"]).expect_code(0).stdout;
        assert!(list.contains("uncovered: 1 database server; "), "{list}");
        let numbers = warden::answer(User::Root, &["list", "--format", "prometheus"]).stdout;
        assert!(numbers.contains("\nshmwarden_servers_uncovered 1\n"), "{numbers}");
        cluster.stop();
        let answer = warden::answer(User::Root, &["status"]).expect_code(0);
        assert_eq!(answer.stdout, "no database server was found\n");
    });
}

#[test]
fn a_launcher_covers_its_server_as_long_as_it_lives() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        let ledger = ledger.to_str().unwrap();
        cluster.start_under(&warden::prefix(&["run", "--ledger", ledger]));
        for user in [User::Root, User::Server] {
            let (server, answer) = covered(user, "run");
            assert_eq!(answer.code(), 0, "{answer:?}");
            assert_eq!(server["ledger"], ledger);
            assert_eq!(server["instance"], "test");
            assert!(server["objects"].as_u64() > Some(1), "{server:#}");
            assert!(server["since"].is_string() && server["fix"].is_null(), "{server:#}");
        }
        let doctor = warden::answer(User::Root, &["doctor", "--json"]).json();
        assert_eq!(level_of(&doctor, "uncovered"), ["ok"], "{doctor:#}");
        let list = warden::answer(User::Root, &["list"]).expect_code(0).stdout;
        assert!(!list.contains("uncovered"), "{list}");
        let launcher = cluster.server().pid();
        let data = cluster.data().to_str().unwrap();
        for user in [User::Root, User::Server] {
            let other = ledger.replace("test.ledger", "other.ledger");
            let words = ["record", "--data", data, "--ledger", &other];
            let refused = warden::answer(user, &words).expect_code(75);
            assert!(
                refused.stderr.contains(&format!("launcher process {launcher}")),
                "{refused:?}"
            );
            assert!(!std::path::Path::new(&other).exists(), "nothing was written");
        }
        processes::kill(launcher, Signal::SIGKILL);
        processes::wait_end(launcher, SOON);
        let answer = warden::answer(User::Root, &["status", "--json", "--ledger", ledger]);
        let server = answer.json()["servers"][0].clone();
        assert_eq!((answer.code(), &server["covered_by"]), (1, &"none".into()), "{server:#}");
        says(&server, "why", "has died");
        let _ = cluster.wait_end();
        processes::kill(cluster.postmaster_pid(), Signal::SIGKILL);
    });
}

#[test]
fn a_guardian_covers_its_server_as_long_as_it_lives() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        let ledger = ledger.to_str().unwrap();
        cluster.start_under(&warden::prefix(&["run", "--in-place", "--ledger", ledger]));
        let (server, answer) = covered(User::Root, "in-place");
        assert_eq!((answer.code(), &server["pid"]), (0, &cluster.postmaster_pid().into()));
        let history = warden::answer(User::Root, &["history", "--json", ledger]).json();
        let guardian = i32::try_from(history["runs"][0]["launcher"].as_i64().unwrap()).unwrap();
        says(&server, "why", &format!("guardian, process {guardian}, lives"));
        processes::kill(guardian, Signal::SIGKILL);
        processes::wait_end(guardian, SOON);
        let answer = warden::answer(User::Root, &["status", "--json", "--ledger", ledger]);
        let server = answer.json()["servers"][0].clone();
        assert_eq!((answer.code(), &server["covered_by"]), (1, &"none".into()), "{server:#}");
        says(&server, "why", &format!("process {guardian}, has died"));
        cluster.stop();
    });
}

#[test]
fn a_record_without_a_sweep_covers_nothing_and_says_nothing_of_the_next_start() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, _) = cluster();
        cluster.start();
        let data = cluster.data().to_str().unwrap().to_owned();
        let recorded = warden::answer(User::Root, &["record", "--json", "--data", &data]);
        let ledger = recorded.expect_code(0).json()["ledger"].as_str().unwrap().to_owned();
        for user in [User::Root, User::Server] {
            let (server, answer) = covered(user, "none");
            assert_eq!((answer.code(), &server["ledger"]), (1, &ledger.as_str().into()));
            says(&server, "why", &format!("recorded in {ledger}, and nothing sweeps {ledger}"));
            says(&server, "fix", "sweep");
        }
        let before = cluster.postmaster_pid();
        cluster.stop();
        cluster.start();
        let (server, _) = covered(User::Root, "none");
        assert_eq!((&server["ledger"], &server["since"]), (&Value::Null, &Value::Null));
        says(&server, "why", &format!("{ledger} names process {before}, an earlier start"));
        // There is a backslash in the name, and a shell is to see it.
        let fix = format!("shmwarden record --data {data} --ledger '{ledger}'");
        assert_eq!(server["fix"], fix.as_str());
        let mut shell = User::Root.command("sh");
        let program = warden::binary();
        let shell =
            shell.args(["-c", &fix.replace("shmwarden ", &format!("{} ", program.display()))]);
        Answer::of(shell).expect_code(0);
        let (server, _) = covered(User::Root, "none");
        says(&server, "why", "nothing sweeps");
        cluster.stop();
    });
}
