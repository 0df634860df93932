//! Literals for the pure tests: one server and what it owns, the ledger's records of it, and what
//! the kernel shows. A test changes the one thing that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use shmwarden::ledger::OwnFile;
use shmwarden::ledger::record::{
    Claim, DataDir, End, Engine, Executable, Header, How, ObjectSeen, Place, Record, Role,
    RunStart, VERSION,
};
use shmwarden::object::{Birth, Bytes, FileRef, Identity, Key, ProcessRef, Segment, ShmFile};
use shmwarden::proc::read::FileId;
use shmwarden::snapshot::opened::Opened;
use shmwarden::snapshot::tables::{ListedFile, MembersAsked};
use shmwarden::snapshot::waits::Waits;
use shmwarden::snapshot::{DataDirectory, Process, Seen, Sight, Snapshot, Table, Tables};
use shmwarden::sys::IpcPerm;
use shmwarden::sys::files::FileFacts;
use shmwarden::sys::shm::Row;

pub const UID: u32 = 100_001;
pub const GID: u32 = 100_002;
pub const OTHER_UID: u32 = 100_003;
pub const PID_MAX: u64 = 32_768;
/// The fork count when the server was claimed.
pub const FORKS: u64 = 1_000_000;
pub const LAUNCHER: ProcessRef = ProcessRef { pid: 4700, start: 990 };
pub const SERVER: ProcessRef = ProcessRef { pid: 4711, start: 1000 };
pub const DATA: FileRef = FileRef { dev: 64, ino: 77 };
pub const PROGRAM: FileRef = FileRef { dev: 64, ino: 5 };
/// The file that the ledger is.
pub const LEDGER: OwnFile =
    OwnFile { dev: 64, ino: 99, born: (1_690_000_000, 123_456_789), overlay: false };
pub const CONTROL_HANDLE: u32 = 3_000_000_002;
pub const DYNAMIC_HANDLE: u32 = 1_000_000_004;

const BEGAN: u64 = 1_700_000_000;

/// A birth time that is another one than that of every file here.
pub const LATER: Birth = Birth::At(1_700_000_010, 500_000_001);

pub fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGAN + seconds)
}

pub fn here() -> Place {
    Place {
        boot: "0f4b7c1e-first-boot".to_owned(),
        ipc_namespace: "id:11".to_owned(),
        pid_namespace: "id:12".to_owned(),
        shm_mount: Some("tmpfs:00000000000000aa".to_owned()),
    }
}

pub fn in_boot(boot: &str) -> Place {
    let boot = boot.to_owned();
    Place { boot, ..here() }
}

pub fn in_ipc(ipc_namespace: &str) -> Place {
    let ipc_namespace = ipc_namespace.to_owned();
    Place { ipc_namespace, ..here() }
}

pub fn in_pids(pid_namespace: &str) -> Place {
    let pid_namespace = pid_namespace.to_owned();
    Place { pid_namespace, ..here() }
}

pub fn header(place: Place) -> Record {
    header_in(place, None)
}

/// A header that names the file that it is written to.
pub fn header_in(place: Place, file: Option<OwnFile>) -> Record {
    Record::Header(Header { version: VERSION, place, file })
}

pub fn run(run: u64) -> Record {
    Record::Run(RunStart {
        run,
        launcher: LAUNCHER,
        uid: UID,
        gid: GID,
        argv: vec![bytes("postgres"), bytes("-D"), bytes("/srv/data")],
        shmwarden: "0.1.0".to_owned(),
        recorded: false,
        clock_ahead_ms: None,
    })
}

/// The claim of a PostgreSQL 15.
pub fn claim(run: u64) -> Claim {
    Claim {
        run,
        process: SERVER,
        uids: vec![UID],
        group: SERVER.pid,
        session: LAUNCHER.pid,
        control_group: bytes("/system.slice/postgresql.service"),
        engine: Engine::POSTGRES,
        major: Some(15),
        data: Some(DataDir { path: bytes("/srv/data"), file: DATA }),
        executable: Some(Executable {
            path: bytes("/usr/lib/postgresql/15/bin/postgres"),
            file: PROGRAM,
        }),
        before: vec![],
        sets_before: vec![],
        queues_before: vec![],
        pid_max: Some(PID_MAX),
        forks: None,
        ended: None,
    }
}

/// The claim of a server of which nothing is known.
pub fn generic(run: u64) -> Claim {
    Claim { engine: Engine::GENERIC, major: None, data: None, ..claim(run) }
}

/// The claimed server was seen alive.
pub fn alive(run: u64) -> Record {
    Record::Alive { run, process: SERVER }
}

/// The end of the claimed server was seen, and what it had made.
pub fn reaped(run: u64, end: End) -> Record {
    Record::Reaped { run, process: SERVER, end }
}

pub fn bytes(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

/// A segment that the claimed server has created.
pub fn segment(id: i32) -> Segment {
    Segment {
        id,
        key: Key(0x00f4_2400 + id),
        bytes: 56 + u64::from(id.unsigned_abs()),
        creator_uid: UID,
        creator_gid: GID,
        creator_pid: SERVER.pid,
        ctime: seconds(10),
    }
}

pub fn seconds(after: i64) -> i64 {
    i64::try_from(BEGAN).unwrap() + after
}

/// The segment that bears the key of a handle, as `dynamic_shared_memory_type=sysv` makes it.
pub fn sysv_of(handle: u32, id: i32) -> Segment {
    Segment { key: Key(shmwarden::engine::postgres::sysv_key(handle)), ..segment(id) }
}

pub fn file(name: &str, ino: u64) -> ShmFile {
    ShmFile {
        name: bytes(name),
        mount: here().shm_mount.unwrap(),
        file: FileRef { dev: 26, ino },
        birth: Birth::At(seconds(10), 500_000_000),
        uid: UID,
        bytes: 1 << 20,
    }
}

/// The file of a handle, as `dynamic_shared_memory_type=posix` makes it.
pub fn posix_of(handle: u32) -> ShmFile {
    file(&format!("PostgreSQL.{handle}"), u64::from(handle))
}

pub fn shm(segment: &Segment) -> Identity {
    Identity::Shm(segment.clone())
}

pub fn posix(file: &ShmFile) -> Identity {
    Identity::Posix(file.clone())
}

pub fn seen(object: u64, role: Role, identity: Identity) -> ObjectSeen {
    let how = match role {
        Role::Main | Role::Other => How::Claim,
        Role::Control | Role::Dynamic => How::Listed,
    };
    ObjectSeen { object, run: 1, how, role, identity, creator: None, header: None }
}

/// The row that the kernel shows for a segment that nobody has attached.
pub fn row(segment: &Segment) -> Row {
    Row {
        id: segment.id,
        perm: IpcPerm {
            key: segment.key.0,
            mode: 0o600,
            uid: segment.creator_uid,
            gid: segment.creator_gid,
            creator_uid: segment.creator_uid,
            creator_gid: segment.creator_gid,
        },
        bytes: segment.bytes,
        creator_pid: segment.creator_pid,
        last_pid: 0,
        nattch: 0,
        atime: 0,
        dtime: 0,
        ctime: segment.ctime,
    }
}

/// A file as a look lists it.
pub fn listed(identity: ShmFile) -> ListedFile {
    let facts = FileFacts {
        dev: identity.file.dev,
        ino: identity.file.ino,
        born: match identity.birth {
            Birth::At(seconds, nanos) => Some((seconds, nanos)),
            Birth::NotKept { .. } => None,
        },
        uid: identity.uid,
        gid: identity.uid,
        mode: 0o100_600,
        bytes: identity.bytes,
        resident_bytes: 0,
        ctime: identity.birth.only_changed().unwrap_or((identity.birth.seconds(), 0)),
        mount_id: 1,
    };
    ListedFile { name: identity.name.clone(), facts, identity }
}

/// All the files of a look.
pub fn files(files: Vec<ShmFile>) -> Table<ListedFile> {
    Table::Whole(files.into_iter().map(listed).collect())
}

/// A look at a machine that shows nothing but an empty data directory: nobody lives. What it asks
/// for it has asked; what a test does not need was not looked at.
pub fn look() -> Snapshot {
    let inodes = (0..100).chain([CONTROL_HANDLE, DYNAMIC_HANDLE].map(u64::from));
    let asked = inodes.map(|ino| FileRef { dev: 26, ino }).collect();
    let not_looked_at = || "not looked at".to_owned();
    Snapshot::of(Tables {
        now: time(1000),
        clock_ahead_ms: 0,
        place: here(),
        uid: UID,
        pid: 77,
        sight: Sight::Everybody,
        segments: Table::Whole(vec![]),
        sets: Table::Unread(not_looked_at()),
        queues: Table::Unread(not_looked_at()),
        files: Table::Whole(vec![]),
        other_names: Table::Whole(vec![]),
        processes: Table::Whole(vec![]),
        hidden: vec![],
        absent: BTreeSet::new(),
        members_asked: MembersAsked::default(),
        waits: Some(Waits::default()),
        callers: Table::Unread(not_looked_at()),
        opened: Opened { asked, ..Opened::default() },
        marked: BTreeMap::new(),
        resident: None,
        keys: BTreeMap::new(),
        data_dirs: vec![DataDirectory {
            path: bytes("/srv/data"),
            file: Some(DATA),
            uid: Some(UID),
            major: Some(15),
            pid_file: Seen::Gone,
        }],
        headers: BTreeMap::new(),
        read_rows: BTreeMap::new(),
        controls: vec![],
        unread_lists: vec![],
        trouble: vec![],
    })
}

/// A later look that differs in what a test is about: nobody writes into one that is there.
pub trait Change {
    fn change<T>(&mut self, how: impl FnOnce(&mut Tables) -> T);
    fn with<T>(self, how: impl FnOnce(&mut Tables) -> T) -> Self;
}

impl Change for Snapshot {
    fn change<T>(&mut self, how: impl FnOnce(&mut Tables) -> T) {
        *self = self.clone().with(how);
    }

    fn with<T>(self, how: impl FnOnce(&mut Tables) -> T) -> Self {
        let mut tables = Tables::clone(&self);
        drop(how(&mut tables));
        Self::of(tables)
    }
}

/// A living process of the server's user that has nothing to do with the server.
pub fn process(pid: i32, start: u64) -> Process {
    Process {
        process: ProcessRef { pid, start },
        parent: 1,
        group: pid,
        session: pid,
        state: b'S',
        ended: false,
        uids: Some([UID; 4]),
        comm: bytes("sleep"),
        command: bytes("sleep\0now\0"),
        executable: Seen::Here(PathBuf::from("/usr/bin/sleep")),
        cwd: Seen::Here(file_id(DATA.dev, 2, "/")),
        maps: Some(Seen::Here(vec![])),
        same_ipc: Some(true),
        control_group: Some(Seen::Here(bytes("/user.slice"))),
        unread: false,
    }
}

/// A living process that runs the server's program in its data directory.
pub fn postgres(pid: i32, start: u64) -> Process {
    let program = "/usr/lib/postgresql/15/bin/postgres";
    Process {
        comm: bytes("postgres"),
        executable: Seen::Here(PathBuf::from(program)),
        cwd: Seen::Here(file_id(DATA.dev, DATA.ino, "/srv/data")),
        ..process(pid, start)
    }
}

/// A process of the server's user that may not be looked into.
pub fn closed(pid: i32, comm: &str) -> Process {
    Process {
        comm: bytes(comm),
        executable: Seen::Denied,
        cwd: Seen::Denied,
        maps: Some(Seen::Denied),
        same_ipc: None,
        ..process(pid, 2000)
    }
}

pub fn file_id(dev: u64, ino: u64, path: &str) -> FileId {
    let path = PathBuf::from(path);
    FileId { dev, ino, path }
}

/// The first bytes of a PostgreSQL main segment.
pub fn main_header(pid: i32, control: u32, data: FileRef) -> Vec<u8> {
    let mut header = vec![0; 56];
    header[0..4].copy_from_slice(&679_834_894_i32.to_ne_bytes());
    header[4..8].copy_from_slice(&pid.to_ne_bytes());
    header[24..28].copy_from_slice(&control.to_ne_bytes());
    header[40..48].copy_from_slice(&data.dev.to_ne_bytes());
    header[48..56].copy_from_slice(&data.ino.to_ne_bytes());
    header
}

/// A PostgreSQL control segment of 14 or later (`wide`) or before, with handles in use.
pub fn control_list(wide: bool, handles: &[u32]) -> Vec<u8> {
    let count = u32::try_from(handles.len()).unwrap();
    let mut list = Vec::new();
    for word in [0x9a50_3d32, count, count + 8, 0] {
        list.extend(u32::to_ne_bytes(word));
    }
    for handle in handles {
        list.extend(handle.to_ne_bytes());
        list.extend(2_u32.to_ne_bytes());
        list.extend(vec![0; if wide { 32 } else { 16 }]);
    }
    list
}
