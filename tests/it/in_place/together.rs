//! Two starts in place on one ledger, one after the other: a restart does not wait for the guardian
//! of the server before.

use std::fs;

use nix::sys::signal::Signal;

use super::{guardian_of, last_run, wait_guardian};
use crate::scene::instance::{Instance, SOON};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// Whether a process sleeps for a time, by the numbers of `clock_nanosleep` and `nanosleep`.
fn pauses(pid: i32) -> bool {
    let numbers = if cfg!(target_arch = "x86_64") { ["230 ", "35 "] } else { ["115 ", "101 "] };
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    numbers.iter().any(|number| call.starts_with(number))
}

#[test]
fn a_start_waits_for_the_guardian_of_the_server_before() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut first = Process::spawn(&mut instance.run(&["--in-place"], &["sleep", "1000"]));
        let claimed = || instance.ledger().exists() && instance.count("claim") == 1;
        wait_until("it is claimed", SOON, claimed);
        let guardian = guardian_of(&instance);
        processes::kill(guardian, Signal::SIGSTOP);
        wait_until("it is stopped", SOON, || processes::state(guardian) == Some('T'));
        first.signal(Signal::SIGKILL);
        first.wait(SOON);

        let command = ["sh", "-c", "exit 3"];
        let mut second = Process::spawn(&mut instance.run(&["--in-place"], &command));
        let pid = second.pid();
        wait_until("the second waits or has given up", SOON, || {
            pauses(pid) || processes::state(pid).is_none_or(|state| state == 'Z')
        });
        processes::kill(guardian, Signal::SIGCONT);
        assert_eq!(second.wait(SOON).code(), Some(3));
        assert_ne!(guardian_of(&instance), guardian);
        assert_eq!(last_run(&instance)["run"], 2);
        wait_guardian(&instance);
    });
}
