//! Numbers that come round: the id of a removed segment, the pid of a dead server. What bears one
//! now is somebody else's.

use std::fs;

use nix::sys::signal::Signal;
use shmwarden::ledger::record::{How, Record};
use shmwarden::object::{Identity, Segment};

use crate::scene::instance::{Instance, outcomes};
use crate::scene::ledger_text::{claimed_pid, edit, edit_claims, edit_segments};
use crate::scene::stand_in::{self, StandIn};
use crate::support::container::{Container, Own};
use crate::support::objects::{self, remove_segment, segment, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

/// Same id, key, size and user.
#[test]
fn an_id_that_came_back_is_another_segment() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let id = server.segment();
        let old = segment(id).unwrap();
        server.kill_all();
        remove_segment(id);
        bring_back(id);
        let new = abandoned();
        assert_eq!((new.id, new.key, new.bytes, new.uid), (id, old.key, old.bytes, old.uid));
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept changed"]);
        assert_eq!(segments(), [new]);
        let words = instance.sweep_in_words().expect_code(0);
        assert!(words.stdout.contains("the number now names another object"), "{words:?}");
    });
}

#[test]
fn a_segment_that_differs_in_one_thing_is_another() {
    sandbox::run(|| {
        type Change = fn(&mut Segment);
        let changes: [(&str, Change); 6] = [
            ("key", |known| known.key.0 += 1),
            ("size", |known| known.bytes += 1),
            ("creator uid", |known| known.creator_uid += 1),
            ("creator gid", |known| known.creator_gid += 1),
            ("creator pid", |known| known.creator_pid += 1),
            ("change time", |known| known.ctime -= 1),
        ];
        for ((what, change), key) in changes.into_iter().zip(0x00f4_2401..) {
            let instance = Instance::new(User::Server);
            let server = StandIn::start(&instance, key);
            instance.wait_recorded(1);
            let id = server.segment();
            server.kill_all();
            edit_segments(instance.ledger(), change);
            // The claim of its creator would prove it the server's in another way.
            edit_claims(instance.ledger());
            let sweep = instance.sweep(&[]).expect_code(0);
            assert!(sweep.stdout.contains(&format!("its {what} differs")), "{sweep:?}");
            assert_eq!(outcomes(&sweep), ["kept changed"], "{what}");
            assert!(segment(id).is_some(), "{what}");
        }
    });
}

/// Few forks since prove nothing: clones that fail take numbers and are not counted.
#[test]
fn an_unseen_segment_that_only_bears_the_servers_pid_is_kept_and_reported() {
    sandbox::run(|| {
        let (instance, container, id) = unseen(None);
        for _ in 0..2 {
            let sweep = sweep_in(&container, &instance).expect_code(0);
            assert!(outcomes(&sweep).contains(&"kept pid-reused".to_owned()), "{sweep:?}");
            assert!(segment(id).is_some());
        }
    });
}

/// As versions up to 0.1 wrote it; what the launcher saw of the same server goes.
#[test]
fn a_segment_that_was_recorded_by_the_fork_count_is_kept_and_reported() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        let counted = server.create_another();
        instance.wait_recorded(2);
        let seen = server.segment();
        server.kill_all();
        edit(instance.ledger(), |entry| {
            entry.forks = Some(1);
            match &mut entry.record {
                Record::Object(object) if is_segment(&object.identity, counted) => {
                    object.how = How::ForkCount;
                }
                _ => {}
            }
        });
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept pid-reused", "removed dead"], "{sweep:?}");
        assert!(segment(seen).is_none() && segment(counted).is_some());
    });
}

/// The real thing: another program got the dead server's pid and made a segment.
#[test]
fn a_segment_of_a_later_process_with_the_servers_pid_is_kept() {
    sandbox::run(|| {
        let (instance, container, id) = unseen(Some(400));
        let claimed = claimed_pid(instance.ledger());
        let (uid, gid) = User::Server.ids();
        let script = format!(
            "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done
             echo {} > /proc/sys/kernel/ns_last_pid
             perl -e '$$ == {claimed} or die \"pid $$\n\"; $) = \"{gid} {gid}\"; $> = {uid};
                      print shmget({KEY}, 8192, 03600) + 0'
             test $? = 0",
            claimed - 1
        );
        let mut shell = container.command(User::Root, "sh");
        let later = Answer::of(shell.args(["-c", &script])).expect_code(0).stdout;
        let later: i32 = later.trim().parse().unwrap();
        let known = segment(id).unwrap();
        assert_eq!(segment(later).unwrap().creator_uid, known.creator_uid);
        sweep_in(&container, &instance).expect_code(0);
        assert!(segment(later).is_some());
    });
}

/// A crash of both after the launcher was too late to see the second segment; in PIDs of its own,
/// with this many at most. Gives that segment's id.
fn unseen(pid_max: Option<u32>) -> (Instance, Container, i32) {
    let instance = Instance::new(User::Server);
    let container = Container::new(&[Own::Pids]);
    if let Some(most) = pid_max {
        limit_pids(&container, most);
    }
    let mut run = container.command(User::Server, warden::binary());
    run.args(["run", "--ledger", instance.path(), "--"]).args(stand_in::words(KEY));
    let mut server = StandIn::spawn(run);
    instance.wait_recorded(1);
    let launcher = processes::parent(server.pid()).unwrap();
    processes::kill(launcher, Signal::SIGSTOP);
    let id = server.create_another();
    server.kill_all();
    (instance, container, id)
}

fn is_segment(identity: &Identity, id: i32) -> bool {
    matches!(identity, Identity::Shm(segment) if segment.id == id)
}

fn limit_pids(container: &Container, most: u32) {
    let before = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let mut shell = container.command(User::Root, "sh");
    shell.args(["-c", &format!("echo {most} > /proc/sys/kernel/pid_max")]);
    let answer = Answer::of(&mut shell);
    let after = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    if before != after {
        fs::write("/proc/sys/kernel/pid_max", &before).unwrap();
    }
    if before != after || !answer.status.success() {
        skip("pid_max is not of the PID namespace here (Linux 6.14)");
    }
}

fn sweep_in(container: &Container, instance: &Instance) -> Answer {
    let mut sweep = container.command(User::Server, warden::binary());
    Answer::of(sweep.args(["sweep", "--json", instance.path()]))
}

/// A segment of the server's user whose creator has ended.
fn abandoned() -> objects::Segment {
    let id = objects::create_segment(User::Server, KEY, 8192);
    segment(id).unwrap()
}

/// Has the kernel give out an id next (`CONFIG_CHECKPOINT_RESTORE`).
fn bring_back(id: i32) {
    let file = "/proc/sys/kernel/shm_next_id";
    if let Err(error) = fs::write(file, id.to_string()) {
        skip(format!("the next id cannot be chosen here: {file}: {error}"));
    }
}
