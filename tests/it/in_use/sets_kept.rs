//! Semaphore sets and queues of a dead server that somebody uses, has used since, or waits for:
//! they are kept.

use nix::sys::signal::Signal;

use crate::leaks::sets::{is_waiting, wait_blocked, with_both};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, holders, need_to_look_into_others, outcomes, state};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// A key that a next server looks for too.
const SHARED: u32 = 0x00f4_2401;

/// `/proc/<pid>/stat` says zombie of it, and it holds the set.
#[test]
fn a_last_operator_whose_first_thread_has_ended_is_alive() {
    sandbox::on_host(|| {
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

#[test]
fn a_set_with_a_waiter_is_never_removed() {
    sandbox::on_host(|| {
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
    sandbox::on_host(|| {
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
    sandbox::on_host(|| {
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
    sandbox::on_host(|| {
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

/// What a next server of another tool's has found by its key, and leaves to its children: none of
/// them lives, but it does.
#[test]
fn what_a_next_servers_children_have_used_after_the_death_is_kept() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let segment = server.ask(&format!("shmget({SHARED}, 4096, 03600) + 0"));
        let (set, queue) = (server.make_set(SHARED, 1), server.make_queue(SHARED));
        instance.wait_recorded(3);
        let holder = crate::support::holders::attach(User::Server, segment);
        server.kill();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let mut next = Asked::stranger(User::Server);
        let uses = format!("op({set}, 0, -1); op({set}, 0, 1); put({queue}, 'more')");
        next.ask(&format!("my $pid = fork; if (!$pid) {{ {uses}; exit }} waitpid($pid, 0)"));
        drop(holder);
        let sweep = instance.sweep(&[]).expect_code(0);
        // The segment too, which somebody has detached that nobody knows.
        assert_eq!(outcomes(&sweep), ["kept used-since"]);
        assert!(is_set(set) && is_queue(queue));
        assert_eq!(next.ask(&format!("op({set}, 0, -1)")), 0, "it goes on");
        next.kill();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

#[test]
fn a_set_that_was_changed_after_the_death_is_kept() {
    sandbox::on_host(|| {
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
