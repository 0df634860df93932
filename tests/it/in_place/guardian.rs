//! The guardian on kernels that tell it less, and where its log lines go.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::{guardian_of, last_run, wait_guardian};
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::stand_in::{self, StandIn};
use crate::support::objects::Snapshot;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;

#[test]
fn before_linux_5_3_the_end_is_looked_for() {
    sandbox::run(|| without("pidfd_open", "ENOSYS"));
}

#[test]
fn before_linux_6_15_how_it_ended_is_unknown() {
    sandbox::run(|| without("ioctl", "ENOTTY"));
}

/// A system call that is not there, for the start and for the guardian.
fn without(call: &str, errno: &str) {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("there is no strace here");
    }
    let before = Snapshot::take();
    let instance = Instance::new(User::Server);
    let run = instance.run(&["--in-place"], &stand_in::words(KEY));
    let file = instance.directory().join("strace");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-e", &format!("trace={call}"), "-o"]).arg(&file);
    command.args(["-e", &format!("inject={call}:error={errno}")]);
    command.arg(run.get_program()).args(run.get_args());
    let mut server = StandIn::spawn(command);
    server.create_another();
    instance.wait_recorded(2);
    processes::kill(server.pid(), Signal::SIGKILL);
    server.outermost().wait(SOON);
    wait_guardian(&instance);
    assert_eq!(before.left_over(), [""; 0]);
    assert_eq!(last_run(&instance)["end"], "unknown");
    let traced = std::fs::read_to_string(&file).unwrap();
    assert!(traced.contains("(INJECTED)"), "{traced}");
}

#[test]
fn a_file_gets_the_lines_of_the_guardian() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let log = instance.directory().join("log");
        let mut run = instance.run(&["--in-place"], &stand_in::words(KEY));
        run.stderr(std::fs::File::create(&log).unwrap());
        kill_and_wait(&instance, StandIn::spawn(run));
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.starts_with("shmwarden: removed "), "{text}");
    });
}

/// What reads a pipe must not wait for the guardian, so its lines go elsewhere.
#[test]
fn the_systems_log_gets_the_lines_of_a_guardian_whose_stderr_is_a_pipe() {
    sandbox::run(|| {
        need_root("to have a /dev of one's own");
        let instance = Instance::new(User::Server);
        let system_log = own_system_log();
        let mut run = instance.run(&["--in-place"], &stand_in::words(KEY));
        run.stderr(Stdio::piped());
        kill_and_wait(&instance, StandIn::spawn(run));
        let mut bytes = [0; 4096];
        let count = system_log.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..count]);
        assert!(line.starts_with("shmwarden: removed "), "{line}");
    });
}

fn kill_and_wait(instance: &Instance, mut server: StandIn) {
    instance.wait_recorded(1);
    assert!(processes::lives(guardian_of(instance)));
    processes::kill(server.pid(), Signal::SIGKILL);
    server.outermost().wait(SOON);
    wait_guardian(instance);
}

/// A `/dev/log` that the test reads, on a `/dev` of the sandbox's own.
fn own_system_log() -> UnixDatagram {
    let directory = sandbox::scratch().join("dev");
    let script = r#"
        mkdir "$1" && mount -t tmpfs shmwarden-test "$1" && mkdir "$1/shm" && touch "$1/null" &&
        mount --bind /dev/null "$1/null" && mount --bind /dev/shm "$1/shm" &&
        mount --rbind "$1" /dev"#;
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(directory).status().unwrap();
    assert!(status.success());
    let socket = UnixDatagram::bind("/dev/log").unwrap();
    std::fs::set_permissions("/dev/log", PermissionsExt::from_mode(0o666)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}
