//! Whose notifications are relayed.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::manager::Manager;
use super::notifier;
use crate::scene::instance::{Instance, SOON};
use crate::support::processes::Process;
use crate::support::user::User;
use crate::support::{sandbox, skip};

/// Has a child notify, then says something itself.
const FAMILY: &str = r#"
    my $child = fork;
    if ($child == 0) { notify("STATUS=child $$"); exit }
    waitpid $child, 0;
    notify("STATUS=parent");
"#;

#[test]
fn a_descendant_is_not_heeded_as_a_rule() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let command = &mut notifier::command(&instance, &manager, &[], FAMILY);
        let mut launcher = Process::spawn(command);
        assert_eq!(manager.next().words(), "STATUS=parent");
        assert!(launcher.wait(SOON).success());
    });
}

#[test]
fn a_descendant_is_heeded_where_all_are_while_it_lives() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        // A child that ends at once may be gone before anybody can ask whose it was.
        let body = FAMILY.replace("exit", "rest() for 1..50; exit");
        let options = ["--notify-access", "all"];
        let command = &mut notifier::command(&instance, &manager, &options, &body);
        let mut launcher = Process::spawn(command);
        let told = manager.next();
        assert!(told.words().starts_with("STATUS=child "), "{told:?}");
        assert_eq!(told.pid, launcher.pid());
        assert_eq!(manager.next().words(), "STATUS=parent");
        assert!(launcher.wait(SOON).success());
    });
}

#[test]
fn a_stranger_is_not_heeded_and_its_flood_delays_neither_signals_nor_the_server() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = r#"
            $SIG{USR1} = sub { notify("STATUS=signalled") };
            notify("STATUS=$address");
            rest() while 1;
        "#;
        let options = ["--notify-access", "all"];
        let command = &mut notifier::command(&instance, &manager, &options, body);
        let mut launcher = Process::spawn(command);
        let address = manager.next().words().replace("STATUS=", "");
        assert!(address.starts_with('@'), "{address}");

        let flood = "open(my $null, '<', '/dev/null'); \
                     notify('STATUS=stranger', fileno $null) while 1";
        let words = notifier::words(flood);
        let mut strangers: Vec<Process> = (0..2)
            .map(|_| {
                let mut stranger = User::Server.command(&words[0]);
                stranger.args(&words[1..]).env("NOTIFY_SOCKET", &address);
                Process::spawn(&mut stranger)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..20 {
            launcher.signal(Signal::SIGUSR1);
            assert_eq!(manager.next().words(), "STATUS=signalled");
        }
        assert!(strangers.iter_mut().all(Process::is_running), "the flood goes on");
        launcher.signal(Signal::SIGTERM);
        launcher.wait(SOON);
        assert!(manager.within(Duration::ZERO).is_none());
    });
}

#[test]
fn systemd_notify_works_in_a_script() {
    sandbox::run(|| {
        if !std::path::Path::new("/usr/bin/systemd-notify").exists() {
            skip::skip("needs systemd-notify");
        }
        let manager = Manager::new();
        let script = ["sh", "-c", "systemd-notify --ready --status=up; true"];
        // A privileged one speaks for its parent, another one for itself; the barrier is its own.
        for (user, access) in [(User::Root, "main"), (User::Server, "all")] {
            if !sandbox::has_root() {
                skip::skip("needs root, to be both privileged and not");
            }
            let instance = Instance::new(user);
            let mut command = instance.run(&["--notify-access", access], &script);
            command.env("NOTIFY_SOCKET", &manager.address);
            let mut launcher = Process::spawn(&mut command);
            let told = manager.next();
            assert_eq!(told.words().trim_end(), "READY=1\nSTATUS=up", "{user:?}");
            let barrier = manager.next();
            assert_eq!(barrier.words(), "BARRIER=1");
            assert!(launcher.is_running());
            barrier.close();
            assert!(launcher.wait(SOON).success());
        }
    });
}
