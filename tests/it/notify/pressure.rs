//! A manager that does not read.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::manager::Manager;
use super::notifier;
use crate::scene::instance::{Instance, SOON};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// Many more than the manager's socket takes, and than the launcher keeps.
const MANY: usize = 400;

/// Notifies MANY times, and says on its output which signals arrive meanwhile.
fn body() -> String {
    format!(
        r#"
        $SIG{{USR1}} = sub {{ print "USR1\n" }};
        print "begin\n";
        notify("STATUS=$_") for 1..{MANY};
        print "end\n";
        rest() while 1;
        "#
    )
}

#[test]
fn a_manager_that_does_not_read_delays_no_signal_costs_nothing_and_is_told_everything_later() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let mut command = notifier::command(&instance, &manager, &[], &body());
        let mut launcher = Process::spawn(command.stdout(Stdio::piped()));
        let mut output = BufReader::new(launcher.child().stdout.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        assert_eq!(next(), "begin");
        std::thread::sleep(Duration::from_secs(6)); // by then looks are rare
        for _ in 0..3 {
            launcher.signal(Signal::SIGUSR1);
            assert_eq!(next(), "USR1");
        }
        let before = (wake_ups(launcher.pid()), cpu_ms(launcher.pid()));
        std::thread::sleep(Duration::from_secs(3));
        let woken = wake_ups(launcher.pid()) - before.0;
        let busy_ms = cpu_ms(launcher.pid()) - before.1;
        println!("{woken} wake-ups and {busy_ms} ms of CPU time in 3 s");
        assert!(woken <= 20, "{woken} wake-ups in three seconds, of which looks are three");
        assert!(busy_ms <= 300, "{busy_ms} ms of CPU time in three seconds");

        for number in 1..=MANY {
            assert_eq!(manager.next().words(), format!("STATUS={number}"));
        }
        assert_eq!(next(), "end");
    });
}

fn is_perl(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "perl\n")
}

#[test]
fn a_manager_that_never_reads_does_not_hold_the_end_up() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let mut command = notifier::command(&instance, &manager, &[], &body());
        let mut launcher = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        let below = || processes::descendants(launcher.pid());
        wait_until("the server runs", SOON, || below().iter().any(|&pid| is_perl(pid)));
        std::thread::sleep(Duration::from_millis(500));
        let server = below().into_iter().find(|&pid| is_perl(pid)).unwrap();
        let killed = Instant::now();
        processes::kill(server, Signal::SIGKILL);
        assert_eq!(launcher.wait(SOON).signal(), Some(Signal::SIGKILL as i32));
        assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
        let said = std::io::read_to_string(launcher.child().stderr.take().unwrap()).unwrap();
        assert!(said.contains("does not read its socket"), "{said}");
    });
}

#[test]
fn a_manager_that_opens_its_socket_anew_is_found_again() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = r#"
            $SIG{USR1} = sub { notify("STATUS=again") };
            notify("READY=1");
            rest() while 1;
        "#;
        let launcher = &mut Process::spawn(&mut notifier::command(&instance, &manager, &[], body));
        assert_eq!(manager.next().words(), "READY=1");
        std::fs::remove_file(&manager.address).unwrap();
        drop(manager);
        let manager = Manager::new();
        launcher.signal(Signal::SIGUSR1);
        assert_eq!(manager.next().words(), "STATUS=again");
    });
}

/// Where nothing can be received any more, the server must not wait for it.
#[test]
fn a_relay_that_has_failed_does_not_hold_the_server_up() {
    sandbox::run(|| {
        skip_without_strace();
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = format!(r#"notify("WATCHDOG=1"), rest() for 1..{MANY}; exit 7"#);
        let run = notifier::command(&instance, &manager, &[], &body);
        let mut command = std::process::Command::new("strace");
        command.args(["-o", "/dev/null", "-e", "inject=recvmsg:error=ENOMEM", "--"]);
        command.arg(run.get_program()).args(run.get_args());
        command.env("NOTIFY_SOCKET", &manager.address);
        let mut launcher = Process::spawn(command.stderr(Stdio::piped()));
        assert_eq!(launcher.wait(Duration::from_secs(40)).code(), Some(7));
        let said = std::io::read_to_string(launcher.child().stderr.take().unwrap()).unwrap();
        assert!(said.contains("no longer relayed"), "{said}");
    });
}

/// How often a process has gone to sleep.
fn wake_ups(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
    line.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time that a process has used.
fn cpu_ms(pid: i32) -> u64 {
    let times = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    times.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_000_000
}
