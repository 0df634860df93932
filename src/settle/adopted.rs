//! The whole way once over a ledger of adopted objects: each is judged by itself, on a look that
//! is as strict as that of `adopt`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::carry_out::carry_out;
use super::{Report, State, elsewhere};
use crate::decide::{self, Policy, Reason, Removal, Verdict};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::object::Identity;
use crate::observe::uses::{Found, WaitsFor};
use crate::observe::{Process, Scope, lists, processes, uses};
use crate::orphan::Against;

/// How long a look at who lives counts: thousands of removals cannot have one each.
const COUNTS_FOR: Duration = Duration::from_millis(250);
/// Rounds in which a list leads to further segments.
const ROUNDS: usize = 4;

pub(super) fn settle(ledger: &mut Ledger, policy: &Policy) -> Result<Report> {
    let mut look = lists::look()?;
    let mut verdicts: Vec<Verdict> = Vec::new();
    for _ in 0..ROUNDS {
        let unread;
        (verdicts, unread) = decide::adopted::decide(&ledger.book, &look, &policy.exempt);
        if unread.is_empty() {
            break;
        }
        let acting = ledger.as_owner()?;
        lists::read_unattached(&mut look, &unread);
        drop(acting);
        verdicts.clear();
    }
    add_holders(&mut verdicts, &look);
    let objects = carry_out(verdicts, ledger, &mut Alone::new(policy))?;
    let state = match objects.as_slice() {
        [] => State::Settled,
        all if all.iter().all(elsewhere) => State::Void,
        _ => State::Dead,
    };
    Ok(Report { state, objects })
}

fn add_holders(verdicts: &mut [Verdict], look: &crate::observe::Observation) {
    for verdict in verdicts {
        if let Verdict::Keep(kept) = verdict {
            kept.holders = decide::holders(&kept.identity, look, true);
        }
    }
}

fn queue(found: &Found<WaitsFor>) -> Option<(i32, i32)> {
    match found.what {
        WaitsFor::Queue(id) => Some((id, found.pid)),
        WaitsFor::Set(_) => None,
    }
}

/// Whether the users of adopted objects are still without a process, looked at again while a
/// long sweep goes on.
pub(super) struct Alone {
    exempt: Vec<i32>,
    processes: Vec<Process>,
    /// Queues that somebody waits for, by id: the queue itself does not tell.
    waits: BTreeMap<i32, i32>,
    looked: Option<Instant>,
}

impl Alone {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            exempt: policy.exempt.clone(),
            processes: Vec::new(),
            waits: BTreeMap::new(),
            looked: None,
        }
    }

    /// What has changed against a removal.
    pub(super) fn reason(&mut self, removal: &Removal) -> Result<Option<Reason>> {
        let queue = match removal.identity() {
            Identity::Msg(queue) => Some(queue.id),
            _ => None,
        };
        if !removal.is_adopted() || (removal.alone().is_none() && queue.is_none()) {
            return Ok(None);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() > COUNTS_FOR) {
            self.look()?;
        }
        let waits = queue.and_then(|id| self.waits.get(&id)).map(|pid| Against::Blocked(*pid));
        let users = removal.alone();
        let users = users
            .and_then(|uids| decide::adopted::no_longer_alone(uids, &self.processes, &self.exempt));
        Ok(waits.map(Reason::NotOrphan).or(users))
    }

    fn look(&mut self) -> Result<()> {
        let scope = Scope { processes: true, ..Scope::default() };
        self.processes = processes::all(scope)?;
        lists::settle_owners(&mut self.processes);
        let (blocked, _) = uses::blocked(&self.processes);
        self.waits = blocked.iter().filter_map(queue).collect();
        self.looked = Some(Instant::now());
        Ok(())
    }
}
