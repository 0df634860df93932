//! The one place where a world meets the library's types: a ledger, a snapshot, a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use shmwarden::engine::{
    self,
    postgres::{self, PidFile},
};
use shmwarden::judge::Policy;
use shmwarden::ledger::peers::Peer;
use shmwarden::ledger::record::{self, Header, ObjectSeen, Record, RunStart};
use shmwarden::ledger::{Book, Entry, OwnFile};
use shmwarden::object::{
    Birth, Bytes, FileRef, Identity, Key, Place, ProcessRef, Queue, Segment, SemaphoreSet, ShmFile,
};
use shmwarden::proc::read::FileId;
use shmwarden::snapshot::callers::Caller;
use shmwarden::snapshot::opened::Opened;
use shmwarden::snapshot::tables::{ListedFile, MembersAsked, Set};
use shmwarden::snapshot::waits::{Found, Waits, WaitsFor};
use shmwarden::snapshot::{self, DataDirectory, Seen, Snapshot, Table, Tables};
use shmwarden::sys::files::FileFacts;
use shmwarden::sys::sem::Members;
use shmwarden::sys::{IpcPerm, msg, sem, shm};

use super::{
    Claim, Content, End, Engine, How, Kind, Ledger, Line, Look, Mapped, Named, Outcome, Process,
    Role, Says, Sight, Thing, Where, World,
};

/// What a ledger says.
pub fn book(ledger: &Ledger) -> Book {
    let mut book = Book::default();
    for (seq, line) in (1..).zip(&ledger.lines) {
        let entry = Entry { seq, at: time(line.at), forks: None, record: record(line) };
        if let Err(illegal) = book.apply(&entry) {
            panic!("{illegal}: {entry:?}");
        }
    }
    book.is_read_from(ledger.file.map(own_file));
    book
}

/// The other ledgers, as the owner of one of them can read them.
pub fn peers(world: &World, own: usize) -> Vec<Peer> {
    let others = world.ledgers.iter().enumerate().filter(|(at, _)| *at != own);
    let peer = |(at, ledger): (usize, &Ledger)| Peer {
        path: path(at),
        uid: ledger.owner,
        book: (!ledger.is_closed).then(|| book(ledger)),
    };
    others.map(peer).collect()
}

pub fn path(ledger: usize) -> PathBuf {
    PathBuf::from(format!("/var/lib/shmwarden/{ledger}.ledger"))
}

/// The policy of a sweep of the ledger of this number: as `sweep` has it.
pub fn policy(world: &World, at: usize) -> Policy {
    Policy {
        only_looks: false,
        include_clean: world.include_clean,
        descendants: world.descendants.iter().copied().map(named).collect(),
        starting: world.starting,
        exempt: vec![world.pid],
        remover: Some(world.ledgers[at].owner).filter(|owner| *owner != 0),
        beside: Vec::new(),
    }
}

/// A look at everything but what is written in the objects.
pub fn snapshot(world: &World) -> Snapshot {
    let things = |kind| world.things.iter().filter(move |thing| thing.kind == kind);
    let processes: Vec<snapshot::Process> = world.processes.iter().map(process).collect();
    // Where nobody was asked, and one is known to wait all the same, all others may.
    let all = || world.processes.iter().map(|one| one.process.0).collect();
    let waits = Waits {
        blocked: world.blocked.iter().map(blocked).collect(),
        unasked: if world.waits_were_read { world.unasked.clone() } else { all() },
    };
    let were_read = world.waits_were_read || !waits.blocked.is_empty();
    Snapshot::of(Tables {
        now: time(world.now),
        clock_ahead_ms: world.clock_ahead_ms,
        place: place(&world.here),
        uid: world.uid,
        pid: world.pid,
        sight: match world.sight {
            Sight::Everybody => snapshot::Sight::Everybody,
            Sight::Namespace => snapshot::Sight::Namespace,
            Sight::Part => snapshot::Sight::Part,
        },
        segments: table(world.segments_were_read, things(Kind::Shm).map(segment)),
        sets: table(world.sets_were_read, things(Kind::Sem).map(set)),
        queues: table(world.queues_were_read, things(Kind::Msg).map(queue)),
        files: table(world.files_were_read, things(Kind::Posix).map(listed)),
        other_names: table(
            world.other_names.is_some(),
            world.other_names.iter().flatten().map(bytes),
        ),
        processes: table(world.processes_were_read, processes.into_iter()),
        hidden: world.hidden.clone(),
        absent: nobodys(world),
        members_asked: MembersAsked::default(),
        waits: were_read.then_some(waits),
        callers: table(world.callers_were_read, callers(&world.processes).into_iter()),
        opened: opened(world),
        marked: things(Kind::Sem).filter_map(|set| Some((set.id, set.mark?))).collect(),
        resident: None,
        keys: BTreeMap::new(),
        data_dirs: world.directories.iter().map(directory).collect(),
        headers: BTreeMap::new(),
        read_rows: BTreeMap::new(),
        controls: Vec::new(),
        unread_lists: Vec::new(),
        trouble: Vec::new(),
    })
}

/// The pids that objects name and the kernel says nobody bears: a look asks for each of them.
fn nobodys(world: &World) -> BTreeSet<i32> {
    let users = world.things.iter().flat_map(|thing| thing.users.iter().copied());
    let all = users.chain(world.things.iter().map(|thing| thing.creator_pid));
    let all = all.filter(|pid| *pid > 0);
    let borne = |pid: &i32| world.processes.iter().any(|one| one.process.0 == *pid);
    all.filter(|pid| !borne(pid) && !world.hidden.contains(pid)).collect()
}

fn table<T>(was_read: bool, rows: impl Iterator<Item = T>) -> Table<T> {
    match was_read {
        true => Table::Whole(rows.collect()),
        false => Table::Unread("it was not read".to_owned()),
    }
}

/// Takes the place of a look by a later one that has read more.
fn later<T>(look: &mut Snapshot, more: impl FnOnce(&mut Tables) -> T) {
    let mut tables = Tables::clone(look);
    drop(more(&mut tables));
    *look = Snapshot::of(tables);
}

/// Adds what is written in an object, as far as that can be read: the first bytes of a segment,
/// and all of what begins as a list.
pub fn read(look: &mut Snapshot, thing: &Thing) {
    let known = identity(thing);
    match &thing.content {
        Content::Nothing => {
            if thing.kind == Kind::Shm {
                let start = vec![0; postgres::HEADER_BYTES];
                later(look, |look| look.headers.insert(thing.id, start));
            }
        }
        Content::Unreadable => add_unread(look, thing),
        Content::Bytes(bytes) => {
            if thing.kind == Kind::Shm {
                let start = bytes.iter().copied().take(postgres::HEADER_BYTES).collect();
                later(look, |look| look.headers.insert(thing.id, start));
            }
            let read = look.controls.iter().any(|(other, _)| *other == known);
            if postgres::is_control(bytes) && !read {
                later(look, |look| look.controls.push((known, bytes.clone())));
            }
        }
    }
}

/// Adds what may be a list and cannot be read.
pub fn add_unread(look: &mut Snapshot, thing: &Thing) {
    if look.unread_lists.contains(&identity(thing)) {
        return;
    }
    later(look, |look| look.unread_lists.push(identity(thing)));
}

/// Adds the whole of what a ledger has as a list, whatever it begins with.
pub fn read_list(look: &mut Snapshot, thing: &Thing) {
    let whole = match &thing.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Nothing => vec![0; usize::try_from(thing.bytes).unwrap()],
        Content::Unreadable => return,
    };
    let known = identity(thing);
    if !look.controls.iter().any(|(other, _)| *other == known) {
        later(look, |look| look.controls.push((known, whole)));
    }
}

/// What an object is recognised by.
pub fn identity(thing: &Thing) -> Identity {
    let key = Key(thing.key);
    let (creator_uid, creator_gid) = (thing.creator_uid, thing.creator_gid);
    match thing.kind {
        Kind::Shm => Identity::Shm(Segment {
            id: thing.id,
            key,
            bytes: thing.bytes,
            creator_uid,
            creator_gid,
            creator_pid: thing.creator_pid,
            ctime: thing.ctime,
        }),
        Kind::Sem => Identity::Sem(SemaphoreSet {
            id: thing.id,
            key,
            nsems: thing.bytes,
            creator_uid,
            creator_gid,
            ctime: thing.ctime,
        }),
        Kind::Msg => {
            Identity::Msg(Queue { id: thing.id, key, creator_uid, creator_gid, ctime: thing.ctime })
        }
        Kind::Posix => Identity::Posix(file(thing)),
    }
}

fn file(thing: &Thing) -> ShmFile {
    let not_kept = Birth::NotKept { changed: (thing.ctime, 0) };
    ShmFile {
        name: bytes(&thing.name),
        mount: thing.mount.clone(),
        file: FileRef { dev: thing.dev, ino: thing.ino },
        birth: thing.born.map_or(not_kept, |(seconds, nanos)| Birth::At(seconds, nanos)),
        uid: thing.uid,
        bytes: thing.bytes,
    }
}

fn listed(thing: &Thing) -> ListedFile {
    let facts = FileFacts {
        dev: thing.dev,
        ino: thing.ino,
        born: thing.born,
        uid: thing.uid,
        gid: thing.gid,
        mode: 0o100_000 | thing.mode,
        bytes: thing.bytes,
        resident_bytes: thing.bytes,
        ctime: (thing.ctime, 0),
        mount_id: 7,
    };
    ListedFile { name: bytes(&thing.name), facts, identity: file(thing) }
}

fn segment(thing: &Thing) -> shm::Row {
    shm::Row {
        id: thing.id,
        perm: IpcPerm {
            key: if thing.is_dest { 0 } else { thing.key },
            mode: thing.mode | if thing.is_dest { shm::MODE_DEST } else { 0 },
            uid: thing.uid,
            gid: thing.gid,
            creator_uid: thing.creator_uid,
            creator_gid: thing.creator_gid,
        },
        bytes: thing.bytes,
        creator_pid: thing.creator_pid,
        last_pid: thing.users[0],
        nattch: thing.nattch,
        atime: thing.times[0],
        dtime: thing.times[1],
        ctime: thing.ctime,
    }
}

fn set(thing: &Thing) -> Set {
    let row = sem::Row {
        id: thing.id,
        perm: IpcPerm {
            key: thing.key,
            mode: thing.mode,
            uid: thing.uid,
            gid: thing.gid,
            creator_uid: thing.creator_uid,
            creator_gid: thing.creator_gid,
        },
        members: thing.bytes,
        otime: thing.times[0],
        ctime: thing.ctime,
    };
    let (waiters, set_unseen) = (thing.waiters, thing.set_unseen);
    let members = Members { waiters, operators: thing.users.clone(), set_unseen };
    Set { row, members: (!thing.is_closed).then_some(members) }
}

fn queue(thing: &Thing) -> msg::Row {
    msg::Row {
        id: thing.id,
        perm: IpcPerm {
            key: thing.key,
            mode: thing.mode,
            uid: thing.uid,
            gid: thing.gid,
            creator_uid: thing.creator_uid,
            creator_gid: thing.creator_gid,
        },
        messages: 2,
        bytes: thing.bytes,
        most_bytes: 16384,
        last_sender: thing.users[0],
        last_receiver: thing.users[1],
        stime: thing.times[0],
        rtime: thing.times[1],
        ctime: thing.ctime,
    }
}

fn process(one: &Process) -> snapshot::Process {
    let (pid, _) = one.process;
    if one.is_unread {
        return snapshot::Process::unread(pid);
    }
    let file_id = |(path, dev, ino): (&str, u64, u64)| FileId { dev, ino, path: path.into() };
    let mapped = |(mapped, count): &(Mapped, u64)| match *mapped {
        Mapped::Segment(id) => (snapshot::Mapped::Segment(id), *count),
        Mapped::File(dev, ino) => (snapshot::Mapped::File(FileRef { dev, ino }), *count),
    };
    let maps = |maps: &Vec<(Mapped, u64)>| maps.iter().map(mapped).collect();
    snapshot::Process {
        process: named(one.process),
        unread: false,
        parent: one.parent,
        group: one.group,
        session: one.session,
        state: if one.has_ended { b'Z' } else { b'S' },
        ended: one.has_ended,
        uids: one.uids,
        comm: bytes(one.comm),
        command: bytes(one.comm),
        executable: seen(&one.program, |path| PathBuf::from(*path)),
        cwd: seen(&one.works_in, |directory| file_id(*directory)),
        maps: one.maps.as_ref().map(|all| seen(all, maps)),
        same_ipc: one.same_ipc,
        control_group: Some(seen(&one.control_group, |group| bytes(group))),
    }
}

fn callers(processes: &[Process]) -> Vec<Caller> {
    let living = processes.iter().filter(|process| !process.has_ended);
    let caller = |one: &Process| Caller {
        pid: one.process.0,
        uids: if one.is_unread { None } else { one.uids },
        groups: if one.is_unread { None } else { one.groups.clone() },
        same_ipc: if one.is_unread { None } else { one.same_ipc },
    };
    living.map(caller).collect()
}

/// Of all files, or of none.
fn opened(world: &World) -> Opened {
    let Some(all) = &world.opened else { return Opened::default() };
    let file = |(dev, ino): (u64, u64)| FileRef { dev, ino };
    let files = world.things.iter().filter(|thing| thing.kind == Kind::Posix);
    Opened {
        asked: files.map(|thing| file((thing.dev, thing.ino))).collect(),
        by: all.by.iter().map(|(of, pid)| (file(*of), *pid)).collect(),
        closed: all.closed.clone(),
        locked: all.locked.iter().copied().map(file).collect(),
        trouble: None,
    }
}

fn blocked((pid, kind, id): &(i32, Kind, i32)) -> Found<WaitsFor> {
    let what = if *kind == Kind::Sem { WaitsFor::Set(*id) } else { WaitsFor::Queue(*id) };
    Found { pid: *pid, what, times: 1 }
}

fn directory(one: &super::DataDirectory) -> DataDirectory {
    let (path, dev, ino) = one.directory;
    let pid_file = |(pid, segment): &(i32, Option<(i32, i32)>)| PidFile {
        pid: *pid,
        standalone: false,
        segment: *segment,
    };
    DataDirectory {
        path: bytes(path),
        file: Some(FileRef { dev, ino }),
        uid: one.uid,
        major: one.major,
        pid_file: seen(&one.pid_file, pid_file),
    }
}

fn record(line: &Line) -> Record {
    match line.says.clone() {
        Says::Header { version, place: named, file } => {
            Record::Header(Header { version, place: place(&named), file: file.map(own_file) })
        }
        Says::Run { run, launcher, uid, recorded, clock_ahead_ms } => Record::Run(RunStart {
            run,
            launcher: named(launcher),
            uid,
            gid: uid,
            argv: vec![bytes("server")],
            shmwarden: "0.1.0".to_owned(),
            recorded,
            clock_ahead_ms,
        }),
        Says::Claim { run, claim: one } => Record::Claim(claim(run, one)),
        Says::Reaped { run, process, end: how } => {
            Record::Reaped { run, process: named(process), end: end(how) }
        }
        Says::Object { object, run, how: by, role: as_what, thing, creator } => {
            let (how, role) = (how(by), role(as_what));
            let (identity, creator) = (identity(&thing), creator.map(named));
            Record::Object(ObjectSeen { object, run, how, role, identity, creator, header: None })
        }
        Says::Adopted { object, how: by, role: as_what, thing } => {
            let (how, role, identity) = (how(by), role(as_what), identity(&thing));
            Record::Adopted(record::Adopted { object, how, role, identity })
        }
        Says::Used { run, thing } => Record::Used { run, identity: identity(&thing) },
        Says::Descendant { run, process } => Record::Descendant { run, process: named(process) },
        Says::Stranger { object, process } => Record::Stranger { object, process: named(process) },
        Says::Gone { object } => Record::Gone { object },
        Says::Intent { object } => Record::Intent { object, reason: String::new() },
        Says::Outcome { object, outcome: what } => {
            Record::Outcome { object, outcome: outcome(what), detail: String::new() }
        }
        Says::Detached { run, seconds } => Record::Detached { run, seconds },
        Says::End { run, end: how } => Record::End { run, end: end(how) },
    }
}

fn claim(run: u64, one: Claim) -> record::Claim {
    let data = one
        .data
        .map(|(path, dev, ino)| record::DataDir { path: bytes(path), file: FileRef { dev, ino } });
    let executable = one
        .program
        .map(|path| record::Executable { path: bytes(path), file: FileRef { dev: 64, ino: 5 } });
    record::Claim {
        run,
        process: named(one.process),
        uids: one.uids,
        group: one.group,
        session: one.session,
        control_group: bytes(one.control_group),
        engine: match one.engine {
            Engine::Generic => engine::Engine::GENERIC,
            Engine::Postgres => engine::Engine::POSTGRES,
            Engine::Opengauss => engine::Engine::OPENGAUSS,
        },
        major: one.major,
        data,
        executable,
        sets_before: one.before.clone(),
        queues_before: one.before.clone(),
        before: one.before,
        pid_max: None,
        forks: None,
        ended: None,
    }
}

fn how(how: How) -> record::How {
    match how {
        How::Claim => record::How::Claim,
        How::Watch => record::How::Watch,
        How::LastLook => record::How::LastLook,
        How::ForkCount => record::How::ForkCount,
        How::Header => record::How::Header,
        How::Listed => record::How::Listed,
        How::Adopted => record::How::Adopted,
        How::Named => record::How::Named,
    }
}

fn role(role: Role) -> record::Role {
    match role {
        Role::Dynamic => record::Role::Dynamic,
        Role::Other => record::Role::Other,
        Role::Control => record::Role::Control,
        Role::Main => record::Role::Main,
    }
}

fn outcome(outcome: Outcome) -> record::Outcome {
    match outcome {
        Outcome::Removed => record::Outcome::Removed,
        Outcome::Gone => record::Outcome::Gone,
        Outcome::Kept => record::Outcome::Kept,
        Outcome::Raced => record::Outcome::Raced,
        Outcome::Failed => record::Outcome::Failed,
    }
}

fn end(end: End) -> record::End {
    match end {
        End::Exit(status) => record::End::Exit(status),
        End::Signal(signal) => record::End::Signal(signal),
        End::NotStarted => record::End::NotStarted(2),
        End::Unknown => record::End::Unknown,
    }
}

fn place(place: &Where) -> Place {
    Place {
        boot: place.boot.to_owned(),
        ipc_namespace: place.ipc.to_owned(),
        pid_namespace: place.pids.to_owned(),
        shm_mount: place.mount.map(str::to_owned),
    }
}

fn own_file(ino: u64) -> OwnFile {
    OwnFile { dev: 64, ino, born: (1_690_000_000, 123_456_789), overlay: false }
}

fn named((pid, start): Named) -> ProcessRef {
    ProcessRef { pid, start }
}

fn bytes(text: impl AsRef<str>) -> Bytes {
    Bytes(text.as_ref().as_bytes().to_vec())
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
}

fn seen<T, U>(look: &Look<T>, of: impl Fn(&T) -> U) -> Seen<U> {
    match look {
        Look::Here(it) => Seen::Here(of(it)),
        Look::Gone => Seen::Gone,
        Look::Denied => Seen::Denied,
    }
}
