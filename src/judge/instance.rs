//! The objects of an instance: what each shows, and what speaks against removing anything of it.
//! Pure.

use std::collections::BTreeSet;

use super::access::Access;
use super::usage::{Context, Use, Users};
use super::{Class, Evidence, Life, Policy, Reason};
use crate::attribute::sets::{queue_differs, set_differs};
use crate::attribute::{self, Doubt, Suspect, differs};
use crate::engine::postgres;
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::record::{Claim, End, How, Role};
use crate::object::{Identity, Place, ShmFile};
use crate::snapshot::subject::Subject;
use crate::snapshot::{Seen, Snapshot};

/// Finds a recorded object in a look, or returns why what bears its number or name is none of it.
///
/// # Errors
/// [`Reason::Gone`], one of another place or time, or [`Reason::Unreadable`].
pub(super) fn present<'a>(
    book: &Book,
    object: &Recorded,
    look: &'a Snapshot,
) -> Result<Subject<'a>, Reason> {
    let place = book.places.get(object.place).ok_or(Reason::OtherBoot)?;
    if place.boot != look.place.boot {
        return Err(Reason::OtherBoot);
    }
    let is_file = matches!(object.identity, Identity::Posix(_));
    if !is_file && place.ipc_namespace != look.place.ipc_namespace {
        return Err(Reason::OtherIpcNamespace);
    }
    // Of adopted ones it is asked first: the number may be of an earlier namespace of this name.
    if object.is_adopted() && is_call(object) && !is_named_for_good(&look.place.ipc_namespace) {
        return Err(Reason::UnsureSpace);
    }
    let subject = match &object.identity {
        Identity::Posix(file) if look.place.shm_mount.as_ref() != Some(&file.mount) => {
            return Err(Reason::OtherMount);
        }
        Identity::Posix(file) => here(look.file(&file.name.0)).map(Subject::Posix)?,
        Identity::Sem(known) => here(look.set(known.id)).map(Subject::Sem)?,
        Identity::Msg(known) => here(look.queue(known.id)).map(Subject::Msg)?,
        Identity::Shm(known) => here(look.segment(known.id)).map(Subject::Shm)?,
    };
    match differs_from(object, subject, place, look) {
        Some(what) => Err(Reason::Changed(what)),
        None => Ok(subject),
    }
}

fn here<T>(row: Seen<T>) -> Result<T, Reason> {
    match row {
        Seen::Here(row) => Ok(row),
        Seen::Gone => Err(Reason::Gone),
        Seen::Denied => Err(Reason::Unreadable),
    }
}

/// Returns in what the object that is here differs from the recorded one. The change time of a set
/// or queue, and of a file, moves while its server lives; of what was adopted nothing may have.
fn differs_from(
    object: &Recorded,
    now: Subject<'_>,
    place: &Place,
    look: &Snapshot,
) -> Option<&'static str> {
    const CHANGED: &str = "change time";
    let same_pids = place.pid_namespace == look.place.pid_namespace;
    let moved = |moved: bool| (object.is_adopted() && moved).then_some(CHANGED);
    match (&object.identity, now) {
        (Identity::Shm(segment), Subject::Shm(row)) => {
            // An IPC_SET that nobody followed moves it: attached, it is taken for ours.
            let what = differs(segment, row, same_pids);
            what.filter(|what| *what != CHANGED || row.nattch == 0)
        }
        (Identity::Posix(file), Subject::Posix(now)) => match now.is(file) {
            true => moved(now.identity.birth != file.birth),
            false => Some("inode or birth time"),
        },
        (Identity::Sem(known), Subject::Sem(set)) => {
            set_differs(known, &set.row).or_else(|| moved(set.row.ctime != known.ctime))
        }
        (Identity::Msg(known), Subject::Msg(row)) => {
            queue_differs(known, row).or_else(|| moved(row.ctime != known.ctime))
        }
        _ => Some("kind"),
    }
}

/// An object of an instance, as the look shows it.
pub(super) struct Shown<'a> {
    /// The reason against its removal that it shows itself.
    pub(super) against: Option<Reason>,
    /// The reason that lies with others than its server, who never showed: it counts last.
    pub(super) others: Option<Reason>,
    /// Everybody who uses it, or may.
    pub(super) uses: Vec<Use<'a>>,
    /// The object, where it is there.
    now: Option<Subject<'a>>,
}

impl Shown<'_> {
    /// Returns the reason for an object that the kernel would not let this user remove, who owns
    /// the ledger: the attempt would fail each time.
    pub(super) fn not_removable_by(&self, remover: u32) -> Option<Reason> {
        self.now.and_then(|now| not_removable_by(now, remover))
    }

    /// Checks that nobody was seen to use it, and somebody may.
    pub(super) fn is_only_doubted(&self) -> bool {
        !self.uses.is_empty() && self.uses.iter().all(|one| !one.kind.is_certain())
    }
}

/// Returns the reason for an object that the kernel would not let a ledger's owner remove.
pub(super) fn not_removable_by(now: Subject<'_>, remover: u32) -> Option<Reason> {
    let may = Access::of(now).is_removable_by(remover);
    (!may).then(|| Reason::NotLedgerOwners(now.owner().0, remover))
}

/// Judges one object of an instance by what it shows itself.
pub(super) fn shown<'a>(book: &Book, object: &Recorded, users: &Users<'a>) -> Shown<'a> {
    let look = users.look();
    let nothing =
        |against| Shown { against: Some(against), others: None, uses: Vec::new(), now: None };
    let now = match present(book, object, look) {
        Ok(now) => now,
        Err(reason) => return nothing(reason),
    };
    let context = match object.is_adopted() {
        true => Context::Unowned { by_nattch: true },
        false => Context::Recorded(book, object),
    };
    let uses = users.uses(now, context);
    let first = |others: bool| {
        let found = uses.iter().find(|one| one.kind.is_of_others() == others);
        found.map(|one| one.reason(look, context))
    };
    let unsure = || match now {
        Subject::Posix(file) => without_birth(book, object, &file.identity, look),
        Subject::Sem(_) | Subject::Msg(_) => {
            (!is_named_for_good(&look.place.ipc_namespace)).then_some(Reason::UnsureSpace)
        }
        Subject::Shm(_) => None,
    };
    Shown { against: first(false).or_else(unsure), others: first(true), uses, now: Some(now) }
}

/// Returns what an object shows itself against its removal, whatever its server shows.
#[must_use]
pub fn against(book: &Book, object: &Recorded, look: &Snapshot) -> Option<Reason> {
    let shown = shown(book, object, &Users::of(look));
    shown.against.or(shown.others)
}

/// Checks whether the name of an IPC namespace cannot come to mean another one: an id of
/// `NS_GET_ID`, or the machine's initial namespace.
///
/// An inode with the start time of process 1 can, and a set has too little of an identity besides.
#[must_use]
pub fn is_named_for_good(ipc_namespace: &str) -> bool {
    !ipc_namespace.contains("/first:")
}

/// Returns why a file without a birth time stays: only what a dead server's own list names goes,
/// and only if it was not changed after the death.
fn without_birth(book: &Book, object: &Recorded, now: &ShmFile, look: &Snapshot) -> Option<Reason> {
    let (changed, _) = now.birth.only_changed()?;
    // Adopted ones are judged as a whole, by what leads to them.
    if object.is_adopted() {
        return None;
    }
    if object.how != How::Listed || !matches!(object.role, Role::Control | Role::Dynamic) {
        return Some(Reason::NoBirthTime("it is on no list of a PostgreSQL's own"));
    }
    if attribute::clock_was_set_back(book, object.run, look) {
        return Some(Reason::NoBirthTime("and the clock was set back since its server began"));
    }
    match attribute::dead_by(book, object.run, look) {
        None => Some(Reason::NoBirthTime("and when its server died is not known")),
        Some(death) if changed > death => Some(Reason::ChangedSince),
        Some(_) => None,
    }
}

/// Checks whether it is a set or queue.
pub(super) fn is_call(object: &Recorded) -> bool {
    matches!(object.identity, Identity::Sem(_) | Identity::Msg(_))
}

/// Returns the reason against removing anything of the instance.
pub(super) fn reason(
    book: &Book,
    look: &Snapshot,
    life: &Life,
    judged: &[(&Recorded, Shown<'_>)],
    suspects: &[Suspect],
    policy: &Policy,
) -> Option<Reason> {
    match life {
        Life::Void => return Some(Reason::OtherBoot),
        Life::Live(evidence) => return Some(Reason::Live(evidence.clone())),
        Life::Unseen(evidence) => return Some(Reason::Unseen(evidence.clone())),
        Life::Dead(_) => {}
    }
    let held =
        judged.iter().find(|(_, own)| own.against.as_ref().is_some_and(Reason::holds_the_rest));
    if let Some((object, _)) = held {
        return Some(Reason::InstanceHeld(object.identity.to_string()));
    }
    if let Life::Dead(left) = life {
        let orphan = left.iter().find(|evidence| evidence.holder().is_some());
        if let Some(evidence) = orphan {
            return Some(Reason::OrphanLives(evidence.clone()));
        }
        if left.contains(&Evidence::HiddenProcesses) {
            return Some(Reason::Unseen(Evidence::HiddenProcesses));
        }
    }
    let foreign = suspects.iter().find(|suspect| suspect.doubt == Doubt::Foreign);
    if let Some(suspect) = foreign {
        return Some(Reason::ListedStays(suspect.identity.to_string()));
    }
    // What is listed and lies where it cannot be reached from here must not lose its list.
    let elsewhere = judged.iter().find(|(object, own)| {
        matches!(object.role, Role::Control | Role::Dynamic)
            && own.against == Some(Reason::OtherMount)
    });
    if let Some((object, _)) = elsewhere {
        return Some(Reason::ListedStays(object.identity.to_string()));
    }
    // Asked once a run: it takes a walk over all objects.
    let runs: BTreeSet<u64> = judged.iter().map(|(object, _)| object.run).collect();
    let lists =
        |run: &u64| book.runs.get(run).is_some_and(|run| attribute::lists_its_memory(book, run));
    let (runs, others): (BTreeSet<u64>, BTreeSet<u64>) = runs.into_iter().partition(lists);
    let mut generic = judged.iter().filter(|(object, _)| others.contains(&object.run));
    if let Some((object, _)) =
        generic.find(|(object, _)| attribute::header::is_unread(book, object, look))
    {
        let what =
            format!("whether {} is a PostgreSQL's main segment is not known", object.identity);
        return Some(Reason::UnknownLayout(what));
    }
    // What stays for a reason of its own is asked all the same: it leads to what would go.
    let here = |own: &Shown<'_>| {
        let class = own.against.as_ref().map(Reason::class);
        !matches!(class, Some(Class::Gone | Class::Elsewhere))
    };
    let left = judged.iter().filter(|(object, own)| here(own) && runs.contains(&object.run));
    let mut unknown = left.filter_map(|(object, _)| not_understood(book, object, look, policy));
    unknown.next().map(Reason::UnknownLayout)
}

/// A run whose life cannot be seen from here and whose server could come by the object.
#[must_use]
pub(super) fn unseen_user(book: &Book, life: &Life, object: &Recorded) -> Option<Reason> {
    let Life::Dead(left) = life else { return None };
    let may_use = |evidence: &&Evidence| match evidence {
        Evidence::OtherPids { run } => {
            book.runs.get(run).is_some_and(|run| book.may_use(run, object))
        }
        _ => false,
    };
    left.iter().find(may_use).map(|evidence| Reason::Unseen(evidence.clone()))
}

/// Returns what is not known of a PostgreSQL, whose main segment must go last and whose lists must
/// be complete.
fn not_understood(
    book: &Book,
    object: &Recorded,
    look: &Snapshot,
    policy: &Policy,
) -> Option<String> {
    let unread = |what: String| (!policy.only_looks).then_some(what);
    let run = book.runs.get(&object.run)?;
    match attribute::major(run, look) {
        None => return Some("the major version of the server is not known".to_owned()),
        Some(major) if !postgres::MAJORS.contains(&major) => {
            return Some(format!("PostgreSQL {major} is not known to this shmwarden"));
        }
        Some(_) => {}
    }
    match (&object.identity, object.role) {
        (_, Role::Control) => {
            let same = |known: &Identity| known.has_number_of(&object.identity);
            match look.controls.iter().find(|(known, _)| same(known)) {
                None => unread("its control segment could not be read".to_owned()),
                Some((_, bytes)) => postgres::listed(bytes, attribute::major(run, look)).err(),
            }
        }
        (Identity::Shm(segment), Role::Main | Role::Other) => {
            let by_postmaster =
                run.claims.iter().any(|claim| claim.process.pid == segment.creator_pid);
            if !by_postmaster {
                return None;
            }
            let Some(bytes) = attribute::header_of(book, object, look) else {
                return unread(format!("the header of segment {} could not be read", segment.id));
            };
            let header = postgres::header(bytes);
            let is_main = header.is_some_and(|header| header.pid == segment.creator_pid);
            if object.role == Role::Main && !is_main {
                return Some("its main segment does not begin as one does".to_owned());
            }
            // What leads to a list, and is not known to, would go before what that names.
            if object.role == Role::Other && (header.is_some() || postgres::is_control(bytes)) {
                let what = "begins as a main or control segment, and is not known as one";
                return Some(format!("segment {} {what}", segment.id));
            }
            let names_control = header.is_some_and(|header| header.control != 0);
            let mount = book.places.get(object.place).map(|place| &place.shm_mount);
            let elsewhere = names_control && mount != Some(&look.place.shm_mount);
            elsewhere.then(|| "its /dev/shm is another one than this".to_owned())
        }
        _ => None,
    }
}

/// Returns the reason against an object that came in by the fork count, which is no proof: older
/// versions recorded such.
#[must_use]
pub(super) fn unproven(object: &Recorded) -> Option<Reason> {
    (object.how == How::ForkCount).then_some(Reason::PidReused)
}

/// Returns the reason for an object that its server may have left on purpose: after a clean exit of
/// a kind that does not leak then, or, where nobody saw how a generic server ended, for what its
/// next start can find again.
#[must_use]
pub fn clean_end(book: &Book, object: &Recorded, policy: &Policy) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    // A removal that was begun is finished, whatever the options are now.
    if policy.include_clean || object.standing == Standing::Intended {
        return None;
    }
    let is_apart = is_another_programs(run, object);
    let leaks = run.claims.iter().any(|claim| claim.engine.leaks_on_clean_exit);
    let ended = run.end.map(|(end, _)| end);
    if (is_apart && ended == Some(End::Exit(0))) || (run.ended_cleanly() && !leaks) {
        return Some(Reason::LeftClean);
    }
    let may_be_kept = object.identity.is_findable() && (is_apart || is_generic(book, run));
    (may_be_kept && !run.was_seen_to_end() && !run.was_seen_to_crash())
        .then_some(Reason::LeftUnseen)
}

/// Checks that an object was made by another program than the server, of which all is one process:
/// what that program leaves it may have left on purpose, whatever the server does.
fn is_another_programs(run: &Run, object: &Recorded) -> bool {
    let mut servers = run.claims.iter().filter(|claim| claim.engine.has_one_segment).peekable();
    let made = |claim: &Claim| match (object.creator, &object.identity) {
        (Some(creator), _) => claim.process == creator,
        (None, Identity::Shm(segment)) => claim.process.pid == segment.creator_pid,
        (None, _) => true,
    };
    servers.peek().is_some() && !servers.any(made)
}

/// Checks that nothing known of a run's server tells what it leaves: no claim is of a known engine,
/// and no segment of it was ever known for a main segment.
#[must_use]
pub fn is_generic(book: &Book, run: &Run) -> bool {
    run.claims.iter().all(|claim| !claim.engine.is_known())
        && book.with_role(run.start.run, Role::Main).next().is_none()
}
