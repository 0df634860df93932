//! Looks at semaphore sets and queues, and at all that shows of their use.
//!
//! Neither has an nattch: who waits, who used one last and who could use it are asked for.

use std::collections::BTreeSet;

use super::tables::{Set, barred};
use super::{Scope, Seen, Snapshot, Table, Tables, callers, processes, waits};
use crate::engine::{ENGINES, SetMark};
use crate::error::Result;
use crate::object::Identity;
use crate::proc::read;
use crate::sys::{msg, sem};

impl Snapshot {
    /// Looks at sets and queues, with all that shows of their use where `of_interest` has their
    /// creator's uid: members, who is blocked on one, and last users that `/proc` does not show.
    #[must_use]
    pub fn with_calls(self, of_interest: impl Fn(u32) -> bool) -> Self {
        let mut look = self.into_tables();
        if look.sets.is_whole() {
            let wanted = |set: &Set| set.members.is_none() && of_interest(set.row.perm.creator_uid);
            let asked = &mut look.members_asked;
            for set in look.sets.rows_mut().iter_mut().filter(|set| wanted(set)) {
                *set = Set::among(set.row.clone(), asked);
            }
        } else {
            look.read_sets(&of_interest);
        }
        if !look.queues.is_whole() {
            look.read_queues();
        }
        let sets = look.sets.seen().filter(|set| of_interest(set.row.perm.creator_uid));
        let queues = look.queues.seen().filter(|row| of_interest(row.perm.creator_uid));
        let last = last_users(sets.clone(), queues.clone());
        let marked: Vec<(i32, i32)> = sets.clone().filter_map(|set| marker(&set.row)).collect();
        let mut keys =
            sets.clone().map(|set| set.row.perm.key).chain(queues.clone().map(|q| q.perm.key));
        let has_key = keys.any(|key| key != 0);
        let has_some = sets.count() + queues.count() > 0;
        look.marked.extend(marked);
        if has_key && !look.callers.is_whole() {
            look.callers = callers::look(&look.processes);
        }
        if has_some && look.waits.is_none() {
            look.waits = Some(waits::waits(&look.processes));
        }
        let waiting = look.waits.iter().flat_map(|waits| waits.pids());
        let named: BTreeSet<i32> = waiting.chain(last.iter().copied()).collect();
        look.add_commands(&named);
        look.ask_for(last);
        Self::of(look)
    }

    /// Asks the kernel for those of these pids that the look does not show.
    #[must_use]
    pub fn with_pids(self, pids: Vec<i32>) -> Self {
        self.beside(|look| look.ask_for(pids))
    }
}

impl Tables {
    /// Asks the kernel for those of these pids that the look does not show, and notes which of
    /// them are there all the same, and which are nobody's.
    pub(super) fn ask_for(&mut self, mut pids: Vec<i32>) {
        pids.sort_unstable();
        pids.dedup();
        let shown: BTreeSet<i32> = self.processes.seen().map(|found| found.process.pid).collect();
        pids.retain(|pid| *pid > 0 && !shown.contains(pid) && !self.hidden.contains(pid));
        for pid in pids {
            if !super::is_there(pid) {
                self.absent.insert(pid);
            } else if !matches!(read::stat(pid), Ok(Seen::Here(_))) {
                // What has come since the look, and what a thread of a shown process bears, is
                // shown as well.
                self.hidden.push(pid);
            }
        }
    }
}

/// Looks at one set or queue and at those who may use it, `noted` among them, and at nothing else:
/// a server may leave hundreds. `None` where it has gone. A set counts its waiters itself, and one
/// without a key is used by those alone who were given its number, as one is with its server's
/// mark, if the server is of a `known` engine; else every process has to be asked.
///
/// # Errors
/// As [`super::take`].
pub(crate) fn look_at_one(
    identity: &Identity,
    known: bool,
    noted: &[i32],
    everybody: impl FnOnce() -> Result<Snapshot>,
) -> Result<Option<Snapshot>> {
    let (mut sets, mut queues) = (Table::unasked(), Table::unasked());
    let (mut mark, mut asks_all) = (None, true);
    let only_one = || "only one of them was looked at".to_owned();
    match identity {
        Identity::Sem(wanted) => match sem::stat(wanted.id) {
            Ok(None) => return Ok(None),
            Ok(Some(row)) => {
                mark = marker(&row);
                asks_all = identity.is_findable() && !(known && mark.is_some());
                sets = Table::Part(vec![Set::of(row)], only_one());
            }
            Err(errno) => sets = Table::Unread(barred("semaphore sets", errno)),
        },
        Identity::Msg(wanted) => match msg::stat(wanted.id) {
            Ok(None) => return Ok(None),
            Ok(Some(row)) => queues = Table::Part(vec![row], only_one()),
            Err(errno) => queues = Table::Unread(barred("message queues", errno)),
        },
        Identity::Shm(_) | Identity::Posix(_) => return Ok(None),
    }
    let mut last = last_users(sets.seen(), queues.seen());
    last.extend(noted);
    let mut look = if asks_all {
        everybody()?.into_tables()
    } else {
        let mut look = super::take(Scope::default())?.into_tables();
        let found = last.iter().filter_map(|&pid| processes::one(pid)).collect();
        look.processes = Table::Part(found, "only its users were looked at".to_owned());
        look
    };
    // Who has come since everybody was looked at, and used it.
    for pid in last.iter().filter(|pid| **pid > 0) {
        let shown = look.processes.find(|found| found.process.pid == *pid);
        if matches!(shown, Seen::Gone) {
            processes::one(*pid).into_iter().for_each(|found| look.processes.add(found));
        }
    }
    (look.sets, look.queues) = (sets, queues);
    look.marked = mark.into_iter().collect();
    if matches!(identity, Identity::Msg(_)) && look.waits.is_none() {
        look.waits = Some(waits::waits(&look.processes));
    }
    look.ask_for(last);
    Ok(Some(Snapshot::of(look)))
}

/// Looks at everybody who may use a set or queue by its rights, and, where that is asked for, at
/// who waits for a queue, which does not tell itself.
///
/// # Errors
/// As [`super::take`].
pub(crate) fn look_at_everybody(waits: bool) -> Result<Snapshot> {
    let scope = Scope { processes: true, ..Scope::default() };
    let mut look = super::take(scope)?.into_tables();
    look.callers = callers::look(&look.processes);
    look.waits = waits.then(|| waits::waits(&look.processes));
    Ok(Snapshot::of(look))
}

/// Returns who made the mark of a set that bears a server's, 0 where that
/// process is not visible here; `None` for any other set, and one that may not be asked.
fn marker(row: &sem::Row) -> Option<(i32, i32)> {
    let bears = |mark: &SetMark| {
        row.members == u64::from(mark.members.unsigned_abs())
            && sem::value(row.id, mark.member()) == Ok(mark.value)
    };
    let mark = ENGINES.iter().filter_map(|engine| engine.set_mark).find(bears)?;
    sem::last_operator(row.id, mark.member()).ok().map(|pid| (row.id, pid))
}

/// Returns who used any of these last, each pid once, without 0.
fn last_users<'a>(
    sets: impl Iterator<Item = &'a Set>,
    queues: impl Iterator<Item = &'a msg::Row>,
) -> Vec<i32> {
    let members = sets.filter_map(|set| set.members.as_ref());
    let mut last: Vec<i32> = members.flat_map(|members| members.operators.clone()).collect();
    last.extend(queues.flat_map(|row| [row.last_sender, row.last_receiver]));
    last.sort_unstable();
    last.dedup();
    last.retain(|&pid| pid != 0);
    last
}
