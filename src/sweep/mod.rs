//! The whole way once, over one locked ledger: look, judge, record what is found, decide, act.
//!
//! Used by `sweep`, by `run` before it starts a server and after that has ended. Idempotent: what
//! was interrupted is finished by the next call.

use std::collections::BTreeSet;
use std::time::Duration;

mod adopted;
mod again;
mod appeared;
mod beside;
mod carry_out;
mod hands;
pub mod remove;
mod report;
mod shared;
pub mod wanted;
mod without_process;

use beside::Beside;
pub use report::{Fate, Report, Settled, State};
pub use shared::Shared;

use crate::attribute;
use crate::engine;
use crate::error::Result;
use crate::judge::{self, Action, Evidence, Life, Policy, Reason};
use crate::ledger::Ledger;
use crate::ledger::book::Run;
use crate::ledger::record::{End, Record, VERSION_OF_UNBORN};
use crate::object::{Identity, Place};
use crate::snapshot::tables::ListedFile;
use crate::snapshot::{self, Scope, Seen, Snapshot};

/// Longest that the rest of a PID namespace was seen to outlive its first process was 40 ms.
const NAMESPACE_DEATH: Duration = Duration::from_secs(1);

/// Settles what a ledger's dead servers left. The caller holds the lock.
///
/// # Errors
/// Where the kernel cannot be looked at, or the ledger not be written: nothing further is removed.
pub fn once(ledger: &mut Ledger, policy: &Policy) -> Result<Report> {
    once_of_several(ledger, policy, None)
}

/// Settles one of several ledgers, which share a look that may say that a server lives.
///
/// # Errors
/// As [`once`].
pub fn once_of_several(
    ledger: &mut Ledger,
    policy: &Policy,
    shared: Option<&mut Shared>,
) -> Result<Report> {
    let nothing = |state| Ok(Report { state, objects: Vec::new() });
    let policy = &Policy { remover: judge::remover_of(ledger.owner().0), ..policy.clone() };
    let place = snapshot::place::here()?;
    if ledger.book.place().is_none() {
        return nothing(State::Settled);
    }
    if ledger.book.place().is_some_and(|known| known.boot != place.boot) {
        return nothing(if was_settled(ledger) { State::Settled } else { State::Void });
    }
    let appeared = appeared::may_be(ledger, &place);
    let is_over = ledger.book.open_runs().next().is_none() && !may_have_unseen(ledger);
    if was_settled(ledger) && is_over && !appeared {
        return nothing(State::Settled);
    }
    if ledger.book.is_of_adopted() {
        return adopted::settle(ledger, policy);
    }
    if let Some(shared) = shared
        && let Some(report) = shared.living(ledger, policy)?
    {
        return Ok(report);
    }
    if relies_on_a_dead_namespace(ledger, &place) {
        std::thread::sleep(NAMESPACE_DEATH);
    }
    let look = look_at_directories(ledger, snapshot::take_at(place, scope_of_life(ledger))?);
    let look = look_for_hidden(ledger, look);
    let life = judge::life::judge(&ledger.book, &look, policy);
    if let Life::Live(evidence) = &life {
        return Ok(report_living(ledger, look, evidence, policy).0);
    }
    settle_unseen(ledger, look, &life, policy)
}

/// Reports an instance that lives; gives back the look that tells.
fn report_living(
    ledger: &Ledger,
    look: Snapshot,
    evidence: &Evidence,
    policy: &Policy,
) -> (Report, Snapshot) {
    let look = look_for_last_users(ledger, look_at_calls(ledger, look, true));
    // Of those who hold something of it the one that shows its life is named; a walk over all the
    // others would disturb them for a report that removes nothing.
    let look = match evidence.holder() {
        Some(holder) => look.with_maps_of(holder.process),
        None => look,
    };
    let (state, life) = (State::Live(evidence.clone()), Life::Live(evidence.clone()));
    let verdicts = judge::decide(&ledger.book, &look, &life, &[], policy);
    let objects: Vec<Settled> = verdicts.iter().filter_map(carry_out::kept_object).collect();
    (Report { state, objects }, look)
}

/// Goes on where no server is seen to live: only now it is asked what processes map and have open.
fn settle_unseen(
    ledger: &mut Ledger,
    look: Snapshot,
    life: &Life,
    policy: &Policy,
) -> Result<Report> {
    let look = with_maps(ledger, look)?;
    let look = look_for_last_users(ledger, look_at_calls(ledger, look, false));
    close_runs(ledger, &look, policy)?;
    // What cannot be seen counts as alive.
    if let Life::Unseen(evidence) = life {
        let verdicts = judge::decide(&ledger.book, &look, life, &[], policy);
        let objects: Vec<Settled> = verdicts.iter().filter_map(carry_out::kept_object).collect();
        return Ok(Report { state: State::Live(evidence.clone()), objects });
    }
    let copy = ledger.book.is_copy();
    let (look, mut suspects) = attribute_all(ledger, look, &BTreeSet::new())?;
    note_detached(ledger, &look)?;
    // Which segment is the main one may only be known now: its count needs nobody to be seen.
    let life = judge::life::judge(&ledger.book, &look, policy);
    // What was found just now may be mapped, also by those who came since.
    let mut look = look_at_files(ledger, with_maps(ledger, look)?);
    let mut peers = Beside::of(policy);
    let mut verdicts = judge::decide(&ledger.book, &look, &life, &suspects, policy);
    look = peers.spare(&mut verdicts, ledger, look);
    let unread = headers_to_read(&verdicts, ledger, &look);
    if !unread.is_empty() {
        (look, suspects) = attribute_all(ledger, look, &unread)?;
        look = look_at_files(ledger, look);
        verdicts = judge::decide(&ledger.book, &look, &life, &suspects, policy);
        look = peers.spare(&mut verdicts, ledger, look);
    }
    let mut objects =
        carry_out::carry_out(&verdicts, ledger, &mut without_process::WithoutProcess::new(policy))?;
    appeared::name(&mut objects, ledger, &look, &mut peers)?;
    let state = match objects.as_slice() {
        [] if !copy || ledger.book.open_runs().next().is_none() => State::Settled,
        _ if copy => State::Copy,
        all if all.iter().all(elsewhere) => State::Void,
        _ => State::Dead,
    };
    Ok(Report { state, objects })
}

/// Looks at what processes map, those that came since included, where something is recorded that
/// may be mapped and that was not done.
fn with_maps(ledger: &Ledger, look: Snapshot) -> Result<Snapshot> {
    let wider = scope(ledger, &look);
    if !wider.maps || look.has_maps() {
        return Ok(look);
    }
    Ok(look.with_newcomers(wider)?.with_maps(wider))
}

/// Checks that an object cannot be reached, or its life cannot be seen, from here.
fn elsewhere(object: &Settled) -> bool {
    use Reason::{OtherIpcNamespace, OtherMount, Unseen};
    matches!(&object.result, Fate::Kept(OtherIpcNamespace | OtherMount | Unseen(_)))
}

/// Checks that the death of a server follows from that of its PID namespace alone. The first
/// process of a namespace lets go of its lock before the kernel has killed the rest
/// (`kernel/exit.c`).
fn relies_on_a_dead_namespace(ledger: &Ledger, here: &Place) -> bool {
    let book = &ledger.book;
    book.runs.values().any(|run| {
        let elsewhere = book.places.get(run.place).is_some_and(|place| {
            place.boot == here.boot && place.pid_namespace != here.pid_namespace
        });
        let open = run.end.is_none() || book.of_run(run.start.run).any(|o| book.is_open(o));
        book.died_with_its_launcher(run) && elsewhere && open
    })
}

/// Returns what has to be looked at: what processes map only where a file is recorded, or somebody
/// has a segment attached and is to be named.
fn scope(ledger: &Ledger, look: &Snapshot) -> Scope {
    let book = &ledger.book;
    let maps = book.open_objects().any(|object| match &object.identity {
        Identity::Posix(_) => true,
        Identity::Sem(_) | Identity::Msg(_) => false,
        Identity::Shm(segment) => match look.segment(segment.id) {
            Seen::Here(row) => row.nattch > 0,
            Seen::Gone => false,
            Seen::Denied => true,
        },
    });
    // Files that no list of the server's names are reported only where nobody maps them.
    let lists =
        book.runs.values().flat_map(|run| &run.claims).any(|claim| claim.engine.lists_its_memory);
    Scope { maps: maps || lists, ..scope_of_life(ledger) }
}

/// Returns the look that the life of an instance is judged by: nobody's mappings, and control
/// groups only of services without a known server.
fn scope_of_life(ledger: &Ledger) -> Scope {
    let mut claims = ledger.book.runs.values().flat_map(|run| &run.claims);
    let control_groups = claims
        .any(|claim| !claim.engine.is_known() && claim.control_group.0.ends_with(b".service"));
    Scope { control_groups, ..shared::SCOPE }
}

/// Asks the kernel for claimed processes that `/proc` does not show (`hidepid`), and for the
/// directories of those whose program has a name that nobody knows.
#[must_use]
pub fn look_for_hidden(ledger: &Ledger, look: Snapshot) -> Snapshot {
    let claimed = wanted::claimed(&ledger.book, &look);
    look.with_claimed(&claimed).with_directories_of(&wanted::renamed_programs(&ledger.book))
}

/// Looks at sets and queues, and at the use of those whose creator may be one of the ledger's; only
/// where it has some, or where claimed processes may have some that it has not.
#[must_use]
pub fn look_at_calls(ledger: &Ledger, look: Snapshot, recorded_only: bool) -> Snapshot {
    let creators = wanted::Creators::of(&ledger.book, recorded_only);
    if creators.is_nobody() { look } else { look.with_calls(|uid| creators.has(uid)) }
}

/// Looks for who has a recorded file open, where no main segment tells that nobody uses it.
#[must_use]
pub fn look_at_files(ledger: &Ledger, look: Snapshot) -> Snapshot {
    let files = wanted::files(&ledger.book, &look);
    look.with_opened(&files)
}

/// Looks for the last users of recorded segments that nobody has attached.
#[must_use]
pub fn look_for_last_users(ledger: &Ledger, look: Snapshot) -> Snapshot {
    let last = wanted::last_users(&ledger.book, &look);
    look.with_last_users(last)
}

/// Checks that the ledger has nothing open.
fn was_settled(ledger: &Ledger) -> bool {
    ledger.book.open_objects().next().is_none()
}

/// Checks for objects that may be there without being recorded: of a claimed process whose end was
/// not seen with its objects.
fn may_have_unseen(ledger: &Ledger) -> bool {
    ledger.book.last_run().is_some_and(|run| run.claims.iter().any(|claim| claim.ended.is_none()))
}

/// Reads the data directories that the ledger names, as the ledger's owner.
#[must_use]
pub fn look_at_directories(ledger: &Ledger, look: Snapshot) -> Snapshot {
    look.with_directories(ledger.owner(), &wanted::directories(&ledger.book))
}

/// Notes the end of every run that is over and that nobody saw end; of a run elsewhere only where
/// something of it lies here, or a new run begins.
fn close_runs(ledger: &mut Ledger, look: &Snapshot, policy: &Policy) -> Result<()> {
    let book = &ledger.book;
    let concerns = |run: &Run| {
        let place = book.places.get(run.place);
        policy.starting
            || place.is_some_and(|place| place.ipc_namespace == look.place.ipc_namespace)
            || book.of_run(run.start.run).any(|object| match &object.identity {
                Identity::Posix(file) => {
                    look.place.shm_mount.as_ref() == Some(&file.mount) && book.is_open(object)
                }
                _ => false,
            })
    };
    let over: Vec<u64> = book
        .open_runs()
        .filter(|run| concerns(run) && judge::life::is_over(book, run, look))
        .map(|run| run.start.run)
        .collect();
    for run in over {
        ledger.note(Record::End { run, end: End::Unknown })?;
    }
    ledger.flush()
}

/// Records what the tables, the headers and the lists prove to be the instance's; gives back what
/// they only suggest. A round each for the main segment, its role, the control segment, its role,
/// and what that lists.
fn attribute_all(
    ledger: &mut Ledger,
    mut look: Snapshot,
    going: &BTreeSet<i32>,
) -> Result<(Snapshot, Vec<attribute::Suspect>)> {
    let mut suspects = Vec::new();
    for _ in 0..10 {
        look = read_contents(ledger, look, going)?;
        let found;
        (found, suspects) = attribute::proven(&ledger.book, &look);
        let more = !found.is_empty();
        for seen in found {
            ledger.note(Record::Object(seen))?;
        }
        let wanted = !wanted::headers(&ledger.book, &look, going).is_empty()
            || !attribute::controls_wanted(&ledger.book, &look).is_empty();
        if !more && !wanted {
            break;
        }
    }
    ledger.flush()?;
    Ok((look, suspects))
}

/// Notes when the main segments of dead servers had been detached last, before the reading of them
/// became the last: it is what tells files without birth times that are older than the death.
fn note_detached(ledger: &mut Ledger, look: &Snapshot) -> Result<()> {
    let book = &ledger.book;
    let unborn = |file: &ListedFile| file.identity.birth.only_changed().is_some();
    let without_birth = look.files.seen().any(unborn);
    if !without_birth || book.version < VERSION_OF_UNBORN {
        return Ok(());
    }
    let unknown = book.runs.values().filter(|run| run.end.is_some() && run.detached.is_none());
    let times = unknown.filter_map(|run| {
        let run = run.start.run;
        Some((run, attribute::last_detach(book, run, look)?))
    });
    for (run, seconds) in times.collect::<Vec<(u64, i64)>>() {
        ledger.note(Record::Detached { run, seconds })?;
    }
    ledger.flush()
}

/// Lists the segments that are going and whose first bytes were not read before that was decided.
fn headers_to_read(verdicts: &[Action], ledger: &Ledger, look: &Snapshot) -> BTreeSet<i32> {
    // A dry run leaves everything as it is, the last user of a segment too.
    if ledger.pretends() {
        return BTreeSet::new();
    }
    let wanted = attribute::headers_wanted(&ledger.book, look);
    let going = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Remove(removal) => match removal.identity() {
            Identity::Shm(segment) => Some(segment.id),
            _ => None,
        },
        Action::Keep(_) | Action::Forget(_) => None,
    });
    going.filter(|id| wanted.binary_search(id).is_ok()).collect()
}

/// Reads headers and control segments that are wanted and can be had, as the ledger's owner.
fn read_contents(ledger: &Ledger, look: Snapshot, going: &BTreeSet<i32>) -> Result<Snapshot> {
    let headers = wanted::headers(&ledger.book, &look, going);
    let lists = attribute::controls_wanted(&ledger.book, &look);
    let acting = ledger.as_owner()?;
    let look = look.with_contents(&headers, engine::HEADER_BYTES, &lists);
    drop(acting);
    Ok(look)
}
