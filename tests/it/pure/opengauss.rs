//! What proves a segment or a set to be an openGauss's, and what of a PostgreSQL does not apply.

use shmwarden::attribute;
use shmwarden::attribute::living::Member;
use shmwarden::attribute::living::calls::calls;
use shmwarden::engine::opengauss::{Header, header_bytes};
use shmwarden::engine::{Control, Engine, MainHeader, known_by_header};
use shmwarden::ledger::record::{Claim, Role};
use shmwarden::object::FileRef;
use shmwarden::snapshot::Table;
use shmwarden::snapshot::tables::Set;
use shmwarden::sys::IpcPerm;
use shmwarden::sys::sem::{Members, Row};

use super::make::{
    self, Change, DATA, GID, OTHER_UID, SERVER, UID, look, row, seconds, segment, shm,
};
use super::story::Story;

fn gauss() -> Claim {
    Claim { engine: Engine::OPENGAUSS, major: None, ..make::claim(1) }
}

fn header() -> Vec<u8> {
    let header = Header { pid: SERVER.pid, bytes: 1 << 30, dev: DATA.dev, ino: DATA.ino };
    header_bytes(&header).to_vec()
}

#[test]
fn each_server_is_read_as_it_writes() {
    let with =
        |control| Some(MainHeader { pid: SERVER.pid, dev: DATA.dev, ino: DATA.ino, control });
    let (gauss, known) = (with(Control::Never), with(Control::Handle(77)));
    let postgres = make::main_header(SERVER.pid, 77, DATA);
    assert_eq!(Engine::OPENGAUSS.main_header(&header()), gauss);
    assert_eq!(Engine::POSTGRES.main_header(&postgres), known);
    assert_eq!(Engine::GENERIC.main_header(&postgres), known);
    let unnamed = make::main_header(SERVER.pid, 0, DATA);
    assert_eq!(Engine::POSTGRES.main_header(&unnamed), with(Control::Unnamed));
    assert_eq!(Engine::OPENGAUSS.main_header(&postgres), None);
    assert_eq!(Engine::POSTGRES.main_header(&header()), None);
    assert_eq!(Engine::GENERIC.main_header(&header()), None);
}

/// Under whatever name; what a process has not written of itself and of the directory that it works
/// in makes it none. A PostgreSQL's header never does.
#[test]
fn a_program_of_any_name_is_an_opengauss_by_its_header_alone() {
    let elsewhere = FileRef { ino: DATA.ino + 1, ..DATA };
    let postgres = make::main_header(SERVER.pid, 77, DATA);
    for (bytes, pid, works_in, known) in [
        (&header(), SERVER.pid, DATA, Some(Engine::OPENGAUSS)),
        (&header(), SERVER.pid + 1, DATA, None),
        (&header(), SERVER.pid, elsewhere, None),
        (&header()[..20].to_vec(), SERVER.pid, DATA, None),
        (&postgres, SERVER.pid, DATA, None),
    ] {
        assert_eq!(known_by_header(bytes, pid, works_in), known, "{pid} {works_in:?}");
    }
}

#[test]
fn a_main_segment_of_an_opengauss_asks_for_no_major_version_of_postgresql() {
    for (claim, is_main) in [(gauss(), true), (make::claim(1), false)] {
        let story = Story::of(claim).object(1, Role::Other, shm(&segment(0)));
        let mut look = look().with(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
        look.change(|look| look.headers.insert(0, header()));
        let roles = attribute::roles(&story.book, &look);
        assert_eq!(roles.iter().any(|seen| seen.role == Role::Main), is_main);
    }
    let story = Story::of(gauss()).object(1, Role::Main, shm(&segment(0)));
    assert!(!attribute::lists_its_memory(&story.book, &story.book.runs[&1]));
}

/// The set of a living server, as the kernel shows it.
fn set() -> Set {
    let row = Row {
        id: 3,
        perm: IpcPerm {
            key: 0x00f4_2401,
            mode: 0o600,
            uid: UID,
            gid: GID,
            creator_uid: UID,
            creator_gid: GID,
        },
        members: 17,
        otime: seconds(30),
        ctime: seconds(20),
    };
    Set { row, members: Some(Members { operators: vec![SERVER.pid], ..Members::default() }) }
}

fn is_own(set: Set, marked: &[i32], began: i64) -> bool {
    let server = Member { process: SERVER, began, holds: None };
    let look = look().with(|look| look.sets = Table::Whole(vec![set]));
    let story = Story::of(gauss());
    !calls(&story.book, &gauss(), None, &server, &[], marked, &look).own.is_empty()
}

#[test]
fn a_set_is_a_living_opengausss_own_by_its_mark() {
    assert!(is_own(set(), &[3], seconds(10)));
    assert!(!is_own(set(), &[4], seconds(10)), "its key may be known to anybody");
    assert!(!is_own(set(), &[3], seconds(22)), "an earlier process of the number may have made it");
    let with = |change: fn(&mut Set)| {
        let mut set = set();
        change(&mut set);
        is_own(set, &[3], seconds(10))
    };
    assert!(!with(|set| set.row.perm.creator_uid = OTHER_UID));
    assert!(!with(|set| set.members = None));
    assert!(!with(|set| set.members.as_mut().unwrap().operators.push(77)), "somebody uses it");
}
