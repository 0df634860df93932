//! PID 1 of a sandbox: mounts what is fresh, starts the body, reaps whatever ends, ends with it.

use std::env::current_exe;
use std::path::Path;
use std::process::{Command, exit};

use nix::sys::wait::{WaitStatus, waitpid};

use super::{SCRATCH, STAGE};
use crate::support::processes::Process;

/// Runs this test's body as a child and ends with its status.
pub fn run(test: &str) -> ! {
    mount("/dev/shm", "mode=1777");
    mount(&std::env::var(SCRATCH).expect("the scratch directory"), "mode=0755");
    hide_var_lib();
    let mut body = Command::new(current_exe().expect("/proc/self/exe"));
    body.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(STAGE, "body");
    let body = Process::spawn(&mut body); // never dropped: that would kill it
    let body_pid = body.pid();
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == body_pid => exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == body_pid => {
                exit(128 + signal as i32)
            }
            Ok(_) => {}
            Err(errno) => panic!("the body is lost: {errno}"),
        }
    }
}

/// `/var/lib` holds the program's default place for ledgers, which must be empty and not the
/// machine's. Left alone where the tests themselves live below it, as on some build servers.
fn hide_var_lib() {
    let exe = current_exe().expect("/proc/self/exe");
    if !exe.starts_with("/var/lib") {
        mount("/var/lib", "mode=0755");
    }
}

fn mount(target: &str, options: &str) {
    assert!(Path::new(target).is_dir(), "{target} is no directory");
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "shmwarden-test", target])
        .status()
        .expect("mount(8) starts");
    assert!(status.success(), "mounting on {target}: {status}");
}
