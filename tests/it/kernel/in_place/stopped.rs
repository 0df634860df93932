//! A guardian that does not run when its server dies: what it finds later may be a next server's.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::asked::{self, Asked};
use super::super::instance::{Instance, SOON, need_root};
use super::{guardian_of, wait_guardian};
use crate::support::calls::{is_queue, is_set};
use crate::support::objects::Snapshot;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

const KEY: u32 = 0x00f4_2401;

/// A next server without us finds everything by its key, changes it, and leaves its use to children
/// that come and go: nothing but times and unknown pids tell that it is in use.
#[test]
fn nothing_of_a_next_server_is_removed_by_a_guardian_that_was_stopped() {
    sandbox::run(|| {
        need_root("for processes that may look into each other");
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = Asked::spawn(instance.run(&["--in-place"], &asked::words()));
        let segment = server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let set = server.make_set(KEY, 1);
        let queue = server.make_queue(KEY);
        instance.wait_recorded(3);
        let guardian = guardian_of(&instance);
        processes::kill(guardian, Signal::SIGSTOP);
        wait_until("it is stopped", SOON, || processes::state(guardian) == Some('T'));
        server.kill();

        // Times of the tables are seconds.
        std::thread::sleep(Duration::from_millis(1500));
        let mut next = Asked::stranger(User::Server);
        let mut by_child = |line: &str| {
            let whole = format!(
                "do {{ my $p = fork; if (!$p) {{ {line}; exit 0 }} \
                                 waitpid $p, 0; $? }}"
            );
            assert_eq!(next.ask(&whole), 0, "{line}");
        };
        by_child(&format!("set({set}, 0, 5); op({set}, 0, -1)"));
        by_child(&format!("put({queue}, 'again')"));
        by_child(&format!("my $b; shmctl({segment}, 2, $b) && shmctl({segment}, 1, $b) or die"));
        std::thread::sleep(Duration::from_millis(1500));

        let there = before.left_over();
        assert_eq!(there.len(), 1, "{there:?}");
        processes::kill(guardian, Signal::SIGCONT);
        wait_guardian(&instance);
        assert!(is_set(set) && is_queue(queue));
        assert_eq!(before.left_over(), there);
        instance.sweep(&[]);
        assert!(is_set(set) && is_queue(queue));
        assert_eq!(before.left_over(), there);
        next.kill();
    });
}
