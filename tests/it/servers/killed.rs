//! The main process is killed, or everything at once, the launcher included: nothing is left.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use super::subject::{LONG, MODES, Mode, Subject, apache, pgpool, there, uwsgi, wait_quiet};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::is_set;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;

/// Without shmwarden each crash leaves what the server had made, beside what was left before.
fn leaks(subject: &Subject) {
    for times in 1..=2 {
        let server = subject.start_alone(Mode::Foreground);
        subject.kill_left();
        drop(server);
        let (sets, segments) = subject.makes;
        assert_eq!(there(), (times * sets, times * segments), "after {times} crashes");
    }
}

/// The main process alone is killed; the launcher ends what is left of it, as it was asked to.
fn main_process(subject: &Subject) {
    let mut stranger = Asked::stranger(subject.user);
    let theirs = stranger.make_set(0, 3);
    for mode in MODES {
        let instance = Instance::new(subject.user);
        for _start_and_restart in 0..2 {
            let mut launcher = subject.start_under(&instance, &["--orphans", "term"], mode);
            // A worker that was just forked has its parent's handlers still, and forgets a SIGTERM.
            wait_quiet(&instance);
            processes::kill(subject.main(), Signal::SIGKILL);
            let status = launcher.wait(LONG);
            assert_eq!(there(), (1, 0), "{mode:?}: the stranger's set");
            if mode == Mode::Foreground {
                assert_eq!(status.signal(), Some(9), "{status:?}");
            }
        }
        assert!(outcomes(&instance.sweep(&[]).expect_code(0)).is_empty());
    }
    stranger.ask(&format!("op({theirs}, 0, -1)"));
    assert!(is_set(theirs));
}

/// Everything is killed at once; a `sweep` finds all of it in the ledger.
fn everything(subject: &Subject) {
    let mut stranger = Asked::stranger(subject.user);
    stranger.make_set(0, 3);
    for mode in MODES {
        let instance = Instance::new(subject.user);
        let launcher = subject.start_under(&instance, &[], mode);
        instance.sweep(&[]).expect_code(75);
        wait_quiet(&instance);
        subject.kill_with(launcher);
        let (sets, segments) = subject.makes;
        assert_eq!(there(), (sets + 1, segments), "{mode:?}");
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{mode:?}: {sweep:?}");
        assert_eq!(there(), (1, 0), "{mode:?}: the stranger's set");
        let again = subject.start_under(&instance, &[], mode);
        wait_quiet(&instance);
        subject.kill_with(again);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    }
}

#[test]
fn without_a_launcher_every_crash_of_apache_leaves_a_set() {
    sandbox::run(|| leaks(&apache()));
}

#[test]
fn without_a_launcher_every_crash_of_pgpool_leaves_a_set_and_two_segments() {
    sandbox::run(|| leaks(&pgpool()));
}

#[test]
fn without_a_launcher_every_crash_of_uwsgi_leaves_eight_sets() {
    sandbox::run(|| leaks(&uwsgi()));
}

#[test]
fn apache_whose_main_process_is_killed_leaves_nothing() {
    sandbox::run(|| main_process(&apache()));
}

#[test]
fn pgpool_whose_main_process_is_killed_leaves_nothing() {
    sandbox::run(|| main_process(&pgpool()));
}

#[test]
fn uwsgi_whose_main_process_is_killed_leaves_nothing() {
    sandbox::run(|| main_process(&uwsgi()));
}

#[test]
fn apache_that_is_killed_with_its_launcher_is_swept() {
    sandbox::run(|| everything(&apache()));
}

#[test]
fn pgpool_that_is_killed_with_its_launcher_is_swept() {
    sandbox::run(|| everything(&pgpool()));
}

#[test]
fn uwsgi_that_is_killed_with_its_launcher_is_swept() {
    sandbox::run(|| everything(&uwsgi()));
}

/// A set that root made and gave to the workers' user may be removed by root alone.
#[test]
fn what_apache_left_is_kept_by_its_workers_user_and_removed_by_root() {
    sandbox::run(|| {
        let subject = apache();
        let instance = Instance::new(User::Root);
        let launcher = subject.start_under(&instance, &[], Mode::Foreground);
        wait_quiet(&instance);
        subject.kill_with(launcher);
        instance.sweep_as(User::Other(33), &[]).expect_code(77);
        assert_eq!(there(), (1, 0));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}
