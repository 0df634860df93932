//! Where nothing is relayed, the server has what the launcher was given.

use std::process::Command;

use super::manager::Manager;
use super::notifier;
use crate::scene::instance::{Instance, SOON};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// Prints the variable, and how many sockets its parent, the launcher, has.
const ENVIRONMENT: &str = r#"
    my $launcher = getppid;
    my @sockets = grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$launcher/fd/*";
    print $ENV{NOTIFY_SOCKET} // 'unset', ' ', scalar @sockets, "\n";
"#;

#[test]
fn the_managers_own_socket_is_passed_where_that_was_asked_for() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = "notify(\"STATUS=$$ $address\"); rest() for 1..20;";
        let options = ["--notify", "pass"];
        let mut launcher =
            Process::spawn(&mut notifier::command(&instance, &manager, &options, body));
        let told = manager.next();
        assert_eq!(told.words(), format!("STATUS={} {}", told.pid, manager.address));
        assert_ne!(told.pid, launcher.pid());
        assert!(launcher.wait(SOON).success());
    });
}

#[test]
fn nothing_is_made_where_there_is_no_manager_or_none_that_can_be_relayed_to() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut command = instance.run(&[], &["perl", "-e", ENVIRONMENT]);
        command.stdin(std::process::Stdio::null());
        assert_eq!(said(command.env_remove("NOTIFY_SOCKET")), ("unset 0\n".into(), String::new()));
        for address in ["vsock:2:1234", "vsock-stream:2:1234", ""] {
            let expected = (format!("{address} 0\n"), String::new());
            assert_eq!(said(command.env("NOTIFY_SOCKET", address)), expected);
        }
    });
}

#[test]
fn where_no_relay_can_be_had_the_server_starts_with_the_managers_own_socket() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let long = format!("/{}", "x".repeat(200));
        for address in ["/nowhere/notify", "@nobody/listens", "relative", "@", &long] {
            let mut command = instance.run(&[], &["perl", "-e", ENVIRONMENT]);
            let (output, errors) = said(command.env("NOTIFY_SOCKET", address));
            assert_eq!(output, format!("{address} 0\n"));
            assert!(errors.contains("cannot relay"), "{errors}");
            assert!(errors.contains("NotifyAccess=all"), "{errors}");
        }
    });
}

fn said(command: &mut Command) -> (String, String) {
    let answer = Answer::of(command).expect_code(0);
    (answer.stdout, answer.stderr)
}
