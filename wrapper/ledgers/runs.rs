//! The runs of one ledger: how one begins, which one holds the lock, what is shortened before.

use std::path::Path;

use shmwarden::ledger::compact;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::record::{Record, RunStart};
use shmwarden::object::Bytes;
use shmwarden::snapshot::{self, place, processes};
use shmwarden::{Error, Result};

/// Refuses a ledger of adopted objects, which can have no server.
///
/// # Errors
/// [`Error::Refused`].
pub(crate) fn refuse_adopted(ledger: &Ledger) -> Result<()> {
    if !ledger.book.is_of_adopted() {
        return Ok(());
    }
    let why = "it holds adopted objects: a server needs a ledger of its own".to_owned();
    Err(Error::Refused { path: ledger.path().to_owned(), why })
}

/// Writes a long ledger anew; where that cannot be done the long one serves as well.
pub(crate) fn shorten(ledger: &mut Ledger) {
    match compact::compact(ledger, |_| Ok(())) {
        Ok(Some(compacted)) => {
            ledger.go_on_with(compacted);
        }
        Ok(None) => {}
        Err(error) => log::warn!("could not shorten the ledger: {error}"),
    }
}

/// Notes where we are, and that a run of this process begins, which launches a server or only
/// records one; written with the claim.
///
/// # Errors
/// Where the kernel does not say where we are.
pub(crate) fn begin(ledger: &mut Ledger, argv: &[Bytes], recorded: bool) -> Result<u64> {
    let here = place::here()?;
    ledger.note_place(here)?;
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let launcher = processes::by_pid(own)
        .ok_or_else(|| Error::Unsupported("/proc does not show this process".to_owned()))?;
    let run = ledger.book.next_run();
    let start = RunStart {
        run,
        launcher,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        argv: shortened(argv),
        shmwarden: env!("CARGO_PKG_VERSION").to_owned(),
        recorded,
        clock_ahead_ms: Some(snapshot::clock_ahead_ms()),
    };
    ledger.note(Record::Run(start))?;
    Ok(run)
}

/// The first 64 KiB of a command line, which is for `history` to show.
fn shortened(argv: &[Bytes]) -> Vec<Bytes> {
    let mut room = 64 << 10;
    let mut kept = Vec::new();
    for arg in argv {
        if arg.0.len() > room {
            kept.push(Bytes(b"...".to_vec()));
            break;
        }
        room -= arg.0.len();
        kept.push(arg.clone());
    }
    kept
}

/// The launcher and server of a run that holds the lock.
pub(crate) fn runner(path: &Path) -> Option<String> {
    let mut ledger = Ledger::open(path, For::Reading).ok()?;
    ledger.read().ok()?;
    let here = place::here().ok()?;
    let run = ledger.book.open_runs().last()?;
    let same = ledger.book.places.get(run.place)?.pid_namespace == here.pid_namespace;
    if same && !processes::lives(run.start.launcher) {
        return None;
    }
    let server: Vec<String> =
        run.claims.iter().map(|claim| claim.process.pid.to_string()).collect();
    let launcher = run.start.launcher.pid;
    let watches = match run.start.recorded {
        true => format!("process {launcher} is recording"),
        false => format!("launcher process {launcher} watches over"),
    };
    Some(format!("{watches} server process {}", server.join(", ")))
}
