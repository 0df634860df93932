//! The database servers of this host, however they were started, and whether each is covered: if
//! everything of it is killed now, something that needs no person removes what is left.
//!
//! Nothing is changed, nothing is attached. What a user keeps is asked for with that user's rights,
//! in a child, for a short time.

mod claims;
mod cover;
mod facts;
mod sweepers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use shmwarden::engine::Engine;
use shmwarden::judge::status::{Judged, Status, Subject};

use crate::finding::Finding;
use crate::render::text;
use crate::view::View;
use cover::Verdict;
use facts::Facts;

/// What covers a server, or why it needs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Covered {
    /// A launcher that lives.
    Run,
    /// A guardian that lives.
    InPlace,
    /// The service for the whole host.
    Watch,
    /// A ledger that names it, and something that sweeps it afterwards.
    Record,
    /// Nothing.
    None,
    /// An IPC namespace of its own, which ends with it.
    Private,
    /// Nothing yet: it has only just begun.
    Starting,
    /// Nothing, and nothing is wanted (`SHMWARDEN_WATCH=0`).
    Ignored,
    /// That could not be seen from here.
    Unknown,
}

impl Covered {
    /// Every one.
    pub(crate) const ALL: [Self; 9] = [
        Self::Run,
        Self::InPlace,
        Self::Watch,
        Self::Record,
        Self::None,
        Self::Private,
        Self::Starting,
        Self::Ignored,
        Self::Unknown,
    ];

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::InPlace => "in-place",
            Self::Watch => "watch",
            Self::Record => "record",
            Self::None => "none",
            Self::Private => "private",
            Self::Starting => "starting",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of a server that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It takes no connections yet.
    Starting,
    /// It runs.
    Live,
    /// It runs, and someone else removed memory that it still uses.
    Robbed,
}

impl State {
    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Robbed => "robbed",
        }
    }
}

/// A server that lives.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) pid: i32,
    pub(crate) engine: Engine,
    /// The file that it executes, where that could be seen.
    pub(crate) program: Option<PathBuf>,
    pub(crate) uid: u32,
    /// Its data directory, for an engine that has one.
    pub(crate) data: Option<PathBuf>,
    /// The unit that it runs in, the system's or its user's own.
    pub(crate) unit: Option<String>,
    /// The ledger that claims it, and what its instance is called.
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) instance: Option<String>,
    pub(crate) covered: Covered,
    pub(crate) state: State,
    /// Its objects: of a server in no ledger, the segments that it and its children have made;
    /// `None` where its IPC namespace is another.
    pub(crate) objects: Option<(u64, u64)>,
    /// The time at which its ledger took it in.
    pub(crate) since: Option<SystemTime>,
    /// The reason, as a sentence; foreign names in it are not yet safe for a terminal.
    pub(crate) why: String,
    /// The command that does what is left to do.
    pub(crate) fix: Option<String>,
}

/// The number of servers that are not covered.
pub(crate) fn uncovered(servers: &[Server]) -> usize {
    servers.iter().filter(|server| server.covered == Covered::None).count()
}

/// The servers of a view that has looked for servers, by their pids.
pub(crate) fn find(view: &View) -> Vec<Server> {
    let facts = facts::gather(view);
    if facts.is_empty() {
        return Vec::new();
    }
    let judged = view.judge();
    let mut sweepers = None;
    let mut servers: Vec<Server> = facts
        .into_iter()
        .map(|facts| {
            let claims = claims::of(view, &facts);
            let asked = || sweepers.get_or_insert_with(|| sweepers::ask(view)).clone();
            let verdict = cover::judge(&facts, &claims, asked);
            server(view, &judged, facts, claims.claim, verdict)
        })
        .collect();
    // What has nothing that it could leave needs no cover, whatever its user calls it.
    let has_nothing = |server: &Server| server.objects == Some((0, 0));
    let is_seen = view.look.segments.is_whole();
    let is_open = |server: &Server| {
        matches!(server.covered, Covered::None | Covered::Starting | Covered::Unknown)
    };
    servers.retain(|one| !is_open(one) || !is_seen || !has_nothing(one));
    servers.sort_by_key(|server| server.pid);
    servers
}

fn server(
    view: &View,
    judged: &[Judged<'_>],
    facts: Facts,
    claim: Option<claims::Claimed>,
    verdict: Verdict,
) -> Server {
    let account = account_of(view, claim.as_ref().map(|claim| claim.ledger.as_path()));
    let objects = facts.ipc.is_ours().then(|| match account {
        Some(account) => sum(judged
            .iter()
            .filter(|one| one.account == Some(account) && one.verdict == Status::Live)
            .map(|one| one.subject)),
        None => sum(made_by(view, facts.process.pid, facts.uid)),
    });
    let is_robbed = account.is_some_and(|account| view.robbed.iter().any(|(of, _)| *of == account));
    Server {
        pid: facts.process.pid,
        engine: facts.engine,
        program: facts.program,
        uid: facts.uid,
        unit: facts.unit.or(facts.users_unit),
        data: facts.data,
        covered: verdict.covered,
        state: match (is_robbed, facts.is_starting) {
            (true, _) => State::Robbed,
            (false, true) => State::Starting,
            (false, false) => State::Live,
        },
        objects,
        since: claim.as_ref().map(|claim| claim.since),
        why: verdict.why,
        fix: verdict.fix,
        instance: claim.as_ref().map(|claim| claim.instance.clone()),
        ledger: claim.map(|claim| claim.ledger),
    }
}

/// The segments that a process of this user and its children have made.
fn made_by(view: &View, pid: i32, uid: u32) -> impl Iterator<Item = Subject<'_>> {
    let makers = makers(view, pid);
    let rows = view
        .look
        .segments
        .seen()
        .filter(move |row| row.perm.creator_uid == uid && makers.contains(&row.creator_pid));
    rows.map(Subject::Shm)
}

/// A process and its children.
fn makers(view: &View, pid: i32) -> BTreeSet<i32> {
    let children = view.look.processes.seen().filter(|process| process.parent == pid);
    children.map(|child| child.process.pid).chain([pid]).collect()
}

/// Their number and size.
fn sum<'a>(subjects: impl Iterator<Item = Subject<'a>>) -> (u64, u64) {
    subjects.fold((0, 0), |(count, bytes), subject| {
        (count + 1, u64::saturating_add(bytes, subject.bytes().unwrap_or(0)))
    })
}

/// A server that is not covered, by what its objects are known.
#[derive(Debug, Clone)]
pub(crate) struct Exposed {
    /// The account that its ledger is.
    account: Option<usize>,
    /// It and its children.
    makers: BTreeSet<i32>,
}

impl Exposed {
    /// Checks that an object is this server's.
    pub(crate) fn has(&self, one: &Judged<'_>) -> bool {
        match (one.subject, one.account) {
            (_, Some(account)) => self.account == Some(account) && one.verdict == Status::Live,
            (Subject::Shm(row), None) => self.makers.contains(&row.creator_pid),
            (Subject::Sem(_) | Subject::Msg(_) | Subject::Posix(_), None) => false,
        }
    }
}

/// Returns those of these servers that are not covered, by what their objects are known.
pub(crate) fn exposed(view: &View, servers: &[Server]) -> Vec<Exposed> {
    let uncovered = servers.iter().filter(|server| server.covered == Covered::None);
    let exposed = uncovered.map(|server| Exposed {
        account: account_of(view, server.ledger.as_deref()),
        makers: makers(view, server.pid),
    });
    exposed.collect()
}

fn account_of(view: &View, ledger: Option<&Path>) -> Option<usize> {
    let ledger = ledger?;
    view.accounts.iter().position(|account| account.source.0 == ledger)
}

/// Findings on servers that are not covered.
pub(crate) fn findings(servers: &[Server]) -> Vec<Finding> {
    let uncovered = servers.iter().filter(|server| server.covered == Covered::None);
    let finding = |server: &Server| {
        let place = server.data.as_ref().map(|data| format!(" in {}", data.to_string_lossy()));
        let said = format!(
            "the {} server process {} of user {}{} is not covered: {}; what a crash of it leaves \
             stays",
            server.engine,
            server.pid,
            text::user(server.uid),
            place.unwrap_or_default(),
            server.why
        );
        Finding::warn("uncovered", said, server.fix.clone().unwrap_or_default())
    };
    let found: Vec<Finding> = uncovered.map(finding).collect();
    match found.is_empty() {
        true => vec![Finding::ok("uncovered", "no server was found that is not covered")],
        false => found,
    }
}

/// How many servers each word stands for, those that it stands for none of included.
pub(crate) fn counts(servers: &[Server]) -> BTreeMap<Covered, u64> {
    let mut counts: BTreeMap<Covered, u64> = Covered::ALL.map(|covered| (covered, 0)).into();
    for server in servers {
        *counts.entry(server.covered).or_default() += 1;
    }
    counts
}
