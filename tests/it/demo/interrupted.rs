//! A signal at any moment: the demo ends of it and leaves nothing.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::stage::{self, Before, PATIENCE, without_namespaces};
use crate::scene::instance::need_root;
use crate::support::filter;
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;

/// From the first moment on, over the stand-in's starts and ends, which take less than half a
/// second together.
const MOMENTS_MS: [u64; 10] = [2, 10, 20, 30, 45, 60, 80, 110, 160, 250];
/// The same over those of a PostgreSQL, its `initdb` first.
const LONGER_MS: [u64; 5] = [150, 400, 900, 1600, 2500];

/// How a demo is asked to end.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// As by a terminal: the whole foreground group.
    Group,
    /// As by `kill`, or a service manager: the one process.
    Alone,
}

#[test]
fn in_namespaces_of_its_own_nothing_is_left() {
    sandbox::run(|| {
        need_root("to become the server's user");
        let command = || stage::command(User::Root, &["--stand-in"]);
        are_interrupted(command, &MOMENTS_MS, Signal::SIGINT, Asked::Group);
    });
}

#[test]
fn in_namespaces_of_a_user_nothing_is_left() {
    sandbox::run(|| {
        let command = || stage::command(User::Server, &["--stand-in"]);
        are_interrupted(command, &MOMENTS_MS, Signal::SIGTERM, Asked::Alone);
    });
}

#[test]
fn in_the_machines_tables_nothing_is_left() {
    sandbox::run(|| {
        need_root("to become the server's user");
        let command = || without_namespaces(&["--stand-in"]);
        are_interrupted(command, &MOMENTS_MS, Signal::SIGINT, Asked::Group);
        are_interrupted(command, &MOMENTS_MS, Signal::SIGHUP, Asked::Alone);
    });
}

#[test]
fn of_a_postgresql_in_the_machines_tables_nothing_is_left() {
    sandbox::run(|| {
        let command = || stage::command_without(User::Server, filter::UNSHARE, &[]);
        are_interrupted(command, &LONGER_MS, Signal::SIGTERM, Asked::Alone);
    });
}

/// The child that tells the story is asked to end by the kernel then.
#[test]
fn nothing_is_left_by_a_demo_whose_first_process_is_killed() {
    sandbox::run(|| {
        for command in [
            stage::command(User::Server, &["--stand-in"]),
            stage::command_without(User::Server, filter::UNSHARE, &["--stand-in"]),
        ] {
            let before = Before::look();
            let mut demo = started(command);
            std::thread::sleep(Duration::from_millis(150));
            demo.signal(Signal::SIGKILL);
            demo.wait(PATIENCE);
            before.assert_again(0);
        }
    });
}

fn started(mut command: Command) -> Process {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process::spawn(command.process_group(0))
}

fn are_interrupted(command: impl Fn() -> Command, moments: &[u64], signal: Signal, asked: Asked) {
    let before = Before::look();
    let mut in_time = 0;
    for &moment in moments {
        let mut demo = started(command());
        // Before it has asked for signals, and before what is in front of it has become it, a
        // signal ends it at once.
        std::thread::sleep(Duration::from_millis(moment));
        let pid = Pid::from_raw(demo.pid());
        let _ = match asked {
            Asked::Group => killpg(pid, signal),
            Asked::Alone => kill(pid, signal),
        };
        let status = demo.wait(PATIENCE);
        let by_signal = status.signal() == Some(signal as i32);
        assert!(by_signal || status.success(), "after {moment} ms: {status:?}");
        in_time += usize::from(by_signal);
        before.assert_again(0);
    }
    assert!(in_time > moments.len() / 2, "{in_time} of {moments:?} were in time");
}
