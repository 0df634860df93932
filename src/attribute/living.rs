//! The holdings of a living server that nobody watched from its start: which of them are proven to
//! be its own. Pure.
//!
//! A server that lives has its pid now, and may not always have had it: what bears the pid may be
//! left from an earlier process of that number. Such a doubt is reported, and nothing claimed.

pub mod calls;

use super::listed;
use super::proof::{bears_claim, seen_with, written};
use super::{Found, is_recorded, number};
use crate::ledger::Book;
use crate::ledger::book::Run;
use crate::ledger::record::{Claim, How, ObjectSeen, Role};
use crate::object::{Identity, ProcessRef};
use crate::snapshot::{Mapped, Snapshot, identity_of};
use crate::sys::shm::{MODE_DEST, Row};

/// Seconds by which a segment may seem older than its creator: its time is in whole ones.
const ROUNDING: i64 = 1;

/// The server or one of its living descendants.
#[derive(Debug, Clone)]
pub struct Member {
    /// The process.
    pub process: ProcessRef,
    /// The time at which it began, in seconds since the epoch by the clock as it is set now.
    pub began: i64,
    /// The objects that it maps; `None` where it may not be looked into.
    pub holds: Option<Vec<Mapped>>,
}

impl Member {
    fn holds(&self, row: &Row) -> bool {
        self.holds.as_ref().is_some_and(|all| all.contains(&Mapped::Segment(row.id)))
    }

    /// Checks that a segment which bears this process's pid is no earlier process's: it is not
    /// older than the process, which has it attached.
    fn made(&self, row: &Row) -> bool {
        row.ctime.saturating_add(ROUNDING) >= self.began && self.holds(row)
    }
}

/// Segments that bear the claimed pid, recorded where that is proven, else given by number.
///
/// `known` says that the claim was in the ledger before this look: its process has been the only
/// one of that number since, so what was not there then is its own.
#[must_use]
pub fn created(
    book: &Book,
    claim: &Claim,
    known: bool,
    server: &Member,
    look: &Snapshot,
) -> (Vec<ObjectSeen>, Vec<i32>) {
    let (mut found, mut doubtful): (Vec<Found>, Vec<i32>) = (Vec::new(), Vec::new());
    for row in look.segments.seen().filter(|row| bears_claim(claim, row)) {
        let identity = Identity::Shm(identity_of(row));
        if is_recorded(book, &identity) {
            continue;
        }
        let lived = seen_with(claim, row.perm.creator_uid) && (known || server.made(row));
        let lived = lived.then_some(How::Claim);
        match written(claim, row, look).or(lived) {
            Some(how) => found.push((claim.run, how, Role::Other, identity)),
            None => doubtful.push(row.id),
        }
    }
    (number(book, found), doubtful)
}

/// Segments that living descendants of the server made, as far as that is proven.
#[must_use]
pub fn created_below(
    book: &Book,
    claim: &Claim,
    descendants: &[Member],
    look: &Snapshot,
) -> Vec<ObjectSeen> {
    let mut all: Vec<(Found, ProcessRef)> = Vec::new();
    for row in look.segments.seen().filter(|row| row.perm.mode & MODE_DEST == 0) {
        let maker = descendants.iter().find(|member| member.process.pid == row.creator_pid);
        let Some(maker) = maker.filter(|maker| maker.made(row)) else { continue };
        let identity = Identity::Shm(identity_of(row));
        let own = look.process(maker.process.pid).here().and_then(|process| process.uids);
        let own = own.is_some_and(|uids| uids.contains(&row.perm.creator_uid));
        if (own || seen_with(claim, row.perm.creator_uid)) && !is_recorded(book, &identity) {
            all.push(((claim.run, How::Watch, Role::Other, identity), maker.process));
        }
    }
    let (found, makers): (Vec<Found>, Vec<ProcessRef>) = all.into_iter().unzip();
    let numbered = number(book, found).into_iter().zip(makers);
    numbered.map(|(seen, maker)| ObjectSeen { creator: Some(maker), ..seen }).collect()
}

/// Returns what the lists of a run's server name, of which the look has the content.
#[must_use]
pub fn listed(book: &Book, run: &Run, look: &Snapshot) -> Vec<ObjectSeen> {
    let (mut found, mut suspects) = (Vec::new(), Vec::new());
    for object in book.open_objects().filter(|object| object.run == run.start.run) {
        listed::by(book, run, object, look, &mut found, &mut suspects);
    }
    number(book, found)
}

/// Returns what the server has attached or mapped and no ledger line has yet: somebody else's, for
/// all that is known.
#[must_use]
pub fn used(book: &Book, run: u64, server: &Member, look: &Snapshot) -> Vec<Identity> {
    let identity = |mapped: &Mapped| match mapped {
        Mapped::Segment(id) => look.segment(*id).here().map(|row| Identity::Shm(identity_of(row))),
        Mapped::File(file) => {
            let mut files = look.files.seen().map(|known| &known.identity);
            let file = files.find(|known| known.file == *file);
            file.map(|file| Identity::Posix(file.clone()))
        }
    };
    let noted =
        |identity: &Identity| book.used.iter().any(|(of, known)| *of == run && known.is(identity));
    let all = server.holds.iter().flatten().filter_map(identity);
    all.filter(|identity| !is_recorded(book, identity) && !noted(identity)).collect()
}
