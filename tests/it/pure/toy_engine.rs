//! A new kind of server is one file with its facts: a toy, which is in no table of the program, is
//! recognised, attributed and judged by nothing else. It is no PostgreSQL anywhere: another header,
//! no control segment, no major version, no order.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use shmwarden::attribute;
use shmwarden::engine::{
    Control, DirectoryOption, ENGINES, Engine, Facts, MainHeader, SetMark, recognise_among,
};
use shmwarden::judge::{Policy, Reason};
use shmwarden::ledger::copied::CopiedHeader;
use shmwarden::ledger::record::{Claim, End, How, Record, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::{Snapshot, Table};

use super::make::{
    self, Change, DATA, SERVER, look, main_header, posix, posix_of, process, row, seen, segment,
    shm,
};
use super::story::{Story, attributed, reason, settle, would_remove};

const MAGIC: &[u8] = b"TOY!";

/// The row.
const TOY: Engine = Engine::of(&Facts {
    name: "toy",
    title: "Toy",
    help: "The tests' toy",
    programs: &["toyd", "toy-server"],
    data: Some(DirectoryOption { of_arguments: home, variable: "TOY_HOME" }),
    starts_server: |args| !args.iter().any(|arg| arg == "--print-settings"),
    main_header: header,
    known_by_header: true,
    has_interlock: true,
    has_one_segment: true,
    lists_its_memory: false,
    detaches_before_removal: true,
    set_mark: Some(SetMark { members: 3, value: 42 }),
    leaks_on_clean_exit: true,
});

/// The same, of a toy that cleans up after itself.
const TIDY: Engine = Engine::of(&Facts {
    name: "tidy-toy",
    title: "Tidy toy",
    help: "A toy that cleans up after itself",
    programs: &["tidy-toyd"],
    data: None,
    starts_server: |_| true,
    main_header: header,
    known_by_header: false,
    has_interlock: false,
    has_one_segment: false,
    lists_its_memory: false,
    detaches_before_removal: false,
    set_mark: None,
    leaks_on_clean_exit: false,
});

fn home(args: &[OsString]) -> Option<OsString> {
    args.iter().skip_while(|arg| *arg != "--home").nth(1).cloned()
}

fn header(bytes: &[u8]) -> Option<MainHeader> {
    let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let pid = i32::try_from(long(8)?).ok()?;
    let header = MainHeader { pid, dev: long(16)?, ino: long(24)?, control: Control::Never };
    bytes.starts_with(MAGIC).then_some(header)
}

fn written() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(8, 0);
    for word in [u64::from(SERVER.pid.unsigned_abs()), DATA.dev, DATA.ino, 0, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

fn toy(engine: Engine) -> Claim {
    Claim { engine, major: None, ..make::claim(1) }
}

fn look_at_segment() -> Snapshot {
    look().with(|look| look.segments = Table::Whole(vec![row(&segment(0))]))
}

#[test]
fn it_is_recognised_by_the_names_of_its_row_and_asked_for_its_own_command_line() {
    let engines = [ENGINES, &[TOY, TIDY]].concat();
    for (path, engine) in [
        ("/opt/toy/bin/toyd", TOY),
        ("/opt/toy/bin/toy-server (deleted)", TOY),
        ("/opt/toy/bin/tidy-toyd", TIDY),
        ("/opt/toy/bin/toy", Engine::GENERIC),
        ("/usr/bin/postgres", Engine::POSTGRES),
    ] {
        assert_eq!(recognise_among(&engines, Path::new(path)), engine, "{path}");
    }
    let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let data = |engine: Engine, words: &[&str]| {
        engine.data_directory(&args(words), Some(OsStr::new("/env")), Path::new("/here"))
    };
    assert_eq!(data(TOY, &["toyd", "-D", "/no", "--home", "x"]), Some("/here/x".into()));
    assert_eq!(data(TOY, &["toyd"]), Some("/env".into()));
    assert_eq!(data(TIDY, &["toyd", "--home", "x"]), None);
    assert!(TOY.starts_server(&args(&["toyd"])));
    assert!(!TOY.starts_server(&args(&["toyd", "--print-settings"])));
    assert!(TOY.is_known() && TIDY.is_known() && TOY != TIDY);
    assert_eq!((TOY.to_string(), serde_json::to_string(&TOY).unwrap()), toy_words());
}

fn toy_words() -> (String, String) {
    ("toy".to_owned(), "\"toy\"".to_owned())
}

#[test]
fn its_header_makes_its_segment_the_main_one_and_postgresqls_does_not() {
    let story = Story::of(toy(TOY)).object(1, Role::Other, shm(&segment(0)));
    for (bytes, is_main) in [(written(), true), (main_header(SERVER.pid, 77, DATA), false)] {
        let look = look_at_segment().with(|look| look.headers = [(0, bytes)].into());
        assert_eq!(attribute::headers_wanted(&story.book, &look_at_segment()), [0]);
        let roles = attribute::roles(&story.book, &look);
        assert_eq!(roles.iter().any(|seen| seen.role == Role::Main), is_main);
        assert_eq!(roles.iter().any(|seen| seen.header.is_some()), is_main);
    }
    // Nothing in it is still to come: there is no control segment to be named.
    assert!(CopiedHeader::of(TOY, SERVER.pid, &written()).is_some());
    assert!(CopiedHeader::of(TOY, SERVER.pid + 1, &written()).is_none());
    // What nobody recorded is proven by it, too.
    let unseen = Story::of(toy(TOY));
    let look = look_at_segment().with(|look| look.headers = [(0, written())].into());
    let (story, suspects) = attributed(unseen, &look);
    let found: Vec<How> = story.book.open_objects().map(|object| object.how).collect();
    assert_eq!((found, suspects.len()), (vec![How::Header], 0));
}

/// Neither its main segment nor a file of PostgreSQL's form makes it a PostgreSQL: no major version
/// is asked for, and nothing is missing from a list that it does not have.
#[test]
fn its_objects_wait_for_no_list_and_no_version() {
    let file = posix_of(make::DYNAMIC_HANDLE);
    let story = Story::of(toy(TOY))
        .object(1, Role::Main, shm(&segment(0)))
        .object(2, Role::Other, posix(&file))
        .end(1, End::Signal(9));
    assert!(!attribute::lists_its_memory(&story.book, &story.book.runs[&1]));
    let mut look = look_at_segment();
    look.change(|look| look.headers = [(0, written())].into());
    look.change(|look| look.files = make::files(vec![file.clone()]));
    assert_eq!(would_remove(&story.book, &look), [posix(&file), shm(&segment(0))]);
}

#[test]
fn what_it_leaves_at_status_0_is_removed_as_its_row_says() {
    for (engine, kept) in [(TOY, None), (TIDY, Some(Reason::LeftClean))] {
        let story =
            Story::of(toy(engine)).object(1, Role::Main, shm(&segment(0))).end(1, End::Exit(0));
        let look = look_at_segment().with(|look| look.headers = [(0, written())].into());
        assert_eq!(reason(&story.book, &look, 1), kept, "{engine}");
    }
}

/// Its interlock: an attached main segment keeps all of it, and an unattached one proves that
/// nobody uses its sets.
#[test]
fn a_living_process_of_it_keeps_everything() {
    let story = Story::of(toy(TOY)).object(1, Role::Main, shm(&segment(0)));
    let mut look = look_at_segment();
    look.change(|look| look.processes = Table::Whole(vec![process(SERVER.pid, SERVER.start)]));
    assert_eq!(would_remove(&story.book, &look), [] as [Identity; 0]);
    let story = Story::of(toy(TOY))
        .then(Record::Object(seen(1, Role::Main, shm(&segment(0)))))
        .end(1, End::Signal(9));
    let mut look = look_at_segment();
    look.change(|look| look.segments.rows_mut()[0].nattch = 1);
    let (_, actions) = settle(&story.book, &look, &Policy::default());
    assert_eq!(super::story::removed(&actions), [] as [Identity; 0]);
}
