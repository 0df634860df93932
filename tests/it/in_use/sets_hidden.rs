//! Users of sets and queues whom `/proc` hides (`hidepid`, `proc(5)`) from whoever removes: they
//! keep them, and it is said why.

use std::process::Command;

use crate::leaks::sets::{KEY, wait_blocked};
use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, need_root, outcomes};
use crate::support::calls::{is_queue, is_set};
use crate::support::container::{Container, Own};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// Has `/proc` show users their own processes only: a mount of its own, which since Linux 5.8
/// leaves the machine's as it is.
pub fn hide_processes() {
    need_root("to hide processes");
    let mut mount = Command::new("mount");
    mount.args(["-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"]);
    if !Answer::of(&mut mount).status.success() {
        skip("/proc cannot hide processes here");
    }
}

/// A server under a `/proc` that hides others, with a set of one and a queue of these modes that
/// are in the ledger; its launcher waits for nobody.
fn hidden(mode: &str) -> (Instance, Asked, i32, i32) {
    hide_processes();
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, &["--linger", "0s"]);
    let set = server.ask(&format!("semget({KEY}, 1, 03{mode}) + 0"));
    server.ask(&format!("set({set}, 0, 1)"));
    let queue = server.ask(&format!("msgget({KEY}, 03{mode}) + 0"));
    server.ask(&format!("put({queue}, 'hello')"));
    instance.wait_recorded(2);
    (instance, server, set, queue)
}

/// Whoever is root may use what is its owner's alone. To its own user nothing of a generic server
/// is known to be nobody's; root sees through it.
#[test]
fn a_last_operator_that_proc_hides_keeps_a_set() {
    sandbox::on_host(|| {
        let (instance, server, set, queue) = hidden("600");
        let mut holder = Asked::stranger(User::Root);
        holder.ask(&format!("op({set}, 0, -1)"));
        server.kill();
        assert!(is_set(set) && is_queue(queue));
        for options in [&[][..], &["--dry-run"]] {
            let sweep = instance.sweep(options).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept last-user-unseen", "kept unseen"]);
            assert!(sweep.stdout.contains("hidepid"), "{sweep:?}");
        }
        // Root sees it, and says who it is.
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives", "removed dead"]);
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept unseen"]);
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
    });
}

#[test]
fn a_last_sender_or_receiver_that_proc_hides_keeps_a_queue() {
    sandbox::on_host(|| {
        for uses in ["put(QUEUE, 'more')", "my $m; msgrcv(QUEUE, $m, 100, 0, 0)"] {
            let (instance, server, set, queue) = hidden("600");
            let mut user = Asked::stranger(User::Root);
            user.ask(&format!("{}; 0", uses.replace("QUEUE", &queue.to_string())));
            server.kill();
            assert!(is_queue(queue) && is_set(set), "{uses}");
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept last-user-unseen", "kept unseen"], "{uses}");
            drop(user);
            let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["removed dead"]);
        }
    });
}

/// It has never received anything, the kernel counts no waiters of a queue, and `/proc` does not
/// list it.
#[test]
fn a_receiver_that_proc_hides_keeps_a_queue_that_it_may_open() {
    sandbox::on_host(|| {
        let (instance, server, set, queue) = hidden("600");
        let mut receiver = Asked::stranger(User::Root);
        receiver.tell(&format!("my $m; msgrcv({queue}, $m, 100, 7, 0)"));
        wait_blocked(receiver.pid(), "msg");
        server.kill();
        assert!(is_queue(queue));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert!(outcomes(&sweep).contains(&"kept unseen".to_owned()), "{sweep:?}");
        assert!(sweep.stdout.contains("hidepid"), "{sweep:?}");
        assert!(is_queue(queue));
        assert!(processes::lives(receiver.pid()) && is_set(set), "nor does the set go before");
        drop(receiver);
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
    });
}

/// A waiter of a set is counted by the kernel, wherever it is.
#[test]
fn a_waiter_that_proc_hides_keeps_a_set() {
    sandbox::on_host(|| {
        let (instance, server, set, _) = hidden("600");
        let mut waiter = Asked::stranger(User::Root);
        waiter.tell(&format!("op({set}, 0, -2)"));
        wait_blocked(waiter.pid(), "sem");
        server.kill();
        assert!(is_set(set));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert!(outcomes(&sweep).contains(&"kept waited-for".to_owned()), "{sweep:?}");
        drop(waiter);
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
    });
}

/// A launcher in a container of its own pids; the last user is outside, where its pid is 0.
#[test]
fn a_last_user_of_an_outer_pid_namespace_keeps_both() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let container = Container::new(&[Own::Pids]);
        let mut run = container.command(User::Server, warden::binary());
        run.args(["run", "--linger", "0s", "--ledger", instance.path(), "--"]);
        run.args(asked::words());
        let mut server = Asked::spawn(run);
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        server.ask(&format!("op({set}, 0, 1)"));
        instance.wait_recorded(2);
        let mut outside = Asked::stranger(User::Server);
        outside.ask(&format!("op({set}, 0, -1)"));
        outside.ask(&format!("put({queue}, 'more')"));
        server.kill();
        assert!(is_set(set) && is_queue(queue));
        let mut sweep = container.command(User::Server, warden::binary());
        let sweep = Answer::of(sweep.args(["sweep", "--json", instance.path()])).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-unseen"]);
        drop(outside);
    });
}
