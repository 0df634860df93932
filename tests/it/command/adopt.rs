//! `adopt` and the `sweep` after it, on real objects of several users: exactly what nobody wants
//! goes, and what is in doubt stays.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::make::objects_for;
use crate::scene::instance::{Instance, need_root};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{
    KEY_FAMILY, Snapshot, create_segment, create_shm_file, segment, segments,
};
use crate::support::processes::Process;
use crate::support::user::User;
use crate::support::warden::{self, Answer};
use crate::support::{holders, sandbox};

/// A path for a ledger in a directory of this user's.
pub fn ledger_of(user: User) -> PathBuf {
    let number = fs::read_dir(sandbox::scratch()).unwrap().count();
    let directory = sandbox::scratch().join(format!("adopted{number}"));
    user.make_directory(&directory);
    directory.join("adopted.ledger")
}

/// `adopt --json --yes --min-age 0s` with these words, ended with this status: the objects.
pub fn adopt(user: User, ledger: &str, words: &[&str], code: i32) -> Vec<Value> {
    let common = ["adopt", "--yes", "--min-age", "0s", "--ledger", ledger];
    objects_for(user, &[&common, words].concat(), code)
}

/// `outcome reason_code` of each object, by kind and id or name.
pub fn said(objects: &[Value]) -> Vec<String> {
    let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let one = |one: &Value| {
        let name = one["id"].as_i64().map_or_else(|| word(one, "name"), |id| id.to_string());
        let (kind, outcome) = (word(one, "kind"), word(one, "outcome"));
        format!("{kind} {name} {outcome} {}", word(one, "reason_code"))
    };
    let mut all: Vec<String> = objects.iter().map(one).collect();
    all.sort();
    all
}

fn ids(objects: &[Value], outcome: &str) -> Vec<i64> {
    let taken = objects.iter().filter(|one| one["outcome"] == outcome);
    let mut ids: Vec<i64> = taken.map(|one| one["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

fn sweep(user: User, ledger: &str) -> Vec<String> {
    let answer = warden::answer(user, &["sweep", "--json", ledger]).expect_code(0);
    let document = answer.json();
    said(document["ledgers"][0]["objects"].as_array().unwrap())
}

fn uid_of(number: u32) -> User {
    User::Other(if number == 1 { 1 } else { 100_000 + number })
}

/// The table of the known incident: 19 leaked segments of 19 users, most without an account, and
/// beside them what a desktop has, and segments whose users live.
struct Incident {
    leaked: Vec<i64>,
    others: Vec<i32>,
    holders: Vec<Process>,
}

impl Incident {
    fn make() -> Self {
        let leaked = (1..=19).map(|number| {
            i64::from(create_segment(uid_of(number), KEY_FAMILY + number, 230 << 20))
        });
        let leaked: Vec<i64> = leaked.collect();
        let mut holders = Vec::new();
        let mut others = Vec::new();
        for user in [User::Root, User::Other(1000)] {
            let desktop = create_segment(user, 0, 524_288);
            holders.push(holders::attach(user, desktop));
            Answer::of(User::Root.command("ipcrm").args(["-m", &desktop.to_string()]))
                .expect_code(0);
            // Of somebody who lives, under a key of the family.
            let key = KEY_FAMILY + 32 + u32::try_from(others.len()).unwrap();
            others.extend([desktop, create_segment(user, key, 4096)]);
        }
        Incident { leaked, others, holders }
    }

    fn assert_others_are_there(&self) {
        for &id in &self.others {
            assert!(segment(id).is_some(), "segment {id} of a living user is gone");
        }
        let dest = segments().into_iter().filter(|segment| segment.mode & 0o1000 != 0);
        assert_eq!(dest.filter(|segment| segment.nattch == 1).count(), self.holders.len());
    }
}

#[test]
fn nineteen_segments_of_nineteen_users_and_nothing_else_are_adopted_and_swept() {
    sandbox::on_host(|| {
        need_root("to act as twenty users");
        let incident = Incident::make();
        let listed = objects_for(User::Root, &["list", "--verdict", "orphan"], 0);
        let listed: Vec<i64> = listed.iter().map(|one| one["id"].as_i64().unwrap()).collect();
        assert!(incident.leaked.iter().all(|id| listed.contains(id)));

        let dry = ["adopt", "--dry-run", "--min-age", "0s"];
        let dry = objects_for(User::Root, &dry, 0);
        assert_eq!(ids(&dry, "would-adopt"), incident.leaked);
        assert!(!PathBuf::from("/var/lib/shmwarden").exists(), "a dry run makes nothing");
        let words = warden::answer(User::Root, &["adopt", "--dry-run", "--min-age", "0s"]);
        let words = words.expect_code(0).stdout;
        assert!(words.contains("19 objects, 4.3 GiB, can be adopted into /var/lib/"), "{words}");
        assert!(words.contains("100002?  shm   0x00f42400/24        1  230.0 MiB"), "{words}");
        assert!(words.contains("\ndaemon   shm   0x00f42400/24 "), "{words}");

        let family = ["adopt", "--yes", "--min-age", "0s", "--key-family", "0x00f42400/24"];
        let adopted = objects_for(User::Root, &family, 0);
        assert_eq!(ids(&adopted, "adopted"), incident.leaked);
        let refused = said(&adopted);
        let lives = refused.iter().filter(|one| one.ends_with("refused user-lives")).count();
        assert_eq!((lives, refused.len()), (2, 21), "{refused:?}");
        let stale = objects_for(User::Root, &["list", "--verdict", "stale"], 0);
        assert_eq!(stale.len(), 19);
        assert!(stale.iter().all(|one| one["reason_code"] == "adopted"), "{stale:?}");
        assert_eq!(ids(&objects_for(User::Root, &dry_again(), 0), "would-adopt"), [0_i64; 0]);

        let swept = warden::answer(User::Root, &["sweep", "--json"]).expect_code(0).json();
        assert_eq!((&swept["removed"], &swept["kept"]), (&19.into(), &0.into()));
        assert_eq!(swept["removed_bytes"], 19_u64 * (230 << 20));
        for &id in &incident.leaked {
            assert!(segment(i32::try_from(id).unwrap()).is_none());
        }
        incident.assert_others_are_there();
        let history = warden::answer(User::Root, &["history", "--json", "--name", "adopted"]);
        let history = history.expect_code(0).json();
        let adopted = history["adopted"].as_array().unwrap();
        assert_eq!(adopted.iter().filter(|one| one["outcome"] == "removed").count(), 19);
    });
}

fn dry_again() -> [&'static str; 4] {
    ["adopt", "--dry-run", "--min-age", "0s"]
}

#[test]
fn each_of_the_nineteen_users_takes_what_is_its_own() {
    sandbox::on_host(|| {
        need_root("to act as twenty users");
        let incident = Incident::make();
        let user = uid_of(7);
        let own = incident.leaked[6];
        // Of the others' it may look at everything but take nothing.
        let listed = objects_for(user, &["list", "--verdict", "orphan"], 0);
        let listed: Vec<i64> = listed.iter().map(|one| one["id"].as_i64().unwrap()).collect();
        assert!(incident.leaked.iter().all(|id| listed.contains(id)), "{listed:?}");
        let doctor = warden::answer(user, &["doctor", "--json"]).json();
        let leaks = doctor["leaks"].as_array().unwrap();
        let of = |uid: u32| leaks.iter().find(|leak| leak["uid"] == uid).expect("its leak");
        for uid in [100_007, 100_008] {
            assert_eq!((&of(uid)["objects"], &of(uid)["bytes"]), (&1.into(), &(230 << 20).into()));
        }
        let ledger = ledger_of(user);
        let path = ledger.to_str().unwrap();
        let dry = ["adopt", "--dry-run", "--min-age", "0s", "--ledger", path];
        assert_eq!(ids(&objects_for(user, &dry, 0), "would-adopt"), [own]);
        let adopted = adopt(user, path, &[], 0);
        assert_eq!(ids(&adopted, "adopted"), [own]);
        let not_yours = adopted.iter().filter(|one| one["reason_code"] == "not-yours").count();
        assert_eq!(not_yours, 22, "{adopted:?}");
        // Nor by its number.
        let other = incident.leaked[7];
        let named = adopt(user, path, &[&other.to_string()], 77);
        assert_eq!(said(&named), [format!("shm {other} refused not-yours")]);
        assert_eq!(sweep(user, path), [format!("shm {own} removed dead")]);
        let left: Vec<i64> = segments().iter().map(|one| i64::from(one.id)).collect();
        let expected = incident.leaked.iter().filter(|id| **id != own);
        assert!(expected.clone().all(|id| left.contains(id)) && !left.contains(&own));
        incident.assert_others_are_there();
    });
}

#[test]
fn a_users_own_ledger_lies_in_its_state_directory() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let user = User::Other(4713);
        let id = create_segment(user, 9, 4096);
        let home = ledger_of(user);
        let home = home.parent().unwrap();
        let run = |words: &[&str]| {
            let mut command = warden::command(user, words);
            Answer::of(command.env("XDG_STATE_HOME", home)).expect_code(0)
        };
        let words = run(&["adopt", "--yes", "--min-age", "0s"]).stdout;
        assert!(words.contains("1 object, 4.0 KiB, adopted into"), "{words}");
        assert!(home.join("shmwarden/adopted.ledger").exists());
        run(&["sweep"]);
        assert!(segment(id).is_none());
    });
}

#[test]
fn a_living_process_of_its_user_keeps_an_object_from_filters_and_from_the_sweep() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let user = User::Other(4713);
        let (first, second) = (create_segment(user, 9, 4096), create_segment(user, 10, 4096));
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let sleep = || Process::spawn(user.command("sleep").arg("1000"));
        let sleeper = sleep();
        let all = adopt(User::Root, path, &["--owner", "4713"], 0);
        assert_eq!(said(&all), ["0", "1"].map(|id| format!("shm {id} refused user-lives")));
        assert!(!ledger.exists(), "nothing to record");
        let named = adopt(User::Root, path, &[&first.to_string()], 0);
        assert_eq!(said(&named), [format!("shm {first} adopted named")]);
        drop(sleeper);
        let all = adopt(User::Root, path, &["--owner", "4713"], 0);
        assert!(said(&all).contains(&format!("shm {second} adopted no-user")), "{all:?}");
        // The user has come back: what was named goes, what was found stays.
        let sleeper = sleep();
        let swept = sweep(User::Root, path);
        assert_eq!(
            swept,
            [format!("shm {first} removed dead"), format!("shm {second} kept user-lives")]
        );
        drop(sleeper);
        assert_eq!(sweep(User::Root, path), [format!("shm {second} removed dead")]);
        assert_eq!(sweep(User::Root, path), [""; 0]);
    });
}

#[test]
fn what_is_attached_between_adoption_and_sweep_is_kept_and_removed_later() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        adopt(User::Root, path, &[&id.to_string()], 0);
        let holder = holders::attach(User::Root, id);
        let strict = warden::answer(User::Root, &["sweep", "--strict", "--json", path]);
        let document = strict.expect_code(1).json();
        let one = &document["ledgers"][0]["objects"][0];
        assert_eq!((&one["outcome"], &one["reason_code"]), (&"kept".into(), &"attached".into()));
        assert_eq!(one["holders"][0]["pid"], holder.pid());
        drop(holder);
        assert_eq!(sweep(User::Root, path), [format!("shm {id} removed dead")]);
    });
}

#[test]
fn another_object_under_an_adopted_number_is_left_alone() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        adopt(User::Root, path, &[&id.to_string()], 0);
        let text = fs::read_to_string(&ledger).unwrap();
        let changed = text.replace("\"bytes\":4096", "\"bytes\":8192");
        fs::write(&ledger, with_checksums(&changed)).unwrap();
        assert_eq!(sweep(User::Root, path), [format!("shm {id} kept changed")]);
        assert!(segment(id).is_some());
    });
}

/// The lines with the checksums that they should have.
fn with_checksums(text: &str) -> String {
    let line = |line: &str| {
        let (body, _) = line.split_once(",\"crc\"").unwrap();
        format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()))
    };
    text.lines().map(line).collect()
}

#[test]
fn what_is_in_a_servers_ledger_is_not_adopted() {
    sandbox::run(|| {
        let directory = PathBuf::from("/var/lib/shmwarden");
        fs::create_dir_all(&directory).unwrap();
        let instance = Instance::at(User::Root, &directory.join("server.ledger"));
        let server = StandIn::start(&instance, 9);
        let id = server.segment();
        instance.wait_recorded(1);
        server.kill_all();
        let before = Snapshot::take();
        let own = directory.join("adopted.ledger");
        let own = own.to_str().unwrap();
        for words in [vec![], vec!["--key-family", "9"]] {
            assert_eq!(
                said(&adopt(User::Root, own, &words, 0)),
                [format!("shm {id} refused recorded")]
            );
        }
        let named = adopt(User::Root, own, &[&id.to_string()], 77);
        assert_eq!(said(&named), [format!("shm {id} refused recorded")]);
        // Nor into the server's own ledger.
        let other = create_segment(User::Root, 10, 4096);
        let other = other.to_string();
        let words = ["adopt", "--yes", "--min-age", "0s", "--ledger", instance.path(), &other];
        let refused = warden::answer(User::Root, &words).expect_code(77);
        assert!(refused.stderr.contains("it is the ledger of a server"), "{refused:?}");
        assert_eq!(before.missing(), [""; 0]);
    });
}

#[test]
fn a_server_is_not_started_on_a_ledger_of_adopted_objects() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096);
        let ledger = ledger_of(User::Root);
        adopt(User::Root, ledger.to_str().unwrap(), &[&id.to_string()], 0);
        let before = fs::read(&ledger).unwrap();
        let instance = Instance::at(User::Root, &ledger);
        let mut refuse = instance.run(&["--if-ledger-fails", "refuse"], &["true"]);
        let refused = Answer::of(&mut refuse).expect_code(125);
        assert!(refused.stderr.contains("a server needs a ledger of its own"), "{refused:?}");
        let server = Process::spawn(User::Root.command("sleep").arg("1000"));
        let words = ["record", "--ledger", instance.path(), "--pid", &server.pid().to_string()];
        let refused = warden::answer(User::Root, &words).expect_code(77);
        assert!(refused.stderr.contains("a server needs a ledger of its own"), "{refused:?}");
        assert_eq!(fs::read(&ledger).unwrap(), before);
    });
}

#[test]
fn root_adopts_into_no_other_users_ledger() {
    sandbox::run(|| {
        need_root("to act as another user");
        let user = User::Other(4711);
        let ids = [9, 10].map(|key| create_segment(user, key, 4096).to_string());
        let ledger = ledger_of(user);
        let path = ledger.to_str().unwrap();
        adopt(user, path, &[&ids[0]], 0);
        let words = ["adopt", "--yes", "--min-age", "0s", "--ledger", path, &ids[1]];
        let refused = warden::answer(User::Root, &words).expect_code(77);
        assert!(refused.stderr.contains("adopt into a ledger of your own"), "{refused:?}");
        // What the user adopted, root may sweep.
        assert_eq!(sweep(User::Root, path), [format!("shm {} removed dead", ids[0])]);
    });
}

#[test]
fn a_stray_file_is_taken_by_its_name_only() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let user = User::Other(47_356);
        create_shm_file(user, "backup", 4096);
        create_shm_file(user, "PostgreSQL.77", 4096);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let all = adopt(User::Root, path, &[], 0);
        assert_eq!(
            said(&all),
            ["posix PostgreSQL.77 adopted no-user", "posix backup refused any-file"]
        );
        let holder = holders::map(User::Root, "backup");
        let named = adopt(User::Root, path, &["/backup"], 77);
        assert_eq!(said(&named), ["posix backup refused mapped"]);
        drop(holder);
        let named = adopt(User::Root, path, &["/dev/shm/backup"], 0);
        assert_eq!(said(&named), ["posix backup adopted named"]);
        let swept = sweep(User::Root, path);
        assert_eq!(swept, ["posix PostgreSQL.77 removed dead", "posix backup removed dead"]);
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    });
}
