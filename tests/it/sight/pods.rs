//! PID namespaces that come and go around one ledger, as containers of a pod do: pids of the old
//! one mean nothing in the new one, and what cannot be seen counts as alive.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes, state};
use crate::scene::ledger_text::claimed_pid;
use crate::scene::stand_in::{self, StandIn};
use crate::support::cluster::Cluster;
use crate::support::container::{Container, Own};
use crate::support::holders::NUMBERS;
use crate::support::objects::{Snapshot, segment, segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x00f4_2401;

/// A server with a file that it and a child of it have mapped; tells a number as a stand-in does.
pub const MAPPER: &str = r#"
    $| = 1;
    open(my $file, '+>', '/dev/shm/mapped') or die "$!\n";
    print $file 'x' x 4096;
    close($file);
    open($file, '<', '/dev/shm/mapped') or die "$!\n";
    syscall($MMAP, 0, 4096, 1, 1, fileno($file), 0) != -1 or die "mmap: $!\n";
    close($file);
    if (fork == 0) { close STDOUT; close STDERR; select(undef, undef, undef, 0.05) while 1 }
    print "0\n";
    select(undef, undef, undef, 0.05) while 1;
"#;

#[test]
fn a_sweep_in_a_new_pid_namespace_knows_the_dead_servers_objects() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut server = Server::start(&[Own::Pids], &[]);
        let pid = claimed_pid(server.instance.ledger());
        server.end_container();
        let second = Container::new(&[Own::Pids]);
        let bystander = bystander_with_pid(&second, pid);
        let sweep = sweep_in(&second, &server.instance).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(segment(bystander).is_some(), "it bears the pid, and that proves nothing here");
        crate::support::objects::remove_segment(bystander);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_run_in_a_new_pid_namespace_clears_what_the_dead_server_left() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut server = Server::start(&[Own::Pids], &[]);
        let pid = claimed_pid(server.instance.ledger());
        let old = server.end_container();
        let second = Container::new(&[Own::Pids]);
        let bystander = bystander_with_pid(&second, pid);
        server.start_in(&second, &[]);
        assert!(!old.iter().any(|&id| segment(id).is_some()), "{}", server.cluster.log());
        processes::kill(server.launcher(), Signal::SIGINT);
        assert_eq!(server.cluster.wait_end().code(), Some(0), "{}", server.cluster.log());
        assert!(segment(bystander).is_some());
        crate::support::objects::remove_segment(bystander);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// Its main segment is in an IPC namespace that is not ours, and its processes are not to be seen.
#[test]
fn an_orphan_that_cannot_be_seen_keeps_its_files() {
    sandbox::run(|| {
        let own = [Own::Ipc, Own::Pids];
        let server = Server::start(&own, &["--linger", "0s"]);
        let orphan = server.cluster.cpu_bound_query_in_background(100);
        let files = shm_files();
        assert!(files.len() >= 2);
        let launcher = server.launcher();
        let inside = server.container.as_ref().unwrap().first_process();
        kill_postmaster_of(launcher);
        processes::wait_end(launcher, SOON);
        let orphans = processes::descendants(inside);
        let is_busy = |pid: &i32| processes::describe(*pid).contains("[local] DO");
        assert!(orphans.iter().any(is_busy), "an orphan");
        let second = Container::new(&own);
        let sweep = sweep_in(&second, &server.instance);
        assert_eq!(shm_files(), files, "{sweep:?}");
        drop(orphan);
    });
}

/// The same without a System V segment that could tell: a file, and who maps it cannot be seen.
#[test]
fn an_orphan_of_a_generic_server_that_cannot_be_seen_keeps_its_file() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let first = Container::new(&[Own::Pids]);
        let mut run = first.command(User::Server, warden::binary());
        run.args(["run", "--linger", "0s", "--ledger", instance.path(), "--", "perl", "-e"]);
        run.arg(format!("{NUMBERS}{MAPPER}")).process_group(0);
        let mut server = StandIn::spawn(run);
        instance.wait_recorded(1);
        let files = shm_files();
        processes::kill(server.pid(), Signal::SIGKILL);
        server.outermost().wait(SOON);
        assert_eq!(instance.count("end"), 1);
        let second = Container::new(&[Own::Pids]);
        let sweep = sweep_in(&second, &instance);
        assert_eq!(shm_files(), files, "{sweep:?}");
        drop(first);
    });
}

#[test]
fn a_generic_server_of_another_pid_namespace_is_left_alone() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let first = Container::new(&[Own::Pids]);
        let server = StandIn::spawn(run_in(&first, &instance));
        instance.wait_recorded(1);
        let id = server.segment();
        server.kill_all();
        drop(first);
        let second = Container::new(&[Own::Pids]);
        let sweep = sweep_in(&second, &instance);
        assert_eq!(outcomes(&sweep), ["kept unseen"]);
        assert!(segment(id).is_some());
    });
}

/// A PID namespace dies with its first process: then nothing of the server can be left.
#[test]
fn a_generic_server_is_known_to_be_dead_where_its_launcher_was_pid_1() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]);
        unshare.args(User::Server.prefix()).arg(warden::binary());
        unshare.args(["run", "--ledger", instance.path(), "--"]).args(stand_in::words(0));
        let server = StandIn::spawn(unshare);
        instance.wait_recorded(1);
        server.kill_all();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn servers_with_the_same_ids_in_two_ipc_namespaces_are_not_mixed() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instances = [Instance::new(User::Server), Instance::new(User::Server)];
        let containers = [Container::new(&[Own::Ipc]), Container::new(&[Own::Ipc])];
        let [one, two] = [0, 1].map(|n| StandIn::spawn(run_in(&containers[n], &instances[n])));
        let (mut one, two) = (one, two);
        assert_eq!(one.segment(), two.segment());
        instances.iter().for_each(|instance| instance.wait_recorded(1));
        let orphan = one.fork();
        one.kill_all();

        let sweep = sweep_in(&containers[0], &instances[0]).expect_code(0);
        assert_eq!(
            (state(&sweep), outcomes(&sweep)),
            ("dead".into(), vec!["kept attached".into()])
        );
        assert_eq!(crate::scene::instance::holders(&sweep), [i64::from(orphan)]);
        let other = sweep_in(&containers[1], &instances[1]).expect_code(75);
        assert_eq!(state(&other), "live");
        processes::kill(orphan, Signal::SIGKILL);
        processes::wait_end(orphan, SOON);
        let sweep = sweep_in(&containers[0], &instances[0]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(processes::lives(two.pid()));
        let stands = crate::support::objects::segments_of(two.pid());
        assert!(stands.iter().any(|s| s.id == two.segment() && s.nattch == 1));
    });
}

/// A PostgreSQL in a container, under a launcher there.
struct Server {
    instance: Instance,
    cluster: Cluster,
    container: Option<Container>,
}

impl Server {
    fn start(own: &[Own], options: &[&str]) -> Self {
        let (instance, container) = (Instance::new(User::Server), Container::new(own));
        let cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        let mut server = Server { instance, cluster, container: None };
        server.start_in(&container, options);
        server.container = Some(container);
        // The main and the control segment.
        server.instance.wait_recorded(2);
        server
    }

    fn start_in(&mut self, container: &Container, options: &[&str]) {
        let mut words = self.instance.prefix(options);
        words.extend(self.cluster.command_line());
        let mut command = container.command(User::Server, &words[0]);
        command.args(&words[1..]);
        self.cluster.spawn(command);
        self.cluster.wait_ready();
    }

    /// Ends everything in the container at once, as the end of its PID 1 does; the ids left.
    fn end_container(&mut self) -> Vec<i32> {
        drop(self.container.take());
        self.cluster.wait_end();
        wait_until("all is detached", SOON, || segments().iter().all(|s| s.nattch == 0));
        segments().into_iter().map(|segment| segment.id).collect()
    }

    /// The launcher's pid, as the sandbox numbers it.
    fn launcher(&self) -> i32 {
        let inside = processes::all().into_iter();
        let is = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.starts_with(warden::binary().as_os_str().as_encoded_bytes())
        };
        inside.into_iter().find(is).expect("a launcher")
    }
}

fn kill_postmaster_of(launcher: i32) {
    let postmaster = processes::descendants(launcher)[0];
    processes::kill(postmaster, Signal::SIGKILL);
}

/// Somebody's segment whose creator had this pid in the container.
fn bystander_with_pid(container: &Container, pid: i32) -> i32 {
    let (uid, gid) = User::Server.ids();
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid
         perl -e '$$ == {pid} or die \"pid $$\\n\"; $) = \"{gid} {gid}\"; $> = {uid};
                  print shmget({KEY}, 8192, 03600) + 0'
         test $? = 0",
        pid - 1
    );
    let mut shell = container.command(User::Root, "sh");
    let answer = Answer::of(shell.args(["-c", &script])).expect_code(0);
    answer.stdout.trim().parse().unwrap()
}

fn run_in(container: &Container, instance: &Instance) -> Command {
    let mut run = container.command(User::Server, warden::binary());
    // Without a key: what has one stays where nobody saw the server end.
    run.args(["run", "--ledger", instance.path(), "--"]).args(stand_in::words(0));
    run.process_group(0);
    run
}

fn sweep_in(container: &Container, instance: &Instance) -> Answer {
    let mut sweep = container.command(User::Server, warden::binary());
    Answer::of(sweep.args(["sweep", "--json", instance.path()]))
}
