//! `run --in-place`: the server is the process that was started, and its guardian cleans up. What
//! becomes a daemon is out of its sight, or may be: that is said, and nothing of it is removed.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::subject::{LONG, Mode, Subject, apache, pgpool, there, uwsgi, wait_quiet};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, outcomes};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

const IN_PLACE: [&str; 3] = ["--in-place", "--orphans", "term"];

/// The pid of the guardian, by the ledger.
fn guardian(instance: &Instance) -> i32 {
    let answer = warden::answer(User::Root, &["history", "--json", instance.path()]);
    let document = answer.expect_code(0).json();
    let last = document["runs"].as_array().unwrap().last().unwrap().clone();
    i32::try_from(last["launcher"].as_i64().unwrap()).unwrap()
}

fn wait_guardian(instance: &Instance) {
    let guardian = guardian(instance);
    wait_until("the guardian has ended", LONG, || !processes::lives(guardian));
}

/// Its main process is killed, or all of it, or all of it with its guardian; each time the same
/// command line starts it anew, and a stranger's set stays.
fn killed(subject: &Subject) {
    let mut stranger = Asked::stranger(subject.user);
    stranger.make_set(0, 3);
    let instance = Instance::new(subject.user);
    for _twice in 0..2 {
        let mut server = subject.start_under(&instance, &IN_PLACE, Mode::Foreground);
        assert_eq!(server.pid(), subject.main(), "it is the process that was started");
        // A worker that was just forked has its parent's handlers still, and forgets a SIGTERM.
        wait_quiet(&instance);
        processes::kill(server.pid(), Signal::SIGKILL);
        server.wait(LONG);
        wait_guardian(&instance);
        subject.wait_gone();
        assert_eq!(there(), (1, 0), "the stranger's set, after a kill of the main process");

        let mut server = subject.start_under(&instance, &IN_PLACE, Mode::Foreground);
        subject.kill_left();
        server.wait(LONG);
        wait_guardian(&instance);
        assert_eq!(there(), (1, 0), "the stranger's set, after a kill of all");

        let mut server = subject.start_under(&instance, &IN_PLACE, Mode::Foreground);
        wait_quiet(&instance);
        processes::kill(guardian(&instance), Signal::SIGKILL);
        wait_guardian(&instance);
        subject.kill_left();
        server.wait(LONG);
        let (sets, segments) = subject.makes;
        assert_eq!(there(), (sets + 1, segments), "nobody was left to remove anything");
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(there(), (1, 0), "the stranger's set, after a sweep");
    }
}

#[test]
fn apache_in_place_leaves_nothing() {
    sandbox::run(|| killed(&apache()));
}

#[test]
fn pgpool_in_place_leaves_nothing() {
    sandbox::run(|| killed(&pgpool()));
}

#[test]
fn uwsgi_in_place_leaves_nothing() {
    sandbox::run(|| killed(&uwsgi()));
}

/// Starts it in place as a daemon; what its guardian said, once COMMAND has ended.
fn daemon(subject: &Subject, instance: &Instance) -> PathBuf {
    let log = sandbox::scratch().join("guardian.log");
    let mut command = instance.run(&IN_PLACE, subject.words(Mode::Daemon));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    subject.user.own(&log);
    let mut outermost = Process::spawn(&mut command);
    assert_eq!(outermost.wait(LONG).code(), Some(0));
    subject.wait_started((0, 0));
    log
}

/// Whether a guardian sees a daemon depends on how fast COMMAND ends after its fork. Either way
/// nothing is removed while it lives, and where it is not followed that is said, with the way out.
fn daemon_is_followed_or_named(subject: &Subject) {
    let instance = Instance::new(subject.user);
    let log = daemon(subject, &instance);
    let said = || fs::read_to_string(&log).unwrap();
    let keeper = guardian(&instance);
    let all = subject.makes.0 + subject.makes.1;
    // Whoever goes on at COMMAND's end is noted in either case; only a guardian that follows stays.
    let followed = || {
        let known = instance.count("object") == all && instance.count("descendant") > 0;
        known && processes::outlives(keeper, Duration::from_secs(1))
    };
    let decided = || !processes::lives(keeper) || followed();
    wait_until("it is followed, or its guardian has ended", LONG, decided);
    if processes::lives(keeper) {
        assert!(!said().contains("record --pid"), "{}", said());
        subject.kill_left();
        wait_guardian(&instance);
    } else {
        assert!(said().contains("record --pid"), "{}", said());
        assert_eq!(there(), subject.makes, "{}", said());
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(there(), subject.makes, "{sweep:?}");
        let pid = subject.main().to_string();
        let record = ["record", "--pid", &pid, "--ledger", instance.path()];
        warden::answer(subject.user, &record).expect_code(0);
        subject.kill_left();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    }
    assert_eq!(there(), (0, 0), "{}", said());
}

#[test]
fn an_apache_that_becomes_a_daemon_in_place_is_followed_or_named() {
    sandbox::run(|| daemon_is_followed_or_named(&apache()));
}

#[test]
fn a_pgpool_that_becomes_a_daemon_in_place_is_followed_or_named() {
    sandbox::run(|| daemon_is_followed_or_named(&pgpool()));
}

#[test]
fn a_uwsgi_that_becomes_a_daemon_in_place_is_followed_or_named() {
    sandbox::run(|| daemon_is_followed_or_named(&uwsgi()));
}
