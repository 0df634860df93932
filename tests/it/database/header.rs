//! The header of the main segment is copied into the ledger while the server lives: a sweep after
//! the death attaches no segment, which would make a server that starts just then refuse to.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::matrix::{Kind, USUAL};
use super::query;
use super::stage::Stage;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_sweep_after_a_double_kill_attaches_nothing() {
    sandbox::run(|| nothing_is_attached(USUAL));
}

#[test]
fn a_sweep_after_a_double_kill_of_18_attaches_nothing() {
    sandbox::run(|| nothing_is_attached(Kind { major: 18, ..USUAL }));
}

#[test]
fn a_server_that_began_anew_has_a_copy_of_its_new_header() {
    sandbox::run(|| a_second_header_is_copied(USUAL));
}

#[test]
fn a_ledger_without_copies_is_swept_as_before() {
    sandbox::run(|| an_older_ledger_is_attached_for(USUAL));
}

#[test]
fn record_copies_the_header_too() {
    sandbox::run(|| record_takes_a_copy(USUAL));
}

fn nothing_is_attached(kind: Kind) {
    skip_without_strace();
    let mut stage = Stage::new(kind);
    stage.start();
    wait_for_copies(&stage, 1);
    let query = query::in_flight(&stage.cluster);
    stage.kill_together();
    drop(query);
    assert_eq!(attached_by(&stage, &["sweep", "--dry-run", "--json"]), 0, "{}", stage.told());
    assert_eq!(attached_by(&stage, &["sweep", "--json"]), 0, "{}", stage.told());
    stage.assert_clean();
}

fn a_second_header_is_copied(kind: Kind) {
    skip_without_strace();
    let mut stage = Stage::new(kind);
    stage.start();
    wait_for_copies(&stage, 1);
    let first = stage.cluster.main_segment();
    let victim = stage.cluster.query_in_background("select pg_sleep(1000)");
    processes::kill(victim.pid(), Signal::SIGKILL);
    wait_until("another main segment is there", SOON, || stage.cluster.main_segment() != first);
    wait_until("it answers", SOON, || stage.cluster.try_sql("select 1").is_ok());
    wait_for_copies(&stage, 2);
    let copies = copies(&stage);
    let ids: Vec<i64> = copies.iter().map(|(id, _)| *id).collect();
    assert!(ids.contains(&i64::from(first)), "{ids:?}");
    assert!(ids.contains(&i64::from(stage.cluster.main_segment())), "{ids:?}");
    let query = query::in_flight(&stage.cluster);
    stage.kill_together();
    drop((victim, query));
    assert_eq!(attached_by(&stage, &["sweep", "--json"]), 0, "{}", stage.told());
    stage.assert_clean();
}

fn an_older_ledger_is_attached_for(kind: Kind) {
    skip_without_strace();
    let mut stage = Stage::new(kind);
    stage.start();
    wait_for_copies(&stage, 1);
    let query = query::in_flight(&stage.cluster);
    stage.kill_together();
    drop(query);
    let without: String =
        fs::read_to_string(&stage.ledger).unwrap().lines().map(without_copy).collect();
    fs::write(&stage.ledger, without).unwrap();
    assert_eq!(copies(&stage), []);
    assert_eq!(attached_by(&stage, &["sweep", "--json"]), 1, "{}", stage.told());
    stage.assert_clean();
}

fn record_takes_a_copy(kind: Kind) {
    skip_without_strace();
    let mut stage = Stage::new(kind);
    stage.cluster.start();
    let (pid, ledger) = (stage.cluster.postmaster_pid().to_string(), stage.ledger.clone());
    let words = ["record", "--ledger", ledger.to_str().unwrap(), "--pid", &pid];
    warden::answer(User::Server, &words).expect_code(0);
    assert_eq!(copies(&stage).len(), 1, "{}", stage.told());
    let query = query::in_flight(&stage.cluster);
    stage.kill_together();
    drop(query);
    assert_eq!(attached_by(&stage, &["sweep", "--json"]), 0, "{}", stage.told());
    stage.assert_clean();
}

/// The ids of the segments that the ledger has copies of, and the copies.
fn copies(stage: &Stage) -> Vec<(i64, String)> {
    let ledger = fs::read_to_string(&stage.ledger).unwrap_or_default();
    let lines = ledger.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let copies =
        lines.filter_map(|line| Some((line["id"].as_i64()?, line["header"].as_str()?.to_owned())));
    copies.collect()
}

fn wait_for_copies(stage: &Stage, count: usize) {
    wait_until("the header is copied", SOON, || copies(stage).len() >= count);
}

/// A line as programs wrote it that knew no copies.
fn without_copy(line: &str) -> String {
    let body = &line[..line.rfind(",\"crc\":").unwrap()];
    let body = match body.split_once(",\"header\":\"") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').unwrap().1),
        None => body.to_owned(),
    };
    format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()))
}

/// How many segments a command with the ledger attached, which has to end with 0 or, as a dry run
/// that would do something, 1.
fn attached_by(stage: &Stage, words: &[&str]) -> usize {
    let file = stage.directory().join("calls");
    let words = [words, &[stage.ledger.to_str().unwrap()]].concat();
    let mut strace = User::Server.command("strace");
    strace.args(["-f", "-qq", "-e", "trace=shmat,shmctl", "-o", file.to_str().unwrap(), "--"]);
    strace.args(warden::prefix(&words).iter().filter(|word| *word != "--"));
    let answer = warden::Answer::of(&mut strace);
    assert!([0, 1].contains(&answer.code()), "{answer:?}");
    let calls = fs::read_to_string(&file).unwrap();
    assert!(calls.contains("shmctl("), "nothing was traced: {calls}");
    calls.lines().filter(|line| line.contains("shmat(")).count()
}
