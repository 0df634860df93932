//! One look at everything, with what the ledgers say: what `list` and `who` show. Locks nothing,
//! writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use shmwarden::judge::Reason;
use shmwarden::judge::status::{self, Account, Judged, Kind, Status, Subject, Unlooked, Whose};
use shmwarden::ledger::Book;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::ledger::record::Role;
use shmwarden::object::{Place, ShmFile};
use shmwarden::proc::locks::Flock;
use shmwarden::proc::read;
use shmwarden::snapshot::{self, Scope, Snapshot, owners, place};
use shmwarden::sweep;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

use crate::cli::LedgerArgs;
use crate::exit;
use crate::ledgers::robbery::{self, Lost};
use crate::ledgers::{self, Found, Looked, Reach};
use crate::servers::Exposed;

/// Rounds in which users are found who had no object before, and have ledgers.
const ROUNDS: usize = 3;

/// The parts of the system that a command wants looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Segments are always looked at: the tables of others cost nothing where they are left out.
    pub(crate) sets: bool,
    pub(crate) queues: bool,
    pub(crate) files: bool,
    /// The mappings of each process.
    pub(crate) maps: bool,
    /// Whose each process is; `who` can often do without.
    pub(crate) owners: bool,
    /// Resident memory, and the command lines of creators.
    pub(crate) details: bool,
    /// The servers among the processes, and their data directories.
    pub(crate) servers: bool,
    /// Every ledger that was read, also those that bear on nothing that is here.
    pub(crate) ledgers: bool,
}

/// One look, with the ledgers that were read.
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
    /// Errors of ledgers that could not be read.
    pub(crate) errors: Vec<Error>,
    /// Places where unread ledgers may be.
    pub(crate) unlooked: Vec<Unlooked>,
    /// Places that were searched for ledgers.
    pub(crate) looked: Vec<Looked>,
    /// What could not be looked at, and what was named and does not exist, as sentences.
    pub(crate) troubles: Vec<String>,
    /// Every ledger that was read, where they are wanted.
    pub(crate) ledgers: Vec<Read>,
    /// Objects that living servers lost, each with the index of its account, where they were looked
    /// for.
    pub(crate) robbed: Vec<(usize, Lost)>,
    /// Servers that are not covered, where they were looked for.
    pub(crate) exposed: Vec<Exposed>,
}

/// The ledger of an account.
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
    /// Those of them that could not be read.
    unlooked: Vec<Unlooked>,
    /// Those that were named.
    looked: Vec<Looked>,
    /// The ledgers found by the further search.
    found: Found,
    allowance: Allowance,
    /// Set where ledgers are kept too that concern nothing which exists here.
    keeps_all: bool,
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
        let mut books = Books::read(args, &place::here()?, wanted);
        let mut scope = books.scope(wanted);
        let mut look = snapshot::take(scope)?;
        for _ in 0..ROUNDS {
            if !books.read_those_of_owners(&look) {
                break;
            }
            scope = books.scope(wanted);
            look = snapshot::take(scope)?;
        }
        let (look, accounts) = books.bear_on(look, scope, wanted)?;
        let found = std::mem::take(&mut books.found);
        let mut view = Self {
            look,
            accounts,
            sources: books.sources(),
            status: exit::worse(books.status, found.status()),
            errors: std::mem::take(&mut books.errors),
            troubles: found.troubles(),
            unlooked: std::mem::take(&mut books.unlooked)
                .into_iter()
                .chain(found.unlooked)
                .collect(),
            looked: std::mem::take(&mut books.looked).into_iter().chain(found.looked).collect(),
            ledgers: std::mem::take(&mut books.all),
            robbed: Vec::new(),
            exposed: Vec::new(),
        };
        if scope.brief && !wanted.owners && view.wants_owners() {
            let (look, accounts) = books.bear_on(view.look.with_owners(), scope, wanted)?;
            view = Self { look, accounts, ..view };
        }
        if !scope.maps && view.wants_maps() {
            let scope = Scope { maps: true, ..scope };
            let look = view.look.with_maps(scope);
            let (look, accounts) = books.bear_on(look, scope, wanted)?;
            view = Self { look, accounts, ..view };
        }
        let view = view.with_unused();
        for trouble in &view.look.trouble {
            log::warn!("{trouble}");
        }
        let creators = view.look.segments.seen().map(|row| row.creator_pid);
        let creators: BTreeSet<i32> = creators.filter(|_| wanted.details).collect();
        Ok(view.later(|look| look.with_commands(&creators)))
    }

    /// Returns the same with a look that has read more.
    pub(crate) fn later(self, stage: impl FnOnce(Snapshot) -> Snapshot) -> Self {
        Self { look: stage(self.look), ..self }
    }

    /// Checks whether the status of an object hangs on whose each process is.
    fn wants_owners(&self) -> bool {
        self.judge().iter().any(|one| matches!(one.why, Reason::UserUnread(_)))
    }

    /// Checks whether the status of a file hangs on who maps it.
    fn wants_maps(&self) -> bool {
        let hangs = |one: &Judged<'_>| {
            let left = matches!(one.verdict, Status::Held | Status::Stale | Status::Left);
            let perhaps = matches!(one.why, Reason::PerhapsMapped(_) | Reason::Unasked);
            one.subject.kind() == Kind::Posix && (left || perhaps)
        };
        let files = self.look.files.seen().next().is_some();
        files && self.judge().iter().any(hangs)
    }

    /// Looks for the uses of those objects that nobody seems to use: what descriptors, calls and
    /// rights show is worth a look into every process only for them.
    fn with_unused(self) -> Self {
        let unattached = |one: &Subject<'_>| !matches!(one, Subject::Shm(row) if row.nattch > 0);
        let unused = || Subject::all(&self.look).filter(unattached);
        let last: BTreeSet<i32> = unused().flat_map(last_users).collect();
        let callers = unused().any(|one| one.permissions() & 0o066 != 0);
        let view = self.later(|look| {
            let look = look.with_last_users(last);
            if callers { look.with_callers() } else { look }
        });
        let nobody = |one: &Subject<'_>| matches!(one, Subject::Msg(_) | Subject::Posix(_));
        if !Subject::all(&view.look).any(|one| nobody(&one)) {
            return view;
        }
        let judged = view.judge();
        let queue = |one: &Judged<'_>| one.subject.kind() == Kind::Msg && one.account.is_none();
        let waits = judged.iter().any(|one| queue(one) && one.why == Reason::LastUserUnseen);
        let files = judged.iter().filter(|one| {
            matches!(one.verdict, Status::Orphan | Status::Idle)
                || matches!(one.why, Reason::PidsElsewhere | Reason::UserUnread(_))
                || matches!(one.why, Reason::PerhapsMapped(_) | Reason::Unasked | Reason::AnyFile)
        });
        let files = files.filter_map(|one| match one.subject {
            Subject::Posix(file) => Some(file.identity.clone()),
            Subject::Shm(_) | Subject::Sem(_) | Subject::Msg(_) => None,
        });
        let files: Vec<ShmFile> = files.collect();
        view.later(|look| {
            let look = look.with_opened(&files);
            if waits { look.with_waits() } else { look }
        })
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

    /// Checks that a ledger or place that was named does not exist.
    pub(crate) fn lacks_what_was_named(&self) -> bool {
        self.looked.iter().any(Looked::lacks)
    }

    /// The ledger that a verdict comes from.
    pub(crate) fn source(&self, account: Option<usize>) -> Option<&Source> {
        self.sources.get(account?)
    }

    /// Looks for the uses of these objects that no map shows.
    pub(crate) fn with_uses(self, kinds: &BTreeSet<Kind>, files: &[Vec<u8>]) -> Self {
        let sets = kinds.contains(&Kind::Sem) && self.look.sets.seen().next().is_some();
        let queues = kinds.contains(&Kind::Msg) && self.look.queues.seen().next().is_some();
        let meant = self.look.files.seen().filter(|file| files.contains(&file.name.0));
        let meant: Vec<ShmFile> = meant.map(|file| file.identity.clone()).collect();
        let view = self.later(|look| {
            let look = look.with_opened(&meant);
            if sets || queues { look.with_waits() } else { look }
        });
        let last_users = Subject::all(&view.look).flat_map(last_users);
        let blocked = view.look.waits.iter().flat_map(|waits| &waits.blocked);
        let users = last_users.chain(blocked.map(|found| found.pid));
        let users: BTreeSet<i32> = users.chain(view.look.opened.by.iter().map(|by| by.1)).collect();
        view.later(|look| look.with_commands(&users))
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
    /// Reads every ledger that is meant, but those of users of whom only an object is known: the
    /// look has yet to show them.
    fn read(args: &LedgerArgs, here: &Place, wanted: Wanted) -> Self {
        let (named, found) = sources(args, here, wanted.servers);
        let mut books = Self { found, keeps_all: wanted.ledgers, ..Self::default() };
        for path in named {
            books.looked.push(Looked::named(&path));
            books.take_in(&path, None, here);
        }
        for (path, uid) in books.found.ledgers.clone() {
            books.take_in(&path, Some(uid), here);
        }
        books
    }

    /// Reads those of users who own an object and were not asked about yet; whether one of them
    /// bears on what is here.
    fn read_those_of_owners(&mut self, look: &Snapshot) -> bool {
        let before = self.ledgers.len();
        for (path, uid) in self.found.look_at_users(&owners::of(look)) {
            self.take_in(&path, Some(uid), &look.place);
        }
        self.ledgers.len() > before
    }

    /// Reads a ledger, of this user where it was not named but found.
    fn take_in(&mut self, path: &Path, uid: Option<u32>, here: &Place) {
        let allowance = &mut self.allowance;
        let read = Ledger::open(path, For::Reading).and_then(|mut ledger| {
            allowance.take(&ledger)?;
            ledger.read_whole()?;
            Ok(ledger)
        });
        match read {
            Ok(ledger) => {
                if self.keeps_all {
                    let (source, uid) = (Source::of(path), ledger.owner().0);
                    self.all.push(Read { source, uid, book: ledger.book.clone() });
                }
                if status::is_of_interest(&ledger.book, here) {
                    self.ledgers.push(ledger);
                }
            }
            // It went while it was looked for.
            Err(error @ Error::Missing { .. }) if uid.is_some() => log::debug!("{error}"),
            Err(error) => self.failed(path, uid, error),
        }
    }

    /// Returns the scope of the look: the parts that are wanted, and those that the ledgers found
    /// need.
    fn scope(&self, wanted: Wanted) -> Scope {
        Scope {
            processes: true,
            maps: wanted.maps,
            // To judge the life of an instance takes a look into every process.
            brief: self.ledgers.is_empty() && !wanted.servers,
            control_groups: !self.ledgers.is_empty() || wanted.servers,
            // What a ledger has is judged as a whole, whichever kind was asked for.
            sets: wanted.sets || self.have(Kind::Sem),
            queues: wanted.queues || self.have(Kind::Msg),
            resident: wanted.details,
            files: wanted.files || self.have(Kind::Posix),
        }
    }

    /// Checks for an open object of a kind in one of the ledgers.
    fn have(&self, kind: Kind) -> bool {
        let mut open = self.ledgers.iter().flat_map(|ledger| ledger.book.open_objects());
        open.any(|object| object.identity.kind() == kind.word())
    }

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

    /// Completes a look with what bears on these ledgers, and judges each of them by it.
    fn bear_on(
        &self,
        look: Snapshot,
        scope: Scope,
        wanted: Wanted,
    ) -> Result<(Snapshot, Vec<Account>)> {
        // Whoever came since may have made, or hold, what seems to be left over.
        let mut look = look.with_newcomers(scope)?;
        if scope.brief && wanted.owners {
            look = look.with_owners();
        }
        let unattached = look.segments.seen().filter(|row| row.nattch == 0);
        let makers = unattached.map(|row| row.creator_pid);
        let pids = Subject::all(&look).flat_map(last_users).chain(makers).collect();
        self.accounts(look.with_pids(pids))
    }

    fn accounts(&self, mut look: Snapshot) -> Result<(Snapshot, Vec<Account>)> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut flocks = None;
        let mut accounts = Vec::new();
        for ledger in &self.ledgers {
            look = sweep::look_at_directories(ledger, look);
            look = read_own_lists(ledger, sweep::look_for_hidden(ledger, look))?;
            let mut account = Account::new(ledger.book.clone(), &look, None, own);
            if !account.lives() {
                // Asked for the dead alone: the kernel stops every lock for it, some 10 ms long.
                let flocks = flocks.get_or_insert_with(|| read::flocks().unwrap_or_default());
                if let Some(pid) = locked_by(ledger.path(), flocks) {
                    account = Account::new(ledger.book.clone(), &look, Some(pid), own);
                }
            }
            account.source = (ledger.path().to_owned(), ledger.owner().0);
            accounts.push(account);
        }
        for (ledger, account) in self.ledgers.iter().zip(&accounts) {
            if !account.lives() {
                look = sweep::look_at_calls(ledger, look, true);
                look = sweep::look_at_files(ledger, look);
                look = sweep::look_for_last_users(ledger, look);
            }
        }
        Ok((look, accounts))
    }
}

/// Reads the lists of an instance's own that need no attach, in place of another ledger's.
fn read_own_lists(ledger: &Ledger, look: Snapshot) -> Result<Snapshot> {
    let acting = ledger.as_owner()?;
    let mut look = look.without_lists();
    for object in ledger.book.open_objects().filter(|object| object.role == Role::Control) {
        let run = ledger.book.runs.get(&object.run);
        let claims = run.map(|run| run.claims.iter().map(|claim| claim.process.pid));
        let pids: Vec<i32> = claims.into_iter().flatten().collect();
        look = look.with_living_lists(std::slice::from_ref(&object.identity), &pids);
    }
    drop(acting);
    Ok(look)
}

/// The ledgers that are named, and those that were found: of all places where none is named, and
/// of `--dir`. Who asks for `servers` wants what launchers have open, too.
fn sources(args: &LedgerArgs, here: &Place, servers: bool) -> (Vec<PathBuf>, Found) {
    let absolute = |path: &PathBuf| ledgers::absolute(path);
    let mut named: Vec<PathBuf> = args.ledger.iter().map(absolute).collect();
    let directories: Vec<PathBuf> = args.dir.iter().map(absolute).collect();
    if named.is_empty() && directories.is_empty() {
        named.extend(ledgers::from_environment());
    }
    named.sort();
    named.dedup();
    let everywhere = named.is_empty() || args.everywhere;
    let reach = match (everywhere, servers) {
        (true, true) => Reach::EverywhereAndOpen,
        (true, false) => Reach::EverywhereButOwners,
        (false, _) => Reach::Named,
    };
    let mut found = ledgers::find(&directories, reach, here);
    found.ledgers.retain(|(path, _)| !named.contains(path));
    (named, found)
}

/// Returns the pid that has a ledger locked, from the kernel's table of locks: trying the lock
/// could make a `run` fail that starts at this moment.
fn locked_by(path: &Path, flocks: &[Flock]) -> Option<i32> {
    let file = std::fs::symlink_metadata(path).ok()?;
    let (dev, ino) = (file.dev(), file.ino());
    let is_it = |lock: &&Flock| {
        nix::libc::makedev(lock.dev_major, lock.dev_minor) == dev && lock.inode == ino
    };
    flocks.iter().find(is_it).map(|lock| lock.pid)
}

/// A user by name, or by number where the account may be gone.
pub(crate) fn uid(name: &str) -> std::result::Result<u32, String> {
    let named = User::from_name(name).ok().flatten();
    let number = || name.parse().map_err(|_| name.to_owned());
    named.map_or_else(number, |user| Ok(user.uid.as_raw()))
}
