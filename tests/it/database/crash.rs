//! SIGKILL to the postmaster while a parallel query is in flight: `run` removes all of it, ends by
//! SIGKILL itself, and touches nothing else.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::{ALL_SYSV, Kind, USUAL, for_every_kind};
use super::query::{self, Poised};
use super::stage::{Stage, assert_killed};
use super::strace::Hold;
use crate::support::objects::segment;
use crate::support::processes;
use crate::support::sandbox;

for_every_kind!(a_killed_server_leaves_nothing, Duration::from_secs(60));

/// With the port whose keys on PostgreSQL 12 are those of the strangers.
fn a_killed_server_leaves_nothing(kind: Kind) {
    let mut stage = Stage::on_port(kind, "16000");
    stage.start();
    let at_rest = stage.left();
    let main = segment(stage.cluster.main_segment()).unwrap();
    assert_eq!(main.bytes > 256 << 20, kind.main == "sysv", "{main:?}");
    let _query = query::in_flight(&stage.cluster);
    stage.add_strangers(2);

    let in_flight = stage.left();
    assert!(in_flight.len() >= at_rest.len() + 2, "{in_flight:?}");
    let expected = if kind.dynamic == "sysv" { "shm" } else { "posix" };
    let dynamic = in_flight.keys().filter(|name| name.starts_with(expected));
    assert!(dynamic.count() >= 3, "control segment and more: {in_flight:?}");

    assert_killed(stage.kill_server());
    stage.assert_clean();
    assert_eq!(stage.last_run()["end"], "signal 9");
    assert!(stage.sweep().is_empty(), "nothing is left to be done");
}

#[test]
fn what_a_backend_makes_while_its_server_dies_is_removed() {
    sandbox::run(|| a_backend_makes_something_while_its_server_dies(USUAL));
}

#[test]
fn what_a_backend_makes_in_system_v_while_its_server_dies_is_removed() {
    sandbox::run(|| a_backend_makes_something_while_its_server_dies(ALL_SYSV));
}

/// Made, and not returned from, when the launcher takes its last look: the maker has lost its
/// parent then, and is not to be taken for a server of its own.
fn a_backend_makes_something_while_its_server_dies(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let poised = Poised::new(&stage.cluster);
    let made = Hold { held: Duration::from_millis(300), ..Hold::dynamic_memory_made(kind) };
    let file = stage.directory().join("strace");
    let _strace = made.attach(poised.pid(), &file);
    let launcher = stage.cluster.server().pid();
    processes::kill(launcher, Signal::SIGSTOP); // it must not see the object before
    let _query = poised.let_go();
    made.wait(&file);
    let postmaster = stage.cluster.postmaster_pid();
    processes::kill(postmaster, Signal::SIGKILL);
    processes::kill(launcher, Signal::SIGCONT);
    assert_killed(stage.cluster.wait_end());
    stage.assert_clean();
    let server = &stage.last_run()["pid"];
    assert_eq!(*server, postmaster, "the one process that is claimed; {}", stage.told());
}
