//! One record as one line: what is written is read again, whatever names and numbers it holds, and
//! no byte of a line changes unnoticed.

use proptest::prelude::*;
use shmwarden::engine::HEADER_BYTES;
use shmwarden::ledger::OwnFile;
use shmwarden::ledger::copied::CopiedHeader;
use shmwarden::ledger::line::{self, Bad};
use shmwarden::ledger::record::{
    Adopted, Claim, DataDir, End, Engine, Entry, Executable, Header, How, Loss, ObjectSeen,
    Outcome, Record, Role, RunStart,
};
use shmwarden::object::{Birth, Bytes, FileRef, Identity, Key, Place, ProcessRef, Queue, Segment};
use shmwarden::object::{SemaphoreSet, ShmFile};

use super::make::{alive, claim, header, here, posix_of, reaped, run, seen, segment, time};

fn quick() -> ProptestConfig {
    ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Bytes),
        prop::collection::vec(any::<char>(), 0..6)
            .prop_map(|chars| Bytes(chars.into_iter().collect::<String>().into_bytes())),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..8).prop_map(|chars| chars.into_iter().collect())
}

fn any_process() -> impl Strategy<Value = ProcessRef> {
    (any::<i32>(), any::<u64>()).prop_map(|(pid, start)| ProcessRef { pid, start })
}

fn any_file_ref() -> impl Strategy<Value = FileRef> {
    (any::<u64>(), any::<u64>()).prop_map(|(dev, ino)| FileRef { dev, ino })
}

fn any_segment() -> impl Strategy<Value = Identity> {
    let id = prop_oneof![Just(0), any::<i32>()];
    let numbers = (any::<i32>(), any::<u64>(), any::<i32>(), any::<i64>());
    (id, numbers, any::<u32>(), any::<u32>()).prop_map(|(id, numbers, uid, gid)| {
        let (key, bytes, pid, ctime) = numbers;
        Identity::Shm(Segment {
            id,
            key: Key(key),
            bytes,
            creator_uid: uid,
            creator_gid: gid,
            creator_pid: pid,
            ctime,
        })
    })
}

fn any_file() -> impl Strategy<Value = Identity> {
    let names = (any_bytes(), any_text());
    let numbers = (any::<i64>(), any::<u32>(), any::<u32>(), any::<u64>());
    let file = (any_file_ref(), any::<bool>());
    (names, file, numbers).prop_map(|((name, mount), (file, kept), numbers)| {
        let (seconds, nanos, uid, bytes) = numbers;
        let birth = match kept {
            true => Birth::At(seconds, nanos),
            false => Birth::NotKept { changed: (seconds, nanos) },
        };
        Identity::Posix(ShmFile { name, mount, file, birth, uid, bytes })
    })
}

fn any_set() -> impl Strategy<Value = Identity> {
    let numbers = (any::<i32>(), any::<i32>(), any::<u64>(), any::<i64>());
    (numbers, any::<u32>(), any::<u32>()).prop_map(|((id, key, nsems, ctime), uid, gid)| {
        let key = Key(key);
        Identity::Sem(SemaphoreSet { id, key, nsems, creator_uid: uid, creator_gid: gid, ctime })
    })
}

fn any_queue() -> impl Strategy<Value = Identity> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i64>());
    (numbers, any::<u32>(), any::<u32>()).prop_map(|((id, key, ctime), uid, gid)| {
        let key = Key(key);
        Identity::Msg(Queue { id, key, creator_uid: uid, creator_gid: gid, ctime })
    })
}

fn any_identity() -> impl Strategy<Value = Identity> {
    prop_oneof![any_segment(), any_file(), any_set(), any_queue()]
}

fn any_place() -> impl Strategy<Value = Place> {
    let mount = prop::option::of(any_text());
    (any_text(), any_text(), any_text(), mount).prop_map(|(boot, ipc, pid, shm_mount)| Place {
        boot,
        ipc_namespace: ipc,
        pid_namespace: pid,
        shm_mount,
    })
}

fn any_run() -> impl Strategy<Value = Record> {
    let argv = prop::collection::vec(any_bytes(), 0..4);
    let clock = prop::option::of(any::<i64>());
    let ids = (any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>(), clock);
    (ids, any_process(), argv, any_text()).prop_map(|(ids, launcher, argv, version)| {
        let (run, uid, gid, recorded, clock_ahead_ms) = ids;
        let start = RunStart {
            run,
            launcher,
            uid,
            gid,
            argv,
            shmwarden: version,
            recorded,
            clock_ahead_ms,
        };
        Record::Run(start)
    })
}

fn any_claim() -> impl Strategy<Value = Record> {
    let engine =
        prop_oneof![Just(Engine::GENERIC), Just(Engine::POSTGRES), Just(Engine::OPENGAUSS)];
    let ids = || prop::collection::vec(any::<i32>(), 0..3);
    let lists = (prop::collection::vec(any::<u32>(), 0..3), ids(), ids(), ids());
    let place = prop::option::of((any_bytes(), any_file_ref()));
    let program = prop::option::of((any_bytes(), any_file_ref()));
    let numbers = (any::<u64>(), any::<i32>(), any::<i32>());
    let limits = (prop::option::of(any::<u32>()), prop::option::of(any::<u64>()));
    let kind = (engine, any_bytes(), limits);
    (any_process(), numbers, lists, kind, place, program).prop_map(
        |(process, (run, group, session), lists, kind, data, program)| {
            let (engine, control_group, (major, pid_max)) = kind;
            let (uids, before, sets_before, queues_before) = lists;
            Record::Claim(Claim {
                run,
                process,
                uids,
                group,
                session,
                control_group,
                engine,
                major,
                data: data.map(|(path, file)| DataDir { path, file }),
                executable: program.map(|(path, file)| Executable { path, file }),
                before,
                sets_before,
                queues_before,
                pid_max,
                forks: None,
                ended: None,
            })
        },
    )
}

fn any_object() -> impl Strategy<Value = Record> {
    let how = prop_oneof![
        Just(How::Claim),
        Just(How::Watch),
        Just(How::LastLook),
        Just(How::ForkCount),
        Just(How::Opened),
        Just(How::Header),
        Just(How::PidFile),
        Just(How::Listed),
        Just(How::Adopted),
        Just(How::Named)
    ];
    let role =
        prop_oneof![Just(Role::Dynamic), Just(Role::Other), Just(Role::Control), Just(Role::Main)];
    let numbers = (any::<u64>(), any::<u64>());
    let header = prop::option::of(prop::collection::vec(any::<u8>(), HEADER_BYTES));
    let header =
        header.prop_map(|bytes| bytes.map(|bytes| CopiedHeader::any(bytes.try_into().unwrap())));
    let more = (prop::option::of(any_process()), header);
    (numbers, how, role, any_identity(), more, any::<bool>()).prop_map(
        |((object, run), how, role, identity, (creator, header), adopted)| match adopted {
            true => Record::Adopted(Adopted { object, how, role, identity }),
            false => {
                Record::Object(ObjectSeen { object, run, how, role, identity, creator, header })
            }
        },
    )
}

fn any_step() -> impl Strategy<Value = Record> {
    let outcome = prop_oneof![
        Just(Outcome::Removed),
        Just(Outcome::Gone),
        Just(Outcome::Kept),
        Just(Outcome::Raced),
        Just(Outcome::Failed)
    ];
    let end = prop_oneof![
        any::<i32>().prop_map(End::Exit),
        any::<i32>().prop_map(End::Signal),
        any::<i32>().prop_map(End::NotStarted),
        Just(End::Unknown)
    ]
    .boxed();
    let reaped = (any::<u64>(), any_process(), end.clone())
        .prop_map(|(run, process, end)| Record::Reaped { run, process, end });
    prop_oneof![
        reaped,
        (any::<u64>(), any_process()).prop_map(|(run, process)| Record::Alive { run, process }),
        (any::<u64>(), any_identity()).prop_map(|(run, identity)| Record::Used { run, identity }),
        (any::<u64>(), any_process())
            .prop_map(|(run, process)| Record::Descendant { run, process }),
        (any::<u64>(), any::<bool>(), any_identity()).prop_map(|(run, marked, identity)| {
            let loss = if marked { Loss::Marked } else { Loss::Removed };
            Record::Robbed { run, loss, identity }
        }),
        any::<u64>().prop_map(|object| Record::Gone { object }),
        (any::<u64>(), any_text()).prop_map(|(object, reason)| Record::Intent { object, reason }),
        (any::<u64>(), outcome, any_text())
            .prop_map(|(object, outcome, detail)| { Record::Outcome { object, outcome, detail } }),
        (any::<u64>(), end).prop_map(|(run, end)| Record::End { run, end }),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let born = (any::<i64>(), any::<u32>());
    let file = (any::<u64>(), any::<u64>(), born, any::<bool>())
        .prop_map(|(dev, ino, born, overlay)| OwnFile { dev, ino, born, overlay });
    let header = (any::<u64>(), any_place(), prop::option::of(file))
        .prop_map(|(version, place, file)| Record::Header(Header { version, place, file }));
    prop_oneof![header, any_run(), any_claim(), any_object(), any_step()]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let forks = prop::option::of(any::<u64>());
    (any::<u64>(), 0..1_000_000_000_u64, forks, any_record())
        .prop_map(|(seq, seconds, forks, record)| Entry { seq, at: time(seconds), forks, record })
}

proptest! {
    #![proptest_config(quick())]

    #[test]
    fn what_is_written_is_read_again(entry in any_entry()) {
        let line = line::encode(&entry);
        let text = line.strip_suffix(b"\n").unwrap();
        prop_assert!(!text.contains(&b'\n'));
        prop_assert_eq!(line::decode(text), Ok(entry));
    }

    #[test]
    fn any_bytes_are_a_line_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(line::decode(&text).is_err());
    }
}

/// One entry of each type, with the numbers that are easily got wrong.
fn one_of_each() -> Vec<Entry> {
    let hostile =
        Segment { key: Key(i32::MIN), creator_uid: u32::MAX - 1, ctime: -1, ..segment(0) };
    let file = ShmFile { name: Bytes(b"\xff\n\"}\0".to_vec()), ..posix_of(7) };
    let mut end_of_child = claim(1);
    end_of_child.control_group = Bytes(vec![0x80, b'/']);
    let records = vec![
        header(here()),
        run(1),
        Record::Claim(end_of_child),
        alive(1),
        reaped(1, End::Exit(1)),
        Record::Object(seen(1, Role::Main, Identity::Shm(hostile.clone()))),
        Record::Object(seen(2, Role::Dynamic, Identity::Posix(file))),
        Record::Used { run: 1, identity: Identity::Shm(hostile) },
        Record::Descendant { run: 1, process: ProcessRef { pid: 4711, start: 1000 } },
        Record::Gone { object: 1 },
        Record::End { run: 1, end: End::Signal(9) },
        Record::Intent { object: 2, reason: "its server is dead".to_owned() },
        Record::Outcome { object: 2, outcome: Outcome::Raced, detail: String::new() },
    ];
    let entry = |(seq, record)| Entry {
        seq,
        at: time(seq),
        forks: (seq % 2 == 0).then_some(u64::MAX),
        record,
    };
    (1..).zip(records).map(entry).collect()
}

#[test]
fn every_type_of_record_is_read_again() {
    for entry in one_of_each() {
        let line = line::encode(&entry);
        assert_eq!(line::decode(&line[..line.len() - 1]), Ok(entry));
    }
}

#[test]
fn every_single_changed_byte_of_a_line_is_noticed() {
    for entry in one_of_each() {
        let line = line::encode(&entry);
        let mut text = line[..line.len() - 1].to_vec();
        for at in 0..text.len() {
            for mask in [0x01, 0x02, 0x10, 0x20, 0x80, 0xff] {
                text[at] ^= mask;
                assert_eq!(line::decode(&text), Err(Bad::Checksum), "byte {at} ^ {mask:#x}");
                text[at] ^= mask;
            }
        }
    }
}

#[test]
fn every_missing_or_added_byte_of_a_line_is_noticed() {
    for entry in one_of_each() {
        let line = line::encode(&entry);
        let text = &line[..line.len() - 1];
        for at in 0..text.len() {
            let mut other = text.to_vec();
            let byte = other.remove(at);
            assert_eq!(line::decode(&other), Err(Bad::Checksum), "without byte {at}");
            other.insert(at, byte);
            other.insert(at, byte ^ 0x55);
            assert_eq!(line::decode(&other), Err(Bad::Checksum), "with one more at {at}");
        }
    }
}

#[test]
fn a_record_of_a_later_version_is_told_from_a_damaged_one() {
    let body = br#"{"seq":1,"at":"2030-01-01T00:00:00.000Z","record":"something-new""#;
    let mut text = body.to_vec();
    text.extend(format!(",\"crc\":\"{:08x}\"}}", crc32fast::hash(body)).bytes());
    assert!(matches!(line::decode(&text), Err(Bad::Content(_))));
}

#[test]
fn a_newer_version_is_recognised_whatever_else_changed() {
    let first = line::encode(&one_of_each()[0]);
    let text = String::from_utf8(first).unwrap();
    let newer = text.replace("\"version\":3", "\"version\":4");
    assert_eq!(line::newer_version(newer.as_bytes()), Some(4));
    let other = br#" { "version" : 7, "record":"header", "place":{"boot":[1]}, "hash":null } "#;
    assert_eq!(line::newer_version(other), Some(7));
}

#[test]
fn neither_this_version_nor_another_record_is_a_newer_version() {
    let same = br#"{"record":"header","version":3}"#;
    let other = br#"{"record":"run","version":3}"#;
    for text in [&same[..], other, b"", b"{", b"\xff", br#"{"version":3}"#, b"[2]"] {
        assert_eq!(line::newer_version(text), None);
    }
}
