//! A cluster of two members: the leader's server is killed, the other takes over, and
//! the first comes back beside it.

use std::time::Duration;

use serde_json::Value;

use super::member::Member;
use super::site::{Site, Which};
use crate::database::stage::{Objects, objects, without};
use crate::support::objects::Bystanders;
use crate::support::sandbox;
use crate::support::user::User;

const LIMIT: Duration = Duration::from_secs(400);

#[test]
fn where_debians_patroni_fails_over_only_the_dead_servers_objects_go() {
    sandbox::run_within(LIMIT, || fails_over(Which::Debian));
}

#[test]
fn where_a_patroni_with_bin_name_fails_over_only_the_dead_servers_objects_go() {
    sandbox::run_within(LIMIT, || fails_over(Which::WithBinName));
}

fn fails_over(which: Which) {
    let site = Site::new(which);
    let bystanders = Bystanders::create(User::Server, 1, 3);
    let before = objects();
    let there = || {
        bystanders.assert_untouched();
        without(&objects(), &before)
    };
    let _etcd = site.start_etcd();
    let mut one = Member::new(&site, 1);
    let mut two = Member::new(&site, 2);
    one.start();
    one.wait_serves("primary");
    let ones = there();
    two.start();
    let copier = two.wait_serves("replica");
    one.wait_for("has a copy that keeps up", || {
        one.sql("select state from pg_stat_replication").as_deref() == Ok("streaming")
    });
    let twos = without(&there(), &ones);
    assert!(ones.len() >= 3 && twos.len() >= 3, "{ones:?}\n{twos:?}");

    let guardian = one.kill_postmaster();
    one.wait_guardian(guardian);
    assert_eq!(two.wait_serves("primary"), copier, "promoted, not started again");
    let now = there();
    assert_eq!(without(&ones, &now), ones, "{}", one.told());
    assert_eq!(without(&twos, &now), Objects::new(), "{}", two.told());

    // With a crash recovery of its own (`postgres --single`), and pg_rewind where it needs that.
    let postmaster = one.wait_serves("replica");
    two.sql("create table later as select 7 as number").unwrap();
    let has_it = || one.sql("select number from later").as_deref() == Ok("7");
    one.wait_for("follows the new leader", has_it);
    assert_eq!(without(&twos, &there()), Objects::new());

    let runs = one.runs();
    assert_eq!(runs.last().unwrap()["pid"], postmaster);
    let ended = |run: &&Value| run["end"].is_null();
    assert_eq!(runs.iter().filter(ended).count(), 1, "only the last runs: {runs:#?}");
    for member in [&mut one, &mut two] {
        let guardian = member.guardian();
        member.stop();
        member.wait_guardian(guardian);
        member.assert_never_doubted();
    }
    assert_eq!(there(), Objects::new(), "{}\n{}", one.told(), two.told());
}
