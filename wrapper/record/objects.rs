//! The holdings of the server, written into its ledger: what it made and what its own lists name is
//! its own; what it only attaches or maps is noted as used.

use std::path::PathBuf;

use shmwarden::attribute::living::{self, Member};
use shmwarden::attribute::{self, bears_claim};
use shmwarden::engine::{self, Engine};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::record::{Claim, DataDir, Record, Role};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{self, Mapped, Process, Seen, Snapshot, processes};
use shmwarden::{Error, Result, sweep};

use super::calls;
use super::target::Target;
use crate::recording::claim::{self, Server};
use crate::recording::{Watch, sets};

/// Rounds until every list is read: main segment, its role, control segment, what that lists.
const ROUNDS: usize = 4;

/// The things that a pass could not do.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Segments that bear the server's pid and may be older than it.
    pub(super) older: Vec<i32>,
    /// Sets and queues that it used last and that are not provably its own.
    pub(super) calls: Vec<Identity>,
    /// Set where the server's memory may not be read.
    pub(super) closed: bool,
}

/// Claims the server, and notes what it has; `known` is its claim of an earlier pass.
///
/// # Errors
/// What the kernel says; nothing has been written.
pub(super) fn note(
    ledger: &mut Ledger,
    run: u64,
    target: &Target,
    known: Option<&Claim>,
    look: Snapshot,
) -> Result<(Snapshot, Doubts)> {
    let mut claim = claimed(run, target, known)?;
    let look = sweep::look_at_directories(ledger, look).with_directory(target.data.clone());
    let (look, mut doubts) = read_headers(&claim, target, look);
    let server = member(target.process, &look);
    let found = living::created(&ledger.book, &claim, known.is_some(), &server, &look);
    doubts.older = found.1;
    claim.before.extend(&doubts.older);
    let below: Vec<ProcessRef> =
        descendants(target.process, &look).map(|process| process.process).collect();
    let look = look.with_calls(|uid| attribute::uid_fits(&claim, uid));
    let found_calls = calls::look(ledger, &mut claim, known, &server, &below, &look);
    // A timer may call this every minute for years.
    if known != Some(&claim) {
        ledger.note(Record::Claim(claim.clone()))?;
    }
    Watch::follow(run, ledger, look.segments.seen().as_slice())?;
    sets::follow_once(run, ledger)?;
    for seen in found.0 {
        ledger.note(Record::Object(seen))?;
    }
    let look = note_lists(ledger, run, target, look)?;
    let makers = makers(target.process, &claim, &look);
    for seen in living::created_below(&ledger.book, &claim, &makers, &look) {
        ledger.note(Record::Object(seen))?;
    }
    doubts.calls = calls::note(ledger, run, found_calls, &below)?;
    for identity in
        living::used(&ledger.book, run, &server, &look).into_iter().take(calls::MOST_USED)
    {
        ledger.note(Record::Used { run, identity })?;
    }
    Ok((look, doubts))
}

/// Returns the claim as it stands now.
///
/// # Errors
/// [`Error::Io`] where it cannot be made: a server without a claim is not recorded.
fn claimed(run: u64, target: &Target, known: Option<&Claim>) -> Result<Claim> {
    let server = Server { engine: Engine::GENERIC, auto: true, data: None, program: None };
    let pid = target.process.pid;
    let failed = |why: String| {
        let process = PathBuf::from(format!("process {pid}"));
        Error::io("cannot claim", &process)(std::io::Error::other(why))
    };
    let first = match known {
        Some(known) => known.clone(),
        None => claim::of(run, pid, &server, &[]).map_err(failed)?,
    };
    let mut claim = claim::again(&first, true).map_err(failed)?.unwrap_or(first);
    if !claim.engine.is_known() {
        claim.engine = target.engine;
    }
    if let Some((directory, file)) = target.data.as_ref().and_then(|d| Some((d, d.file?))) {
        let path = directory.path.clone();
        let same = claim.data.as_ref().is_some_and(|data| data.file == file);
        claim.data = if same { claim.data } else { Some(DataDir { path, file }) };
        claim.major = directory.major.or(claim.major);
    }
    match claim.process == target.process {
        true => Ok(claim),
        false => Err(failed("it has ended".to_owned())),
    }
}

/// Reads the first bytes of what bears the server's pid, through its memory.
fn read_headers(claim: &Claim, target: &Target, look: Snapshot) -> (Snapshot, Doubts) {
    let mut doubts = Doubts::default();
    if !target.engine.is_known() {
        return (look, doubts);
    }
    let ids: Vec<i32> =
        look.segments.seen().filter(|row| bears_claim(claim, row)).map(|row| row.id).collect();
    let look = look.with_headers_of(target.process.pid, &ids, engine::HEADER_BYTES);
    for id in ids.into_iter().filter(|id| !look.headers.contains_key(id)) {
        doubts.closed |= holds(target.process, id);
    }
    (look, doubts)
}

fn holds(process: ProcessRef, id: i32) -> bool {
    processes::one(process.pid).is_some_and(|found| found.mappings(Mapped::Segment(id)) > 0)
}

/// Records what the header and the control segment name, as the ledger's owner.
fn note_lists(
    ledger: &mut Ledger,
    run: u64,
    target: &Target,
    mut look: Snapshot,
) -> Result<Snapshot> {
    for _ in 0..ROUNDS {
        let again = attribute::roles(&ledger.book, &look).into_iter();
        let again = again.chain(attribute::header::uncopied(&ledger.book, &look));
        let mut found: Vec<_> = again.filter(|seen| seen.run == run).collect();
        if found.is_empty() {
            look = read_controls(ledger, run, target, look)?;
            if let Some(run) = ledger.book.runs.get(&run) {
                found = living::listed(&ledger.book, run, &look);
            }
        }
        for seen in found {
            ledger.note(Record::Object(seen))?;
        }
    }
    Ok(look)
}

/// Reads the lists that were not read yet: of a file by reading it, as the ledger's owner; of a
/// segment in the server's own memory.
fn read_controls(ledger: &Ledger, run: u64, target: &Target, look: Snapshot) -> Result<Snapshot> {
    let open = ledger.book.open_objects();
    let lists = open.filter(|object| object.run == run && object.role == Role::Control);
    let lists = lists.map(|object| object.identity.clone()).filter(|list| !look.has_list(list));
    let (files, segments): (Vec<Identity>, Vec<Identity>) =
        lists.partition(|list| matches!(list, Identity::Posix(_)));
    let acting = ledger.as_owner()?;
    let look = look.with_living_lists(&files, &[]);
    drop(acting);
    Ok(look.with_living_lists(&segments, &[target.process.pid]))
}

/// A process with what it maps.
fn member(process: ProcessRef, look: &Snapshot) -> Member {
    let maps = processes::one(process.pid).filter(|found| found.process == process);
    let maps = maps.filter(|found| found.same_ipc != Some(false)).and_then(|found| found.maps);
    let holds = match maps {
        Some(Seen::Here(all)) => Some(all.into_iter().map(|(mapped, _)| mapped).collect()),
        _ => None,
    };
    let ago = snapshot::boot_ticks().saturating_sub(process.start) / snapshot::ticks_a_second();
    let now = look.now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let began = i64::try_from(now.saturating_sub(ago)).unwrap_or(i64::MAX);
    Member { process, began, holds }
}

/// The server's descendants that had not ended at the look.
fn descendants(server: ProcessRef, look: &Snapshot) -> impl Iterator<Item = &Process> {
    look.processes.seen().filter(move |process| {
        let mut at = Some(*process);
        let mut ours = (0..look.processes.seen().len()).map(|_| {
            at = at.and_then(|process| look.process(process.parent).here());
            at
        });
        !process.ended
            && process.process != server
            && process.process.start >= server.start
            && ours.by_ref().map_while(|at| at).any(|parent| parent.process == server)
    })
}

/// Those that live and seem to have made a segment: others are not looked into.
fn makers(server: ProcessRef, claim: &Claim, look: &Snapshot) -> Vec<Member> {
    let made = |pid: i32| {
        let fits = |uid: u32| attribute::uid_fits(claim, uid);
        look.segments.seen().any(|row| row.creator_pid == pid && fits(row.perm.creator_uid))
    };
    let below = descendants(server, look).filter(|process| made(process.process.pid));
    let members = below.map(|process| member(process.process, look));
    // Asked after the table was read: the number was this process's own then.
    members.filter(|member| processes::lives(member.process)).collect()
}
