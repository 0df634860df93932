//! What a launcher passes on: signals to the server, the server's end to its own parent.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::instance::{Instance, SOON};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// Says which signals arrive, and goes on.
const LISTENER: &str = r#"
    $| = 1;
    for my $name (qw(TERM INT HUP QUIT USR1 USR2)) { $SIG{$name} = sub { print "SIG$name\n" } }
    print "ready\n";
    select(undef, undef, undef, 0.05) while 1;
"#;

#[test]
fn each_signal_arrives_once() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut command = instance.run(&[], &["perl", "-e", LISTENER]);
        let mut launcher = Process::spawn(command.stdout(Stdio::piped()));
        let mut output = BufReader::new(launcher.child().stdout.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        assert_eq!(next(), "ready");
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ] {
            launcher.signal(signal);
            assert_eq!(next(), signal.as_str());
        }
        let server = processes::descendants(launcher.pid())[0];
        processes::kill(server, Signal::SIGKILL);
        assert_eq!(launcher.wait(SOON).signal(), Some(Signal::SIGKILL as i32));
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "a signal arrived twice");
    });
}

#[test]
fn an_exit_status_is_passed_on() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for status in [0, 1, 2, 42, 75, 124, 125, 126, 127, 128, 130, 143, 254, 255] {
            let command = ["sh", "-c", &format!("exit {status}")];
            let answer = Answer::of(&mut instance.run(&[], &command)).expect_code(status);
            assert_eq!(answer.stderr, "", "an uneventful run is silent");
        }
    });
}

#[test]
fn a_death_by_a_signal_is_passed_on() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for name in ["HUP", "INT", "QUIT", "ABRT", "KILL", "SEGV", "PIPE", "TERM", "USR1"] {
            let command = ["sh", "-c", &format!("kill -{name} $$")];
            let answer = Answer::of(&mut instance.run(&[], &command));
            let signal: Signal = format!("SIG{name}").parse().unwrap();
            assert_eq!(answer.status.signal(), Some(signal as i32), "{answer:?}");
        }
    });
}

#[test]
fn a_command_that_is_not_there_is_127() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for command in ["no-such-command", "/nowhere/at-all", "./not-here", ""] {
            let mut run = instance.run(&[], &[command]);
            let answer = Answer::of(run.env("PATH", "/usr/bin:/bin")).expect_code(127);
            assert!(answer.stderr.contains("cannot execute"), "{answer:?}");
        }
        instance_is_settled(&instance);
    });
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let plain = sandbox::scratch().join("plain");
        fs::write(&plain, "no program\n").unwrap();
        let garbled = sandbox::scratch().join("garbled");
        fs::write(&garbled, "no program\n").unwrap();
        fs::set_permissions(&garbled, PermissionsExt::from_mode(0o755)).unwrap();
        for path in [plain.as_path(), garbled.as_path(), sandbox::scratch().as_path()] {
            let command = [path.to_str().unwrap()];
            let answer = Answer::of(&mut instance.run(&[], &command)).expect_code(126);
            assert!(answer.stderr.contains("cannot execute"), "{answer:?}");
        }
        instance_is_settled(&instance);
    });
}

#[test]
fn a_script_without_its_interpreter_is_127() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let script = sandbox::scratch().join("script");
        fs::write(&script, "#!/nowhere/interpreter\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        Answer::of(&mut instance.run(&[], &[script.to_str().unwrap()])).expect_code(127);
    });
}

/// What never ran leaves nothing to do.
fn instance_is_settled(instance: &Instance) {
    if instance.ledger().exists() {
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(super::instance::state(&sweep), "settled");
    }
}
