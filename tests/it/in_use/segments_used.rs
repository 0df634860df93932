//! Segments of generic servers that somebody uses on and off: nattch is 0 when they are looked at,
//! their creator is dead, and they are in use all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::sets_raced::{Crash, INTENT, said_when_let_go};
use crate::database::strace::Point;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, holders, need_root, outcomes};
use crate::support::holders as hold;
use crate::support::objects::segment;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

const KEY: u32 = 0x00f4_7777;
/// A user that has no process on this machine but those of one test: others run beside it.
const ALONE: [User; 6] = [
    User::Other(61_230),
    User::Other(61_231),
    User::Other(61_232),
    User::Other(61_233),
    User::Other(61_234),
    User::Other(61_236),
];
const NEIGHBOUR: User = User::Other(61_235);

/// Perl that makes or finds a segment and attaches it for a moment.
fn take(key: u32, mode: u32) -> String {
    format!(
        "my $id = shmget({key}, 4096, 01000 | {mode}); defined $id or die \"shmget: $!\\n\"; \
         shmread($id, my $byte, 0, 1) or die \"shmread: $!\\n\"; $id + 0"
    )
}

fn uses(id: i32) -> String {
    format!("shmread({id}, my $byte, 0, 1) or die \"shmread: $!\\n\"; 0")
}

/// A child uses it, and has ended when this is answered.
fn child_uses(id: i32) -> String {
    format!("my $p = fork; if (!$p) {{ shmread({id}, my $b, 0, 1); exec 'true' }} waitpid $p, 0; 0")
}

/// A child uses it again and again for some seconds, and ends.
fn child_that_uses(id: i32) -> String {
    format!(
        "child(sub {{ for (1 .. 40) {{ shmread({id}, my $b, 0, 1); \
         select undef, undef, undef, 0.1 }} exec 'true' }})"
    )
}

/// A server under a launcher, and the segment that it has made and uses on and off.
fn server(user: User, instance: &Instance, mode: u32) -> (Asked, i32) {
    let mut server = Asked::start(instance, &["--engine", "generic", "--linger", "0s"]);
    let id = server.ask(&take(KEY, mode));
    instance.wait_recorded(1);
    assert_eq!(segment(id).unwrap().uid, user.ids().0);
    (server, id)
}

fn last_pid(id: i32) -> i32 {
    let table = shmwarden::proc::read::sysvipc_shm().unwrap();
    table.iter().find(|one| one.row.id == id).unwrap().row.last_pid
}

/// What `list --json` says of the only segment.
fn listed(instance: &Instance) -> serde_json::Value {
    let words = ["list", "--json", "--ledger", instance.path()];
    let list = warden::answer(User::Root, &words).expect_code(0);
    list.json()["objects"][0].clone()
}

#[test]
fn a_next_server_that_attaches_on_and_off_keeps_the_segment() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[0];
        let instance = Instance::new(alone);
        let (first, id) = server(alone, &instance, 0o600);
        first.kill_all();
        let mut next = Asked::stranger(alone);
        assert_eq!(next.ask(&take(KEY, 0o600)), id, "found by its key");
        assert_eq!((segment(id).unwrap().nattch, last_pid(id)), (0, next.pid()));
        let object = listed(&instance);
        assert_eq!(object["verdict"], "held", "{object}");
        assert_eq!(object["reason_code"], "last-user-lives", "{object}");
        for options in [&[][..], &["--include-clean"]] {
            let sweep = instance.sweep(options).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
            assert_eq!(holders(&sweep), [i64::from(next.pid())]);
        }
        let who = warden::answer(
            User::Root,
            &["who", "--json", "--ledger", instance.path()]
                .iter()
                .copied()
                .chain([id.to_string().as_str()])
                .collect::<Vec<_>>(),
        );
        assert_eq!(who.json()["objects"][0]["holders"][0]["pid"], next.pid(), "{who:?}");
        next.ask(&uses(id));
        drop(next);
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert!(segment(id).is_none());
    });
}

/// The launcher itself, at the death that it sees, and any sweep after it.
#[test]
fn a_peer_keeps_what_its_ledger_has_as_used() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[1];
        let instance = Instance::new(alone);
        let (first, id) = server(alone, &instance, 0o600);
        let other = Instance::at(alone, &instance.directory().join("peer.ledger"));
        let mut peer = Asked::start(&other, &["--engine", "generic"]);
        let child = peer.ask(&child_that_uses(id));
        wait_until("the peer's ledger has it as used", SOON, || other.count("used") == 1);
        processes::wait_end(child, SOON);
        assert!(!processes::lives(last_pid(id)), "only the peer's ledger tells");
        first.kill();
        assert!(segment(id).is_some(), "the launcher of the first keeps it");
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept used-elsewhere"]);
        let list = warden::answer(
            User::Root,
            &["list", "--json", "--dir", instance.directory().to_str().unwrap()],
        );
        assert_eq!(list.json()["objects"][0]["reason_code"], "used-elsewhere", "{list:?}");
        peer.ask(&uses(id));
        peer.ask(&child_uses(id));
        peer.kill_all();
        // Its own ledger still says so of a run that is over.
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
    });
}

#[test]
fn a_ledger_that_may_not_be_read_counts_for_what_its_owner_may_use() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[2];
        for (mode, alive, expected) in [
            (0o600, true, "removed dead"),
            (0o666, false, "removed dead"),
            (0o666, true, "kept used-elsewhere"),
        ] {
            let instance = Instance::new(alone);
            let (first, id) = server(alone, &instance, mode);
            let foreign = instance.directory().join("foreign.ledger");
            fs::write(&foreign, "whatever it says").unwrap();
            fs::set_permissions(&foreign, fs::Permissions::from_mode(0o600)).unwrap();
            NEIGHBOUR.own(&foreign);
            let neighbour = alive.then(|| Asked::stranger(NEIGHBOUR));
            first.kill_all();
            let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
            assert_eq!(outcomes(&sweep), [expected], "{mode:o} {alive}");
            drop(neighbour);
            let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
            assert!(segment(id).is_none(), "{sweep:?}");
        }
    });
}

/// Like a PHP pool: the worker that used it last has ended, the next one comes with the next
/// request. Who used it before the death is somebody else: a look may have noted that one.
#[test]
fn a_pool_that_uses_it_after_the_death_keeps_it() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[3];
        let instance = Instance::new(alone);
        let (first, id) = server(alone, &instance, 0o600);
        let mut pool = Asked::stranger(alone);
        let mut client = Asked::stranger(alone);
        client.ask(&uses(id));
        first.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
        pool.ask(&child_uses(id));
        assert!(!processes::lives(last_pid(id)), "its worker has ended");
        drop(client);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept used-since"]);
        assert_eq!(listed(&instance)["reason_code"], "used-since");
        drop(pool);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "nobody of its user lives");
        assert!(segment(id).is_none());
    });
}

/// The pool's last worker was there before the death; whether anybody saw that says nothing of it.
#[test]
fn a_pool_that_used_it_before_the_death_keeps_it() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[5];
        for seen in [true, false] {
            let instance = Instance::new(alone);
            let (first, id) = server(alone, &instance, 0o600);
            let mut pool = Asked::stranger(alone);
            let mut noted = 0;
            loop {
                pool.ask(&child_uses(id));
                sleep(Duration::from_millis(1500));
                let now = instance.count("stranger");
                // The last one ended unseen, or two came and went.
                if now == noted || now > 1 {
                    break;
                }
                noted = now;
            }
            assert!(!processes::lives(last_pid(id)), "its worker has ended");
            match seen {
                true => first.kill(),
                false => first.kill_all(),
            }
            assert!(segment(id).is_some(), "the launcher keeps it");
            let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["kept used-since"], "seen: {seen}");
            assert_eq!(listed(&instance)["reason_code"], "used-since");
            drop(pool);
            let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["removed dead"], "nobody of its user lives");
            assert!(segment(id).is_none());
        }
    });
}

/// Its workers attach on and off, too, and the last of them detaches long after its death.
#[test]
fn a_servers_own_workers_are_no_strangers() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let alone = ALONE[4];
        let instance = Instance::new(alone);
        let (mut first, id) = server(alone, &instance, 0o600);
        let worker = first.ask(&child_that_uses(id));
        let neighbour = Asked::stranger(alone);
        wait_until("the worker is in the ledger", SOON, || instance.count("descendant") > 0);
        first.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept last-user-lives"]);
        processes::wait_end(worker, SOON);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "process {} lives", neighbour.pid());
    });
}

/// Made without a key, so that it is nobody's to find.
fn private() -> Crash {
    Crash::leaving(|server| server.ask(&take(0, 0o600)))
}

#[test]
fn who_uses_it_between_decision_and_removal_keeps_it() {
    sandbox::run(|| {
        let crash = private();
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let mut user = Asked::stranger(User::Server);
        user.ask(&uses(crash.id));
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(0), &"kept".into()), "{object}");
        assert_eq!(object["reason_code"], "last-user-lives", "{object}");
        assert_eq!(segment(crash.id).unwrap().nattch, 0);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["kept last-user-lives"]);
        drop(user);
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}

#[test]
fn who_uses_it_then_and_ends_is_noticed_as_well() {
    sandbox::run(|| {
        let crash = private();
        let sweep = crash.sweep_held(Point::After, INTENT, "intent");
        let user = hold::attach(User::Server, crash.id);
        processes::kill(user.pid(), Signal::SIGKILL);
        drop(user);
        let (code, object) = said_when_let_go(sweep);
        assert_eq!((code, &object["outcome"]), (Some(0), &"kept".into()), "{object}");
        assert_eq!(object["reason_code"], "used-since", "{object}");
        assert!(segment(crash.id).is_some());
        let again = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&again), ["removed dead"]);
    });
}

/// A dry run reads no header by attaching: it would be the last user from then on.
#[test]
fn a_dry_run_leaves_the_last_user_as_it_is() {
    sandbox::run(|| {
        let crash = private();
        let before = last_pid(crash.id);
        let dry = crash.instance.sweep(&["--dry-run"]).expect_code(0);
        assert_eq!(outcomes(&dry), ["would-remove dead"]);
        assert_eq!(last_pid(crash.id), before);
        let sweep = crash.instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
    });
}
