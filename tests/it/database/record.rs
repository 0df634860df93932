//! `record` on a server that runs without a launcher: whatever kills it later, `sweep` finds all
//! that is left of it, and nothing of anybody else's.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::matrix::{ALL_SYSV, Kind, USUAL, for_every_kind};
use super::query;
use super::stage::{Objects, Stage, needs_root, objects, without};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const SOON: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(180);

/// Recorded by the server's user and killed with everything else.
mod as_its_user {
    use super::*;
    for_every_kind! { recorded_and_killed_with_everything, LIMIT }
}

/// Recorded by root; the postmaster is killed alone, and its backends notice.
mod as_root {
    use super::*;
    for_every_kind! { recorded_by_root_and_killed_alone, LIMIT }
}

fn recorded_and_killed_with_everything(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    stage.cluster.start();
    let query = query::in_flight(&stage.cluster);
    let answer = record(&stage, User::Server, &[]);
    assert_names_everything(&stage, &answer);
    stage.add_strangers(2);
    stage.kill_together();
    drop(query);
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

fn recorded_by_root_and_killed_alone(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    stage.cluster.start();
    let query = query::in_flight(&stage.cluster);
    record(&stage, User::Root, &[]);
    assert_eq!(fs::metadata(&stage.ledger).unwrap().uid(), User::Server.ids().0);
    stage.add_strangers(2);
    let all = stage.cluster.processes();
    stage.cluster.kill_postmaster();
    drop(query);
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    let ledger = stage.ledger.to_str().unwrap();
    let answer = warden::answer(User::Root, &["sweep", "--json", ledger]).expect_code(0).json();
    let removed = answer["removed"].as_u64().unwrap();
    assert!(removed > 0, "{answer:#}");
    assert_eq!(only_unlisted(&answer), removed, "{answer:#}");
    stage.assert_strangers_stand();
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

#[test]
fn a_recorded_server_that_lives_is_left_alone() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        record(&stage, User::Server, &[]);
        let before = stage.left();
        for user in [User::Server, User::Root] {
            let answer = warden::answer(user, &["sweep", "--json", path(&stage)]).expect_code(75);
            assert_eq!(answer.json()["ledgers"][0]["state"], "live", "{answer:?}");
        }
        assert_eq!(stage.left(), before);
        assert_eq!(stage.cluster.sql("select 1"), "1");
        stage.cluster.stop();
        assert!(stage.sweep().is_empty(), "{}", stage.told());
    });
}

#[test]
fn a_server_that_began_anew_is_recorded_anew() {
    sandbox::run(|| began_anew(USUAL));
}

#[test]
fn a_server_all_in_system_v_that_began_anew_is_recorded_anew() {
    sandbox::run(|| began_anew(ALL_SYSV));
}

fn began_anew(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    stage.cluster.start();
    let victim = query::in_flight(&stage.cluster);
    let first = record(&stage, User::Server, &[]);
    let old = stage.cluster.main_segment();
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("another main segment is there", SOON, || stage.cluster.main_segment() != old);
    stage.cluster.wait_ready();
    let query = query::in_flight(&stage.cluster);
    let second = record(&stage, User::Server, &[]);
    assert_names_everything(&stage, &second);
    let ids = |answer: &Value| names(answer);
    assert!(ids(&first).contains(&format!("shm {old}")), "{first:#}");
    assert!(!ids(&second).contains(&format!("shm {old}")), "{second:#}");
    assert_eq!(count(&stage, "run"), 1, "{}", stage.told());
    assert_eq!(count(&stage, "claim"), 1, "{}", stage.told());
    assert!(count(&stage, "gone") > 0, "{}", stage.told());
    stage.kill_together();
    drop((victim, query));
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

#[test]
fn what_is_made_after_the_record_is_swept() {
    sandbox::run(|| made_later(USUAL));
}

#[test]
fn what_is_made_after_the_record_all_in_system_v_is_swept() {
    sandbox::run(|| made_later(ALL_SYSV));
}

/// Another main segment, another control segment, and dynamic shared memory that nobody saw.
fn made_later(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    stage.cluster.start();
    record(&stage, User::Server, &[]);
    let first = stage.cluster.main_segment();
    let victim = stage.cluster.query_in_background("select pg_sleep(1000)");
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("another main segment is there", SOON, || stage.cluster.main_segment() != first);
    stage.cluster.wait_ready();
    let query = query::in_flight(&stage.cluster);
    stage.kill_together();
    drop((victim, query));
    assert!(stage.sweep().is_empty(), "{}", stage.told());
}

#[test]
fn a_record_that_is_taken_again_says_nothing_twice() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let first = record(&stage, User::Server, &[]);
        let bytes = fs::read(&stage.ledger).unwrap();
        assert_eq!(names(&record(&stage, User::Server, &[])), names(&first));
        assert_eq!(names(&record(&stage, User::Root, &[])), names(&first));
        let lines = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let lines = text.lines().filter(|line| !line.contains(r#""record":"alive""#));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&bytes), lines(&fs::read(&stage.ledger).unwrap()));
        assert_eq!(stage.last_run()["launcher"], Value::Null);
        stage.kill_together();
        assert!(stage.sweep().is_empty(), "{}", stage.told());
    });
}

#[test]
fn the_next_server_of_a_ledger_is_recorded_and_what_the_dead_one_left_is_left_to_sweep() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        let mut other = Stage::new(USUAL);
        let before = objects();
        stage.cluster.start();
        record(&stage, User::Server, &[]);
        let left = without(&objects(), &before);
        stage.kill_together();
        other.cluster.start();
        let data = other.cluster.data().to_str().unwrap().to_owned();
        let words = ["record", "--data", &data, "--ledger", path(&stage)];
        warden::answer(User::Server, &words).expect_code(0);
        assert_eq!(without(&left, &objects()), Objects::new(), "nothing went");
        assert_eq!((count(&stage, "run"), count(&stage, "end")), (2, 1), "{}", stage.told());
        assert_eq!(count(&stage, "intent"), 0, "{}", stage.told());
        other.kill_together();
        let answer = stage.sweep_json();
        assert_eq!(only_unlisted(&answer), answer["removed"].as_u64().unwrap(), "{answer:#}");
        assert_eq!(without(&left, &without(&left, &objects())), Objects::new(), "it is gone");
    });
}

#[test]
fn a_server_under_a_living_run_is_refused() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.start();
        let bytes = fs::read(&stage.ledger).unwrap();
        let answer = try_record(&stage, User::Server).expect_code(75);
        let launcher = format!("launcher process {} ", stage.cluster.server().pid());
        let server = format!("server process {}", stage.cluster.postmaster_pid());
        for part in [launcher, server] {
            assert!(answer.stderr.contains(&part), "{answer:?}");
        }
        assert!(fs::read(&stage.ledger).unwrap().starts_with(&bytes));
        assert_eq!(stage.cluster.sql("select 1"), "1");
        stage.cluster.stop();
        stage.assert_clean();
    });
}

/// Its ledger goes on where the launcher left it.
#[test]
fn a_server_whose_launcher_died_is_recorded_in_its_run() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(ALL_SYSV);
        stage.start();
        stage.kill_launcher();
        let query = query::in_flight(&stage.cluster);
        let answer = record(&stage, User::Server, &[]);
        assert_names_everything(&stage, &answer);
        assert_eq!(count(&stage, "run"), 1, "{}", stage.told());
        processes::kill_everything();
        stage.wait_alone();
        drop(query);
        assert!(stage.sweep().is_empty(), "{}", stage.told());
    });
}

#[test]
fn a_ledger_of_another_living_server_is_refused() {
    sandbox::run(|| {
        needs_root();
        let (mut stage, mut other) = (Stage::new(USUAL), Stage::new(USUAL));
        stage.cluster.start();
        record(&stage, User::Server, &[]);
        let bytes = fs::read(&stage.ledger).unwrap();
        other.cluster.start();
        let data = other.cluster.data().to_str().unwrap();
        let words = ["record", "--data", data, "--ledger", path(&stage)];
        let answer = warden::answer(User::Server, &words).expect_code(75);
        let named = format!("process {}", stage.cluster.postmaster_pid());
        assert!(answer.stderr.contains(&named), "{answer:?}");
        assert_eq!(fs::read(&stage.ledger).unwrap(), bytes);
    });
}

/// Where the kernel lets nobody but an ancestor read a process's memory (Yama).
#[test]
fn a_server_whose_memory_may_not_be_read_is_recorded_and_swept() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let closed = sandbox::scratch().join("closed");
        fs::write(&closed, "").unwrap();
        fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        let memory = format!("/proc/{}/mem", stage.cluster.postmaster_pid());
        let mut mount = Command::new("mount");
        Answer::of(mount.arg("--bind").args([closed.to_str().unwrap(), &memory])).expect_code(0);
        let answer = try_record(&stage, User::Server).expect_code(0);
        assert!(answer.stderr.contains("not allowed to read the memory"), "{answer:?}");
        let main = format!("shm {}", stage.cluster.main_segment());
        assert!(names(&answer.json()).contains(&main), "{answer:?}");
        stage.kill_together();
        assert!(stage.sweep().is_empty(), "{}", stage.told());
    });
}

/// Its children are recorded with it; what is left of a dead one is no server.
#[test]
fn a_backend_is_no_server() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let query = stage.cluster.cpu_bound_query_in_background(100);
        let (pid, ledger) = (query.pid().to_string(), path(&stage).to_owned());
        let words = ["record", "--pid", &pid, "--ledger", &ledger];
        let answer = warden::answer(User::Server, &words).expect_code(66);
        let named = format!("names process {}", stage.cluster.postmaster_pid());
        assert!(answer.stderr.contains(&named), "{answer:?}");
        stage.cluster.kill_postmaster();
        warden::answer(User::Server, &words).expect_code(66);
        let answer = try_record(&stage, User::Server).expect_code(66);
        assert!(answer.stderr.contains("no process"), "{answer:?}");
        assert!(!stage.ledger.exists());
        processes::kill(query.pid(), Signal::SIGKILL);
    });
}

#[test]
fn another_users_server_is_refused() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let pid = stage.cluster.postmaster_pid().to_string();
        let own = sandbox::scratch().join("others");
        User::Other(12345).make_directory(&own);
        let ledger = own.join("test.ledger");
        let words = ["record", "--pid", &pid, "--ledger", ledger.to_str().unwrap()];
        let answer = warden::answer(User::Other(12345), &words).expect_code(77);
        assert!(answer.stderr.contains("not allowed to look into process"), "{answer:?}");
        let data = stage.cluster.data().to_str().unwrap();
        let words = ["record", "--data", data, "--ledger", ledger.to_str().unwrap()];
        warden::answer(User::Other(12345), &words).expect_code(77);
        assert!(!ledger.exists());
    });
}

/// By root, with nothing but the data directory: in root's own place, and the user's hook works.
#[test]
fn root_makes_a_ledger_in_the_default_place_that_the_servers_user_can_sweep() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let data = stage.cluster.data().to_str().unwrap().to_owned();
        let answer = warden::answer(User::Root, &["record", "--json", "--data", &data]);
        let answer = answer.expect_code(0).json();
        let ledger = answer["ledger"].as_str().unwrap().to_owned();
        assert_eq!(Path::new(&ledger).parent(), Some(Path::new("/var/lib/shmwarden")));
        let found = fs::metadata(&ledger).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (User::Server.ids().0, 0o600));
        warden::answer(User::Root, &["sweep", "--data", &data]).expect_code(75);
        stage.kill_together();
        let swept = warden::answer(User::Server, &["sweep", "--json", &ledger]).expect_code(0);
        assert!(swept.json()["removed"].as_u64().unwrap() > 0, "{swept:?}");
        let again = warden::answer(User::Root, &["sweep", "--json", "--data", &data]);
        assert_eq!(again.expect_code(0).json()["removed"], 0);
        stage.assert_clean();
    });
}

/// Root writes nothing for a user where that user could have laid a link.
#[test]
fn root_makes_no_ledger_for_a_user_where_others_could_redirect_it() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let (theirs, roots) = (sandbox::scratch().join("theirs"), Path::new("/var/lib/roots"));
        User::Other(12345).make_directory(&theirs);
        User::Root.make_directory(roots);
        std::os::unix::fs::symlink(roots, theirs.join("link")).unwrap();
        let data = stage.cluster.data().to_str().unwrap();
        let ledger = theirs.join("test.ledger");
        let words = ["record", "--data", data, "--ledger", ledger.to_str().unwrap()];
        let answer = warden::answer(User::Root, &words).expect_code(77);
        assert!(answer.stderr.contains("which others than root can change"), "{answer:?}");
        assert!(!ledger.exists());
        let ledger = theirs.join("link").join("test.ledger");
        let words = ["record", "--data", data, "--ledger", ledger.to_str().unwrap()];
        warden::answer(User::Root, &words).expect_code(77);
        assert!(!roots.join("test.ledger").exists(), "through a link of another user's");
    });
}

fn path(stage: &Stage) -> &str {
    stage.ledger.to_str().unwrap()
}

fn try_record(stage: &Stage, user: User) -> Answer {
    let data = stage.cluster.data().to_str().unwrap();
    warden::answer(user, &["record", "--json", "--data", data, "--ledger", path(stage)])
}

/// Records the stage's server; gives the document, which is as promised.
fn record(stage: &Stage, user: User, options: &[&str]) -> Value {
    let data = stage.cluster.data().to_str().unwrap();
    let mut words = vec!["record", "--json", "--data", data, "--ledger", path(stage)];
    words.extend(options);
    let answer = warden::answer(user, &words).expect_code(0);
    assert_eq!(answer.stderr, "", "{answer:?}");
    let document = answer.json();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["ledger"], path(stage));
    assert_eq!(document["instance"], "test");
    assert_eq!(document["pid"], stage.cluster.postmaster_pid());
    assert_eq!(document["engine"], "postgres");
    for object in document["objects"].as_array().unwrap() {
        assert_eq!(object["verdict"], "live", "{object:#}");
        assert_eq!(object["ledger"], path(stage), "{object:#}");
        assert_eq!(object["uid"], User::Server.ids().0, "{object:#}");
    }
    document
}

/// Fails unless an answer names everything that the server has, and nothing else.
fn assert_names_everything(stage: &Stage, answer: &Value) {
    let there: Vec<String> = stage.left().into_keys().collect();
    assert_eq!(names(answer), there, "{answer:#}\n{}", stage.told());
}

/// What an answer names, sorted: `shm 5`, `posix PostgreSQL.7`.
fn names(answer: &Value) -> Vec<String> {
    let name = |object: &Value| match object["name"].as_str() {
        Some(name) => format!("posix {name}"),
        None => format!("shm {}", object["id"]),
    };
    let mut names: Vec<String> = answer["objects"].as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

/// How many objects a sweep says are gone; fails if any is kept but for being listed
/// nowhere, or a stranger's.
fn only_unlisted(answer: &Value) -> u64 {
    let objects = answer["ledgers"][0]["objects"].as_array().unwrap();
    let mut removed = 0;
    for object in objects {
        match object["outcome"].as_str().unwrap() {
            "removed" => removed += 1,
            "gone" => {}
            "kept"
                if ["unlisted", "appeared"].iter().any(|code| object["reason_code"] == *code) => {}
            _ => panic!("{object:#}"),
        }
    }
    removed
}

/// How many records of a kind the ledger has.
fn count(stage: &Stage, kind: &str) -> usize {
    let text = fs::read_to_string(&stage.ledger).unwrap();
    text.matches(&format!(r#""record":"{kind}""#)).count()
}
