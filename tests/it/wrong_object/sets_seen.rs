//! Which semaphore sets and queues are taken for the server's: what its watch saw appear, and what
//! it did not.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::leaks::sets::KEY;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_root, need_to_look_into_others, outcomes};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::objects::segments;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

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
    sandbox::on_host(|| {
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
        let its = server.make_set(KEY, 3);
        instance.wait_recorded(1);
        server.kill();
        assert!(is_set(theirs) && !is_set(its));
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

/// Seen while the server is an unreaped zombie: no look came before its death. Looks are a second
/// apart by then, and the server takes microseconds.
#[test]
fn the_last_look_takes_what_was_made_in_the_last_moment() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        std::thread::sleep(Duration::from_secs(7));
        let make = format!(
            "shmget({KEY}, 4096, 03600); set(newset({KEY}, 1), 0, 1); put(newqueue({KEY}), 'x')"
        );
        server.tell(&format!("{make}; kill 'KILL', $$"));
        server.outermost().wait(SOON);
        let text = String::from_utf8(instance.bytes()).unwrap();
        assert_eq!(text.matches(r#""how":"last-look""#).count(), 3, "{text}");
        assert_eq!((segments().len(), sets().len(), queues().len()), (0, 0, 0));
        assert_eq!((instance.count("object"), instance.count("outcome")), (3, 3));
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
        let its = server.make_set(KEY, 3);
        instance.wait_recorded(1);
        server.kill();
        assert!(!is_set(its));
        assert!(is_set(set.parse().unwrap()) && is_queue(queue.parse().unwrap()));
    });
}
