//! Sets and queues that a server shares on purpose with a program that does not descend from it.
//! They name no maker, and the last user alone.

use std::time::Duration;

use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, SOON, need_root, outcomes};
use crate::support::calls::{is_queue, is_set};
use crate::support::container::{Container, Own};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x5151;

/// A launcher that has nothing to do looks once a second.
const TWO_LOOKS: Duration = Duration::from_millis(2500);

/// Looks of a launcher are a second apart by then, and a use takes microseconds.
fn wait_for_rare_looks() {
    std::thread::sleep(Duration::from_secs(7));
}

fn verdict(instance: &Instance) -> String {
    let list = ["list", "--json", "--ledger", instance.path()];
    let list = warden::answer(User::Server, &list).expect_code(0).json();
    let object = &list["objects"].as_array().unwrap()[0];
    format!("{} {}", object["verdict"].as_str().unwrap(), object["reason_code"].as_str().unwrap())
}

/// The peer makes it, and the server has used it before anybody looks: nothing shows the peer.
#[test]
fn a_set_that_a_peer_made_stays_while_the_peer_lives() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let mut peer = Asked::stranger(User::Server);
        wait_for_rare_looks();
        // Again where a look came between the two.
        let set = (KEY..KEY + 5).find_map(|key| {
            let set = peer.make_set(key, 1);
            server.ask(&format!("op({set}, 0, -1); op({set}, 0, 1)"));
            happens_within(TWO_LOOKS, || instance.count("object") == 1).then_some(set)
        });
        let set = set.expect("a set that is taken for the server's");
        server.kill();
        assert!(is_set(set));
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept others-may-use"], "{sweep:?}");
        assert_eq!(verdict(&instance), "held others-may-use");
        peer.ask(&format!("op({set}, 0, -1); op({set}, 0, 1)"));
        drop(peer);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(!is_set(set));
    });
}

/// Whoever could use it need never have done so.
#[test]
fn a_set_stays_while_anybody_lives_whom_its_mode_lets_in() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        for (mode, may) in [("600", false), ("666", true)] {
            let instance = Instance::new(User::Server);
            let mut server = Asked::start(&instance, &["--linger", "0s"]);
            let other = Asked::stranger(User::Other(47110));
            let set = server.ask(&format!("semget({KEY}, 1, 03{mode}) + 0"));
            server.ask(&format!("set({set}, 0, 1)"));
            instance.wait_recorded(1);
            server.kill();
            assert_eq!(is_set(set), may, "{mode}");
            let expected: &[&str] = if may { &["kept others-may-use"] } else { &[] };
            assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), expected, "{mode}");
            drop(other);
            // Root sees that others of the machine's are in another IPC namespace.
            instance.sweep_as(User::Root, &[]).expect_code(0);
            assert!(!is_set(set), "{mode}");
        }
    });
}

/// It was seen to use the set, and the last operation is the server's again.
#[test]
fn a_stranger_that_was_seen_to_use_a_set_keeps_it_while_it_lives() {
    sandbox::on_host(|| {
        need_root("for a stranger who may use everything");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        // Without a key: whoever is given its number uses it.
        let set = server.make_set(0, 1);
        instance.wait_recorded(1);
        let mut stranger = Asked::stranger(User::Root);
        let noted = || instance.count("stranger") == 1;
        stranger.ask(&format!("op({set}, 0, -1); op({set}, 0, 1)"));
        wait_until("the stranger is noted", SOON, noted);
        server.ask(&format!("op({set}, 0, -1); op({set}, 0, 1)"));
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept shared"], "{sweep:?}");
        assert_eq!(verdict(&instance), "held shared");
        stranger.ask(&format!("value({set}, 0)"));
        drop(stranger);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(!is_set(set));
    });
}

/// Nobody uses it any more, and its user has no other process.
#[test]
fn what_has_a_key_goes_where_everybody_is_seen_and_nobody_else_could_use_it() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let (set, queue) = (server.make_set(KEY, 3), server.make_queue(KEY));
        instance.wait_recorded(2);
        server.kill();
        assert!(!is_set(set) && !is_queue(queue));
    });
}

/// In a container, whose IPC namespace others may have joined.
#[test]
fn what_has_a_key_stays_where_not_everybody_is_seen() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let container = Container::new(&[Own::Pids]);
        let mut run = container.command(User::Server, warden::binary());
        run.args(["run", "--linger", "0s", "--ledger", instance.path(), "--"]);
        let mut server = Asked::spawn({
            run.args(asked::words());
            run
        });
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        // What has no key goes by who used it.
        let own = server.make_set(0, 1);
        instance.wait_recorded(3);
        server.kill();
        assert!(is_set(set) && is_queue(queue) && !is_set(own));
        let mut sweep = container.command(User::Server, warden::binary());
        let sweep = Answer::of(sweep.args(["sweep", "--json", instance.path()])).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept others-unseen", "kept unseen"], "{sweep:?}");
        assert!(is_set(set) && is_queue(queue));
    });
}
