//! Does anything of the instance live? Pure; what cannot be seen counts as alive.

use std::os::unix::ffi::OsStrExt;

use super::Policy;
use super::evidence::{Evidence, Holder};
use crate::attribute::is_here;
use crate::engine::{self, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::record::{Claim, How, Outcome, Role};
use crate::object::{Identity, ProcessRef};
use crate::snapshot::tables::Set;
use crate::snapshot::{Process, Seen, Snapshot};

/// The state of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Its ledger means nothing here: another boot.
    Void,
    /// Its server lives.
    Live(Evidence),
    /// Its server may live: that cannot be seen from here.
    Unseen(Evidence),
    /// No server of it is seen to live; what is left of dead ones, and which runs cannot be seen.
    Dead(Vec<Evidence>),
}

/// Judges the life of an instance. The caller holds the ledger's lock.
#[must_use]
pub fn judge(book: &Book, look: &Snapshot, policy: &Policy) -> Life {
    if book.place().is_some_and(|place| place.boot != look.place.boot) {
        return Life::Void;
    }
    // First of all: the rest is asked of every process.
    if let Some(evidence) = seen_to_live(book, look) {
        return Life::Live(evidence);
    }
    let mut left = Vec::new();
    let mut unseen = None;
    for run in book.runs.values() {
        let Some(place) = book.places.get(run.place) else {
            continue;
        };
        if place.boot != look.place.boot {
            continue;
        }
        if place.pid_namespace != look.place.pid_namespace {
            if !is_over(book, run, look) {
                left.push(Evidence::OtherPids { run: run.start.run });
            }
            continue;
        }
        for claim in &run.claims {
            if claim.ended.is_none() && is_hidden(claim.process, look) {
                unseen = Some(Evidence::Hidden { pid: claim.process.pid });
            }
            unseen = unseen.or_else(|| by_pid_file(claim, look));
            left.extend(left_of(book, run, claim, look, policy));
            let survives_unseen = !claim.engine.is_known() && !look.sight.has_descendants();
            left.extend(survives_unseen.then_some(Evidence::HiddenProcesses));
        }
        left.extend(launcher_of(book, run, look, policy));
    }
    match unseen {
        Some(evidence) => Life::Unseen(evidence),
        None => Life::Dead(left),
    }
}

/// Returns what shows that a server of the instance lives: a claimed process, or what
/// `postmaster.pid` names. Needs the processes and the data directories, and nobody's mappings.
#[must_use]
pub(crate) fn seen_to_live(book: &Book, look: &Snapshot) -> Option<Evidence> {
    let here = (&look.place.boot, &look.place.pid_namespace);
    let is_here = |run: &&Run| {
        let place = book.places.get(run.place);
        place.is_some_and(|place| (&place.boot, &place.pid_namespace) == here)
    };
    let mut claims = book.runs.values().filter(is_here).flat_map(|run| &run.claims);
    claims.find_map(|claim| {
        let process = living(claim.process, look).filter(|_| claim.ended.is_none());
        let claimed = process.map(|process| Evidence::Claimed(Holder::of(process, 0, false)));
        let by_file = || by_pid_file(claim, look);
        let named = |evidence: &Evidence| matches!(evidence, Evidence::PidFile(_));
        claimed.or_else(|| by_file().filter(named))
    })
}

/// The launcher of a run whose end nobody noted, where it lives and the lock that it holds is not
/// that of this file: it cleans up itself, by what it wrote elsewhere.
fn launcher_of(book: &Book, run: &Run, look: &Snapshot, policy: &Policy) -> Option<Evidence> {
    let launcher = run.start.launcher;
    let others = run.end.is_none() && !run.start.recorded && !book.has_lock_of(run);
    let others = others && !policy.exempt.contains(&launcher.pid);
    let process = living(launcher, look).filter(|_| others)?;
    Some(Evidence::Launcher(Holder::of(process, 0, false)))
}

/// The process that a reference means, if it lives.
fn living(wanted: ProcessRef, look: &Snapshot) -> Option<&Process> {
    look.process(wanted.pid).here().filter(|p| p.may_be(wanted) && !p.ended)
}

/// Checks whether a process may be there without being seen.
fn is_hidden(wanted: ProcessRef, look: &Snapshot) -> bool {
    look.hidden.contains(&wanted.pid) || matches!(look.process(wanted.pid), Seen::Denied)
}

/// Checks that a run's server is known to be dead, or never started.
///
/// In another PID namespace pids cannot be compared. There the death is proven where the launcher
/// was the first process of that namespace (the caller has the lock of the very file that it had
/// locked, so it is dead, and with it all of the namespace, `pid_namespaces(7)`), or where the main
/// segment is recorded, there and unattached: every process of such a server has it attached.
#[must_use]
pub fn is_over(book: &Book, run: &Run, look: &Snapshot) -> bool {
    let Some(place) = book.places.get(run.place) else { return false };
    if run.end.is_some() || place.boot != look.place.boot {
        return true;
    }
    if place.pid_namespace == look.place.pid_namespace {
        return run
            .claims
            .iter()
            .filter(|claim| claim.ended.is_none())
            .all(|claim| living(claim.process, look).is_none() && !is_hidden(claim.process, look));
    }
    let has_interlock = run.server().is_some_and(|claim| claim.engine.has_interlock);
    book.died_with_its_launcher(run) || (has_interlock && is_released(book, run.start.run, look))
}

/// Checks whether the main segment of a run tells that no process of its server lives, or uses
/// anything of it: recorded, here and unattached, or removed as such. Every process of such a
/// server has it attached for life, and the kernel counts, whoever can be seen.
#[must_use]
pub(crate) fn is_released(book: &Book, run: u64, look: &Snapshot) -> bool {
    let mut released = false;
    let proven = |object: &&Recorded| object.how != How::ForkCount;
    for main in book.with_role(run, Role::Main).filter(proven) {
        let Identity::Shm(segment) = &main.identity else { continue };
        if let Standing::Tried(Outcome::Removed, _) = main.standing {
            released = true;
        } else if main.is_open() && is_here(book, main, look) {
            match look.segment(segment.id) {
                Seen::Here(row) if row.nattch == 0 => released = true,
                _ => return false,
            }
        }
    }
    released
}

/// Checks whether an object is an engine's own, so that its main segment tells who uses it: that
/// itself, what its lists name, and what its claimed processes made. What else a process below it
/// has made (`COPY TO PROGRAM`, `archive_command`) may be used without that.
#[must_use]
pub(crate) fn is_engines_own(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let Some(run) = book.runs.get(&object.run) else { return false };
    if !run.server().is_some_and(|claim| claim.engine.has_interlock) {
        return false;
    }
    let claimed = |pid: i32| {
        let engines = run.claims.iter().filter(|claim| claim.engine.has_interlock);
        engines.map(|claim| claim.process.pid).any(|claimed| claimed == pid)
    };
    match &object.identity {
        _ if object.role != Role::Other => true,
        Identity::Shm(segment) => {
            claimed(segment.creator_pid) || is_listed(book, object, segment.key.0, look)
        }
        // PostgreSQL's and openGauss's bear a mark: an openGauss that died while it made one has
        // left none.
        Identity::Sem(_) | Identity::Msg(_) => {
            let marks = run.claims.iter().any(|claim| claim.engine.set_mark.is_some());
            object.creator.is_none() && (marks || object.how != How::Watch)
        }
        Identity::Posix(_) => false,
    }
}

/// Checks whether the list of an object's server names a key: dynamic shared memory of a backend
/// came in by its creator.
fn is_listed(book: &Book, object: &Recorded, key: i32, look: &Snapshot) -> bool {
    let is_its = |known: &Identity| {
        let mut controls = book.with_role(object.run, Role::Control);
        controls.any(|control| control.identity.has_number_of(known))
    };
    let handles = postgres::handles_of_key(key);
    look.controls.iter().any(|(known, bytes)| {
        let names = || postgres::perhaps_listed(bytes);
        known.kind() == object.identity.kind()
            && is_its(known)
            && handles.iter().any(|handle| names().contains(handle))
    })
}

/// Returns the living server that `postmaster.pid` names, claimed by this ledger or not.
fn by_pid_file(claim: &Claim, look: &Snapshot) -> Option<Evidence> {
    let data = claim.data.as_ref()?;
    let directory = look.data_dir(&data.path)?;
    let file = match &directory.pid_file {
        Seen::Here(file) => file,
        Seen::Gone => return None,
        Seen::Denied => {
            return Some(Evidence::PidFileClosed { path: data.path.lossy() });
        }
    };
    let process = match look.process(file.pid) {
        Seen::Here(process) if !process.ended => process,
        Seen::Here(_) | Seen::Gone => return None,
        Seen::Denied if look.processes.is_whole() => return None,
        Seen::Denied => return Some(Evidence::Hidden { pid: file.pid }),
    };
    // PostgreSQL runs as the owner of its data directory and nobody else.
    let its = directory.uid.is_none_or(|uid| process.may_be_of(uid));
    let may_be = its && is_server(claim, process);
    may_be.then(|| Evidence::PidFile(Holder::of(process, 0, false)))
}

/// Checks that a process is one of the server's, by its program and its directory.
fn is_server(claim: &Claim, process: &Process) -> bool {
    let program = match &process.executable {
        Seen::Here(path) => {
            let same = claim
                .executable
                .as_ref()
                .is_some_and(|known| is_same_program(path.as_os_str().as_bytes(), &known.path.0));
            same || engine::recognise(path) == claim.engine
        }
        Seen::Gone => false,
        Seen::Denied => is_named_like(claim, process),
    };
    let directory = match (&process.cwd, &claim.data) {
        (Seen::Here(cwd), Some(data)) => (cwd.dev, cwd.ino) == (data.file.dev, data.file.ino),
        _ => true,
    };
    program && directory
}

/// Checks that two paths are of one program: after an upgrade the kernel shows the file that a
/// process runs as "gaussdb (deleted)".
fn is_same_program(one: &[u8], other: &[u8]) -> bool {
    fn bare(path: &[u8]) -> &[u8] {
        path.strip_suffix(b" (deleted)").unwrap_or(path)
    }
    bare(one) == bare(other)
}

/// Checks that a process that may not be looked into bears the name of the server's program.
fn is_named_like(claim: &Claim, process: &Process) -> bool {
    let Some(executable) = claim.executable.as_ref().filter(|_| !process.unread) else {
        return true;
    };
    let name = executable.path.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    process.comm.0 == name.get(..15).unwrap_or(name)
}

/// Processes that are left of a dead server.
fn left_of(
    book: &Book,
    run: &Run,
    claim: &Claim,
    look: &Snapshot,
    policy: &Policy,
) -> Vec<Evidence> {
    let mut found = Vec::new();
    let own = book.of_run(run.start.run);
    let creators = own.filter_map(|object| object.creator);
    let noted: Vec<ProcessRef> = run.descendants.iter().copied().chain(creators).collect();
    // The kernel's count of the main segment needs nobody to be looked into; and who cannot be
    // looked into holds nothing of a run that has left nothing.
    let has_left = book.of_run(run.start.run).any(|object| book.is_open(object));
    let asks_for_unread = has_left && !is_released(book, run.start.run, look);
    for process in look.processes.seen() {
        if process.ended || policy.exempt.contains(&process.process.pid) {
            continue;
        }
        let holder = || Holder::of(process, 0, true);
        if process.unread {
            if asks_for_unread {
                found.push(Evidence::Closed(holder()));
            }
            continue;
        }
        if descends(process, &policy.descendants, look) {
            if !claim.engine.is_known() || is_server(claim, process) {
                found.push(Evidence::Descends(holder()));
            }
        } else if !claim.engine.is_known() {
            if is_known_descendant(run, claim, process) || descends(process, &noted, look) {
                found.push(Evidence::Descends(holder()));
            }
        } else if claim.data.is_some() && claim.uids.iter().any(|&uid| process.may_be_of(uid)) {
            match process.executable {
                Seen::Here(_) if is_server(claim, process) => {
                    found.push(Evidence::RunsHere(holder()));
                }
                Seen::Denied if is_server(claim, process) => {
                    found.push(Evidence::Closed(holder()));
                }
                _ => {}
            }
        }
    }
    found
}

/// Checks that a process is, or descends from, one that the caller knows to descend from the
/// server.
fn descends(process: &Process, known: &[ProcessRef], look: &Snapshot) -> bool {
    let mut at = process;
    for _ in 0..look.processes.seen().len() {
        if known.iter().any(|&known| at.may_be(known)) {
            return true;
        }
        match look.process(at.parent) {
            Seen::Here(parent) => at = parent,
            Seen::Gone | Seen::Denied => return false,
        }
    }
    false
}

/// Checks that a process was started by a server that has gone and so is not its ancestor: it was
/// started later, by the same user, and is in a process group or session that the server or its
/// launcher leads, or in the control group of its service.
fn is_known_descendant(run: &Run, claim: &Claim, process: &Process) -> bool {
    let leaders = [claim.process.pid, run.start.launcher.pid];
    let own_session = leaders.contains(&claim.session) && process.session == claim.session;
    let own_group = leaders.contains(&claim.group) && process.group == claim.group;
    let own_service = claim.control_group.0.ends_with(b".service")
        && match &process.control_group {
            Some(Seen::Here(group)) => *group == claim.control_group,
            Some(Seen::Denied) => true,
            Some(Seen::Gone) | None => false,
        };
    process.process.start >= claim.process.start
        && (claim.uids.contains(&0) || claim.uids.iter().any(|&uid| process.may_be_of(uid)))
        && (own_group || own_session || own_service)
}

/// Checks for an openGauss's mark that a process of the object's run has made: what bears it is its
/// server's, whoever knows the key. From another PID namespace than the ledger's the maker's pid
/// reads otherwise, 0 or a number of this one, where it is dead.
pub(super) fn bears_its_mark(book: &Book, object: &Recorded, set: &Set, look: &Snapshot) -> bool {
    let Some(run) = book.runs.get(&object.run) else { return false };
    let (Some(maker), Some(place)) = (look.marked.get(&set.row.id), book.places.get(object.place))
    else {
        return false;
    };
    let claimed = |pid: i32| run.claims.iter().any(|claim| claim.process.pid == pid);
    let fits = match place.pid_namespace == look.place.pid_namespace {
        true => claimed(*maker),
        // It is none of this PID namespace's.
        false if *maker == 0 => true,
        false => match look.process(*maker) {
            Seen::Here(process) => process.ended,
            Seen::Gone => true,
            Seen::Denied => false,
        },
    };
    fits && run.claims.iter().any(|claim| claim.engine.has_interlock)
}

/// Checks that nobody has the main segment of the object's server attached, which each of its
/// processes has for life: it is recorded, and unattached or gone. An openGauss has one segment, so
/// whichever a claimed process made is that.
pub(super) fn main_proves(book: &Book, object: &Recorded, look: &Snapshot) -> bool {
    let Some(run) = book.runs.get(&object.run) else { return false };
    let made = |pid: i32| {
        let made = |claim: &Claim| claim.engine.has_one_segment && claim.process.pid == pid;
        run.claims.iter().any(made)
    };
    let mut mains = 0;
    for main in book.of_run(object.run) {
        let Identity::Shm(segment) = &main.identity else { continue };
        if main.role != Role::Main && !made(segment.creator_pid) {
            continue;
        }
        let unattached = match look.segment(segment.id) {
            Seen::Gone => true,
            Seen::Here(row) => row.nattch == 0 || !main.is_open(),
            Seen::Denied => false,
        };
        if !unattached {
            return false;
        }
        mains += 1;
    }
    mains > 0
}
