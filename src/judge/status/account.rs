//! A ledger as a listing takes it: what it says, and whether its instance lives, judged without
//! its lock. Pure.

use std::path::PathBuf;

use crate::attribute::{self, Suspect};
use crate::judge::{Evidence, Life, PeerWord, Policy, life};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run};
use crate::ledger::record::{Entry, How, ObjectSeen, Record, Role};
use crate::object::{Identity, Place, ProcessRef};
use crate::snapshot::Snapshot;

/// Rounds in which what is found leads to more.
const ROUNDS: usize = 10;

/// A ledger as a listing takes it.
#[derive(Debug)]
pub struct Account {
    /// Its content, with what the look adds to it, as `sweep` would.
    pub book: Book,
    /// The life of its instance.
    pub life: Life,
    /// The process at work on it: the launcher of its last run, or the holder of its lock.
    pub at_work: Option<i32>,
    /// The objects that may be the instance's, without proof.
    pub suspects: Vec<Suspect>,
    /// Set where a list of its server could not be read: only the holder of the lock may attach it.
    pub has_unread_list: bool,
    /// The path of the ledger, and its owner: root where none was given.
    pub source: (PathBuf, u32),
}

/// Checks that a ledger can bear on what is here: it is of this boot, and something in it is open.
///
/// Only then is the life of its instance worth a look into every process.
#[must_use]
pub fn is_of_interest(book: &Book, here: &Place) -> bool {
    let this_boot = book.place().is_some_and(|place| place.boot == here.boot);
    let unwitnessed = book.last_run().is_some_and(|run| {
        run.end.is_none() || run.claims.iter().any(|claim| claim.ended.is_none())
    });
    this_boot && (unwitnessed || book.open_objects().next().is_some() || !book.used.is_empty())
}

impl Account {
    /// Judges a ledger by a look at every process; `locked_by` is who was seen to have it locked,
    /// `own` the pid of the caller, who is no server's.
    #[must_use]
    pub fn new(book: Book, look: &Snapshot, locked_by: Option<i32>, own: i32) -> Self {
        let policy = Policy { exempt: vec![own], ..Policy::default() };
        let judge = |book: &Book| match life::judge(book, look, &policy) {
            // `judge` is made for who has the lock, which shows the death of a container.
            dead @ Life::Dead(_) => match may_live_in_container(book, look) {
                Some(run) => Life::Unseen(Evidence::OtherPids { run }),
                None => dead,
            },
            life => life,
        };
        let life = judge(&book);
        let at_work = launcher(&book, look).or(locked_by);
        let (suspects, source) = (Vec::new(), (PathBuf::new(), 0));
        let has_unread_list = false;
        let mut account = Self { book, life, at_work, suspects, has_unread_list, source };
        account.attribute(look);
        // Which segment is the main one may only be known now.
        if !account.lives() {
            account.life = judge(&account.book);
        }
        account
    }

    /// Returns it as another ledger's word on an object.
    #[must_use]
    pub(crate) fn as_peer(&self) -> PeerWord<'_> {
        PeerWord { path: &self.source.0, uid: self.source.1, book: Some(&self.book) }
    }

    /// Checks that its instance counts as alive.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.at_work.is_some() || matches!(self.life, Life::Live(_) | Life::Unseen(_))
    }

    /// Takes in what the look proves to be the instance's and the ledger does not have yet: of a
    /// living server, what the next look of its launcher records; of a dead one, what `sweep` would
    /// record. Without headers: reading one would attach the segment.
    fn attribute(&mut self, look: &Snapshot) {
        if matches!(self.life, Life::Void) {
            return;
        }
        for _ in 0..ROUNDS {
            let (mut found, suspects) = match self.lives() {
                true => attribute::after_death(&self.book, look),
                false => attribute::proven(&self.book, look),
            };
            if self.lives() {
                found.retain(|seen| seen.how == How::Listed);
                let new = self.of_living(look);
                found = if new.is_empty() { found } else { new };
            }
            // Of what is not sure to live something may be left without proof, as of the dead.
            let by = |by: &Evidence| by.holder().is_some_and(|holder| holder.uid.is_some());
            if !matches!(&self.life, Life::Live(evidence) if by(evidence)) {
                self.suspects = suspects;
            }
            if found.is_empty() {
                break;
            }
            for seen in found {
                let entry = Entry {
                    seq: self.book.seq + 1,
                    at: look.now,
                    forks: None,
                    record: Record::Object(seen),
                };
                // What may not follow is left to the one who writes the ledger.
                if self.book.apply(&entry).is_err() {
                    return;
                }
            }
        }
        let unread = |object: &Recorded| {
            let known = |(known, _): &(Identity, Vec<u8>)| known.has_number_of(&object.identity);
            object.role == Role::Control && !look.controls.iter().any(known)
        };
        self.has_unread_list = self.book.open_objects().any(unread);
    }

    fn of_living(&self, look: &Snapshot) -> Vec<ObjectSeen> {
        let here = |place: &Place| {
            (&place.boot, &place.ipc_namespace, &place.pid_namespace)
                == (&look.place.boot, &look.place.ipc_namespace, &look.place.pid_namespace)
        };
        let run = self.book.open_runs().last();
        let run = run.filter(|run| self.book.places.get(run.place).is_some_and(here));
        run.map_or_else(Vec::new, |run| {
            let lives = |claimed: ProcessRef| {
                look.process(claimed.pid).here().is_some_and(|found| found.may_be(claimed))
            };
            attribute::created_by_claimed(
                &self.book,
                run,
                look.segments.seen().as_slice(),
                How::Claim,
                lives,
            )
        })
    }
}

/// A run whose launcher was the first process of another PID namespace: without the lock nothing
/// shows whether that namespace is dead.
fn may_live_in_container(book: &Book, look: &Snapshot) -> Option<u64> {
    let elsewhere = |run: &&Run| {
        let place = book.places.get(run.place);
        place.is_some_and(|place| {
            place.boot == look.place.boot && place.pid_namespace != look.place.pid_namespace
        })
    };
    let first = book.open_runs().filter(elsewhere).find(|run| run.start.launcher.pid == 1);
    first.map(|run| run.start.run)
}

/// The launcher of the last run, if it lives: also after its server's end, while it cleans up.
fn launcher(book: &Book, look: &Snapshot) -> Option<i32> {
    let run = book.last_run()?;
    let place = book.places.get(run.place)?;
    let same = place.boot == look.place.boot && place.pid_namespace == look.place.pid_namespace;
    let process = look.process(run.start.launcher.pid).here()?;
    let lives = process.may_be(run.start.launcher) && !process.ended;
    (same && lives).then_some(process.process.pid)
}
