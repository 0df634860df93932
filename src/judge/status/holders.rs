//! The holders of each object, with their instances, and what of that cannot be explained. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, Judged, Subject};
use crate::judge::Holder;
use crate::judge::usage::{By, Context, Kind as UseKind, Use, Users};
use crate::snapshot::{Process, Seen, Snapshot};

/// A process that holds an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub holder: Holder,
    /// The kind of the use.
    pub how: UseKind,
    /// The instance that it belongs to: an index into the accounts.
    pub account: Option<usize>,
}

/// The holders of an object, as far as they can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// The processes found.
    pub holders: Vec<Held>,
    /// Attachments without a process found; `None` for what the kernel does not count.
    pub unexplained: Option<u64>,
    /// Processes that could not be looked into.
    pub closed: Vec<i32>,
}

/// Everything that is known of holders, for quick questions.
#[derive(Debug)]
pub struct Holders<'a> {
    users: Users<'a>,
    processes: BTreeMap<i32, &'a Process>,
    closed: Vec<i32>,
    accounts: &'a [Account],
    /// Living processes that a ledger claims.
    claimed: BTreeMap<i32, usize>,
}

impl<'a> Holders<'a> {
    /// Sorts a look that was taken with maps.
    #[must_use]
    pub fn of(look: &'a Snapshot, accounts: &'a [Account]) -> Self {
        let living = || look.processes.seen().filter(|process| !process.ended);
        let closed = living().filter(|process| matches!(process.maps, Some(Seen::Denied)));
        let closed = closed.map(|process| process.process.pid).collect();
        let processes: BTreeMap<i32, &Process> =
            living().map(|process| (process.process.pid, process)).collect();
        let mut claimed = BTreeMap::new();
        for (index, account) in accounts.iter().enumerate() {
            let here = account.book.runs.values().filter(|run| {
                let place = account.book.places.get(run.place);
                place.is_some_and(|place| {
                    (&place.boot, &place.pid_namespace)
                        == (&look.place.boot, &look.place.pid_namespace)
                })
            });
            for claim in here.flat_map(|run| &run.claims) {
                let process = processes.get(&claim.process.pid);
                if process.is_some_and(|process| process.process == claim.process) {
                    claimed.insert(claim.process.pid, index);
                }
            }
        }
        Self { users: Users::of(look), processes, closed, accounts, claimed }
    }

    /// Returns who holds an object.
    #[must_use]
    pub fn of_object(&self, judged: &Judged<'_>) -> Holding {
        let account = judged.account.and_then(|at| self.accounts.get(at));
        let object = account.zip(judged.object).and_then(|(account, number)| {
            Some((&account.book, account.book.objects.get(&number)?))
        });
        let context = match object {
            Some((book, object)) if !object.is_adopted() => Context::Recorded(book, object),
            _ => Context::Unowned { by_nattch: true },
        };
        let mut holders: Vec<Held> = Vec::new();
        for one in self.users.uses(judged.subject, context) {
            let By::Process(process) = one.by else { continue };
            let known = holders.iter().any(|held| held.holder.process == process.process);
            if one.kind.is_hold() && !known {
                holders.push(self.held(judged, process, &one));
            }
        }
        let look = self.users.look();
        let (unexplained, closed) = match judged.subject {
            Subject::Shm(row) => {
                let found: u64 = holders.iter().map(|held| held.holder.attachments).sum();
                (Some(row.nattch.saturating_sub(found)), self.closed.clone())
            }
            Subject::Posix(_) => {
                let unasked = &look.opened.closed;
                let closed: BTreeSet<i32> = self.closed.iter().chain(unasked).copied().collect();
                (None, closed.into_iter().collect())
            }
            Subject::Sem(_) | Subject::Msg(_) => {
                let unasked = look.waits.iter().flat_map(|waits| &waits.unasked);
                (None, unasked.copied().collect())
            }
        };
        Holding { holders, unexplained, closed }
    }

    fn held(&self, judged: &Judged<'_>, process: &Process, one: &Use<'_>) -> Held {
        let of_object = judged.account.filter(|_| judged.verdict.is_recorded());
        let dead = |index: &usize| self.accounts.get(*index).is_some_and(|a| !a.lives());
        let orphan_of = of_object.filter(dead);
        let account = self.instance_of(process).or(orphan_of);
        let orphan = account.is_some() && account == orphan_of;
        // Descriptors and last uses are not counted.
        let counted = matches!(one.kind, UseKind::Attached | UseKind::Mapped | UseKind::Waits);
        let times = if counted { one.times } else { 0 };
        Held { holder: Holder::of(process, times, orphan), how: one.kind, account }
    }

    /// Returns the account that claims a process, or one that it descends from.
    fn instance_of(&self, process: &Process) -> Option<usize> {
        let mut pid = process.process.pid;
        // No chain of parents is longer than there are processes.
        for _ in 0..self.processes.len() {
            if let Some(&index) = self.claimed.get(&pid) {
                return Some(index);
            }
            pid = self.processes.get(&pid)?.parent;
        }
        None
    }
}
