//! What needs no cover, what is no server, and a server of no known kind.

use std::process::{Command, Stdio};

use super::{SOON, cluster, covered, says};
use crate::database::stage::needs_root;
use crate::opengauss::gauss::Gauss;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

#[test]
fn an_ipc_namespace_of_its_own_needs_no_cover_unless_others_are_in_it() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, _) = cluster();
        // What it leaves in a /dev/shm that is everybody's does not end with the namespace.
        let mut command = Command::new("unshare");
        command.args(["--ipc", "--"]).args(User::Server.prefix()).args(cluster.command_line());
        cluster.spawn(command);
        cluster.wait_ready();
        let (server, answer) = covered(User::Root, "none");
        assert_eq!(answer.code(), 1);
        says(&server, "why", "/dev/shm is not");
        cluster.stop();
        let mut command = Command::new("unshare");
        let mount = "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec \"$@\"";
        command.args(["--ipc", "--mount", "--", "sh", "-c", mount, "sh"]);
        command.args(User::Server.prefix()).args(cluster.command_line());
        cluster.spawn(command);
        cluster.wait_ready();
        let (server, answer) = covered(User::Root, "private");
        assert_eq!((answer.code(), &server["objects"]), (0, &serde_json::Value::Null));
        let pid = cluster.postmaster_pid().to_string();
        let mut other = Command::new("nsenter");
        other.args(["--ipc", "--target", &pid, "sleep", "1000"]);
        let mut other = Process::spawn(&mut other);
        let (server, _) = covered(User::Root, "unknown");
        says(&server, "why", "IPC namespace");
        other.signal(nix::sys::signal::Signal::SIGKILL);
        cluster.stop();
    });
}

#[test]
fn a_server_that_opts_out_is_ignored_and_covered_all_the_same_where_it_is() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        let opted_out = ["env".to_owned(), "SHMWARDEN_WATCH=0".to_owned()];
        cluster.start_under(&opted_out);
        let (server, answer) = covered(User::Root, "ignored");
        assert_eq!((answer.code(), &server["fix"]), (0, &serde_json::Value::Null));
        cluster.stop();
        let mut words = opted_out.to_vec();
        words.extend(warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()]));
        cluster.start_under(&words);
        covered(User::Root, "run");
        cluster.stop();
    });
}

#[test]
fn a_client_and_a_standalone_backend_are_no_servers() {
    sandbox::run(|| {
        needs_root();
        let (cluster, _) = cluster();
        let words = cluster.command_line();
        let mut command = User::Server.command(&words[0]);
        command.args(["--single", "-D"]).arg(cluster.data()).arg("postgres").current_dir("/");
        let mut alone = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()));
        let lock = cluster.data().join("postmaster.pid");
        wait_until("it has its directory", SOON, || lock.exists());
        let answer = warden::answer(User::Root, &["status", "--json"]).expect_code(0);
        assert_eq!(answer.json()["servers"], serde_json::json!([]), "{answer:?}");
        drop(alone.child().stdin.take());
        alone.wait(SOON);
    });
}

#[test]
fn the_backend_that_a_dead_server_left_is_no_server() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, _) = cluster();
        cluster.start();
        let busy = cluster.cpu_bound_query_in_background(1000);
        let postmaster = cluster.postmaster_pid();
        cluster.kill_postmaster();
        processes::wait_end(postmaster, SOON);
        assert!(processes::lives(busy.pid()));
        let answer = warden::answer(User::Root, &["status", "--json"]).expect_code(0);
        assert_eq!(answer.json()["servers"], serde_json::json!([]), "{answer:?}");
        processes::kill(busy.pid(), nix::sys::signal::Signal::SIGKILL);
    });
}

#[test]
fn any_server_that_a_ledger_claims_is_told() {
    sandbox::run(|| {
        needs_root();
        let ledger = sandbox::scratch().join("sleep.ledger");
        let words = warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["sleep", "1000"]);
        let mut launcher = Process::spawn(&mut command);
        let (server, answer) = covered(User::Root, "run");
        assert_eq!((answer.code(), &server["engine"]), (0, &"generic".into()));
        assert_eq!((&server["data"], &server["uid"]), (&serde_json::Value::Null, &0.into()));
        launcher.signal(nix::sys::signal::Signal::SIGTERM);
        launcher.wait(SOON);
    });
}

#[test]
fn an_open_gauss_and_what_it_leaves_are_told() {
    sandbox::run(|| {
        needs_root();
        let mut server = Gauss::alone(User::Server, 16_000, &[]);
        for user in [User::Root, User::Server] {
            let (told, answer) = covered(user, "none");
            assert_eq!((answer.code(), &told["engine"]), (1, &"opengauss".into()));
            assert_eq!(told["pid"], server.pid());
            assert_eq!(told["data"], server.data().to_str().unwrap());
            says(&told, "fix", "shmwarden record --data ");
        }
        let pid = server.pid().to_string();
        warden::answer(User::Root, &["record", "--pid", &pid]).expect_code(0);
        let (told, _) = covered(User::Root, "none");
        says(&told, "why", "and nothing sweeps");
        server.end(nix::sys::signal::Signal::SIGKILL);
    });
}

#[test]
fn a_user_from_whom_proc_hides_others_is_told_his_own() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", "remount,hidepid=2", "/proc"]).status().unwrap().success());
        cluster.start();
        // Root has started it, by what may be a launcher.
        let (server, answer) = covered(User::Server, "unknown");
        assert_eq!((answer.code(), &server["pid"]), (0, &cluster.postmaster_pid().into()));
        says(&server, "why", "which may be its launcher, could not be looked at");
        covered(User::Root, "none");
        let other = warden::answer(User::Other(12_345), &["status", "--json"]).expect_code(0);
        assert_eq!(other.json()["servers"], serde_json::json!([]), "{other:?}");
        cluster.stop();
        cluster.start_under(&warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()]));
        covered(User::Server, "run");
        cluster.stop();
        // Root's launcher and ledger.
        let mut command = warden::command(User::Root, &["run", "--ledger"]);
        command.arg(&ledger).arg("--").args(User::Server.prefix()).args(cluster.command_line());
        cluster.spawn(command);
        cluster.wait_ready();
        covered(User::Root, "run");
        let (server, _) = covered(User::Server, "unknown");
        says(&server, "why", "could not be looked at");
        cluster.stop();
    });
}
