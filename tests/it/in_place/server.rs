//! COMMAND in place, from its start to its end: it is the process that was started.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{guardian_of, last_run, wait_guardian};
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::stand_in::{self, StandIn};
use crate::support::ends::seen_from_beside;
use crate::support::objects::Snapshot;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

#[test]
fn its_exit_status_is_its_own() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for status in [0, 1, 2, 42, 125, 126, 127, 128, 143, 255] {
            let command = ["sh", "-c", &format!("exit {status}")];
            let answer = Answer::of(&mut instance.run(&["--in-place"], &command));
            let answer = answer.expect_code(status);
            assert_eq!(answer.stderr, "", "an uneventful run is silent");
            wait_guardian(&instance);
            assert_eq!(last_run(&instance)["end"], seen_from_beside(&format!("exit {status}")));
        }
    });
}

#[test]
fn its_death_by_a_signal_is_its_own() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for name in ["HUP", "INT", "QUIT", "ABRT", "KILL", "SEGV", "PIPE", "TERM", "USR1"] {
            let command = ["sh", "-c", &format!("kill -{name} $$")];
            let answer = Answer::of(&mut instance.run(&["--in-place"], &command));
            let signal: Signal = format!("SIG{name}").parse().unwrap();
            assert_eq!(answer.status.signal(), Some(signal as i32), "{answer:?}");
            wait_guardian(&instance);
            let end = format!("signal {}", signal as i32);
            assert_eq!(last_run(&instance)["end"], seen_from_beside(&end));
        }
    });
}

#[test]
fn what_it_leaves_when_it_is_killed_is_removed() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = StandIn::spawn(instance.run(&["--in-place"], &stand_in::words(KEY)));
        assert_eq!(server.pid(), server.outermost().pid());
        server.create_another();
        instance.wait_recorded(2);
        server.create_another(); // what nobody saw has its pid alone, which proves nothing
        instance.wait_recorded(3);
        processes::kill(server.pid(), Signal::SIGKILL);
        server.outermost().wait(SOON);
        wait_guardian(&instance);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// A server without known lists that ended with status 0 may have left its segment on purpose. Who
/// is not its parent learns of that status from Linux 6.15 on.
#[test]
fn what_it_leaves_after_status_0_is_kept_where_the_kernel_tells_that_status() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let command = ["perl", "-e", "shmget(77, 4096, 01600); select(undef, undef, undef, 1)"];
        Answer::of(&mut instance.run(&["--in-place"], &command)).expect_code(0);
        wait_guardian(&instance);
        if seen_from_beside("told") == "unknown" {
            assert_eq!(before.left_over(), [""; 0]);
            return;
        }
        assert_eq!(before.left_over().len(), 1);
        instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// A reader of what the server writes waits for nobody else.
#[test]
fn a_pipe_ends_with_the_server_though_its_guardian_lives() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let run = instance.run(&["--in-place"], &["sleep", "1000"]);
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 9>&1 8>&2; exec "$@""#, "sh"]);
        command.arg(run.get_program()).args(run.get_args());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Process::spawn(&mut command);
        wait_until("it runs", SOON, || name_of(server.pid()) == "sleep");
        let guardian = guardian_of(&instance);
        stop(guardian);
        server.signal(Signal::SIGKILL);
        let mut text = String::new();
        server.child().stdout.take().unwrap().read_to_string(&mut text).unwrap();
        server.child().stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
        assert_eq!(processes::state(guardian), Some('T'));
        processes::kill(guardian, Signal::SIGCONT);
        wait_guardian(&instance);
    });
}

#[test]
fn a_terminal_is_the_servers_alone() {
    sandbox::run(|| {
        if Command::new("script").arg("--version").output().is_err() {
            skip("there is no script here");
        }
        let instance = Instance::new(User::Server);
        let run = instance.run(&["--in-place"], &["sleep", "1000"]);
        let words: Vec<&str> = run.get_args().map(|word| word.to_str().unwrap()).collect();
        let line = format!("exec {} {}", run.get_program().to_str().unwrap(), words.join(" "));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut terminal = Process::spawn(&mut script);
        let claimed = || instance.ledger().exists() && instance.count("claim") > 0;
        wait_until("it is claimed", SOON, claimed);
        let guardian = guardian_of(&instance);
        let server = i32::try_from(last_run(&instance)["pid"].as_i64().unwrap()).unwrap();
        wait_until("it runs", SOON, || name_of(server) == "sleep");
        assert_ne!(terminal_of(server), 0);
        assert_eq!(terminal_of(guardian), 0);
        stop(guardian);
        processes::kill(server, Signal::SIGTERM);
        terminal.wait(SOON);
        processes::kill(guardian, Signal::SIGCONT);
        wait_guardian(&instance);
    });
}

/// Has a process do nothing more, whatever becomes readable.
fn stop(pid: i32) {
    processes::kill(pid, Signal::SIGSTOP);
    wait_until("it is stopped", SOON, || processes::state(pid) == Some('T'));
}

fn name_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end().to_owned()
}

fn terminal_of(pid: i32) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(4).unwrap().parse().unwrap()
}

/// It is in no group of the server's, and a stop signal means nothing to it while that lives.
#[test]
fn signals_for_the_server_are_nothing_to_the_guardian() {
    sandbox::run(|| {
        need_root("for processes that may look into each other");
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = StandIn::spawn(instance.run(&["--in-place"], &stand_in::words(KEY)));
        let guardian = guardian_of(&instance);
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            processes::kill(guardian, signal);
        }
        assert!(processes::outlives(guardian, Duration::from_millis(500)));
        assert!(processes::lives(server.pid()), "they are not passed on");
        let group = nix::unistd::Pid::from_raw(server.pid());
        nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
        server.outermost().wait(SOON);
        wait_guardian(&instance);
        assert_eq!(before.left_over(), [""; 0]);
    });
}
