//! A guardian that does not run when its server dies: what it finds later may be a next server's.

use nix::sys::signal::Signal;

use super::{guardian_of, wait_guardian};
use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, need_root};
use crate::support::calls::{is_queue, is_set};
use crate::support::objects::Snapshot;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::wrong_object::late::{next_server, stop};

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

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
        stop(guardian);
        server.kill();
        let next = next_server(segment, set, queue);
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
