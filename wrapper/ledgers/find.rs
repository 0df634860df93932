//! Finds the ledgers of this machine: the one answer to where they are, for every command that is
//! told none.
//!
//! Whoever is not root is shown his own alone. It must never take a place that could not be looked
//! at for an empty one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::object::Place as Here;
use shmwarden::snapshot::owners::{self, Owners};
use shmwarden::sys::user;

use super::reading::{self, Rights, Seen, Spot};
use super::{ROOTS, default_directory, held, listed, started, units, unprivileged, users};
use crate::exit;
use crate::render::text;

/// The source that says that ledgers may be at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An option, or `SHMWARDEN_LEDGER`.
    Named,
    /// It is the caller's own default place.
    Default,
    /// It is the default place of this user, who owns an object or runs a server.
    User(u32),
    /// This unit.
    Unit(String),
    /// This process of this program, which has it open.
    Process(i32),
    /// The environment of this server.
    Server(i32),
    /// A line of `/etc/shmwarden/places`.
    Listed,
}

impl Source {
    /// A word for scripts.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Default => "default",
            Self::User(_) => "user",
            Self::Unit(_) => "unit",
            Self::Process(_) => "process",
            Self::Server(_) => "server",
            Self::Listed => "places",
        }
    }

    /// The unit, the number of the user, or the pid that it is.
    pub(crate) fn by(&self) -> Option<String> {
        match self {
            Self::Unit(unit) => Some(unit.clone()),
            Self::User(uid) => Some(uid.to_string()),
            Self::Process(pid) | Self::Server(pid) => Some(pid.to_string()),
            Self::Named | Self::Default | Self::Listed => None,
        }
    }

    /// Checks whether somebody wrote that place down, who is told where it does not exist.
    fn is_by_name(&self) -> bool {
        matches!(self, Self::Named | Self::Listed)
    }
}

/// A place where ledgers may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) spot: Spot,
    /// The owners of the ledgers there, as far as they are known.
    pub(super) whose: Whose,
}

impl Place {
    /// A place that is looked at with the caller's own rights.
    pub(super) fn new(source: Source, path: PathBuf) -> Self {
        Self { source, spot: Spot { path, rights: None, file: None }, whose: Whose::Anybody }
    }

    /// The same, looked at with the rights of a user, whose ledgers lie there.
    pub(super) fn of_user(self, rights: (u32, u32)) -> Self {
        let rights: Rights = Some(rights).filter(|(uid, _)| *uid != 0);
        let whose = rights.map_or(Whose::Anybody, |(uid, _)| Whose::User(uid));
        Self { spot: Spot { rights, ..self.spot }, whose, ..self }
    }
}

/// The knowledge of a source.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) places: Vec<Place>,
    pub(super) unlooked: Vec<Unlooked>,
    /// Places that were looked at already.
    pub(super) looked: Vec<Looked>,
    /// The exit status that what went wrong calls for.
    pub(super) status: u8,
}

/// A place, and what came of looking there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    /// The number of ledgers that were found there.
    pub(crate) ledgers: usize,
    pub(crate) is_missing: bool,
    /// Why it could not be looked at.
    pub(crate) error: Option<String>,
}

impl Looked {
    /// A ledger that was named, and is there as far as is known.
    pub(crate) fn named(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, source: Source::Named, ledgers: 1, is_missing: false, error: None }
    }

    /// A place that was named, or is one's own, is worth a word whether it is there or not.
    pub(crate) fn is_worth_a_word(&self) -> bool {
        !self.is_missing || self.source == Source::Default || self.source.is_by_name()
    }

    /// Checks that somebody wrote the place down and it is not there.
    pub(crate) fn lacks(&self) -> bool {
        self.is_missing && self.source.is_by_name()
    }
}

/// The ledgers that were found, and where they were looked for.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each once, with its owner, in the order of their paths.
    pub(crate) ledgers: Vec<(PathBuf, u32)>,
    pub(crate) looked: Vec<Looked>,
    /// The places where ledgers may be that were not found.
    pub(crate) unlooked: Vec<Unlooked>,
    /// The exit status that what went wrong calls for, but that something is missing.
    pub(super) status: u8,
    /// Device and inode of each ledger.
    files: BTreeSet<(u64, u64)>,
    /// Set where the places of all users are meant.
    is_everywhere: bool,
    /// Users whose default places were looked at.
    users: BTreeSet<u32>,
}

impl Found {
    /// The exit status that what went wrong calls for; what was named has to be there.
    pub(crate) fn status(&self) -> u8 {
        let lacks = self.looked.iter().any(Looked::lacks);
        exit::worse(self.status, if lacks { exit::NO_SUCH_OBJECT } else { 0 })
    }

    /// The same for `sweep`: at a first start nothing is there yet.
    pub(crate) fn status_of_hook(&self) -> u8 {
        self.status
    }

    /// Looks at the default places of those users that were not looked at yet, as far as the places
    /// of all users are meant; gives the ledgers back that were found.
    pub(crate) fn look_at_users(&mut self, uids: &BTreeSet<u32>) -> Vec<(PathBuf, u32)> {
        if !self.is_everywhere {
            return Vec::new();
        }
        let new = uids.iter().copied().filter(|uid| !self.users.contains(uid));
        let told = users::places(new);
        self.users.extend(uids);
        self.unlooked.extend(told.unlooked);
        let spots: Vec<Spot> = told.places.iter().map(|place| place.spot.clone()).collect();
        let before = self.ledgers.len();
        for (place, seen) in told.places.into_iter().zip(reading::look_at(&spots)) {
            self.take_in(place, seen);
        }
        self.ledgers.get(before..).unwrap_or_default().to_vec()
    }

    /// Logs what could not be looked at, and what was named and is not there.
    pub(crate) fn tell(&self) {
        self.troubles().iter().for_each(|trouble| log::warn!("{trouble}"));
    }

    /// Returns what could not be looked at, and what was named and is not there, as sentences.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let unlooked = self.unlooked.iter().filter(|one| !one.is_barred());
        let unlooked = unlooked.map(|one| format!("{} could not be looked at", one.place));
        let lacking = self.looked.iter().filter(|one| one.lacks()).map(|one| {
            let path = one.path.to_string_lossy();
            match one.source {
                Source::Listed => format!("{path}, which {} names, is not there", listed::FILE),
                _ => format!("there is no directory {path}"),
            }
        });
        unlooked.chain(lacking).map(|line| text::escaped(&line)).collect()
    }
}

/// The extent of a search beyond the directories that were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not at all.
    Named,
    /// To the default place: that of the unit, where a unit's command asks.
    Default,
    /// To every place of this machine as root, else to every place of the caller's own.
    Everywhere,
    /// The same without the places of users of whom only an object is known:
    /// [`Found::look_at_users`] looks there.
    EverywhereButOwners,
    /// The same, with the ledgers that the environment of servers names, and for a user with those
    /// that his own launchers have open, too.
    EverywhereAndOpen,
}

/// Finds the ledgers of these directories, and of the places within reach.
pub(crate) fn find(directories: &[PathBuf], reach: Reach, here: &Here) -> Found {
    let named = directories.iter().map(|path| Place::new(Source::Named, path.clone()));
    let mut told = Told { places: named.collect(), ..Told::default() };
    let is_root = user::effective() == 0;
    match reach {
        Reach::Named => {}
        Reach::Default => told.places.push(Place::new(Source::Default, default_directory())),
        Reach::Everywhere if is_root => told.add(everywhere(&owners::look(Some(here)))),
        Reach::EverywhereButOwners if is_root => told.add(everywhere(&owners::look(None))),
        Reach::EverywhereAndOpen if is_root => {
            let owners = owners::look(None);
            told.add(everywhere(&owners));
            told.add(started::places(&owners.servers));
        }
        Reach::Everywhere | Reach::EverywhereButOwners => {
            told.add(unprivileged::places(user::effective()));
        }
        Reach::EverywhereAndOpen => {
            told.add(unprivileged::places(user::effective()));
            told.add(held::places(&unprivileged::launchers(user::effective())));
            told.add(started::places(&owners::look(None).servers));
        }
    }
    let places = told.places;
    let spots: Vec<Spot> = places.iter().map(|place| place.spot.clone()).collect();
    let seen = match is_root {
        true => reading::look_at(&spots),
        // Nobody's rights but the caller's own are at stake, and nobody's time.
        false => spots.iter().map(reading::look_at_own).collect(),
    };
    let (unlooked, looked, status) = (told.unlooked, told.looked, told.status);
    let mut found = Found { unlooked, looked, status, ..Found::default() };
    found.is_everywhere = is_root && !matches!(reach, Reach::Named | Reach::Default);
    let mut moved = BTreeSet::new();
    for (place, seen) in places.into_iter().zip(seen) {
        match place.source {
            // Written anew, or closed, since it was seen open: looked at once more.
            Source::Process(pid) if seen.is_missing => drop(moved.insert(pid)),
            _ => found.take_in(place, seen),
        }
    }
    let again = held::places(&moved.into_iter().collect::<Vec<_>>());
    found.unlooked.extend(again.unlooked);
    let spots: Vec<Spot> = again.places.iter().map(|place| place.spot.clone()).collect();
    for (place, seen) in again.places.into_iter().zip(reading::look_at(&spots)) {
        found.take_in(place, seen);
    }
    found.ledgers.sort();
    found
}

/// Every place where ledgers of this machine may be, of these users and processes among others.
fn everywhere(owners: &Owners) -> Told {
    let mut told = Told::default();
    let roots = [default_directory(), PathBuf::from(ROOTS)];
    let roots: BTreeSet<PathBuf> = roots.into_iter().collect();
    told.places.extend(roots.into_iter().map(|path| Place::new(Source::Default, path)));
    if let Some(trouble) = &owners.trouble {
        let place = format!("the default places of users ({trouble})");
        told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
    }
    told.add(users::places(owners.users.iter().copied()));
    told.add(held::places(&owners.ours));
    told.add(units::places());
    told.add(listed::places());
    told
}

impl Told {
    fn add(&mut self, other: Self) {
        self.places.extend(other.places);
        self.unlooked.extend(other.unlooked);
        self.looked.extend(other.looked);
        self.status = exit::worse(self.status, other.status);
    }
}

impl Found {
    fn take_in(&mut self, place: Place, seen: Seen) {
        let Place { source, spot, whose } = place;
        if let Source::User(uid) = source {
            self.users.insert(uid);
        }
        let is_held = matches!(source, Source::Process(_));
        let mut error = None;
        for (path, why, uid) in &seen.unread {
            let words = format!("{} ({why})", path.to_string_lossy());
            error.get_or_insert_with(|| why.clone());
            let whose = uid.filter(|uid| *uid != 0).map_or(whose, Whose::User);
            self.unlooked.push(Unlooked { place: words, whose });
            self.status = exit::worse(self.status, exit::PERMISSION);
        }
        if seen.is_missing && is_held {
            let why = "it is another file here, or in another mount namespace";
            let words = format!("{}, which {source} has open ({why})", spot.path.to_string_lossy());
            error = Some(why.to_owned());
            self.unlooked.push(Unlooked { place: words, whose });
        }
        let ledgers = seen.ledgers.len();
        for ledger in seen.ledgers {
            if self.files.insert((ledger.dev, ledger.ino)) {
                self.ledgers.push((ledger.path, ledger.uid));
            }
        }
        let is_missing = seen.is_missing && !is_held;
        self.looked.push(Looked { path: spot.path, source, ledgers, is_missing, error });
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named => f.write_str("an option"),
            Self::Default => f.write_str("the default"),
            Self::User(uid) => write!(f, "user {uid}"),
            Self::Unit(unit) => write!(f, "unit {unit}"),
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Server(pid) => write!(f, "server process {pid}"),
            Self::Listed => f.write_str(listed::FILE),
        }
    }
}
