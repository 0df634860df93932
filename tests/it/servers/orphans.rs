//! Workers that outlive their main process hold what it made, and are named; so is a daemon whose
//! launcher was killed.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::subject::{LONG, Mode, Subject, apache, pgpool, there, wait_quiet};
use crate::scene::instance::{Instance, holders, outcomes};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::waiting::wait_until;

/// The workers of both live on when their main process is killed, and may go on serving.
fn workers_hold(subject: &Subject) {
    let instance = Instance::new(subject.user);
    let mut launcher = subject.start_under(&instance, &["--linger", "0s"], Mode::Foreground);
    let main = subject.main();
    let workers = processes::descendants(main);
    processes::kill(main, Signal::SIGKILL);
    launcher.wait(LONG);
    assert_eq!(there(), subject.makes);
    let sweep = instance.sweep(&[]).expect_code(0);
    assert!(outcomes(&sweep).iter().all(|outcome| outcome.starts_with("kept")), "{sweep:?}");
    let held_by = holders(&sweep);
    let is_worker = |pid: &i64| workers.contains(&i32::try_from(*pid).unwrap());
    assert!(!held_by.is_empty() && held_by.iter().all(is_worker), "{held_by:?} {workers:?}");
    instance.sweep(&["--strict"]).expect_code(1);
    subject.kill_left();
    assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    assert_eq!(there(), (0, 0));
}

#[test]
fn workers_of_apache_hold_its_set_until_they_have_ended() {
    sandbox::run(|| workers_hold(&apache()));
}

#[test]
fn workers_of_pgpool_hold_its_objects_until_they_have_ended() {
    sandbox::run(|| workers_hold(&pgpool()));
}

/// Its processes are in a session of their own, and no child of anybody that the ledger claims.
fn daemon_is_kept(subject: &Subject) {
    let instance = Instance::new(subject.user);
    let mut launcher = subject.start_under(&instance, &[], Mode::Daemon);
    wait_quiet(&instance);
    launcher.signal(Signal::SIGKILL);
    launcher.wait(LONG);
    let sweep = instance.sweep(&[]).expect_code(0);
    assert!(outcomes(&sweep).iter().all(|outcome| outcome.starts_with("kept")), "{sweep:?}");
    assert_eq!(there(), subject.makes);
    assert!(processes::lives(subject.main()));
    subject.kill_left();
    assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    assert_eq!(there(), (0, 0));
}

#[test]
fn a_daemon_apache_keeps_its_set_though_its_launcher_was_killed() {
    sandbox::run(|| daemon_is_kept(&apache()));
}

#[test]
fn a_daemon_pgpool_keeps_its_objects_though_its_launcher_was_killed() {
    sandbox::run(|| daemon_is_kept(&pgpool()));
}

/// A daemon whose main process was killed, with what its launcher says.
struct Beheaded {
    subject: Subject,
    launcher: Process,
    main: i32,
    workers: Vec<i32>,
    log: PathBuf,
}

impl Beheaded {
    /// Kills the main process once its workers were `prepared`.
    fn start(options: &[&str], prepared: fn(&[i32])) -> Self {
        let subject = apache();
        let instance = Instance::new(subject.user);
        let log = sandbox::scratch().join("launcher.log");
        let mut command = instance.run(options, subject.words(Mode::Daemon));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let launcher = Process::spawn(command.stderr(fs::File::create(&log).unwrap()));
        subject.wait_started((0, 0));
        wait_quiet(&instance);
        let main = subject.main();
        let workers = processes::descendants(main);
        prepared(&workers);
        processes::kill(main, Signal::SIGKILL);
        Self { subject, launcher, main, workers, log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn wait_named(&self) {
        let sentence = format!("process {}, which COMMAND had left as a daemon, died", self.main);
        wait_until("that is said", LONG, || self.said().contains(&sentence));
        wait_until("a holder is named", LONG, || self.said().contains(HOLDS));
    }
}

const HOLDS: &str = "still holds what is";

/// The launcher goes on watching, since what is left may be the server, and says so.
#[test]
fn workers_that_outlive_a_daemons_main_process_are_named_and_nothing_is_removed() {
    sandbox::run(|| {
        let mut daemon = Beheaded::start(&[], |_| {});
        daemon.wait_named();
        let workers = &daemon.workers;
        assert!(workers.iter().all(|&pid| processes::lives(pid)) && daemon.launcher.is_running());
        assert_eq!(there(), (1, 0));
        daemon.subject.kill_left();
        daemon.launcher.wait(LONG);
        assert_eq!(there(), (0, 0), "{}", daemon.said());
    });
}

/// Stopped, they act on SIGTERM only when they are continued.
#[test]
fn workers_that_outlive_a_daemons_main_process_are_named_and_asked_to_end_once_each() {
    sandbox::run(|| {
        let stop = |workers: &[i32]| {
            workers.iter().for_each(|&pid| processes::kill(pid, Signal::SIGSTOP));
        };
        let mut daemon = Beheaded::start(&["--orphans", "term"], stop);
        daemon.wait_named();
        // They are looked for again each second.
        std::thread::sleep(Duration::from_millis(2500));
        let said = daemon.said();
        let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
        assert_eq!(lines("which COMMAND had left as a daemon"), 1, "{said}");
        assert!((1..=daemon.workers.len()).contains(&lines(HOLDS)), "{said}");
        assert_eq!(lines("sent SIGTERM to the survivor"), lines(HOLDS), "{said}");
        daemon.workers.iter().for_each(|&pid| processes::kill(pid, Signal::SIGCONT));
        daemon.launcher.wait(LONG);
        assert_eq!(there(), (0, 0), "{}", daemon.said());
    });
}
