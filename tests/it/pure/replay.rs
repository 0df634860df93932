//! A ledger that was cut short or changed in any byte: never a panic, never more known than was
//! written, and never a removal that the whole ledger would not have led to.

use shmwarden::engine::postgres::PidFile;
use shmwarden::ledger::book::Tail;
use shmwarden::ledger::record::{Claim, End, How, ObjectSeen, Outcome, Record, Role};
use shmwarden::ledger::{Book, line};
use shmwarden::object::{Identity, Place, ProcessRef, Segment, ShmFile};
use shmwarden::snapshot::{Seen, Snapshot, Table};
use shmwarden::sys::shm::Row;

use super::make::{
    CONTROL_HANDLE, Change, DATA, DYNAMIC_HANDLE, FORKS, PID_MAX, SERVER, alive, claim, closed,
    control_list, files, header, here, in_pids, look, main_header, posix, posix_of, postgres, row,
    run, seen, segment, shm, sysv_of,
};
use super::story::{Story, would_remove};

/// The server of the second run, in the second container.
const SECOND: ProcessRef = ProcessRef { pid: 37, start: 5000 };
const SECOND_CONTROL: u32 = 2_000_000_006;
const SECOND_DYNAMIC: u32 = 2_000_000_008;

fn second_place() -> Place {
    in_pids("id:99")
}

fn second_claim() -> Claim {
    Claim {
        process: SECOND,
        // A segment of a bystander bore this pid before the fork.
        before: vec![41],
        sets_before: vec![42],
        queues_before: vec![0],
        ..claim(2)
    }
}

fn second_main() -> Segment {
    Segment { creator_pid: SECOND.pid, ..segment(32_768) }
}

/// Two runs of a PostgreSQL, one container after the other: the first crashed and was cleaned up
/// after, the second was killed together with its launcher.
fn two_containers() -> Story {
    let intent = |object| Record::Intent {
        object,
        reason: "server 4711 of run 1 is dead, nobody uses it".to_owned(),
    };
    let outcome =
        |object, outcome| Record::Outcome { object, outcome, detail: "destroyed".to_owned() };
    let of_backend = Segment { creator_pid: 4999, ..segment(7) };
    let watched = ObjectSeen {
        how: How::Watch,
        creator: Some(ProcessRef { pid: 4999, start: 1200 }),
        ..seen(4, Role::Other, shm(&of_backend))
    };
    let mut second = seen(5, Role::Main, shm(&second_main()));
    second.run = 2;
    let mut control = seen(6, Role::Control, posix(&posix_of(SECOND_CONTROL)));
    control.run = 2;
    Story::of(Claim { executable: None, ..claim(1) })
        .at_forks(FORKS + 3, Record::Claim(claim(1)))
        .object(1, Role::Other, shm(&segment(0)))
        .object(1, Role::Main, shm(&segment(0)))
        .object(2, Role::Control, posix(&posix_of(CONTROL_HANDLE)))
        .object(3, Role::Dynamic, posix(&posix_of(DYNAMIC_HANDLE)))
        .then(Record::Object(watched))
        .then(Record::Used { run: 1, identity: shm(&segment(90)) })
        .at_forks(FORKS + 4000, alive(1))
        .then(Record::Gone { object: 4 })
        .end(1, End::Signal(9))
        .then(intent(3))
        .then(outcome(3, Outcome::Removed))
        .then(intent(2))
        .then(outcome(2, Outcome::Failed))
        .then(intent(2))
        .then(outcome(2, Outcome::Removed))
        .then(intent(1))
        .then(outcome(1, Outcome::Removed))
        .then(header(second_place()))
        .then(run(2))
        .at_forks(FORKS + 2 * PID_MAX, Record::Claim(second_claim()))
        .then(Record::Object(second))
        .then(Record::Object(control))
}

/// What the kernel shows after the second server's death, with bystanders of the same user beside
/// it: under an old id and an old name, with the pid of either server, in the same key family, with
/// a name of PostgreSQL's form.
fn bystanders() -> Snapshot {
    let later = |segment: Segment| Segment { ctime: segment.ctime + 5000, ..segment };
    let by = |creator_pid, id| Row { creator_pid, ..row(&later(segment(id))) };
    let mut look = look();
    look.change(|look| look.place = second_place());
    let list = control_list(true, &[SECOND_DYNAMIC]);
    look.change(|look| {
        look.segments = Table::Whole(vec![
            row(&second_main()),
            row(&later(segment(0))),
            by(SERVER.pid, 40),
            by(SECOND.pid, 41),
            by(0, 42),
            by(60_000, 43),
            row(&Segment { creator_pid: 60_001, ..later(sysv_of(DYNAMIC_HANDLE, 44)) }),
        ])
    });
    let reborn = |handle, ino| ShmFile {
        file: shmwarden::object::FileRef { dev: 26, ino },
        birth: super::make::LATER,
        ..posix_of(handle)
    };
    look.change(|look| {
        look.files = files(vec![
            posix_of(SECOND_CONTROL),
            posix_of(SECOND_DYNAMIC),
            posix_of(4_000_000_010),
            reborn(CONTROL_HANDLE, 500),
            reborn(DYNAMIC_HANDLE, 501),
        ])
    });
    look.change(|look| {
        look.headers = [(32_768, main_header(SECOND.pid, SECOND_CONTROL, DATA))].into()
    });
    look.change(|look| look.controls = vec![(posix(&posix_of(SECOND_CONTROL)), list)]);
    look
}

/// The second server lives: seen in full; by its name alone; by its attachments alone.
fn living() -> Vec<Snapshot> {
    let attached = bystanders().with(|look| look.headers = std::collections::BTreeMap::new());
    let attached = attached.with(|look| look.segments.rows_mut()[0].nattch = 5);
    let of = |process| Table::Whole(vec![process]);
    let seen = attached.clone().with(|look| {
        look.processes = of(postgres(SECOND.pid, SECOND.start));
        look.data_dirs[0].pid_file = Seen::Here(PidFile {
            standalone: false,
            pid: SECOND.pid,
            segment: Some((second_main().key.0, second_main().id)),
        });
    });
    let by_name = attached.clone();
    let by_name = by_name.with(|look| look.processes = of(closed(SECOND.pid, "postgres")));
    let from_outside = attached.clone().with(|look| look.place = in_pids("id:7"));
    vec![seen, by_name, attached, from_outside]
}

/// The book after each entry; the number of an entry is its index.
fn prefixes(story: &Story) -> Vec<Book> {
    let mut book = Book::default();
    let mut all = vec![book.clone()];
    for entry in &story.entries {
        book.apply(entry).unwrap();
        all.push(book.clone());
    }
    all
}

#[test]
fn the_whole_ledger_leads_to_the_removal_of_the_second_servers_objects_alone() {
    let removed = would_remove(&two_containers().book, &bystanders());
    let dynamic = posix(&posix_of(SECOND_DYNAMIC));
    let control = posix(&posix_of(SECOND_CONTROL));
    assert_eq!(removed, [dynamic, control, shm(&second_main())]);
}

#[test]
fn a_ledger_that_was_cut_at_any_byte_is_a_prefix_of_itself() {
    let story = two_containers();
    let (bytes, prefixes) = (story.bytes(), prefixes(&story));
    for cut in 0..=bytes.len() {
        let (book, good, tail) = Book::replay(&bytes[..cut]);
        assert_eq!(book, prefixes[usize::try_from(book.seq).unwrap()], "cut at {cut}");
        let clean = cut == 0 || bytes[cut - 1] == b'\n';
        assert_eq!(tail, if clean { Tail::Clean } else { Tail::Torn }, "cut at {cut}");
        assert_eq!(good, bytes[..cut].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1));
    }
}

#[test]
fn a_ledger_with_any_byte_changed_is_never_clean_and_knows_nothing_that_was_not_written() {
    let story = two_containers();
    let (mut bytes, prefixes) = (story.bytes(), prefixes(&story));
    let opening = bytes.windows(8).position(|part| part == b",\"boot\":").unwrap() + 1;
    for at in 0..bytes.len() {
        let number = bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        for mask in [0x01, 0x80, bytes[at] ^ b'\n'] {
            if mask == 0 {
                continue;
            }
            bytes[at] ^= mask;
            let (book, good, tail) = Book::replay(&bytes);
            bytes[at] ^= mask;
            let last = at + 1 == bytes.len();
            match tail {
                Tail::Damaged { .. } | Tail::Newer(_) => {}
                // Only where the file does not even begin as a header line.
                Tail::NotALedger => assert!(at < opening, "byte {at} ^ {mask:#x}"),
                Tail::Torn => assert!(last, "byte {at} ^ {mask:#x}"),
                Tail::Clean => panic!("byte {at} ^ {mask:#x} is not noticed"),
            }
            // Nothing behind the changed line is believed, and nothing of that line.
            assert_eq!(book.seq, number as u64, "byte {at} ^ {mask:#x}");
            assert!(good <= at);
            assert_eq!(book, prefixes[number]);
        }
    }
}

#[test]
fn a_version_that_was_flipped_into_a_newer_one_is_left_alone() {
    let text = String::from_utf8(two_containers().bytes()).unwrap();
    let newer = text.replacen("\"version\":3", "\"version\":4", 1);
    let (book, good, tail) = Book::replay(newer.as_bytes());
    assert_eq!((book, good, tail), (Book::default(), 0, Tail::Newer(4)));
}

#[test]
fn a_line_that_is_missing_doubled_or_out_of_order_is_damage() {
    let story = two_containers();
    let lines: Vec<Vec<u8>> = story.entries.iter().map(line::encode).collect();
    let damaged_at = |lines: &[Vec<u8>]| match Book::replay(&lines.concat()).2 {
        Tail::Damaged { line, .. } => line,
        other => panic!("{other:?}"),
    };
    for index in 1..lines.len() - 1 {
        let line = index as u64 + 1;
        let mut changed = lines.clone();
        changed.remove(index);
        assert_eq!(damaged_at(&changed), line, "without line {line}");
        let mut changed = lines.clone();
        changed.insert(index, lines[index].clone());
        assert_eq!(damaged_at(&changed), line + 1, "line {line} twice");
        let mut changed = lines.clone();
        changed.swap(index, index + 1);
        assert_eq!(damaged_at(&changed), line, "line {line} later");
    }
    // Without its header it does not begin as a ledger.
    let mut changed = lines;
    changed.remove(0);
    assert_eq!(Book::replay(&changed.concat()).2, Tail::NotALedger);
}

#[test]
fn any_bytes_are_replayed_without_a_panic() {
    for garbage in [&b"\n"[..], b"\n\n", b"{}\n", b"\0", b"\xff\n", b"null\n{", b"[\n"] {
        let (book, good, tail) = Book::replay(garbage);
        assert_eq!((book, good), (Book::default(), 0));
        assert_eq!(tail, Tail::NotALedger, "{garbage:?}");
    }
}

#[test]
fn no_cut_leads_to_a_removal_while_the_server_lives_or_its_segments_are_attached() {
    for (cut, book) in prefixes(&two_containers()).iter().enumerate() {
        for (index, look) in living().iter().enumerate() {
            let removed = would_remove(book, look);
            assert_eq!(removed, Vec::<Identity>::new(), "after entry {cut}, look {index}");
        }
    }
}

#[test]
fn no_cut_leads_to_the_removal_of_a_bystander() {
    let story = two_containers();
    let right = would_remove(&story.book, &bystanders());
    let elsewhere = [here(), in_pids("id:7"), super::make::in_ipc("id:8")];
    let elsewhere = elsewhere.map(|place| bystanders().with(|look| look.place = place));
    for (cut, book) in prefixes(&story).iter().enumerate() {
        for look in elsewhere.iter().chain([&bystanders()]) {
            for removed in would_remove(book, look) {
                assert!(right.contains(&removed), "after entry {cut}: {removed}");
            }
        }
    }
}

#[test]
fn what_was_cut_off_is_found_again_by_claim_header_and_list() {
    let story = two_containers();
    let claimed = story.entries.len() - 2;
    let right = would_remove(&story.book, &bystanders());
    for book in &prefixes(&story)[claimed..] {
        assert_eq!(would_remove(book, &bystanders()), right);
    }
}
