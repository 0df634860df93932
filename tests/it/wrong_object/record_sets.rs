//! `record` and the semaphore sets and queues of a server that runs: what one look proves to be its
//! own is swept after its death, and the rest is named and stays.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x00f4_2401;

fn record(instance: &Instance, server: &Asked) -> Answer {
    let pid = server.pid().to_string();
    let arguments = ["record", "--json", "--pid", &pid, "--ledger", instance.path()];
    warden::answer(User::Server, &arguments).expect_code(0)
}

fn end(mut server: Asked) {
    server.outermost().signal(Signal::SIGKILL);
    server.outermost().wait(SOON);
}

#[test]
fn what_has_no_key_and_nobody_else_used_is_the_servers() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut bystander = Asked::stranger(User::Server);
        let theirs = (bystander.make_set(0, 2), bystander.make_queue(0));
        let mut server = Asked::stranger(User::Server);
        let (set, queue) = (server.make_set(0, 3), server.make_queue(0));
        let child = server.ask(&format!("child(sub {{ op({set}, 1, 1) }})"));
        crate::support::waiting::wait_until("the child has used it", SOON, || {
            bystander.ask(&format!("pid({set}, 1)")) == child
        });
        let answer = record(&instance, &server);
        assert_eq!((instance.count("object"), instance.count("used")), (2, 0), "{answer:?}");
        assert_eq!(instance.count("descendant"), 1, "the child");
        processes::kill(child, Signal::SIGKILL);
        end(server);
        processes::wait_end(child, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        assert!(!is_set(set) && !is_queue(queue));
        assert!(is_set(theirs.0) && is_queue(theirs.1));
    });
}

/// Whoever knows the key may have made it, and share it.
#[test]
fn what_has_a_key_is_the_servers_only_where_it_came_after_an_earlier_record() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::stranger(User::Server);
        let (old, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        let answer = record(&instance, &server);
        assert_eq!(instance.count("object"), 0, "{answer:?}");
        for named in [format!("semaphore set {old}"), format!("message queue {queue}")] {
            let sentence = format!("{named} (key 0x00f42401)");
            assert!(answer.stderr.contains(&sentence), "{sentence}: {answer:?}");
        }
        std::thread::sleep(Duration::from_secs(1));
        let new = server.make_set(KEY + 1, 1);
        record(&instance, &server);
        assert_eq!(instance.count("object"), 1);
        end(server);
        let left = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&left), ["kept left-unseen"], "{left:?}");
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(sweep.json()["removed"], 1, "{sweep:?}");
        assert!(is_set(old) && is_queue(queue) && !is_set(new));
    });
}

#[test]
fn what_another_living_process_used_is_used_and_stays() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::stranger(User::Server);
        let mut other = Asked::stranger(User::Server);
        let (set, queue) = (server.make_set(0, 2), server.make_queue(0));
        other.ask(&format!("set({set}, 1, 1)"));
        other.ask(&format!("msgrcv({queue}, my $text, 10, 0, 0) ? 1 : 0"));
        record(&instance, &server);
        record(&instance, &server);
        assert_eq!((instance.count("object"), instance.count("used")), (0, 2));
        end(server);
        end(other);
        instance.sweep(&["--include-clean"]).expect_code(0);
        assert!(is_set(set) && is_queue(queue));
    });
}

/// One that a process had made before the server began, and told it the number of.
#[test]
fn what_is_older_than_the_server_is_not_its_own() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut first = Asked::stranger(User::Server);
        let set = first.make_set(0, 1);
        end(first);
        std::thread::sleep(Duration::from_millis(2100)); // the kernel keeps whole seconds
        let mut server = Asked::stranger(User::Server);
        server.ask(&format!("op({set}, 0, 1)"));
        let answer = record(&instance, &server);
        assert!(answer.stderr.contains(&format!("semaphore set {set}")), "{answer:?}");
        end(server);
        instance.sweep(&[]).expect_code(0);
        assert!(is_set(set));
    });
}

/// A worker that used it has ended before the look: it may have been anybody.
#[test]
fn what_somebody_used_who_has_ended_is_not_recorded_until_the_server_has_used_it_again() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut server = Asked::stranger(User::Server);
        let set = server.make_set(0, 1);
        let child = server.ask(&format!("child(sub {{ op({set}, 0, 1); exit 0 }})"));
        server.ask(&format!("waitpid({child}, 0)"));
        record(&instance, &server);
        assert_eq!(instance.count("object"), 0);
        server.ask(&format!("op({set}, 0, 1)"));
        record(&instance, &server);
        assert_eq!(instance.count("object"), 1);
        end(server);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!((sets().len(), queues().len()), (0, 0));
    });
}
