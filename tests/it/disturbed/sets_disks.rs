//! Disks that are full while a server makes sets and queues, or while these are removed: the server
//! is not disturbed, and nothing goes without a word in the ledger.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::leaks::sets::KEY;
use crate::scene::asked::{self, Asked};
use crate::scene::disk::{Disk, Log};
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::{queues, sets};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// Of sets, and of queues: their records take more room than the last page of a ledger's file may
/// have.
const MANY: usize = 25;

/// A server whose ledger is on a disk of its own, with one set and one queue in it.
struct Scene {
    instance: Instance,
    disk: Disk,
    log: Log,
    server: Asked,
}

impl Scene {
    fn new() -> Self {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        let log = Log::new();
        let mut server = start(&instance, &log);
        server.make_set(KEY, 1);
        server.make_queue(KEY);
        instance.wait_recorded(2);
        Scene { instance, disk, log, server }
    }

    fn make_many(&mut self) {
        self.server.ask(&format!(
            "for (1 .. {MANY}) {{ set(newset(0, 2), 0, 1); put(newqueue(0), 'hello') }} 0"
        ));
    }

    /// Leaves records that the disk does not take; how many it took all the same.
    fn fill_up(&mut self) -> usize {
        self.disk.fill();
        self.make_many();
        let log = &self.log;
        wait_until("an error is logged", SOON, || log.has("cannot write the ledger"));
        let recorded = self.instance.count("object");
        assert!(recorded < 2 + 2 * MANY, "all fitted into the last page");
        recorded
    }
}

fn start(instance: &Instance, log: &Log) -> Asked {
    let mut run = instance.run(&[], &asked::words());
    run.stderr(log.open());
    Asked::spawn(run)
}

fn left() -> usize {
    sets().len() + queues().len()
}

#[test]
fn a_disk_that_fills_up_while_the_server_runs_disturbs_nobody() {
    sandbox::on_host(|| {
        let mut scene = Scene::new();
        scene.fill_up();
        let more = scene.server.make_set(KEY, 1);
        assert_eq!(scene.server.ask(&format!("op({more}, 0, -1); op({more}, 0, 1)")), 0);
        scene.disk.empty();
        scene.instance.wait_recorded(3 + 2 * MANY);
        scene.server.kill();
        assert_eq!(left(), 0, "{}", scene.log.text());
        assert_eq!(scene.instance.count("outcome"), 3 + 2 * MANY);
    });
}

/// Where launcher and server die then, what the disk did not take is nobody's by proof.
#[test]
fn what_a_full_disk_did_not_take_is_reported_and_kept_after_a_crash_of_both() {
    sandbox::on_host(|| {
        let mut scene = Scene::new();
        scene.fill_up();
        scene.server.kill_all();
        scene.disk.empty();
        let recorded = scene.instance.count("object");
        let sweep = scene.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept unwitnessed", "removed dead"]);
        assert_eq!(sweep.json()["removed"], recorded);
        assert_eq!(left(), 2 + 2 * MANY - recorded);
        let again = scene.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["kept unwitnessed"], "as long as they are there");
    });
}

#[test]
fn a_disk_that_is_full_at_the_servers_death_lets_nothing_be_removed() {
    sandbox::on_host(|| {
        let mut scene = Scene::new();
        scene.fill_up();
        processes::kill(scene.server.pid(), Signal::SIGKILL);
        let status = scene.server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(scene.log.has("what the server left is kept"), "{}", scene.log.text());
        assert_eq!(left(), 2 + 2 * MANY);
        scene.disk.empty();
        let recorded = scene.instance.count("object");
        let sweep = scene.instance.sweep(&[]).expect_code(0);
        assert_eq!(sweep.json()["removed"], recorded);
        assert_eq!(left(), 2 + 2 * MANY - recorded);
    });
}

#[test]
fn a_disk_that_fills_up_during_a_sweep_stops_the_removal() {
    sandbox::on_host(|| {
        let mut scene = Scene::new();
        scene.make_many();
        scene.instance.wait_recorded(2 + 2 * MANY);
        scene.server.kill_all();
        scene.disk.fill();
        let sweep = scene.instance.sweep(&[]).expect_code(74);
        assert!(sweep.stderr.contains("No space left on device"), "{sweep:?}");
        assert!(left() > 0, "all intents fitted into the last page: more are needed");
        let removed = 2 + 2 * MANY - left();
        assert!(scene.instance.count("intent") >= removed, "removed without a word");
        assert_eq!(sweep.json()["removed"], removed, "{sweep:?}");
        scene.disk.empty();
        scene.instance.sweep(&[]).expect_code(0);
        assert_eq!(left(), 0);
        assert_eq!(scene.instance.count("outcome"), scene.instance.count("intent"));
    });
}

/// The claim did not get there either: the server runs, and nobody may remove anything for it.
#[test]
fn without_a_claim_nothing_is_removed() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        disk.fill();
        let log = Log::new();
        let mut server = start(&instance, &log);
        assert!(log.has("no clean-up is promised"), "{}", log.text());
        let set = server.make_set(KEY, 1);
        server.make_queue(KEY);
        assert_eq!(server.ask(&format!("op({set}, 0, -1); op({set}, 0, 1)")), 0);
        processes::kill(server.pid(), Signal::SIGKILL);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(left(), 2);
        disk.empty();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!((sweep.json()["removed"].as_u64(), left()), (Some(0), 2), "{sweep:?}");
    });
}
