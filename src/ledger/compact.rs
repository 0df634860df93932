//! Writing a ledger anew without what no longer matters. Keeps owner, mode and every open matter.
//!
//! The new file is written, synced and locked before it takes the name. Root never compacts
//! another user's ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK};

use super::adopted::NO_RUN;
use super::book::{Book, Recorded, Run, Standing, Tail};
use super::book_file::same;
pub use super::file::Compacted;
use super::file::Ledger;
use super::line;
use super::own_file::OwnFile;
use super::owner::refuse_others;
use super::record::{Entry, Header, Record, VERSION};
use crate::error::{Error, Result};
use crate::object::{Identity, ProcessRef};
use crate::sys::user;

/// Ended runs that stay readable.
pub const KEPT_RUNS: usize = 100;
/// A ledger longer than this many bytes is written anew.
pub const LONG_BYTES: u64 = 1 << 20;

/// Checks that a ledger should be written anew: it is long, or its first line names an older
/// version, which a program of that version would go by.
#[must_use]
pub fn is_due(ledger: &Ledger) -> bool {
    let is_older = (1..VERSION).contains(&ledger.book.first_version);
    ledger.whole_bytes() > LONG_BYTES || ledger.book.runs.len() > KEPT_RUNS + 10 || is_older
}

/// Writes a locked ledger anew and lets it take the name; `None` where it is another user's, or
/// lines wait to be written.
///
/// `ready` is called with the new file before it takes the name: whoever dies in between leaves
/// the caller of a helper with a descriptor of whatever file then bears it.
///
/// # Errors
/// [`Error::Io`]; the old file is untouched then, or has lost its name to an equal one.
pub fn compact(
    ledger: &Ledger,
    ready: impl FnOnce(&Compacted) -> Result<()>,
) -> Result<Option<Compacted>> {
    if ledger.owner().0 != user::effective() || ledger.pretends() || ledger.has_queued() {
        return Ok(None);
    }
    // What has taken the name meanwhile is not ours to replace.
    if !ledger.bears_name() {
        return Ok(None);
    }
    let old = ledger.bytes()?;
    let (compacted, temporary) = write_beside(ledger, &old)?;
    let path = ledger.path();
    let renamed = ready(&compacted).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(Error::io("cannot replace", path))
    });
    if let Err(error) = renamed {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    ledger.sync_directory()?;
    Ok(Some(compacted))
}

/// Checks that nothing that is still open was lost.
fn says_the_same(old: &[u8], new: &[u8]) -> bool {
    let (old, _, _) = Book::replay(old);
    let (new, _, tail) = Book::replay(new);
    let open = |book: &Book| -> Vec<_> {
        book.open_objects().map(|o| (o.number, o.identity.clone(), o.role)).collect()
    };
    let runs = |book: &Book| -> Vec<_> {
        book.open_runs().map(|run| (run.claims.clone(), run.descendants.clone())).collect()
    };
    let strangers = |book: &Book| -> Vec<_> {
        book.open_objects().map(|o| book.strangers.get(&o.number).cloned()).collect()
    };
    tail == Tail::Clean
        && old.seq == new.seq
        && strangers(&old) == strangers(&new)
        && open(&old) == open(&new)
        && runs(&old) == runs(&new)
}

/// Writes what still matters to a locked file beside the ledger.
fn write_beside(ledger: &Ledger, old: &[u8]) -> Result<(Compacted, PathBuf)> {
    let mut name = ledger.path().as_os_str().to_owned();
    name.push(".new");
    let path = PathBuf::from(name);
    let mode = ledger.mode().map_err(Error::io("cannot look at", ledger.path()))?;
    discard(&path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    options.custom_flags(O_NOFOLLOW | O_CLOEXEC);
    let mut file = options.open(&path).map_err(Error::io("cannot create", &path))?;
    // What names the old file is true of the new one: both locks are held.
    let moved = (ledger.book.own_file(), OwnFile::of(&file));
    let new = rewrite_to(old, moved);
    if !says_the_same(old, &new) {
        let _ = std::fs::remove_file(&path);
        return Err(Error::Illegal("a ledger written anew would not say the same".to_owned()));
    }
    let written = fs2::FileExt::try_lock_exclusive(&file)
        .and_then(|()| file.write_all(&new))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(&path);
        return Err(Error::io("cannot write", &path)(error));
    }
    Ok((Compacted { file, bytes: new.len() as u64 }, path))
}

/// Removes what an earlier compaction left under its temporary name; what is no ledger stays.
fn discard(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    match options.open(path) {
        Ok(file) => {
            refuse_others(&file, path)?;
            std::fs::remove_file(path).map_err(Error::io("cannot remove", path))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("cannot open", path)(error)),
    }
}

/// The lines that still matter, renumbered so that the last keeps its number: what waits to be
/// written goes on from there. Pure.
#[must_use]
pub fn rewrite(bytes: &[u8]) -> Vec<u8> {
    rewrite_to(bytes, (None, None))
}

/// The same, from one file to another: headers that name the first name the second. Pure.
#[must_use]
pub fn rewrite_to(bytes: &[u8], moved: (Option<OwnFile>, Option<OwnFile>)) -> Vec<u8> {
    let (book, whole, _) = Book::replay(bytes);
    let entries: Vec<Entry> = bytes
        .get(..whole)
        .unwrap_or_default()
        .split(|&byte| byte == b'\n')
        .filter_map(|text| line::decode(text).ok())
        .collect();
    let kept_runs: BTreeSet<u64> = book.runs.keys().rev().take(KEPT_RUNS).copied().collect();
    let open: BTreeSet<u64> = book.open_objects().map(|object| object.number).collect();
    let with_open: BTreeSet<u64> = book
        .open_objects()
        .map(|object| object.run)
        .chain(book.open_runs().map(|run| run.start.run))
        .collect();
    let run_stays =
        |run: u64| run == NO_RUN || kept_runs.contains(&run) || with_open.contains(&run);
    let first = render(&entries, &book, moved, true, |run, object| {
        run_stays(run) && object.is_none_or(|o| open.contains(&o) || run_stays(run))
    });
    if (first.len() as u64) < LONG_BYTES / 2 {
        return first;
    }
    // Objects that came and went are the bulk of a long run; then whole ended runs, oldest first.
    let passed = |object: u64| {
        book.objects.get(&object).is_some_and(|object| {
            let settled = object.is_adopted() && !open.contains(&object.number);
            object.standing == Standing::Gone || settled
        })
    };
    let second = render(&entries, &book, moved, false, |run, object| {
        run_stays(run) && !object.is_some_and(passed)
    });
    let room = (LONG_BYTES / 2).saturating_sub(second.len() as u64);
    if room > 0 {
        let oldest = oldest_that_fits(&entries, &book, &open, room);
        let third = render(&entries, &book, moved, false, |run, object| {
            let settled = object.is_some_and(|o| passed(o) && oldest.is_none_or(|least| o < least));
            run_stays(run) && !settled
        });
        return if (third.len() as u64) < LONG_BYTES / 2 { third } else { second };
    }
    let newest: BTreeSet<u64> = book.runs.keys().rev().take(10).copied().collect();
    render(&entries, &book, moved, false, |run, object| {
        (run == NO_RUN || with_open.contains(&run) || newest.contains(&run))
            && !object.is_some_and(passed)
    })
}

/// Of the adopted objects that are settled, the newest whose lines fit in so many bytes: the number
/// of the first of them. What a sweep has removed is not forgotten by the compaction behind it.
fn oldest_that_fits(
    entries: &[Entry],
    book: &Book,
    open: &BTreeSet<u64>,
    room: u64,
) -> Option<u64> {
    let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in entries {
        let object = match &entry.record {
            Record::Adopted(adopted) => adopted.object,
            Record::Gone { object }
            | Record::Intent { object, .. }
            | Record::Outcome { object, .. } => *object,
            _ => continue,
        };
        *sizes.entry(object).or_default() += line::encode(entry).len() as u64;
    }
    let is_settled = |number: &u64| {
        !open.contains(number) && book.objects.get(number).is_some_and(Recorded::is_adopted)
    };
    // Headers that are then needed take room too.
    let mut left = room.saturating_sub(room / 8);
    let mut oldest = None;
    for (number, bytes) in sizes.iter().rev().filter(|(number, _)| is_settled(number)) {
        match left.checked_sub(*bytes) {
            Some(rest) => left = rest,
            None => break,
        }
        oldest = Some(*number);
    }
    oldest
}

/// The subject of a line, where a later line of the same subject makes the ones between needless.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Claim(u64, ProcessRef),
    Object(u64),
    Intent(u64),
}

fn subject(record: &Record) -> Option<Subject> {
    match record {
        Record::Claim(claim) => Some(Subject::Claim(claim.run, claim.process)),
        Record::Object(seen) => Some(Subject::Object(seen.object)),
        Record::Intent { object, .. } => Some(Subject::Intent(*object)),
        _ => None,
    }
}

/// Writes the entries whose run and object stay; of each subject the first and the last line. The
/// last claim of a process takes in the fork count of later lines.
fn render(
    entries: &[Entry],
    book: &Book,
    moved: (Option<OwnFile>, Option<OwnFile>),
    used: bool,
    stays: impl Fn(u64, Option<u64>) -> bool,
) -> Vec<u8> {
    let mut spans: BTreeMap<Subject, (u64, u64)> = BTreeMap::new();
    for entry in entries {
        if let Some(subject) = subject(&entry.record) {
            spans.entry(subject).or_insert((entry.seq, entry.seq)).1 = entry.seq;
        }
    }
    let span = |record: &Record| subject(record).and_then(|subject| spans.get(&subject)).copied();
    let last_intent = |object: u64| spans.get(&Subject::Intent(object)).map_or(0, |span| span.1);
    let run_of = |object: &u64| book.objects.get(object).map_or(0, |object| object.run);
    // Who used a set or queue matters as long as that is there.
    let is_call = |o: &&Recorded| matches!(o.identity, Identity::Sem(_) | Identity::Msg(_));
    let open: BTreeSet<u64> = book.open_objects().map(|object| object.number).collect();
    let with_sets: BTreeSet<u64> = book.open_objects().filter(is_call).map(|o| o.run).collect();
    let wanted = |entry: &Entry| match &entry.record {
        Record::Header(_) | Record::Alive { .. } => false,
        Record::Run(start) => stays(start.run, None),
        Record::Claim(claim) => stays(claim.run, None),
        Record::Reaped { run, .. } | Record::End { run, .. } | Record::Detached { run, .. } => {
            stays(*run, None)
        }
        Record::Used { run, .. } => used && stays(*run, None),
        Record::Robbed { run, .. } => stays(*run, None),
        Record::Descendant { run, process } => {
            let still = |run: &Run| run.end.is_none() || with_sets.contains(&run.start.run);
            let known = |run: &Run| still(run) && run.descendants.contains(process);
            stays(*run, None) && book.runs.get(run).is_some_and(known)
        }
        Record::Stranger { object, process } => {
            let noted = book.strangers.get(object).is_some_and(|all| all.contains(process));
            noted && open.contains(object) && stays(run_of(object), Some(*object))
        }
        Record::Object(seen) => stays(seen.run, Some(seen.object)),
        Record::Adopted(adopted) => stays(NO_RUN, Some(adopted.object)),
        Record::Gone { object } => stays(run_of(object), Some(*object)),
        Record::Intent { object, .. } => {
            entry.seq == last_intent(*object) && stays(run_of(object), Some(*object))
        }
        Record::Outcome { object, .. } => {
            entry.seq > last_intent(*object) && stays(run_of(object), Some(*object))
        }
    };
    let mut kept: Vec<Entry> = Vec::new();
    let mut waiting: Option<&Entry> = None;
    for entry in entries {
        if matches!(entry.record, Record::Header(_)) {
            waiting = Some(entry);
        }
        let between = span(&entry.record).is_some_and(|(a, b)| entry.seq != a && entry.seq != b);
        if !between && wanted(entry) {
            // A header is kept only where something that stays follows it.
            kept.extend(waiting.take().map(|header| renewed(header, moved)));
            let last = span(&entry.record).is_some_and(|(_, last)| entry.seq == last);
            let forks = if last { final_forks(book, &entry.record) } else { None };
            kept.push(Entry { forks: forks.or(entry.forks), ..entry.clone() });
        }
    }
    kept.extend(waiting.map(|header| renewed(header, moved)));
    let first = (book.seq + 1).saturating_sub(kept.len() as u64);
    (first..).zip(kept).flat_map(|(seq, entry)| line::encode(&Entry { seq, ..entry })).collect()
}

/// A header in the format of what is written now. One that names no file, or another one than that
/// which is written anew, is left so: what it says is of a lock that nobody here ever had.
fn renewed(entry: &Entry, (old, new): (Option<OwnFile>, Option<OwnFile>)) -> Entry {
    let Record::Header(header) = &entry.record else { return entry.clone() };
    let file = if same(header.file, old) { new } else { header.file };
    let header = Header { version: VERSION, file, ..header.clone() };
    Entry { record: Record::Header(header), ..entry.clone() }
}

/// The fork count at which a claimed process was last seen alive.
fn final_forks(book: &Book, record: &Record) -> Option<u64> {
    let Record::Claim(claim) = record else { return None };
    let claims = &book.runs.get(&claim.run)?.claims;
    claims.iter().find(|known| known.process == claim.process)?.forks
}
