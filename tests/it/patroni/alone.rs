//! A cluster of one member.

use std::time::Duration;

use super::member::{LONG, Member};
use super::site::{Site, Which};
use crate::database::stage::{Objects, objects, without};
use crate::support::ends::seen_from_beside;
use crate::support::objects::Bystanders;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

const LIMIT: Duration = Duration::from_secs(300);

/// What servers have, beside what was there before.
struct Servers {
    before: Objects,
    bystanders: Bystanders,
}

impl Servers {
    fn none() -> Self {
        let bystanders = Bystanders::create(User::Server, 1, 3);
        Servers { before: objects(), bystanders }
    }

    fn objects(&self) -> Objects {
        self.bystanders.assert_untouched();
        without(&objects(), &self.before)
    }
}

/// Fails unless all of a dead server's objects are gone.
fn assert_gone(old: &Objects, now: &Objects, told: &str) {
    assert!(old.len() >= 3, "main and control segment, statistics: {old:?}");
    assert_eq!(without(old, now), *old, "{now:?}\n{told}");
}

#[test]
fn debians_patroni_starts_reloads_restarts_and_pauses_and_a_killed_server_leaves_nothing() {
    sandbox::run_within(LIMIT, || lives_on(Which::Debian));
}

#[test]
fn a_patroni_with_bin_name_starts_reloads_restarts_and_pauses_and_a_killed_server_leaves_nothing() {
    sandbox::run_within(LIMIT, || lives_on(Which::WithBinName));
}

fn lives_on(which: Which) {
    let site = Site::new(which);
    let _etcd = site.start_etcd();
    let mut member = Member::new(&site, 1);
    let servers = Servers::none();
    member.start();
    let first = member.wait_serves("primary");
    asks_and_reloads(&member, first);
    // A Patroni that begins beside a server judges it by `postmaster.pid` and its start alone.
    member.kill_patroni();
    member.start();
    assert_eq!(member.wait_serves("primary"), first, "{}", member.told());

    let (old, guardian) = (servers.objects(), member.guardian());
    member.patronictl("restart", &[&member.name, "--force"]);
    let second = member.wait_serves("primary");
    assert_ne!(first, second, "{}", member.told());
    member.wait_guardian(guardian);
    assert_gone(&old, &servers.objects(), &member.told());

    let old = servers.objects();
    let guardian = member.kill_postmaster();
    member.wait_guardian(guardian);
    let another = || member.postmaster().is_some_and(|pid| pid != second);
    member.wait_for("has another server", || another() && member.serves("primary"));
    let now = servers.objects();
    assert_gone(&old, &now, &member.told());
    assert_eq!(member.sql("select 1").as_deref(), Ok("1"));
    assert!(now.len() >= 3, "{now:?}");

    pauses(&servers, &member);

    let guardian = member.guardian();
    member.stop();
    member.wait_guardian(guardian);
    assert_eq!(servers.objects(), Objects::new(), "{}", member.told());
    // Before Patroni starts a killed server again it may let it recover by `postgres --single`.
    let ends = ["exit 0", "signal 9"].map(seen_from_beside);
    let runs = member.runs();
    assert!(runs.iter().all(|run| ends.iter().any(|end| run["end"] == end.as_str())), "{runs:#?}");
    let killed = runs.iter().find(|run| run["pid"] == second).unwrap();
    assert_eq!(killed["end"], seen_from_beside("signal 9"), "{runs:#?}");
    member.assert_never_doubted();
}

/// What Patroni asks of the server's program makes no run; the server is the one it knows.
fn asks_and_reloads(member: &Member, postmaster: i32) {
    assert_eq!(member.runs().len(), 1);
    assert_eq!(member.runs()[0]["pid"], postmaster);
    let list = member.patronictl("list", &["--format", "json"]).json();
    assert_eq!((&list[0]["Role"], &list[0]["State"]), (&"Leader".into(), &"running".into()));
    member.configure("5MB");
    member.patronictl("reload", &[&member.name, "--force"]);
    let reloaded = || member.sql("show work_mem").as_deref() == Ok("5MB");
    member.wait_for("has read its configuration again", reloaded);
    assert_eq!(member.postmaster(), Some(postmaster));
}

/// A paused Patroni starts no server again: what is left then, nobody else has cleaned up.
fn pauses(servers: &Servers, member: &Member) {
    member.patronictl("pause", &["--wait"]);
    let guardian = member.kill_postmaster();
    member.wait_guardian(guardian);
    assert_eq!(servers.objects(), Objects::new(), "{}", member.told());
    member.patronictl("resume", &["--wait"]);
    member.wait_for("serves again", || !servers.objects().is_empty() && member.serves("primary"));
}

#[test]
fn debians_patroni_that_is_killed_with_everything_starts_again_and_leaves_nothing() {
    sandbox::run_within(LIMIT, || is_killed_with_everything(Which::Debian));
}

#[test]
fn a_patroni_with_bin_name_that_is_killed_with_everything_starts_again_and_leaves_nothing() {
    sandbox::run_within(LIMIT, || is_killed_with_everything(Which::WithBinName));
}

fn is_killed_with_everything(which: Which) {
    let site = Site::new(which);
    let _etcd = site.start_etcd();
    let mut member = Member::new(&site, 1);
    let servers = Servers::none();
    member.start();
    let first = member.wait_serves("primary");
    member.sql("create table kept as select 7 as number").unwrap();
    let old = servers.objects();
    processes::kill_everything();
    member.kill_patroni();
    wait_until("all have ended", LONG, || {
        processes::all().into_iter().filter(|&pid| processes::lives(pid)).count() == 2
    });
    assert_eq!(servers.objects(), old, "nobody was left to clean up");

    let _etcd_again = site.start_etcd();
    member.start();
    let again = || member.postmaster().is_some_and(|pid| pid != first);
    member.wait_for("serves again", || again() && member.serves("primary"));
    assert_gone(&old, &servers.objects(), &member.told());
    assert_eq!(member.sql("select number from kept").as_deref(), Ok("7"));
    let guardian = member.guardian();
    member.stop();
    member.wait_guardian(guardian);
    assert_eq!(servers.objects(), Objects::new(), "{}", member.told());
    member.assert_never_doubted();
}
