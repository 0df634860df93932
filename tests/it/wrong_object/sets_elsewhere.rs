//! Sets and queues whose ledger or users are elsewhere, or somebody else's: other namespaces,
//! numbers that came back, permissions, forged and older ledgers.

use std::fs;

use shmwarden::ledger::record::Record;
use shmwarden::object::{Identity, Queue, SemaphoreSet};

use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, need_root, outcomes, state};
use crate::scene::ledger_text::{edit, edit_claims, edit_place};
use crate::support::calls::{is_queue, is_set, queues, sets};
use crate::support::container::{Container, Own};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;

/// Killed together with its launcher: a set of one and a queue that the ledger has.
fn crashed() -> (Instance, i32, i32) {
    let instance = Instance::new(User::Server);
    let mut server = Asked::start(&instance, &[]);
    let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
    instance.wait_recorded(2);
    server.kill_all();
    (instance, set, queue)
}

fn sweep_in(container: &Container, instance: &Instance) -> Answer {
    let mut sweep = container.command(User::Server, warden::binary());
    Answer::of(sweep.args(["sweep", "--json", instance.path()]))
}

fn edit_identities(instance: &Instance, change: impl Fn(&mut Identity)) {
    edit(instance.ledger(), |entry| {
        if let Record::Object(seen) = &mut entry.record {
            change(&mut seen.identity);
        }
    });
}

#[test]
fn from_another_ipc_namespace_both_are_void() {
    sandbox::on_host(|| {
        let (instance, set, queue) = crashed();
        let container = Container::new(&[Own::Ipc]);
        let mut twin = container.command(User::Server, "perl");
        twin.args(["-e", &format!("semget({KEY}, 1, 03600); msgget({KEY}, 03600)")]);
        Answer::of(&mut twin).expect_code(0);
        let sweep = sweep_in(&container, &instance).expect_code(0);
        assert_eq!((state(&sweep).as_str(), is_set(set), is_queue(queue)), ("void", true, true));
        assert_eq!(outcomes(&sweep), ["kept other-ipc-namespace"]);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

#[test]
fn of_another_boot_both_are_void() {
    sandbox::run(|| {
        let (instance, set, queue) = crashed();
        edit_place(instance.ledger(), |place| {
            place.boot = "00000000-0000-4000-8000-000000000000".to_owned();
        });
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(state(&sweep), "void");
        assert!(is_set(set) && is_queue(queue));
    });
}

/// Before Linux 6.18 nothing tells such a namespace from an earlier one of its inode.
#[test]
fn where_the_namespace_has_no_id_both_are_kept() {
    sandbox::run(|| {
        let (instance, set, queue) = crashed();
        edit_place(instance.ledger(), |place| {
            place.ipc_namespace = "inode:4026532177/first:1".to_owned();
        });
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept other-ipc-namespace"]);
        assert!(is_set(set) && is_queue(queue));
    });
}

/// From there nobody's pid can be seen, so nobody can be seen to be dead.
#[test]
fn from_another_pid_namespace_both_are_kept() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let (set, queue) = (server.make_set(KEY, 1), server.make_queue(KEY));
        server.ask(&format!("op({set}, 0, 1)"));
        instance.wait_recorded(2);
        let mut holder = Asked::stranger(User::Server);
        holder.ask(&format!("op({set}, 0, -2)"));
        holder.ask(&format!("put({queue}, 'x')"));
        server.kill();
        let container = Container::new(&[Own::Pids]);
        let sweep = sweep_in(&container, &instance).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-unseen"]);
        assert!(is_set(set) && is_queue(queue));
        drop(holder);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

/// A pod: the server's container shares its IPC namespace with others, whose pids read 0 there.
#[test]
fn in_a_pod_a_member_that_another_container_may_hold_keeps_a_set() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let container = Container::new(&[Own::Pids]);
        let mut run = container.command(User::Server, warden::binary());
        run.args(["run", "--linger", "0s", "--ledger", instance.path(), "--"]);
        run.args(asked::words());
        let mut server = Asked::spawn(run);
        let (whole, part) = (server.make_set(KEY, 1), server.make_set(KEY, 2));
        server.ask(&format!("op({whole}, 0, 1)"));
        server.ask(&format!("op({part}, 0, 1)"));
        instance.wait_recorded(2);
        server.ask(&format!("set({part}, 1, 1)"));
        let mut elsewhere = Asked::stranger(User::Server);
        elsewhere.ask(&format!("op({part}, 1, -1)"));
        server.kill();
        assert!(!is_set(whole) && is_set(part));
        let sweep = sweep_in(&container, &instance).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-unseen"]);
        drop(elsewhere);
    });
}

/// What differs, and how.
type Change = (&'static str, fn(&mut Identity));

/// Each change of what the ledger says of an object makes it another one, which is not removed.
fn assert_another(instance: &Instance, changes: &[Change]) {
    let good = instance.bytes();
    for (what, change) in changes {
        edit_identities(instance, change);
        let sweep = instance.sweep(&["--dry-run"]).expect_code(0);
        assert!(sweep.stdout.contains(&format!("its {what} differs")), "{sweep:?}");
        let expected = ["kept changed", "kept unwitnessed", "would-remove dead"];
        assert_eq!(outcomes(&sweep), expected, "{what}");
        fs::write(instance.ledger(), &good).unwrap();
    }
}

fn change_set(identity: &mut Identity, change: fn(&mut SemaphoreSet)) {
    if let Identity::Sem(known) = identity {
        change(known);
    }
}

fn change_queue(identity: &mut Identity, change: fn(&mut Queue)) {
    if let Identity::Msg(known) = identity {
        change(known);
    }
}

#[test]
fn a_set_that_differs_in_one_thing_is_another() {
    sandbox::on_host(|| {
        let (instance, set, _) = crashed();
        instance.sweep(&["--dry-run"]).expect_code(0);
        assert_another(
            &instance,
            &[
                ("key", |it| change_set(it, |known| known.key.0 += 1)),
                ("number of semaphores", |it| change_set(it, |known| known.nsems += 1)),
                ("creator uid", |it| change_set(it, |known| known.creator_uid += 1)),
                ("creator gid", |it| change_set(it, |known| known.creator_gid += 1)),
            ],
        );
        assert!(is_set(set));
    });
}

#[test]
fn a_queue_that_differs_in_one_thing_is_another() {
    sandbox::run(|| {
        let (instance, _, queue) = crashed();
        assert_another(
            &instance,
            &[
                ("key", |it| change_queue(it, |known| known.key.0 += 1)),
                ("creator uid", |it| change_queue(it, |known| known.creator_uid += 1)),
                ("creator gid", |it| change_queue(it, |known| known.creator_gid += 1)),
            ],
        );
        assert!(is_queue(queue));
    });
}

/// Same id, key, number of semaphores and user: its last user is not in the ledger.
#[test]
fn an_id_that_came_back_is_another_set_or_queue() {
    sandbox::on_host(|| {
        let (instance, set, queue) = crashed();
        let (old_set, old_queue) = (sets().remove(0), queues().remove(0));
        let remove = format!("semctl({set}, 0, 0, 0); msgctl({queue}, 0, 0)");
        Answer::of(User::Server.command("perl").args(["-e", &remove])).expect_code(0);
        bring_back("sem_next_id", set);
        bring_back("msg_next_id", queue);
        let mut stranger = Asked::stranger(User::Server);
        assert_eq!(stranger.make_set(KEY, 1), set);
        assert_eq!(stranger.make_queue(KEY), queue);
        drop(stranger);
        assert_eq!((sets()[0].key, sets()[0].count), (old_set.key, old_set.count));
        assert_eq!((queues()[0].key, queues()[0].count), (old_queue.key, old_queue.count));
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept user-unrecorded"]);
        assert!(is_set(set) && is_queue(queue));
    });
}

/// Who may not read it may not ask who waits, and root does no more than the owner may.
#[test]
fn a_set_that_its_owner_may_not_read_is_kept() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        let set = server.make_set(KEY, 1);
        instance.wait_recorded(1);
        // IPC_STAT, the mode of struct ipc64_perm, IPC_SET.
        server.ask(&format!(
            "my $b = ''; semctl({set}, 0, 2, $b); substr($b, 20, 2) = pack('S', 0200); \
             semctl({set}, 0, 1, $b) or die; 0"
        ));
        server.kill();
        assert!(is_set(set));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept unreadable"]);
        if sandbox::has_root() {
            let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept unreadable"]);
        }
        assert!(is_set(set));
    });
}

#[test]
fn root_removes_no_set_that_the_ledgers_owner_could_not() {
    sandbox::on_host(|| {
        need_root("to sweep another's ledger");
        let (instance, ..) = crashed();
        let mut root = Asked::stranger(User::Root);
        // Anybody may look at it, and use it.
        let set = root.ask(&format!("semget({KEY}, 1, 03666) + 0"));
        drop(root);
        edit_identities(&instance, |identity| {
            if let Identity::Sem(known) = identity {
                (known.id, known.key.0) = (set, KEY as i32);
                (known.creator_uid, known.creator_gid) = (0, 0);
                known.ctime = sets().iter().find(|line| line.id == set).unwrap().ctime;
            }
        });
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        // Its own queue depends on no set.
        let expected = ["kept not-yours", "kept unwitnessed", "removed dead"];
        assert_eq!(outcomes(&sweep), expected, "{sweep:?}");
        assert_eq!((sets().len(), queues().len()), (2, 0));
    });
}

#[test]
fn a_damaged_ledger_removes_neither() {
    sandbox::run(|| {
        let (instance, set, queue) = crashed();
        let text = String::from_utf8(instance.bytes()).unwrap();
        fs::write(instance.ledger(), text.replacen("\"nsems\":1", "\"nsems\":2", 1)).unwrap();
        assert_eq!(state(&instance.sweep(&[]).expect_code(65)), "damaged");
        assert!(is_set(set) && is_queue(queue));
    });
}

/// The first line says what an older program may go by: version 1 knows no sets.
#[test]
fn a_ledger_of_version_1_is_settled_and_written_anew_by_the_next_run() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        instance.wait_recorded(1);
        server.kill_all();
        edit(instance.ledger(), |entry| {
            if let Record::Header(header) = &mut entry.record {
                header.version = 1;
            }
        });
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        let first_line = || {
            let text = String::from_utf8(instance.bytes()).unwrap();
            text.lines().next().unwrap().to_owned()
        };
        assert!(first_line().contains("\"version\":1,"), "sweep writes nothing anew");
        let mut server = Asked::start(&instance, &[]);
        assert!(first_line().contains("\"version\":3,"), "{}", first_line());
        let set = server.make_set(KEY, 1);
        instance.wait_recorded(2);
        server.kill();
        assert!(!is_set(set));
        assert_eq!((instance.count("run"), instance.set_aside().len()), (2, 0));
    });
}

/// A claim that names nobody proves nothing: who used them last is not in the ledger.
#[test]
fn without_its_claim_a_ledger_keeps_both() {
    sandbox::on_host(|| {
        let (instance, set, queue) = crashed();
        edit_claims(instance.ledger());
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept user-unrecorded"]);
        assert!(is_set(set) && is_queue(queue));
    });
}

/// Has the kernel give out an id next (`CONFIG_CHECKPOINT_RESTORE`).
fn bring_back(which: &str, id: i32) {
    let file = format!("/proc/sys/kernel/{which}");
    if let Err(error) = fs::write(&file, id.to_string()) {
        skip(format!("the next id cannot be chosen here: {file}: {error}"));
    }
}
