//! Which ledger claims a server that lives, or claimed an earlier one of its data directory.

use std::path::PathBuf;
use std::time::SystemTime;

use shmwarden::Error;
use shmwarden::judge::status::{Account, Whose};
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::Claim;
use shmwarden::object::ProcessRef;
use shmwarden::snapshot::{Process, Seen, owners, processes};

use super::facts::Facts;
use crate::ledgers;
use crate::view::View;

/// What the ledgers say of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    /// The one that claims it.
    pub(super) claim: Option<Claimed>,
    /// One that claimed an earlier server of its data directory.
    pub(super) earlier: Option<Claimed>,
    /// The launcher or guardian that watches it and whose ledger was deleted, with the name that
    /// this had.
    pub(super) deleted: Option<(i32, PathBuf)>,
    /// A place where ledgers of its user's may be and that could not be looked at.
    pub(super) unlooked: Option<String>,
}

/// The word of a ledger on a server.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) ledger: PathBuf,
    /// The ledger's owner.
    pub(super) owner: u32,
    pub(super) instance: String,
    /// The process that it names.
    pub(super) pid: i32,
    pub(super) since: SystemTime,
    /// Set where that was a `record`, and no launcher.
    pub(super) is_recorded: bool,
    /// The launcher or guardian, and whether it lives.
    pub(super) launcher: i32,
    pub(super) launcher_lives: bool,
}

/// Every process that a ledger claims, as long as it lives, with the owner of the ledger.
pub(super) fn servers(view: &View) -> impl Iterator<Item = (ProcessRef, u32)> {
    view.accounts.iter().flat_map(move |account| {
        let open = account.book.open_runs().filter(move |run| is_of_here(view, account, run));
        let claims = open.filter_map(|run| run.server()).filter(|claim| claim.ended.is_none());
        claims.map(|claim| (claim.process, account.source.1))
    })
}

/// Checks that a ledger of this owner has a say on a process of this user: whoever owns it could
/// have written anything about others into it.
pub(super) fn is_trusted(owner: u32, uid: u32) -> bool {
    [0, uid].contains(&owner)
}

/// Checks that the pids of a run are those of this place.
fn is_of_here(view: &View, account: &Account, run: &Run) -> bool {
    let here = &view.look.place;
    let place = account.book.places.get(run.place);
    place.is_some_and(|place| {
        (&place.boot, &place.pid_namespace) == (&here.boot, &here.pid_namespace)
    })
}

/// What the ledgers of a view say of a server.
pub(super) fn of(view: &View, facts: &Facts) -> Claims {
    let trusted = view.accounts.iter().filter(|one| is_trusted(one.source.1, facts.uid));
    let closed = facts.closed.map(|pid| format!("process {pid}, which may be its launcher,"));
    let unlooked = unlooked(view, facts.uid).or(closed);
    let mut claims = Claims { unlooked, ..Claims::default() };
    for account in trusted {
        for run in account.book.open_runs().filter(|run| is_of_here(view, account, run)) {
            let its = |claim: &&Claim| claim.process == facts.process && claim.ended.is_none();
            if let Some(claim) = run.claims.iter().find(its) {
                let found = claimed(account, run, claim.process.pid);
                let is_better = |known: &Claimed| found.launcher_lives && !known.launcher_lives;
                if claims.claim.as_ref().is_none_or(is_better) {
                    claims.claim = Some(found);
                }
            }
        }
        let last = account.book.last_run().and_then(|run| Some((run, run.server()?)));
        if let Some((run, claim)) = last.filter(|(_, claim)| is_of_its_data(claim, facts)) {
            let found = claimed(account, run, claim.process.pid);
            if claims.earlier.as_ref().is_none_or(|known| found.since > known.since) {
                claims.earlier = Some(found);
            }
        }
    }
    if claims.claim.as_ref().is_none_or(|claim| !claim.launcher_lives) {
        let is_ours = |process: &&Process| match &process.executable {
            Seen::Here(path) => owners::is_ours(path),
            Seen::Gone | Seen::Denied => false,
        };
        let ours = view.look.processes.seen().filter(is_ours).map(|process| process.process.pid);
        claims.deleted = ledgers::deleted(facts.process.pid, facts.launcher, ours);
    }
    claims
}

fn is_of_its_data(claim: &Claim, facts: &Facts) -> bool {
    claim.process != facts.process
        && facts.file.is_some()
        && claim.data.as_ref().map(|data| data.file) == facts.file
}

fn claimed(account: &Account, run: &Run, pid: i32) -> Claimed {
    Claimed {
        ledger: account.source.0.clone(),
        owner: account.source.1,
        instance: ledgers::instance(&account.source.0),
        pid,
        since: run.at,
        is_recorded: run.start.recorded,
        launcher: run.start.launcher.pid,
        launcher_lives: !run.start.recorded && processes::lives(run.start.launcher),
    }
}

/// A place where the ledger of a user's server may be and that could not be looked at. A ledger
/// that was found and is damaged, or of a newer version, is none.
fn unlooked(view: &View, uid: u32) -> Option<String> {
    let is_read = |place: &str| {
        view.errors.iter().any(|error| match error {
            Error::Damaged { path, .. } | Error::Newer { path, .. } => {
                path.to_string_lossy() == place
            }
            _ => false,
        })
    };
    let concerns = |whose| match whose {
        Whose::Anybody => true,
        Whose::User(owner) => owner == uid,
        Whose::OthersThan(_) | Whose::RootsAlone => false,
    };
    let mut unlooked = view.unlooked.iter().filter(|one| concerns(one.whose));
    unlooked.find(|one| !is_read(&one.place)).map(|one| one.place.clone())
}
