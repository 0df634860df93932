//! A ledger that is written anew by a helper that is killed in the midst of it, and one of more
//! runs than are kept: nothing that is open is lost.

use std::fs;

use nix::sys::signal::Signal;

use super::growth::{length, make_long};
use crate::database::strace::{Hold, Point};
use crate::leaks::sets::KEY;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::holders;
use crate::support::objects::segments;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

#[test]
fn a_helper_killed_before_the_new_ledger_is_synced_loses_nothing() {
    sandbox::on_host(|| killed_in_compaction("fsync", Point::Before, false));
}

#[test]
fn a_helper_killed_before_the_new_ledger_has_the_name_loses_nothing() {
    sandbox::on_host(|| killed_in_compaction("rename", Point::Before, false));
}

#[test]
fn a_helper_killed_when_the_new_ledger_has_the_name_loses_nothing() {
    sandbox::on_host(|| killed_in_compaction("rename", Point::After, true));
}

/// Held there, the helper is killed: the launcher goes on with the file that has the name.
fn killed_in_compaction(calls: &'static str, point: Point, renamed: bool) {
    let instance = Instance::new(User::Server);
    Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
    let long = make_long(&instance);
    let mut server = Asked::start(&instance, &[]);
    let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
    instance.wait_recorded(2);
    let launcher = processes::parent(server.pid()).unwrap();
    let file = sandbox::scratch().join("strace");
    let hold = Hold { calls, ..Hold::first(calls, point) };
    let strace = hold.attach_to_all(launcher, &file);
    server.ask(&format!("shmget(0, 4096, 03600) for 1 .. 30; shmget({KEY}, 4096, 03600) + 0"));
    hold.wait(&file);
    let others = processes::descendants(launcher).into_iter().filter(|&pid| pid != server.pid());
    let [helper] = others.collect::<Vec<_>>()[..] else { panic!("one helper") };
    assert!(instance.set_aside().contains(&"server.ledger.new".to_owned()) != renamed);
    processes::kill(helper, Signal::SIGKILL);
    drop(strace); // it would let the helper go when the time is over
    processes::wait_end(helper, SOON);
    assert_eq!(length(&instance) < long / 2, renamed);

    // The launcher goes on in the file that has the name, and the lock is on that.
    let last = server.make_set(KEY, 3);
    let mark = format!(r#""id":{last},"#);
    wait_until("more is recorded", SOON, || {
        String::from_utf8_lossy(&instance.bytes()).contains(&mark)
    });
    Answer::of(&mut instance.run(&[], &["true"])).expect_code(125);
    instance.sweep(&[]).expect_code(75);
    server.kill();
    assert!(!is_set(set) && !is_queue(queue));
    assert_eq!((segments().len(), sets().len(), queues().len()), (0, 0, 0));
    Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
    assert_eq!(instance.set_aside(), [""; 0], "nothing lies beside it");
}

/// More than a hundred old runs, the first of which has left what somebody holds.
#[test]
fn of_old_runs_a_hundred_stay_and_the_one_with_something_open() {
    sandbox::on_host_within(std::time::Duration::from_secs(400), || {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let segment = server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        instance.wait_recorded(3);
        let holder = holders::attach(User::Server, segment);
        server.kill();
        assert_eq!((segments().len(), sets().len(), queues().len()), (1, 1, 1));
        for _ in 0..130 {
            let run = &mut instance.run(&["--linger", "0s"], &["true"]);
            Answer::of(run).expect_code(0);
        }
        let document = ["history", "--json", instance.path()];
        let document = warden::answer(User::Server, &document).expect_code(0).json();
        let runs = document["runs"].as_array().unwrap();
        let numbers: Vec<u64> = runs.iter().map(|run| run["run"].as_u64().unwrap()).collect();
        assert!((101..=112).contains(&numbers.len()), "{numbers:?}");
        assert_eq!((numbers[0], *numbers.last().unwrap()), (1, 131));
        assert!(numbers[1] > 2, "the oldest of the others went: {numbers:?}");
        assert_eq!(runs[0]["objects"].as_array().unwrap().len(), 3);
        assert!(fs::metadata(instance.ledger()).unwrap().len() < 1 << 20);
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segments().is_empty() && !is_set(set) && !is_queue(queue));
    });
}
