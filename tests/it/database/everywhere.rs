//! No caution may leak where servers are killed every day: each kind of PostgreSQL, killed alone
//! and with its launcher, on the machine itself, as the first process of a container, in a pod
//! whose container is started anew, in place, and recorded with a sweep as the hook. Nothing of it
//! is left each time, and nothing of the strangers around it is touched.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::{Kind, for_every_kind};
use super::query;
use super::stage::{Objects, Stage, needs_root};
use crate::support::container::{Container, Own};
use crate::support::objects::segment;
use crate::support::processes;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const SOON: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(300);

/// Where everybody is seen.
mod on_the_machine {
    use super::*;
    for_every_kind! { on_host_within, killed_on_the_machine, LIMIT }
}

/// Where nobody outside is seen.
mod in_a_container {
    use super::*;
    for_every_kind! { run_within, killed_in_a_container, LIMIT }
}

pub(super) fn killed_on_the_machine(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    killed_alone(&mut stage);
    stage.start();
    killed_with_its_launcher(&mut stage);
    swept(&stage, None);
    started_in_place(&mut stage);
    killed_alone(&mut stage);
    wait_until("the guardian has cleaned up", SOON, || stage.left().is_empty());
    recorded(&mut stage);
}

/// The launcher is process 1, as an entry point is.
pub(super) fn killed_in_a_container(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    start_as_first_process(&mut stage);
    kill_postmaster_inside(&mut stage);
    stage.assert_clean();
    start_as_first_process(&mut stage);
    end_container(&mut stage);
    // The container is started anew: other pids, the same objects.
    let next = Container::new(&[Own::Pids]);
    swept(&stage, Some(&next));
    start_as_first_process(&mut stage);
    let old = end_container(&mut stage);
    start_as_first_process(&mut stage); // clears up before it starts
    let stands = |(name, identity): (&String, &String)| stage.left().get(name) == Some(identity);
    assert!(!old.iter().any(stands), "{old:?}; {}", stage.told());
    kill_postmaster_inside(&mut stage);
    stage.assert_clean();
}

fn killed_alone(stage: &mut Stage) {
    let _query = query::in_flight(&stage.cluster);
    stage.kill_server();
    wait_until("nothing is left", SOON, || stage.left().is_empty());
    stage.assert_clean();
}

/// The launcher does not live to see the server's death.
pub(super) fn killed_with_its_launcher(stage: &mut Stage) {
    let query = query::in_flight(&stage.cluster);
    let all = stage.cluster.processes();
    let main = stage.cluster.main_segment();
    stage.cluster.server().signal(Signal::SIGSTOP);
    processes::kill(stage.cluster.postmaster_pid(), Signal::SIGKILL);
    stage.kill_launcher();
    drop(query);
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    assert!(segment(main).is_some_and(|one| one.nattch == 0), "{}", stage.told());
}

/// Sweeps as the server's user, here or in a container; nothing may be left.
fn swept(stage: &Stage, container: Option<&Container>) {
    let binary = warden::binary();
    let mut command = match container {
        Some(container) => container.command(User::Server, &binary),
        None => User::Server.command(&binary),
    };
    let answer = Answer::of(command.args(["sweep", "--strict"]).arg(&stage.ledger));
    let answer = answer.expect_code(0);
    assert_eq!(stage.left(), Objects::new(), "{answer:?}; {}", stage.told());
    stage.assert_clean();
}

fn started_in_place(stage: &mut Stage) {
    let ledger = stage.ledger.to_str().unwrap().to_owned();
    stage.cluster.start_under(&warden::prefix(&["run", "--in-place", "--ledger", &ledger]));
}

/// Started by another tool, recorded, killed; the sweep is its service's hook.
fn recorded(stage: &mut Stage) {
    stage.cluster.start();
    let query = query::in_flight(&stage.cluster);
    let pid = stage.cluster.postmaster_pid().to_string();
    let ledger = stage.ledger.to_str().unwrap().to_owned();
    warden::answer(User::Server, &["record", "--pid", &pid, "--ledger", &ledger]).expect_code(0);
    let all = stage.cluster.processes();
    stage.cluster.kill_postmaster();
    drop(query);
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    swept(stage, None);
}

fn start_as_first_process(stage: &mut Stage) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare.args(User::Server.prefix());
    unshare.args(stage.prefix()).args(stage.cluster.command_line());
    stage.cluster.spawn(unshare);
    stage.cluster.wait_ready();
}

/// The launcher as the test numbers it: the child of `unshare`.
fn launcher(stage: &mut Stage) -> i32 {
    processes::descendants(stage.cluster.server().pid())[0]
}

fn kill_postmaster_inside(stage: &mut Stage) {
    let _query = query::in_flight(&stage.cluster);
    let launcher = launcher(stage);
    let postmaster = processes::descendants(launcher)[0];
    processes::kill(postmaster, Signal::SIGKILL);
    stage.cluster.wait_end();
}

/// With the first process the kernel ends all the others. Gives what is left.
fn end_container(stage: &mut Stage) -> Objects {
    let query = query::in_flight(&stage.cluster);
    let launcher = launcher(stage);
    let all = processes::descendants(launcher);
    processes::kill(launcher, Signal::SIGKILL);
    stage.cluster.wait_end();
    drop(query);
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    let left = stage.left();
    assert!(!left.is_empty(), "a crash leaves something; {}", stage.told());
    left
}
