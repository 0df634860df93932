//! A real PostgreSQL that is linked with libsystemd (Debian's), behind the relay.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::manager::Manager;
use crate::scene::instance::{Instance, SOON};
use crate::support::cluster::Cluster;
use crate::support::processes;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;
use crate::support::{sandbox, skip};

#[test]
fn a_server_is_ready_when_it_answers_and_stops_in_its_managers_eyes() {
    sandbox::run(|| {
        let mut cluster = cluster();
        let manager = Manager::new();
        let mut words = Instance::new(User::Server).prefix(&[]);
        words.extend(cluster.command_line());
        start(&mut cluster, &manager, &words);
        let launcher = cluster.server().pid();
        let next = || {
            let told = manager.next();
            assert_eq!(told.pid, launcher, "{told:?}");
            told.words()
        };
        assert_eq!(next(), "READY=1");
        cluster.try_sql("select 1").expect("a server that is ready answers");
        // PostgreSQL 15 says nothing of a reload: its unit has no Type=notify-reload.
        cluster.server().signal(Signal::SIGHUP);
        wait_until("the server has reloaded", SOON, || cluster.log().contains("received SIGHUP"));
        cluster.server().signal(Signal::SIGINT);
        assert_eq!(next(), "STOPPING=1");
        assert!(cluster.wait_end().success());
        assert!(manager.within(Duration::ZERO).is_none());
    });
}

#[test]
fn a_server_behind_a_script_that_waits_for_it_is_heeded_once_it_is_claimed() {
    sandbox::run(|| {
        let mut cluster = cluster();
        let manager = Manager::new();
        let mut words = Instance::new(User::Server).prefix(&[]);
        let script = format!("{}; exit $?", cluster.command_line().join(" "));
        words.extend(["sh", "-c", &script].map(str::to_owned));
        start(&mut cluster, &manager, &words);
        cluster.wait_ready();
        std::thread::sleep(Duration::from_secs(2)); // longer than from one look to the next
        while manager.within(Duration::ZERO).is_some() {}
        processes::kill(cluster.postmaster_pid(), Signal::SIGINT);
        let told = manager.next();
        assert_eq!((told.words().as_str(), told.pid), ("STOPPING=1", cluster.server().pid()));
        assert!(cluster.wait_end().success());
    });
}

/// A cluster whose server notifies; skips the test where there is none.
pub fn cluster() -> Cluster {
    let cluster = Cluster::new(15, &[]);
    let program = &cluster.command_line()[0];
    let libraries = Answer::of(std::process::Command::new("ldd").arg(Path::new(program))).stdout;
    if !libraries.contains("libsystemd") {
        skip::skip(format!("{program} is not linked with libsystemd"));
    }
    cluster
}

/// Starts a server as its service manager does.
pub fn start(cluster: &mut Cluster, manager: &Manager, words: &[String]) {
    let mut command = User::Server.command(&words[0]);
    command.args(&words[1..]).env("NOTIFY_SOCKET", &manager.address);
    cluster.spawn(command);
}
