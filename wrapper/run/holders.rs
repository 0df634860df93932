//! Processes of a dead server that still hold its objects: naming them, and, where asked, ending
//! them: only such as map this server's objects, are of its user and descend from it.

use std::collections::BTreeSet;

use nix::errno::Errno;
use nix::libc::{SIGKILL, SIGTERM};
use shmwarden::attribute::uid_fits;
use shmwarden::judge::Holder;
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{Recorded, Run};
use shmwarden::ledger::record::Claim;
use shmwarden::object::Identity;
use shmwarden::snapshot::processes;
use shmwarden::sweep::Report;
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::{msg, sem, shm};

use super::ancestry::Family;
use crate::cli::Orphans;

/// Every process that holds a recorded object of a report, once; not who holds mere suspects.
pub(crate) fn holders(report: &Report) -> Vec<Holder> {
    let recorded = report.objects.iter().filter(|object| object.recorded);
    once_each(recorded.flat_map(|object| object.holders.clone()).collect())
}

/// Returns each process once, in their order.
pub(crate) fn once_each(mut all: Vec<Holder>) -> Vec<Holder> {
    all.sort_by_key(|holder| holder.process);
    all.dedup_by_key(|holder| holder.process);
    all
}

/// The users that own a run's objects now: a server that began as root gives its workers' user what
/// they share.
fn owners(book: &Book, run: &Run) -> BTreeSet<u32> {
    let open = book.open_objects().filter(|object| object.run == run.start.run);
    let owner = |object: &Recorded| match &object.identity {
        Identity::Shm(known) => shm::stat(known.id).ok().flatten().map(|row| row.perm.uid),
        Identity::Sem(known) => sem::stat(known.id).ok().flatten().map(|row| row.perm.uid),
        Identity::Msg(known) => msg::stat(known.id).ok().flatten().map(|row| row.perm.uid),
        Identity::Posix(known) => Some(known.uid),
    };
    open.filter_map(owner).collect()
}

/// Sends the signal that `--orphans` asks for.
pub(crate) fn deal_with(
    choice: Orphans,
    holders: &[Holder],
    book: &Book,
    run: &Run,
    family: &Family,
) {
    let (signal, name) = match choice {
        Orphans::Leave => return,
        Orphans::Term => (SIGTERM, "SIGTERM"),
        Orphans::Kill => (SIGKILL, "SIGKILL"),
    };
    let owners = owners(book, run);
    for holder in holders {
        let pid = holder.process.pid;
        let is_its = |uid: u32| {
            let of_claim = |claim: &Claim| {
                claim.uids.contains(&uid) || (uid_fits(claim, uid) && owners.contains(&uid))
            };
            run.claims.iter().any(of_claim)
        };
        let its_user = holder.uid.is_some_and(is_its);
        // Opened before the checks: they are then of the process that the signal goes to.
        let process = match PidFd::open(pid) {
            Ok(process) => process,
            Err(Errno::ESRCH) => continue,
            Err(errno) => {
                log::warn!(
                    "{holder} cannot be ended: no descriptor of it is to be had ({errno}; \
                     pidfd_open takes Linux 5.3), and its number could be another's; end it by \
                     hand"
                );
                continue;
            }
        };
        if !its_user || !processes::lives(holder.process) || !family.descends(pid, run) {
            log::warn!("{holder} is left alone: it is not of this server's user and descent");
            continue;
        }
        match process.send(signal) {
            Ok(()) => log::warn!("sent {name} to the survivor {holder}"),
            Err(errno) => log::warn!("cannot send {name} to {holder}: {errno}"),
        }
    }
}
