//! An orphan of a crashed server: named, waited for, never robbed; ended only where that was asked
//! for, and only if it is the server's own.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, holders, need_to_look_into_others, outcomes, state};
use crate::support::cluster::{Backend, Cluster};
use crate::support::objects::{Snapshot, segment};
use crate::support::processes;
use crate::support::user::User;
use crate::support::{holders as holding, sandbox};

/// Longer than any of these tests takes.
const QUERY_SECONDS: u32 = 100;

#[test]
fn an_orphan_is_named_and_keeps_everything_until_it_has_ended() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let mut crash = Crash::prepare(&["--linger", "2s"]);
        let running = Snapshot::take();
        let began = Instant::now();
        crash.kill_postmaster();
        assert_eq!(crash.cluster.wait_end().signal(), Some(Signal::SIGKILL as i32));
        assert!(began.elapsed() >= Duration::from_secs(2), "it lingers");
        assert!(began.elapsed() < Duration::from_secs(40), "and not until the orphan ends");
        crash.assert_orphan_was_named();
        assert_eq!(running.missing(), [""; 0]);

        crash.assert_a_sweep_keeps_it();
        crash.assert_the_server_refuses_to_start();
        assert_eq!(running.missing(), [""; 0]);

        let mut sweep = crash.instance.sweep_waiting();
        processes::kill(crash.orphan.pid(), Signal::SIGKILL);
        let freed = Instant::now();
        assert_eq!(sweep.wait(SOON).code(), Some(0));
        assert!(freed.elapsed() < Duration::from_secs(40), "{:?}", freed.elapsed());
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_launcher_that_lingers_cleans_up_when_the_orphan_has_ended() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut crash = Crash::prepare(&["--linger", "60s"]);
        crash.kill_postmaster();
        assert!(processes::outlives(crash.cluster.server().pid(), Duration::from_secs(2)));
        processes::kill(crash.orphan.pid(), Signal::SIGKILL);
        assert_eq!(crash.cluster.wait_end().signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_stop_ends_the_wait_for_orphans() {
    sandbox::run(|| {
        let mut crash = Crash::prepare(&["--linger", "60s"]);
        let running = Snapshot::take();
        crash.kill_postmaster();
        assert!(processes::outlives(crash.cluster.server().pid(), Duration::from_secs(2)));
        crash.cluster.server().signal(Signal::SIGTERM);
        assert_eq!(crash.cluster.wait_end().signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(running.missing(), [""; 0]);
    });
}

#[test]
fn an_orphan_is_killed_where_that_was_asked_for() {
    sandbox::run(|| an_orphan_is_ended_by("kill", "SIGKILL"));
}

#[test]
fn an_orphan_is_terminated_where_that_was_asked_for() {
    sandbox::run(|| an_orphan_is_ended_by("term", "SIGTERM"));
}

#[test]
fn a_process_that_does_not_descend_from_the_server_is_left_alone() {
    sandbox::run(|| {
        need_to_look_into_others();
        let mut crash = Crash::prepare(&["--linger", "3s", "--orphans", "kill"]);
        let stranger = holding::attach(User::Server, crash.cluster.main_segment());
        let running = Snapshot::take();
        crash.kill_postmaster();
        crash.cluster.wait_end();
        processes::wait_end(crash.orphan.pid(), SOON);
        assert!(processes::lives(stranger.pid()));
        let log = crash.cluster.log();
        let left_alone = format!("process {} ", stranger.pid());
        let says = |line: &str| line.contains(&left_alone) && line.contains("is left alone");
        assert!(log.lines().any(says), "{log}");
        assert_eq!(running.missing(), [""; 0]);
        let sweep = crash.instance.sweep(&["--strict"]).expect_code(1);
        assert_eq!(holders(&sweep), [i64::from(stranger.pid())]);
    });
}

#[test]
fn a_process_of_another_user_is_left_alone() {
    sandbox::run(|| {
        let mut crash = Crash::prepare(&["--linger", "3s", "--orphans", "kill"]);
        let root = holding::attach(User::Root, crash.cluster.main_segment());
        crash.kill_postmaster();
        crash.cluster.wait_end();
        assert!(processes::lives(root.pid()));
        assert_eq!(segment(crash.main).unwrap().nattch, 1);
    });
}

fn an_orphan_is_ended_by(choice: &str, signal: &str) {
    let before = Snapshot::take();
    let mut crash = Crash::prepare(&["--linger", "90s", "--orphans", choice]);
    let began = Instant::now();
    crash.kill_postmaster();
    assert_eq!(crash.cluster.wait_end().signal(), Some(Signal::SIGKILL as i32));
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let log = crash.cluster.log();
    let sent = format!("sent {signal} to the survivor process {} ", crash.orphan.pid());
    assert!(log.contains(&sent), "{log}");
    assert_eq!(before.left_over(), [""; 0]);
}

/// A server under a launcher with a backend that will not notice its postmaster's death.
struct Crash {
    instance: Instance,
    cluster: Cluster,
    orphan: Backend,
    main: i32,
}

impl Crash {
    fn prepare(options: &[&str]) -> Self {
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        cluster.start_under(&instance.prefix(options));
        let orphan = cluster.cpu_bound_query_in_background(QUERY_SECONDS);
        let main = cluster.main_segment();
        Crash { instance, cluster, orphan, main }
    }

    fn kill_postmaster(&self) {
        processes::kill(self.cluster.postmaster_pid(), Signal::SIGKILL);
    }

    /// By pid, state and command line, in one line.
    fn assert_orphan_was_named(&self) {
        let log = self.cluster.log();
        let name = format!("process {} (state R, postgres: ", self.orphan.pid());
        let says = |line: &&str| line.starts_with("shmwarden: ") && line.contains(&name);
        let lines: Vec<&str> = log.lines().filter(says).collect();
        assert!(lines.iter().any(|line| line.contains("still holds")), "{log}");
        assert!(lines[0].contains("[local] DO"), "{log}");
    }

    fn assert_a_sweep_keeps_it(&self) {
        let sweep = self.instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&sweep), "dead");
        assert!(outcomes(&sweep).iter().all(|o| o.starts_with("kept ")), "{sweep:?}");
        assert!(outcomes(&sweep).contains(&"kept attached".to_owned()), "{sweep:?}");
        assert_eq!(holders(&sweep), [i64::from(self.orphan.pid())]);
        let strict = self.instance.sweep(&["--strict"]).expect_code(1);
        assert_eq!(holders(&strict), [i64::from(self.orphan.pid())]);
    }

    /// Its own interlock stands, with and without a launcher in front.
    fn assert_the_server_refuses_to_start(&mut self) {
        for prefix in [vec![], self.instance.prefix(&["--linger", "0s"])] {
            let said_before = self.cluster.log().len();
            self.cluster.spawn_under(&prefix);
            assert_eq!(self.cluster.wait_end().code(), Some(1));
            let said = self.cluster.log().split_off(said_before);
            assert!(said.contains("pre-existing shared memory block"), "{said}");
        }
    }
}
