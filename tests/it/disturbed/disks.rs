//! Disks that fail while the server runs: full or slow, neither is the server's concern.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::disk::{Disk, Log};
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::scene::stand_in::{self, StandIn};
use crate::support::objects::Snapshot;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;
/// Segments whose records take more room than the last page of a ledger's file may have.
const MANY: usize = 40;
/// Shorter than one call on a slow disk, and longer than a busy machine stalls.
const AT_ONCE: Duration = Duration::from_secs(15);
/// How long each call on the ledger's disk takes where it is slow, in microseconds.
const SLOW_US: &str = "40000000";

#[test]
fn a_disk_that_fills_up_while_the_server_runs_disturbs_nobody() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        let log = Log::new();
        let mut server = start_with_log(&instance, &log);
        fill_up(&disk, &mut server, &log);
        server.create_another();
        disk.empty();
        instance.wait_recorded(MANY + 1);
        wait_until("it is logged", SOON, || log.has("can be written again"));
        assert_eq!(log.text().matches("cannot write").count(), 1, "{}", log.text());
        processes::kill(server.pid(), Signal::SIGKILL);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// Nobody saw the end, and that they bear its pid proves nothing by itself.
#[test]
fn what_a_full_disk_did_not_take_is_reported_after_a_crash_of_both() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        let log = Log::new();
        let mut server = start_with_log(&instance, &log);
        fill_up(&disk, &mut server, &log);
        server.kill_all();
        disk.empty();
        expect_reported(&instance);
    });
}

#[test]
fn what_a_disk_that_is_full_to_the_end_did_not_take_is_reported() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        let log = Log::new();
        let mut server = start_with_log(&instance, &log);
        fill_up(&disk, &mut server, &log);
        processes::kill(server.pid(), Signal::SIGKILL);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(log.has("what the server left is kept"), "{}", log.text());
        disk.empty();
        expect_reported(&instance);
    });
}

/// What was recorded goes, and the rest is named and stays.
#[track_caller]
fn expect_reported(instance: &Instance) {
    let sweep = instance.sweep(&[]).expect_code(0);
    assert_eq!(outcomes(&sweep), ["kept pid-reused", "removed dead"], "{sweep:?}");
    let (removed, kept) = (sweep.json()["removed"].clone(), sweep.json()["kept"].clone());
    let total = removed.as_u64().zip(kept.as_u64()).map(|(removed, kept)| removed + kept);
    assert_eq!(total, Some(MANY as u64), "{sweep:?}");
}

#[test]
fn a_signal_does_not_wait_for_the_claim_to_be_synced() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut gated = Gated::start(&instance);
        gated.launcher.signal(Signal::SIGTERM);
        assert!(processes::ends_within(gated.child, AT_ONCE));
        gated.hurry_up();
        let status = gated.launcher.wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
        assert!(!gated.marker.exists(), "it has run");
    });
}

#[test]
fn nothing_runs_when_the_launcher_is_killed_before_the_claim_is_synced() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut gated = Gated::start(&instance);
        let all = processes::descendants(gated.launcher.pid());
        gated.launcher.signal(Signal::SIGKILL);
        gated.launcher.wait(SOON);
        gated.hurry_up(); // a helper that a slow disk holds cannot die
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        assert!(!gated.marker.exists(), "it has run");
        instance.sweep(&[]).expect_code(0);
    });
}

#[test]
fn a_signal_does_not_wait_for_a_record_to_be_written() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let launcher = server.outermost().pid();
        let strace = slow_down(launcher);
        server.create_another();
        let helper = || {
            let children = processes::descendants(launcher);
            children.into_iter().find(|&pid| pid != server.pid())
        };
        wait_until("a helper writes", SOON, || helper().is_some());
        let helper = helper().unwrap();
        for _ in 0..3 {
            let sent = Instant::now();
            server.create_another_through(launcher);
            assert!(sent.elapsed() < AT_ONCE, "{:?}", sent.elapsed());
        }
        processes::kill(launcher, Signal::SIGTERM);
        assert!(processes::ends_within(server.pid(), AT_ONCE));
        assert!(processes::lives(helper), "it still writes");
        drop(strace);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// A launcher whose claim is written and on its way to a slow disk, with its child at the gate.
struct Gated {
    launcher: Process,
    tracer: i32,
    child: i32,
    marker: PathBuf,
}

impl Gated {
    fn start(instance: &Instance) -> Self {
        let marker = sandbox::scratch().join("started");
        let run = instance.run(&[], &["touch", marker.to_str().unwrap()]);
        let mut command = strace("fsync,fdatasync");
        command.arg("-D").arg(run.get_program()).args(run.get_args()); // our child is the launcher
        let launcher = Process::spawn(&mut command);
        wait_until("the claim is written", SOON, || {
            instance.ledger().exists() && instance.count("claim") == 1
        });
        let below = processes::descendants(launcher.pid());
        let [child, _helper] = below[..] else {
            panic!("the child and a helper, not {below:?}");
        };
        Gated { tracer: tracer_of(launcher.pid()), launcher, child, marker }
    }

    /// Ends the slowness.
    fn hurry_up(&self) {
        processes::kill(self.tracer, Signal::SIGKILL);
    }
}

fn tracer_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("TracerPid:"));
    let (_, tracer) = line.unwrap().split_once('\t').unwrap();
    tracer.parse().unwrap()
}

fn start_with_log(instance: &Instance, log: &Log) -> StandIn {
    let mut run = instance.run(&[], &stand_in::words(KEY));
    run.stderr(log.open());
    let server = StandIn::spawn(run);
    instance.wait_recorded(1);
    server
}

/// Leaves records that the disk does not take.
fn fill_up(disk: &Disk, server: &mut StandIn, log: &Log) {
    disk.fill();
    for _ in 1..MANY {
        server.create_another();
    }
    wait_until("an error is logged", SOON, || log.has("cannot write the ledger"));
}

/// Slows down the disk of a launcher that runs; ends with this value.
fn slow_down(launcher: i32) -> Process {
    let mut command = strace("fsync,fdatasync,ftruncate");
    command.args(["-p", &launcher.to_string()]);
    let strace = Process::spawn(command.stderr(Stdio::null()));
    wait_until("it is traced", SOON, || tracer_of(launcher) == strace.pid());
    strace
}

fn strace(calls: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:delay_enter={SLOW_US}")]);
    command
}
