//! PID 1 of a sandbox, or a subreaper in the machine's PID namespace: mounts what is fresh, starts
//! the body, reaps whatever ends, ends with it.

use std::env::current_exe;
use std::path::Path;
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{self, MsFlags};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{Pids, SCRATCH, STAGE, server_uid};
use crate::support::processes::{self, Process};
use crate::support::waiting::happens_within;

/// Runs this test's body as a child and ends with its status.
pub fn run(test: &str) -> ! {
    mount("/dev/shm", "mode=1777");
    mount(&std::env::var(SCRATCH).expect("the scratch directory"), "mode=0755");
    hide_var_lib();
    add_account();
    let mut body = Command::new(current_exe().expect("/proc/self/exe"));
    body.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(STAGE, "body");
    if Pids::here() == Pids::Machine {
        run_on_host(body);
    }
    let body = Process::spawn(&mut body); // never dropped: that would kill it
    let body_pid = body.pid();
    loop {
        match waitpid(None, None) {
            Ok(status) => {
                if let Some(code) = exit_with(body_pid, status) {
                    exit(code)
                }
            }
            Err(errno) => panic!("the body is lost: {errno}"),
        }
    }
}

/// The status to end with, where it is the body that has ended.
fn exit_with(body: i32, ended: WaitStatus) -> Option<i32> {
    match ended {
        WaitStatus::Exited(pid, code) if pid.as_raw() == body => Some(code),
        WaitStatus::Signaled(pid, signal, _) if pid.as_raw() == body => Some(128 + signal as i32),
        _ => None,
    }
}

/// No kernel ends here what the body leaves: all that descends from this process is killed, and
/// reaped, at the end, be that asked for by SIGTERM.
fn run_on_host(mut body: Command) -> ! {
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&asked)).unwrap();
    nix::sys::prctl::set_child_subreaper(true).expect("a subreaper");
    let body = Process::spawn(&mut body); // never dropped
    let body_pid = body.pid();
    let code = loop {
        if asked.load(Ordering::Relaxed) {
            break 1;
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(5)),
            Ok(status) => {
                if let Some(code) = exit_with(body_pid, status) {
                    break code;
                }
            }
            Err(errno) => panic!("the body is lost: {errno}"),
        }
    };
    let ended = happens_within(Duration::from_secs(15), || {
        let own = i32::try_from(std::process::id()).unwrap();
        let left = processes::descendants(own);
        left.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|s| s != WaitStatus::StillAlive) {
        }
        waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD)
    });
    assert!(ended, "what the test left could not be ended");
    exit(code)
}

/// `/var/lib` holds the program's default place for ledgers, which must be empty and not the
/// machine's. Left alone where the tests themselves live below it, as on some build servers.
fn hide_var_lib() {
    let exe = current_exe().expect("/proc/self/exe");
    if !exe.starts_with("/var/lib") {
        mount("/var/lib", "mode=0755");
    }
}

/// Servers of a uid of their own have an account, as some insist on.
fn add_account() {
    let Some(uid) = server_uid() else { return };
    let scratch = std::env::var(SCRATCH).expect("the scratch directory");
    let accounts = Path::new(&scratch).join("passwd");
    let mut text = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    text.push_str(&format!("shmserver:x:{uid}:{uid}::/var/lib/shmserver:/bin/sh\n"));
    std::fs::write(&accounts, text).unwrap();
    let bound =
        mount::mount(Some(&accounts), "/etc/passwd", None::<&str>, MsFlags::MS_BIND, None::<&str>);
    bound.expect("no account of its own");
}

fn mount(target: &str, options: &str) {
    assert!(Path::new(target).is_dir(), "{target} is no directory");
    let mounted = mount::mount(
        Some("shmwarden-test"),
        target,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    );
    mounted.unwrap_or_else(|errno| panic!("mounting on {target}: {errno}"));
}
