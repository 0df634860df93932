//! A ledger that grows long while its server runs: written anew beside a launcher that goes on.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use shmwarden::ledger::compact::LONG_BYTES;
use shmwarden::ledger::line;
use shmwarden::ledger::record::{Entry, How, ObjectSeen, Record, Role};
use shmwarden::object::{Identity, Key, Segment};

use crate::scene::instance::{Instance, SOON};
use crate::scene::ledger_text;
use crate::scene::stand_in::StandIn;
use crate::support::objects::Snapshot;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;
/// What a start and a few objects take, in bytes; thirty segments more do not fit in it.
const ROOM: u64 = 4096;
/// Objects that came and went in each run of the past.
const PASSED: u64 = 35;

#[test]
fn a_ledger_is_shortened_under_a_launcher_that_goes_on() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        let long = make_long(&instance);
        let mut server = StandIn::start(&instance, KEY);
        for _ in 0..30 {
            server.create_another();
        }
        wait_until("the ledger is short", SOON, || length(&instance) < long / 2);
        // The launcher goes on in the new file, and the lock is on that.
        let last = server.create_another();
        let mark = format!(r#""id":{last},"#);
        wait_until("more is recorded", SOON, || {
            String::from_utf8_lossy(&instance.bytes()).contains(&mark)
        });
        Answer::of(&mut instance.run(&[], &["true"])).expect_code(125);
        instance.sweep(&[]).expect_code(75);
        processes::kill(server.pid(), Signal::SIGKILL);
        let status = server.outermost().wait(SOON);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(before.left_over(), [""; 0]);
        assert_eq!(instance.set_aside(), [""; 0], "nothing lies beside it");
    });
}

/// Of the ledger, in bytes.
pub fn length(instance: &Instance) -> u64 {
    fs::metadata(instance.ledger()).unwrap().len()
}

/// Repeats the one run of a ledger until little more makes it long; gives its length.
pub fn make_long(instance: &Instance) -> u64 {
    let model = ledger_text::entries(instance.ledger());
    let mut bytes = instance.bytes();
    let (mut seq, mut object) = (model.last().unwrap().seq, 0);
    let mut run = 1;
    loop {
        run += 1;
        let (seq_before, object_before) = (seq, object);
        let mut records: Vec<Record> = Vec::new();
        for entry in &model {
            let mut record = entry.record.clone();
            match &mut record {
                Record::Header(_) => continue,
                Record::Run(start) => start.run = run,
                Record::Claim(claim) => claim.run = run,
                Record::Reaped { run: of, .. } => *of = run,
                Record::End { run: of, .. } => {
                    *of = run;
                    records.extend(passed(run, &mut object));
                }
                other => panic!("{other:?}"),
            }
            records.push(record);
        }
        let mut more = Vec::new();
        for record in records {
            seq += 1;
            more.extend(line::encode(&Entry { seq, record, ..model[0].clone() }));
        }
        if (bytes.len() + more.len()) as u64 > LONG_BYTES - ROOM {
            (seq, object) = (seq_before, object_before);
            break;
        }
        bytes.extend(more);
    }
    // And what came and went in the last one, up to where a start has room.
    for pair in passed(run - 1, &mut object).chunks(2) {
        let mut more = Vec::new();
        for (record, seq) in pair.iter().zip(seq + 1..) {
            more.extend(line::encode(&Entry { seq, record: record.clone(), ..model[0].clone() }));
        }
        if (bytes.len() + more.len()) as u64 > LONG_BYTES - ROOM {
            break;
        }
        bytes.extend(more);
        seq += 2;
    }
    fs::write(instance.ledger(), &bytes).unwrap();
    bytes.len() as u64
}

/// Objects of a run that have gone.
fn passed(run: u64, object: &mut u64) -> Vec<Record> {
    let mut records = Vec::new();
    for id in 0..PASSED {
        *object += 1;
        let segment = Segment {
            id: 1_000_000 + i32::try_from(id).unwrap(),
            key: Key(1),
            bytes: 4096,
            creator_uid: 1,
            creator_gid: 1,
            creator_pid: 1,
            ctime: 1,
        };
        let (how, role, identity) = (How::Claim, Role::Other, Identity::Shm(segment));
        let seen =
            ObjectSeen { object: *object, run, how, role, identity, creator: None, header: None };
        records.push(Record::Object(seen));
        records.push(Record::Gone { object: *object });
    }
    records
}
