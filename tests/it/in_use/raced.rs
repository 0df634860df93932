//! The moments between the decision on a segment and its removal, held by `strace`: who attaches in
//! between keeps the memory, and it is said who that is. Sets and queues: `sets_raced`.

use std::time::Duration;

use super::sets_raced::{Crash, INTENT, said_when_let_go};
use crate::database::strace::{Hold, Point};
use crate::leaks::sets::KEY;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, need_to_look_into_others, outcomes};
use crate::support::holders::{self, NUMBERS};
use crate::support::objects::{segment, segments, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;

fn crashed() -> Crash {
    Crash::leaving(|server| server.ask(&format!("shmget({KEY}, 4096, 03600) + 0")))
}

#[test]
fn who_attaches_between_decision_and_removal_keeps_the_segment() {
    sandbox::run(|| {
        let crash = crashed();
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let holder = holders::attach(User::Server, crash.id);
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(0), &"kept".into()), "{object}");
        assert_eq!(object["reason_code"], "attached", "{object}");
        assert_eq!((crash.instance.count("intent"), crash.instance.count("outcome")), (1, 1));
        assert_eq!(object["holders"][0]["pid"], holder.pid());
        assert_eq!(segment(crash.id).unwrap().nattch, 1);
        drop(holder);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}

/// After the last look: `IPC_RMID` has no condition, and marks what is attached.
#[test]
fn who_attaches_just_before_the_removal_is_reported_and_keeps_the_memory() {
    sandbox::run(|| {
        let crash = crashed();
        let held = Duration::from_secs(2);
        let hold =
            Hold { calls: "shmctl", point: Point::Before, when: None, says: "IPC_RMID", held };
        let (sweep, file) = crash.sweep_traced(&hold);
        hold.wait(&file);
        let holder = holders::attach(User::Server, crash.id);
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(74), &"raced".into()), "{object}");
        assert!(object["reason"].as_str().unwrap().contains("last detach"), "{object}");
        assert_eq!(object["holders"][0]["pid"], holder.pid());
        let left = segment(crash.id).unwrap();
        assert_eq!((left.nattch, left.key), (1, 0));
        assert!(processes::lives(holder.pid()));
        drop(holder);
        assert_eq!(segments().len(), 0, "it goes on the last detach");
        told_once(&crash.instance);
    });
}

/// The next sweep has nothing to do.
fn told_once(instance: &Instance) {
    let again = instance.sweep(&[]).expect_code(0);
    assert_eq!(again.json()["removed"], 0, "{again:?}");
    assert_eq!(instance.count("intent"), 1);
}

/// Makes a file of a page, and maps it.
pub const MAPS: &str = "umask 077; open(my $file, '+>', '/dev/shm/mapped') or die \"$!\\n\"; \
    truncate($file, 4096) or die \"$!\\n\"; \
    syscall($MMAP, 0, 4096, 1, 1, fileno($file), 0) != -1 or die \"mmap: $!\\n\"; 0";

/// A file has no nattch: every process is asked once more.
#[test]
fn who_maps_a_file_between_decision_and_removal_keeps_it() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let crash = Crash::leaving(|server: &mut Asked| server.ask(&format!("{NUMBERS} {MAPS}")));
        let left = shm_files();
        assert_eq!(left.len(), 1);
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let holder = holders::map(User::Server, "mapped");
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(0), &"kept".into()), "{object}");
        assert_eq!(object["reason_code"], "mapped", "{object}");
        assert_eq!(object["holders"][0]["pid"], holder.pid(), "{object}");
        assert_eq!(shm_files(), left);
        drop(holder);
        let again = crash.instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
        assert_eq!(shm_files(), []);
    });
}
