//! The sandbox: what is in it is not outside, what runs in it ends with it, orphans are reaped.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::container::{Container, Own};
use crate::support::objects::{
    KEY_FAMILY, create_segment, create_shm_file, segments, segments_of, shm_files,
};
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::{sandbox, skip};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_sandbox_begins_empty() {
    sandbox::run(|| {
        assert_eq!(segments(), []);
        assert_eq!(shm_files(), []);
        assert_eq!(processes::all(), [1, processes_own_pid()]);
        assert_eq!(fs::read_dir("/var/lib").unwrap().count(), 0);
        assert_eq!(fs::read_dir(sandbox::scratch()).unwrap().count(), 0);
    });
}

#[test]
fn what_a_sandbox_leaves_is_not_outside() {
    let name = "shmwarden-test-left-inside";
    sandbox::run(|| {
        create_segment(User::Root, 0x5eed_1e55, 4096);
        create_shm_file(User::Root, name, 4096);
        // Outlives the body on purpose, and holds none of the pipes that something waits for.
        let mut sleep = Command::new("sleep");
        sleep.arg("98765").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        std::mem::forget(Process::spawn(&mut sleep));
    });
    assert!(segments().iter().all(|segment| segment.key != 0x5eed_1e55));
    assert!(shm_files().iter().all(|file| file.name != name));
    let left = processes::all().into_iter().map(processes::describe);
    assert_eq!(left.filter(|line| line.contains("sleep 98765")).collect::<Vec<_>>(), [""; 0]);
}

/// What the body leaves holds none of its pipes and has no parent any more.
#[test]
fn what_a_sandbox_with_the_machines_pids_leaves_is_ended_with_it() {
    sandbox::on_host(|| {
        assert_eq!(segments(), []);
        assert_eq!(shm_files(), []);
        let machine = fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(machine.to_str(), Some("pid:[4026531836]"));
        create_segment(User::Root, 0x5eed_1e56, 4096);
        let mut shell = Command::new("sh");
        shell.args(["-c", "setsid sleep 76543 >/dev/null 2>&1 </dev/null & echo $!"]);
        let mut parent = Process::spawn(shell.stdout(Stdio::piped()));
        let orphan: i32 = first_line(&mut parent).parse().unwrap();
        parent.wait(SOON);
        wait_until("it runs", SOON, || processes::describe(orphan).contains("sleep 76543"));
    });
    assert!(segments().iter().all(|segment| segment.key != 0x5eed_1e56));
    let left = processes::all().into_iter().map(processes::describe);
    assert_eq!(left.filter(|line| line.contains("sleep 76543")).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_body_with_the_machines_pids_that_hangs_is_ended_with_all_it_started() {
    let outcome = std::panic::catch_unwind(|| {
        sandbox::on_host_within(Duration::from_secs(2), || {
            let mut command = Command::new("setsid");
            Process::spawn(command.args(["sleep", "65432"])).wait(Duration::from_secs(60));
        });
    });
    if let Ok(()) = outcome {
        return; // skipped, where the machine's pids are not to be had
    }
    let text = *outcome.expect_err("a failure").downcast::<String>().unwrap();
    assert!(text.contains("sleep 65432"), "it says what was running: {text}");
    let left = processes::all().into_iter().map(processes::describe);
    assert_eq!(left.filter(|line| line.contains("sleep 65432")).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_orphan_is_reaped() {
    sandbox::run(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!"]).stderr(Stdio::null());
        // Its output is read to the first line only: the orphan keeps the pipe open.
        let mut parent = Process::spawn(shell.stdout(Stdio::piped()));
        let orphan = first_line(&mut parent).parse().unwrap();
        parent.wait(SOON);
        assert_eq!(processes::parent(orphan), Some(1));
        processes::kill(orphan, Signal::SIGKILL);
        wait_until("the orphan is no zombie", SOON, || processes::state(orphan).is_none());
    });
}

#[test]
fn everything_in_a_sandbox_can_be_killed_at_once() {
    sandbox::run(|| {
        let mut command = Command::new("sh");
        let mut shell = Process::spawn(command.args(["-c", "sleep 1000 & wait"]));
        wait_until("both run", SOON, || processes::descendants(shell.pid()).len() == 1);
        processes::kill_everything();
        shell.wait(SOON);
        wait_until("the rest is gone", SOON, || processes::all() == [1, processes_own_pid()]);
    });
}

#[test]
fn default_signals_are_what_a_terminal_would_give() {
    sandbox::run(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        let sigpipe = 1 << (Signal::SIGPIPE as u32 - 1); // Rust's runtime; Command takes it back
        let standard = u64::from(u32::MAX >> 1); // 32 and 33 are glibc's
        assert_eq!(ignored & standard & !sigpipe, 0, "signals ignored by inheritance");
    });
}

#[test]
fn a_body_that_fails_fails_the_test() {
    let outcome = std::panic::catch_unwind(|| sandbox::run(|| panic!("on purpose")));
    // Outside, the panic that reports it; inside, the one above, which must get out of there.
    let report = outcome.expect_err("a failure");
    if let Some(text) = report.downcast_ref::<String>() {
        assert!(text.contains("on purpose"), "{text}");
    } else {
        std::panic::resume_unwind(report);
    }
}

#[test]
fn a_body_that_hangs_is_ended_with_all_it_started() {
    let began = Instant::now();
    let outcome = std::panic::catch_unwind(|| {
        sandbox::run_within(Duration::from_secs(2), || {
            let mut command = Command::new("sleep");
            Process::spawn(command.arg("87654")).wait(Duration::from_secs(60));
        });
    });
    let text = *outcome.expect_err("a failure").downcast::<String>().unwrap();
    assert!(text.contains("sleep 87654"), "it says what was running: {text}");
    assert!(began.elapsed() < Duration::from_secs(20));
    let left = processes::all().into_iter().map(processes::describe);
    assert_eq!(left.filter(|line| line.contains("sleep 87654")).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_skip_unwinds_with_its_reason() {
    let outcome = std::panic::catch_unwind(|| skip("needs a machine of another kind"));
    let payload = outcome.expect_err("unwinds");
    let reason = crate::support::skip::reason_in(payload.as_ref());
    assert_eq!(reason, Some("needs a machine of another kind"));
}

#[test]
fn containers_have_their_own_objects_and_pids() {
    sandbox::run(|| {
        let outside = create_segment(User::Root, KEY_FAMILY, 4096);
        create_shm_file(User::Root, "outside", 4096);
        let one = Container::new(&[Own::Ipc, Own::Pids, Own::DevShm]);
        let two = Container::new(&[Own::Ipc, Own::Pids]);
        assert_eq!(segments_of(one.first_process()), []);
        assert_eq!(segments_of(two.first_process()), []);
        assert_eq!(segments()[0].id, outside);
        assert_eq!(text_in(&one, "ls /dev/shm"), "");
        assert_eq!(text_in(&two, "ls /dev/shm"), "outside\n");
        assert_eq!(text_in(&one, "readlink /proc/1/exe | grep -c sh"), "1\n");
        let mut inside = Process::spawn(one.command(User::Server, "sleep").arg("1000"));
        wait_until("it runs", SOON, || processes::descendants(inside.pid()).len() == 1);
        drop(one);
        inside.wait(SOON);
    });
}

#[test]
fn a_container_reaps_orphans() {
    sandbox::run(|| {
        let pod = Container::new(&[Own::Pids]);
        text_in(&pod, "sh -c 'sleep 0.1 >/dev/null 2>&1 &'");
        let first = pod.first_process();
        let count = |pid: &i32| processes::describe(*pid).contains("sleep 1000");
        wait_until("only its own child is left", SOON, || {
            let below = processes::descendants(first);
            below.len() == 1 && below.iter().all(count)
        });
    });
}

fn text_in(container: &Container, script: &str) -> String {
    let mut command = container.command(User::Root, "sh");
    let output = command.args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn first_line(process: &mut Process) -> String {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn processes_own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}
