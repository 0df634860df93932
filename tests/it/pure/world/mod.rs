//! Random worlds: ledgers, objects, processes and what of them can be seen, each from a number.
//!
//! A world is plain data and knows nothing of the library's types: `generate` throws the dice,
//! `build` alone turns it into ledgers and a snapshot, `run` asks the judges and tells in one line
//! what they say. So two versions of the judges can be compared over the same worlds.

mod build;
mod dice;
mod generate;
pub mod properties;
mod run;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

pub use generate::world;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Shm,
    Sem,
    Msg,
    Posix,
}

/// An object, with the fields of every kind; the kernel shows it so, or a ledger has it so.
#[derive(Debug, Clone)]
pub struct Thing {
    pub kind: Kind,
    pub id: i32,
    /// Of a file.
    pub name: String,
    pub key: i32,
    pub mode: u32,
    /// Size; of a set its members.
    pub bytes: u64,
    pub uid: u32,
    pub gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    pub creator_pid: i32,
    pub nattch: u64,
    pub is_dest: bool,
    /// Pids of the last users: one of a segment, any number of a set, sender and receiver.
    pub users: Vec<i32>,
    /// Seconds since the epoch: last attach and detach, operation, sending and receiving.
    pub times: [i64; 2],
    pub ctime: i64,
    pub waiters: u64,
    /// Its members may not be asked.
    pub is_closed: bool,
    /// A member has a value and no operator.
    pub set_unseen: bool,
    /// The process that made an openGauss's mark.
    pub mark: Option<i32>,
    pub mount: String,
    pub dev: u64,
    pub ino: u64,
    pub born: Option<(i64, u32)>,
    pub content: Content,
}

/// What is written in a segment or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Nothing,
    Unreadable,
    Bytes(Vec<u8>),
}

/// A boot and its namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Where {
    pub boot: &'static str,
    pub ipc: &'static str,
    pub pids: &'static str,
    pub mount: Option<&'static str>,
}

/// A process that a ledger names: pid and start.
pub type Named = (i32, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Generic,
    Postgres,
    Opengauss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
    NotStarted,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Claim,
    Watch,
    LastLook,
    ForkCount,
    Header,
    Listed,
    Adopted,
    Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Dynamic,
    Other,
    Control,
    Main,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Removed,
    Gone,
    Kept,
    Raced,
    Failed,
}

/// A claimed process.
#[derive(Debug, Clone)]
pub struct Claim {
    pub process: Named,
    pub uids: Vec<u32>,
    pub group: i32,
    pub session: i32,
    pub control_group: &'static str,
    pub engine: Engine,
    pub major: Option<u32>,
    pub data: Option<Directory>,
    pub program: Option<&'static str>,
    pub before: Vec<i32>,
}

/// A line of a ledger, written at this time (seconds since the epoch).
#[derive(Debug, Clone)]
pub struct Line {
    pub at: i64,
    pub says: Says,
}

#[derive(Debug, Clone)]
pub enum Says {
    Header { version: u64, place: Where, file: Option<u64> },
    Run { run: u64, launcher: Named, uid: u32, recorded: bool, clock_ahead_ms: Option<i64> },
    Claim { run: u64, claim: Claim },
    Reaped { run: u64, process: Named, end: End },
    Object { object: u64, run: u64, how: How, role: Role, thing: Thing, creator: Option<Named> },
    Adopted { object: u64, how: How, role: Role, thing: Thing },
    Used { run: u64, thing: Thing },
    Descendant { run: u64, process: Named },
    Stranger { object: u64, process: Named },
    Gone { object: u64 },
    Intent { object: u64 },
    Outcome { object: u64, outcome: Outcome },
    Detached { run: u64, seconds: i64 },
    End { run: u64, end: End },
}

#[derive(Debug, Clone)]
pub struct Ledger {
    pub owner: u32,
    pub lines: Vec<Line>,
    /// The inode of the file that it is read from.
    pub file: Option<u64>,
    /// Whoever else asks cannot read it.
    pub is_closed: bool,
    /// Who has it locked.
    pub locked_by: Option<i32>,
}

/// Something that may not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    Here(T),
    Gone,
    Denied,
}

/// A data directory: path, device, inode.
pub type Directory = (&'static str, u64, u64);

#[derive(Debug, Clone)]
pub struct DataDirectory {
    pub directory: Directory,
    pub uid: Option<u32>,
    pub major: Option<u32>,
    /// Pid, and key and id of the main segment.
    pub pid_file: Look<(i32, Option<(i32, i32)>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapped {
    Segment(i32),
    File(u64, u64),
}

#[derive(Debug, Clone)]
pub struct Process {
    pub process: Named,
    pub is_unread: bool,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub has_ended: bool,
    pub uids: Option<[u32; 4]>,
    pub groups: Option<Vec<u32>>,
    pub comm: &'static str,
    pub program: Look<&'static str>,
    pub works_in: Look<Directory>,
    pub maps: Option<Look<Vec<(Mapped, u64)>>>,
    pub same_ipc: Option<bool>,
    pub control_group: Look<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Everybody,
    Namespace,
    Part,
}

/// Descriptors and locks of files, each by device and inode.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    pub by: Vec<((u64, u64), i32)>,
    pub closed: Vec<i32>,
    pub locked: Vec<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub struct World {
    pub here: Where,
    pub uid: u32,
    pub pid: i32,
    /// Seconds since the epoch.
    pub now: i64,
    pub clock_ahead_ms: i64,
    pub sight: Sight,
    pub ledgers: Vec<Ledger>,
    pub things: Vec<Thing>,
    pub processes: Vec<Process>,
    pub hidden: Vec<i32>,
    pub directories: Vec<DataDirectory>,
    /// Names in `/dev/shm` that are no files; `None` where they could not be read.
    pub other_names: Option<Vec<String>>,
    pub segments_were_read: bool,
    pub files_were_read: bool,
    pub processes_were_read: bool,
    pub sets_were_read: bool,
    pub queues_were_read: bool,
    pub waits_were_read: bool,
    pub callers_were_read: bool,
    /// Who is blocked on a set or queue, and which.
    pub blocked: Vec<(i32, Kind, i32)>,
    pub unasked: Vec<i32>,
    pub opened: Option<Opened>,
    pub include_clean: bool,
    pub starting: bool,
    /// Descendants that the caller knows.
    pub descendants: Vec<Named>,
}

/// Writes what the judges say of so many worlds, a line each, and counts how often each word and
/// code stands there.
pub fn dump(path: &Path, count: u64) -> BTreeMap<String, u64> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let half = count / 2;
    let lines = |from: u64, to: u64| {
        (from..to).map(|seed| run::line(seed, &world(seed))).collect::<Vec<String>>()
    };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| lines(half, count));
        (lines(0, half), second.join().unwrap())
    });
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for line in first.iter().chain(&second) {
        writeln!(out, "{line}").unwrap();
        for word in said(line) {
            *words.entry(word).or_default() += 1;
        }
    }
    out.flush().unwrap();
    words
}

/// Tells all of a world, and what is said of it.
pub fn show(seed: u64) {
    let world = world(seed);
    for (at, ledger) in world.ledgers.iter().enumerate() {
        let Ledger { owner, file, is_closed, locked_by, lines } = ledger;
        println!("ledger {at} of {owner}, file {file:?}, closed {is_closed}, {locked_by:?}");
        lines.iter().for_each(|line| println!("    {line:?}"));
    }
    world.things.iter().for_each(|thing| println!("{thing:?}"));
    world.processes.iter().for_each(|process| println!("{process:?}"));
    let rest = World { ledgers: vec![], things: vec![], processes: vec![], ..world.clone() };
    println!("{rest:?}");
    println!("{}", run::line(seed, &world));
}

/// What a line says of objects, each with the command: `sweep keep attached`.
fn said(line: &str) -> impl Iterator<Item = String> {
    line.split(" | ").skip(1).flat_map(|part| {
        let (command, all) = part.split_once(':').unwrap();
        let command = command.split(' ').next().unwrap();
        all.split(';').filter_map(move |one| {
            let (_, what) = one.trim().split_once('=')?;
            Some(format!("{command} {what}"))
        })
    })
}

#[test]
#[ignore = "tells of the world that WORLD=number names"]
fn a_world_and_what_is_said_of_it_are_told() {
    show(std::env::var("WORLD").expect("WORLD=number").parse().unwrap());
}

#[test]
#[ignore = "writes what is said of random worlds to a file, to compare two versions"]
fn what_is_said_of_random_worlds_is_written() {
    let path = std::env::var_os("WORLDS_DUMP").expect("WORLDS_DUMP=path names the file");
    let count = std::env::var("WORLDS").expect("WORLDS=number says how many");
    let words = dump(Path::new(&path), count.parse().unwrap());
    for (word, times) in words.iter().filter(|(word, _)| !word.starts_with("named")) {
        println!("{times:8} {word}");
    }
}
