//! One look at everything, with what the ledgers say: what `list` and `who` show. Locks nothing,
//! writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shmwarden::judge::status::holders::Uses;
use shmwarden::judge::status::{
    self, Account, Alone, Judged, Kind, Status, Subject, Unlooked, Whose, Why,
};
use shmwarden::ledger::Book;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::ledger::record::Role;
use shmwarden::object::{Identity, Place, ShmFile};
use shmwarden::proc::locks::Flock;
use shmwarden::proc::read;
use shmwarden::snapshot::{self, Scope, Snapshot, Table, contents, place, processes};
use shmwarden::sweep;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

use crate::cli::listing::LedgerArgs;
use crate::exit;
use crate::ledgers::robbery::{self, Lost};
use crate::ledgers::{self, Found, Looked, Reach};

/// What to look at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Segments are always looked at: the tables of others cost nothing where they are left out.
    pub(crate) sets: bool,
    pub(crate) queues: bool,
    pub(crate) files: bool,
    /// What each process maps.
    pub(crate) maps: bool,
    /// Whose each process is; `who` can often do without.
    pub(crate) owners: bool,
    /// Resident memory, and the command lines of creators.
    pub(crate) details: bool,
    /// Which processes are servers, and where they work.
    pub(crate) servers: bool,
    /// Every ledger that was read, also those that bear on nothing that is here.
    pub(crate) ledgers: bool,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct View {
    /// The kernel.
    pub(crate) look: Snapshot,
    /// The ledgers that bear on what is here.
    pub(crate) accounts: Vec<Account>,
    /// Path and instance of each.
    pub(crate) sources: Vec<Source>,
    /// The exit status that the ledgers call for.
    pub(crate) status: u8,
    /// Why a ledger could not be read.
    pub(crate) errors: Vec<Error>,
    /// Where ledgers may be that could not be read.
    pub(crate) unlooked: Vec<Unlooked>,
    /// Where ledgers were looked for.
    pub(crate) looked: Vec<Looked>,
    /// What could not be looked at, and what was named and is not there, as sentences.
    pub(crate) troubles: Vec<String>,
    /// Every ledger that was read, where they are wanted.
    pub(crate) ledgers: Vec<Read>,
    /// What no map shows, where it was looked for.
    pub(crate) uses: Uses,
    /// What living servers were robbed of, each with its account, where it was looked for.
    pub(crate) robbed: Vec<(usize, Lost)>,
}

/// Where an account comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) instance: String,
}

/// A ledger that was read, with what it says.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) source: Source,
    /// Its owner.
    pub(crate) uid: u32,
    pub(crate) book: Book,
}

/// The ledgers that were read.
#[derive(Default)]
struct Books {
    /// Those that bear on what is here.
    ledgers: Vec<Ledger>,
    all: Vec<Read>,
    errors: Vec<Error>,
    unlooked: Vec<Unlooked>,
    looked: Vec<Looked>,
    troubles: Vec<String>,
    status: u8,
}

impl Source {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), instance: ledgers::instance(path) }
    }
}

impl View {
    /// Reads the ledgers, then looks; logs which ledgers could not be read, nor be looked for.
    pub(crate) fn take(args: &LedgerArgs, wanted: Wanted) -> Result<Self> {
        let view = Self::take_quietly(args, wanted)?;
        view.troubles.iter().for_each(|trouble| log::warn!("{trouble}"));
        for error in &view.errors {
            log::error!("{}", ledgers::trouble(error));
        }
        Ok(view)
    }

    /// Reads the ledgers, then looks.
    pub(crate) fn take_quietly(args: &LedgerArgs, wanted: Wanted) -> Result<Self> {
        // Ledgers first: who is claimed in one is in the look then, unless he has ended.
        let mut books = read_all(args, &place::here()?, wanted.ledgers);
        let scope = Scope {
            processes: true,
            maps: wanted.maps,
            // To judge the life of an instance takes a look into every process.
            brief: books.ledgers.is_empty() && !wanted.servers,
            control_groups: !books.ledgers.is_empty() || wanted.servers,
            sets: wanted.sets,
            queues: wanted.queues,
            resident: wanted.details,
            files: wanted.files,
        };
        let look = snapshot::take(scope)?;
        let mut view = Self {
            look,
            accounts: Vec::new(),
            sources: books.sources(),
            status: books.status,
            errors: std::mem::take(&mut books.errors),
            unlooked: std::mem::take(&mut books.unlooked),
            looked: std::mem::take(&mut books.looked),
            troubles: std::mem::take(&mut books.troubles),
            ledgers: std::mem::take(&mut books.all),
            uses: Uses::default(),
            robbed: Vec::new(),
        };
        view.finish(&books, scope, wanted)?;
        if !scope.maps && view.wants_maps() {
            let scope = Scope { maps: true, ..scope };
            let found = processes::with_keys(scope, &mut view.look.keys)?;
            view.look.processes = Table::Whole(found);
            view.finish(&books, scope, wanted)?;
        }
        view.look_at_unused_files();
        for trouble in &view.look.trouble {
            log::warn!("{trouble}");
        }
        if wanted.details {
            view.add_commands_of_creators();
        }
        Ok(view)
    }

    fn finish(&mut self, books: &Books, scope: Scope, wanted: Wanted) -> Result<()> {
        // Whoever came since may have made, or hold, what seems to be left over.
        processes::add_new(&mut self.look, scope)?;
        if scope.brief && wanted.owners {
            processes::add_owners(&mut self.look.processes);
        }
        let makers = self.look.segments.seen().filter(|row| row.nattch == 0);
        let makers = makers.map(|row| row.creator_pid).collect();
        snapshot::tables::add_hidden(&mut self.look, makers);
        self.accounts = books.accounts(&mut self.look)?;
        Ok(())
    }

    /// Whether the verdict on a file hangs on who maps it.
    fn wants_maps(&self) -> bool {
        let hangs = |one: &Judged<'_>| {
            let perhaps = Why::Alone(Alone::PerhapsMapped(0)).code();
            let left = matches!(one.verdict, Status::Held | Status::Stale | Status::Left);
            one.subject.kind() == Kind::Posix && (left || one.why.code() == perhaps)
        };
        let files = self.look.files.seen().next().is_some();
        files && self.judge().iter().any(hangs)
    }

    /// Looks for who has those files open or locked that nobody seems to use.
    fn look_at_unused_files(&mut self) {
        let unused = self.judge().into_iter().filter(|one| one.verdict == Status::Orphan);
        let unused: Vec<_> = unused.filter_map(|one| one.subject.identity()).collect();
        let is_unused = |file: &&ShmFile| unused.contains(&Identity::Posix((*file).clone()));
        let files = self.look.files.seen().map(|file| &file.identity);
        let files: Vec<ShmFile> = files.filter(is_unused).cloned().collect();
        if !files.is_empty() {
            let found = snapshot::opened::look(&self.look.processes, &files);
            self.look.opened.add(found);
        }
    }

    fn add_commands_of_creators(&mut self) {
        let creators = self.look.segments.seen().map(|row| row.creator_pid);
        let creators: BTreeSet<i32> = creators.collect();
        for process in self.look.processes.rows_mut() {
            if creators.contains(&process.process.pid) {
                processes::add_command(process);
            }
        }
    }

    /// The verdict on each object.
    pub(crate) fn judge(&self) -> Vec<Judged<'_>> {
        status::statuses(&self.look, &self.accounts, &self.unlooked)
    }

    /// Looks what living servers were robbed of: what the ledgers say, and what is proven now.
    pub(crate) fn look_for_robbery(&mut self) {
        let books = self.accounts.iter().map(|account| &account.book).enumerate();
        self.robbed = robbery::now(books, &self.look.place);
    }

    /// Returns the accounts whose servers were robbed, each with what of.
    pub(crate) fn robbed_accounts(&self) -> BTreeMap<usize, Vec<&Lost>> {
        let mut accounts: BTreeMap<usize, Vec<&Lost>> = BTreeMap::new();
        for (account, lost) in &self.robbed {
            accounts.entry(*account).or_default().push(lost);
        }
        accounts
    }

    /// Whether a ledger or place that was named is not there.
    pub(crate) fn lacks_what_was_named(&self) -> bool {
        self.looked.iter().any(Looked::lacks)
    }

    /// The ledger that a verdict comes from.
    pub(crate) fn source(&self, account: Option<usize>) -> Option<&Source> {
        self.sources.get(account?)
    }

    /// Looks for the uses of these objects that no map shows.
    pub(crate) fn add_uses(&mut self, kinds: &BTreeSet<Kind>, files: &[Vec<u8>]) {
        let sets = kinds.contains(&Kind::Sem) && self.look.sets.seen().next().is_some();
        let queues = kinds.contains(&Kind::Msg) && self.look.queues.seen().next().is_some();
        if sets || queues {
            let waits = snapshot::uses::waits(&self.look.processes);
            self.uses.blocked = waits.blocked;
            self.uses.closed = waits.unasked;
        }
        for file in self.look.files.seen().map(|file| &file.identity) {
            if files.contains(&file.name.0) {
                let (open, closed) = snapshot::uses::open(&self.look.processes, file);
                let of = file.file;
                self.uses.open.extend(open.into_iter().map(|found| (of, found)));
                self.uses.closed.extend(closed);
            }
        }
        let last_users: BTreeSet<i32> = Subject::all(&self.look).flat_map(last_users).collect();
        let users = self.uses.blocked.iter().map(|found| found.pid);
        let users = users.chain(self.uses.open.iter().map(|(_, found)| found.pid));
        let users: BTreeSet<i32> = users.chain(last_users).collect();
        for process in self.look.processes.rows_mut() {
            if users.contains(&process.process.pid) {
                processes::add_command(process);
            }
        }
    }
}

fn last_users(subject: Subject<'_>) -> Vec<i32> {
    match subject {
        Subject::Sem(set) => {
            set.members.as_ref().map_or_else(Vec::new, |members| members.operators.clone())
        }
        Subject::Msg(row) => vec![row.last_sender, row.last_receiver],
        Subject::Shm(row) if row.nattch == 0 => vec![row.last_pid],
        Subject::Shm(_) | Subject::Posix(_) => Vec::new(),
    }
}

impl Books {
    /// Notes that a ledger could not be read: what it says is not known then.
    fn failed(&mut self, path: &Path, uid: Option<u32>, error: Error) {
        let status = match &error {
            Error::Missing { .. } => exit::NO_SUCH_OBJECT,
            other => exit::status_of(other),
        };
        self.status = exit::worse(self.status, status);
        if let Some(looked) = self.looked.last_mut().filter(|_| uid.is_none()) {
            looked.is_missing = matches!(error, Error::Missing { .. });
            looked.error = (!looked.is_missing).then(|| error.to_string());
            looked.ledgers = 0;
        }
        if !matches!(error, Error::Missing { .. } | Error::NotALedger { .. }) {
            let place = path.to_string_lossy().into_owned();
            let whose = match uid {
                None => Whose::Anybody,
                Some(0) if user::effective() != 0 => Whose::RootsAlone,
                Some(0) => Whose::Anybody,
                Some(uid) => Whose::User(uid),
            };
            self.unlooked.push(Unlooked { place, whose });
        }
        self.errors.push(error);
    }

    fn sources(&self) -> Vec<Source> {
        self.ledgers.iter().map(|ledger| Source::of(ledger.path())).collect()
    }

    fn accounts(&self, look: &mut Snapshot) -> Result<Vec<Account>> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut flocks = None;
        let mut accounts = Vec::new();
        for ledger in &self.ledgers {
            sweep::look_at_directories(ledger, look)?;
            sweep::look_for_hidden(ledger, look);
            look.controls = lists(ledger)?;
            let mut account = Account::new(ledger.book.clone(), look, None, own);
            if !account.lives() {
                // Asked for the dead alone: the kernel stops every lock for it, some 10 ms long.
                let flocks = flocks.get_or_insert_with(|| read::flocks().unwrap_or_default());
                if let Some(pid) = locked_by(ledger.path(), flocks) {
                    account = Account::new(ledger.book.clone(), look, Some(pid), own);
                }
            }
            account.source = (ledger.path().to_owned(), ledger.owner().0);
            accounts.push(account);
        }
        // Last: it adds to those whom `/proc` does not show, and each ledger begins those anew.
        for (ledger, account) in self.ledgers.iter().zip(&accounts) {
            if !account.lives() {
                sweep::look_at_calls(ledger, look, true);
                sweep::look_at_files(ledger, look);
                sweep::look_for_last_users(ledger, look);
            }
        }
        Ok(accounts)
    }
}

/// The lists of an instance's own that can be read without attaching them.
fn lists(ledger: &Ledger) -> Result<Vec<(Identity, Vec<u8>)>> {
    let acting = ledger.as_owner()?;
    let (mut found, mut room) = (Vec::new(), contents::Room::default());
    for object in ledger.book.open_objects().filter(|object| object.role == Role::Control) {
        let run = ledger.book.runs.get(&object.run);
        let claims = run.map(|run| run.claims.iter().map(|claim| claim.process.pid));
        let pids: Vec<i32> = claims.into_iter().flatten().collect();
        if !room.take_all(&object.identity) {
            continue;
        }
        let bytes = contents::of_control_unattached(&object.identity, &pids);
        found.extend(bytes.map(|bytes| (object.identity.clone(), bytes)));
    }
    drop(acting);
    Ok(found)
}

/// Reads every ledger that is meant; `all` keeps those too that bear on nothing that is here.
fn read_all(args: &LedgerArgs, here: &Place, all: bool) -> Books {
    let mut books = Books::default();
    let mut allowance = Allowance::default();
    let (named, found) = sources(args, here);
    books.troubles = found.troubles();
    let named = named.into_iter().map(|path| (path, None));
    let others = found.ledgers.into_iter().map(|(path, uid)| (path, Some(uid)));
    for (path, uid) in named.chain(others) {
        if uid.is_none() {
            books.looked.push(Looked::named(&path));
        }
        let read = Ledger::open(&path, For::Reading).and_then(|mut ledger| {
            allowance.take(&ledger)?;
            ledger.read_whole()?;
            Ok(ledger)
        });
        match read {
            Ok(ledger) => {
                if all {
                    let (source, uid) = (Source::of(&path), ledger.owner().0);
                    books.all.push(Read { source, uid, book: ledger.book.clone() });
                }
                if status::is_of_interest(&ledger.book, here) {
                    books.ledgers.push(ledger);
                }
            }
            // It went while it was looked for.
            Err(error @ Error::Missing { .. }) if uid.is_some() => log::debug!("{error}"),
            Err(error) => books.failed(&path, uid, error),
        }
    }
    books.unlooked.extend(found.unlooked);
    books.looked.extend(found.looked);
    books.status = exit::worse(books.status, found.status);
    books
}

/// The ledgers that are named, and those that were found: of all places where none is named, and
/// of `--dir`.
fn sources(args: &LedgerArgs, here: &Place) -> (Vec<PathBuf>, Found) {
    let absolute = |path: &PathBuf| ledgers::absolute(path);
    let mut named: Vec<PathBuf> = args.ledger.iter().map(absolute).collect();
    let directories: Vec<PathBuf> = args.dir.iter().map(absolute).collect();
    if named.is_empty() && directories.is_empty() {
        named.extend(ledgers::from_environment());
    }
    named.sort();
    named.dedup();
    let everywhere = named.is_empty() || args.everywhere;
    let reach = if everywhere { Reach::Everywhere } else { Reach::Named };
    let mut found = ledgers::find(&directories, reach, here);
    if found.lacks_a_named_place() {
        found.status = exit::worse(found.status, exit::NO_SUCH_OBJECT);
    }
    found.ledgers.retain(|(path, _)| !named.contains(path));
    (named, found)
}

/// Who has a ledger locked, as far as that shows without trying: a try would be in the way of a
/// `run` that starts at this moment.
fn locked_by(path: &Path, flocks: &[Flock]) -> Option<i32> {
    let file = std::fs::symlink_metadata(path).ok()?;
    let (dev, ino) = (file.dev(), file.ino());
    let is_it = |lock: &&Flock| {
        nix::libc::makedev(lock.dev_major, lock.dev_minor) == dev && lock.inode == ino
    };
    flocks.iter().find(is_it).map(|lock| lock.pid)
}
