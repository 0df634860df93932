//! What is taken from a living server is an error at once, in the log and wherever one looks; what
//! the server removes itself, all day long and when it begins anew, is none.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL, for_every_kind};
use super::query;
use super::stage::{Stage, remove_by_hand};
use crate::support::objects::remove_segment;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};
use crate::support::warden;

/// Two seconds are promised; a busy machine has some more.
const AT_ONCE: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(10);
/// Longer than a suspicion lasts.
const A_WHILE: Duration = Duration::from_secs(3);
/// Looks are dense until then.
const STARTED: Duration = Duration::from_secs(6);

#[test]
fn files_that_are_removed_under_a_living_server_are_told_within_two_seconds() {
    sandbox::run(|| files_are_removed(USUAL));
}

#[test]
fn one_listed_file_that_is_removed_under_a_living_server_is_told() {
    sandbox::run(|| one_listed_file_is_removed(USUAL));
}

#[test]
fn a_main_segment_that_is_marked_under_a_living_server_is_told() {
    sandbox::run(|| the_main_segment_is_marked(USUAL));
}

#[test]
fn dynamic_memory_in_system_v_that_is_removed_under_a_living_server_is_told() {
    sandbox::run(|| dynamic_segments_are_removed(ALL_SYSV));
}

#[test]
fn what_a_server_removes_itself_is_no_robbery() {
    sandbox::run(|| a_server_works_and_begins_anew(USUAL));
}

#[test]
fn what_a_server_removes_itself_in_system_v_is_no_robbery() {
    sandbox::run(|| a_server_works_and_begins_anew(ALL_SYSV));
}

#[test]
fn a_server_that_is_stopped_in_its_tracks_is_told_of_when_it_goes_on() {
    sandbox::run(|| files_are_removed_while_it_is_stopped(USUAL));
}

/// On every version and kind of memory: all but the main segment is taken, after the server has
/// begun anew once.
mod every {
    use super::*;
    for_every_kind! { taken_after_a_new_beginning, Duration::from_secs(90) }
}

fn taken_after_a_new_beginning(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let first = stage.cluster.main_segment();
    let victim = query::in_flight(&stage.cluster);
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("it begins anew", SOON, || stage.cluster.main_segment() != first);
    drop(victim);
    stage.cluster.wait_ready();
    let _query = query::in_flight(&stage.cluster);
    std::thread::sleep(A_WHILE);
    assert!(!stage.cluster.log().contains("robbed"), "{}", stage.told());
    let main = format!("shm {}", stage.cluster.main_segment());
    let mut taken = stage.left();
    taken.retain(|name, _| *name != main);
    remove_by_hand(&taken);
    let name = |object: &String| match object.split_once(' ').unwrap() {
        ("shm", id) => format!(" segment {id} (key "),
        (_, file) => format!("/dev/shm/{file}"),
    };
    wait_until("each is told", SOON, || {
        taken.keys().all(|object| stage.cluster.log().contains(&name(object)))
    });
}

#[test]
fn the_guardian_beside_a_server_tells_too() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        let prefix = ["run", "--in-place", "--ledger", stage.ledger.to_str().unwrap()];
        stage.cluster.start_under(&warden::prefix(&prefix));
        std::thread::sleep(Duration::from_secs(1));
        remove_segment(stage.cluster.main_segment());
        let (after, _) = told(&stage);
        assert!(after < AT_ONCE, "{after:?}");
    });
}

#[test]
fn a_recorded_server_without_a_launcher_is_seen_robbed_by_who_looks() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        stage.cluster.start();
        let pid = stage.cluster.postmaster_pid().to_string();
        let ledger = stage.ledger.to_str().unwrap();
        let words = ["record", "--pid", &pid, "--ledger", ledger];
        warden::answer(User::Server, &words).expect_code(0);
        assert_eq!((lost(&stage), findings(&stage)), (vec![], vec!["ok".to_owned()]));
        let mut taken = stage.left();
        taken.retain(|name, _| name.starts_with("posix"));
        remove_by_hand(&taken);
        let names: Vec<String> =
            taken.keys().map(|name| name.replace("posix ", "/dev/shm/")).collect();
        let mut found = lost(&stage);
        found.sort_unstable();
        assert_eq!(found, names);
        assert_eq!(findings(&stage), ["bad"]);
    });
}

/// Waits for the error; how long that took, and the line.
fn told(stage: &Stage) -> (Duration, String) {
    let began = Instant::now();
    let mut line = String::new();
    wait_until("the robbery is told", SOON, || {
        let log = stage.cluster.log();
        line = log.lines().find(|line| line.contains("was robbed")).unwrap_or_default().to_owned();
        !line.is_empty()
    });
    (began.elapsed(), line)
}

/// Every object of the server of a kind, by the number or name that follows it.
fn names(stage: &Stage, kind: &str) -> Vec<String> {
    let left = stage.left();
    let names = left.keys().filter_map(|name| name.strip_prefix(kind)?.strip_prefix(' '));
    names.map(str::to_owned).collect()
}

fn files_are_removed(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    // New connections fail without those files.
    let backend = stage.cluster.query_in_background("select pg_sleep(1000)");
    std::thread::sleep(STARTED);
    let files = names(&stage, "posix");
    assert!(files.len() >= 2, "a list and what it names: {files:?}");
    let mut taken = stage.left();
    taken.retain(|name, _| name.starts_with("posix"));
    remove_by_hand(&taken);
    let (after, line) = told(&stage);
    assert!(after < AT_ONCE, "{after:?}");
    assert!(line.starts_with("shmwarden: error: "), "{line}");
    let postmaster = stage.cluster.postmaster_pid();
    assert!(line.contains(&format!("the postgres server process {postmaster} ")), "{line}");
    for file in &files {
        assert!(line.contains(&format!("/dev/shm/{file}")), "{file}: {line}");
    }
    std::thread::sleep(A_WHILE);
    assert_eq!(stage.cluster.log().matches("was robbed").count(), 1, "{}", stage.told());
    let names: Vec<String> = files.iter().map(|file| format!("/dev/shm/{file}")).collect();
    shown(&stage, &names);
    // A new life is not robbed of what the old one was.
    let first = stage.cluster.main_segment();
    processes::kill(backend.pid(), Signal::SIGKILL);
    wait_until("it begins anew", SOON, || stage.cluster.main_segment() != first);
    drop(backend);
    stage.cluster.wait_ready();
    wait_until("the ledger has the new main segment", SOON, || lost(&stage).is_empty());
    assert_eq!(findings(&stage), ["ok"]);
    assert_eq!(stage.last_run()["robbed"].as_array().unwrap().len(), files.len());
}

/// Everybody who looks sees which objects were taken.
fn shown(stage: &Stage, names: &[String]) {
    let mut found = lost(stage);
    found.sort_unstable();
    let mut names = names.to_vec();
    names.sort_unstable();
    assert_eq!(found, names, "{}", stage.told());
    let ledger = stage.ledger.to_str().unwrap();
    let said = |words: &[&str]| warden::answer(User::Server, words).expect_code(0).stdout;
    let document = warden::answer(User::Server, &["list", "--json", "--ledger", ledger]).json();
    let main = u64::try_from(stage.cluster.main_segment()).unwrap();
    for object in document["objects"].as_array().unwrap() {
        let status: Vec<&str> =
            object["status"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
        let own = object["instance"] == "test";
        assert_eq!(status.contains(&"robbed"), own, "{object}");
        assert!(own || object["id"] != main, "{object}");
    }
    let table = said(&["list", "--ledger", ledger]);
    assert!(table.contains("robbed: the postgres server process "), "{table}");
    assert!(!table.contains("nothing to be done"), "{table}");
    let numbers = said(&["list", "--format", "prometheus", "--ledger", ledger]);
    let number = format!("shmwarden_robbed_objects{{instance=\"test\"}} {}\n", names.len());
    assert!(numbers.contains(&number), "{numbers}");
    assert_eq!(findings(stage), ["bad"]);
    let history = said(&["history", ledger]);
    assert_eq!(history.matches(" robbed ").count(), names.len(), "{history}");
}

/// Names of what `list` says that the server was robbed of.
fn lost(stage: &Stage) -> Vec<String> {
    let ledger = stage.ledger.to_str().unwrap();
    let answer = warden::answer(User::Server, &["list", "--json", "--ledger", ledger]);
    let document = answer.expect_code(0).json();
    let lost = document["robbed"].as_array().unwrap().iter();
    lost.map(|one| one["object"].as_str().unwrap().to_owned()).collect()
}

/// How bad `doctor` finds it.
fn findings(stage: &Stage) -> Vec<String> {
    let ledger = stage.ledger.to_str().unwrap();
    let document = warden::answer(User::Server, &["doctor", "--json", "--ledger", ledger]).json();
    let findings = document["findings"].as_array().unwrap().iter();
    let robbed = findings.filter(|finding| finding["id"] == "robbed");
    robbed.map(|finding| finding["level"].as_str().unwrap().to_owned()).collect()
}

fn one_listed_file_is_removed(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let before = names(&stage, "posix");
    let query = query::in_flight(&stage.cluster);
    let new: Vec<String> =
        names(&stage, "posix").into_iter().filter(|name| !before.contains(name)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let file = new.first().expect("a parallel query has dynamic memory");
    fs::remove_file(Path::new("/dev/shm").join(file)).unwrap();
    let (_, line) = told(&stage);
    assert!(line.contains(file), "{line}");
    assert!(before.iter().all(|other| !line.contains(other.as_str())), "{line}");
    drop(query);
}

fn the_main_segment_is_marked(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let main = stage.cluster.main_segment();
    remove_segment(main);
    let (after, line) = told(&stage);
    assert!(after < AT_ONCE, "{after:?}");
    assert!(line.contains(&format!("segment {main} ")), "{line}");
    assert!(line.contains("marked: it has no key any more"), "{line}");
    let [name] = <[String; 1]>::try_from(lost(&stage)).unwrap();
    shown(&stage, &[name]);
}

fn dynamic_segments_are_removed(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let _query = query::in_flight(&stage.cluster);
    std::thread::sleep(Duration::from_secs(2));
    let main = stage.cluster.main_segment().to_string();
    let taken: Vec<String> = names(&stage, "shm").into_iter().filter(|id| *id != main).collect();
    assert!(taken.len() >= 2, "{taken:?}");
    for id in &taken {
        remove_segment(id.parse().unwrap());
    }
    let (after, _) = told(&stage);
    assert!(after < AT_ONCE, "{after:?}");
    // A look may have come between two removals.
    wait_until("each is told", SOON, || {
        let log = stage.cluster.log();
        taken.iter().all(|id| log.contains(&format!(" segment {id} (key ")))
    });
    assert!(!stage.cluster.log().contains(&format!(" segment {main} ")), "{}", stage.told());
}

fn files_are_removed_while_it_is_stopped(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let postmaster = stage.cluster.postmaster_pid();
    processes::kill(postmaster, Signal::SIGSTOP);
    let mut taken = stage.left();
    taken.retain(|name, _| name.starts_with("posix"));
    remove_by_hand(&taken);
    // It could have let go of them before it was stopped.
    let early = happens_within(A_WHILE, || stage.cluster.log().contains("was robbed"));
    assert!(!early, "{}", stage.told());
    processes::kill(postmaster, Signal::SIGCONT);
    told(&stage);
}

/// Parallel queries and index builds, backends that are killed, restarts, every way to stop.
fn a_server_works_and_begins_anew(kind: Kind) {
    for (stop, lives) in [(Signal::SIGINT, 3), (Signal::SIGQUIT, 1), (Signal::SIGTERM, 1)] {
        let mut stage = Stage::new(kind);
        stage.start();
        query::prepare(&stage.cluster);
        for _ in 0..lives {
            let first = stage.cluster.main_segment();
            let victim = query::in_flight(&stage.cluster);
            processes::kill(victim.pid(), Signal::SIGKILL);
            let anew = || stage.cluster.main_segment() != first;
            wait_until("another main segment is there", SOON, anew);
            drop(victim);
            stage.cluster.wait_ready();
            work(&stage, Duration::from_secs(2));
        }
        processes::kill(stage.cluster.postmaster_pid(), stop);
        stage.cluster.wait_end();
        let log = stage.cluster.log();
        assert!(!log.contains("robbed"), "{stop}: {}", stage.told());
        let ledger = fs::read_to_string(&stage.ledger).unwrap();
        assert!(!ledger.contains("robbed"), "{stop}: {ledger}");
    }
}

fn work(stage: &Stage, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        query::ask(&stage.cluster);
        stage.cluster.sql(
            "set max_parallel_maintenance_workers = 2; set min_parallel_table_scan_size = 0;
             create index pairs_filling on pairs (filling, id); drop index pairs_filling",
        );
    }
}
