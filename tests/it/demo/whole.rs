//! Stories that are told to their end: every claim holds, and nothing is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::stage::{self, Before, OF_EVERY_SERVER, STAND_IN, assert_has, claims_of};
use crate::scene::instance::need_root;
use crate::support::filter;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// Runs a demo; fails unless it is told on this ground with this server, holds what it claims, and
/// leaves nothing.
fn assert_told(mut command: Command, ground: &str, is_server: impl Fn(&str) -> bool) {
    let before = Before::look();
    let answer = Answer::of(&mut command);
    assert_has(&claims_of(&answer), &OF_EVERY_SERVER);
    before.assert_again(0);
    let document = answer.json();
    assert!(is_server(document["server"].as_str().unwrap()), "{document:#}");
    let found = document["namespaces"].as_str().unwrap();
    if (ground, found) == ("user", "machine") {
        skip("user namespaces are refused here: the machine's tables were used");
    }
    assert_eq!(found, ground);
}

fn is_stand_in(server: &str) -> bool {
    server == STAND_IN
}

fn is_postgres(server: &str) -> bool {
    if is_stand_in(server) {
        skip("no PostgreSQL where packages put it");
    }
    server.starts_with("PostgreSQL ")
}

#[test]
fn root_sees_a_server_crash_and_everything_of_it_go() {
    sandbox::run(|| {
        need_root("to become the server's user");
        assert_told(stage::command(User::Root, &["--stand-in", "--json"]), "own", is_stand_in);
    });
}

#[test]
fn an_unprivileged_user_sees_the_same() {
    sandbox::run(|| {
        assert_told(stage::command(User::Server, &["--stand-in", "--json"]), "user", is_stand_in);
    });
}

#[test]
fn root_sees_a_postgresql_crash() {
    sandbox::run(|| {
        need_root("to become the server's user");
        assert_told(stage::command(User::Root, &["--json"]), "own", is_postgres);
    });
}

#[test]
fn an_unprivileged_user_sees_a_postgresql_crash() {
    sandbox::run(|| {
        assert_told(stage::command(User::Server, &["--json"]), "user", is_postgres);
    });
}

/// The sandbox's tables stand for the machine's: without the right to make namespaces, and, as on
/// Ubuntu, with user namespaces in which nothing may be mounted.
#[test]
fn where_namespaces_are_refused_the_machines_tables_will_do() {
    sandbox::run(|| {
        for refused in [filter::UNSHARE, filter::MOUNT] {
            for words in [["--stand-in", "--json"].as_slice(), &["--json"]] {
                let is_server = if words.len() == 2 { is_stand_in } else { is_postgres };
                let command = stage::command_without(User::Server, refused, words);
                assert_told(command, "machine", is_server);
            }
        }
    });
}

/// What the clean-up goes by there, one at a time.
#[test]
fn without_the_calls_of_newer_kernels_it_is_the_same() {
    sandbox::run(|| {
        for missing in [filter::NS_GET_ID, filter::PIDFD, filter::STAT_ANY] {
            let command = stage::command_without(User::Server, missing, &["--stand-in", "--json"]);
            assert_told(command, "user", is_stand_in);
            let command = stage::command_without(User::Server, missing, &["--json"]);
            assert_told(command, "user", is_postgres);
        }
    });
}

#[test]
fn root_without_the_right_to_make_namespaces_tells_it_in_the_machines_tables() {
    sandbox::run(|| {
        need_root("to become the server's user");
        assert_told(stage::without_namespaces(&["--json"]), "machine", is_postgres);
    });
}

/// As from root's own build directory, with a `/tmp` of a hardened system.
#[test]
fn root_may_keep_the_program_to_itself_and_tmp_may_refuse_programs() {
    sandbox::run(|| {
        need_root("to become the server's user");
        // Below the sandbox's own file system, as its scratch directory is hidden by the mount.
        let closed = Path::new("/var/lib/closed");
        fs::create_dir(closed).unwrap();
        fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
        let program = closed.join("shmwarden");
        fs::copy(warden::binary(), &program).unwrap();
        let mount = ["-t", "tmpfs", "-o", "noexec,mode=1777", "none", "/tmp"];
        assert!(Command::new("mount").args(mount).status().unwrap().success());
        let mut command = Command::new(program);
        command.args(["demo", "--json"]);
        assert_told(command, "own", is_postgres);
    });
}

/// By hiding what packages have installed: the mounts are the sandbox's own.
#[test]
fn without_a_postgresql_the_stand_in_plays() {
    sandbox::run(|| {
        need_root("to become the server's user");
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
        for claim in OF_EVERY_SERVER {
            assert!(answer.stdout.contains(&format!("   ok      {claim}\n")), "{answer:?}");
        }
        before.assert_again(0);
    });
}
