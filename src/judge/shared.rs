//! Sets and queues that others than their server may use. Pure.
//!
//! A set names no maker, and the last operator alone: a program that shares it on purpose leaves no
//! mark where the server used it after. So a keyed one of a server of no known kind goes only where
//! nobody outside the instance lives whom its owner, group and mode let in.

use super::{Reason, common, life, sets};
use crate::ledger::Book;
use crate::ledger::book::Recorded;
use crate::object::Identity;
use crate::snapshot::Snapshot;
use crate::snapshot::callers::Caller;
use crate::sys::{msg, sem};

/// Whom the kernel lets use a set or queue (`ipc/util.c ipcperms`).
struct Access {
    key: i32,
    uids: [u32; 2],
    gids: [u32; 2],
    mode: u32,
}

impl Access {
    fn of_set(row: &sem::Row) -> Self {
        let (uids, gids) = ([row.uid, row.creator_uid], [row.gid, row.creator_gid]);
        Self { key: row.key, uids, gids, mode: row.mode }
    }

    fn of_queue(row: &msg::Row) -> Self {
        let (uids, gids) = ([row.uid, row.creator_uid], [row.gid, row.creator_gid]);
        Self { key: row.key, uids, gids, mode: row.mode }
    }

    /// Checks whether a process may use it. Owner and creator may whatever the mode says, since
    /// they may change it. Root may use everything: it counts where the object is root's.
    fn lets_in(&self, caller: &Caller) -> bool {
        if caller.same_ipc == Some(false) {
            return false;
        }
        let Some(uids) = caller.uids else { return true };
        if uids.iter().any(|uid| self.uids.contains(uid)) {
            return true;
        }
        if uids.iter().all(|&uid| uid == 0) {
            return false;
        }
        let in_group = || {
            let groups = caller.groups.as_ref();
            groups.is_none_or(|groups| groups.iter().any(|group| self.gids.contains(group)))
        };
        self.mode & 0o006 != 0 || (self.mode & 0o060 != 0 && in_group())
    }
}

/// Returns why a set or queue of a dead instance stays though nothing shows its use: it has a key,
/// nothing proves it the server's alone, and somebody outside lives, or may, who could use it.
#[must_use]
pub fn reason(book: &Book, object: &Recorded, look: &Snapshot) -> Option<Reason> {
    let run = book.runs.get(&object.run)?;
    let access = match &object.identity {
        Identity::Sem(known) => {
            let set = look.set(known.id).here()?;
            if !common::is_generic(book, run) && sets::bears_its_mark(book, object, set, look) {
                return None;
            }
            Access::of_set(&set.row)
        }
        Identity::Msg(known) => Access::of_queue(look.queue(known.id).here()?),
        Identity::Shm(_) | Identity::Posix(_) => return None,
    };
    if access.key == 0 {
        return None;
    }
    let mut others = look.callers.seen().filter(|caller| caller.pid != look.pid);
    if let Some(other) = others.find(|caller| access.lets_in(caller)) {
        let process = look.process(other.pid).here();
        let holder = process.map(|process| life::holder(process, 0, false));
        return Some(holder.map_or(Reason::OthersUnseen, Reason::OthersMayUse));
    }
    (!look.sight.is_everybody() || !look.callers.is_whole()).then_some(Reason::OthersUnseen)
}

/// Returns why a set or queue stays whose strangers were noted while its server lived: one of them
/// lives, or may.
pub(super) fn stranger(book: &Book, object: &Recorded, look: &Snapshot) -> Option<Reason> {
    let noted = book.strangers.get(&object.number)?;
    let place = book.places.get(object.place)?;
    if place.pid_namespace != look.place.pid_namespace {
        // The namespace has died with its first process, and they with it.
        let first = book.runs.get(&object.run).is_some_and(|run| run.start.launcher.pid == 1);
        return (!first && !noted.is_empty()).then_some(Reason::LastUserUnseen);
    }
    let lives = |known| look.processes.seen().find(|p| p.process == known && !p.ended);
    if let Some(process) = noted.iter().find_map(|&known| lives(known)) {
        return Some(Reason::SharedWith(life::holder(process, 0, false)));
    }
    let hidden = noted.iter().any(|known| look.hidden.contains(&known.pid));
    hidden.then_some(Reason::LastUserUnseen)
}
