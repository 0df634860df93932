//! Reads the directories of places, as root each with the rights of whose it is, in children that
//! are waited for only so long: a user's mount that does not answer holds up nobody.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shmwarden::proc::mountinfo::Mount;
use shmwarden::proc::read;
use shmwarden::sys::errand::{Answer, Errand, gather};
use shmwarden::sys::files::facts_remembered;

use super::ENDING;

/// Longest wait for all places together.
const LONGEST: Duration = Duration::from_secs(2);
/// Most children at a time: users, mounts, places of root's.
const MOST_ERRANDS: usize = 256;
/// Most ledgers of one directory, its sub-directories included.
const MOST_LEDGERS: usize = 1024;
/// Most entries of one directory that are looked at.
const MOST_ENTRIES: usize = 1 << 16;

/// User and group with whose rights to look; `None`: the caller's own.
pub(super) type Rights = Option<(u32, u32)>;

/// A place to look at: a directory, or a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) path: PathBuf,
    /// With whose rights to look.
    pub(super) rights: Rights,
    /// Device and inode that the file must have.
    pub(super) file: Option<(u64, u64)>,
}

/// The content of a spot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Ledgers, or what is called so; a file that was named, whatever it is called.
    pub(super) ledgers: Vec<Ledger>,
    /// Nothing is there.
    pub(super) is_missing: bool,
    /// The parts that could not be looked at: path, cause, and owner, where that is not the spot's.
    pub(super) unread: Vec<(PathBuf, String, Option<u32>)>,
}

/// A file that may be a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    #[serde(with = "bytes")]
    pub(super) path: PathBuf,
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) uid: u32,
}

/// The report of a child on one spot.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    ledgers: Vec<Ledger>,
    /// Directories that have to be read by somebody else: of another owner, or another mount.
    below: Vec<Below>,
    is_missing: bool,
    unread: Vec<Unread>,
}

/// A path that could not be looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Unread {
    #[serde(with = "bytes")]
    path: PathBuf,
    why: String,
}

/// A sub-directory that is not read with the rights of the directory above.
#[derive(Debug, Serialize, Deserialize)]
struct Below {
    #[serde(with = "bytes")]
    path: PathBuf,
    uid: u32,
    gid: u32,
    is_mount: bool,
}

/// A spot that a child is asked about.
#[derive(Debug, Clone)]
struct Question {
    /// The answer that it belongs to.
    at: usize,
    spot: Spot,
    /// Set where it is what was asked for, and its sub-directories are read too; else it is one.
    is_whole: bool,
}

/// Looks at all spots; the answers are in their order.
pub(super) fn look_at(spots: &[Spot]) -> Vec<Seen> {
    let deadline = Instant::now() + LONGEST;
    let mut seen = vec![Seen::default(); spots.len()];
    let asked = spots.iter().cloned().enumerate();
    let asked = asked.map(|(at, spot)| Question { at, spot, is_whole: true });
    let below = round(asked.collect(), deadline, &mut seen);
    // A directory of somebody else's, or on a mount of its own, is read as such.
    let mounts = if below.is_empty() { Vec::new() } else { read::mountinfo().unwrap_or_default() };
    let asked = below.into_iter().map(|(at, above, below)| {
        let mounter = below.is_mount.then(|| mounter(&mounts, &below.path)).flatten();
        let owner = Some((below.uid, below.gid)).filter(|(uid, _)| *uid != 0);
        // Within a user's place root goes no further than that user.
        let rights = mounter.or(owner).or(above);
        let spot = Spot { path: below.path, rights, file: None };
        Question { at, spot, is_whole: false }
    });
    round(asked.collect(), deadline, &mut seen);
    seen
}

/// Looks at a spot with the caller's own rights and time. What may not be read below belongs to
/// somebody else.
pub(super) fn look_at_own(spot: &Spot) -> Seen {
    let mut report = report(spot, true);
    for below in std::mem::take(&mut report.below) {
        let _ = directory(&below.path, false, &mut report);
    }
    let unread = report.unread.into_iter().map(|one| (one.path, one.why, None)).collect();
    Seen { ledgers: report.ledgers, is_missing: report.is_missing, unread }
}

/// Sends children out, and takes in what they say; gives back what they left to others, each with
/// the rights that they had.
fn round(
    asked: Vec<Question>,
    deadline: Instant,
    seen: &mut [Seen],
) -> Vec<(usize, Rights, Below)> {
    let groups = groups(asked);
    let mut errands = Vec::new();
    let mut sent = Vec::new();
    for group in groups {
        let questions = group.clone();
        let rights = group.first().and_then(|one| one.spot.rights);
        if errands.len() == MOST_ERRANDS {
            tell(&group, "there are too many places to look at in time", seen);
            continue;
        }
        let body = move || {
            let reports: Vec<Report> =
                questions.iter().map(|one| report(&one.spot, one.is_whole)).collect();
            serde_json::to_vec(&reports).unwrap_or_default()
        };
        match Errand::send(rights, body) {
            Ok(errand) => {
                errands.push(errand);
                sent.push(group);
            }
            Err(errno) => tell(&group, errno.desc(), seen),
        }
    }
    let mut below = Vec::new();
    for (group, answer) in sent.into_iter().zip(gather(errands, deadline)) {
        let reports: Option<Vec<Report>> = match &answer {
            Answer::Whole(said) => serde_json::from_slice(said).ok(),
            Answer::Late | Answer::Ended => None,
        };
        match reports.filter(|reports| reports.len() == group.len()) {
            Some(reports) => {
                for (Question { at, spot, is_whole }, report) in group.into_iter().zip(reports) {
                    let Some(seen) = seen.get_mut(at) else { continue };
                    seen.is_missing |= report.is_missing && is_whole;
                    let of = spot.rights.map(|(uid, _)| uid);
                    let unread = report.unread.into_iter();
                    seen.unread.extend(unread.map(|one| (one.path, one.why, of)));
                    seen.ledgers.extend(report.ledgers);
                    let rights = spot.rights;
                    below.extend(report.below.into_iter().map(|below| (at, rights, below)));
                }
            }
            None if answer == Answer::Late => tell(&group, "it does not answer", seen),
            None => tell(&group, "no process could look at it with that user's rights", seen),
        }
    }
    below
}

/// Spots that one child looks at: those of one user. Each of the caller's own has a child of its
/// own, so that one on a dead mount hides no other.
fn groups(asked: Vec<Question>) -> Vec<Vec<Question>> {
    let mut groups: BTreeMap<(Rights, usize), Vec<Question>> = BTreeMap::new();
    for (number, one) in asked.into_iter().enumerate() {
        let rights = one.spot.rights;
        let apart = if rights.is_none() { number } else { 0 };
        groups.entry((rights, apart)).or_default().push(one);
    }
    groups.into_values().collect()
}

/// Notes of all spots of a group that they could not be looked at.
fn tell(group: &[Question], why: &str, seen: &mut [Seen]) {
    for Question { at, spot, .. } in group {
        if let Some(seen) = seen.get_mut(*at) {
            let of = spot.rights.map(|(uid, _)| uid);
            seen.unread.push((spot.path.clone(), why.to_owned(), of));
        }
    }
}

/// The user and group who mounted what lies at a path, where that is a file system of a user's own
/// (FUSE), which answers to them alone.
fn mounter(mounts: &[Mount], path: &Path) -> Option<(u32, u32)> {
    let path = path.as_os_str().as_bytes();
    let mount = mounts.iter().rfind(|mount| mount.mount_point == path)?;
    if !mount.fs_type.starts_with(b"fuse") {
        return None;
    }
    let option = |name: &[u8]| {
        let mut options = mount.super_options.split(|&byte| byte == b',');
        let value = options.find_map(|option| option.strip_prefix(name))?;
        std::str::from_utf8(value).ok()?.parse::<u32>().ok()
    };
    let ids = (option(b"user_id=")?, option(b"group_id=")?);
    (ids.0 != 0).then_some(ids)
}

/// Reads one spot, with the rights that this process has.
fn report(spot: &Spot, deeper: bool) -> Report {
    let mut report = Report::default();
    let found = match spot.file {
        Some(wanted) => one_file(&spot.path, wanted, &mut report),
        None => directory(&spot.path, deeper, &mut report),
    };
    match found {
        Ok(()) => {}
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            report.is_missing = true;
        }
        Err(error) => {
            report.unread.push(Unread { path: spot.path.clone(), why: words(&error) });
        }
    }
    report
}

/// Returns the words of the kernel, without the number.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// A file that has to be this one: a path of another mount namespace may lead to another here.
fn one_file(path: &Path, wanted: (u64, u64), report: &mut Report) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if (found.dev(), found.ino()) == wanted {
        report.ledgers.push(ledger(path, &found));
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn ledger(path: &Path, found: &std::fs::Metadata) -> Ledger {
    Ledger { path: path.to_owned(), dev: found.dev(), ino: found.ino(), uid: found.uid() }
}

/// Every `*.ledger` of a directory, and of those of its sub-directories that may be read so; a
/// path that is a file is that file.
fn directory(path: &Path, deeper: bool, report: &mut Report) -> io::Result<()> {
    let own = std::fs::metadata(path)?;
    if !own.is_dir() {
        report.ledgers.push(ledger(path, &path.symlink_metadata()?));
        return Ok(());
    }
    for (number, entry) in std::fs::read_dir(path)?.enumerate() {
        let entry = entry?;
        let path = entry.path();
        if number >= MOST_ENTRIES || report.ledgers.len() >= MOST_LEDGERS {
            let why = format!("it has too many entries, or more than {MOST_LEDGERS} ledgers");
            return Err(io::Error::other(why));
        }
        // A link to a directory is not followed: file_type is of the entry itself.
        if entry.file_type()?.is_dir() {
            if deeper {
                below(&path, &own, report);
            }
        } else if path.extension() == Some(OsStr::new(ENDING)) {
            match path.symlink_metadata() {
                Ok(found) => report.ledgers.push(ledger(&path, &found)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A sub-directory: read here where it is of the same owner and mount as the one above.
fn below(path: &Path, above: &std::fs::Metadata, report: &mut Report) {
    // What the kernel remembers: one that does not answer is not asked.
    let read = match facts_remembered(path).map_err(io::Error::from) {
        Ok(facts) if facts.dev == above.dev() && facts.uid == above.uid() => {
            directory(path, false, report)
        }
        Ok(facts) => {
            let is_mount = facts.dev != above.dev();
            let (path, uid, gid) = (path.to_owned(), facts.uid, facts.gid);
            report.below.push(Below { path, uid, gid, is_mount });
            Ok(())
        }
        Err(error) => Err(error),
    };
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            report.unread.push(Unread { path: path.to_owned(), why: words(&error) });
        }
        _ => {}
    }
}

/// Paths are bytes, in a document that is text.
mod bytes {
    use super::{OsStrExt, OsString, OsStringExt, Path, PathBuf};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(path.as_os_str().as_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        Ok(OsString::from_vec(bytes).into())
    }
}
