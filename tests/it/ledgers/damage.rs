//! Ledgers that were cut short, damaged, or written by a newer version: what is left of a crash is
//! still cleaned up where that can be known, and never guessed at.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::scene::instance::{Instance, outcomes, state};
use crate::scene::ledger_text::{edit, entries};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{Snapshot, segment};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;

#[test]
fn a_torn_tail_is_recovered_by_a_sweep() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let (instance, _) = crashed();
        tear(&instance);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert!(sweep.stderr.contains("ended in the middle of a line"), "{sweep:?}");
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(before.left_over(), [""; 0]);
        let again = instance.sweep(&[]).expect_code(0);
        assert_eq!((state(&again).as_str(), again.stderr.as_str()), ("settled", ""));
    });
}

#[test]
fn a_torn_tail_is_recovered_by_a_run() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let (instance, _) = crashed();
        tear(&instance);
        let run = Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        assert!(run.stderr.contains("ended in the middle of a line"), "{run:?}");
        assert_eq!(before.left_over(), [""; 0]);
        assert_eq!(instance.count("run"), 2);
        assert_eq!(instance.set_aside(), [""; 0]);
        entries(instance.ledger());
    });
}

#[test]
fn damage_is_set_aside_by_a_sweep() {
    sandbox::run(|| {
        let (instance, id) = crashed();
        let damaged = damage(&instance);
        let sweep = instance.sweep(&[]).expect_code(65);
        assert_eq!(state(&sweep), "damaged");
        assert!(sweep.stderr.contains("is damaged at line 2: its checksum"), "{sweep:?}");
        assert_set_aside(&instance, "damaged", &damaged);
        assert!(segment(id).is_some());
        let again = instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&again), "missing");
    });
}

#[test]
fn damage_is_only_told_by_a_dry_run() {
    sandbox::run(|| {
        let (instance, id) = crashed();
        let damaged = damage(&instance);
        let sweep = instance.sweep(&["--dry-run"]).expect_code(65);
        assert_eq!(state(&sweep), "damaged");
        assert_eq!(instance.bytes(), damaged);
        assert_eq!(instance.set_aside(), [""; 0]);
        assert!(segment(id).is_some());
    });
}

#[test]
fn damage_does_not_keep_the_server_from_starting() {
    sandbox::run(|| {
        let (instance, id) = crashed();
        let damaged = damage(&instance);
        let options = ["--if-ledger-fails", "refuse"];
        let run = Answer::of(&mut instance.run(&options, &["true"])).expect_code(0);
        assert!(run.stderr.contains("is damaged at line 2"), "{run:?}");
        assert_set_aside(&instance, "damaged", &damaged);
        assert_eq!(instance.count("run"), 1, "a fresh one");
        assert!(segment(id).is_some());
    });
}

#[test]
fn a_newer_ledger_is_not_touched_by_a_sweep() {
    sandbox::run(|| {
        let (instance, id) = crashed();
        let newer = renew(&instance);
        let sweep = instance.sweep(&[]).expect_code(65);
        assert_eq!(state(&sweep), "damaged");
        assert!(sweep.stderr.contains(&newer_version()), "{sweep:?}");
        assert_eq!(instance.bytes(), newer);
        assert_eq!(instance.set_aside(), [""; 0]);
        assert!(segment(id).is_some());
    });
}

#[test]
fn a_newer_ledger_is_set_aside_by_a_run() {
    sandbox::run(|| {
        let (instance, id) = crashed();
        let newer = renew(&instance);
        let run = Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        assert!(run.stderr.contains(&newer_version()), "{run:?}");
        assert_set_aside(&instance, "newer", &newer);
        assert_eq!(instance.count("run"), 1, "a fresh one");
        assert!(segment(id).is_some());
    });
}

fn newer_version() -> String {
    format!("has version {}", shmwarden::ledger::record::VERSION + 1)
}

/// A crash of launcher and server; what is left is a recorded segment, with this id.
fn crashed() -> (Instance, i32) {
    let instance = Instance::new(User::Server);
    let server = StandIn::start(&instance, KEY);
    instance.wait_recorded(1);
    let id = server.segment();
    server.kill_all();
    (instance, id)
}

/// As a power cut in the middle of an append does.
fn tear(instance: &Instance) {
    let bytes = instance.bytes();
    let half = bytes.iter().take(60);
    let half: Vec<u8> = half.copied().collect();
    let mut file = OpenOptions::new().append(true).open(instance.ledger()).unwrap();
    file.write_all(&half).unwrap();
}

/// Flips a bit in the second line; the bytes then.
fn damage(instance: &Instance) -> Vec<u8> {
    let mut bytes = instance.bytes();
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    bytes[second + 30] ^= 1;
    fs::write(instance.ledger(), &bytes).unwrap();
    bytes
}

/// Makes it look as if the next version had written it; the bytes then.
fn renew(instance: &Instance) -> Vec<u8> {
    use shmwarden::ledger::record::Record;
    edit(instance.ledger(), |entry| {
        if let Record::Header(header) = &mut entry.record {
            header.version += 1;
        }
    });
    instance.bytes()
}

/// One file beside the ledger, named after what is wrong with it, with everything in it.
fn assert_set_aside(instance: &Instance, what: &str, bytes: &[u8]) {
    let aside = instance.set_aside();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].starts_with(&format!("server.ledger.{what}-")), "{aside:?}");
    assert!(fs::read(instance.directory().join(&aside[0])).unwrap() == bytes);
}
