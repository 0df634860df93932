//! A server whose segment or sets are taken while it lives; its own ends are told apart.

use std::process::Command;

use nix::sys::signal::Signal;

use super::gauss::Gauss;
use crate::scene::instance::{Instance, SOON};
use crate::support::objects::remove_segment;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};

/// The ids of the server's segments and sets, once each set is in the ledger: one that is made
/// after the first look is recorded by the next.
fn recorded(instance: &Instance, server: &Gauss) -> (Vec<i32>, Vec<i32>) {
    instance.wait_recorded(4);
    let (segments, sets) = server.belongings();
    wait_until("each set is recorded", SOON, || {
        let ledger = std::fs::read_to_string(instance.ledger()).unwrap();
        sets.iter().all(|id| ledger.contains(&format!("\"kind\":\"sem\",\"id\":{id},")))
    });
    (segments, sets)
}

#[test]
fn a_segment_that_is_marked_and_a_set_that_is_removed_are_noted() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = Gauss::under(&instance, User::Server, &["threads=0", "sets=2"]);
        let (segments, sets) = recorded(&instance, &server);
        remove_segment(segments[0]);
        wait_until("the segment is noted", SOON, || instance.count("robbed") == 1);
        let removed = Command::new("ipcrm").args(["-s", &sets[1].to_string()]).status().unwrap();
        assert!(removed.success());
        wait_until("the set is noted", SOON, || instance.count("robbed") == 2);
        assert!(processes::lives(server.pid()));
    });
}

/// Its threads end it as soon as they miss a set: before any look could prove a thing.
#[test]
fn sets_that_a_server_crashes_without_are_noted() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Gauss::under(&instance, User::Server, &["sets=2"]);
        let (_, sets) = recorded(&instance, &server);
        let removed = Command::new("ipcrm").args(["-s", &sets[1].to_string()]).status().unwrap();
        assert!(removed.success());
        assert_ne!(server.wait().code(), Some(0));
        assert_eq!(instance.count("robbed"), 1);
    });
}

/// An immediate stop removes the segment while it is attached, a fast one all that it has.
#[test]
fn no_end_of_its_own_is_a_robbery() {
    sandbox::run(|| {
        for signal in [Signal::SIGQUIT, Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR2] {
            let instance = Instance::new(User::Server);
            let mut server = Gauss::under(&instance, User::Server, &["sets=2"]);
            instance.wait_recorded(4);
            happens_within(std::time::Duration::from_secs(2), || false);
            server.end(signal);
            assert_eq!(instance.count("robbed"), 0, "{signal}");
        }
    });
}
