//! Semaphore sets and queues of a real server that dies: removed when nobody uses them, and kept
//! for whoever does.

use nix::sys::signal::Signal;

use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// None: a key is what others find an object by, and what has one stays where they may use it.
pub const KEY: u32 = 0;

/// A server of an instance that has a set of 17 and a queue, both in the ledger.
pub fn with_both(options: &[&str]) -> (Instance, Asked, i32, i32) {
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, options);
    let set = server.make_set(KEY, 17);
    let queue = server.make_queue(KEY);
    instance.wait_recorded(2);
    (instance, server, set, queue)
}

#[test]
fn a_killed_server_leaves_neither_set_nor_queue_and_another_of_its_user_keeps_its_own() {
    sandbox::on_host(|| {
        let mut bystander = Asked::stranger(User::Server);
        let theirs = (bystander.make_set(KEY, 17), bystander.make_queue(KEY));
        let (second, mut other, set, queue) = with_both(&[]);
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.make_set(0, 9);
        server.make_set(KEY, 2);
        server.make_queue(0);
        instance.wait_recorded(3);
        server.kill();
        let left: Vec<i32> = sets().iter().map(|line| line.id).collect();
        assert_eq!(left, [theirs.0, set]);
        let left: Vec<i32> = queues().iter().map(|line| line.id).collect();
        assert_eq!(left, [theirs.1, queue]);
        for (who, id) in [(&mut bystander, theirs.0), (&mut other, set)] {
            who.ask(&format!("op({id}, 0, -1)"));
            who.ask(&format!("op({id}, 0, 1)"));
        }
        other.kill();
        assert_eq!((sets().len(), queues().len()), (1, 1));
        assert_eq!((second.count("outcome"), instance.count("outcome")), (2, 3));
    });
}

#[test]
fn what_was_lost_with_a_queue_is_in_the_history() {
    sandbox::on_host(|| {
        let (instance, server, set, queue) = with_both(&[]);
        server.kill();
        let story = warden::answer(User::Server, &["history", instance.path()]).expect_code(0);
        for part in [
            format!("semaphore set {set} (key 0x00000000), 17 semaphores"),
            format!("removed   message queue {queue} (key 0x00000000): destroyed with 1 messages"),
        ] {
            assert!(story.stdout.contains(&part), "{part}: {}", story.stdout);
        }
        let document = ["history", "--json", instance.path()];
        let document = warden::answer(User::Server, &document).expect_code(0).json();
        let objects = document["runs"][0]["objects"].as_array().unwrap();
        let kinds: Vec<&str> = objects.iter().map(|o| o["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["sem", "msg"]);
        assert!(objects.iter().all(|o| o["bytes"].is_null() && o["outcome"] == "removed"));
        let intent = String::from_utf8(instance.bytes()).unwrap();
        assert!(intent.contains("1 messages of 5 bytes; creator uid"), "{intent}");
    });
}

#[test]
fn what_launcher_and_server_left_together_is_swept() {
    sandbox::on_host(|| {
        let (instance, server, ..) = with_both(&[]);
        instance.sweep(&[]).expect_code(75);
        server.kill_all();
        assert_eq!((sets().len(), queues().len()), (1, 1));
        let would = instance.sweep(&["--dry-run"]).expect_code(0);
        assert_eq!(outcomes(&would), ["would-remove dead"]);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(sweep.json()["removed"], 2);
        assert_eq!(sweep.json()["removed_bytes"], 0);
        assert_eq!((sets().len(), queues().len()), (0, 0));
    });
}

/// The guardian beside a server records and removes them as a launcher does.
#[test]
fn a_server_in_place_leaves_neither() {
    sandbox::on_host(|| {
        let (_, mut server, set, queue) = with_both(&["--in-place"]);
        let made = sets()[0].ctime;
        wait_until("it has set its semaphore anew", SOON, || {
            server.ask(&format!("set({set}, 0, 1)"));
            sets()[0].ctime > made
        });
        server.kill();
        wait_until("both are gone", SOON, || !is_set(set) && !is_queue(queue));
    });
}

/// As many as an openGauss for 5,000 sessions has.
#[test]
fn hundreds_of_sets_are_removed_at_once() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask("for (1 .. 313) { my $id = newset(0, 17); set($id, $_, 1) for 0 .. 16 } 0");
        instance.wait_recorded(313);
        let began = std::time::Instant::now();
        server.kill();
        let took = began.elapsed();
        println!("313 sets of 17 were removed in {took:?}");
        assert_eq!(sets(), []);
        assert!(took < SOON, "{took:?}");
    });
}

/// COMMAND has ended with status 0, and what it left goes on to change its set.
#[test]
fn what_a_daemon_changed_before_its_own_death_is_removed() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let set = server.make_set(KEY, 1);
        instance.wait_recorded(1);
        let daemon = server.ask(&format!("child(sub {{ sleep 2; set({set}, 0, 1) }})"));
        let made = sets()[0].ctime;
        server.tell("exit 0");
        wait_until("the daemon has set it", SOON, || sets()[0].ctime > made);
        assert!(server.outermost().is_running());
        processes::kill(daemon, Signal::SIGKILL);
        server.outermost().wait(SOON);
        assert!(!is_set(set), "{}", String::from_utf8_lossy(&instance.bytes()));
    });
}

/// A segment's holder says more than any set: nothing goes before it.
#[test]
fn sets_go_after_the_holders_of_segments() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let segment = server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let set = server.make_set(KEY, 1);
        instance.wait_recorded(2);
        let holder = crate::support::holders::attach(User::Server, segment);
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept attached", "kept instance-held"]);
        drop(holder);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        let kinds = &sweep.json()["ledgers"][0]["objects"];
        assert_eq!((&kinds[0]["kind"], &kinds[1]["kind"]), (&"shm".into(), &"sem".into()));
        assert!(!is_set(set));
    });
}

#[test]
fn a_clean_exit_leaves_both_until_they_are_asked_for() {
    sandbox::on_host(|| {
        let (instance, mut server, set, queue) = with_both(&[]);
        server.tell("exit 0");
        assert_eq!(server.outermost().wait(SOON).code(), Some(0));
        assert!(is_set(set) && is_queue(queue));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept left-clean"]);
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(!is_set(set) && !is_queue(queue));
    });
}

#[test]
fn list_says_of_both_what_sweep_would() {
    sandbox::on_host(|| {
        let (instance, server, ..) = with_both(&["--linger", "0s"]);
        let verdicts = || {
            let list = ["list", "--json", "--ledger", instance.path()];
            let list = warden::answer(User::Server, &list).expect_code(0).json();
            let objects = list["objects"].as_array().unwrap().clone();
            let word = |o: &serde_json::Value| o["verdict"].as_str().unwrap().to_owned();
            assert!(objects.iter().all(|o| o["instance"] == "server"), "{objects:?}");
            objects.iter().map(word).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(), ["live", "live"]);
        server.kill_all();
        assert_eq!(verdicts(), ["stale", "stale"]);
        let mut waiter = Asked::stranger(User::Server);
        waiter.tell(&format!("op({}, 3, -1)", sets()[0].id));
        wait_until("it waits", SOON, || is_waiting(sets()[0].id));
        assert_eq!(verdicts(), ["held", "held"]);
        let id = sets()[0].id.to_string();
        let who = ["who", "--json", "--ledger", instance.path(), &id];
        let who = warden::answer(User::Server, &who).expect_code(0).json();
        assert_eq!(who["objects"][0]["holders"][0]["pid"], waiter.pid());
    });
}

/// Whether somebody waits for the fourth member of a set.
pub fn is_waiting(set: i32) -> bool {
    let script = format!(r#"exit !(semctl({set}, 3, 14, 0) > 0)"#);
    Answer::of(User::Root.command("perl").args(["-e", &script])).status.success()
}

/// Waits until a process sleeps in a system call of this name.
pub fn wait_blocked(pid: i32, call: &str) {
    let file = format!("/proc/{pid}/wchan");
    wait_until("it is blocked", SOON, || {
        std::fs::read_to_string(&file).is_ok_and(|place| place.contains(call))
    });
}
