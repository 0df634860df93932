//! The users of adopted objects, who must be without a process: looked at again since the decision.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::hands::Hands;
use crate::error::Result;
use crate::judge::{self, Holder, Policy, Reason, Removal};
use crate::object::Identity;
use crate::snapshot::callers::{self, Caller};
use crate::snapshot::waits::{Found, WaitsFor};
use crate::snapshot::{Process, Scope, Table, processes, server_lists, waits};

/// The time for which a look at the processes counts: thousands of removals cannot have one each.
const COUNTS_FOR: Duration = Duration::from_millis(250);

/// The users of adopted objects, who must be without a process still, looked at again while a long
/// sweep goes on.
pub(super) struct WithoutProcess {
    exempt: Vec<i32>,
    processes: Table<Process>,
    callers: Table<Caller>,
    /// Queues that somebody waits for, by id: the queue itself does not tell.
    waits: BTreeMap<i32, i32>,
    looked: Option<Instant>,
}

impl WithoutProcess {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            exempt: policy.exempt.clone(),
            processes: Table::unasked(),
            callers: Table::unasked(),
            waits: BTreeMap::new(),
            looked: None,
        }
    }

    /// Returns what has changed against a removal.
    pub(super) fn reason(
        &mut self,
        removal: &Removal,
        hands: &mut Hands<'_>,
    ) -> Result<Option<Reason>> {
        let queue = match removal.identity() {
            Identity::Msg(queue) => Some(queue.id),
            _ => None,
        };
        if !removal.is_adopted() || (removal.without_process().is_none() && queue.is_none()) {
            return Ok(None);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() > COUNTS_FOR) {
            hands.rest();
            self.look()?;
        }
        let waits = queue
            .and_then(|id| self.waits.get(&id))
            .map(|pid| Reason::Blocked(Holder::hidden(*pid)));
        let users = removal.without_process();
        let users = users.and_then(|uids| {
            judge::adopted::users_live(uids, self.processes.seen().as_slice(), &self.exempt)
        });
        let others = || {
            let seen = removal.seen().filter(|_| removal.without_process().is_some())?;
            judge::adopted::lets_others_in(seen, self.callers.seen().as_slice(), &self.exempt)
        };
        Ok(waits.or(users).or_else(others))
    }

    fn look(&mut self) -> Result<()> {
        let scope = Scope { processes: true, ..Scope::default() };
        self.processes = Table::Whole(processes::all(scope)?);
        server_lists::settle_owners(&mut self.processes);
        self.callers = callers::look(&self.processes);
        let waits = waits::waits(&self.processes);
        self.waits = waits.blocked.iter().filter_map(queue).collect();
        self.looked = Some(Instant::now());
        Ok(())
    }
}

fn queue(found: &Found<WaitsFor>) -> Option<(i32, i32)> {
    match found.what {
        WaitsFor::Queue(id) => Some((id, found.pid)),
        WaitsFor::Set(_) => None,
    }
}
