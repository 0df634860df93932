//! No advice that harms: messages of other machines beside a living server, a full and an empty
//! `/dev/shm`, limits as they are.

use std::process::Command;

use super::make::{explained, part};
use crate::scene::instance::need_root;
use crate::support::cluster::Cluster;
use crate::support::sandbox;

/// Texts that people posted, of many programs; the ones that explain is tested with.
fn posted() -> Vec<String> {
    let rows = include_str!("../../../wrapper/doctor/explain/tests/messages.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(rows).unwrap();
    let more = [
        "FATAL:  pre-existing shared memory block (key 5432001, ID 0) is still in use\n\
         HINT:  Terminate any old server processes associated with data directory \"/srv/pg\".",
        "could not resize shared memory segment \"/PostgreSQL.1\" to 536870912000 bytes: \
         No space left on device",
        "FATAL:  lock file \"postmaster.pid\" already exists\n\
         HINT:  Is another postmaster (PID 1) running in data directory \"/var/lib/pg\"?",
        "FATAL:  could not map anonymous shared memory: Cannot allocate memory\n\
         HINT:  size 4399000000 bytes",
    ];
    let texts = rows.iter().map(|row| row["text"].as_str().unwrap().to_owned());
    texts.chain(more.map(str::to_owned)).collect()
}

/// What `doctor --explain` says, whether it knows the message or not.
fn said(text: &str) -> String {
    let answer = crate::support::warden::answer(
        crate::support::user::User::Root,
        &["doctor", "--explain", text],
    );
    assert!(matches!(answer.code(), 0 | 1), "{text}: {answer:?}");
    answer.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbers behind a word in what was said.
fn numbers<'a>(said: &'a str, word: &str) -> Vec<&'a str> {
    let behind = said.match_indices(word).map(|(at, _)| &said[at + word.len()..]);
    behind.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap()).collect()
}

fn limit(name: &str) -> u128 {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
    text.trim().parse().unwrap()
}

fn assert_harmless(text: &str, living: &[i32]) {
    let said = said(text);
    let shm = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    let mebibytes = (u128::from(shm.blocks()) * u128::from(shm.fragment_size())) >> 20;
    for size in numbers(&said, "remount,size=") {
        assert!(size.parse::<u128>().unwrap() > mebibytes, "{text}\n{said}");
    }
    for name in ["shmmni", "shmall", "shmmax", "msgmni"] {
        for number in numbers(&said, &format!("kernel.{name}=")) {
            assert!(number.parse::<u128>().unwrap() > limit(name), "{text}\n{said}");
        }
    }
    for pid in living {
        for word in ["kill ", "kill -9 "] {
            assert!(!numbers(&said, word).contains(&pid.to_string().as_str()), "{text}\n{said}");
        }
        assert!(!said.contains(&format!("restart process {pid}")), "{text}\n{said}");
    }
    assert!(!said.contains("no file system is full"), "{text}\n{said}");
    assert!(!said.contains("ipcrm -"), "{text}\n{said}");
}

#[test]
fn messages_of_other_machines_beside_a_living_server() {
    sandbox::run(|| {
        need_root("to look into every process");
        let mut cluster = Cluster::new(15, &[("shared_memory_type", "sysv")]);
        cluster.start();
        let pids: Vec<i32> = crate::support::processes::descendants(cluster.postmaster_pid());
        let pids: Vec<i32> = pids.into_iter().chain([cluster.postmaster_pid()]).collect();
        let id = cluster.main_segment();
        for text in posted() {
            assert_harmless(&text, &pids);
            // Its numbers may be this machine's by chance.
            let here = text.replace("ID 0", &format!("ID {id}"));
            if here != text {
                assert_harmless(&here, &pids);
            }
        }
        // Key, id and directory all fit: its own server lives.
        let rows = crate::support::objects::segments();
        let key = rows.iter().find(|row| i64::from(row.id) == i64::from(id)).unwrap().key;
        let text = format!(
            "pre-existing shared memory block (key {key}, ID {id}) is still in use\n\
             HINT:  Terminate any old server processes associated with data directory \"{}\".",
            cluster.data().display()
        );
        assert_harmless(&text, &pids);
        let answer = explained(&text);
        assert!(part(&answer, "here").contains("its server lives"), "{answer:#}");
        cluster.stop();
    });
}

#[test]
fn an_id_with_another_key_is_another_object() {
    sandbox::run(|| {
        let id = crate::support::objects::create_segment(crate::support::user::User::Root, 77, 64);
        let text =
            format!("pre-existing shared memory block (key 5432001, ID {id}) is still in use");
        let answer = explained(&text);
        assert!(part(&answer, "here").contains("is another one"), "{answer:#}");
        assert!(!part(&answer, "run").contains("start the server again"), "{answer:#}");
    });
}

#[test]
fn a_full_and_an_empty_dev_shm() {
    sandbox::run(|| {
        need_root("to mount a /dev/shm");
        let mount = |size: &str| {
            let remount = format!("remount,size={size}");
            let done = Command::new("mount").args(["-o", &remount, "/dev/shm"]).status().unwrap();
            assert!(done.success());
        };
        let text = "could not resize shared memory segment \"/PostgreSQL.1\" to 8388608 bytes: \
                    No space left on device";
        mount("64m");
        assert!(!said(text).contains("remount"), "it has room now");
        assert!(said(text).contains("full at that moment"));
        assert_harmless(text, &[]);
        std::fs::write("/dev/shm/full", vec![1; 60 << 20]).unwrap();
        let full = said(text);
        assert!(full.contains("remount,size=128m"), "{full}");
        assert_harmless(text, &[]);
        std::fs::remove_file("/dev/shm/full").unwrap();
    });
}
