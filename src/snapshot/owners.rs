//! Those who may have ledgers: users who own an object or run a server, and processes of this
//! program with what they hold open. A quick look, taken before the ledgers are read.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::subject::Subject;
use super::{Seen, Snapshot, shm_files};
use crate::engine;
use crate::error::Result;
use crate::object::Place;
use crate::proc::read::{self, OpenFile};
use crate::sys::files;
use crate::sys::{msg, sem};

/// The beginning of the name of this program's file, wherever it is installed.
const NAME: &[u8] = b"shmwarden";

/// Users who may have ledgers, and processes of this program.
#[derive(Debug, Default)]
pub struct Owners {
    /// Users who own an object or made one, run a server, or run this program.
    pub users: BTreeSet<u32>,
    /// Processes of this program, the caller itself left out.
    pub ours: Vec<i32>,
    /// Processes of servers that are known, their parts included.
    pub servers: Vec<i32>,
    /// A table or process that could not be read, and why.
    pub trouble: Option<String>,
}

/// Looks for users and processes that may have ledgers; for users who own an object where it is
/// said which place that would be in.
#[must_use]
pub fn look(of_objects_in: Option<&Place>) -> Owners {
    let mut owners = Owners::default();
    match of_objects_in.map(of_objects).transpose() {
        Ok(uids) => owners.users.extend(uids.into_iter().flatten()),
        Err(error) => owners.trouble = Some(error.to_string()),
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let pids = match read::pids() {
        Ok(pids) => pids,
        Err(error) => {
            owners.trouble = Some(error.to_string());
            return owners;
        }
    };
    for pid in pids {
        let Ok(Seen::Here(path)) = read::exe_path(pid) else { continue };
        let is_ours = pid != own && is_ours(&path);
        if is_ours {
            owners.ours.push(pid);
        }
        let is_server = engine::recognise(&path).is_known();
        if is_server {
            owners.servers.push(pid);
        }
        if !is_ours && !is_server {
            continue;
        }
        if let Ok(Seen::Here(status)) = read::status(pid) {
            owners.users.extend(status.uids);
        }
    }
    owners
}

/// Returns owners and creators of every object of a look.
#[must_use]
pub fn of(look: &Snapshot) -> BTreeSet<u32> {
    let uids = Subject::all(look).flat_map(|subject| {
        let creator = subject.creator().map(|(uid, _)| uid);
        std::iter::once(subject.owner().0).chain(creator)
    });
    uids.collect()
}

/// Checks whether a file is this program, whatever version of it, and under whatever directory.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(NAME))
}

/// Owners and creators of every object of this place that is listed.
fn of_objects(here: &Place) -> Result<BTreeSet<u32>> {
    let mut uids = BTreeSet::new();
    super::segments()?.iter().for_each(|row| uids.extend([row.perm.uid, row.perm.creator_uid]));
    // What cannot be listed has no verdict that anybody could have a say on.
    let sets = sem::table().unwrap_or_default();
    sets.iter().for_each(|row| uids.extend([row.perm.uid, row.perm.creator_uid]));
    let queues = msg::table().unwrap_or_default();
    queues.iter().for_each(|row| uids.extend([row.perm.uid, row.perm.creator_uid]));
    shm_files::each(here.shm_mount.as_deref(), |_, _, facts| {
        uids.insert(facts.uid);
    })?;
    Ok(uids)
}

/// Checks whether what a process of this program records can be about what is here: it lives, and
/// shares the IPC namespace, or `/dev/shm`; where that cannot be told it may.
#[must_use]
pub fn concerns_this_place(pid: i32) -> bool {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let ipc = |pid| read::namespace_inode(pid, "ipc").unwrap_or(Seen::Denied);
    let its = match ipc(pid) {
        Seen::Here(its) => its,
        Seen::Gone => return false,
        Seen::Denied => return true,
    };
    let shm = |pid| {
        let facts = files::facts_remembered(format!("/proc/{pid}/root{}", shm_files::DIRECTORY));
        facts.ok().map(|facts| (facts.dev, facts.ino))
    };
    let other_files = || shm(pid).zip(shm(own)).is_some_and(|(one, other)| one != other);
    // What could not be read may have been that of a process that has ended meanwhile.
    ipc(own) == Seen::Here(its) || (!other_files() && ipc(pid) != Seen::Gone)
}

/// The ledgers that a process of this program holds open: what it has locked, and what is called
/// one.
pub fn held_open(pid: i32) -> Seen<Vec<OpenFile>> {
    let is_ledger = |file: &OpenFile| {
        let name = file.path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        file.is_locked || name.ends_with(b".ledger")
    };
    match read::open_files(pid) {
        Ok(Seen::Here(files)) => Seen::Here(files.into_iter().filter(is_ledger).collect()),
        Ok(other) => other,
        Err(_) => Seen::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_known_by_its_name_after_an_upgrade_too() {
        for path in ["/usr/bin/shmwarden", "/opt/shmwarden-0.2", "/usr/bin/shmwarden (deleted)"] {
            assert!(is_ours(Path::new(path)), "{path}");
        }
        for path in ["/usr/bin/postgres", "/shmwarden/postgres", "/"] {
            assert!(!is_ours(Path::new(path)), "{path}");
        }
    }
}
