//! What is to be done with each object of an instance, and why. Pure: a literal in, a literal out.
//!
//! The only place that makes a [`Removal`]. Doubt keeps.

pub mod life;
pub mod reason;

pub use life::Life;
pub use reason::{Evidence, Holder, Reason};

use crate::attribute::{self, Doubt, Suspect};
use crate::engine::{self, EngineName, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Standing};
use crate::ledger::record::{End, Role};
use crate::object::{Identity, Segment};
use crate::observe::{Mapped, Observation, Process, Seen};
use crate::sys::shm::{MODE_DEST, Row};

/// What the caller wants and is.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Also remove what was left after a clean exit.
    pub include_clean: bool,
    /// The launcher that asks: what descends from it is the instance's.
    pub launcher: Option<i32>,
    /// Processes that are not the instance's: the caller and its helpers.
    pub exempt: Vec<i32>,
}

/// The right to remove one object, with all that has to be looked at again just before.
#[derive(Debug)]
pub struct Removal {
    object: u64,
    identity: Identity,
    role: Role,
    evidence: String,
    same_pids: bool,
    guard: Option<Segment>,
}

impl Removal {
    /// The object's number in the ledger.
    #[must_use]
    pub fn object(&self) -> u64 {
        self.object
    }

    /// What it is recognised by.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it is to its server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The evidence, for the log and the ledger.
    #[must_use]
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// Whether pids of the ledger mean something here.
    #[must_use]
    pub fn same_pids(&self) -> bool {
        self.same_pids
    }

    /// The main segment: while it is unattached, no process of the server uses anything of it.
    #[must_use]
    pub fn guard(&self) -> Option<&Segment> {
        self.guard.as_ref()
    }
}

/// What is to be done with one object.
#[derive(Debug)]
pub enum Verdict {
    /// Remove it.
    Remove(Removal),
    /// Leave it.
    Keep(Kept),
    /// It is no more: note that.
    Forget(Recorded),
}

/// An object that stays.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its number in the ledger; `None` where it is only a suspect.
    pub object: Option<u64>,
    /// The object.
    pub identity: Identity,
    /// Why it stays.
    pub reason: Reason,
    /// Who holds it.
    pub holders: Vec<Holder>,
}

/// Judges every object of an instance whose server is not seen to live, in the order in which they
/// are to be acted on: dynamic shared memory, the rest, the control segment, the main segment.
#[must_use]
pub fn decide(
    book: &Book,
    look: &Observation,
    life: &Life,
    suspects: &[Suspect],
    policy: &Policy,
) -> Vec<Verdict> {
    let mut objects: Vec<&Recorded> = book.open_objects().collect();
    objects.sort_by_key(|object| (object.role, object.number));
    let judged: Vec<(&Recorded, Option<Reason>)> = objects
        .iter()
        .map(|object| (*object, own_reason(book, object, look)))
        .collect();
    let common = common_reason(book, look, life, &judged, suspects);
    let mut verdicts = Vec::new();
    for (object, own) in &judged {
        let reason = match own {
            Some(Reason::Gone) => {
                verdicts.push(Verdict::Forget((*object).clone()));
                continue;
            }
            // What the object itself shows says more than what its siblings show.
            Some(own) => Some(own.clone()),
            None => common.clone().or_else(|| clean_end(book, object, policy)),
        };
        verdicts.push(match reason {
            Some(reason) => {
                let identity = object.identity.clone();
                let holders = holders(&identity, look, true);
                Verdict::Keep(Kept {
                    object: Some(object.number),
                    identity,
                    reason,
                    holders,
                })
            }
            None => Verdict::Remove(removal(
                book,
                object,
                look,
                main_segment(&judged, object.run),
            )),
        });
    }
    verdicts.extend(suspects.iter().map(|suspect| {
        let reason = match suspect.doubt {
            Doubt::PidReused => Reason::PidReused,
            Doubt::Unlisted => Reason::Unlisted,
            Doubt::Foreign => Reason::Foreign,
        };
        let identity = suspect.identity.clone();
        let holders = holders(&identity, look, false);
        Verdict::Keep(Kept {
            object: None,
            identity,
            reason,
            holders,
        })
    }));
    verdicts
}

/// What the object itself shows against its removal.
fn own_reason(book: &Book, object: &Recorded, look: &Observation) -> Option<Reason> {
    let place = book.places.get(object.place)?;
    if place.boot != look.place.boot {
        return Some(Reason::OtherBoot);
    }
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    match &object.identity {
        Identity::Shm(_) if place.ipc_namespace != look.place.ipc_namespace => {
            Some(Reason::OtherIpcNamespace)
        }
        Identity::Shm(segment) => match look.segment(segment.id) {
            None => Some(Reason::Gone),
            Some(row) => match differs(segment, row, same_pids) {
                Some(what) => Some(Reason::Changed(what)),
                None if row.mode & MODE_DEST != 0 => Some(Reason::Dest),
                None => (row.nattch > 0).then_some(Reason::Attached(row.nattch)),
            },
        },
        Identity::Posix(file) if look.place.shm_mount.as_ref() != Some(&file.mount) => {
            Some(Reason::OtherMount)
        }
        Identity::Posix(file) => match look.file(&file.name.0) {
            None => Some(Reason::Gone),
            Some(now) if !now.is(file) => Some(Reason::Changed("inode or birth time")),
            Some(_) => file_in_use(book, object, look),
        },
    }
}

/// Whether somebody maps a file, or may.
fn file_in_use(book: &Book, object: &Recorded, look: &Observation) -> Option<Reason> {
    let Identity::Posix(file) = &object.identity else {
        return None;
    };
    if look
        .processes
        .iter()
        .any(|process| process.mappings(Mapped::File(file.file)) > 0)
    {
        return Some(Reason::Mapped);
    }
    // Every process that uses a server's dynamic shared memory has its main segment attached: the
    // kernel's own count says more than a look into processes.
    if main_is_unattached(book, object.run, look) {
        return None;
    }
    let closed = |process: &&Process| {
        !process.ended
            && matches!(process.maps, None | Some(Seen::Denied))
            && life::has_uid(process, file.uid)
    };
    let closed = look.processes.iter().find(closed)?;
    Some(Reason::PerhapsMapped(life::holder(closed, 0, false)))
}

/// Whether a run's main segment is recorded, there, and unattached.
fn main_is_unattached(book: &Book, run: u64, look: &Observation) -> bool {
    book.open_objects().any(|object| {
        let Identity::Shm(segment) = &object.identity else {
            return false;
        };
        let here = book.places.get(object.place).is_some_and(|place| {
            place.boot == look.place.boot && place.ipc_namespace == look.place.ipc_namespace
        });
        let row = look.segment(segment.id);
        let unattached =
            row.is_some_and(|row| differs(segment, row, false).is_none() && row.nattch == 0);
        here && object.run == run && object.role == Role::Main && unattached
    })
}

/// In what a segment of the same id differs from the recorded one.
#[must_use]
pub fn differs(known: &Segment, row: &Row, same_pids: bool) -> Option<&'static str> {
    // IPC_RMID on an attached segment makes its key 0 (ipc/shm.c do_shm_rmid).
    let key_fits = row.key == known.key.0 || row.mode & MODE_DEST != 0;
    let checks = [
        (row.id == known.id, "id"),
        (key_fits, "key"),
        (row.bytes == known.bytes, "size"),
        (row.creator_uid == known.creator_uid, "creator uid"),
        (row.creator_gid == known.creator_gid, "creator gid"),
        (row.ctime == known.ctime, "change time"),
        (
            !same_pids || row.creator_pid == known.creator_pid,
            "creator pid",
        ),
    ];
    checks.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

/// What speaks against removing anything of the instance.
fn common_reason(
    book: &Book,
    look: &Observation,
    life: &Life,
    judged: &[(&Recorded, Option<Reason>)],
    suspects: &[Suspect],
) -> Option<Reason> {
    match life {
        Life::Void => return Some(Reason::OtherBoot),
        Life::Live(evidence) => return Some(Reason::Live(evidence.clone())),
        Life::Unseen(evidence) => return Some(Reason::Unseen(evidence.clone())),
        Life::Dead(_) => {}
    }
    let held = judged
        .iter()
        .find(|(_, own)| own.as_ref().is_some_and(Reason::is_held));
    if let Some((object, _)) = held {
        return Some(Reason::InstanceHeld(object.identity.to_string()));
    }
    if let Life::Dead(left) = life {
        if let Some(evidence) = left.first() {
            return Some(Reason::OrphanLives(evidence.clone()));
        }
    }
    let foreign = suspects
        .iter()
        .find(|suspect| suspect.doubt == Doubt::Foreign);
    if let Some(suspect) = foreign {
        return Some(Reason::ListedStays(suspect.identity.to_string()));
    }
    // What is listed and lies where it cannot be reached from here must not lose its list.
    let elsewhere = judged.iter().find(|(object, own)| {
        matches!(object.role, Role::Control | Role::Dynamic) && *own == Some(Reason::OtherMount)
    });
    if let Some((object, _)) = elsewhere {
        return Some(Reason::ListedStays(object.identity.to_string()));
    }
    judged.iter().find_map(|(object, own)| match own {
        Some(_) => None,
        None => not_understood(book, object, look).map(Reason::UnknownLayout),
    })
}

/// What is not known of a server whose main segment must go last and whose lists must be complete.
fn not_understood(book: &Book, object: &Recorded, look: &Observation) -> Option<String> {
    let run = book.runs.get(&object.run)?;
    let is_postgres = run
        .claims
        .iter()
        .any(|claim| claim.engine == EngineName::Postgres);
    if !is_postgres {
        return None;
    }
    match (&object.identity, object.role) {
        (_, Role::Control) => {
            let same = |known: &Identity| known.has_number_of(&object.identity);
            match look.controls.iter().find(|(known, _)| same(known)) {
                None => Some("its control segment could not be read".to_owned()),
                Some((_, bytes)) => postgres::listed(bytes, attribute::major(run)).err(),
            }
        }
        (Identity::Shm(segment), Role::Main | Role::Other) => {
            let by_postmaster = run
                .claims
                .iter()
                .any(|claim| claim.process.pid == segment.creator_pid);
            if !by_postmaster {
                return None;
            }
            let Some(bytes) = look.headers.get(&segment.id) else {
                return Some(format!(
                    "the header of segment {} could not be read",
                    segment.id
                ));
            };
            let names_control = postgres::header(bytes).is_some_and(|header| header.control != 0);
            let mount = book.places.get(object.place).map(|place| &place.shm_mount);
            let elsewhere = names_control && mount != Some(&look.place.shm_mount);
            elsewhere.then(|| "its /dev/shm is another one than this".to_owned())
        }
        _ => None,
    }
}

/// Whether the server ended cleanly and is of a kind that does not leak then.
fn clean_end(book: &Book, object: &Recorded, policy: &Policy) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    let clean = matches!(run.end, Some((End::Exit(0), _)));
    let leaks = run
        .claims
        .iter()
        .any(|claim| engine::leaks_on_clean_exit(claim.engine));
    // A removal that was begun is finished, whatever the options are now.
    let begun = object.standing == Standing::Intended;
    (clean && !leaks && !policy.include_clean && !begun).then_some(Reason::LeftClean)
}

/// The main segment of a run, if it is there and unattached.
fn main_segment(judged: &[(&Recorded, Option<Reason>)], run: u64) -> Option<Segment> {
    judged
        .iter()
        .find_map(|(object, own)| match (&object.identity, own) {
            (Identity::Shm(segment), None) if object.role == Role::Main && object.run == run => {
                Some(segment.clone())
            }
            _ => None,
        })
}

fn removal(book: &Book, object: &Recorded, look: &Observation, guard: Option<Segment>) -> Removal {
    let place = book.places.get(object.place);
    let server = book.runs.get(&object.run).map_or_else(String::new, |run| {
        let pids: Vec<String> = run
            .claims
            .iter()
            .map(|claim| claim.process.pid.to_string())
            .collect();
        format!("server {} of run {}", pids.join(", "), object.run)
    });
    let creator = match &object.identity {
        Identity::Shm(s) => format!("creator pid {} uid {}", s.creator_pid, s.creator_uid),
        Identity::Posix(file) => format!("owner uid {}", file.uid),
    };
    Removal {
        object: object.number,
        identity: object.identity.clone(),
        role: object.role,
        evidence: format!(
            "{server} is dead, nobody uses it; {creator}; {}",
            object.how
        ),
        same_pids: place.is_some_and(|p| p.pid_namespace == look.place.pid_namespace),
        guard,
    }
}

/// The processes that hold an object.
#[must_use]
pub fn holders(identity: &Identity, look: &Observation, orphan: bool) -> Vec<Holder> {
    look.processes
        .iter()
        .filter_map(|process| {
            let count = match identity {
                // Another namespace shows the same line for another segment.
                Identity::Shm(segment) if process.same_ipc != Some(false) => {
                    process.mappings(Mapped::Segment(segment.id))
                }
                Identity::Shm(_) => 0,
                Identity::Posix(file) => process.mappings(Mapped::File(file.file)),
            };
            (count > 0).then(|| life::holder(process, count, orphan))
        })
        .collect()
}
