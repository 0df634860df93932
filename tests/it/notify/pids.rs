//! A pid counts as COMMAND's, or as a claimed server's, as long as it is not reaped: who bears the
//! number later is not heeded.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::manager::Manager;
use super::notifier;
use super::postgres::{cluster, start};
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::ledger_text::claimed_pid;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// COMMAND ends and leaves a child, which notifies when it is told to.
const DAEMON: &str = r#"
    $SIG{USR1} = sub { notify("STATUS=daemon") };
    notify("STATUS=$address");
    if (my $child = fork) { exit }
    rest() while 1;
"#;

#[test]
fn a_stranger_with_the_pid_of_a_reaped_command_is_not_heeded() {
    sandbox::run(|| {
        need_root("to choose the next pid");
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let options = ["--notify-access", "all"];
        let mut command = notifier::command(&instance, &manager, &options, DAEMON);
        let launcher = Process::spawn(&mut command);
        let told = manager.next().words();
        let address = told.strip_prefix("STATUS=").unwrap();
        wait_until("COMMAND is claimed", SOON, || instance.count("claim") == 1);
        let pid = claimed_pid(instance.ledger());
        wait_until("it was reaped", SOON, || !exists(pid));
        let is_perl = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "perl\n")
        };
        let below = processes::descendants(launcher.pid());
        let daemon = below.into_iter().find(is_perl).expect("the daemon");
        let _stranger = notify_as(pid, address);
        processes::kill(daemon, Signal::SIGUSR1);
        assert_eq!(manager.next().words(), "STATUS=daemon");
        processes::kill(daemon, Signal::SIGKILL);
    });
}

/// COMMAND starts a server, reaps it and lives on.
#[test]
fn a_stranger_with_the_pid_of_a_dead_claimed_server_is_not_heeded() {
    sandbox::run(|| {
        need_root("to choose the next pid");
        let (mut cluster, manager) = (cluster(), Manager::new());
        let instance = Instance::new(User::Server);
        let file = instance.directory().join("address");
        let body = format!(
            r#"
            open(my $out, '>', "{0}.new"); print $out $address; close $out;
            rename("{0}.new", "{0}");
            $SIG{{USR1}} = sub {{ notify("STATUS=command") }};
            if (fork == 0) {{ exec @ARGV }}
            1 while wait == -1;
            rest() while 1;
            "#,
            file.display()
        );
        let mut words = instance.prefix(&[]);
        words.extend(notifier::words(&body));
        words.extend(cluster.command_line());
        start(&mut cluster, &manager, &words);
        cluster.wait_ready();
        let launcher = cluster.server().pid();
        let server = cluster.postmaster_pid();
        wait_until("the server is claimed", SOON, || instance.count("claim") == 2);
        let command = processes::parent(server).unwrap();
        assert_eq!(processes::parent(command), Some(launcher));
        processes::kill(server, Signal::SIGKILL);
        wait_until("COMMAND has reaped it", SOON, || !exists(server));
        while manager.within(Duration::ZERO).is_some() {}
        let _stranger = notify_as(server, &fs::read_to_string(&file).unwrap());
        processes::kill(command, Signal::SIGUSR1);
        assert_eq!(manager.next().words(), "STATUS=command");
        processes::kill(command, Signal::SIGKILL);
        cluster.wait_end();
    });
}

/// It is the launcher's child since COMMAND has ended, and both its words and its death are there
/// when the launcher looks again.
#[test]
fn the_last_words_of_a_server_that_command_left_as_a_daemon_arrive() {
    sandbox::run(|| {
        let (mut cluster, manager) = (cluster(), Manager::new());
        let instance = Instance::new(User::Server);
        let mut words = instance.prefix(&[]);
        words.extend(["sh", "-c", "\"$@\" & sleep 1", "sh"].map(str::to_owned));
        words.extend(cluster.command_line());
        start(&mut cluster, &manager, &words);
        cluster.wait_ready();
        let (launcher, server) = (cluster.server().pid(), cluster.postmaster_pid());
        wait_until("the server is claimed", SOON, || instance.count("claim") == 2);
        wait_until("COMMAND has ended", SOON, || processes::parent(server) == Some(launcher));
        wait_until("it was reaped", SOON, || instance.count("reaped") == 1);
        while manager.within(Duration::ZERO).is_some() {}
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(server, Signal::SIGINT);
        processes::wait_end(server, SOON);
        processes::kill(launcher, Signal::SIGCONT);
        let told = manager.next();
        assert_eq!((told.words().as_str(), told.pid), ("STOPPING=1", launcher));
        cluster.wait_end();
    });
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A process with this pid, which has sent something.
fn notify_as(pid: i32, address: &str) -> Process {
    let words = notifier::words("notify('STATUS=stranger'); print \"sent\\n\"; rest() while 1");
    for _ in 0..100 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut stranger = Command::new(&words[0]);
        stranger.args(&words[1..]).env("NOTIFY_SOCKET", address).stdout(Stdio::piped());
        let mut stranger = Process::spawn(&mut stranger);
        if stranger.pid() == pid {
            let mut line = String::new();
            let output = stranger.child().stdout.take().unwrap();
            BufReader::new(output).read_line(&mut line).unwrap();
            assert_eq!(line, "sent\n");
            return stranger;
        }
        // Somebody else was quicker.
    }
    panic!("no process got the pid {pid}");
}
