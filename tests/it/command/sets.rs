//! Semaphore sets and queues: who waits, who operated them last.

use serde_json::Value;

use super::make::{held_by, objects, only, perl};
use crate::scene::instance::{SOON, need_root};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

const SET: &str = r#"
    my $id = semget(0x00f42401, 17, 01600);
    defined $id or die "semget: $!\n";
    semctl($id, 16, 16, 537) or die "semctl: $!\n";
    print "ready $id\n"; sleep 1000;
"#;
/// Waits for the third member; its own count of the set's operations is the kernel's.
const WAITER: &str = r#"
    print "ready 0\n";
    semop($ARGV[0], pack("s!3", 2, -1, 0));
"#;

fn use_of(object: &Value, pid: i32) -> Option<String> {
    let holders = object["holders"].as_array().unwrap();
    let holder = holders.iter().find(|one| one["pid"] == pid)?;
    Some(holder["use"].as_str().unwrap().to_owned())
}

/// Waits until a process sleeps in a system call that is not `sleep`'s.
fn wait_blocked(process: &Process, call: &str) {
    let file = format!("/proc/{}/wchan", process.pid());
    wait_until("it is blocked", SOON, || {
        std::fs::read_to_string(&file).is_ok_and(|place| place.contains(call))
    });
}

#[test]
fn a_set_names_its_last_operator_and_who_waits() {
    sandbox::run(|| {
        let (maker, id) = perl(User::Root, SET, &[]);
        let object = only(&id.to_string(), 0);
        assert_eq!((&object["kind"], &object["nsems"]), (&"sem".into(), &17.into()));
        assert_eq!((&object["waiters"], &object["bytes"]), (&0.into(), &Value::Null));
        assert_eq!(object["last_operator"], maker.pid());
        assert_eq!(use_of(&object, maker.pid()).as_deref(), Some("operated-last"));
        assert_eq!(object["reason_code"], "last-user-lives");

        let (waiter, _) = perl(User::Root, WAITER, &[&id.to_string()]);
        wait_blocked(&waiter, "sem");
        let object = only("0x00f42401", 0);
        assert_eq!(object["waiters"], 1);
        assert_eq!(use_of(&object, waiter.pid()).as_deref(), Some("waits"));
        assert_eq!(object["reason_code"], "waited-for");
        drop(waiter);

        drop(maker);
        let object = only(&id.to_string(), 1);
        assert_eq!(held_by(&object), []);
        // The uid's processes live: it is root's, or stands for it.
        assert_eq!(object["verdict"], "unrecorded");
    });
}

#[test]
fn a_set_of_a_user_without_processes_is_an_orphan() {
    sandbox::on_host(|| {
        need_root("to act as a user that nobody else is");
        let (maker, id) = perl(User::Other(4713), SET, &[]);
        drop(maker);
        let object = only(&id.to_string(), 1);
        assert_eq!(
            (&object["verdict"], &object["reason_code"]),
            (&"orphan".into(), &"no-user".into())
        );
        assert_eq!((&object["uid"], &object["owner"]), (&4713.into(), &Value::Null));
    });
}

#[test]
fn a_queue_names_who_waits_and_who_sent_last() {
    sandbox::run(|| {
        let script = r#"
            my $id = msgget(5, 01600);
            msgsnd($id, pack("l! a*", 1, "hello"), 0) or die "msgsnd: $!\n";
            print "ready $id\n"; sleep 1000;
        "#;
        let (sender, id) = perl(User::Root, script, &[]);
        let object = only("0x5", 0);
        assert_eq!((&object["messages"], &object["bytes"]), (&1.into(), &5.into()));
        assert_eq!(use_of(&object, sender.pid()).as_deref(), Some("sent-last"));
        let script = r#"print "ready 0\n"; my $m; msgrcv($ARGV[0], $m, 100, 7, 0);"#;
        let (receiver, _) = perl(User::Root, script, &[&id.to_string()]);
        wait_blocked(&receiver, "msg");
        let object = only("0x5", 0);
        assert_eq!(use_of(&object, receiver.pid()).as_deref(), Some("waits"));
        processes::kill(receiver.pid(), nix::sys::signal::Signal::SIGKILL);
    });
}

#[test]
fn what_another_user_may_not_ask_is_said_and_counts_as_held() {
    sandbox::run(|| {
        need_root("to act as two users");
        let (_maker, id) = perl(User::Root, SET, &[]);
        let target = id.to_string();
        let found = super::make::objects_for(User::Other(4711), &["who", &target], 0);
        assert_eq!(
            (&found[0]["waiters"], &found[0]["last_operator"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(found[0]["reason_code"], "last-user-unseen");
        let words = crate::support::warden::answer(User::Other(4711), &["who", &target]);
        assert!(words.stdout.contains("its owner and root only"), "{words:?}");
        assert!(!words.stdout.contains("nobody"), "{words:?}");
    });
}

#[test]
fn thousands_of_sets_of_a_dead_server_are_listed() {
    sandbox::run(|| {
        let script = r#"
            for (1 .. 3000) { defined semget(0, 1, 01600) or die "semget: $!\n" }
            print "ready 0\n";
        "#;
        let (mut maker, _) = perl(User::Root, script, &[]);
        maker.wait(SOON);
        let found = objects(&["list", "--kind", "sem"], 0);
        assert_eq!(found.len(), 3000);
    });
}
