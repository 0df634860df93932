//! Who holds each object, in which instance, and what of that cannot be explained. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, Judged, Subject};
use crate::judge::Holder;
use crate::judge::life;
use crate::object::FileRef;
use crate::snapshot::uses::{Found, WaitsFor};
use crate::snapshot::{Mapped, Process, Seen, Snapshot};

/// In what way a process holds an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It has the segment attached.
    Attached,
    /// It has the file mapped.
    Mapped,
    /// It has the file open, and not mapped.
    Open,
    /// It attached or detached the segment last, and nobody has it attached.
    LastUsed,
    /// It is blocked on the set or queue.
    Waits,
    /// It operated a member of the set last.
    OperatedLast,
    /// It sent to the queue last.
    SentLast,
    /// It received from the queue last.
    ReceivedLast,
}

impl Use {
    /// The use, as the JSON documents name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Mapped => "mapped",
            Self::Open => "open",
            Self::LastUsed => "last-used",
            Self::Waits => "waits",
            Self::OperatedLast => "operated-last",
            Self::SentLast => "sent-last",
            Self::ReceivedLast => "received-last",
        }
    }
}

/// A process that holds an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub holder: Holder,
    /// In what way.
    pub how: Use,
    /// The instance that it belongs to: an index into the accounts.
    pub account: Option<usize>,
}

/// Who holds an object, as far as that can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// The processes found.
    pub holders: Vec<Held>,
    /// Attachments without a process found; `None` for what the kernel does not count.
    pub unexplained: Option<u64>,
    /// Processes that could not be looked into.
    pub closed: Vec<i32>,
}

/// Uses that no map shows, where they were looked for.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// Processes that are blocked on a set or queue.
    pub blocked: Vec<Found<WaitsFor>>,
    /// Processes that have a file open.
    pub open: Vec<(FileRef, Found<()>)>,
    /// Processes that could not be asked.
    pub closed: Vec<i32>,
}

/// Everything that is known of holders, for quick questions.
#[derive(Debug)]
pub struct Holders<'a> {
    processes: BTreeMap<i32, &'a Process>,
    mapped: BTreeMap<Mapped, Vec<(&'a Process, u64)>>,
    closed: Vec<i32>,
    accounts: &'a [Account],
    /// Living processes that a ledger claims.
    claimed: BTreeMap<i32, usize>,
    uses: &'a Uses,
}

impl<'a> Holders<'a> {
    /// Sorts a look that was taken with maps.
    #[must_use]
    pub fn of(look: &'a Snapshot, accounts: &'a [Account], uses: &'a Uses) -> Self {
        let living = || look.processes.seen().filter(|process| !process.ended);
        let mut mapped: BTreeMap<Mapped, Vec<(&Process, u64)>> = BTreeMap::new();
        for process in living() {
            let Some(Seen::Here(list)) = &process.maps else {
                continue;
            };
            for &(object, count) in list {
                // Another namespace shows the same line for another segment.
                let foreign = process.same_ipc == Some(false);
                if matches!(object, Mapped::File(_)) || !foreign {
                    mapped.entry(object).or_default().push((process, count));
                }
            }
        }
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
        Self { processes, mapped, closed, accounts, claimed, uses }
    }

    /// Who holds an object.
    #[must_use]
    pub fn of_object(&self, judged: &Judged<'_>) -> Holding {
        match judged.subject {
            Subject::Shm(row) => {
                let mut holders = self.mapping(judged, Mapped::Segment(row.id), Use::Attached);
                if let Some(pid) = judged.why.last_user().filter(|_| row.nattch == 0) {
                    holders.extend(self.held(judged, pid, 0, Use::LastUsed));
                }
                let found: u64 = holders.iter().map(|held| held.holder.attachments).sum();
                Holding {
                    holders,
                    unexplained: Some(row.nattch.saturating_sub(found)),
                    closed: self.closed.clone(),
                }
            }
            Subject::Posix(file) => {
                let file = FileRef { dev: file.facts.dev, ino: file.facts.ino };
                let mut holders = self.mapping(judged, Mapped::File(file), Use::Mapped);
                let open = self.uses.open.iter().filter(|(of, _)| *of == file);
                for (_, found) in open {
                    if !holders.iter().any(|held| held.holder.process.pid == found.pid) {
                        holders.extend(self.held(judged, found.pid, 0, Use::Open));
                    }
                }
                let closed = self.closed.iter().chain(&self.uses.closed).copied();
                let closed: BTreeSet<i32> = closed.collect();
                Holding { holders, unexplained: None, closed: closed.into_iter().collect() }
            }
            Subject::Sem(set) => {
                let members = set.members.iter();
                let last = members.flat_map(|members| &members.operators);
                let last = last.map(|&pid| (pid, Use::OperatedLast));
                self.of_calls(judged, WaitsFor::Set(set.row.id), last)
            }
            Subject::Msg(row) => {
                let last =
                    [(row.last_sender, Use::SentLast), (row.last_receiver, Use::ReceivedLast)];
                self.of_calls(judged, WaitsFor::Queue(row.id), last.into_iter())
            }
        }
    }

    fn mapping(&self, judged: &Judged<'_>, object: Mapped, how: Use) -> Vec<Held> {
        let found = self.mapped.get(&object).into_iter().flatten();
        found
            .filter_map(|(process, count)| self.held(judged, process.process.pid, *count, how))
            .collect()
    }

    /// Who is blocked on a set or queue, and those of its last users who live.
    fn of_calls(
        &self,
        judged: &Judged<'_>,
        object: WaitsFor,
        last: impl Iterator<Item = (i32, Use)>,
    ) -> Holding {
        let blocked = self.uses.blocked.iter().filter(|found| found.what == object);
        let mut holders: Vec<Held> = blocked
            .filter_map(|found| self.held(judged, found.pid, found.times, Use::Waits))
            .collect();
        for (pid, how) in last {
            if !holders.iter().any(|held| held.holder.process.pid == pid) {
                holders.extend(self.held(judged, pid, 0, how));
            }
        }
        Holding { holders, unexplained: None, closed: self.uses.closed.clone() }
    }

    fn held(&self, judged: &Judged<'_>, pid: i32, count: u64, how: Use) -> Option<Held> {
        let process = self.processes.get(&pid)?;
        let of_object = judged.account.filter(|_| judged.verdict.is_recorded());
        let dead = |index: &usize| self.accounts.get(*index).is_some_and(|a| !a.lives());
        let orphan_of = of_object.filter(dead);
        let account = self.instance_of(process).or(orphan_of);
        let orphan = account.is_some() && account == orphan_of;
        Some(Held { holder: life::holder(process, count, orphan), how, account })
    }

    /// The account that claims a process, or one that it descends from.
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
