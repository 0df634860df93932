//! What the launcher says itself while it waits for orphans.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::manager::{Manager, Told};
use crate::scene::instance::{Instance, SOON, need_to_look_into_others};
use crate::scene::stand_in::{self, StandIn};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;

/// A launcher that waits for an orphan of its dead server: the server, the orphan, the manager.
fn killed() -> (StandIn, i32, Manager) {
    need_to_look_into_others();
    let (instance, manager) = (Instance::new(User::Server), Manager::new());
    let mut command = instance.run(&["--linger", "60s"], &stand_in::words(77));
    command.env("NOTIFY_SOCKET", &manager.address);
    let mut server = StandIn::spawn(command);
    let orphan = server.fork();
    processes::kill(server.pid(), Signal::SIGKILL);
    (server, orphan, manager)
}

#[test]
fn a_launcher_that_lingers_says_whom_it_waits_for_and_asks_for_more_time() {
    sandbox::run(|| {
        let (mut server, orphan, manager) = killed();
        let launcher = server.outermost().pid();

        let expected = format!(
            "STATUS=The server was ended by signal 9; waiting for process {orphan} (perl -e "
        );
        let killed = Instant::now();
        for _ in 0..2 {
            let told = next_that_names(&manager);
            assert!(told.words().starts_with(&expected), "{}", told.words());
            let rest = " to let go of its shared memory\nEXTEND_TIMEOUT_USEC=15000000";
            assert!(told.words().ends_with(rest), "{}", told.words());
            assert_eq!(told.pid, launcher);
        }
        assert!(killed.elapsed() < Duration::from_secs(15), "before the extension is over");

        processes::kill(orphan, Signal::SIGKILL);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        let last = manager.next().words();
        let expected = "STATUS=The server was ended by signal 9; \
                        nobody holds what it left any more";
        assert_eq!(last, expected);
        assert!(manager.within(Duration::ZERO).is_none());
    });
}

#[test]
fn a_launcher_that_gives_up_waiting_says_who_still_holds_what() {
    sandbox::run(|| {
        let (mut server, orphan, manager) = killed();
        assert!(next_that_names(&manager).words().contains("waiting for process"));
        server.outermost().signal(Signal::SIGTERM);
        server.outermost().wait(SOON);
        let last = manager.next().words();
        let expected = format!("its shared memory is kept, for it is held by process {orphan} (");
        assert!(last.contains(&expected), "{last}");
        assert!(!last.contains("EXTEND_TIMEOUT_USEC"), "{last}");
        processes::kill(orphan, Signal::SIGKILL);
    });
}

/// The next notice but those of a launcher that has not looked yet: its helper is at the ledger.
fn next_that_names(manager: &Manager) -> Told {
    loop {
        let told = manager.next();
        if !told.words().contains("looking at what it left") {
            return told;
        }
    }
}
