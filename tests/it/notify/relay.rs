//! What a server sends arrives as it was sent: bytes, order, descriptors; from the launcher.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::manager::Manager;
use super::notifier;
use crate::scene::instance::{Instance, SOON};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;

const EVERY_KIND: [&str; 12] = [
    "READY=1",
    "RELOADING=1\nMONOTONIC_USEC=1234567\n",
    "READY=1\nSTATUS=Processing requests\n",
    "WATCHDOG=1",
    "WATCHDOG=trigger",
    "WATCHDOG_USEC=20000000",
    "EXTEND_TIMEOUT_USEC=15000000",
    "FDSTOREREMOVE=1\nFDNAME=memory",
    "ERRNO=2\nBUSERROR=org.example.Failed",
    "X_OF_OUR_OWN=\\ \t\x01\x7f",
    "STOPPING=1",
    "STATUS=",
];

#[test]
fn every_kind_of_notification_arrives_as_it_was_sent_and_in_order() {
    sandbox::run(|| arrives_as_it_was_sent(&Manager::new()));
}

#[test]
fn a_manager_with_an_abstract_socket_is_told_too() {
    sandbox::run(|| arrives_as_it_was_sent(&Manager::with_abstract_socket()));
}

fn arrives_as_it_was_sent(manager: &Manager) {
    let instance = Instance::new(User::Server);
    let body: String = EVERY_KIND.map(|text| format!("notify({text:?});")).concat();
    let body = body.replace("\\u{1}", "\\x01").replace("\\u{7f}", "\\x7f");
    let mut launcher =
        Process::spawn(&mut notifier::command(&instance, manager, &[], &(body + "exit 3")));
    for text in EVERY_KIND {
        let told = manager.next();
        assert_eq!((told.words(), told.pid), (text.to_owned(), launcher.pid()));
    }
    assert_eq!(launcher.wait(SOON).code(), Some(3));
    assert!(manager.within(Duration::ZERO).is_none(), "nothing of the launcher's own");
}

#[test]
fn lines_that_would_take_the_launchers_place_are_dropped_and_what_is_empty_then_is_not_sent() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = r#"
            notify("READY=1\nMAINPID=1\nSTATUS=up\nNOTIFYACCESS=all\n");
            notify("MAINPID=$$");
            notify("");
            open(my $null, '<', '/dev/null');
            notify("MAINPIDFD=1", fileno $null);
            notify("MAINPIDFD=1\nMAINPIDFDID=5\nWATCHDOG=1", fileno $null);
            notify("STATUS=end");
        "#;
        let mut launcher = Process::spawn(&mut notifier::command(&instance, &manager, &[], body));
        assert_eq!(manager.next().words(), "READY=1\nSTATUS=up\n");
        let watchdog = manager.next();
        assert_eq!(watchdog.words(), "WATCHDOG=1");
        assert!(watchdog.descriptors.is_empty(), "{watchdog:?}");
        assert_eq!(manager.next().words(), "STATUS=end");
        assert!(launcher.wait(SOON).success());
    });
}

#[test]
fn a_barrier_holds_until_the_manager_has_closed_its_end() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = r#"
            pipe(my $read, my $write);
            notify("BARRIER=1", fileno $write);
            close $write;
            gone($read);
            notify("STATUS=the barrier is over");
        "#;
        let _launcher = Process::spawn(&mut notifier::command(&instance, &manager, &[], body));
        let barrier = manager.next();
        assert_eq!(barrier.words(), "BARRIER=1");
        assert_eq!(barrier.descriptors.len(), 1);
        assert!(manager.within(Duration::from_millis(500)).is_none(), "over too early");
        barrier.close();
        assert_eq!(manager.next().words(), "STATUS=the barrier is over");
    });
}

#[test]
fn as_many_descriptors_as_a_datagram_takes_arrive_in_order_whatever_the_servers_limit_is() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let directory = instance.directory().display();
        let body = format!(
            r#"
            use POSIX ();
            POSIX::close($_) for 3..258; # whatever the test was started with
            my @files = map {{ open(my $f, '>', "{directory}/f$_") or die "$!\n"; $f }} 0..252;
            open(my $limits, '<', '/proc/self/limits');
            notify((grep /open files/, <$limits>)[0]);
            close $limits;
            notify("FDSTORE=1\nFDNAME=files", map fileno $_, @files);
            close $_ for @files;
            $SIG{{TERM}} = sub {{ exit }};
            rest() while 1;
            "#
        );
        let command = notifier::command(&instance, &manager, &[], &body);
        let mut limited = std::process::Command::new("prlimit");
        limited.args(["--nofile=259:1024", "--"]).arg(command.get_program());
        limited.args(command.get_args()).env("NOTIFY_SOCKET", &manager.address);
        let mut launcher = Process::spawn(limited.stdin(std::process::Stdio::null()));
        let limit = manager.next().words();
        assert_eq!(limit.split_whitespace().nth(3), Some("259"), "the server's own: {limit}");
        let told = manager.next();
        assert_eq!(told.words(), "FDSTORE=1\nFDNAME=files");
        let names: Vec<_> = (0..253).map(|n| instance.directory().join(format!("f{n}"))).collect();
        assert_eq!(told.files(), names);
        told.close();
        let kept = std::fs::read_dir(format!("/proc/{}/fd", launcher.pid())).unwrap();
        assert!(kept.count() < 20, "the launcher keeps no copies");
        launcher.signal(Signal::SIGTERM);
        assert!(launcher.wait(SOON).success());
    });
}

#[test]
fn a_dead_servers_last_words_arrive() {
    sandbox::run(|| {
        let manager = Manager::new();
        for _ in 0..4 {
            dies_with_words(&manager);
        }
    });
}

/// One server whose words and death the launcher sees at one moment. Where it was stopped decides
/// what it looks at first.
fn dies_with_words(manager: &Manager) {
    let instance = Instance::new(User::Server);
    let body = r#"
        $SIG{USR1} = sub { notify("STATUS=$_") for 1..8; kill 'KILL', $$ };
        notify("READY=1");
        rest() while 1;
    "#;
    let mut launcher = Process::spawn(&mut notifier::command(&instance, manager, &[], body));
    assert_eq!(manager.next().words(), "READY=1");
    let server = processes::descendants(launcher.pid())[0];
    processes::kill(launcher.pid(), Signal::SIGSTOP);
    processes::kill(server, Signal::SIGUSR1);
    processes::wait_end(server, SOON);
    processes::kill(launcher.pid(), Signal::SIGCONT);
    for number in 1..=8 {
        let told = manager.next();
        assert_eq!((told.words(), told.pid), (format!("STATUS={number}"), launcher.pid()));
    }
    assert_eq!(launcher.wait(SOON).signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn what_is_too_long_or_carries_too_much_is_dropped_whole_and_nothing_of_it_is_kept() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let body = r#"
            open(my $null, '<', '/dev/null');
            notify("STATUS=" . "x" x 60000);
            notify("STATUS=" . "x" x 70000);
            notify("FDSTORE=1", (fileno $null) x 100);
            notify("STATUS=end");
            rest() while 1;
        "#;
        let command = notifier::command(&instance, &manager, &[], body);
        let mut limited = std::process::Command::new("prlimit");
        limited.args(["--nofile=60:60", "--"]).arg(command.get_program());
        limited.args(command.get_args()).env("NOTIFY_SOCKET", &manager.address);
        let mut launcher = Process::spawn(limited.stderr(std::process::Stdio::piped()));
        assert_eq!(manager.next().text.len(), 60007);
        assert_eq!(manager.next().words(), "STATUS=end");
        let kept = std::fs::read_dir(format!("/proc/{}/fd", launcher.pid())).unwrap();
        assert!(kept.count() < 20, "the launcher keeps no descriptors");
        processes::kill(processes::descendants(launcher.pid())[0], Signal::SIGKILL);
        launcher.wait(SOON);
        let said = std::io::read_to_string(launcher.child().stderr.take().unwrap()).unwrap();
        assert_eq!(said.matches("is not relayed").count(), 2, "{said}");
    });
}

#[test]
fn a_name_that_somebody_else_has_taken_is_no_obstacle() {
    sandbox::run(|| {
        let (instance, manager) = (Instance::new(User::Server), Manager::new());
        let command = notifier::command(&instance, &manager, &[], "notify(\"STATUS=$address\")");
        // It binds the name of its own pid, and becomes the launcher with that socket still open.
        let take = r#"
            use Socket; $^F = 99;
            socket(my $socket, AF_UNIX, SOCK_DGRAM, 0);
            bind($socket, pack('S a*', AF_UNIX, "\0shmwarden/$$"));
            exec @ARGV;
        "#;
        let mut taken = std::process::Command::new("perl");
        taken.args(["-e", take]).arg(command.get_program()).args(command.get_args());
        let mut launcher = Process::spawn(taken.env("NOTIFY_SOCKET", &manager.address));
        let told = manager.next().words();
        assert!(told.starts_with("STATUS=@") && !told.contains("shmwarden"), "{told}");
        assert!(launcher.wait(SOON).success());
    });
}
