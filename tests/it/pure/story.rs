//! Ledgers told as stories for the pure tests, the way of `sweep::once` over them, without its
//! writing and removing, and the crashed server that most tests begin with.

use shmwarden::attribute::{self, Suspect};
use shmwarden::judge::{self, Action, Life, Policy, Reason};
use shmwarden::ledger::OwnFile;
use shmwarden::ledger::book::Illegal;
use shmwarden::ledger::record::{Claim, End, Record, Role};
use shmwarden::ledger::{Book, Entry, line};
use shmwarden::object::{Identity, ProcessRef, Segment, ShmFile};
use shmwarden::snapshot::{Snapshot, Table};

use super::make::{
    CONTROL_HANDLE, Change, DATA, DYNAMIC_HANDLE, FORKS, SERVER, claim, control_list, files,
    header, here, look, main_header, posix, posix_of, row, run, seen, segment, shm, time,
};

/// Entries that may follow one another, and the book that they make.
#[derive(Debug, Clone, Default)]
pub struct Story {
    pub entries: Vec<Entry>,
    pub book: Book,
}

impl Story {
    /// A header of here, run 1, and the claim of its server.
    pub fn of(claim: Claim) -> Self {
        Self::default().then(header(here())).then(run(1)).at_forks(FORKS, Record::Claim(claim))
    }

    pub fn then(self, record: Record) -> Self {
        self.told(None, record)
    }

    /// The ledger as it was read from this file.
    pub fn read_from(mut self, file: OwnFile) -> Self {
        self.book.is_read_from(Some(file));
        self
    }

    /// An entry of a moment when the server was seen alive.
    pub fn at_forks(self, forks: u64, record: Record) -> Self {
        self.told(Some(forks), record)
    }

    pub fn object(self, object: u64, role: Role, identity: Identity) -> Self {
        self.then(Record::Object(seen(object, role, identity)))
    }

    /// The end of a run as a launcher notes it that saw it, or, unknown, as a later sweep does.
    pub fn end(self, run: u64, end: End) -> Self {
        let claims = self.book.runs[&run].claims.iter();
        let claimed = claims.filter(|claim| claim.ended.is_none() && end != End::Unknown);
        let ended: Vec<ProcessRef> = claimed.map(|claim| claim.process).collect();
        let reaped = |process| Record::Reaped { run, process, end };
        let story = ended.into_iter().fold(self, |story, process| story.then(reaped(process)));
        story.then(Record::End { run, end })
    }

    /// Appends a record, if it may follow.
    pub fn tell(&mut self, forks: Option<u64>, record: Record) -> Result<(), Illegal> {
        let seq = self.book.seq + 1;
        let entry = Entry { seq, at: time(seq), forks, record };
        self.book.apply(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.entries.iter().flat_map(line::encode).collect()
    }

    fn told(mut self, forks: Option<u64>, record: Record) -> Self {
        let told = self.tell(forks, record);
        assert_eq!(told, Ok(()));
        self
    }
}

/// Does what `sweep::once` does between its look and its first removal: judges the life, closes the
/// runs, attributes in rounds, decides.
pub fn settle(book: &Book, look: &Snapshot, policy: &Policy) -> (Life, Vec<Action>) {
    let mut story = Story { entries: vec![], book: book.clone() };
    let life = judge::life::judge(book, look, policy);
    let mut suspects = Vec::new();
    if !matches!(life, Life::Live(_)) {
        let over = book.open_runs().filter(|run| judge::life::is_over(book, run, look));
        let over: Vec<u64> = over.map(|run| run.start.run).collect();
        for run in over {
            story = story.end(run, End::Unknown);
        }
    }
    if let Life::Dead(_) = life {
        (story, suspects) = attributed(story, look);
    }
    let verdicts = judge::decide(&story.book, look, &life, &suspects, policy);
    for verdict in &verdicts {
        if let Action::Remove(removal) = verdict {
            // What the decision allows the ledger must allow: an intent is written before.
            let (object, reason) = (removal.object(), String::new());
            let intended = story.clone().tell(None, Record::Intent { object, reason });
            assert_eq!(intended, Ok(()));
        }
    }
    (life, verdicts)
}

/// Records what is proven, until nothing new is, and gives back what is only suspected.
pub fn attributed(mut story: Story, look: &Snapshot) -> (Story, Vec<Suspect>) {
    let mut suspects = Vec::new();
    for _ in 0..6 {
        for again in attribute::roles(&story.book, look) {
            story = story.then(Record::Object(again));
        }
        let (found, doubtful) = attribute::after_death(&story.book, look);
        suspects = doubtful;
        for new in found {
            story = story.then(Record::Object(new));
        }
    }
    (story, suspects)
}

/// As [`sweep::once`], with no options, for one object's reason; `None` where it would be removed.
pub fn reason(book: &Book, look: &Snapshot, object: u64) -> Option<Reason> {
    reason_among(&settle(book, look, &Policy::default()).1, object)
}

pub fn reason_among(verdicts: &[Action], object: u64) -> Option<Reason> {
    let of_it = verdicts.iter().find_map(|verdict| match verdict {
        Action::Remove(removal) if removal.object() == object => Some(None),
        Action::Keep(kept) if kept.object == Some(object) => Some(Some(kept.reason.clone())),
        Action::Forget(gone) if gone.number == object => Some(Some(Reason::Gone)),
        _ => None,
    });
    of_it.unwrap_or_else(|| panic!("no verdict on object {object}: {verdicts:?}"))
}

/// The codes of what is only suspected.
pub fn codes_of_suspects(verdicts: &[Action]) -> Vec<&'static str> {
    let kept = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Keep(kept) if kept.object.is_none() => Some(kept.reason.code()),
        _ => None,
    });
    kept.collect()
}

/// The objects that would be removed, in that order.
pub fn removed(verdicts: &[Action]) -> Vec<Identity> {
    let removals = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Remove(removal) => Some(removal.identity().clone()),
        _ => None,
    });
    removals.collect()
}

/// As [`removed`], of the whole way with no options.
pub fn would_remove(book: &Book, look: &Snapshot) -> Vec<Identity> {
    removed(&settle(book, look, &Policy::default()).1)
}

/// A PostgreSQL 15 that died of SIGKILL, with `dynamic_shared_memory_type=posix`: object 1 is its
/// main segment, 2 the control segment, 3 what that lists.
#[derive(Debug, Clone)]
pub struct Crashed {
    pub main: Segment,
    pub control: ShmFile,
    pub dynamic: ShmFile,
    pub story: Story,
    pub look: Snapshot,
}

/// What all of [`Crashed`] is in the order of removal.
pub const IN_ORDER: [u64; 3] = [3, 2, 1];

pub fn crashed() -> Crashed {
    crashed_as(claim(1), End::Signal(9))
}

pub fn crashed_as(claim: Claim, end: End) -> Crashed {
    let (main, control) = (segment(0), posix_of(CONTROL_HANDLE));
    let dynamic = posix_of(DYNAMIC_HANDLE);
    let wide = claim.major.is_none_or(|major| major >= 14);
    let story = Story::of(claim)
        .object(1, Role::Main, shm(&main))
        .object(2, Role::Control, posix(&control))
        .object(3, Role::Dynamic, posix(&dynamic))
        .end(1, end);
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&main)]));
    look.change(|look| look.files = files(vec![control.clone(), dynamic.clone()]));
    look.change(|look| look.headers = [(0, main_header(SERVER.pid, CONTROL_HANDLE, DATA))].into());
    look.change(|look| {
        look.controls = vec![(posix(&control), control_list(wide, &[DYNAMIC_HANDLE]))]
    });
    Crashed { main, control, dynamic, story, look }
}

impl Crashed {
    pub fn reason(&self, object: u64) -> Option<Reason> {
        reason(&self.story.book, &self.look, object)
    }

    /// The code of the reason that keeps everything; `removed` or `mixed` otherwise.
    pub fn code_of_all(&self) -> &'static str {
        let code = |object: u64| self.reason(object).map_or("removed", |reason| reason.code());
        let codes = IN_ORDER.map(code);
        if codes.iter().all(|code| *code == codes[0]) { codes[0] } else { "mixed" }
    }
}
