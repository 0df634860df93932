//! The literals that the tests of verdicts are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::judge::status::{Account, Judged, Status, statuses};
use crate::ledger::Book;
use crate::ledger::record::{
    Claim, End, Engine, Entry, Header, How, ObjectSeen, Record, Role, RunStart, VERSION,
};
use crate::object::{Birth, Bytes, FileRef, Identity, Place, ProcessRef, ShmFile};
use crate::snapshot::opened::Opened;
use crate::snapshot::tables::{ListedFile, MembersAsked, Set};
use crate::snapshot::waits::Waits;
use crate::snapshot::{Mapped, Process, Seen, Sight, Snapshot, Table, Tables, identity_of};
use crate::sys::IpcPerm;
use crate::sys::files::FileFacts;
use crate::sys::sem::{self, Members};
use crate::sys::shm::Row;

pub(super) const UID: u32 = 101;
pub(super) const SERVER: ProcessRef = ProcessRef { pid: 50, start: 500 };
pub(super) const LAUNCHER: ProcessRef = ProcessRef { pid: 40, start: 400 };
const OWN_PID: i32 = 9999;

pub(super) fn place() -> Place {
    Place {
        boot: "boot".to_owned(),
        ipc_namespace: "ipc".to_owned(),
        pid_namespace: "pid".to_owned(),
        shm_mount: Some("tmpfs:1".to_owned()),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A look at a machine where nothing is and only init and we run.
pub(super) fn look() -> Snapshot {
    let asked = (0..100).map(|ino| FileRef { dev: 26, ino }).collect();
    Snapshot::of(Tables {
        now: now(),
        clock_ahead_ms: 0,
        place: place(),
        uid: 0,
        pid: 77,
        sight: Sight::Everybody,
        segments: Table::Whole(Vec::new()),
        sets: Table::Whole(Vec::new()),
        queues: Table::Whole(Vec::new()),
        files: Table::Whole(Vec::new()),
        other_names: Table::Whole(Vec::new()),
        processes: Table::Whole(vec![process(1, 1, 0), process(OWN_PID, 9999, 0)]),
        hidden: Vec::new(),
        absent: BTreeSet::new(),
        members_asked: MembersAsked::default(),
        waits: Some(Waits::default()),
        callers: Table::unasked(),
        opened: Opened { asked, ..Opened::default() },
        marked: BTreeMap::new(),
        resident: None,
        keys: BTreeMap::new(),
        data_dirs: Vec::new(),
        headers: BTreeMap::new(),
        read_rows: BTreeMap::new(),
        controls: Vec::new(),
        unread_lists: Vec::new(),
        trouble: Vec::new(),
    })
}

/// A later look that differs in what a test is about.
pub(super) trait Change {
    fn change(&mut self, how: impl FnOnce(&mut Tables));
}

impl Change for Snapshot {
    fn change(&mut self, how: impl FnOnce(&mut Tables)) {
        let mut tables = Tables::clone(self);
        how(&mut tables);
        *self = Self::of(tables);
    }
}

/// A process that maps nothing.
pub(super) fn process(pid: i32, start: u64, uid: u32) -> Process {
    Process {
        process: ProcessRef { pid, start },
        parent: 1,
        group: pid,
        session: pid,
        state: b'S',
        ended: false,
        uids: Some([uid; 4]),
        comm: Bytes(b"x".to_vec()),
        command: Bytes::default(),
        executable: Seen::Gone,
        cwd: Seen::Gone,
        maps: Some(Seen::Here(Vec::new())),
        same_ipc: Some(true),
        control_group: None,
        unread: false,
    }
}

/// A process that maps these.
pub(super) fn mapper(pid: i32, uid: u32, objects: &[(Mapped, u64)]) -> Process {
    Process { maps: Some(Seen::Here(objects.to_vec())), ..process(pid, 600, uid) }
}

/// The server itself, alive.
pub(super) fn server() -> Process {
    process(SERVER.pid, SERVER.start, UID)
}

/// A segment of the server's, which nobody has attached.
pub(super) fn row(id: i32) -> Row {
    Row {
        id,
        perm: IpcPerm {
            key: 0x00f4_2401,
            mode: 0o600,
            uid: UID,
            gid: UID,
            creator_uid: UID,
            creator_gid: UID,
        },
        bytes: 4096,
        creator_pid: SERVER.pid,
        last_pid: SERVER.pid,
        nattch: 0,
        atime: 0,
        dtime: 0,
        ctime: 1_799_999_000,
    }
}

/// A set that nobody waits for, with these last operators.
pub(super) fn set(operators: &[i32]) -> Set {
    let row = sem::Row {
        id: 3,
        perm: IpcPerm {
            key: 0,
            mode: 0o600,
            uid: UID,
            gid: UID,
            creator_uid: UID,
            creator_gid: UID,
        },
        members: 17,
        otime: 1_799_999_000,
        ctime: 1_799_999_000,
    };
    let operators = operators.to_vec();
    let members = Some(Members { operators, ..Members::default() });
    Set { row, members }
}

/// A file in `/dev/shm`, of the server's user.
pub(super) fn file(name: &str) -> ListedFile {
    let facts = FileFacts {
        dev: 26,
        ino: name.len() as u64,
        born: Some((1_799_999_000, 5)),
        uid: UID,
        gid: UID,
        mode: 0o100_600,
        bytes: 4096,
        resident_bytes: 0,
        ctime: (1_799_999_000, 0),
        mount_id: 30,
    };
    let name = Bytes(name.as_bytes().to_vec());
    let identity = ShmFile {
        name: name.clone(),
        mount: "tmpfs:1".to_owned(),
        file: file_ref(&name),
        birth: Birth::At(1_799_999_000, 5),
        uid: UID,
        bytes: 4096,
    };
    ListedFile { name, facts, identity }
}

pub(super) fn file_ref(name: &Bytes) -> FileRef {
    FileRef { dev: 26, ino: name.0.len() as u64 }
}

/// Returns a look with these rows and files.
pub(super) fn with(rows: Vec<Row>, files: Vec<ListedFile>) -> Snapshot {
    let mut look = look();
    look.change(|look| {
        look.segments = Table::Whole(rows);
        look.files = Table::Whole(files);
    });
    look
}

/// A ledger in the making.
#[derive(Clone)]
pub(super) struct Story(pub(super) Book);

impl Story {
    /// A run of a server of any kind.
    pub(super) fn begin() -> Self {
        Self::begin_in(place())
    }

    pub(super) fn begin_in(place: Place) -> Self {
        let start = RunStart {
            run: 1,
            launcher: LAUNCHER,
            uid: UID,
            gid: UID,
            argv: vec![],
            shmwarden: "0".to_owned(),
            recorded: false,
            clock_ahead_ms: None,
        };
        let claim = Claim {
            run: 1,
            process: SERVER,
            uids: vec![UID],
            group: SERVER.pid,
            session: 7,
            control_group: Bytes::default(),
            engine: Engine::GENERIC,
            major: None,
            data: None,
            executable: None,
            before: vec![],
            sets_before: vec![],
            queues_before: vec![],
            pid_max: Some(32768),
            forks: None,
            ended: None,
        };
        let version = VERSION;
        Self(Book::default())
            .then(Record::Header(Header { version, place, file: None }))
            .then(Record::Run(start))
            .then(Record::Claim(claim))
    }

    pub(super) fn then(mut self, record: Record) -> Self {
        let entry = Entry {
            seq: self.0.seq + 1,
            at: now() - Duration::from_secs(1000),
            forks: Some(900),
            record,
        };
        self.0.apply(&entry).unwrap();
        self
    }

    pub(super) fn recorded(self, identity: Identity) -> Self {
        self.recorded_as(Role::Other, identity)
    }

    pub(super) fn recorded_as(self, role: Role, identity: Identity) -> Self {
        let object = self.0.next_object();
        self.then(Record::Object(ObjectSeen {
            object,
            run: 1,
            how: How::Claim,
            role,
            identity,
            creator: None,
            header: None,
        }))
    }

    pub(super) fn has(self, row: &Row) -> Self {
        self.recorded(Identity::Shm(identity_of(row)))
    }

    pub(super) fn ended(self, end: End) -> Self {
        self.then(Record::End { run: 1, end })
    }

    pub(super) fn account(self, look: &Snapshot) -> Account {
        Account::new(self.0, look, None, OWN_PID)
    }
}

/// The word and the code on each object, by one ledger.
pub(super) fn words(story: &Story, look: &Snapshot) -> Vec<(Status, &'static str)> {
    let accounts = [story.clone().account(look)];
    let judged = statuses(look, &accounts, &[]);
    judged.iter().map(|one| (one.verdict, one.why.code())).collect()
}

/// The word and the code on the only object, in no ledger.
pub(super) fn unowned(look: &Snapshot) -> (Status, &'static str) {
    let judged = statuses(look, &[], &[]);
    let one = &judged[0];
    assert_eq!((judged.len(), one.account), (1, None));
    (one.verdict, one.why.code())
}

/// The only object, with an account that may be its.
pub(super) fn only<'a>(look: &'a Snapshot, accounts: &[Account]) -> Judged<'a> {
    let mut judged = statuses(look, accounts, &[]);
    assert_eq!(judged.len(), 1);
    judged.remove(0)
}
