//! The whole way once, over one locked ledger: look, judge, record what is found, decide, act.
//!
//! Used by `sweep`, by `run` before it starts a server and after that has ended. Idempotent: what
//! was interrupted is finished by the next call.

use std::time::{Duration, SystemTime};

use crate::act::act;
use crate::attribute;
use crate::decide::{self, Evidence, Holder, Life, Policy, Reason, Removal, Verdict};
use crate::engine::postgres;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::book::{Run, Standing};
use crate::ledger::record::{End, Outcome, Record};
use crate::object::{EngineName, Identity, Place};
use crate::observe::{self, Observation, Scope, contents, data_dir};

/// Longest that the rest of a PID namespace was seen to outlive its first process was 40 ms.
const NAMESPACE_DEATH: Duration = Duration::from_secs(1);

/// The state that an instance was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its server lives.
    Live(Evidence),
    /// Its server is dead, and something is left or was removed.
    Dead,
    /// Nothing is left to be done.
    Settled,
    /// The ledger means nothing here.
    Void,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Removed.
    Removed,
    /// Gone without our doing.
    Gone,
    /// Stays, for this reason.
    Kept(Reason),
    /// Somebody attached it between decision and removal.
    Raced(String),
    /// The kernel refused.
    Failed(String),
    /// Would be removed, were this no dry run.
    WouldRemove,
}

/// One object of a report.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The object.
    pub identity: Identity,
    /// What became of it.
    pub result: Fate,
    /// The evidence, as a sentence.
    pub evidence: String,
    /// Who holds it.
    pub holders: Vec<Holder>,
    /// Whether it is in the ledger; what is not was only found beside it.
    pub recorded: bool,
}

/// What a pass over a ledger did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The state that the instance was found in.
    pub state: State,
    /// Every object that was open, in the order in which it was acted on.
    pub objects: Vec<Settled>,
}

impl Report {
    /// Whether something of a dead instance is kept because somebody holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == State::Dead
            && self
                .objects
                .iter()
                .any(|object| matches!(&object.result, Fate::Kept(reason) if reason.is_held()))
    }
}

/// Settles what a ledger's dead servers left. The caller holds the lock.
///
/// # Errors
/// Where the kernel cannot be looked at, or the ledger not be written: nothing further is removed.
pub fn settle(ledger: &mut Ledger, policy: &Policy) -> Result<Report> {
    let nothing = |state| Ok(Report { state, objects: Vec::new() });
    let place = observe::place::here()?;
    if ledger.book.place().is_none() {
        return nothing(State::Settled);
    }
    if ledger.book.place().is_some_and(|known| known.boot != place.boot) {
        return nothing(if was_settled(ledger) { State::Settled } else { State::Void });
    }
    if was_settled(ledger) && ledger.book.open_runs().next().is_none() && !may_have_unseen(ledger) {
        return nothing(State::Settled);
    }
    if relies_on_a_dead_namespace(ledger, &place) {
        std::thread::sleep(NAMESPACE_DEATH);
    }
    let mut look = observe::observe(scope(ledger))?;
    look_at_directories(ledger, &mut look)?;
    look_for_hidden(ledger, &mut look);
    let life = decide::life::judge(&ledger.book, &look, policy);
    if !matches!(life, Life::Live(_)) {
        close_runs(ledger, &look, policy)?;
    }
    // What cannot be seen counts as alive.
    if let Life::Live(evidence) | Life::Unseen(evidence) = &life {
        let verdicts = decide::decide(&ledger.book, &look, &life, &[], policy);
        let objects: Vec<Settled> = verdicts.iter().filter_map(kept).collect();
        return Ok(Report { state: State::Live(evidence.clone()), objects });
    }
    let suspects = attribute_all(ledger, &mut look)?;
    let wider = scope(ledger);
    if wider.maps && !look.maps_were_read {
        // What was found just now may be mapped.
        look.processes = observe::processes::all(wider)?;
        look.maps_were_read = true;
    }
    let verdicts = decide::decide(&ledger.book, &look, &life, &suspects, policy);
    let objects = carry_out(verdicts, ledger)?;
    let elsewhere = |object: &Settled| {
        use Reason::{OtherIpcNamespace, OtherMount, Unseen};
        matches!(&object.result, Fate::Kept(OtherIpcNamespace | OtherMount | Unseen(_)))
    };
    let state = match objects.as_slice() {
        [] => State::Settled,
        all if all.iter().all(elsewhere) => State::Void,
        _ => State::Dead,
    };
    Ok(Report { state, objects })
}

/// Whether the death of a server follows from that of its PID namespace alone. The first process of
/// a namespace lets go of its lock before the kernel has killed the rest (`kernel/exit.c`).
fn relies_on_a_dead_namespace(ledger: &Ledger, here: &Place) -> bool {
    let book = &ledger.book;
    book.runs.values().any(|run| {
        let elsewhere = book.places.get(run.place).is_some_and(|place| {
            place.boot == here.boot && place.pid_namespace != here.pid_namespace
        });
        let open = run.end.is_none() || book.open_objects().any(|o| o.run == run.start.run);
        run.start.launcher.pid == 1 && elsewhere && open
    })
}

/// What has to be looked at: what processes map only where a file is recorded, or somebody has a
/// segment attached and is to be named; control groups only of services without a known server.
fn scope(ledger: &Ledger) -> Scope {
    let book = &ledger.book;
    let maps = book.open_objects().any(|object| match &object.identity {
        Identity::Posix(_) => true,
        Identity::Shm(segment) => !matches!(
            crate::sys::shm::stat(segment.id),
            Ok(None) | Ok(Some(crate::sys::shm::Row { nattch: 0, .. }))
        ),
    });
    let mut claims = book.runs.values().flat_map(|run| &run.claims);
    let control_groups = claims.any(|claim| {
        claim.engine == EngineName::Generic && claim.control_group.0.ends_with(b".service")
    });
    // Files that no list of PostgreSQL's names are reported only where nobody maps them.
    let lists = book
        .runs
        .values()
        .flat_map(|run| &run.claims)
        .any(|claim| claim.engine == EngineName::Postgres);
    Scope { files: true, processes: true, maps: maps || lists, control_groups }
}

/// Asks the kernel for claimed processes that `/proc` does not show (`hidepid`).
fn look_for_hidden(ledger: &Ledger, look: &mut Observation) {
    let here = look.place.pid_namespace.clone();
    let claimed = ledger
        .book
        .open_runs()
        .filter(|run| ledger.book.places.get(run.place).is_some_and(|p| p.pid_namespace == here))
        .flat_map(|run| &run.claims)
        .filter(|claim| claim.ended.is_none())
        .map(|claim| claim.process.pid);
    let hidden = claimed.filter(|&pid| look.process(pid).is_none() && observe::is_there(pid));
    // A zombie that was being reaped may be gone by now: asked once more.
    look.hidden = hidden.filter(|&pid| observe::processes::by_pid(pid).is_none()).collect();
}

/// Whether the ledger has nothing open.
fn was_settled(ledger: &Ledger) -> bool {
    ledger.book.open_objects().next().is_none()
}

/// Whether objects may be there without being recorded: of a claimed process whose end was not
/// seen with its objects.
fn may_have_unseen(ledger: &Ledger) -> bool {
    ledger.book.last_run().is_some_and(|run| run.claims.iter().any(|claim| claim.ended.is_none()))
}

/// Reads the data directories that the ledger names, as the ledger's owner.
fn look_at_directories(ledger: &Ledger, look: &mut Observation) -> Result<()> {
    let mut paths: Vec<_> = ledger
        .book
        .runs
        .values()
        .flat_map(|run| &run.claims)
        .filter_map(|claim| claim.data.as_ref().map(|data| data.path.clone()))
        .collect();
    paths.sort();
    paths.dedup();
    let acting = ledger.as_owner()?;
    look.data_dirs = paths.iter().map(data_dir::look).collect();
    drop(acting);
    Ok(())
}

/// Notes the end of every run that is over and that nobody saw end; of a run elsewhere only where
/// something of it lies here, or a new run begins.
fn close_runs(ledger: &mut Ledger, look: &Observation, policy: &Policy) -> Result<()> {
    let book = &ledger.book;
    let concerns = |run: &Run| {
        let place = book.places.get(run.place);
        policy.starting
            || place.is_some_and(|place| place.ipc_namespace == look.place.ipc_namespace)
            || book.open_objects().any(|object| match &object.identity {
                Identity::Posix(file) => {
                    object.run == run.start.run
                        && look.place.shm_mount.as_ref() == Some(&file.mount)
                }
                Identity::Shm(_) => false,
            })
    };
    let over: Vec<u64> = book
        .open_runs()
        .filter(|run| concerns(run) && decide::life::is_over(book, run, look))
        .map(|run| run.start.run)
        .collect();
    for run in over {
        ledger.note(Record::End { run, end: End::Unknown }, None)?;
    }
    ledger.flush()
}

/// Records what the tables, the headers and the lists prove to be the instance's; gives back what
/// they only suggest. A round each for the main segment, its role, the control segment, its role,
/// and what that lists.
fn attribute_all(ledger: &mut Ledger, look: &mut Observation) -> Result<Vec<attribute::Suspect>> {
    let mut suspects = Vec::new();
    for _ in 0..6 {
        read_contents(ledger, look)?;
        let roles = attribute::roles(&ledger.book, look);
        let promoted = !roles.is_empty();
        for seen in roles {
            ledger.note(Record::Object(seen), None)?;
        }
        let (found, doubtful) = attribute::after_death(&ledger.book, look);
        suspects = doubtful;
        let more = promoted || !found.is_empty();
        for seen in found {
            ledger.note(Record::Object(seen), None)?;
        }
        let wanted = !attribute::headers_wanted(&ledger.book, look).is_empty()
            || !attribute::controls_wanted(&ledger.book, look).is_empty();
        if !more && !wanted {
            break;
        }
    }
    ledger.flush()?;
    Ok(suspects)
}

/// Reads headers and control segments that are wanted and can be had, as the ledger's owner.
fn read_contents(ledger: &Ledger, look: &mut Observation) -> Result<()> {
    let acting = ledger.as_owner()?;
    for id in attribute::headers_wanted(&ledger.book, look) {
        if let Ok(bytes) = contents::of_dead(id, postgres::HEADER_BYTES) {
            look.headers.insert(id, bytes);
        }
    }
    for identity in attribute::controls_wanted(&ledger.book, look) {
        if let Ok(bytes) = contents::of_control(&identity) {
            look.controls.push((identity, bytes));
        }
    }
    drop(acting);
    Ok(())
}

/// Acts on each verdict in turn; after a removal that did not succeed, what comes later stays.
fn carry_out(verdicts: Vec<Verdict>, ledger: &mut Ledger) -> Result<Vec<Settled>> {
    let mut done = Vec::new();
    let mut stays: Option<String> = None;
    for verdict in verdicts {
        if let Some(kept) = kept(&verdict) {
            done.push(kept);
        }
        match verdict {
            Verdict::Keep(_) => {}
            Verdict::Forget(object) => {
                note_gone(ledger, object.number, &object.standing)?;
                done.push(settled(&object.identity, Fate::Gone, "it is not there any more"));
            }
            Verdict::Remove(removal) => {
                let identity = removal.identity().clone();
                if let Some(earlier) = &stays {
                    let reason = Reason::EarlierStays(earlier.clone());
                    let evidence = reason.to_string();
                    done.push(settled(&identity, Fate::Kept(reason), &evidence));
                    continue;
                }
                // What was removed before is told all the same.
                let result = remove(&removal, ledger).unwrap_or_else(|error| {
                    let why = error.to_string();
                    settled(&identity, Fate::Failed(why.clone()), &why)
                });
                if !matches!(result.result, Fate::Removed | Fate::Gone | Fate::WouldRemove) {
                    stays = Some(identity.to_string());
                }
                done.push(result);
            }
        }
    }
    match ledger.flush() {
        // Told with the object whose removal could not be begun.
        Err(_) if stays.is_some() => Ok(done),
        other => other.map(|()| done),
    }
}

fn remove(removal: &Removal, ledger: &mut Ledger) -> Result<Settled> {
    let identity = removal.identity();
    if ledger.pretends() {
        return Ok(settled(identity, Fate::WouldRemove, removal.evidence()));
    }
    let begun = SystemTime::now();
    let done = act(removal, ledger)?;
    let took = begun.elapsed().unwrap_or_default();
    log::debug!("{identity}: {:?} in {} us", done.outcome, took.as_micros());
    let result = match done.outcome {
        Outcome::Removed => Fate::Removed,
        Outcome::Gone => Fate::Gone,
        Outcome::Kept => Fate::Kept(late_reason(identity, &done.detail)),
        Outcome::Raced => Fate::Raced(done.detail.clone()),
        Outcome::Failed => Fate::Failed(done.detail.clone()),
    };
    let evidence = match &result {
        Fate::Removed => removal.evidence(),
        _ => &done.detail,
    };
    let mut settled = settled(identity, result, evidence);
    if matches!(done.outcome, Outcome::Kept | Outcome::Raced) {
        let look = observe::observe(Scope::full())?;
        settled.holders = decide::holders(identity, &look, true);
    }
    Ok(settled)
}

/// The reason for an object that somebody took hold of between decision and removal.
fn late_reason(identity: &Identity, detail: &str) -> Reason {
    match identity {
        Identity::Shm(segment) => match crate::sys::shm::stat(segment.id) {
            Ok(Some(row)) if row.nattch > 0 => Reason::Attached(row.nattch),
            _ => Reason::InstanceHeld(detail.to_owned()),
        },
        Identity::Posix(_) => Reason::Mapped,
    }
}

/// An object that has gone: by an earlier removal that did not live to say so, or by itself.
fn note_gone(ledger: &mut Ledger, object: u64, standing: &Standing) -> Result<()> {
    let record = if *standing == Standing::Intended {
        let detail = "gone after a removal whose outcome was not written".to_owned();
        Record::Outcome { object, outcome: Outcome::Gone, detail }
    } else {
        Record::Gone { object }
    };
    ledger.note(record, None)
}

fn kept(verdict: &Verdict) -> Option<Settled> {
    let Verdict::Keep(kept) = verdict else {
        return None;
    };
    let evidence = kept.reason.to_string();
    let mut settled = settled(&kept.identity, Fate::Kept(kept.reason.clone()), &evidence);
    settled.holders.clone_from(&kept.holders);
    settled.recorded = kept.object.is_some();
    Some(settled)
}

fn settled(identity: &Identity, result: Fate, evidence: &str) -> Settled {
    let (identity, evidence) = (identity.clone(), evidence.to_owned());
    Settled { identity, result, evidence, holders: Vec::new(), recorded: true }
}
