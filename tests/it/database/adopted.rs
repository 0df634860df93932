//! `adopt` beside real PostgreSQL servers: never anything of a living one, all of a dead one, and
//! what is stranded without a main segment.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::command::adopt::{adopt, ledger_of, said};
use crate::scene::instance::{SOON, need_root};
use crate::support::cluster::Cluster;
use crate::support::objects::{Snapshot, remove_segment, segments, shm_files};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};
use crate::support::{processes, sandbox};

const MANY_TABLES: &str = "
    do $$ begin
        for i in 1..6000 loop
            execute format('create table t%s as select 1', i);
            if i % 100 = 0 then commit; end if;
        end loop;
    end $$";

fn refused(objects: &[Value], id: i32) -> String {
    let one = objects.iter().find(|one| one["kind"] == "shm" && one["id"] == id).unwrap();
    assert_eq!(one["outcome"], "refused", "{one}");
    one["reason_code"].as_str().unwrap().to_owned()
}

/// Removes what the ledger has; the outcomes.
fn sweep(path: &str) -> Vec<String> {
    let document = warden::answer(User::Root, &["sweep", "--json", path]).expect_code(0).json();
    said(document["ledgers"][0]["objects"].as_array().unwrap())
}

#[test]
fn the_unattached_statistics_of_a_living_server_are_refused_to_every_filter_and_by_number() {
    sandbox::run_within(std::time::Duration::from_secs(300), || {
        need_root("to look into the server");
        let settings = [("shared_memory_type", "sysv"), ("dynamic_shared_memory_type", "sysv")];
        let mut cluster = Cluster::new(15, &settings);
        cluster.start();
        cluster.sql(MANY_TABLES);
        let unattached = || {
            let alone = |one: &&crate::support::objects::Segment| {
                one.nattch == 0 && !processes::lives(one.creator_pid)
            };
            segments().iter().filter(alone).map(|one| (one.id, one.key)).collect::<Vec<_>>()
        };
        wait_until("statistics that nobody has attached", SOON, || !unattached().is_empty());
        let running = Snapshot::take();
        let server_uid = User::Server.uid_seen().to_string();
        for (user, ledger) in
            [(User::Root, ledger_of(User::Root)), (User::Server, ledger_of(User::Server))]
        {
            let path = ledger.to_str().unwrap();
            for (id, key) in unattached() {
                let family = format!("0x{key:08x}/24");
                let filters = [vec![], vec!["--owner", &server_uid], vec!["--key-family", &family]];
                for filter in filters {
                    let code = refused(&adopt(user, path, &filter, 0), id);
                    assert!(["listed", "list-unread"].contains(&code.as_str()), "{code}");
                }
                let code = refused(&adopt(user, path, &[&id.to_string()], 77), id);
                assert!(["listed", "list-unread"].contains(&code.as_str()), "{code}");
                assert!(user != User::Root || code == "listed", "{code}");
            }
            assert!(!ledger.exists(), "nothing was recorded");
        }
        // Root in name: whoever may not read the list takes nothing of its user's.
        let (id, _) = unattached()[0];
        let (program, id) = (warden::binary(), id.to_string());
        let mut setpriv = User::Root.command("setpriv");
        setpriv.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--"]).arg(program);
        setpriv.args(["adopt", "--json", "--dry-run", "--min-age", "0s", &id]);
        let document = Answer::of(&mut setpriv).expect_code(77).json();
        let code = refused(document["objects"].as_array().unwrap(), id.parse().unwrap());
        assert_eq!(code, "list-unread");
        assert_eq!(running.missing(), [""; 0]);
        assert_eq!(cluster.sql("select count(*) from pg_class where relname ~ '^t[0-9]'"), "6000");
        cluster.stop();
    });
}

/// Kills all of the server at once, so that nobody of it cleans up, and waits for the end.
fn crash(cluster: &mut Cluster) {
    let all = cluster.processes();
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        all.iter().for_each(|&pid| processes::kill(pid, signal));
    }
    cluster.wait_end();
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
}

/// A list, and what it names, are refused to who names them alone, and told what to adopt.
fn pieces_lead_to_their_main_segment(main: i32) {
    let mut codes = BTreeSet::new();
    let others = segments().into_iter().map(|one| one.id).filter(|id| *id != main);
    let pieces = others.map(|id| id.to_string());
    for piece in pieces.chain(shm_files().iter().map(|file| format!("/{}", file.name))) {
        let words = ["adopt", "--dry-run", "--json", "--min-age", "0s", piece.as_str()];
        let one = warden::answer(User::Root, &words).json()["objects"][0].clone();
        // What was made and not listed yet leads nowhere.
        if one["outcome"] == "refused" {
            let reason = one["reason"].as_str().unwrap();
            assert!(reason.contains(&format!("segment {main} (key ")), "{one}");
            codes.insert(one["reason_code"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["listed-by-dead", "main-stays"]);
}

fn crashed_is_cleaned(major: u32, settings: &[(&str, &str)]) {
    need_root("to act as another user than the server's");
    let before = Snapshot::take();
    let mut cluster = Cluster::new(major, settings);
    cluster.start();
    let key = segments().iter().find(|one| one.id == cluster.main_segment()).unwrap().key;
    let query = cluster.parallel_query_in_background();
    crash(&mut cluster);
    drop(query);
    let count = segments().len() + shm_files().len();
    assert!(count >= 4, "main segment, list, and what the query made: {count}");
    pieces_lead_to_their_main_segment(cluster.main_segment());
    let ledger = ledger_of(User::Root);
    let path = ledger.to_str().unwrap();
    // Only the main segment has a key of this family: the rest comes along.
    let adopted = adopt(User::Root, path, &["--key-family", &format!("0x{key:08x}/32")], 0);
    let taken =
        |objects: &[Value]| objects.iter().filter(|one| one["outcome"] == "adopted").count();
    let along = adopted.iter().filter(|one| one["along"] == true).count();
    assert!(along >= 3 && taken(&adopted) == along + 1, "{adopted:?}");
    // What was made and not listed yet at the moment of the kill leads nowhere: stranded.
    let owner = User::Server.uid_seen().to_string();
    let rest = adopt(User::Root, path, &["--owner", &owner], 0);
    assert_eq!(taken(&adopted) + taken(&rest), count, "{adopted:?} {rest:?}");
    let document = warden::answer(User::Root, &["sweep", "--json", path]).expect_code(0).json();
    let swept = document["ledgers"][0]["objects"].as_array().unwrap();
    assert!(swept.iter().all(|one| one["outcome"] == "removed"), "{swept:?}");
    let last = swept.last().unwrap();
    assert_eq!(last["key"], format!("0x{key:08x}"), "the main segment goes last: {swept:?}");
    assert_eq!(before.left_over(), [""; 0]);
}

#[test]
fn a_dead_servers_main_segment_takes_its_files_along() {
    sandbox::on_host(|| crashed_is_cleaned(15, &[]));
}

#[test]
fn a_dead_servers_main_segment_takes_its_system_v_dynamic_shared_memory_along() {
    sandbox::on_host(|| crashed_is_cleaned(15, &[("dynamic_shared_memory_type", "sysv")]));
}

#[test]
fn a_dead_server_of_the_known_incident_is_cleaned() {
    sandbox::on_host(|| {
        crashed_is_cleaned(12, &[("port", "16000"), ("shared_memory_type", "sysv")]);
    });
}

#[test]
fn files_that_ipcrm_has_stranded_are_taken_by_name_beside_the_restarted_server() {
    sandbox::on_host(|| {
        need_root("to look into the server");
        let before = Snapshot::take();
        let mut cluster = Cluster::new(15, &[]);
        cluster.start();
        let main = cluster.main_segment();
        crash(&mut cluster);
        let stranded: Vec<String> = shm_files().into_iter().map(|file| file.name).collect();
        remove_segment(main);
        cluster.start();
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        // No filter while a process of the user lives.
        let all = adopt(User::Root, path, &[], 0);
        assert!(all.iter().all(|one| one["outcome"] == "refused"), "{all:?}");
        // The living server's own are refused by name as well.
        let own = shm_files().into_iter().map(|file| file.name);
        let own: Vec<String> = own.filter(|name| !stranded.contains(name)).collect();
        assert!(!own.is_empty());
        for name in &own {
            let named = adopt(User::Root, path, &[&format!("/{name}")], 77);
            let code = named[0]["reason_code"].as_str().unwrap();
            assert!(["mapped", "listed"].contains(&code), "{named:?}");
        }
        let names: Vec<String> = stranded.iter().map(|name| format!("/{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let named = adopt(User::Root, path, &names, 0);
        assert!(named.iter().all(|one| one["outcome"] == "adopted"), "{named:?}");
        assert_eq!(sweep(path).len(), stranded.len());
        let left: Vec<String> = shm_files().into_iter().map(|file| file.name).collect();
        assert_eq!(left, own);
        assert_eq!(cluster.sql("select 1"), "1");
        cluster.stop();
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn files_that_ipcrm_has_stranded_are_offered_when_nobody_of_their_user_lives() {
    sandbox::on_host(|| {
        let before = Snapshot::take();
        let mut cluster = Cluster::new(15, &[]);
        cluster.start();
        let main = cluster.main_segment();
        crash(&mut cluster);
        remove_segment(main);
        let count = shm_files().len();
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let owner = User::Server.uid_seen().to_string();
        let all = adopt(User::Root, path, &["--owner", &owner], 0);
        if sandbox::has_root() {
            assert_eq!(all.iter().filter(|one| one["outcome"] == "adopted").count(), count);
            assert_eq!(sweep(path).len(), count);
            assert_eq!(before.left_over(), [""; 0]);
        }
    });
}

#[test]
fn what_an_orphan_still_holds_keeps_all_of_its_server() {
    sandbox::run(|| {
        need_root("to look into the server");
        let mut cluster = Cluster::new(15, &[]);
        cluster.start();
        let main = cluster.main_segment();
        let orphan = cluster.cpu_bound_query_in_background(60);
        let running = Snapshot::take();
        processes::kill(cluster.postmaster_pid(), Signal::SIGKILL);
        cluster.wait_end();
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let named = adopt(User::Root, path, &[&main.to_string()], 77);
        assert_eq!(refused(&named, main), "attached");
        let names: Vec<String> = shm_files().into_iter().map(|file| file.name).collect();
        for name in names {
            adopt(User::Root, path, &[&format!("/{name}")], 77);
        }
        assert_eq!(running.missing(), [""; 0]);
        processes::kill(orphan.pid(), Signal::SIGKILL);
    });
}
