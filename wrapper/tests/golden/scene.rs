//! One look at a machine with an object of every kind and of every verdict, and four ledgers: of a
//! dead PostgreSQL, of a server that lives, of one that a process outlived, and of one that ended
//! in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use shmwarden::engine::Engine;
use shmwarden::judge::status::Account;
use shmwarden::judge::status::leaks as leaked;
use shmwarden::ledger::record::{Claim, End, Record, Role};
use shmwarden::object::{FileRef, Key, ProcessRef, Segment, ShmFile};
use shmwarden::proc::limits::SemLimits;
use shmwarden::snapshot::tables::{ListedFile, Set};
use shmwarden::snapshot::waits::{Found, Waits, WaitsFor};
use shmwarden::snapshot::{Mapped, Process, Seen, Table};
use shmwarden::sys::files::FileFacts;
use shmwarden::sys::sem::{self, Members};
use shmwarden::sys::shm::{MODE_DEST, MODE_LOCKED, Row};
use shmwarden::sys::{IpcPerm, msg};

use super::make::{self, Change};
use super::story::{Crashed, Story, crashed};
use crate::doctor::check::Checked;
use crate::doctor::leaks::Asker;
use crate::doctor::{leaks, ledgers, limits, settings};
use crate::host::kernel::{HugePages, Limits, ShmFileSystem};
use crate::host::limit;
use crate::ledgers::Looked;
use crate::ledgers::find::Source as Told;
use crate::servers::{Covered, Server, State};
use crate::view::{Source, View};

/// The server that lives.
const LIVING: ProcessRef = ProcessRef { pid: 5000, start: 1 };
/// A process of root's that uses what no ledger has.
const USER: ProcessRef = ProcessRef { pid: 5001, start: 2 };
/// A server that a process outlived.
const OUTLIVED: ProcessRef = ProcessRef { pid: 4712, start: 3 };
/// A server that ended with status 0.
const ENDED: ProcessRef = ProcessRef { pid: 4713, start: 4 };
/// A process that may not be looked into.
const CLOSED: i32 = 5002;

/// Returns what `list`, `who`, `doctor` and `record` show.
pub(super) fn view() -> View {
    let Crashed { main, control, dynamic, story, mut look } = crashed();
    let files = [control, dynamic, make::file("open\n", 5), not_text(), make::file("orphan", 7)];
    look.change(|look| {
        look.segments = Table::Whole(segments(&main));
        look.files = Table::Whole(files.iter().map(listed).collect());
        look.sets = Table::Whole(vec![set()]);
        look.queues = Table::Whole(vec![queue()]);
        look.processes = Table::Whole(processes());
        look.resident = Some(look.segments.seen().map(|row| (row.id, 4096)).collect());
        look.keys = BTreeMap::from([(3, Key(0x00f4_2403))]);
        let blocked = vec![Found { pid: USER.pid, what: WaitsFor::Set(3), times: 1 }];
        look.waits = Some(Waits { blocked, unasked: vec![CLOSED] });
        look.opened.by.push((files[2].file, LIVING.pid));
        look.opened.closed.push(CLOSED);
    });
    let books = [story.book, living().book, outlived().book, ended().book];
    let accounts = books.map(|book| Account::new(book, &look, None, 1));
    let source = |name: &str| Source {
        path: PathBuf::from(format!("/var/lib/shmwarden/{name}.ledger")),
        instance: name.to_owned(),
    };
    View {
        look,
        accounts: accounts.into(),
        sources: ["main", "web", "cache", "pool"].map(source).into(),
        status: 0,
        errors: vec![],
        unlooked: vec![],
        looked: looked(),
        troubles: vec![],
        ledgers: vec![],
        robbed: vec![],
        exposed: vec![],
    }
}

/// Returns a server for each word on what covers it.
pub(super) fn servers() -> Vec<Server> {
    let server = |(at, covered): (usize, Covered)| {
        let is_claimed = matches!(covered, Covered::Run | Covered::InPlace | Covered::Record);
        let ledger = is_claimed.then(|| PathBuf::from(format!("/var/lib/shmwarden/{at}.ledger")));
        let is_here = !matches!(covered, Covered::Private | Covered::Unknown);
        Server {
            pid: 4800 + i32::try_from(at).unwrap_or(0),
            engine: if at == 1 { Engine::OPENGAUSS } else { Engine::POSTGRES },
            program: (at != 0).then(|| PathBuf::from("/usr/bin/po\nstgres")),
            uid: make::UID,
            data: Some(PathBuf::from(format!("/srv/da\nta{at}"))),
            unit: is_claimed.then(|| format!("postgresql@15-{at}.service")),
            instance: ledger.is_some().then(|| at.to_string()),
            ledger,
            covered,
            state: match covered {
                Covered::Starting => State::Starting,
                Covered::InPlace => State::Robbed,
                _ => State::Live,
            },
            objects: is_here.then_some((3, 145 << 20)),
            since: is_claimed.then_some(SystemTime::UNIX_EPOCH),
            why: format!("why it is {}\n", covered.word()),
            fix: (covered == Covered::None).then(|| "shmwarden record --pid 4804".to_owned()),
        }
    };
    Covered::ALL.into_iter().enumerate().map(server).collect()
}

/// Returns places of every source, one of which could not be looked at, and one that is not there.
pub(super) fn looked() -> Vec<Looked> {
    let place = |path: &str, source| Looked {
        path: PathBuf::from(path),
        source,
        ledgers: 0,
        is_missing: false,
        error: None,
    };
    let user = place("/home/a/.local/state/shmwarden", Told::User(make::UID));
    let listed = place("/srv/none", Told::Listed);
    vec![
        Looked { ledgers: 4, ..place("/var/lib/shmwarden", Told::Default) },
        Looked { error: Some("Permission denied".to_owned()), ..user },
        place("/srv/a.ledger", Told::Unit("a.service".to_owned())),
        place("/srv/b\n.ledger", Told::Process(4800)),
        Looked { is_missing: true, ..listed },
        place("/srv/named", Told::Named),
    ]
}

fn segments(main: &Segment) -> Vec<Row> {
    let private = |id| Segment { key: Key(0), ..make::segment(id) };
    let of_root = Segment { creator_uid: 0, creator_gid: 0, ..make::segment(4) };
    vec![
        make::row(main),
        Row {
            perm: IpcPerm { mode: MODE_LOCKED | 0o640, ..make::row(&of(LIVING, 1)).perm },
            nattch: 1,
            ..make::row(&of(LIVING, 1))
        },
        Row { nattch: 3, ..make::row(&private(2)) },
        Row {
            perm: IpcPerm { key: 0, mode: MODE_DEST | 0o600, ..make::row(&make::segment(3)).perm },
            nattch: 1,
            ..make::row(&make::segment(3))
        },
        Row { nattch: 1, creator_pid: USER.pid, ..make::row(&of_root) },
        make::row(&Segment { creator_pid: 4999, ..make::segment(5) }),
        Row { nattch: 1, ..make::row(&of(OUTLIVED, 6)) },
        make::row(&of(OUTLIVED, 7)),
        make::row(&Segment { bytes: 4096, ..of(OUTLIVED, 8) }),
        make::row(&of(ENDED, 9)),
    ]
}

fn processes() -> Vec<Process> {
    let maps = |of: &[Mapped]| Some(Seen::Here(of.iter().map(|of| (*of, 1)).collect()));
    let living = Process {
        maps: maps(&[Mapped::Segment(1), Mapped::Segment(4)]),
        ..make::process(LIVING.pid, LIVING.start)
    };
    let user = Process {
        uids: Some([0; 4]),
        command: make::bytes("psql\0--host\0\u{1b}[31m\0"),
        maps: maps(&[
            Mapped::Segment(2),
            Mapped::Segment(3),
            Mapped::Segment(6),
            Mapped::File(FileRef { dev: 26, ino: 5 }),
        ]),
        ..make::process(USER.pid, USER.start)
    };
    vec![living, user, make::closed(CLOSED, "gpg-agent")]
}

/// Returns the ledger of the server that lives: it has made segment 1 and uses segment 4.
fn living() -> Story {
    let of_root =
        Segment { creator_uid: 0, creator_gid: 0, creator_pid: USER.pid, ..make::segment(4) };
    server(LIVING, &[1]).then(Record::Used { run: 1, identity: make::shm(&of_root) })
}

/// Returns the ledger of a server that made these segments.
fn server(process: ProcessRef, segments: &[i32]) -> Story {
    let story = Story::of(Claim { process, group: process.pid, ..make::generic(1) });
    let objects = (1..).zip(segments);
    objects.fold(story, |story, (number, id)| {
        story.object(number, Role::Other, make::shm(&of(process, *id)))
    })
}

/// Returns a segment that this process made.
fn of(process: ProcessRef, id: i32) -> Segment {
    Segment { creator_pid: process.pid, ..make::segment(id) }
}

/// Returns the ledger of a dead server: segment 6 is attached still, and the number of 8 is
/// another's by now.
fn outlived() -> Story {
    server(OUTLIVED, &[6, 7, 8]).end(1, End::Signal(9))
}

/// Returns the ledger of a server that ended with status 0 and left segment 9.
fn ended() -> Story {
    server(ENDED, &[9]).end(1, End::Exit(0))
}

fn not_text() -> ShmFile {
    let mut file = make::file("not", 6);
    file.name.0.extend(b"\xfftext");
    file
}

fn listed(file: &ShmFile) -> ListedFile {
    let facts = FileFacts {
        dev: file.file.dev,
        ino: file.file.ino,
        born: Some((make::seconds(10), 500_000_000)),
        uid: file.uid,
        gid: make::GID,
        mode: 0o100_600,
        bytes: file.bytes,
        resident_bytes: 8192,
        ctime: (make::seconds(11), 0),
        mount_id: 30,
    };
    ListedFile { name: file.name.clone(), facts, identity: file.clone() }
}

fn set() -> Set {
    let row = sem::Row {
        id: 3,
        perm: IpcPerm {
            key: 0x00f4_2403,
            mode: 0o600,
            uid: make::UID,
            gid: make::GID,
            creator_uid: make::UID,
            creator_gid: make::GID,
        },
        members: 17,
        otime: make::seconds(20),
        ctime: make::seconds(10),
    };
    let members = Members { waiters: 1, operators: vec![0, USER.pid], ..Members::default() };
    Set { row, members: Some(members) }
}

fn queue() -> msg::Row {
    msg::Row {
        id: 4,
        perm: IpcPerm {
            key: 0x00f4_2404,
            mode: 0o600,
            uid: make::UID,
            gid: make::GID,
            creator_uid: make::UID,
            creator_gid: make::GID,
        },
        messages: 2,
        bytes: 300,
        most_bytes: 16384,
        last_sender: USER.pid,
        last_receiver: 4999,
        stime: make::seconds(20),
        rtime: make::seconds(21),
        ctime: make::seconds(10),
    }
}

/// Returns what `doctor` finds there.
pub(super) fn checked(view: &View) -> Checked {
    let judged = view.judge();
    let kernel = Limits {
        shmmni: Some(10),
        shmall: Some(1 << 20),
        shmmax: Some(1 << 30),
        sem: Some(SemLimits { semmsl: 32_000, semmns: 20, semopm: 500, semmni: 100 }),
        msgmni: Some(32_000),
        rmid_forced: Some(false),
        page_bytes: 4096,
        memory: Some((8 << 30, 4 << 30)),
        huge: Some(HugePages { total: 0, free: 0, reserved: 0, page_bytes: 2 << 20 }),
        shm_fs: Some(ShmFileSystem {
            is_tmpfs: true,
            total_bytes: 1 << 30,
            used_bytes: 3 << 20,
            mode: 0o1777,
            owner: 0,
        }),
    };
    let names = |uid| format!("user{uid}");
    let table = limit::table(&kernel, &view.look, &judged);
    let leaks = leaked::table(&judged);
    let asker = Asker::of(&view.look);
    let mut findings = limits::judge(&table, &judged, kernel.page_bytes, kernel.sem, asker, &names);
    findings.extend(leaks::judge(&judged, &leaks, asker, &names, &crate::render::text::size));
    findings.extend(settings::judge(&kernel));
    findings.extend(ledgers::judge(&[], &view.look.place));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Checked { limits: table, leaks, findings }
}
