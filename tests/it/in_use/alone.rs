//! A server without its launcher, and a launcher whose COMMAND has become a daemon: nothing is
//! removed while the server lives, and it is said why.

use std::path::Path;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, outcomes, state};
use crate::support::cluster::Cluster;
use crate::support::objects::{Snapshot, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

/// Enough that their statistics do not fit into the main segment.
const MANY_TABLES: &str = "
    do $$ begin
        for i in 1..5000 loop
            execute format('create table t%s as select 1', i);
            if i % 100 = 0 then commit; end if;
        end loop;
    end $$";

#[test]
fn a_server_without_its_launcher_keeps_everything() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, &[("dynamic_shared_memory_type", "sysv")]);
        cluster.start_under(&instance.prefix(&[]));
        cluster.sql(MANY_TABLES);
        wait_until("a segment that nobody has attached", SOON, || {
            segments().iter().any(|segment| segment.nattch == 0)
        });
        let running = Snapshot::take();
        let postmaster = cluster.postmaster_pid();
        cluster.server().signal(Signal::SIGKILL);
        cluster.wait_end();
        assert!(segments().iter().any(|segment| segment.nattch == 0));

        assert_run_refuses(&instance, postmaster);
        assert_sweeps_leave_alone(&instance, postmaster);
        assert_eq!(running.missing(), [""; 0]);
        assert_eq!(cluster.sql("select count(*) from pg_class where relname ~ '^t[0-9]'"), "5000");

        processes::kill(postmaster, Signal::SIGINT);
        processes::wait_end(postmaster, SOON);
        instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_server_without_its_launcher_that_is_killed_is_swept() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        cluster.start_under(&instance.prefix(&[]));
        let all = cluster.processes();
        cluster.server().signal(Signal::SIGKILL);
        cluster.wait_end();
        processes::kill(all[0], Signal::SIGKILL);
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        instance.sweep(&["--wait", "10s"]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_command_that_daemonises_is_watched_on_until_a_stop() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut daemon = Daemon::start();
        let running = Snapshot::take();
        let busy = daemon.instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&busy), "live");
        assert_eq!(running.missing(), [""; 0]);
        assert_eq!(daemon.cluster.sql("select 1"), "1");
        daemon.pg_ctl(&["stop", "-m", "fast"]);
        let status = daemon.cluster.wait_end();
        assert_eq!(status.code(), Some(0), "{}", daemon.cluster.log());
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_daemon_that_is_killed_is_cleaned_up_after() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut daemon = Daemon::start();
        let query = daemon.cluster.parallel_query_in_background();
        daemon.kill();
        daemon.cluster.wait_end();
        assert_eq!(before.left_over(), [""; 0], "{}", daemon.cluster.log());
        drop(query);
    });
}

#[test]
fn a_daemon_whose_launcher_was_killed_too_is_swept() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut daemon = Daemon::start();
        let all = daemon.cluster.processes();
        daemon.cluster.server().signal(Signal::SIGKILL);
        daemon.cluster.wait_end();
        let postmaster = daemon.cluster.postmaster_pid();
        daemon.instance.sweep(&[]).expect_code(75);
        assert_run_refuses(&daemon.instance, postmaster);
        daemon.kill();
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        let sweep = daemon.instance.sweep(&["--wait", "10s"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// 125, with the server named, before anything is started.
fn assert_run_refuses(instance: &Instance, postmaster: i32) {
    let marker = sandbox::scratch().join("started");
    let touch = ["touch", marker.to_str().unwrap()];
    let second = Answer::of(&mut instance.run(&[], &touch)).expect_code(125);
    assert!(second.stderr.contains(&format!("process {postmaster} ")), "{second:?}");
    assert!(second.stderr.contains("still lives without its launcher"), "{second:?}");
    assert!(!marker.exists());
}

/// 75 where the ledger was named, 0 where it was only found; the server named both times.
fn assert_sweeps_leave_alone(instance: &Instance, postmaster: i32) {
    let named = instance.sweep(&[]).expect_code(75);
    let found = instance.sweep_directory().expect_code(0);
    for sweep in [named, found] {
        assert_eq!(state(&sweep), "live");
        assert!(sweep.stdout.contains(&format!("process {postmaster} ")), "{sweep:?}");
        assert!(outcomes(&sweep).contains(&"kept live".to_owned()), "{sweep:?}");
        assert!(outcomes(&sweep).iter().all(|o| o.starts_with("kept ")), "{sweep:?}");
    }
    let words = instance.sweep_in_words().expect_code(75);
    assert!(words.stdout.contains("the server lives"), "{words:?}");
}

/// A server that `pg_ctl` has started and left, under a launcher.
pub struct Daemon {
    pub instance: Instance,
    pub cluster: Cluster,
}

impl Daemon {
    /// Starts one; `pg_ctl` has ended with status 0.
    pub fn start() -> Self {
        let instance = Instance::new(User::Server);
        let settings = [("shared_memory_type", "sysv"), ("logging_collector", "off")];
        let cluster = Cluster::new(15, &settings);
        let mut daemon = Daemon { instance, cluster };
        let mut words = daemon.instance.prefix(&[]);
        words.extend(daemon.pg_ctl_words(&["-w", "start", "-l", "/dev/null"]));
        let mut command = User::Server.command(&words[0]);
        command.args(&words[1..]);
        daemon.cluster.spawn(command);
        daemon.cluster.wait_ready();
        let launcher = daemon.cluster.server().pid();
        wait_until("pg_ctl has ended", SOON, || {
            let children = processes::descendants(launcher);
            !children.iter().any(|&pid| processes::describe(pid).contains("pg_ctl"))
        });
        assert!(processes::lives(launcher), "the launcher stays: {}", daemon.cluster.log());
        assert_eq!(processes::parent(daemon.cluster.postmaster_pid()), Some(launcher));
        daemon
    }

    /// Kills the postmaster.
    pub fn kill(&self) {
        processes::kill(self.cluster.postmaster_pid(), Signal::SIGKILL);
    }

    fn pg_ctl_words(&self, arguments: &[&str]) -> Vec<String> {
        let postgres = self.cluster.command_line().swap_remove(0);
        let pg_ctl = Path::new(&postgres).with_file_name("pg_ctl");
        let data = self.cluster.data();
        let words = [pg_ctl.to_str().unwrap(), "-D", data.to_str().unwrap()];
        let words = words.iter().chain(arguments);
        words.map(|&word| word.to_owned()).collect()
    }

    fn pg_ctl(&self, arguments: &[&str]) -> ExitStatus {
        let words = self.pg_ctl_words(arguments);
        let mut command = User::Server.command(&words[0]);
        command.args(&words[1..]);
        Answer::of(&mut command).expect_code(0).status
    }
}
