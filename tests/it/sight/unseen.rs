//! Who cannot be seen: other containers of one IPC namespace or one `/dev/shm`, a `/proc` of other
//! pids, another time namespace, a creator that `/proc` hides. Each counts as alive; when it is
//! dead, and that can be seen, what it used goes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::leaks::sets::KEY;
use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, SOON, need_root, outcomes, state};
use crate::support::calls::is_set;
use crate::support::container::{Container, Own};
use crate::support::holders::NUMBERS;
use crate::support::objects::{segment, shm_files};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// A process beside a container: in its IPC namespace and mounts, with pids of its own, as
/// `docker run --ipc=container:NAME` makes it; and the number that its Perl prints.
fn beside(container: &Container, user: User, code: &str) -> (Process, i32) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", container.first_process()));
    command.args(["--ipc", "--mount", "--", "unshare", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--"]).args(user.prefix()).args(["perl", "-e"]);
    command.arg(format!("$| = 1; {NUMBERS} {code} sleep 1 while 1;"));
    let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, line.trim().parse().unwrap_or_else(|_| panic!("{line:?}")))
}

/// A generic server in a container.
fn server_in(container: &Container, instance: &Instance) -> Asked {
    let mut run = container.command(User::Server, warden::binary());
    run.args(["run", "--linger", "0s", "--ledger", instance.path(), "--"]);
    run.args(asked::words());
    Asked::spawn(run)
}

/// That the IPC and the PID namespace of a container were made by one call says nothing of who has
/// joined since.
#[test]
fn what_another_container_of_the_same_ipc_namespace_makes_and_uses_is_not_recorded() {
    sandbox::run(|| {
        need_root("to join a container");
        let instance = Instance::new(User::Server);
        let container = Container::new(&[Own::Ipc, Own::Pids]);
        let mut server = server_in(&container, &instance);
        server.make_set(KEY, 1);
        instance.wait_recorded(1);
        let code = format!(
            "my $id = semget({}, 2, 03600); defined $id or die; semctl($id, 0, 16, 1); \
             semop($id, pack('s!3', 0, -1, 0)); print $id + 0, \"\\n\";",
            KEY + 1
        );
        let (_other, foreign) = beside(&container, User::Root, &code);
        // The launcher looks at it, more than once.
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert_eq!(instance.count("object"), 1, "its own set alone");
        server.kill();
        let mut table = container.command(User::Root, "cat");
        let table = Answer::of(table.arg("/proc/sysvipc/sem")).stdout;
        let ids = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        assert!(ids.clone().any(|id| id == foreign.to_string()), "{table}");
    });
}

/// From the machine everybody is seen, the processes of containers as well.
#[test]
fn a_file_that_another_container_maps_stays() {
    let make = "open(our $kept, '+>', '/dev/shm/shared') or die; chmod 0600, '/dev/shm/shared'; \
                truncate($kept, 4096);";
    let map = "syscall($MMAP, 0, 4096, 1, 1, fileno($file), 0) != -1 or die;";
    let other = format!("open(my $file, '<', '/dev/shm/shared') or die; {map} print \"1\\n\";");
    let mine = format!("{NUMBERS} {make} {} 0", map.replace("$file", "$kept"));
    let there = |container: &Container| {
        let mut test = container.command(User::Root, "test");
        test.args(["-e", "/dev/shm/shared"]).status().unwrap().success()
    };
    sandbox::on_host(|| {
        need_root("to join a container");
        // Without pids of its own the container's launcher sees everybody on the machine.
        for own_pids in [true, false] {
            let all = [Own::Ipc, Own::DevShm, Own::Pids];
            let container = Container::new(if own_pids { &all } else { &all[..2] });
            let instance = Instance::new(User::Server);
            let mut server = server_in(&container, &instance);
            server.ask(&mine);
            instance.wait_recorded(1);
            let (mut user, _) = beside(&container, User::Server, &other);
            server.kill();
            assert!(there(&container), "it is in use");
            let sweep = || {
                let mut command = container.command(User::Server, warden::binary());
                outcomes(&Answer::of(command.args(["sweep", "--json", instance.path()])))
            };
            assert_eq!(sweep(), [if own_pids { "kept unseen" } else { "kept mapped" }]);
            let below = processes::descendants(user.pid());
            below.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
            below.iter().for_each(|&pid| processes::wait_end(pid, SOON));
            user.wait(SOON);
            assert_eq!(sweep(), [if own_pids { "kept unseen" } else { "removed dead" }]);
            assert_eq!(there(&container), own_pids);
        }
    });
}

/// The words that give a command pids of its own, and leave it the `/proc` of others.
const OTHER_PIDS: [&str; 4] = ["--pid", "--fork", "--kill-child", "--"];

fn under_the_wrong_proc(arguments: &[&str]) -> Answer {
    let mut command = Command::new("unshare");
    // Not as process 1, which has no parent that could be told of an end.
    command.args(OTHER_PIDS).args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.arg(warden::binary()).args(arguments);
    Answer::of(&mut command)
}

#[test]
fn under_a_proc_of_other_pids_every_command_says_so_and_run_promises_nothing() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = Asked::start(&instance, &[]);
        let data = instance.directory().to_str().unwrap().to_owned();
        let pid = server.pid().to_string();
        let adopted = format!("{data}/adopted.ledger");
        for arguments in [
            vec!["sweep", instance.path()],
            vec!["list"],
            vec!["who", "0"],
            vec!["adopt", "--yes", "--ledger", &adopted],
            vec!["doctor"],
            vec!["record", "--pid", &pid],
        ] {
            let answer = under_the_wrong_proc(&arguments).expect_code(69);
            assert!(answer.stderr.contains("mount -t proc"), "{arguments:?}: {answer:?}");
            let right = Answer::of(Command::new(warden::binary()).args(&arguments));
            assert_ne!(right.code(), 69, "{arguments:?}: {right:?}");
        }
        let ledger = format!("{data}/other.ledger");
        for way in [&["--ledger", &ledger][..], &["--in-place", "--ledger", &ledger]] {
            let run = |more: &[&str]| {
                let words = [&["run"], more, way, &["--", "echo", "started"]].concat();
                under_the_wrong_proc(&words)
            };
            let started = run(&[]).expect_code(0);
            assert_eq!(started.stdout, "started\n");
            assert!(started.stderr.contains("no clean-up is promised"), "{started:?}");
            let refused = run(&["--if-ledger-fails", "refuse"]).expect_code(125);
            assert_eq!(refused.stdout, "", "{refused:?}");
        }
    });
}

/// The boot clock of these is 5,000 seconds ahead.
fn ahead(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "5000", "--monotonic", "5000", "--fork", "--"]);
    command.arg(program);
    command
}

fn skip_without_time_namespaces() {
    if !ahead("true").status().is_ok_and(|status| status.success()) {
        skip("no time namespaces here");
    }
}

/// A start time is shown with the reader's offset.
#[test]
fn a_server_lives_in_whatever_time_namespace_it_is_looked_at() {
    sandbox::on_host(|| {
        skip_without_time_namespaces();
        let binary = warden::binary();
        let binary = binary.to_str().unwrap();
        for server_is_ahead in [false, true] {
            let instance = Instance::new(User::Root);
            let start = || match server_is_ahead {
                true => ahead(binary),
                false => Command::new(binary),
            };
            let look = || match server_is_ahead {
                true => Command::new(binary),
                false => ahead(binary),
            };
            let mut run = start();
            run.args(["run", "--ledger", instance.path(), "--"]).args(asked::words());
            let mut server = Asked::spawn(run);
            let id = server.ask("my $i = shmget(0, 4096, 01600); $i + 0");
            instance.wait_recorded(1);
            processes::kill(processes::parent(server.pid()).unwrap(), Signal::SIGKILL);
            server.outermost().wait(SOON);
            let sweep = || Answer::of(look().args(["sweep", "--json", instance.path()]));
            assert_eq!(state(&sweep()), "live", "{server_is_ahead}");
            let mut second = look();
            second.args(["run", "--ledger", instance.path(), "--", "echo", "second"]);
            let second = Answer::of(&mut second).expect_code(125);
            assert!(second.stdout.is_empty() && segment(id).is_some(), "{second:?}");
            processes::kill(server.pid(), Signal::SIGKILL);
            processes::wait_end(server.pid(), SOON);
            assert_eq!(outcomes(&sweep()), ["removed dead"], "{server_is_ahead}");
            assert!(segment(id).is_none());
        }
    });
}

/// Root that has become its user without executing anything is hidden from that user itself.
#[test]
fn a_creator_that_proc_hides_and_the_kernel_knows_keeps_its_segment() {
    sandbox::on_host(|| {
        crate::in_use::sets_hidden::hide_processes();
        let user = User::Server;
        let (uid, gid) = user.ids();
        let mut creator = Asked::stranger(User::Root);
        creator.ask(&format!("require POSIX; POSIX::setgid({gid}); POSIX::setuid({uid}); $> + 0"));
        let id = creator.ask("my $i = shmget(0x7001, 4096, 01600); $i + 0");
        let instance = Instance::new(user);
        let adopt = || {
            let id = id.to_string();
            let words = ["adopt", "--yes", "--min-age", "0s", "--ledger", instance.path(), &id];
            warden::answer(user, &words)
        };
        let seen = Command::new("setpriv")
            .args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()])
            .args(["test", "-e", &format!("/proc/{}", creator.pid())])
            .status();
        if seen.unwrap().success() {
            skip("/proc hides no process from its own user here");
        }
        let refused = adopt().expect_code(77);
        assert!(refused.stdout.contains("its creator"), "{refused:?}");
        let list = warden::answer(user, &["list", "--json"]).expect_code(0).json();
        assert_eq!(list["objects"][0]["reason_code"], "creator-lives", "{list}");
        let pid = creator.pid();
        processes::kill(pid, Signal::SIGKILL);
        creator.outermost().wait(SOON);
        adopt().expect_code(0);
        assert_eq!(outcomes(&instance.sweep(&[])), ["removed dead"]);
        assert!(segment(id).is_none() && shm_files().is_empty() && !is_set(0));
    });
}
