//! Files that appeared in `/dev/shm` while a server ran and that nobody recorded: named at the end
//! and by each sweep, never removed; nothing is called clean while they are there.

use std::fs;
use std::path::Path;

use crate::in_use::raced::MAPS;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, need_root, outcomes};
use crate::support::holders::NUMBERS;
use crate::support::objects::{create_shm_file, shm_files};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// Writes a file and closes it, mapped by nobody, and crashes.
const QUIET: &str = "umask 077; echo x >/dev/shm/quiet; sleep 0.3; exit 3";

#[test]
fn a_file_that_nobody_recorded_is_named_at_the_end_and_by_each_sweep() {
    sandbox::on_host(|| {
        need_root("for a file of another user");
        create_shm_file(User::Server, "before", 4096);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let instance = Instance::new(User::Server);
        let words = ["sh", "-c", QUIET];
        let run = Answer::of(&mut instance.run(&["--linger", "0s"], &words)).expect_code(3);
        assert!(run.stderr.contains("kept /dev/shm/quiet"), "{run:?}");
        assert!(run.stderr.contains("it appeared while the server ran"), "{run:?}");
        assert!(!run.stderr.contains("/dev/shm/before"), "{run:?}");
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept appeared"], "{sweep:?}");
        let words = instance.sweep_in_words().expect_code(0);
        assert!(!words.stdout.contains("nothing is left to be done"), "{words:?}");
        assert_eq!(shm_files().len(), 2);
        fs::remove_file(Path::new("/dev/shm/quiet")).unwrap();
        let words = instance.sweep_in_words().expect_code(0);
        assert!(words.stdout.contains("nothing is left to be done"), "{words:?}");
    });
}

#[test]
fn a_file_of_another_user_or_of_who_still_maps_it_is_not_named() {
    sandbox::on_host(|| {
        need_root("for a file of another user");
        let instance = Instance::new(User::Server);
        let server = Asked::start(&instance, &["--linger", "0s"]);
        create_shm_file(User::Root, "roots", 4096);
        let mut other = Asked::stranger(User::Server);
        other.ask(&format!("{NUMBERS} {MAPS}"));
        server.kill();
        assert_eq!(shm_files().len(), 2);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), [""; 0], "{sweep:?}");
        drop(other);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept appeared"], "{sweep:?}");
    });
}

#[test]
fn a_file_in_the_ledger_beside_is_not_named() {
    sandbox::on_host(|| {
        need_root("for processes that may look into each other");
        let instance = Instance::new(User::Server);
        let server = Asked::start(&instance, &["--linger", "0s"]);
        let beside = Instance::at(User::Server, &instance.directory().join("beside.ledger"));
        let mut other = Asked::start(&beside, &["--linger", "0s"]);
        other.ask(&format!("{NUMBERS} {MAPS}"));
        beside.wait_recorded(1);
        other.kill_all();
        server.kill();
        assert_eq!(shm_files().len(), 1);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), [""; 0], "{sweep:?}");
    });
}
