//! Servers' lists of their dynamic shared memory, of living servers and of dead ones. Pure.
//!
//! Objects that a list may name stay while its server may live; those that it surely names go with
//! it when it is dead. Where its layout is not known, it names none.

use std::collections::{BTreeMap, BTreeSet};

use super::Scene;
use crate::engine::postgres::{self, Header};
use crate::judge::Reason;
use crate::object::Identity;
use crate::snapshot::subject::Subject;
use crate::snapshot::tables::ListedFile;
use crate::snapshot::{Seen, Snapshot};
use crate::sys::shm::Row;

/// One list.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) identity: &'a Identity,
    /// Set where its server may live.
    pub(super) living: bool,
    perhaps: BTreeSet<u32>,
    /// `None` where its layout is not known.
    surely: Option<Vec<u32>>,
}

/// The lists that servers wrote, by what they name.
#[derive(Debug, Default)]
pub(super) struct Lists<'a> {
    lists: Vec<List<'a>>,
    /// The objects that may be a list and could not be read, by user.
    unread: BTreeMap<u32, &'a Identity>,
    mains: Vec<(Header, &'a Row)>,
    files: BTreeMap<u32, &'a ListedFile>,
    keys: BTreeMap<i32, Vec<&'a Row>>,
}

impl<'a> Lists<'a> {
    pub(super) fn of(scene: &Scene<'a>) -> Self {
        let look = scene.look;
        let mut lists = Self::default();
        let nothing = look.headers.is_empty() && look.controls.is_empty();
        if nothing && look.unread_lists.is_empty() {
            return lists;
        }
        for file in look.files.seen() {
            if let Some(handle) = postgres::handle_of_name(&file.name.0) {
                lists.files.insert(handle, file);
            }
        }
        for row in look.segments.seen() {
            lists.keys.entry(row.perm.key).or_default().push(row);
        }
        for (id, start) in &look.headers {
            let row = look.segment(*id);
            if let (Some(header), Seen::Here(row)) = (postgres::header(start), row) {
                // Believed though its pid may differ from the creator's, as of a server in another
                // PID namespace: not to believe it strands what it leads to.
                lists.mains.push((header, row));
            }
        }
        for (identity, content) in &look.controls {
            let living = lists.lives(scene, identity);
            let perhaps = postgres::perhaps_listed(content);
            let surely = postgres::listed_by_length(content);
            lists.lists.push(List { identity, living, perhaps, surely });
        }
        for identity in &look.unread_lists {
            let users = match identity {
                Identity::Posix(file) => vec![file.uid],
                Identity::Shm(segment) => {
                    let owner = look.segment(segment.id).here().map(|row| row.perm.uid);
                    owner.into_iter().chain([segment.creator_uid]).collect()
                }
                Identity::Sem(_) | Identity::Msg(_) => Vec::new(),
            };
            lists.unread.extend(users.into_iter().map(|uid| (uid, identity)));
        }
        lists
    }

    /// Checks that nothing was read that leads to anything.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.mains.is_empty() && self.unread.is_empty()
    }

    /// Checks for a server of a list that may live: somebody has the list attached or mapped, or an
    /// attached main segment leads to it.
    fn lives(&self, scene: &Scene<'a>, identity: &Identity) -> bool {
        let led_to = |handle: u32| {
            self.mains.iter().any(|(header, row)| row.nattch > 0 && header.control == handle)
        };
        match identity {
            Identity::Shm(segment) => {
                let row = scene.look.segment(segment.id).here();
                row.is_none_or(|row| row.nattch > 0)
                    || postgres::handles_of_key(segment.key.0).into_iter().any(led_to)
            }
            Identity::Posix(file) => {
                let handle = postgres::handle_of_name(&file.name.0);
                let listed = handle.and_then(|handle| self.files.get(&handle));
                handle.is_some_and(led_to)
                    || listed.is_none_or(|file| scene.in_use(Subject::Posix(file)).is_some())
            }
            Identity::Sem(_) | Identity::Msg(_) => false,
        }
    }

    /// The list that an object is.
    pub(super) fn is_list(&self, subject: Subject<'_>) -> Option<&List<'a>> {
        self.lists.iter().find(|list| is(list.identity, subject))
    }

    /// The list that may name an object: of a living server, if there is such.
    pub(super) fn naming(&self, subject: Subject<'_>) -> Option<&List<'a>> {
        let handles = handles(subject);
        let names = |list: &&List<'a>| {
            handles.iter().any(|handle| list.perhaps.contains(handle))
                && !is(list.identity, subject)
        };
        let mut naming = self.lists.iter().filter(names);
        naming.clone().find(|list| list.living).or_else(|| naming.next())
    }

    /// Returns an object that may be a list of one of these users, and could not be read.
    pub(super) fn unread_of(&self, uids: &[u32]) -> Option<&'a Identity> {
        uids.iter().find_map(|uid| self.unread.get(uid).copied())
    }

    /// The header of a main segment.
    pub(super) fn main(&self, subject: Subject<'_>) -> Option<&Header> {
        let Subject::Shm(row) = subject else { return None };
        let found = self.mains.iter().find(|(_, main)| main.id == row.id);
        found.map(|(header, _)| header)
    }

    /// The main segment whose header leads to a list.
    pub(super) fn leading_to(&self, subject: Subject<'_>) -> Option<&'a Row> {
        self.leading_to_one_of(&handles(subject))
    }

    /// The same of a list that was read.
    pub(super) fn leading_to_list(&self, list: &List<'a>) -> Option<&'a Row> {
        match list.identity {
            Identity::Shm(segment) => {
                self.leading_to_one_of(&postgres::handles_of_key(segment.key.0))
            }
            Identity::Posix(file) => {
                let handle = postgres::handle_of_name(&file.name.0);
                self.leading_to_one_of(handle.as_slice())
            }
            Identity::Sem(_) | Identity::Msg(_) => None,
        }
    }

    fn leading_to_one_of(&self, handles: &[u32]) -> Option<&'a Row> {
        let leads = |header: &Header| header.control != 0 && handles.contains(&header.control);
        self.mains.iter().find(|(header, _)| leads(header)).map(|(_, row)| *row)
    }

    /// The objects that bear a handle.
    pub(super) fn with_handle(&self, handle: u32) -> Vec<Subject<'a>> {
        let file = self.files.get(&handle).map(|file| Subject::Posix(file));
        let key = Some(postgres::sysv_key(handle)).filter(|key| *key != 0);
        let rows = key.and_then(|key| self.keys.get(&key)).into_iter().flatten();
        file.into_iter().chain(rows.map(|row| Subject::Shm(row))).collect()
    }

    /// Returns what speaks for taking nothing: a name of one of these handles that is there, and is
    /// no object that could be taken.
    pub(super) fn unknown_of(&self, handles: &[u32], look: &Snapshot) -> Option<Reason> {
        let unknown = |handle: &u32| {
            let name = postgres::posix_name(*handle);
            (!self.files.contains_key(handle) && !look.is_absent(&name)).then_some(name)
        };
        let name = handles.iter().find_map(unknown)?;
        let name = format!("/dev/shm/{}", name.lossy());
        Some(Reason::GroupStays(name, Box::new(Reason::NoIdentity)))
    }

    /// The same for what a list of files names.
    pub(super) fn unknown_named_by(&self, list: &List<'a>, look: &Snapshot) -> Option<Reason> {
        let handles = list.surely.as_ref()?;
        matches!(list.identity, Identity::Posix(_)).then(|| self.unknown_of(handles, look))?
    }

    /// Every object of the list's own kind that it names; `None` where its layout is not known.
    pub(super) fn named_by(&self, list: &List<'a>) -> Option<Vec<Subject<'a>>> {
        let named = list.surely.as_ref()?.iter().flat_map(|handle| self.with_handle(*handle));
        let kind = list.identity.kind();
        let own = |it: &Subject<'a>| self.main(*it).is_some() || self.is_list(*it).is_some();
        Some(named.filter(|it| it.kind().word() == kind && !own(it)).collect())
    }
}

/// The handles that an object may have.
fn handles(subject: Subject<'_>) -> Vec<u32> {
    match subject {
        Subject::Shm(row) => postgres::handles_of_key(row.perm.key),
        Subject::Posix(file) => postgres::handle_of_name(&file.name.0).into_iter().collect(),
        Subject::Sem(_) | Subject::Msg(_) => Vec::new(),
    }
}

fn is(identity: &Identity, subject: Subject<'_>) -> bool {
    match (identity, subject) {
        (Identity::Shm(segment), Subject::Shm(row)) => segment.id == row.id,
        (Identity::Posix(known), Subject::Posix(file)) => known.name == file.name,
        _ => false,
    }
}
