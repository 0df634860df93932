//! Two servers of one user on one port: openGauss itself takes the first one's segment away and
//! its key over, and goes round its sets. Whatever the end of the one under a ledger, the other
//! keeps what it has and works on.

use nix::sys::signal::Signal;

use super::gauss::{FIRST_KEY, Gauss, PORT, assert_works, mark};
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::{Line, sets};
use crate::support::objects::{segment, segments};
use crate::support::sandbox;
use crate::support::user::User;

const ENDS: [(Signal, &[&str]); 5] = [
    (Signal::SIGKILL, &[]),
    (Signal::SIGQUIT, &[]),
    (Signal::SIGUSR1, &[]),
    (Signal::SIGUSR2, &[]),
    (Signal::SIGINT, &["recovering=on"]),
];

/// The neighbour's segment has the recorded one's key; the recorded one is marked as destroyed.
#[test]
fn a_neighbour_that_took_the_key_over_keeps_everything() {
    sandbox::run(|| {
        for (signal, settings) in ENDS {
            for is_seen in [true, false] {
                let instance = Instance::new(User::Server);
                let mut server = Gauss::under(&instance, User::Server, settings);
                instance.wait_recorded(5);
                let (ours, _) = server.belongings();
                let neighbour = Gauss::alone(User::Server, PORT, &[]);
                let theirs = neighbour.belongings();
                assert_eq!(segment(theirs.0[0]).unwrap().key, FIRST_KEY);
                assert_eq!(segment(ours[0]).unwrap().mode & 0o1000, 0o1000, "marked");
                end(&instance, &mut server, signal, is_seen);
                assert_only(&neighbour, &theirs);
            }
        }
    });
}

/// The neighbour's segment is marked as destroyed by the server under the ledger, and in use.
#[test]
fn a_neighbour_whose_key_was_taken_keeps_everything() {
    sandbox::run(|| {
        for (signal, settings) in ENDS {
            for is_seen in [true, false] {
                let neighbour = Gauss::alone(User::Server, PORT, &[]);
                let theirs = neighbour.belongings();
                let instance = Instance::new(User::Server);
                let mut server = Gauss::under(&instance, User::Server, settings);
                instance.wait_recorded(5);
                assert_eq!(segment(theirs.0[0]).unwrap().mode & 0o1000, 0o1000, "marked");
                end(&instance, &mut server, signal, is_seen);
                assert_only(&neighbour, &theirs);
            }
        }
    });
}

/// What the ledger names is gone, and its keys name the neighbour's.
#[test]
fn a_neighbour_that_reclaimed_what_was_left_keeps_everything() {
    sandbox::run(|| {
        for (signal, settings) in ENDS {
            let instance = Instance::new(User::Server);
            let mut server = Gauss::under(&instance, User::Server, settings);
            instance.wait_recorded(5);
            server.end_both(signal);
            let keys = |lines: Vec<Line>| lines.iter().map(|line| line.key).collect::<Vec<_>>();
            let left = keys(sets());
            let neighbour = Gauss::alone(User::Server, PORT, &[]);
            let theirs = neighbour.belongings();
            assert_eq!(keys(sets()), left, "the same keys");
            let sweep = instance.sweep(&[]).expect_code(0);
            assert!(!outcomes(&sweep).iter().any(|it| it.starts_with("removed")), "{sweep:?}");
            assert_only(&neighbour, &theirs);
        }
    });
}

/// Another user's objects cannot be attached or asked: the next keys are taken.
#[test]
fn a_server_of_another_user_takes_the_next_keys() {
    sandbox::run(|| {
        let first = Gauss::alone(User::Server, PORT, &["sets=2"]);
        let second = Gauss::alone(User::Other(4711), PORT, &["sets=2"]);
        let key = |server: &Gauss| segment(server.belongings().0[0]).unwrap().key;
        assert_eq!((key(&first), key(&second)), (FIRST_KEY, FIRST_KEY + 1));
        let keys: Vec<u32> = sets().iter().map(|line| line.key).collect();
        assert_eq!(keys, [FIRST_KEY, FIRST_KEY + 1, FIRST_KEY + 2, FIRST_KEY + 3]);
        assert!(sets().iter().all(|line| line.count == 17 && mark(line.id).0 == 537));
    });
}

fn end(instance: &Instance, server: &mut Gauss, signal: Signal, is_seen: bool) {
    if is_seen {
        server.end(signal);
    } else {
        server.end_both(signal);
        instance.sweep(&[]).expect_code(0);
    }
}

/// Fails unless what a server has is all that there is, and it works on.
fn assert_only(server: &Gauss, theirs: &(Vec<i32>, Vec<i32>)) {
    let segments: Vec<i32> = segments().iter().map(|segment| segment.id).collect();
    let sets: Vec<i32> = sets().iter().map(|line| line.id).collect();
    assert_eq!((&segments, &sets), (&theirs.0, &theirs.1));
    assert_works(server, &theirs.1);
}
