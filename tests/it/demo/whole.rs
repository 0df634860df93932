//! Stories that are told to their end: every claim holds, and nothing is left.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::stage::{self, Before, STAND_IN, claims_of};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::Answer;

/// What is claimed of the stand-in beyond what is claimed of every server.
const OF_AN_OPENGAUSS: [&str; 5] = [
    "it starts with 64.0 MiB in 1 System V segment, attached and 3 semaphore sets",
    "the segment's header names this process and its data directory",
    "each set has 537 in member 16, put there by this process",
    "postmaster.pid names the process and the segment",
    "run takes it for an openGauss",
];
/// What is claimed of every server.
const OF_EVERY_SERVER: [&str; 6] = [
    "run has left no segment of the server",
    "run has left no semaphore set of the server",
    "run has left all 5 bystanders as they were",
    "sweep has left no segment of the server",
    "sweep has left no semaphore set of the server",
    "sweep has left all 5 bystanders as they were",
];

fn assert_has(claims: &[String], wanted: &[&str]) {
    for claim in wanted {
        assert!(claims.iter().any(|made| made == claim), "{claim}: {claims:#?}");
    }
}

#[test]
fn root_sees_an_opengauss_crash_and_everything_of_it_go() {
    sandbox::run(|| {
        let before = Before::look();
        let answer = Answer::of(&mut stage::command(User::Root, &["--stand-in", "--json"]));
        let claims = claims_of(&answer);
        assert_has(&claims, &OF_AN_OPENGAUSS);
        assert_has(&claims, &OF_EVERY_SERVER);
        assert_has(&claims, &["64.0 MiB and 3 semaphore sets are leaked, with nobody attached"]);
        assert_eq!(answer.json()["server"], STAND_IN);
        assert_eq!(answer.json()["namespaces"], "own");
        before.assert_again(0, 0);
    });
}

#[test]
fn an_unprivileged_user_sees_the_same() {
    sandbox::run(|| {
        let before = Before::look();
        let answer = Answer::of(&mut stage::command(User::Server, &["--stand-in", "--json"]));
        let claims = claims_of(&answer);
        assert_has(&claims, &OF_AN_OPENGAUSS);
        assert_has(&claims, &OF_EVERY_SERVER);
        before.assert_again(0, 0);
        if answer.json()["namespaces"] != "user" {
            skip("user namespaces are refused here: the machine's tables were used");
        }
    });
}

#[test]
fn with_a_postgresql_the_bystanders_stand_too() {
    sandbox::run(|| {
        let before = Before::look();
        let answer = Answer::of(&mut stage::command(User::Root, &["--json"]));
        let claims = claims_of(&answer);
        before.assert_again(0, 0);
        let server = answer.json()["server"].as_str().unwrap().to_owned();
        if !server.starts_with("PostgreSQL ") {
            skip("no PostgreSQL where packages put it");
        }
        assert_has(&claims, &OF_EVERY_SERVER);
        assert!(!claims.iter().any(|claim| OF_AN_OPENGAUSS.contains(&claim.as_str())));
    });
}

/// By hiding what packages have installed: the mounts are the sandbox's own.
#[test]
fn without_a_postgresql_the_stand_in_plays() {
    sandbox::run(|| {
        let mut hidden = vec!["/usr/lib/postgresql".to_owned()];
        let usr = fs::read_dir("/usr").unwrap().map(|entry| entry.unwrap().path());
        let usr = usr.filter_map(|path| path.to_str().map(str::to_owned));
        hidden.extend(usr.filter(|path| path.starts_with("/usr/pgsql-")));
        for directory in hidden.iter().filter(|directory| Path::new(directory).is_dir()) {
            let mount = Command::new("mount").args(["-t", "tmpfs", "none", directory]).status();
            assert!(mount.unwrap().success(), "{directory}");
        }
        let before = Before::look();
        let mut command = stage::command(User::Root, &["--no-color"]);
        let answer = Answer::of(command.env("PATH", "/usr/bin:/bin")).expect_code(0);
        let wanted = format!("no PostgreSQL 10 to 18 was found, so\n{STAND_IN} as user");
        assert!(answer.stdout.contains(&wanted), "{answer:?}");
        assert!(!answer.stdout.contains("FAILED"), "{answer:?}");
        for claim in OF_AN_OPENGAUSS {
            assert!(answer.stdout.contains(&format!("   ok      {claim}\n")), "{answer:?}");
        }
        before.assert_again(0, 0);
    });
}
