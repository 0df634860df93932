//! One failing system call (a table that is full, no memory, no right, a read error) while `sweep`
//! or `run` looks: nobody has died by that. Everything in these ledgers is in use, and nothing may
//! go, whatever call fails; when its user is dead, all of it goes.
//!
//! Each call of a look counts: its name and which of that name. In a usual run all those about the
//! processes in question are tried and some of the others; `SHMWARDEN_TEST_ALL_FAULTS=1` tries all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes, state};
use crate::support::cluster::Cluster;
use crate::support::objects::{segment, segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::{holders, warden};

/// Faults that are tried of a scene, where not all are asked for.
const SOME: usize = 10;
/// How long a scene may take.
const LONG: Duration = Duration::from_secs(1800);

/// What each call may fail with. What ends a look at once is not listed, nor what cannot fail.
const ERRORS: [(&str, &[&str]); 16] = [
    ("openat", &["ENFILE", "ENOMEM", "EACCES"]),
    ("read", &["EIO", "ENOMEM", "ESRCH"]),
    ("pread64", &["EIO"]),
    ("getdents64", &["EIO", "ENOMEM"]),
    ("statx", &["ENOMEM", "EACCES"]),
    ("newfstatat", &["ENOMEM"]),
    ("readlink", &["ENOMEM", "EACCES"]),
    ("readlinkat", &["ENOMEM"]),
    ("pidfd_open", &["EMFILE", "ENOMEM"]),
    ("poll", &["ENOMEM", "EINTR"]),
    ("shmctl", &["EPERM", "ENOSYS"]),
    ("semctl", &["EPERM", "EACCES"]),
    ("msgctl", &["EPERM"]),
    ("ioctl", &["ENOTTY"]),
    ("fstatfs", &["EIO"]),
    ("kill", &["EPERM"]),
];

/// A call that is to fail.
#[derive(Debug, Clone)]
struct Point {
    name: String,
    nth: usize,
    error: &'static str,
    line: String,
}

impl Point {
    /// Runs a command with this fault; no other call is held up.
    fn given_to(&self, command: &Command) -> warden::Answer {
        let only = format!("trace={}", self.name);
        let fault = format!("inject={}:error={}:when={}", self.name, self.error, self.nth);
        let options = ["--seccomp-bpf", "-o", "/dev/null", "-e", &only, "-e", &fault];
        traced(&options, command)
    }
}

/// `strace OPTIONS COMMAND`, run to its end: its standard output and status.
fn traced(options: &[&str], command: &Command) -> warden::Answer {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y"]).args(options).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    warden::Answer::of(&mut strace)
}

/// Every fault that a command's calls can be given.
fn points(command: &Command) -> Vec<Point> {
    let trace = sandbox::scratch().join("trace");
    traced(&["-o", trace.to_str().unwrap()], command);
    let text = fs::read(&trace).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let Some((name, _)) = line.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = seen.entry(name.to_owned()).or_default();
        *nth += 1;
        let errors = ERRORS.iter().find(|(known, _)| *known == name);
        all.extend(errors.iter().flat_map(|(_, errors)| errors.iter()).map(|error| Point {
            name: name.to_owned(),
            nth: *nth,
            error,
            line: line.to_owned(),
        }));
    }
    assert!(all.len() > 100, "a look makes many calls");
    all
}

/// All of them, or those about these processes and some of the others.
fn chosen(all: Vec<Point>, pids: &[i32]) -> Vec<Point> {
    if std::env::var_os("SHMWARDEN_TEST_ALL_FAULTS").is_some() {
        return all;
    }
    let about = |point: &Point| {
        let of = |pid: &i32| point.line.contains(&format!("/proc/{pid}/"));
        pids.iter().any(of) || point.name == "getdents64"
    };
    let (mut about, others): (Vec<Point>, Vec<Point>) = all.into_iter().partition(about);
    let every = |points: Vec<Point>, most: usize| {
        let step = points.len().div_ceil(most).max(1);
        points.into_iter().step_by(step).collect::<Vec<_>>()
    };
    about = every(about, SOME);
    about.extend(every(others, SOME / 2));
    about
}

/// Something in use: by whom, and how to tell that it is there.
struct Scene {
    instance: Instance,
    saved: PathBuf,
    pids: Vec<i32>,
    there: Box<dyn Fn() -> bool>,
}

impl Scene {
    fn new(instance: Instance, pids: Vec<i32>, there: impl Fn() -> bool + 'static) -> Self {
        let saved = sandbox::scratch().join("saved.ledger");
        fs::copy(instance.ledger(), &saved).unwrap();
        Self { instance, saved, pids, there: Box::new(there) }
    }

    fn sweep(&self) -> Command {
        let mut command = Command::new(warden::binary());
        command.args(["sweep", "--include-clean", self.instance.path()]);
        command
    }

    /// The ledger as it was, in the same file.
    fn restore(&self) {
        fs::write(self.instance.ledger(), fs::read(&self.saved).unwrap()).unwrap();
    }

    /// Fails where a fault makes something go; gives the number of faults.
    fn nothing_goes(&self) {
        let all = points(&self.sweep());
        assert!((self.there)(), "without a fault");
        let (calls, chosen) = (all.len(), chosen(all, &self.pids));
        for point in &chosen {
            self.restore();
            let answer = point.given_to(&self.sweep());
            assert!((self.there)(), "{point:?}: {answer:?}");
            assert!(!answer.stderr.contains("panicked"), "{point:?}: {answer:?}");
        }
        self.restore();
        println!("{} of {calls} faults were tried", chosen.len());
    }
}

/// Kills the launcher of a server, and it alone.
fn kill_launcher(server: &mut Asked) {
    server.outermost().signal(Signal::SIGKILL);
    server.outermost().wait(SOON);
}

/// A segment that is not attached, and where they are wanted a set that it used last and a file
/// that it maps, all made by whoever is asked.
const MAKE: &str = "sub make { my $i = shmget(0, 4096, 01600); defined $i or die;
    my $s = newset(0, 1); set($s, 0, 1); op($s, 0, -1); op($s, 0, 1);
    open(my $f, '+>', '/dev/shm/mine') or die; chmod 0600, '/dev/shm/mine'; truncate($f, 4096);
    our $kept = $f; $i }";

fn one_line(code: &str) -> String {
    code.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Maps the file from Perl, by the system call's number.
fn map_mine() -> String {
    format!("{} syscall($MMAP, 0, 4096, 1, 1, fileno($kept), 0) != -1 or die;", holders::NUMBERS)
}

fn set_there() -> bool {
    fs::read_to_string("/proc/sysvipc/sem").unwrap().lines().count() == 2
}

fn file_there() -> bool {
    shm_files().iter().any(|file| file.name == "mine")
}

#[test]
fn no_failing_call_makes_a_sweep_take_an_idle_segment_of_a_living_server() {
    sandbox::run_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let id = server.ask("my $i = shmget(0, 4096, 01600); $i + 0");
        instance.wait_recorded(1);
        kill_launcher(&mut server);
        let pid = server.pid();
        let scene = Scene::new(instance, vec![pid], move || segment(id).is_some());
        scene.nothing_goes();
        processes::kill(pid, Signal::SIGKILL);
        processes::wait_end(pid, SOON);
        assert_eq!(
            outcomes(&scene.instance.sweep_as(User::Root, &["--include-clean"])),
            ["removed dead"]
        );
    });
}

#[test]
fn no_failing_call_makes_a_sweep_take_anything_of_a_living_server() {
    sandbox::on_host_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&one_line(&format!("{MAKE} make(); our $kept; {} 0", map_mine())));
        instance.wait_recorded(3);
        kill_launcher(&mut server);
        let pid = server.pid();
        let there = || segments().len() == 1 && set_there() && file_there();
        assert!(there());
        let scene = Scene::new(instance, vec![pid], there);
        scene.nothing_goes();
        processes::kill(pid, Signal::SIGKILL);
        processes::wait_end(pid, SOON);
        assert_eq!(
            outcomes(&scene.instance.sweep_as(User::Root, &["--include-clean"])).first().unwrap(),
            "removed dead"
        );
        assert!(segments().is_empty() && !file_there());
    });
}

#[test]
fn no_failing_call_makes_a_sweep_take_what_a_worker_of_a_dead_server_uses() {
    sandbox::on_host_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let make = one_line(&format!("{MAKE} our $kept; child(sub {{ require POSIX; "));
        let make = format!("{make} POSIX::setsid(); make(); {} }})", map_mine());
        let worker = server.ask(&make);
        instance.wait_recorded(3);
        kill_launcher(&mut server);
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::wait_end(server.pid(), SOON);
        let there = || segments().len() == 1 && set_there() && file_there();
        assert!(there() && processes::lives(worker));
        let scene = Scene::new(instance, vec![worker, server.pid()], there);
        scene.nothing_goes();
        processes::kill(worker, Signal::SIGKILL);
        processes::wait_end(worker, SOON);
        assert_eq!(
            outcomes(&scene.instance.sweep_as(User::Root, &["--include-clean"])).first().unwrap(),
            "removed dead"
        );
        assert!(segments().is_empty() && !file_there());
    });
}

#[test]
fn no_failing_call_makes_a_sweep_take_a_file_that_somebody_else_maps() {
    sandbox::on_host_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&one_line(&format!("{MAKE} make(); our $kept; {} 0", map_mine())));
        instance.wait_recorded(3);
        let mut stranger = holders::map(User::Server, "mine");
        kill_launcher(&mut server);
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::wait_end(server.pid(), SOON);
        let pids = vec![stranger.pid(), server.pid()];
        let scene = Scene::new(instance, pids, file_there);
        scene.nothing_goes();
        stranger.signal(Signal::SIGKILL);
        stranger.wait(SOON);
        scene.instance.sweep_as(User::Root, &["--include-clean"]).expect_code(0);
        assert!(!file_there());
    });
}

/// A PostgreSQL whose launcher was killed, with its ledger.
fn without_launcher() -> (Cluster, Instance) {
    let instance = Instance::new(User::Server);
    let mut cluster = Cluster::new(15, &[]);
    cluster.start_under(&instance.prefix(&["--linger", "0s"]));
    instance.wait_recorded(2);
    cluster.server().signal(Signal::SIGKILL);
    cluster.server().wait(SOON);
    (cluster, instance)
}

fn all_of_it() -> (usize, usize) {
    (segments().len(), shm_files().len())
}

/// Kills these, and sweeps what is left then.
fn positive_control(scene: &Scene, users: &[i32]) {
    users.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
    users.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    scene.instance.sweep_as(User::Root, &["--wait", "10s"]).expect_code(0);
    assert_eq!(all_of_it(), (0, 0));
}

#[test]
fn no_failing_call_makes_a_sweep_take_anything_of_a_living_postgresql() {
    sandbox::run_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let (cluster, instance) = without_launcher();
        let before = all_of_it();
        assert!(before.0 >= 1 && before.1 >= 1);
        let there = move || all_of_it() == before;
        let scene = Scene::new(instance, vec![cluster.postmaster_pid()], there);
        scene.nothing_goes();
        assert_eq!(cluster.sql("select 1"), "1");
        positive_control(&scene, &cluster.processes());
    });
}

#[test]
fn no_failing_call_makes_a_sweep_take_what_a_backend_of_a_dead_postgresql_uses() {
    sandbox::run_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let (cluster, instance) = without_launcher();
        let backend = cluster.cpu_bound_query_in_background(900);
        let all = cluster.processes();
        processes::kill(cluster.postmaster_pid(), Signal::SIGKILL);
        processes::wait_end(cluster.postmaster_pid(), SOON);
        let before = all_of_it();
        let there = move || all_of_it() == before;
        let scene = Scene::new(instance, vec![backend.pid()], there);
        scene.nothing_goes();
        assert!(processes::lives(backend.pid()));
        positive_control(&scene, &all);
    });
}

#[test]
fn no_failing_call_before_the_start_makes_a_second_server_run_beside_a_living_one() {
    sandbox::run_within(LONG, || {
        skip_without_strace();
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask("my $i = shmget(0, 4096, 01600); $i + 0");
        instance.wait_recorded(1);
        kill_launcher(&mut server);
        let mark = instance.directory().join("started");
        let second = second_start(&instance, &mark);
        let all = points(&second);
        assert!(!mark.exists(), "without a fault");
        let pid = server.pid();
        let scene = Scene::new(instance, vec![pid], || true);
        let (calls, chosen) = (all.len(), chosen(all, &scene.pids));
        for point in &chosen {
            scene.restore();
            let answer = point.given_to(&second);
            assert!(!mark.exists(), "{point:?}: {answer:?}");
        }
        println!("{} of {calls} faults were tried", chosen.len());
        scene.restore();
        assert_eq!(state(&scene.instance.sweep_as(User::Root, &["--include-clean"])), "live");
        processes::kill(pid, Signal::SIGKILL);
        processes::wait_end(pid, SOON);
        let answer = traced(&["-o", "/dev/null"], &second);
        assert!(mark.exists(), "its server is dead: {answer:?}");
    });
}

fn second_start(instance: &Instance, mark: &Path) -> Command {
    let run = ["run", "--engine", "generic", "--ledger", instance.path(), "--", "touch"];
    let mut command = warden::command(User::Server, &run);
    command.arg(mark);
    command
}
