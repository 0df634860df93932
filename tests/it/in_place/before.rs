//! Between the start and the exec: the guardian dies, or its disk is slow or full. Whether the
//! server starts is what `--if-ledger-fails` says, and it never waits for long.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use super::{guardian_of, last_run, wait_guardian};
use crate::scene::disk::Disk;
use crate::scene::instance::{Instance, SOON, state};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

const REFUSE: [&str; 3] = ["--in-place", "--if-ledger-fails", "refuse"];
const START: [&str; 1] = ["--in-place"];

#[test]
fn a_server_starts_without_a_guardian_that_died_before_the_claim() {
    sandbox::run(|| {
        let mut held = Held::start(&START);
        processes::kill(guardian_of(&held.instance), Signal::SIGKILL);
        assert_eq!(held.process.wait(SOON).code(), Some(0));
        assert!(held.marker.exists(), "{}", held.said());
        let expected = "the guardian has ended before the claim was written to the ledger";
        assert!(held.said().contains(expected), "{}", held.said());
        assert!(held.said().contains("no clean-up is promised"), "{}", held.said());
        held.hurry_up();
    });
}

#[test]
fn a_server_is_refused_where_its_guardian_died_before_the_claim_and_that_was_asked_for() {
    sandbox::run(|| {
        let mut held = Held::start(&REFUSE);
        processes::kill(guardian_of(&held.instance), Signal::SIGKILL);
        assert_eq!(held.process.wait(SOON).code(), Some(125));
        assert!(!held.marker.exists(), "{}", held.said());
        assert!(held.said().contains("the server is not started"), "{}", held.said());
        held.hurry_up();
    });
}

#[test]
fn a_slow_disk_delays_a_server_by_seconds_and_no_longer() {
    sandbox::run(|| {
        let mut held = Held::start(&START);
        assert_eq!(held.process.wait(SOON).code(), Some(0));
        assert!(held.marker.exists(), "{}", held.said());
        assert!(held.said().contains("the claim was not written in time"), "{}", held.said());
        let started = held.marker.metadata().unwrap().modified().unwrap();
        let delay = started.duration_since(held.spawned).unwrap();
        assert!(delay > Duration::from_secs(2), "{delay:?}");
        // Strace and a busy machine included; the disk would take 40 s.
        assert!(delay < Duration::from_secs(10), "{delay:?}");
        held.hurry_up();
        wait_guardian(&held.instance);
        assert_ne!(last_run(&held.instance)["end"], serde_json::Value::Null);
    });
}

#[test]
fn a_slow_disk_refuses_a_server_where_that_was_asked_for() {
    sandbox::run(|| {
        let mut held = Held::start(&REFUSE);
        assert_eq!(held.process.wait(SOON).code(), Some(125));
        assert!(!held.marker.exists(), "{}", held.said());
        held.hurry_up();
        wait_guardian(&held.instance);
        assert_eq!(last_run(&held.instance)["end"], "not started");
    });
}

#[test]
fn a_disk_that_does_not_sync_the_claim_does_as_was_asked_for() {
    sandbox::run(|| {
        for (options, status) in [(&START[..], 0), (&REFUSE[..], 125)] {
            let instance = Instance::new(User::Server);
            let run = instance.run(options, &["true"]);
            let answer = Answer::of(&mut strace("error=EIO", &run)).expect_code(status);
            assert!(answer.stderr.contains("the claim could not be written to the"), "{answer:?}");
        }
    });
}

/// A signal that arrives while the claim is being written does what it would do to the server.
#[test]
fn a_signal_before_the_exec_ends_it() {
    sandbox::run(|| {
        use std::os::unix::process::ExitStatusExt;
        let mut held = Held::start(&START);
        held.process.signal(Signal::SIGTERM);
        assert_eq!(held.process.wait(SOON).signal(), Some(Signal::SIGTERM as i32));
        held.hurry_up();
        wait_guardian(&held.instance);
        assert!(!held.marker.exists());
    });
}

#[test]
fn a_full_disk_does_not_stop_a_server_unless_that_was_asked_for() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        Answer::of(&mut instance.run(&START, &["true"])).expect_code(0);
        wait_guardian(&instance);
        disk.fill();
        // What is left of the ledger's last page takes a few records.
        let answers: Vec<Answer> =
            (0..20).map(|_| Answer::of(&mut instance.run(&START, &["true"]))).collect();
        assert!(answers.iter().all(|answer| answer.status.code() == Some(0)), "{answers:?}");
        let last = answers.last().unwrap();
        assert!(last.stderr.contains("no clean-up is promised"), "{last:?}");
        let refused = Answer::of(&mut instance.run(&REFUSE, &["true"])).expect_code(125);
        assert!(refused.stderr.contains("the server is not started"), "{refused:?}");
        disk.empty();
    });
}

#[test]
fn a_ledger_that_cannot_be_had_does_not_stop_a_server_unless_that_was_asked_for() {
    sandbox::run(|| {
        let instance = Instance::at(User::Server, &sandbox::scratch().join("nowhere/x.ledger"));
        let answer = Answer::of(&mut instance.run(&START, &["sh", "-c", "exit 3"]));
        assert!(answer.stderr.contains("no clean-up is promised"), "{answer:?}");
        answer.expect_code(3);
        let refused = Answer::of(&mut instance.run(&REFUSE, &["true"])).expect_code(125);
        assert!(refused.stderr.contains("the server is not started"), "{refused:?}");
    });
}

#[test]
fn what_cannot_be_executed_is_126_or_127_and_was_not_started() {
    sandbox::run(|| {
        use std::os::unix::fs::PermissionsExt;
        let instance = Instance::new(User::Server);
        let garbled = sandbox::scratch().join("garbled");
        fs::write(&garbled, "no program\n").unwrap();
        fs::set_permissions(&garbled, PermissionsExt::from_mode(0o755)).unwrap();
        let script = sandbox::scratch().join("script");
        fs::write(&script, "#!/nowhere/interpreter\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let cases = [
            (garbled.to_str().unwrap(), 126),
            ("/", 126),
            ("/nowhere/at/all", 127),
            ("/etc/passwd/x", 126),
            (script.to_str().unwrap(), 127),
        ];
        for (path, status) in cases {
            let answer = Answer::of(&mut instance.run(&START, &[path])).expect_code(status);
            assert_eq!(answer.stderr.matches("cannot execute").count(), 1, "{answer:?}");
            wait_guardian(&instance);
            assert_eq!(last_run(&instance)["end"], "not started", "{path}");
        }
        assert_eq!(state(&instance.sweep(&[]).expect_code(0)), "settled");
    });
}

/// SIGPIPE is as the server is given it then, and the pipe to the guardian has no other end.
#[test]
fn what_cannot_be_executed_is_126_where_no_guardian_can_be_had_either() {
    sandbox::run(|| {
        use std::os::unix::fs::PermissionsExt;
        let instance = Instance::new(User::Server);
        let garbled = sandbox::scratch().join("garbled");
        fs::write(&garbled, "no program\n").unwrap();
        fs::set_permissions(&garbled, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = User::Server.command("prlimit");
        command.arg("--nproc=1").args(instance.prefix(&START)).arg(&garbled);
        let answer = Answer::of(&mut command).expect_code(126);
        assert!(answer.stderr.contains("cannot fork the guardian"), "{answer:?}");
        assert!(answer.stderr.contains("cannot execute"), "{answer:?}");
    });
}

/// A command whose every `fsync`, and that of what it starts, goes like this.
fn strace(fault: &str, run: &Command) -> Command {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("there is no strace here");
    }
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    command.args(["-e", &format!("inject=fsync:{fault}")]);
    command.arg(run.get_program()).args(run.get_args());
    command
}

/// A start whose claim is written and on its way to a disk that takes 10 seconds.
struct Held {
    instance: Instance,
    process: Process,
    tracer: i32,
    marker: PathBuf,
    log: PathBuf,
    spawned: SystemTime,
}

impl Held {
    fn start(options: &[&str]) -> Self {
        let instance = Instance::new(User::Server);
        let marker = instance.directory().join("started");
        let log = instance.directory().join("log");
        let run = instance.run(options, &["touch", marker.to_str().unwrap()]);
        let mut command = strace("delay_enter=40000000", &run);
        command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let spawned = SystemTime::now();
        let process = Process::spawn(&mut command);
        wait_until("the claim is written", SOON, || {
            instance.ledger().exists() && instance.count("claim") == 1
        });
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t"));
        let tracer = tracer.unwrap().parse().unwrap();
        Held { instance, process, tracer, marker, log, spawned }
    }

    /// Ends the slowness.
    fn hurry_up(&self) {
        processes::kill(self.tracer, Signal::SIGKILL);
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}
