//! Sets and queues whose server, or its launcher, has died while others of the instance live.

use nix::sys::signal::Signal;

use super::sets::with_both;
use crate::scene::asked::Asked;
use crate::scene::instance::{SOON, need_to_look_into_others, outcomes, state};
use crate::support::calls::{is_queue, is_set};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// What was known while the launcher lived still tells whose they are.
#[test]
fn a_server_without_its_launcher_keeps_both_and_leaves_neither_when_it_is_killed() {
    sandbox::on_host(|| {
        let (instance, mut server, set, queue) = with_both(&[]);
        let launcher = processes::parent(server.pid()).unwrap();
        processes::kill(launcher, Signal::SIGKILL);
        processes::wait_end(launcher, SOON);
        let sweep = instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&sweep), "live");
        assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
        server.ask(&format!("op({set}, 0, -1)"));
        server.ask(&format!("put({queue}, 'again')"));
        let pid = server.pid();
        processes::kill(pid, Signal::SIGKILL);
        processes::wait_end(pid, SOON);
        assert!(is_set(set) && is_queue(queue));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(!is_set(set) && !is_queue(queue));
    });
}

/// A set has no attachments: its last operator is who would be waited for.
#[test]
fn an_orphan_that_used_a_set_last_is_ended_where_that_was_asked_for() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let (_, mut server, set, queue) = with_both(&["--linger", "90s", "--orphans", "kill"]);
        assert!(server.ask(&format!("child(sub {{ op({set}, 0, -1) }})")) > 0);
        let orphan = processes::descendants(server.pid())[0];
        let used = format!("pid({set}, 0) == {orphan}");
        wait_until("the child has used it", SOON, || server.ask(&format!("({used}) + 0")) == 1);
        server.kill();
        assert!(!processes::lives(orphan));
        assert!(!is_set(set) && !is_queue(queue));
    });
}

#[test]
fn who_used_a_set_last_and_is_none_of_the_servers_is_not_ended() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let (instance, server, set, queue) = with_both(&["--linger", "2s", "--orphans", "kill"]);
        let mut stranger = Asked::stranger(User::Server);
        stranger.ask(&format!("op({set}, 0, -1)"));
        server.kill();
        assert!(processes::lives(stranger.pid()) && is_set(set));
        assert_eq!(stranger.ask(&format!("value({set}, 0)")), 0, "it goes on");
        drop(stranger);
        instance.sweep(&[]).expect_code(0);
        assert!(!is_set(set) && !is_queue(queue));
    });
}

/// One that has used neither may use either.
#[test]
fn a_descendant_keeps_both_from_a_sweep_until_it_has_ended() {
    sandbox::on_host(|| {
        let (instance, mut server, set, queue) = with_both(&["--linger", "100ms"]);
        assert!(server.ask("child(sub { setpgrp })") > 0);
        let child = processes::descendants(server.pid())[0];
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(
            (state(&sweep).as_str(), outcomes(&sweep)),
            ("dead", vec!["kept orphan-lives".into()])
        );
        assert!(processes::lives(child) && is_set(set) && is_queue(queue));
        processes::kill(child, Signal::SIGKILL);
        processes::wait_end(child, SOON);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}
