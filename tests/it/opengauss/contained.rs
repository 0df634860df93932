//! An openGauss in a container: as what PID 1 starts, and after a restart in a pod, where the pids
//! of the dead read 0. Its main segment tells that nobody uses its sets, filled in part or not.

use std::process::Command;

use nix::sys::signal::Signal;

use super::gauss::{Gauss, PORT, data_directory, words};
use crate::scene::instance::{Instance, SOON, need_root, outcomes};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

fn left() -> (usize, usize) {
    (segments().len(), sets().len())
}

/// A server whose launcher is the first process of a PID namespace of its own.
fn contained(instance: &Instance) -> Gauss {
    let data = data_directory(User::Server);
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare.args(User::Server.prefix()).args(instance.prefix(&["--linger=0s"]));
    unshare.args(words(&data, PORT, &["sets=2"]));
    Gauss::spawn(unshare, data)
}

/// A member of the last set has neither a value nor an operator.
fn assert_filled_in_part() {
    let last = sets().last().unwrap().id;
    let ask = "print semctl($ARGV[0], 15, 12, 0) + 0, ' ', semctl($ARGV[0], 15, 11, 0) + 0";
    let output = Command::new("perl").args(["-e", ask, &last.to_string()]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0 0");
}

#[test]
fn under_pid_1_of_a_container_each_end_leaves_nothing() {
    sandbox::run(|| {
        need_root("for namespaces of its own");
        for signal in [Signal::SIGKILL, Signal::SIGQUIT, Signal::SIGUSR1] {
            let instance = Instance::new(User::Server);
            let mut server = contained(&instance);
            instance.wait_recorded(4);
            assert_filled_in_part();
            server.end(signal);
            assert_eq!(left(), (0, 0), "{signal}");
        }
    });
}

/// The whole container is killed, its launcher with it; the next one sweeps before it starts.
#[test]
fn a_container_that_was_killed_is_cleaned_by_the_next_one() {
    sandbox::run(|| {
        need_root("for namespaces of its own");
        let instance = Instance::new(User::Server);
        let mut server = contained(&instance);
        instance.wait_recorded(4);
        let old: Vec<i32> = sets().iter().map(|set| set.id).collect();
        server.end_both(Signal::SIGKILL);
        wait_until("all is detached", SOON, || segments().iter().all(|s| s.nattch == 0));
        assert_eq!(left(), (1, 2));
        let mut next = contained(&instance);
        instance.wait_recorded(8);
        assert!(sets().iter().all(|set| !old.contains(&set.id)), "{old:?}");
        assert_eq!(left(), (1, 2));
        next.end(Signal::SIGKILL);
        assert_eq!(left(), (0, 0));
    });
}

/// A master that the server left has the segment attached still: nothing goes before it.
#[test]
fn while_the_main_segment_is_attached_the_sets_of_a_dead_container_stay() {
    sandbox::run(|| {
        need_root("for namespaces of its own");
        let instance = Instance::new(User::Server);
        let mut server = contained(&instance);
        instance.wait_recorded(4);
        let main = segments()[0].id;
        let holder = crate::support::holders::attach(User::Server, main);
        server.end_both(Signal::SIGKILL);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(left(), (1, 2), "{sweep:?}");
        assert!(processes::lives(holder.pid()));
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(left(), (0, 0));
    });
}

/// On a machine, where everybody is seen, killed with its launcher.
#[test]
fn on_a_machine_a_set_that_is_filled_in_part_goes() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Gauss::under(&instance, User::Server, &["sets=2"]);
        instance.wait_recorded(4);
        assert_filled_in_part();
        server.end_both(Signal::SIGKILL);
        assert_eq!(left(), (1, 2));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(left(), (0, 0));
    });
}
