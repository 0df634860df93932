//! Files that appeared in `/dev/shm` while the last server of a ledger ran and that nobody
//! recorded, neither in that ledger nor in one beside it: named, and never removed.

use super::beside::Beside;
use super::report::{Fate, Settled};
use crate::attribute;
use crate::error::Result;
use crate::judge::Reason;
use crate::ledger::Ledger;
use crate::object::{Identity, Place};
use crate::snapshot::{Mapped, Scope, Snapshot, processes, shm_files};

/// Checks without a look at processes whether there may be something to name: one pass over the
/// directory.
pub(super) fn may_be(ledger: &Ledger, here: &Place) -> bool {
    // What cannot be read is no news.
    let files = shm_files::all(here.shm_mount.as_deref()).unwrap_or_default();
    !attribute::appeared(&ledger.book, here, files.iter()).is_empty()
}

/// Names what is not among these objects anyway. What a process maps is that process's: the
/// server's own are dead, or are named with what they hold.
///
/// # Errors
/// [`crate::Error::Unsupported`] where there is no `/proc`.
pub(super) fn name(
    objects: &mut Vec<Settled>,
    ledger: &Ledger,
    look: &Snapshot,
    peers: &mut Beside<'_>,
) -> Result<()> {
    let files = look.files.seen().map(|file| &file.identity);
    let mut found = attribute::appeared(&ledger.book, &look.place, files);
    found.retain(|file| {
        let is_it =
            |one: &Settled| matches!(&one.identity, Identity::Posix(known) if known.is(file));
        !objects.iter().any(is_it)
    });
    if found.is_empty() {
        return Ok(());
    }
    let scope = Scope { processes: true, maps: true, ..Scope::default() };
    let living = processes::all(scope)?;
    let mapped = |one| living.iter().any(|process| process.mappings(one) > 0);
    found.retain(|file| !mapped(Mapped::File(file.file)));
    let named = found.into_iter().map(Identity::Posix).filter(|one| !peers.have(ledger, one));
    objects.extend(named.map(|identity| Settled {
        identity,
        evidence: Reason::Appeared.to_string(),
        result: Fate::Kept(Reason::Appeared),
        holders: Vec::new(),
        recorded: false,
    }));
    Ok(())
}
