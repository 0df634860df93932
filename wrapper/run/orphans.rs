//! Processes of a dead server that still hold its objects: naming them, and, where asked, ending
//! them: only such as map this server's objects, are of its user and descend from it.

use nix::libc::{SIGKILL, SIGTERM};
use shmwarden::attribute::uid_fits;
use shmwarden::decide::Holder;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::Claim;
use shmwarden::observe::processes;
use shmwarden::settle::Report;
use shmwarden::sys::pidfd::PidFd;

use super::ancestry::Family;
use crate::cli::Orphans;

/// Every process that holds a recorded object of a report, once; not who holds mere suspects.
pub(crate) fn holders(report: &Report) -> Vec<Holder> {
    let recorded = report.objects.iter().filter(|object| object.recorded);
    let mut all: Vec<Holder> = recorded.flat_map(|object| object.holders.clone()).collect();
    all.sort_by_key(|holder| holder.process);
    all.dedup_by_key(|holder| holder.process);
    all
}

/// Sends the signal that `--orphans` asks for.
pub(crate) fn deal_with(choice: Orphans, holders: &[Holder], run: &Run, family: &Family) {
    let (signal, name) = match choice {
        Orphans::Leave => return,
        Orphans::Term => (SIGTERM, "SIGTERM"),
        Orphans::Kill => (SIGKILL, "SIGKILL"),
    };
    for holder in holders {
        let pid = holder.process.pid;
        // A server that began as root has workers of other users.
        let fits = |claim: &Claim| holder.uid.is_some_and(|uid| uid_fits(claim, uid));
        let its_user = run.claims.iter().any(fits);
        // Opened before the checks: they are then of the process that the signal goes to.
        let Ok(process) = PidFd::open(pid) else {
            continue;
        };
        if !its_user || !processes::lives(holder.process) || !family.descends(pid, run) {
            log::warn!("{holder} is left alone: it is not of this server's user and descent");
            continue;
        }
        match process.send(signal) {
            Ok(()) => log::warn!("sent {name} to the orphan {holder}"),
            Err(errno) => log::warn!("cannot send {name} to {holder}: {errno}"),
        }
    }
}
