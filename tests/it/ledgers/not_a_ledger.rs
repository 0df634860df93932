//! Files that were never a ledger and that a slip of the hand, a variable or a directory names:
//! none is moved, replaced or written by any command, and each command says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use shmwarden::ledger::line;
use shmwarden::ledger::record::{Entry, Header, Record, VERSION};

use crate::scene::instance::{Instance, only_ledger, outcomes, state};
use crate::scene::ledger_text::entries;
use crate::scene::stand_in::StandIn;
use crate::support::objects::{Snapshot, segment};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;

/// Every kind of file that is none, by what it is.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let flipped = |at: usize| {
        let mut bytes = ledger_bytes();
        bytes[at] ^= 0x80;
        bytes
    };
    vec![
        ("text", b"root:x:0:0:root:/root:/bin/bash\nsettings = 1\n".to_vec()),
        ("json", b"{\"seq\":1,\"some\":\"other program\"}\n".to_vec()),
        ("versioned", b"{\"record\":\"header\",\"version\":99}\n".to_vec()),
        ("binary", (0..=255).cycle().take(5000).collect()),
        ("letter", b"x".to_vec()),
        ("no-newline", b"a line without an end".to_vec()),
        ("newlines", b"\n\n\n".to_vec()),
        ("power-cut", vec![0; 70_000]),
        ("flipped", flipped(20)),
        ("headless", ledger_bytes().splitn(2, |&byte| byte == b'\n').nth(1).unwrap().to_vec()),
    ]
}

/// A header, and a line after it.
fn ledger_bytes() -> Vec<u8> {
    let here = shmwarden::snapshot::place::here().unwrap();
    let entry = |seq, record| {
        let at = std::time::SystemTime::UNIX_EPOCH;
        line::encode(&Entry { seq, at, forks: None, record })
    };
    let header = Record::Header(Header { version: VERSION, place: here, file: None });
    [entry(1, header), entry(2, Record::Gone { object: 1 })].concat()
}

/// Writes the file, with everything else of its directory removed.
fn put(instance: &Instance, body: &[u8]) {
    for entry in fs::read_dir(instance.directory()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(instance.ledger(), body).unwrap();
    User::Server.own(instance.ledger());
}

/// Everything that lies in the directory.
fn contents(instance: &Instance) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(instance.directory()).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn command(words: &[&str]) -> Answer {
    warden::answer(User::Server, words)
}

#[test]
fn no_command_touches_a_file_that_is_no_ledger() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let path = instance.path();
        let directory = instance.directory().to_str().unwrap().to_owned();
        let own = std::process::id().to_string();
        let commands: [(&[&str], i32); 13] = [
            (&["run", "--ledger", path, "--", "true"], 0),
            (&["run", "--if-ledger-fails", "refuse", "--ledger", path, "--", "true"], 125),
            (&["run", "--in-place", "--ledger", path, "--", "true"], 0),
            (
                &[
                    "run",
                    "--in-place",
                    "--if-ledger-fails",
                    "refuse",
                    "--ledger",
                    path,
                    "--",
                    "true",
                ],
                125,
            ),
            (&["sweep", path], 65),
            (&["sweep", "--dry-run", path], 65),
            (&["sweep", "--dir", &directory], 65),
            (&["adopt", "--ledger", path, "--yes", "--min-age", "0s"], 0),
            (&["history", path], 65),
            (&["list", "--ledger", path], 65),
            (&["who", "--ledger", path, "0x00f42401"], 65),
            (&["doctor", "--ledger", path], 1),
            (&["record", "--ledger", path, "--pid", &own], 65),
        ];
        for (kind, body) in kinds() {
            for (words, status) in &commands {
                put(&instance, &body);
                let before = contents(&instance);
                let answer = command(words);
                let what = format!("{kind}: {words:?}: {answer:?}");
                assert!(contents(&instance) == before, "{what}");
                // What it takes none of asks for no ledger; what cannot be recorded is told first.
                if !["adopt", "record"].contains(&words[0]) {
                    assert_eq!(answer.code(), *status, "{what}");
                    let said = answer.stdout.replace('\n', " ") + &answer.stderr;
                    assert!(said.contains("is not a ledger"), "{what}");
                }
            }
        }
    });
}

#[test]
fn a_server_starts_beside_what_is_no_ledger_without_a_promise() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        put(&instance, b"mine\n");
        for in_place in [&[][..], &["--in-place"]] {
            let run = Answer::of(&mut instance.run(in_place, &["sh", "-c", "exit 7"]));
            let run = run.expect_code(7);
            assert!(run.stderr.contains("is not a ledger"), "{run:?}");
            assert!(run.stderr.contains("no clean-up is promised"), "{run:?}");
            assert_eq!(instance.bytes(), b"mine\n");
        }
        let refuse = ["--if-ledger-fails", "refuse"];
        for in_place in [&refuse[..], &["--in-place", refuse[0], refuse[1]]] {
            let run = Answer::of(&mut instance.run(in_place, &["touch", "/dev/shm/started"]));
            let run = run.expect_code(125);
            assert!(run.stderr.contains("the server is not started"), "{run:?}");
            assert!(!Path::new("/dev/shm/started").exists());
        }
    });
}

#[test]
fn the_variable_names_a_file_that_is_no_ledger() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        put(&instance, b"mine\n");
        for words in [&["sweep"][..], &["history"], &["run", "--", "true"]] {
            let mut command = warden::command(User::Server, words);
            let answer = Answer::of(command.env("SHMWARDEN_LEDGER", instance.ledger()));
            assert!(answer.stderr.contains("is not a ledger"), "{answer:?}");
            assert_eq!(contents(&instance).len(), 1);
            assert_eq!(instance.bytes(), b"mine\n");
        }
    });
}

#[test]
fn a_sweep_of_a_directory_says_it_and_goes_on_with_the_others() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        server.kill_all();
        let other = instance.directory().join("another.ledger");
        fs::write(&other, "notes of mine\n").unwrap();
        User::Server.own(&other);
        let sweep = instance.sweep_directory().expect_code(65);
        assert!(sweep.stderr.contains("another.ledger is not a ledger"), "{sweep:?}");
        let states = sweep.json()["ledgers"].as_array().unwrap().clone();
        let states: Vec<&str> = states.iter().map(|one| one["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["refused", "dead"], "{sweep:?}");
        assert_eq!(before.left_over(), [""; 0]);
        assert_eq!(fs::read(&other).unwrap(), b"notes of mine\n");
    });
}

#[test]
fn what_begins_as_a_ledger_is_damaged_and_set_aside() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut bytes = ledger_bytes();
        let place = bytes.windows(6).position(|part| part == b"\"boot\"").unwrap();
        bytes[place + 12] ^= 1;
        put(&instance, &bytes);
        let sweep = instance.sweep(&[]).expect_code(65);
        assert_eq!(state(&sweep), "damaged");
        assert_eq!(instance.set_aside().len(), 1, "{sweep:?}");
    });
}

#[test]
fn a_header_that_was_cut_short_is_a_ledger_not_yet_begun() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let whole = ledger_bytes();
        let line = whole.iter().position(|&byte| byte == b'\n').unwrap();
        for cut in [0, 1, 40, line - 1, line] {
            put(&instance, &whole[..cut]);
            let server = StandIn::start(&instance, KEY);
            instance.wait_recorded(1);
            entries(instance.ledger());
            let id = server.segment();
            server.kill_all();
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["removed dead"], "cut at {cut}");
            assert!(segment(id).is_none());
            assert_eq!(only_ledger(&sweep)["objects"].as_array().unwrap().len(), 1);
            assert_eq!(instance.set_aside(), [""; 0]);
        }
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_huge_file_is_not_read_through() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        put(&instance, b"");
        let file = fs::File::options().write(true).open(instance.ledger()).unwrap();
        file.set_len(300 << 30).unwrap();
        let began = std::time::Instant::now();
        let sweep = instance.sweep(&[]).expect_code(65);
        assert_eq!(state(&sweep), "refused");
        assert!(sweep.stderr.contains("is not a ledger"), "{sweep:?}");
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
        assert_eq!(file.metadata().unwrap().len(), 300 << 30);
    });
}

#[test]
fn what_lies_under_the_name_of_a_compaction_is_no_ledgers_and_stays() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        server.kill_all();
        let new = instance.directory().join("server.ledger.new");
        fs::write(&new, "mine\n").unwrap();
        User::Server.own(&new);
        for _ in 0..shmwarden::ledger::compact::KEPT_RUNS + 11 {
            instance.run(&[], &["true"]).status().unwrap();
        }
        let run = Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        assert!(run.stderr.contains("could not shorten the ledger"), "{run:?}");
        assert_eq!(fs::read(&new).unwrap(), b"mine\n");
        fs::write(&new, "").unwrap();
        let run = Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        assert!(!run.stderr.contains("could not shorten"), "{run:?}");
        assert!(!new.exists());
        assert_eq!(before.left_over(), [""; 0]);
    });
}
