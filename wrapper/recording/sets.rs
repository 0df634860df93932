//! Semaphore sets and queues that appear, change and go while the server lives.
//!
//! The kernel keeps no creator of theirs. What is new is taken for the server's only where nobody
//! but the server and its descendants has used it, or, unused, where nobody else could have made
//! it.

use std::collections::{BTreeMap, BTreeSet};

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::attribute::sets::{LastUsers, may_be_of, queue_differs, set_differs};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{Claim, How, Record, Role};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::tables::{Set, queue_identity, set_identity};
use shmwarden::snapshot::{Seen, sight};
use shmwarden::sys::shm::Row;
use shmwarden::sys::{msg, sem};

use super::{Watch, is_there};

/// Looks at a new object that nobody has used yet, before it is left alone.
const TRIES: u32 = 10;
/// Most sets of others whose operators are asked for in one look.
const MOST_ASKED: usize = 16;

/// The number that tells one object from another between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Set(i32),
    Queue(i32),
}

/// A set or queue that was not there at an earlier look.
struct New {
    number: Number,
    identity: Identity,
    /// Its last users; `None` where they may not be asked for.
    users: Option<LastUsers>,
}

/// The sets and queues seen so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// There before the start, or judged: never taken for the server's any more.
    settled: BTreeSet<Number>,
    /// New, and nobody has used them yet: how often they were looked at.
    waiting: BTreeMap<Number, u32>,
    /// Of sets that are not the server's, when they were last operated as far as was asked.
    operated: BTreeMap<i32, i64>,
    used: BTreeSet<Number>,
}

/// Whose a new set or queue is.
enum Whose {
    /// The server's, by this proof.
    Server(How, Option<ProcessRef>),
    /// Somebody else's, which the server uses.
    Used,
    /// Nobody has used it yet, and others than the server may have made it.
    Unknown,
    /// Not provably the server's.
    Others,
}

/// The ids of what was there before the start, sets and queues, of users that a claim fits.
pub(crate) fn before(claim: &Claim) -> (Vec<i32>, Vec<i32>) {
    /// A claim is one line of at most a megabyte.
    const MOST: usize = 20_000;
    let fits = |uid| attribute::uid_fits(claim, uid);
    let sets = sem::table().unwrap_or_default().into_iter();
    let sets = sets.filter(|row| fits(row.perm.creator_uid)).map(|row| row.id);
    let queues = msg::table().unwrap_or_default().into_iter();
    let queues = queues.filter(|row| fits(row.perm.creator_uid)).map(|row| row.id);
    (sets.take(MOST).collect(), queues.take(MOST).collect())
}

impl Calls {
    /// Begins with what is there before the server runs.
    pub(super) fn start() -> Self {
        let sets = sem::table().unwrap_or_default();
        let queues = msg::table().unwrap_or_default();
        let settled = numbers(&sets, &queues);
        let operated = sets.iter().map(|row| (row.id, row.otime)).collect();
        Self { settled, operated, ..Self::default() }
    }
}

impl Watch {
    /// One look; `last` while a dead claimed process is an unreaped zombie.
    pub(super) fn look_at_calls(
        &mut self,
        ledger: &mut Ledger,
        rows: &[Row],
        last: bool,
    ) -> Result<()> {
        // Before Linux 4.17, or without System V IPC, none is recorded.
        let (Ok(sets), Ok(queues)) = (sem::table(), msg::table()) else {
            return Ok(());
        };
        follow(ledger, self.run, &sets, &queues, last)?;
        let there = numbers(&sets, &queues);
        if !there.is_subset(&self.calls.settled) {
            self.refresh_claims(ledger)?;
            self.judge_new(ledger, &sets, &queues, rows, last)?;
        }
        self.note_users(ledger, &sets, &queues)?;
        self.note_used_calls(ledger, &sets, &queues)?;
        self.calls.settled.retain(|number| there.contains(number));
        self.calls.waiting.retain(|number, _| there.contains(number));
        self.calls.operated.retain(|id, _| there.contains(&Number::Set(*id)));
        Ok(())
    }

    /// Those that were not judged at an earlier look; of users that no claim fits, none.
    fn judge_new(
        &mut self,
        ledger: &mut Ledger,
        sets: &[sem::Row],
        queues: &[msg::Row],
        rows: &[Row],
        last: bool,
    ) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else { return Ok(()) };
        let fits = |uid| run.claims.iter().any(|claim| attribute::uid_fits(claim, uid));
        let is_new = |number| !self.calls.settled.contains(&number);
        let mut found = Vec::new();
        let mut others = Vec::new();
        for row in sets.iter().filter(|row| is_new(Number::Set(row.id))) {
            match fits(row.perm.creator_uid) {
                true => found.push(New::set(row)),
                false => others.push(Number::Set(row.id)),
            }
        }
        for row in queues.iter().filter(|row| is_new(Number::Queue(row.id))) {
            match fits(row.perm.creator_uid) {
                true => found.push(New::queue(row)),
                false => others.push(Number::Queue(row.id)),
            }
        }
        self.calls.settled.extend(others);
        found.into_iter().try_for_each(|new| self.judge(ledger, &run, new, rows, last))
    }

    fn judge(
        &mut self,
        ledger: &mut Ledger,
        run: &Run,
        new: New,
        rows: &[Row],
        last: bool,
    ) -> Result<()> {
        let New { number, identity, users } = new;
        let may_be = run.claims.iter().any(|claim| may_be_of(claim, &identity));
        let whose = match users {
            Some(users) if may_be => self.whose(&identity, &users, run),
            _ => Whose::Others,
        };
        match whose {
            Whose::Unknown => {
                let tries = self.calls.waiting.entry(number).or_insert(0);
                *tries += 1;
                if *tries < TRIES && !last {
                    return Ok(());
                }
                log::info!(
                    "{identity} appeared while the server ran, and nobody has used it: it may be \
                     another's, and is not recorded"
                );
            }
            Whose::Server(how, creator) => {
                let how = if last { How::LastLook } else { how };
                if let Some(creator) = creator {
                    self.claim_server_of(ledger, creator, run, rows)?;
                }
                self.note(ledger, how, Role::Other, identity, creator)?;
            }
            Whose::Used => {
                self.calls.used.insert(number);
                ledger.note(Record::Used { run: self.run, identity })?;
            }
            Whose::Others => {}
        }
        self.calls.waiting.remove(&number);
        self.calls.settled.insert(number);
        Ok(())
    }

    fn whose(&mut self, identity: &Identity, users: &LastUsers, run: &Run) -> Whose {
        if users.is_nobody() {
            let maker = identity.call_creator();
            return match maker.is_some_and(|uid| self.has_user_alone(uid, run)) {
                true => Whose::Server(How::Watch, None),
                false => Whose::Unknown,
            };
        }
        // An operator need not be of the maker's user: Apache's workers are another than its root.
        let fits = |uid| run.claims.iter().any(|claim| attribute::uid_fits(claim, uid));
        let (mut ours, mut claimed, mut creator) = (0, false, None);
        for &pid in &users.pids {
            let own = |c: &Claim| c.process.pid == pid && c.ended.is_none() && is_there(c.process);
            if run.claims.iter().any(own) {
                (ours, claimed) = (ours + 1, true);
            } else if let Some(process) = self.known_descendant(pid, run, fits) {
                (ours, creator) = (ours + 1, creator.or(Some(process)));
            }
        }
        match ours {
            0 => Whose::Others,
            n if n < users.pids.len() || users.unseen => Whose::Used,
            _ if claimed => Whose::Server(How::Claim, None),
            _ => Whose::Server(How::Watch, creator),
        }
    }

    /// Checks that a user has processes, and that the server or its descendants are all of them; an
    /// unreadable process counts as one of that user. Another instance or program of the same user
    /// makes this false, and so does a user who made the object and has no process any more.
    fn has_user_alone(&self, uid: u32, run: &Run) -> bool {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let Ok(pids) = read::pids() else { return false };
        let its = |pid: &&i32| match read::status(**pid) {
            Ok(Seen::Here(status)) => status.uids.contains(&uid),
            Ok(Seen::Gone) => false,
            Ok(Seen::Denied) | Err(_) => true,
        };
        let mut its = pids.iter().filter(|pid| **pid != own).filter(its).peekable();
        sight::sight().is_everybody()
            && its.peek().is_some()
            && its.all(|&pid| self.family.descends(pid, run))
    }

    /// Sets and queues of others that the server uses: noted for `list`, never removed for it.
    fn note_used_calls(
        &mut self,
        ledger: &mut Ledger,
        all: &[sem::Row],
        queues: &[msg::Row],
    ) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run) else { return Ok(()) };
        let alive = run.claims.iter().filter(|claim| claim.ended.is_none());
        let claimed: Vec<i32> = alive.map(|claim| claim.process.pid).collect();
        let mut found: Vec<(Number, Identity)> = Vec::new();
        for row in queues {
            if [row.last_sender, row.last_receiver].iter().any(|pid| claimed.contains(pid)) {
                found.push((Number::Queue(row.id), Identity::Msg(queue_identity(row))));
            }
        }
        let calls = &mut self.calls;
        let moved = all.iter().filter(|row| {
            calls.settled.contains(&Number::Set(row.id))
                && !calls.used.contains(&Number::Set(row.id))
                && calls.operated.get(&row.id) != Some(&row.otime)
        });
        for row in moved.take(MOST_ASKED).cloned().collect::<Vec<_>>() {
            let identity = Identity::Sem(set_identity(&row));
            calls.operated.insert(row.id, row.otime);
            if !attribute::is_recorded(&ledger.book, &identity)
                && sem::operators(row.id, row.members)
                    .is_ok_and(|pids| pids.iter().any(|pid| claimed.contains(pid)))
            {
                found.push((Number::Set(row.id), identity));
            }
        }
        for (number, identity) in found {
            if !attribute::is_recorded(&ledger.book, &identity) && self.calls.used.insert(number) {
                ledger.note(Record::Used { run: self.run, identity })?;
            }
        }
        Ok(())
    }

    /// Records the sets and queues as they are at the end of the run: what changes them from now on
    /// is told by the difference.
    pub(crate) fn at_end(&self, ledger: &mut Ledger) -> Result<()> {
        match (sem::table(), msg::table()) {
            (Ok(sets), Ok(queues)) => follow(ledger, self.run, &sets, &queues, true),
            _ => Ok(()),
        }
    }
}

impl New {
    fn set(row: &sem::Row) -> Self {
        let members = sem::members(row.id, row.members).ok();
        let set = Set { row: row.clone(), members };
        let users = LastUsers::of_set(&set, sight::sight());
        Self { number: Number::Set(row.id), identity: Identity::Sem(set.identity()), users }
    }

    fn queue(row: &msg::Row) -> Self {
        let identity = Identity::Msg(queue_identity(row));
        let users = Some(LastUsers::of_queue(row));
        Self { number: Number::Queue(row.id), identity, users }
    }
}

fn numbers(sets: &[sem::Row], queues: &[msg::Row]) -> BTreeSet<Number> {
    let sets = sets.iter().map(|row| Number::Set(row.id));
    sets.chain(queues.iter().map(|row| Number::Queue(row.id))).collect()
}

/// Recorded sets and queues of a run that went, as `record` looks for them.
///
/// # Errors
/// A record that may not follow is a mistake of this program.
pub(crate) fn follow_once(run: u64, ledger: &mut Ledger) -> Result<()> {
    match (sem::table(), msg::table()) {
        (Ok(sets), Ok(queues)) => follow(ledger, run, &sets, &queues, false),
        _ => Ok(()),
    }
}

/// Recorded sets and queues that went; at the end also those that were changed, which happens all
/// the time while a server uses them.
fn follow(
    ledger: &mut Ledger,
    run: u64,
    all: &[sem::Row],
    queues: &[msg::Row],
    at_end: bool,
) -> Result<()> {
    let mut records = Vec::new();
    for object in ledger.book.open_objects().filter(|object| object.run == run) {
        let now = match &object.identity {
            Identity::Sem(known) => all
                .iter()
                .find(|row| row.id == known.id && set_differs(known, row).is_none())
                .map(|row| Identity::Sem(set_identity(row))),
            Identity::Msg(known) => queues
                .iter()
                .find(|row| row.id == known.id && queue_differs(known, row).is_none())
                .map(|row| Identity::Msg(queue_identity(row))),
            Identity::Shm(_) | Identity::Posix(_) => continue,
        };
        match now {
            None => records.push(Record::Gone { object: object.number }),
            Some(now) if at_end && now != object.identity => {
                let mut seen = attribute::seen_again(object);
                seen.identity = now;
                records.push(Record::Object(seen));
            }
            Some(_) => {}
        }
    }
    records.into_iter().try_for_each(|record| ledger.note(record))
}
