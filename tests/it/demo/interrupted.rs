//! ^C at any moment: the demo ends of it and leaves nothing.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::stage::{self, Before, PATIENCE, without_namespaces};
use crate::kernel::instance::need_root;
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;

/// From the first moment on, over the stand-in's starts and ends, which take less than half a
/// second together.
const MOMENTS_MS: [u64; 10] = [2, 10, 20, 30, 45, 60, 80, 110, 160, 250];

#[test]
fn in_namespaces_of_its_own_nothing_is_left() {
    sandbox::run(|| is_interrupted(|| stage::command(User::Root, &["--stand-in"])));
}

#[test]
fn in_the_machines_tables_nothing_is_left() {
    sandbox::run(|| {
        need_root("to act as the server's user");
        is_interrupted(|| without_namespaces(&["--stand-in"]));
    });
}

fn is_interrupted(command: impl Fn() -> Command) {
    let before = Before::look();
    let mut in_time = 0;
    for moment in MOMENTS_MS {
        let mut command = command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut demo = Process::spawn(command.process_group(0));
        // Before it has asked for signals, and before `setpriv` has become it, ^C ends it at once.
        std::thread::sleep(Duration::from_millis(moment));
        // As a terminal does: to the whole foreground group.
        let _ = killpg(Pid::from_raw(demo.pid()), Signal::SIGINT);
        let status = demo.wait(PATIENCE);
        let by_signal = status.signal() == Some(Signal::SIGINT as i32);
        assert!(by_signal || status.success(), "after {moment} ms: {status:?}");
        in_time += usize::from(by_signal);
        before.assert_again(0, 0);
    }
    assert!(in_time > MOMENTS_MS.len() / 2, "{in_time} of {MOMENTS_MS:?} were in time");
}
