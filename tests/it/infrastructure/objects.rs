//! Objects and the program: what is made is seen, what is new or gone is told, a call is answered.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::objects::{
    Bystanders, KEY_FAMILY, Snapshot, create_segment, create_shm_file, remove_segment, segment,
    shm_files,
};
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};
use crate::support::{holders, sandbox};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_segment_is_its_users_and_attached_by_nobody() {
    sandbox::run(|| {
        let id = create_segment(User::Server, KEY_FAMILY + 1, 8192);
        let seen = segment(id).unwrap();
        assert_eq!((seen.key, seen.bytes, seen.mode), (0x00f4_2401, 8192, 0o600));
        assert_eq!((seen.nattch, seen.uid), (0, User::Server.uid_seen()));
        assert_eq!(seen.creator_uid, seen.uid);
        assert!(seen.creator_pid > 1 && seen.ctime > 0);
    });
}

#[test]
fn a_segment_can_be_of_an_account_that_does_not_exist() {
    sandbox::run(|| {
        let id = create_segment(User::Other(100_000), 0x8000_0001, 4096);
        assert_eq!(segment(id).unwrap().key, 0x8000_0001);
        assert_eq!(segment(id).unwrap().creator_uid, 100_000);
    });
}

#[test]
fn holders_hold_as_long_as_they_live() {
    sandbox::run(|| {
        let id = create_segment(User::Server, KEY_FAMILY, 4096);
        create_shm_file(User::Server, "mapped", 4096);
        let mut attached = holders::attach(User::Server, id);
        let mapped = holders::map(User::Server, "mapped");
        assert_eq!(segment(id).unwrap().nattch, 1);
        assert_eq!(segment(id).unwrap().creator_uid, User::Server.uid_seen());
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", mapped.pid())).unwrap();
        assert!(maps.contains("/dev/shm/mapped"), "{maps}");
        attached.signal(Signal::SIGTERM);
        wait_until("it is detached", SOON, || segment(id).unwrap().nattch == 0);
    });
}

#[test]
fn snapshots_tell_what_is_new_and_what_is_gone() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 1, 4096);
        let before = Snapshot::take();
        assert_eq!(before.left_over(), [""; 0]);
        remove_segment(id);
        create_shm_file(User::Root, "new", 4096);
        let (new, gone) = (before.left_over(), before.missing());
        assert!(new.len() == 1 && new[0].contains("/dev/shm/new"), "{new:?}");
        assert!(gone.len() == 1 && gone[0].contains("key 0x00000001"), "{gone:?}");
    });
}

#[test]
fn a_bystander_that_was_replaced_counts_as_touched() {
    sandbox::run(|| {
        let bystanders = Bystanders::create(User::Server, 1, 3);
        bystanders.assert_untouched();
        let path = format!("/dev/shm/{}", shm_files()[0].name);
        std::fs::remove_file(path).unwrap();
        create_shm_file(User::Server, "PostgreSQL.bystander1", 4096);
        let outcome = std::panic::catch_unwind(|| bystanders.assert_untouched());
        assert!(outcome.is_err());
    });
}

#[test]
fn nothing_happens_when_nothing_happens() {
    assert!(!happens_within(Duration::from_millis(20), || false));
}
