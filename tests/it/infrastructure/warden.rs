//! Calling the program: by any user, with its answer taken apart.

use std::process::Command;

use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

#[test]
fn every_user_can_run_the_program() {
    sandbox::run(|| {
        for user in [User::Root, User::Server] {
            let answer = warden::answer(user, &["--version"]).expect_code(0);
            assert!(answer.stdout.starts_with("shmwarden "), "{answer:?}");
            assert_eq!(answer.stderr, "");
        }
    });
}

#[test]
fn a_user_is_who_it_says() {
    sandbox::run(|| {
        let answer = Answer::of(User::Server.command("id").arg("-u"));
        assert_eq!(answer.stdout.trim().parse(), Ok(User::Server.ids().0));
        assert_ne!(User::Server.ids().0, 0);
    });
}

#[test]
fn an_answer_has_status_and_document() {
    let script = r#"echo '{"schema":1}'; exit 75"#;
    let answer = Answer::of(Command::new("sh").args(["-c", script]));
    assert_eq!(answer.code(), 75);
    assert_eq!(answer.json()["schema"], 1);
}

#[test]
fn a_prefix_ends_before_the_servers_command_line() {
    sandbox::run(|| {
        let words = warden::prefix(&["run", "--name", "one"]);
        assert_eq!(words[1..], ["run", "--name", "one", "--"]);
    });
}
