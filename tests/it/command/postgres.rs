//! A real server: every object of it is shown as its own, and what `list` calls stale is what
//! `sweep` removes.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::make::{objects, objects_for};
use crate::scene::instance::{Instance, SOON};
use crate::support::cluster::Cluster;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::happens_within;

/// Kind with id or name, and the verdict, of each object.
fn verdicts(objects: &[Value]) -> Vec<String> {
    let one = |one: &Value| format!("{} {}{}", one["kind"], one["id"], one["name"]);
    let mut all: Vec<String> =
        objects.iter().map(|it| format!("{} {}", one(it), it["verdict"])).collect();
    all.sort();
    all
}

fn each_is(objects: &[Value], verdict: &str) -> bool {
    objects.iter().all(|one| one["verdict"] == verdict)
}

fn from_live_to_stale(settings: &[(&str, &str)]) {
    let instance = Instance::new(User::Server);
    let mut cluster = Cluster::new(15, settings);
    cluster.start_under(&instance.prefix(&[]));
    let list = || objects(&["list", "--kind", "shm,posix", "--ledger", instance.path()], 0);
    if !happens_within(SOON, || each_is(&list(), "live")) {
        panic!("not all is recorded: {:#?}", list());
    }
    let running = list();
    assert!(running.len() >= 2, "{running:?}");
    assert_eq!(
        verdicts(&running),
        verdicts(&objects_for(
            User::Server,
            &["list", "--kind", "shm,posix", "--ledger", instance.path()],
            0
        ))
    );

    let (server, launcher) = (cluster.postmaster_pid(), cluster.server().pid());
    let all = cluster.processes();
    processes::kill(launcher, Signal::SIGSTOP);
    processes::kill(server, Signal::SIGKILL);
    processes::kill(launcher, Signal::SIGKILL);
    cluster.wait_end();
    all.into_iter().for_each(|pid| processes::wait_end(pid, Duration::from_secs(20)));
    let left = list();
    assert_eq!(left.len(), running.len());
    // A list in a file is read; one in a segment would have to be attached, so what it names and
    // the launcher had not written down yet may be stale, and so may what a session made and
    // another, which no look saw, used last.
    let in_file = settings.iter().all(|(name, _)| *name != "dynamic_shared_memory_type");
    let is_known = |one: &Value| one["verdict"] == "stale";
    let may_be = |one: &Value| {
        let of_session = one["creator"]["pid"] != server;
        let reason = &one["reason_code"];
        !in_file && (reason == "perhaps-listed" || (of_session && reason == "used-since"))
    };
    assert!(left.iter().all(|one| is_known(one) || may_be(one)), "{left:#?}");
    assert!(left.iter().any(is_known));

    let would = instance.sweep(&["--dry-run"]).expect_code(0).json();
    let would = would["ledgers"][0]["objects"].as_array().unwrap().clone();
    assert_eq!(would.len(), left.len());
    assert!(would.iter().all(|one| one["outcome"] == "would-remove"), "{would:?}");
    instance.sweep(&[]).expect_code(0);
    assert_eq!(list().len(), 0);
}

#[test]
fn what_a_killed_server_left_is_stale_until_it_is_swept() {
    sandbox::run(|| from_live_to_stale(&[]));
}

#[test]
fn so_it_is_where_all_of_it_is_system_v() {
    sandbox::run(|| {
        from_live_to_stale(&[
            ("shared_memory_type", "sysv"),
            ("dynamic_shared_memory_type", "sysv"),
        ]);
    });
}
