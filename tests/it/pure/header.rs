//! The copy that a ledger has of a main segment's header: whoever has it attaches nothing, and it
//! is believed of that very segment alone.

use proptest::prelude::*;
use shmwarden::attribute::{self, header, header_of, headers_wanted};
use shmwarden::engine::{Engine, opengauss, postgres};
use shmwarden::judge::Policy;
use shmwarden::ledger::book::Tail;
use shmwarden::ledger::compact::rewrite;
use shmwarden::ledger::copied::CopiedHeader;
use shmwarden::ledger::record::{Claim, End, How, ObjectSeen, Record, Role};
use shmwarden::ledger::{Book, line};
use shmwarden::object::{Identity, Key, Segment};
use shmwarden::snapshot::{Snapshot, Table};
use shmwarden::sys::IpcPerm;

use super::make::{
    CONTROL_HANDLE, Change, DATA, SERVER, claim, files, generic, in_ipc, in_pids, look,
    main_header, posix, posix_of, row, seen, segment, shm,
};
use super::story::{Story, settle};

fn copy_of(bytes: &[u8]) -> CopiedHeader {
    CopiedHeader::any(bytes.try_into().unwrap())
}

fn main_with(header: Option<CopiedHeader>) -> ObjectSeen {
    ObjectSeen { header, ..seen(1, Role::Main, shm(&segment(0))) }
}

fn whole() -> CopiedHeader {
    copy_of(&main_header(SERVER.pid, CONTROL_HANDLE, DATA))
}

fn story(of: Claim, main: ObjectSeen) -> Story {
    Story::of(of).then(Record::Object(main))
}

/// What a killed server left, of which nobody has read anything.
fn unread() -> Snapshot {
    look().with(|look| {
        look.segments = Table::Whole(vec![row(&segment(0))]);
        look.files = files(vec![posix_of(CONTROL_HANDLE)]);
    })
}

fn is_believed(story: &Story, look: &Snapshot) -> bool {
    let believed = header_of(&story.book, &story.book.objects[&1], look).is_some();
    let wanted = headers_wanted(&story.book, look);
    assert!(!believed || wanted.is_empty(), "{wanted:?}");
    believed
}

#[test]
fn who_has_a_copy_attaches_nothing_and_finds_the_control_segment() {
    let story = story(claim(1), main_with(Some(whole())));
    assert!(is_believed(&story, &unread()));
    let (found, _) = attribute::after_death(&story.book, &unread());
    let found: Vec<_> = found.into_iter().map(|seen| (seen.role, seen.identity)).collect();
    assert_eq!(found, [(Role::Control, posix(&posix_of(CONTROL_HANDLE)))]);
}

#[test]
fn a_ledger_without_a_copy_is_attached_for() {
    let story = story(claim(1), main_with(None));
    assert!(!is_believed(&story, &unread()));
    assert_eq!(headers_wanted(&story.book, &unread()), [0]);
}

#[test]
fn a_copy_is_believed_of_that_very_segment_alone() {
    let story = story(claim(1), main_with(Some(whole())));
    let with = |now: Segment| unread().with(|look| look.segments = Table::Whole(vec![row(&now)]));
    let known = segment(0);
    assert!(is_believed(&story, &with(known.clone())));
    for other in [
        Segment { ctime: known.ctime + 1, ..known.clone() },
        Segment { key: Key(known.key.0 + 1), ..known.clone() },
        Segment { bytes: known.bytes + 1, ..known.clone() },
        Segment { creator_uid: known.creator_uid + 1, ..known.clone() },
        Segment { creator_pid: known.creator_pid + 1, ..known.clone() },
        Segment { id: known.id + 1, ..known.clone() },
    ] {
        assert!(!is_believed(&story, &with(other.clone())), "{other:?}");
    }
    assert!(!is_believed(&story, &unread().with(|look| look.place = in_ipc("id:99"))));
    assert!(!is_believed(&story, &unread().with(|look| look.segments = Table::Whole(vec![]))));
    let elsewhere = unread().with(|look| look.place = in_pids("id:99"));
    assert!(is_believed(&story, &elsewhere), "pids are not compared there, all the rest is");
}

#[test]
fn a_copy_that_no_such_server_wrote_is_not_believed() {
    let of =
        |bytes: Vec<u8>| is_believed(&story(claim(1), main_with(Some(copy_of(&bytes)))), &unread());
    assert!(of(main_header(SERVER.pid, CONTROL_HANDLE, DATA)));
    assert!(!of(main_header(SERVER.pid, 0, DATA)), "the control segment may have been named later");
    assert!(!of(main_header(SERVER.pid + 1, CONTROL_HANDLE, DATA)), "of another server");
    assert!(!of(vec![0; 56]));
    let gauss = opengauss::Header { pid: SERVER.pid, bytes: 1, dev: DATA.dev, ino: DATA.ino };
    assert!(!of(opengauss::header_bytes(&gauss).to_vec()), "of another kind of server");
    // By a proof that is none, or of what is no main segment.
    let by_count = ObjectSeen { how: How::ForkCount, ..main_with(Some(whole())) };
    assert!(!is_believed(&story(claim(1), by_count), &unread()));
    let other = ObjectSeen { role: Role::Other, ..main_with(Some(whole())) };
    assert!(!is_believed(&story(claim(1), other), &unread()));
}

#[test]
fn an_opengauss_has_no_control_segment_to_wait_for() {
    let gauss = opengauss::Header { pid: SERVER.pid, bytes: 1, dev: DATA.dev, ino: DATA.ino };
    let bytes = opengauss::header_bytes(&gauss);
    let copy = CopiedHeader::of(Engine::OPENGAUSS, SERVER.pid, &bytes);
    assert_eq!(copy, Some(copy_of(&bytes)));
    let of = Claim { engine: Engine::OPENGAUSS, ..claim(1) };
    assert!(is_believed(&story(of, main_with(copy)), &unread()));
}

#[test]
fn the_same_goes_with_a_copy_as_with_the_header_itself() {
    let removed = |header: Option<CopiedHeader>, read: bool| {
        let mut look = unread();
        if read {
            let bytes = main_header(SERVER.pid, CONTROL_HANDLE, DATA);
            look.change(|look| look.headers.insert(0, bytes));
        }
        let control = super::make::control_list(true, &[]);
        look.change(|look| look.controls.push((posix(&posix_of(CONTROL_HANDLE)), control)));
        let story = story(claim(1), main_with(header)).end(1, End::Unknown);
        let (_, actions) = settle(&story.book, &look, &Policy::default());
        super::story::removed(&actions)
    };
    let all: Vec<Identity> = vec![posix(&posix_of(CONTROL_HANDLE)), shm(&segment(0))];
    assert_eq!(removed(None, true), all);
    assert_eq!(removed(Some(whole()), false), all);
    assert_eq!(removed(None, false), [], "nothing is known of it");
}

#[test]
fn what_was_read_is_copied_once() {
    let bytes = main_header(SERVER.pid, CONTROL_HANDLE, DATA);
    let mut look = unread();
    assert_eq!(header::uncopied(&story(claim(1), main_with(None)).book, &look), []);
    look.change(|look| look.headers.insert(0, bytes.clone()));
    let old = story(claim(1), main_with(None));
    let again = header::uncopied(&old.book, &look);
    assert_eq!(again, [main_with(Some(whole()))]);
    let new = old.then(Record::Object(again[0].clone()));
    assert_eq!(header::uncopied(&new.book, &look), []);
    // And when it becomes known for the main segment.
    let other = ObjectSeen { role: Role::Other, ..main_with(None) };
    assert_eq!(attribute::roles(&story(claim(1), other).book, &look), [main_with(Some(whole()))]);
}

#[test]
fn a_copy_stays_when_the_ledger_is_written_anew() {
    let mut told = story(claim(1), ObjectSeen { role: Role::Other, ..main_with(None) });
    for _ in 0..3 {
        told = told.then(Record::Object(main_with(Some(whole()))));
    }
    let (book, _, tail) = Book::replay(&rewrite(&told.bytes()));
    assert_eq!((tail, book.objects[&1].header), (Tail::Clean, Some(whole())));
    // An older program repeats an object without: then there is none, before and after.
    told = told.then(Record::Object(main_with(None)));
    let (book, _, _) = Book::replay(&rewrite(&told.bytes()));
    assert_eq!((told.book.objects[&1].header, book.objects[&1].header), (None, None));
}

#[test]
fn a_copy_is_written_as_digits_and_nothing_else_is_read() {
    let entry = story(claim(1), main_with(Some(whole()))).entries.pop().unwrap();
    let text = String::from_utf8(line::encode(&entry)).unwrap();
    let digits: String = whole().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.contains(&format!(",\"header\":\"{digits}\",")), "{text}");
    let with = |value: &str| {
        let body = text.replace(&format!("\"{digits}\""), value);
        let at = body.rfind(",\"crc\":").unwrap();
        let crc = crc32fast::hash(&body.as_bytes()[..at]);
        line::decode(format!("{},\"crc\":\"{crc:08x}\"}}", &body[..at]).as_bytes())
    };
    assert_eq!(with(&format!("\"{digits}\"")), Ok(entry));
    let upper = digits.to_uppercase();
    for bad in [&digits[1..], &digits[2..], &upper, "", &format!("{digits}00"), &"zz".repeat(56)] {
        assert!(with(&format!("\"{bad}\"")).is_err(), "{bad}");
    }
    assert!(with("7").is_err());
}

#[test]
fn only_a_segment_has_a_header() {
    let file = seen(2, Role::Main, posix(&posix_of(CONTROL_HANDLE)));
    let mut told = story(claim(1), main_with(None));
    let record = Record::Object(ObjectSeen { header: Some(whole()), ..file.clone() });
    assert!(told.tell(None, record).is_err());
    assert_eq!(told.tell(None, Record::Object(file)), Ok(()));
}

#[test]
fn a_generic_servers_segment_is_attached_only_where_it_may_be_a_postgresqls() {
    let wanted = |now: &Segment, mode: u32| {
        let story = Story::of(generic(1)).object(1, Role::Other, shm(now));
        let of_row =
            shmwarden::sys::shm::Row { perm: IpcPerm { mode, ..row(now).perm }, ..row(now) };
        let look = look().with(|look| look.segments = Table::Whole(vec![of_row]));
        !headers_wanted(&story.book, &look).is_empty()
    };
    let of = |key, bytes| Segment { key: Key(key), bytes, ..segment(0) };
    assert!(wanted(&of(0x52e2c1, 56), 0o600), "as PostgreSQL's with its memory mapped elsewhere");
    assert!(wanted(&of(0x52e2c1, 291_954_688), 0o600), "with its memory in it");
    assert!(!wanted(&of(0x52e2c1, 4096), 0o600), "too small");
    assert!(!wanted(&of(0x52e2c1, 291_954_687), 0o600), "not in whole blocks");
    assert!(!wanted(&of(0, 56), 0o600), "PostgreSQL's has a key");
    assert!(!wanted(&of(0x52e2c1, 56), 0o666), "other rights than PostgreSQL's");
    // What nobody saw it make no header could prove to be its own.
    let look = look().with(|look| look.segments = Table::Whole(vec![row(&of(0x52e2c1, 56))]));
    assert_eq!(headers_wanted(&Story::of(generic(1)).book, &look), Vec::<i32>::new());
    assert_eq!(headers_wanted(&Story::of(claim(1)).book, &look), [0]);
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes_are_a_copy_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        known in any::<bool>(),
        gauss in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if known && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(&main_header(SERVER.pid, 0, DATA)[..8]);
        }
        let engine = if gauss { Engine::OPENGAUSS } else { Engine::POSTGRES };
        if let Some(copy) = CopiedHeader::of(engine, SERVER.pid, &bytes) {
            prop_assert_eq!(copy.as_bytes(), &bytes[..56]);
            let names = postgres::header(&bytes).is_some_and(|header| header.control != 0);
            prop_assert!(gauss || names);
        }
        if let Ok(bytes) = <[u8; 56]>::try_from(bytes.as_slice()) {
            let story = story(claim(1), main_with(Some(CopiedHeader::any(bytes))));
            let (book, _, tail) = Book::replay(&story.bytes());
            prop_assert_eq!((tail, book), (Tail::Clean, story.book.clone()));
            is_believed(&story, &unread());
        }
    }
}
