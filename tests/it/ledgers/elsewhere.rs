//! Ledgers that were written elsewhere: in another boot, another IPC namespace, on another
//! `/dev/shm`, in a container whose namespaces' inode numbers were given out again.

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes, state};
use crate::scene::ledger_text::edit_place;
use crate::scene::stand_in::{self, StandIn};
use crate::support::cluster::Cluster;
use crate::support::container::{Container, Own};
use crate::support::objects::{Snapshot, segments, segments_of, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

#[test]
fn a_ledger_of_another_boot_is_void() {
    sandbox::run(|| {
        let crash = Crash::of_a_server(&[]);
        edit_place(crash.instance.ledger(), |place| {
            place.boot = "00000000-0000-4000-8000-000000000000".to_owned();
        });
        let bytes = crash.instance.bytes();
        let sweep = crash.instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(state(&sweep), "void");
        let words = crash.instance.sweep_in_words().expect_code(0);
        assert!(words.stdout.contains("void: it was written in another boot"), "{words:?}");
        assert_eq!(crash.left.missing(), [""; 0]);
        assert!(crash.instance.bytes() == bytes, "it was written to");
    });
}

#[test]
fn a_run_on_a_ledger_of_another_boot_removes_nothing_of_it() {
    sandbox::run(|| {
        let crash = Crash::of_a_server(&[]);
        edit_place(crash.instance.ledger(), |place| {
            place.boot = "00000000-0000-4000-8000-000000000000".to_owned();
        });
        Answer::of(&mut crash.instance.run(&[], &["true"])).expect_code(0);
        assert_eq!(crash.left.missing(), [""; 0]);
        let sweep = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&sweep), "settled");
        assert_eq!(crash.left.missing(), [""; 0]);
    });
}

#[test]
fn from_another_ipc_namespace_segments_are_void() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let crash = Crash::of_a_stand_in();
        let container = Container::new(&[Own::Ipc, Own::DevShm]);
        let twin = twin_in(&container);
        let bytes = crash.instance.bytes();
        let sweep = crash.sweep_in(&container).expect_code(0);
        assert_eq!(state(&sweep), "void");
        assert_eq!(outcomes(&sweep), ["kept other-ipc-namespace"]);
        assert_eq!(crash.left.missing(), [""; 0]);
        assert!(crash.instance.bytes() == bytes, "it was written to");
        assert!(segments_of(container.first_process()).iter().any(|s| s.id == twin));

        // It has a key, and nobody saw its server end.
        crash.instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// The second namespace shows the same `/dev/shm`: what lies there is as dead as it is at home.
#[test]
fn from_another_ipc_namespace_files_go_where_the_mount_is_the_same() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let crash = Crash::of_a_server(&[]);
        let segments_left = segments();
        assert!(shm_files().len() >= 2 && !segments_left.is_empty());
        let container = Container::new(&[Own::Ipc]);
        let sweep = crash.sweep_in(&container).expect_code(0);
        let outcomes = outcomes(&sweep);
        assert!(outcomes.contains(&"kept other-ipc-namespace".to_owned()), "{outcomes:?}");
        assert_eq!(segments(), segments_left);
        assert_eq!(shm_files(), []);
        crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn another_dev_shm_hides_files_and_keeps_what_leads_to_them() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let crash = Crash::of_a_server(&[]);
        let container = Container::new(&[Own::DevShm]);
        let sweep = crash.sweep_in(&container).expect_code(0);
        let outcomes = outcomes(&sweep);
        assert!(outcomes.contains(&"kept other-mount".to_owned()), "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.starts_with("kept ")), "{outcomes:?}");
        assert_eq!(crash.left.missing(), [""; 0]);
        crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn from_another_ipc_namespace_and_dev_shm_all_is_void() {
    sandbox::run(|| {
        let crash = Crash::of_a_server(&[]);
        let container = Container::new(&[Own::Ipc, Own::DevShm]);
        let bytes = crash.instance.bytes();
        let sweep = crash.sweep_in(&container).expect_code(0);
        assert_eq!(state(&sweep), "void", "{sweep:?}");
        assert_eq!(crash.left.missing(), [""; 0]);
        assert!(crash.instance.bytes() == bytes, "it was written to");
    });
}

/// The second container has the first one's namespace inodes, ids, keys, users and pids.
#[test]
fn a_container_is_not_mistaken_for_the_one_before_it() {
    sandbox::run(|| {
        let own = [Own::Ipc, Own::Pids, Own::DevShm];
        let instance = Instance::new(User::Server);
        let first = Container::new(&own);
        let inodes = inodes_of(&first);
        let server = StandIn::spawn(run_in(&first, &instance));
        instance.wait_recorded(1);
        server.kill_all();
        let dead = segments_of(first.first_process());
        drop(first);
        let (second, recycled) = recycle(&own, &inodes);
        let twin = twin_in(&second);
        let now = segments_of(second.first_process());
        assert_eq!((now[0].id, now[0].key, now[0].uid), (dead[0].id, dead[0].key, dead[0].uid));
        let bytes = instance.bytes();
        let sweep = sweep_in(&second, &instance);
        assert_eq!(outcomes(&sweep), ["kept other-ipc-namespace"], "recycled: {recycled}");
        assert!(segments_of(second.first_process()).iter().any(|s| s.id == twin), "{sweep:?}");
        assert!(instance.bytes() == bytes, "it was written to");
    });
}

/// What launcher and server left that were killed together: the ledger says nothing of the end.
struct Crash {
    instance: Instance,
    left: Snapshot,
}

impl Crash {
    fn of_a_server(settings: &[(&str, &str)]) -> Self {
        let instance = Instance::new(User::Server);
        let mut cluster = Cluster::new(15, settings);
        cluster.start_under(&instance.prefix(&[]));
        let mut all = cluster.processes();
        all.insert(0, cluster.server().pid());
        all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGSTOP));
        all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
        cluster.wait_end();
        all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        wait_until("all is detached", SOON, || segments().iter().all(|s| s.nattch == 0));
        let left = Snapshot::take();
        Crash { instance, left }
    }

    fn of_a_stand_in() -> Self {
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        server.kill_all();
        let left = Snapshot::take();
        Crash { instance, left }
    }

    fn sweep_in(&self, container: &Container) -> Answer {
        sweep_in(container, &self.instance)
    }
}

const KEY: u32 = 0x00f4_2401;

fn sweep_in(container: &Container, instance: &Instance) -> Answer {
    let mut sweep = container.command(User::Server, warden::binary());
    Answer::of(sweep.args(["sweep", "--json", instance.path()]))
}

fn run_in(container: &Container, instance: &Instance) -> std::process::Command {
    let words = stand_in::words(KEY);
    let mut command = container.command(User::Server, warden::binary());
    command.args(["run", "--ledger", instance.path(), "--"]).args(words);
    command
}

/// Somebody else's segment in a container, which lives on unattached: its id.
fn twin_in(container: &Container) -> i32 {
    let mut command = container.command(User::Server, "perl");
    command.args(&stand_in::words(KEY)[1..]);
    let mut twin = StandIn::spawn(command);
    let id = twin.segment();
    processes::kill(twin.pid(), Signal::SIGKILL);
    twin.outermost().wait(SOON);
    id
}

/// Inode numbers of a container's IPC and PID namespaces.
fn inodes_of(container: &Container) -> [String; 2] {
    ["ipc", "pid"].map(|kind| {
        let link = format!("/proc/{}/ns/{kind}", container.first_process());
        let target = std::fs::read_link(link).unwrap();
        target.to_str().unwrap().to_owned()
    })
}

/// A container with these inode numbers, if the kernel gives them out again within some tries;
/// else any. Namespaces go a moment after their last process.
fn recycle(own: &[Own], inodes: &[String; 2]) -> (Container, bool) {
    for _ in 0..40 {
        let container = Container::new(own);
        if inodes_of(&container) == *inodes {
            return (container, true);
        }
    }
    (Container::new(own), false)
}
