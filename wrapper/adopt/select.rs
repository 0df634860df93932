//! Selects the objects that `adopt` is asked for, and what is proven of each.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shmwarden::Result;
use shmwarden::judge::Reason;
use shmwarden::judge::status::{Judged, Status};
use shmwarden::judge::unowned::{Plan, Proposal, Scene, Wish, plan};
use shmwarden::ledger::record::{How, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::Snapshot;
use shmwarden::snapshot::subject::{Kind, Subject};

use super::args::{AdoptArgs, KeyFamily};
use crate::cli::LedgerArgs;
use crate::exit;
use crate::ledgers::{self, Looked};
use crate::render;
use crate::view::{View, Wanted};

/// Rounds in which what is read leads to more that has to be read.
const ROUNDS: usize = 6;

/// An object by its kind, and its number or name.
type Number = (Kind, i32, Vec<u8>);

/// An object that `adopt` judged.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) kind: Kind,
    /// What the ledger is to know of it.
    pub(crate) identity: Identity,
    pub(crate) key: Option<i32>,
    /// Bytes; of a queue those in it now.
    pub(crate) bytes: Option<u64>,
    /// Owner.
    pub(crate) uid: u32,
    /// Time since it was made or changed.
    pub(crate) age: Option<Duration>,
    pub(crate) how: How,
    pub(crate) role: Role,
    /// Set where it was not asked for, and belongs to what was.
    pub(crate) along: bool,
    /// What speaks against it.
    pub(crate) against: Option<Reason>,
}

impl Candidate {
    /// Returns what a plan makes of an object.
    pub(crate) fn of(one: &Proposal<'_>, age: Option<Duration>) -> Self {
        Self {
            kind: one.subject.kind(),
            identity: one.identity.clone(),
            key: one.subject.key(),
            bytes: one.subject.bytes(),
            uid: one.subject.owner().0,
            age,
            how: one.how,
            role: one.role,
            along: one.along,
            against: one.against.clone(),
        }
    }

    /// Checks that nothing speaks against it.
    pub(crate) fn is_taken(&self) -> bool {
        self.against.is_none()
    }

    /// Returns why it is taken, or not: a word for scripts, and a sentence.
    pub(crate) fn reason(&self) -> (&'static str, String) {
        let reason = match (&self.against, self.how) {
            (Some(against), _) => against.clone(),
            (None, _) if self.along => Reason::Belongs,
            (None, How::Named) => Reason::Named,
            (None, _) => Reason::NoUser,
        };
        (reason.code(), reason.to_string())
    }
}

/// The request.
#[derive(Debug)]
pub(crate) struct Asked {
    named: Vec<(Number, String)>,
    owners: BTreeSet<u32>,
    family: Option<KeyFamily>,
    min_age: Duration,
}

/// The findings.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    /// The places where ledgers were looked for.
    pub(crate) looked: Vec<Looked>,
    /// The exit status that ledgers, or missing objects, call for.
    pub(crate) status: u8,
}

impl Asked {
    /// Understands the options.
    pub(crate) fn of(args: &AdoptArgs) -> std::result::Result<Self, String> {
        let mut named: Vec<(Number, String)> = Vec::new();
        for text in &args.objects {
            let shown = render::text::safe(&text.to_string_lossy());
            named.push((number(text)?, shown));
        }
        named.sort();
        named.dedup();
        let no_user = |name: &str| format!("there is no user {}", render::text::safe(name));
        let owners = args.owner.iter();
        let owners = owners.map(|name| crate::view::uid(name).map_err(|name| no_user(&name)));
        let owners: std::result::Result<BTreeSet<u32>, String> = owners.collect();
        Ok(Self { named, owners: owners?, family: args.key_family, min_age: args.min_age })
    }

    /// Checks that objects are named one by one.
    pub(crate) fn is_named(&self) -> bool {
        !self.named.is_empty()
    }

    fn takes(&self, subject: Subject<'_>) -> bool {
        if self.is_named() {
            let number = number_of(subject);
            return self.named.binary_search_by(|(one, _)| one.cmp(&number)).is_ok();
        }
        let owner = self.owners.is_empty() || self.owners.contains(&subject.owner().0);
        let in_family = |family: KeyFamily| subject.key().is_some_and(|key| family.takes(key));
        owner && self.family.is_none_or(in_family)
    }
}

/// Looks, and judges what is asked for. What is named and not there is logged.
pub(crate) fn find(asked: &Asked, ledger: &Path) -> Result<Found> {
    let sources = ledgers_to_read(ledger);
    let wanted = Wanted {
        sets: true,
        queues: true,
        files: true,
        maps: true,
        owners: true,
        details: false,
        servers: false,
        ledgers: false,
    };
    let mut view = View::take(&sources, wanted)?.later(Snapshot::with_lists);
    let prior = prior(&view);
    let mut status = view.status;
    let there: BTreeSet<Number> = Subject::all(&view.look).map(number_of).collect();
    for (number, text) in &asked.named {
        if !there.contains(number) {
            log::error!("there is no such object: {text}");
            status = exit::worse(status, exit::NO_SUCH_OBJECT);
        }
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let how = if asked.is_named() { How::Named } else { How::Adopted };
    for _ in 0..ROUNDS {
        let scene = Scene::of(&view.look, &[own]);
        let wishes = Subject::all(&view.look).filter(|subject| asked.takes(*subject));
        let wishes: Vec<Wish<'_>> = wishes.map(|subject| Wish { subject, how }).collect();
        let known = |subject: Subject<'_>| prior.get(&number_of(subject)).cloned();
        let Plan { proposals, unread } = plan(&scene, &wishes, Some(asked.min_age), &known);
        if unread.is_empty() {
            let age = |subject| view.look.now.duration_since(render::shown::changed(subject)?).ok();
            let candidates = proposals.iter().map(|one| Candidate::of(one, age(one.subject)));
            return Ok(Found {
                candidates: candidates.collect(),
                looked: view.looked.clone(),
                status,
            });
        }
        view = view.later(|look| look.with_unattached(&unread));
    }
    // Each round something was read for the first time that leads further: not a server's.
    let why = "objects kept appearing while they were looked at: try again".to_owned();
    Err(shmwarden::Error::Unsupported(why))
}

/// Returns what the ledgers have against taking an object.
fn prior(view: &View) -> BTreeMap<Number, Reason> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let against = |one: &Judged<'_>| {
        let ledger = view.source(one.account).map(|source| source.path.to_string_lossy());
        let ledger = render::text::safe(&ledger.unwrap_or_default());
        let said = match one.why {
            // Of the ledger that is locked for this very adoption.
            Reason::AtWork(pid) if pid == own => ledger,
            _ => format!("{ledger} ({})", one.why),
        };
        let lives = one.account.and_then(|at| view.accounts.get(at)).is_some_and(|a| a.lives());
        match (one.account, &one.why, one.verdict) {
            (None, ..) | (_, _, Status::Changed) => {
                let mut unlooked = view.unlooked.iter().filter(|place| !place.is_barred());
                let unlooked = unlooked.find(|place| place.concerns(one.subject));
                unlooked.map(|unlooked| Reason::LedgerUnread(unlooked.place.clone()))
            }
            (_, Reason::Used, _) if !lives => Some(Reason::Suspect(said)),
            (_, Reason::PidReused | Reason::Unlisted, Status::Unrecorded) if !lives => {
                Some(Reason::Suspect(said))
            }
            _ => Some(Reason::Recorded(said)),
        }
    };
    let judged = view.judge();
    judged.iter().filter_map(|one| Some((number_of(one.subject), against(one)?))).collect()
}

fn number_of(subject: Subject<'_>) -> Number {
    let name = match subject {
        Subject::Posix(file) => file.name.0.clone(),
        _ => Vec::new(),
    };
    (subject.kind(), subject.id().unwrap_or(-1), name)
}

/// The object that an argument means.
fn number(text: &OsStr) -> std::result::Result<Number, String> {
    let bytes = text.as_bytes();
    let id = |digits: &[u8]| {
        let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
        text.parse::<i32>().ok().filter(|id| *id >= 0)
    };
    for (prefix, kind) in [("shm:", Kind::Shm), ("sem:", Kind::Sem), ("msg:", Kind::Msg)] {
        if let Some(digits) = bytes.strip_prefix(prefix.as_bytes()) {
            let wrong = || format!("{prefix}NUMBER is meant, as `shmwarden list` shows it");
            return Ok((kind, id(digits).ok_or_else(wrong)?, Vec::new()));
        }
    }
    if let Some(id) = id(bytes) {
        return Ok((Kind::Shm, id, Vec::new()));
    }
    let shown = render::text::safe(&text.to_string_lossy());
    if bytes.starts_with(b"0x") || bytes.starts_with(b"0X") {
        return Err(format!("a key is no number of an object: --key-family {shown}/32 takes it"));
    }
    let name = bytes.strip_prefix(b"/dev/shm/").or_else(|| bytes.strip_prefix(b"/"));
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok((Kind::Posix, -1, name.to_vec())),
        None => Err(format!(
            "{shown} names no object: a segment is its NUMBER, a set sem:NUMBER, a queue \
             msg:NUMBER, a file in /dev/shm /NAME"
        )),
    }
}

/// The ledgers that tell what is a server's: those of every place, that of the environment, and
/// the one that is written to, where they are there.
fn ledgers_to_read(path: &Path) -> LedgerArgs {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let is_there = |path: &PathBuf| !path.symlink_metadata().is_err_and(|error| gone(&error));
    let files = [Some(path.to_owned()), ledgers::from_environment()];
    let files = files.into_iter().flatten().filter(is_there);
    LedgerArgs { ledger: files.collect(), dir: Vec::new(), everywhere: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_kind_and_number_or_by_name() {
        let of = |text: &str| number(OsStr::new(text));
        let file = |name: &str| Ok((Kind::Posix, -1, name.as_bytes().to_vec()));
        assert_eq!(of("0"), Ok((Kind::Shm, 0, vec![])));
        assert_eq!(of("shm:7"), Ok((Kind::Shm, 7, vec![])));
        assert_eq!(of("sem:32768"), Ok((Kind::Sem, 32768, vec![])));
        assert_eq!(of("msg:1"), Ok((Kind::Msg, 1, vec![])));
        assert_eq!(of("/PostgreSQL.1"), file("PostgreSQL.1"));
        assert_eq!(of("/dev/shm/12"), file("12"));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for text in ["", "/", "-1", "+1", "name", "sem:", "sem:x", "msg:-1", "2147483648", "0x1"] {
            assert!(number(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
