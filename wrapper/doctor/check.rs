//! Puts the findings of `doctor` together, the worst first.
//!
//! A new finding goes into the file of its subject (`limits`, `leaks`, `settings`, `kernel`,
//! `logind`, `ledgers`, `servers`), which judges values that [`all`] has read for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shmwarden::Error;
use shmwarden::engine;
use shmwarden::judge::status::leaks::{self as leaked, Leak};
use shmwarden::judge::status::{Judged, Subject, Unlooked};
use shmwarden::object::{FileRef, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::{Process, Seen};

use super::beside::Server;
use super::leaks::{self, Asker};
use super::ledgers::{Condition, DataDirectory, Found, UNSEEN_PLACE, judge_places};
use super::limits;
use super::logind::{Interest, Keeper};
use super::{kernel, logind, queues, settings};
use super::{ledgers, servers, text_of};
use crate::finding::Finding;
use crate::host::kernel as host_kernel;
use crate::host::limit::Limit;
use crate::host::{config, features, limit};
use crate::ledgers::robbery::{self, Lost};
use crate::render::shown::Shown;
use crate::render::text;
use crate::servers as database_servers;
use crate::units;
use crate::view::View;

/// The finding on processes that could not be looked into.
const UNSEEN: &str = "unseen";

/// Checks that a finding says that something could not be looked at: shown to people even where
/// nothing is wrong.
pub(crate) fn is_unseen(finding: &Finding) -> bool {
    [UNSEEN, UNSEEN_PLACE, servers::UNASKED, servers::OF_USERS].contains(&finding.id)
}

/// The findings.
pub(crate) struct Checked {
    pub(crate) limits: Vec<Limit>,
    pub(crate) leaks: Vec<Leak>,
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
}

/// Checks everything.
pub(crate) fn all(view: &View, shown: &Shown<'_>) -> Checked {
    let names = |uid| shown.user_or_number(uid);
    let judged = view.judge();
    let kernel_limits = host_kernel::look();
    let table = limit::table(&kernel_limits, &view.look, &judged);
    let leaks = leaked::table(&judged);
    let asker = Asker::of(&view.look);
    let mut findings =
        limits::judge(&table, &judged, kernel_limits.page_bytes, kernel_limits.sem, asker, &names);
    findings.extend(robbed(view, shown));
    findings.extend(database_servers::findings(&database_servers::find(view)));
    findings.extend(leaks::judge(&judged, &leaks, asker, &names, &text::size));
    findings.extend(settings::judge(&kernel_limits));
    findings.extend(queues::judge(&view.look, &names));
    findings.extend(of_logind(view, &judged, shown));
    if config::systemd_runs() {
        findings.extend(servers::findings(&running(view, shown)));
    }
    findings.extend(ledgers::judge(&found(view), &view.look.place));
    findings.extend(places(view));
    findings.extend(ledgers::judge_directories(&data_directories(view)));
    findings.extend(kernel::judge(&features::try_all()));
    findings.extend(unseen(view));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Checked { limits: table, leaks, findings }
}

/// The processes that are servers which are known.
fn servers(view: &View) -> impl Iterator<Item = &Process> {
    view.look.processes.seen().filter(|process| match &process.executable {
        Seen::Here(path) => engine::recognise(path).is_known(),
        Seen::Gone | Seen::Denied => false,
    })
}

/// The servers that run, the first process of each only.
fn running(view: &View, shown: &Shown<'_>) -> Vec<Server> {
    let pids: BTreeSet<i32> = servers(view).map(|process| process.process.pid).collect();
    let first = servers(view).filter(|process| !pids.contains(&process.parent));
    let server = first.filter_map(|process| {
        let [_, uid, ..] = process.uids?;
        let group = match &process.control_group {
            Some(Seen::Here(group)) => Some(group.0.as_slice()),
            Some(Seen::Gone | Seen::Denied) | None => None,
        };
        Some(Server {
            pid: process.process.pid,
            uid,
            user: shown.user(uid),
            unit: group.and_then(units::unit_of),
            users_unit: group.and_then(units::users_unit_of),
        })
    });
    server.collect()
}

/// Living servers that were robbed.
fn robbed(view: &View, shown: &Shown<'_>) -> Vec<Finding> {
    let accounts = view.robbed_accounts().into_iter();
    let finding = |(account, lost): (usize, Vec<&Lost>)| {
        let first = lost.first()?;
        let named = lost.iter().map(|one| (one.name.as_str(), one.loss));
        let said = robbery::sentence(first.engine, first.server.pid, named);
        let instance = shown.instance(Some(account)).unwrap_or_default();
        Some(Finding::bad("robbed", format!("{instance}: {said}"), robbery::ADVICE))
    };
    let found: Vec<Finding> = accounts.filter_map(finding).collect();
    if !found.is_empty() {
        return found;
    }
    let text = "no living server of a ledger was seen to have lost what it still uses";
    vec![Finding::ok("robbed", text)]
}

/// Returns the finding that processes could not be looked into: without root nobody can tell which
/// processes of others are servers.
fn unseen(view: &View) -> Option<Finding> {
    let closed = view.look.processes.seen().filter(|process| process.is_closed()).count();
    let text = format!(
        "{closed} processes could not be looked into, any of which may be a server: for what \
         concerns other users' servers run this as root"
    );
    (closed > 0).then(|| Finding::ok(UNSEEN, text))
}

fn of_logind(view: &View, judged: &[Judged<'_>], shown: &Shown<'_>) -> Vec<Finding> {
    let setting =
        config::systemd_runs().then(|| logind::setting(&config::of_systemd("logind.conf")));
    let sys_uid_max = logind::sys_uid_max(&config::file(PathBuf::from("/etc/login.defs")));
    let keepers = keepers(view, judged, shown);
    logind::judge(setting.as_ref(), sys_uid_max, &keepers, &|uid| shown.user_or_number(uid))
}

/// Users whose objects matter, with the strongest reason for each.
fn keepers(view: &View, judged: &[Judged<'_>], shown: &Shown<'_>) -> Vec<Keeper> {
    let mut reasons: BTreeMap<u32, Interest> = BTreeMap::new();
    let mut objects: BTreeMap<u32, u64> = BTreeMap::new();
    for one in judged {
        let has_key = one.subject.key().is_some_and(|key| key != 0);
        // What lies in /dev/shm is a browser's as often as a server's.
        if has_key && !matches!(one.subject, Subject::Posix(_)) {
            *objects.entry(one.subject.owner().0).or_default() += 1;
        }
    }
    let objects = objects.into_iter().map(|(uid, count)| (uid, Interest::Objects(count)));
    let recorded = view.ledgers.iter().flat_map(|read| {
        let claims = read.book.runs.values().flat_map(|run| &run.claims);
        let uids = claims.flat_map(|claim| claim.uids.iter().copied());
        uids.chain([read.uid]).collect::<BTreeSet<u32>>()
    });
    let recorded = recorded.map(|uid| (uid, Interest::Ledger));
    let running = servers(view).filter_map(|process| {
        let ProcessRef { pid, .. } = process.process;
        Some((process.uids?[1], Interest::Server(pid)))
    });
    // Later ones are stronger; of several servers the first is named.
    for (uid, why) in objects.chain(recorded).chain(running) {
        let known = reasons.entry(uid).or_insert(why);
        if !matches!(known, Interest::Server(_)) {
            *known = (*known).max(why);
        }
    }
    let lingering: BTreeSet<String> = config::lingering().into_iter().collect();
    let lingers = |uid| shown.user(uid).is_some_and(|name| lingering.contains(&name));
    let keeper = |(uid, why)| Keeper { uid, why, lingers: lingers(uid) };
    reasons.into_iter().map(keeper).collect()
}

/// Returns where ledgers were looked for, and what could not be looked at.
fn places(view: &View) -> Vec<Finding> {
    // What was named and is no place but a ledger has a finding of its own.
    let is_ledger = |path: &Path| view.errors.iter().any(|error| unread(error).path == path);
    let looked = view.looked.iter().filter(|one| one.is_worth_a_word() && !is_ledger(&one.path));
    let places = looked.map(|one| ledgers::LookedAt {
        path: text_of(&one.path),
        trouble: match &one.error {
            Some(why) => Some(format!("could not be looked at ({why})")),
            None if one.lacks() => Some("is not there".to_owned()),
            None => None,
        },
    });
    let places: Vec<_> = places.collect();
    let is_told = |unlooked: &&Unlooked| {
        let told = places.iter().filter(|place| place.trouble.is_some());
        let ledgers = view.errors.iter().map(|error| text_of(&unread(error).path));
        let mut paths = told.map(|place| place.path.clone()).chain(ledgers);
        paths.any(|path| unlooked.place.contains(&path))
    };
    let unseen = view.unlooked.iter().filter(|one| !one.is_barred());
    let unseen = unseen.filter(|one| !is_told(one)).map(|one| one.place.clone());
    judge_places(&places, &unseen.collect::<Vec<_>>())
}

/// Returns the condition of each ledger.
fn found(view: &View) -> Vec<Found> {
    let read = view.ledgers.iter().map(|read| Found {
        path: read.source.path.clone(),
        condition: Condition::Read(read.book.place().cloned()),
    });
    read.chain(view.errors.iter().map(unread)).collect()
}

fn unread(error: &Error) -> Found {
    let (path, condition) = match error {
        Error::Damaged { path, line, why } => {
            (path.clone(), Condition::Damaged { line: *line, why: why.clone() })
        }
        Error::Missing { path } => (path.clone(), Condition::Missing),
        Error::NotALedger { path } => (path.clone(), Condition::NotALedger),
        Error::Newer { path, version, .. } => (path.clone(), Condition::Newer(*version)),
        Error::Io { path, source, .. } => {
            (path.clone(), Condition::Failed(error.to_string(), source.raw_os_error()))
        }
        Error::Refused { path, .. } => (path.clone(), Condition::Unusable(error.to_string())),
        other => (PathBuf::new(), Condition::Unusable(other.to_string())),
    };
    Found { path, condition }
}

/// The data directories of running servers, and those of the last run of each ledger.
fn data_directories(view: &View) -> Vec<DataDirectory> {
    // The keys of another IPC namespace are others.
    let ipc = |pid| read::namespace_inode(pid, "ipc").ok().and_then(Seen::here);
    let own = ipc(view.look.pid);
    let elsewhere = |pid| ipc(pid).is_some_and(|its| Some(its) != own);
    let here = servers(view).filter(|process| !elsewhere(process.process.pid));
    let running = here.filter_map(|process| match &process.cwd {
        Seen::Here(cwd) => Some(DataDirectory {
            path: text_of(&cwd.path),
            file: FileRef { dev: cwd.dev, ino: cwd.ino },
        }),
        Seen::Gone | Seen::Denied => None,
    });
    let this_boot = |read: &&crate::view::Read| {
        read.book.place().is_some_and(|place| place.boot == view.look.place.boot)
    };
    let recorded = view.ledgers.iter().filter(this_boot).filter_map(|read| {
        let data = read.book.last_run()?.server()?.data.as_ref()?;
        Some(DataDirectory { path: data.path.lossy(), file: data.file })
    });
    running.chain(recorded).collect()
}
