//! Semaphore sets and queues of a real server that dies: removed when nobody uses them, and kept
//! for whoever does.

use nix::sys::signal::Signal;

use super::asked::Asked;
use super::instance::{
    Instance, SOON, holders, need_root, need_to_look_into_others, outcomes, state,
};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x00f4_2401;

/// A server of an instance that has a set of 17 and a queue, both in the ledger.
fn with_both(options: &[&str]) -> (Instance, Asked, i32, i32) {
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, options);
    let set = server.make_set(KEY, 17);
    let queue = server.make_queue(KEY);
    instance.wait_recorded(2);
    (instance, server, set, queue)
}

#[test]
fn a_killed_server_leaves_neither_set_nor_queue_and_another_of_its_user_keeps_its_own() {
    sandbox::run(|| {
        let mut bystander = Asked::stranger(User::Server);
        let theirs = (bystander.make_set(KEY + 1, 17), bystander.make_queue(KEY + 1));
        let (second, mut other, set, queue) = with_both(&[]);
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.make_set(0, 9);
        server.make_set(KEY + 2, 2);
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
    sandbox::run(|| {
        let (instance, server, set, queue) = with_both(&[]);
        server.kill();
        let story = warden::answer(User::Server, &["history", instance.path()]).expect_code(0);
        for part in [
            format!("semaphore set {set} (key 0x00f42401), 17 semaphores"),
            format!("removed   message queue {queue} (key 0x00f42401): destroyed with 1 messages"),
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
    sandbox::run(|| {
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
    sandbox::run(|| {
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

/// `/proc/<pid>/stat` says zombie of it, and it holds the set.
#[test]
fn a_last_operator_whose_first_thread_has_ended_is_alive() {
    sandbox::run(|| {
        let (instance, server, set, _) = with_both(&["--linger", "0s"]);
        let mut holder = Asked::stranger(User::Server);
        let threads = holder.ask("eval { require threads; 1 } ? 1 : 0");
        if threads == 0 {
            crate::support::skip("this perl has no threads (package perl)");
        }
        holder.ask(&format!("op({set}, 0, -1)"));
        let exit = if cfg!(target_arch = "x86_64") { 60 } else { 93 };
        holder.tell(&format!("threads->create(sub {{ sleep 1 while 1 }}); syscall({exit}, 0)"));
        let pid = holder.pid();
        wait_until("its first thread has ended", SOON, || processes::state(pid) == Some('Z'));
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

/// As Apache's children and PostgreSQL's backends do.
#[test]
fn what_a_descendant_makes_is_the_servers() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&format!("child(sub {{ my $id = newset({KEY}, 3); set($id, 0, 1) }})"));
        instance.wait_recorded(1);
        assert_eq!(sets().len(), 1);
        let child = processes::descendants(server.pid())[0];
        processes::kill(child, Signal::SIGKILL);
        server.kill();
        assert_eq!(sets(), []);
    });
}

#[test]
fn a_set_with_a_waiter_is_never_removed() {
    sandbox::run(|| {
        let (instance, server, set, queue) = with_both(&["--linger", "0s"]);
        let mut waiter = Asked::stranger(User::Server);
        waiter.tell(&format!("op({set}, 3, -1)"));
        wait_until("it waits", SOON, || is_waiting(set));
        server.kill();
        assert!(is_set(set) && is_queue(queue));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&sweep), "dead");
        assert_eq!(outcomes(&sweep), ["kept instance-held", "kept waited-for"]);
        assert_eq!(holders(&sweep), [i64::from(waiter.pid())]);
        instance.sweep(&["--strict"]).expect_code(1);
        drop(waiter);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(!is_set(set) && !is_queue(queue));
    });
}

/// Value 0, and nothing waits: only the last operator tells.
#[test]
fn a_holder_inside_its_critical_section_keeps_a_set() {
    sandbox::run(|| {
        let (instance, server, set, _) = with_both(&["--linger", "0s"]);
        let mut holder = Asked::stranger(User::Server);
        holder.ask(&format!("op({set}, 0, -1)"));
        server.kill();
        assert!(is_set(set));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
        assert_eq!(holders(&sweep), [i64::from(holder.pid())]);
        holder.ask(&format!("op({set}, 0, 1)"));
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

#[test]
fn a_launcher_lingers_for_the_last_user_of_a_set() {
    sandbox::run(|| {
        need_to_look_into_others();
        let (_, mut server, set, _) = with_both(&["--linger", "30s"]);
        let mut holder = Asked::stranger(User::Server);
        holder.ask(&format!("op({set}, 0, -1)"));
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::wait_end(server.pid(), SOON);
        assert!(server.outermost().is_running() && is_set(set));
        drop(holder);
        server.outermost().wait(SOON);
        assert!(!is_set(set));
    });
}

#[test]
fn a_queue_is_kept_for_who_waits_for_it_and_who_used_it_last() {
    sandbox::run(|| {
        let (instance, server, _, queue) = with_both(&["--linger", "0s"]);
        let mut receiver = Asked::stranger(User::Server);
        receiver.tell(&format!("my $m; msgrcv({queue}, $m, 100, 7, 0)"));
        wait_blocked(receiver.pid(), "msg");
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept instance-held", "kept waited-for"]);
        assert_eq!(holders(&sweep), [i64::from(receiver.pid())]);
        drop(receiver);
        let mut sender = Asked::stranger(User::Server);
        sender.ask(&format!("put({queue}, 'more')"));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives", "removed dead"]);
        drop(sender);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!((sets().len(), queues().len()), (0, 0));
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

/// What a next server of another tool's has found by its key, and leaves to its children: none of
/// them lives, but it does.
#[test]
fn what_a_next_servers_children_have_used_after_the_death_is_kept() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let segment = server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        instance.wait_recorded(3);
        let holder = crate::support::holders::attach(User::Server, segment);
        server.kill();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let mut next = Asked::stranger(User::Server);
        let uses = format!("op({set}, 0, -1); op({set}, 0, 1); put({queue}, 'more')");
        next.ask(&format!("my $pid = fork; if (!$pid) {{ {uses}; exit }} waitpid($pid, 0)"));
        drop(holder);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept used-since", "removed dead"]);
        assert!(is_set(set) && is_queue(queue));
        assert_eq!(next.ask(&format!("op({set}, 0, -1)")), 0, "it goes on");
    });
}

#[test]
fn a_set_that_was_changed_after_the_death_is_kept() {
    sandbox::run(|| {
        let (instance, server, set, queue) = with_both(&["--linger", "0s"]);
        let mut holder = Asked::stranger(User::Server);
        holder.ask(&format!("op({set}, 0, -1)"));
        let before = sets()[0].ctime;
        server.kill();
        wait_until("the next second", SOON, || {
            holder.ask(&format!("set({set}, 1, 1)"));
            sets()[0].ctime > before + 1
        });
        drop(holder);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept changed-since"]);
        assert!(is_set(set) && !is_queue(queue));
    });
}

#[test]
fn a_clean_exit_leaves_both_until_they_are_asked_for() {
    sandbox::run(|| {
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
fn what_was_there_before_and_the_server_uses_is_never_removed_for_it() {
    sandbox::run(|| {
        let mut owner = Asked::stranger(User::Server);
        let (set, queue) = (owner.make_set(KEY, 2), owner.make_queue(KEY));
        drop(owner);
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&format!("op({set}, 0, -1)"));
        server.ask(&format!("put({queue}, 'more')"));
        let used = || instance.count("used") == 2;
        wait_until("it is noted that the server uses them", SOON, used);
        let list = ["list", "--json", "--ledger", instance.path()];
        let list = warden::answer(User::Server, &list).expect_code(0).json();
        let objects = list["objects"].as_array().unwrap();
        assert_eq!(objects.len(), 2);
        assert!(objects.iter().all(|object| object["verdict"] == "used"), "{objects:?}");
        server.kill_all();
        instance.sweep(&[]).expect_code(0);
        assert!(is_set(set) && is_queue(queue));
    });
}

#[test]
fn a_set_that_nobody_has_used_is_the_servers_only_where_its_user_has_no_other_process() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&format!("newset({KEY}, 3)"));
        instance.wait_recorded(1);
        server.kill();
        assert_eq!(sets(), []);

        let mut other = Asked::stranger(User::Server);
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let theirs = other.ask(&format!("newset({KEY}, 3)"));
        let its = server.make_set(KEY + 1, 3);
        instance.wait_recorded(1);
        server.kill();
        assert!(is_set(theirs) && !is_set(its));
    });
}

/// A server that began as root may become anybody; whoever made the set and has ended was another.
#[test]
fn a_set_of_a_user_without_any_process_is_not_a_root_servers() {
    sandbox::run(|| {
        need_root("to have a server of root's, and objects of another user");
        let instance = Instance::new(User::Root);
        let mut server = Asked::start(&instance, &[]);
        let make = format!(
            "$( = 4711; $) = '4711 4711'; $< = $> = 4711;
            print semget({KEY}, 3, 03600) + 0, ' ', msgget({KEY}, 03600) + 0"
        );
        let made = Answer::of(User::Root.command("perl").args(["-e", &make])).expect_code(0).stdout;
        let (set, queue) = made.split_once(' ').unwrap();
        let its = server.make_set(KEY + 1, 3);
        instance.wait_recorded(1);
        server.kill();
        assert!(!is_set(its));
        assert!(is_set(set.parse().unwrap()) && is_queue(queue.parse().unwrap()));
    });
}

/// The launcher did not see them appear: the server may have used another's.
#[test]
fn what_nobody_saw_appear_is_reported_and_kept() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let launcher = processes::parent(server.pid()).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        server.kill_all();
        for _ in 0..2 {
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept unwitnessed"]);
        }
        assert!(is_set(set) && is_queue(queue));
    });
}

/// Seen while the server is an unreaped zombie: no look came before its death.
#[test]
fn the_last_look_takes_what_was_made_in_the_last_moment() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let launcher = processes::parent(server.pid()).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        server.make_set(KEY, 1);
        server.make_queue(KEY);
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::kill(launcher, Signal::SIGCONT);
        server.outermost().wait(SOON);
        assert_eq!((sets().len(), queues().len()), (0, 0));
        assert_eq!((instance.count("object"), instance.count("outcome")), (2, 2));
    });
}

#[test]
fn list_says_of_both_what_sweep_would() {
    sandbox::run(|| {
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
        let who = ["who", "--json", "--ledger", instance.path(), "0x00f42401"];
        let who = warden::answer(User::Server, &who).expect_code(0).json();
        assert_eq!(who["objects"][0]["holders"][0]["pid"], waiter.pid());
    });
}

fn is_waiting(set: i32) -> bool {
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
