//! A launcher that does not run when its server dies: what it finds later may be a next server's.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::leaks::sets::KEY;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::objects::{segment, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// `poll` and `ppoll`, as `/proc/<pid>/syscall` names them (x86-64, aarch64).
const POLLS: [&str; 3] = ["7", "271", "73"];

/// Stops a launcher or guardian while it waits: in the midst of a look it may notice too late.
pub fn stop(pid: i32) {
    wait_until("it is stopped while it waits", SOON, || {
        processes::kill(pid, Signal::SIGSTOP);
        wait_until("it is stopped", SOON, || processes::state(pid) == Some('T'));
        let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        // Without root another user's process does not tell.
        let waits = call.split(' ').next().is_none_or(|call| POLLS.contains(&call));
        if waits || call.is_empty() {
            return true;
        }
        processes::kill(pid, Signal::SIGCONT);
        false
    });
}

/// A next server without us finds everything by its key, changes it, and leaves its use to children
/// that come and go: nothing but times and unknown pids tell that it is in use.
pub fn next_server(segment: i32, set: i32, queue: i32) -> Asked {
    // Times of the tables are seconds.
    std::thread::sleep(Duration::from_millis(1500));
    let mut next = Asked::stranger(User::Server);
    let mut by_child = |line: &str| {
        let child = format!("my $p = fork; if (!$p) {{ {line}; exit 0 }} waitpid $p, 0; $?");
        assert_eq!(next.ask(&format!("do {{ {child} }}")), 0, "{line}");
    };
    by_child(&format!("set({set}, 0, 5); op({set}, 0, -1)"));
    by_child(&format!("put({queue}, 'again')"));
    by_child(&format!("my $b; shmctl({segment}, 2, $b) && shmctl({segment}, 1, $b) or die"));
    std::thread::sleep(Duration::from_millis(1500));
    next
}

/// A server of three under this key, all in the ledger, and its launcher.
fn with_three(key: u32, options: &[&str]) -> (Instance, Asked, i32, [i32; 3]) {
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, options);
    let segment = server.ask(&format!("shmget({key}, 4096, 03600) + 0"));
    let ids = [segment, server.make_set(key, 1), server.make_queue(key)];
    instance.wait_recorded(3);
    let launcher = processes::parent(server.pid()).unwrap();
    (instance, server, launcher, ids)
}

/// Kills the server, which stays a zombie as long as its launcher is stopped.
fn kill(server: &Asked) {
    processes::kill(server.pid(), Signal::SIGKILL);
    processes::wait_end(server.pid(), SOON);
}

fn all_there([segment_id, set, queue]: [i32; 3]) -> bool {
    segment(segment_id).is_some() && is_set(set) && is_queue(queue)
}

fn last_end(instance: &Instance) -> String {
    let document = ["history", "--json", instance.path()];
    let document = warden::answer(User::Server, &document).expect_code(0).json();
    document["runs"].as_array().unwrap().last().unwrap()["end"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_that_a_next_server_has_changed_is_removed_by_a_launcher_that_was_stopped() {
    sandbox::on_host(|| {
        let (instance, mut server, launcher, ids) = with_three(KEY, &["--linger", "0s"]);
        stop(launcher);
        kill(&server);
        let next = next_server(ids[0], ids[1], ids[2]);
        processes::kill(launcher, Signal::SIGCONT);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "the server's own end");
        assert!(all_there(ids), "{}", String::from_utf8_lossy(&instance.bytes()));
        for _ in 0..2 {
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept changed", "kept user-unrecorded"]);
            assert!(all_there(ids));
        }
        assert_eq!(last_end(&instance), "unknown");
        next.kill();
        instance.sweep(&[]).expect_code(0);
        assert!(all_there(ids), "its successor may come again");
    });
}

/// What has no key goes though the end is unknown. What nobody has used may be anybody's who came
/// meanwhile and is gone.
#[test]
fn nothing_that_came_meanwhile_is_taken_for_the_servers_by_a_launcher_that_was_stopped() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let (instance, mut server, launcher, _) = with_three(0, &["--linger", "0s"]);
        stop(launcher);
        kill(&server);
        let mut next = Asked::stranger(User::Server);
        let (set, queue) =
            (next.ask(&format!("newset({KEY}, 1)")), next.ask(&format!("newqueue({KEY})")));
        let its = next.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        next.kill();
        processes::kill(launcher, Signal::SIGCONT);
        server.outermost().wait(SOON);
        assert!(all_there([its, set, queue]), "{}", String::from_utf8_lossy(&instance.bytes()));
        assert_eq!((segments().len(), sets().len(), queues().len()), (1, 1, 1));
        instance.sweep(&[]).expect_code(0);
        assert!(all_there([its, set, queue]));
    });
}

/// The dead server's pid is still its own, and so is the segment that bears it. A set bears no
/// creator: it is told of, and stays.
#[test]
fn of_what_was_made_while_the_launcher_was_stopped_segments_go_and_sets_and_queues_stay() {
    sandbox::on_host(|| {
        let (instance, mut server, launcher, known) = with_three(0, &["--linger", "0s"]);
        stop(launcher);
        let segment_id = server.ask("shmget(0, 4096, 03600) + 0");
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        kill(&server);
        processes::kill(launcher, Signal::SIGCONT);
        server.outermost().wait(SOON);
        assert!(segment(segment_id).is_none() && segment(known[0]).is_none());
        assert!(!is_set(known[1]) && !is_queue(known[2]), "nobody else has used them");
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept unwitnessed"]);
        assert!(is_set(set) && is_queue(queue));
    });
}

/// `systemctl kill` and `stop` send SIGCONT after each signal, stopped or not.
#[test]
fn a_launcher_that_was_continued_and_sees_its_server_live_is_not_late() {
    sandbox::on_host(|| {
        let (instance, server, launcher, known) = with_three(0, &[]);
        for _ in 0..3 {
            stop(launcher);
            processes::kill(launcher, Signal::SIGCONT);
        }
        wait_until("it has read that", SOON, || pending_signals(launcher) == 0);
        server.kill();
        assert_eq!(last_end(&instance), "signal 9");
        assert!(!is_set(known[1]) && !is_queue(known[2]));
    });
}

/// The signals that have arrived at a process and were not read yet.
fn pending_signals(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:\t")).unwrap();
    u64::from_str_radix(line, 16).unwrap()
}
