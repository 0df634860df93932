//! The memory of one server: what its processes have mapped, as the kernel tells it.
//!
//! On purpose not taken from the ledger: the demo checks what the ledger led to.

use std::path::Path;

use shmwarden::ledger::file::{For, Ledger};
use shmwarden::object::{Identity, Segment, ShmFile};
use shmwarden::snapshot::{self, Mapped, Scope, identity_of, place, shm_files};
use shmwarden::sys::shm;

use super::stage::{Outcome, failed};
use crate::render::text;

/// Segments and files of one server.
#[derive(Debug, Default)]
pub(super) struct Belongings(pub(super) Vec<Identity>);

impl Belongings {
    /// Looks at what the server and its children have mapped now.
    pub(super) fn of(server: i32) -> Outcome<Self> {
        let scope = Scope { files: true, processes: true, maps: true, ..Scope::default() };
        let look = snapshot::take(scope).map_err(failed("cannot look at shared memory"))?;
        let mut found = Vec::new();
        let processes = look.processes.seen();
        let own = processes.filter(|one| one.process.pid == server || one.parent == server);
        for (mapped, _) in own.filter_map(|process| process.maps.clone()?.here()).flatten() {
            let mut files = look.files.seen().map(|file| &file.identity);
            let object = match mapped {
                Mapped::Segment(id) => look.segment(id).here().map(identity_of).map(Identity::Shm),
                Mapped::File(id) => {
                    files.find(|file| file.file == id).cloned().map(Identity::Posix)
                }
            };
            found.extend(object.filter(|object| !found.contains(object)));
        }
        found.sort_by_key(|one| matches!(one, Identity::Posix(_)));
        Ok(Self(found))
    }

    /// Returns the names of those that are still there.
    pub(super) fn left(&self) -> Vec<String> {
        self.0.iter().filter(|one| now(one).is_some()).map(Identity::to_string).collect()
    }

    /// Checks that all of it is there, and whether its segments are attached.
    pub(super) fn is_whole(&self, attached: bool) -> bool {
        let is_there = |one: &Identity| {
            now(one).is_some_and(|nattch| nattch.is_none_or(|nattch| (nattch > 0) == attached))
        };
        !self.0.is_empty() && self.0.iter().all(is_there)
    }

    /// Checks that a ledger names its segments: before that their server's death must not be
    /// nobody's to see.
    pub(super) fn is_recorded(&self, path: &Path) -> bool {
        let Ok(mut ledger) = Ledger::open(path, For::Reading) else { return false };
        let is_read = ledger.read_whole().is_ok();
        let is_named = |one: &Identity| {
            let mut known = ledger.book.objects.values();
            matches!(one, Identity::Posix(_)) || known.any(|object| object.identity == *one)
        };
        is_read && self.0.iter().all(is_named)
    }

    /// Describes how much it is.
    pub(super) fn described(&self) -> String {
        let bytes = self.0.iter().filter_map(Identity::bytes).sum();
        let plural = if self.0.len() == 1 { "" } else { "s" };
        format!("{} of shared memory in {} object{plural}", text::size(bytes), self.0.len())
    }

    /// Describes each that is still there, line by line.
    pub(super) fn lines(&self, whose: &str) -> Vec<String> {
        let line = |one: &Identity| {
            let attached = now(one)?.map_or(String::new(), |nattch| format!("{nattch} attached"));
            let size = text::size(one.bytes().unwrap_or(0));
            Some(format!("{whose:<10} {:<34} {size:>10}  {attached}", one.to_string()))
        };
        self.0.iter().filter_map(line).collect()
    }
}

/// Looks for an object: `None` where it has gone; for a segment how many have it attached.
fn now(object: &Identity) -> Option<Option<u64>> {
    // Not by key: a segment that is marked for destruction has lost it.
    let facts = |one: &Segment| (one.bytes, one.creator_pid, one.ctime);
    match object {
        Identity::Shm(known) => {
            let row = shm::stat(known.id).ok().flatten()?;
            (facts(known) == facts(&identity_of(&row))).then_some(Some(row.nattch))
        }
        Identity::Posix(known) => {
            let mount = place::here().ok()?.shm_mount?;
            let is_it = |file: &ShmFile| file.is(known);
            shm_files::one(&known.name.0, &mount).ok()?.filter(is_it).map(|_| None)
        }
        Identity::Sem(_) | Identity::Msg(_) => None,
    }
}
