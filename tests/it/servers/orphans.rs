//! Workers that outlive their main process hold what it made, and are named; so is a daemon whose
//! launcher was killed.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::subject::{LONG, Mode, Subject, apache, pgpool, there, wait_quiet};
use crate::kernel::instance::{Instance, holders, outcomes};
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

/// The launcher goes on watching, since what is left may be the server, and says so.
#[test]
fn workers_that_outlive_a_daemons_main_process_are_named_and_nothing_is_removed() {
    sandbox::run(|| {
        let subject = apache();
        let instance = Instance::new(subject.user);
        let log = sandbox::scratch().join("launcher.log");
        let mut command = instance.run(&[], subject.words(Mode::Daemon));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut launcher = Process::spawn(command.stderr(fs::File::create(&log).unwrap()));
        subject.wait_started((0, 0));
        wait_quiet(&instance);
        let main = subject.main();
        let workers = processes::descendants(main);
        processes::kill(main, Signal::SIGKILL);
        let said = || fs::read_to_string(&log).unwrap();
        let sentence = format!("process {main}, which COMMAND had left as a daemon, died of sig");
        wait_until("that is said", LONG, || said().contains(&sentence));
        wait_until("a holder is named", LONG, || said().contains("still holds what is"));
        assert!(workers.iter().all(|&pid| processes::lives(pid)) && launcher.is_running());
        assert_eq!(there(), (1, 0));
        subject.kill_left();
        launcher.wait(LONG);
        assert_eq!(there(), (0, 0), "{}", said());
    });
}
