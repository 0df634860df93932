//! The objects that a server's own lists name, those that they should name and do not, and what has
//! to be read for that. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    Doubt, Found, Suspect, claim_of, header_of, is_here, is_recorded, lists_its_memory, major,
};
use crate::engine::{Engine, postgres};
use crate::ledger::Book;
use crate::ledger::book::{Recorded, Run, Standing};
use crate::ledger::record::{End, How, ObjectSeen, Role};
use crate::object::{Bytes, FileRef, Identity, Key};
use crate::snapshot::{Mapped, Seen, Snapshot, identity_of};
use crate::sys::shm::MODE_DEST;

/// Returns what a main or control segment lists.
pub(super) fn by(
    book: &Book,
    run: &Run,
    object: &Recorded,
    look: &Snapshot,
    found: &mut Vec<Found>,
    suspects: &mut Vec<Suspect>,
) {
    // Whose list it is has to be proven first.
    if object.how == How::ForkCount || !is_here(book, object, look) {
        return;
    }
    let (handles, role) = match object.role {
        Role::Main => (control_handle(book, object, look).into_iter().collect(), Role::Control),
        Role::Control => (dynamic_handles(run, object, look).unwrap_or_default(), Role::Dynamic),
        _ => return,
    };
    // A server runs as one user: what its list names and another made is not its own, however
    // much root's launcher might be allowed.
    let lister = maker(&object.identity);
    for handle in handles {
        for (identity, uid) in with_handle(handle, look) {
            // A server has one kind of dynamic shared memory, its list included.
            if object.role == Role::Control && identity.kind() != object.identity.kind() {
                continue;
            }
            if is_recorded(book, &identity) || found.iter().any(|known| known.3 == identity) {
                continue;
            }
            if uid == lister {
                // Where its version cannot name the file, that stays, and its list with it.
                if !book.may_name(&identity) {
                    continue;
                }
                found.push((run.start.run, How::Listed, role, identity));
            } else {
                let (run, doubt) = (run.start.run, Doubt::Foreign);
                suspects.push(Suspect { run, identity, doubt });
            }
        }
    }
}

/// Control segments that came in by their creator's pid alone, now that a header names them.
pub(super) fn controls_known(book: &Book, look: &Snapshot) -> Vec<ObjectSeen> {
    let proven = |object: &&Recorded| object.how != How::ForkCount;
    let mains = book.open_objects().filter(proven);
    let mains = mains.filter(|o| o.role == Role::Main && is_here(book, o, look));
    let named = mains.filter_map(|main| Some((main.run, control_handle(book, main, look)?)));
    let named: Vec<_> = named.map(|(run, handle)| (run, postgres::sysv_key(handle))).collect();
    let is_named = |object: &&Recorded| match &object.identity {
        Identity::Shm(segment) => {
            object.role == Role::Other
                && object.standing == Standing::Present
                && named.contains(&(object.run, segment.key.0))
        }
        _ => false,
    };
    let known = book.open_objects().filter(is_named).map(super::seen_again);
    let control = |seen: ObjectSeen| {
        let how = if seen.how == How::ForkCount { How::Listed } else { seen.how };
        ObjectSeen { role: Role::Control, how, ..seen }
    };
    known.map(control).collect()
}

/// The user that made an object.
fn maker(identity: &Identity) -> u32 {
    match identity {
        Identity::Shm(segment) => segment.creator_uid,
        Identity::Posix(file) => file.uid,
        Identity::Sem(set) => set.creator_uid,
        Identity::Msg(queue) => queue.creator_uid,
    }
}

/// The handle of the control segment that a main segment's header names.
fn control_handle(book: &Book, main: &Recorded, look: &Snapshot) -> Option<u32> {
    let Identity::Shm(segment) = &main.identity else {
        return None;
    };
    let bytes = header_of(book, main, look)?;
    let claim = book.runs.get(&main.run).and_then(|run| claim_of(run, segment.creator_pid));
    let header = claim.map_or(Engine::GENERIC, |claim| claim.engine).main_header(bytes)?;
    header.control.handle().filter(|_| header.pid == segment.creator_pid)
}

/// The handles that a control segment lists, as the server's major lays it out.
fn dynamic_handles(run: &Run, control: &Recorded, look: &Snapshot) -> Option<Vec<u32>> {
    let same = |known: &Identity| known.has_number_of(&control.identity);
    let (_, bytes) = look.controls.iter().find(|(known, _)| same(known))?;
    postgres::listed(bytes, major(run, look)).ok()
}

/// Objects that bear a handle, each with the uid that made it.
fn with_handle(handle: u32, look: &Snapshot) -> Vec<(Identity, u32)> {
    let name = postgres::posix_name(handle);
    let key = postgres::sysv_key(handle);
    let file = look.file(&name.0).here().map(|file| &file.identity);
    let file = file.map(|file| (Identity::Posix(file.clone()), file.uid));
    let rows = look.segments.seen().filter(|row| row.perm.key == key && key != 0);
    let rows = rows.map(|row| (Identity::Shm(identity_of(row)), row.perm.creator_uid));
    file.into_iter().chain(rows).collect()
}

/// The objects that a main or control segment names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The run of the segment.
    pub run: u64,
    /// Its number in the ledger.
    pub object: u64,
    /// The objects that have to be gone before it.
    pub names: Vec<Name>,
}

/// A name that a list has for a piece of dynamic shared memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A file in `/dev/shm`.
    File(Bytes),
    /// A segment's key.
    Key(Key),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => write!(f, "/dev/shm/{}", name.lossy().escape_debug()),
            Self::Key(key) => write!(f, "the segment with key {key}"),
        }
    }
}

/// The object that bears a name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// This object.
    Object(Identity),
    /// Something that is no object, or that could not be looked at.
    Unknown,
}

/// Returns what the main and control segments that are here name, as far as they were read.
#[must_use]
pub fn names(book: &Book, look: &Snapshot) -> Vec<Named> {
    let mut all = Vec::new();
    for object in book.open_objects().filter(|object| is_here(book, object, look)) {
        let Some(run) = book.runs.get(&object.run) else { continue };
        let names = match object.role {
            Role::Main => control_handle(book, object, look).map(of_control).unwrap_or_default(),
            Role::Control => {
                let handles = dynamic_handles(run, object, look).unwrap_or_default();
                of_list(&object.identity, &handles)
            }
            _ => continue,
        };
        if !names.is_empty() {
            all.push(Named { run: object.run, object: object.number, names });
        }
    }
    all
}

/// Returns what a segment or file of no ledger's run names, by its own header or list.
#[must_use]
pub(crate) fn names_in(identity: &Identity, look: &Snapshot) -> Vec<Name> {
    let header = match identity {
        Identity::Shm(segment) => look.headers.get(&segment.id).map(Vec::as_slice),
        _ => None,
    };
    let control = header.and_then(postgres::header).map(|header| header.control);
    let list = look.controls.iter().find(|(known, _)| known.has_number_of(identity));
    let handles = list.and_then(|(_, bytes)| postgres::listed_by_length(bytes));
    let mut names = of_list(identity, &handles.unwrap_or_default());
    names.extend(control.filter(|handle| *handle != 0).map(of_control).into_iter().flatten());
    names
}

/// Returns the names of the control segment of this handle: of which kind it is no header says.
#[must_use]
fn of_control(handle: u32) -> Vec<Name> {
    let key = Some(postgres::sysv_key(handle)).filter(|key| *key != 0);
    let file = Name::File(postgres::posix_name(handle));
    std::iter::once(file).chain(key.map(|key| Name::Key(Key(key)))).collect()
}

/// Returns the names of what a list has: of its own kind, as a server has one only.
#[must_use]
pub(crate) fn of_list(list: &Identity, handles: &[u32]) -> Vec<Name> {
    let name = |handle: &u32| match list {
        Identity::Posix(_) => Some(Name::File(postgres::posix_name(*handle))),
        Identity::Shm(_) => {
            let key = Some(postgres::sysv_key(*handle)).filter(|key| *key != 0);
            key.map(|key| Name::Key(Key(key)))
        }
        Identity::Sem(_) | Identity::Msg(_) => None,
    };
    handles.iter().filter_map(name).collect()
}

/// Returns what bears a name; what could not be looked at is no proof that nothing does.
#[must_use]
pub(crate) fn bearers(name: &Name, look: &Snapshot) -> Vec<Bearer> {
    match name {
        Name::File(name) => match look.file(&name.0) {
            Seen::Here(file) => vec![Bearer::Object(Identity::Posix(file.identity.clone()))],
            Seen::Gone if look.is_absent(name) => Vec::new(),
            Seen::Gone | Seen::Denied => vec![Bearer::Unknown],
        },
        Name::Key(key) => {
            let rows = look.segments.seen().filter(|row| row.perm.key == key.0);
            let found = rows.map(|row| Bearer::Object(Identity::Shm(identity_of(row))));
            let unread = look.segments.missing().map(|_| Bearer::Unknown);
            found.chain(unread).collect()
        }
    }
}

/// Adds what looks like this server's dynamic shared memory, is used by nobody, and is listed
/// nowhere: `dsm_create` makes the object before it lists it.
/// `mapped` is what any process maps.
pub(super) fn missing(
    book: &Book,
    run: &Run,
    look: &Snapshot,
    mapped: &BTreeSet<FileRef>,
    suspects: &mut Vec<Suspect>,
) {
    let started = !matches!(run.end, Some((End::NotStarted(_), _)));
    if !lists_its_memory(book, run) || !started || run.ended_cleanly() {
        return;
    }
    let fits = |uid: u32| run.claims.iter().any(|claim| claim.uids.contains(&uid));
    let files = look.files.seen().map(|file| &file.identity).filter(|file| {
        fits(file.uid)
            && postgres::is_posix_name(&file.name.0)
            && lived_in(run, file.birth.seconds())
            && !mapped.contains(&file.file)
    });
    let dynamic = [Role::Control, Role::Dynamic];
    let mut dynamic = dynamic.into_iter().flat_map(|role| book.with_role(run.start.run, role));
    let uses_sysv = dynamic.any(|object| matches!(object.identity, Identity::Shm(_)));
    let rows = look.segments.seen().filter(|row| {
        uses_sysv
            && fits(row.perm.creator_uid)
            && (row.perm.key, row.nattch, row.perm.mode & MODE_DEST) == (row.perm.key.max(1), 0, 0)
            && row.creator_pid != 0
            && look.process(row.creator_pid).here().is_none()
            && lived_in(run, row.ctime)
    });
    let all = files
        .map(|file| Identity::Posix(file.clone()))
        .chain(rows.map(|row| Identity::Shm(identity_of(row))));
    // A user may have hundreds of thousands: each is looked for by its number or name.
    let mut known: BTreeSet<(i32, Vec<u8>)> =
        suspects.iter().map(|suspect| number_of(&suspect.identity)).collect();
    for identity in all {
        if known.insert(number_of(&identity)) && !is_recorded(book, &identity) {
            suspects.push(Suspect { run: run.start.run, identity, doubt: Doubt::Unlisted });
        }
    }
}

/// Returns what no two segments and files of one look have in common.
fn number_of(identity: &Identity) -> (i32, Vec<u8>) {
    match identity {
        Identity::Shm(segment) => (segment.id, Vec::new()),
        Identity::Posix(file) => (-1, file.name.0.clone()),
        Identity::Sem(_) | Identity::Msg(_) => (-1, Vec::new()),
    }
}

/// Checks that a time in seconds since the epoch lies in a run. For reports only: clocks are set
/// back.
fn lived_in(run: &Run, seconds: i64) -> bool {
    let of = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    seconds >= of(run.at) && run.end.as_ref().is_none_or(|(_, end)| seconds <= of(*end) + 1)
}

/// Returns the files of `/dev/shm` that any process maps.
pub(super) fn mapped(look: &Snapshot) -> BTreeSet<FileRef> {
    let lists = look.processes.seen().filter_map(|process| match &process.maps {
        Some(Seen::Here(list)) => Some(list),
        Some(Seen::Gone | Seen::Denied) | None => None,
    });
    let files = lists.flatten().filter_map(|(object, _)| match object {
        Mapped::File(file) => Some(*file),
        Mapped::Segment(_) => None,
    });
    files.collect()
}

/// Control segments whose content has to be read.
#[must_use]
pub fn controls_wanted(book: &Book, look: &Snapshot) -> Vec<Identity> {
    let missing =
        |identity: &Identity| !look.controls.iter().any(|(known, _)| known.has_number_of(identity));
    book.open_objects()
        .filter(|object| object.role == Role::Control && is_here(book, object, look))
        .map(|object| object.identity.clone())
        .filter(missing)
        .filter(|identity| match identity {
            Identity::Shm(s) => look.segment(s.id).here().is_some_and(|row| row.nattch == 0),
            Identity::Posix(f) => look.file(&f.name.0).here().is_some_and(|now| now.is(f)),
            Identity::Sem(_) | Identity::Msg(_) => false,
        })
        .collect()
}
