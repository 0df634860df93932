//! The ledger of a recorded server: opened for its owner, locked, and with one run that the server
//! belongs to. Removes nothing, and starts nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use shmwarden::Error;
use shmwarden::judge::life;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::compact;
use shmwarden::ledger::record::{Claim, End, Record};
use shmwarden::object::{Bytes, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::{Snapshot, place, processes};
use shmwarden::sys::user;

use super::{refusal::Refusal, target::Target};
use crate::ledgers::{self, directory, runs};
use crate::render::text::safe;

/// The longest wait for a sweep that holds the lock.
const WAIT_FOR_SWEEP: Duration = Duration::from_secs(30);
/// The longest wait for another `record`.
const WAIT_FOR_RECORD: Duration = Duration::from_secs(2);
/// Pause between two tries to lock.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the ledger of a server, makes it where it is missing, locks and reads it.
///
/// # Errors
/// A refusal.
pub(super) fn open(path: &Path, target: &Target, is_default: bool) -> Result<Ledger, Refusal> {
    directory::make(path, is_default)?;
    let mut ledger = locked(path, target)?;
    let read = ledgers::read_to_write(&mut ledger);
    runs::refuse_adopted(&ledger)?;
    let aside = match read {
        Ok(()) => None,
        Err(error @ Error::Damaged { .. }) => Some(("damaged", error)),
        Err(error @ Error::Newer { .. }) => Some(("newer", error)),
        Err(error) => return Err(error.into()),
    };
    if let Some((what, error)) = aside {
        let aside = ledger.set_aside(what)?;
        log::error!("{error}; it is kept as {}, and a fresh one begins", aside.display());
        ledger = locked(path, target)?;
    } else if compact::is_due(&ledger) {
        runs::shorten(&mut ledger);
    }
    Ok(ledger)
}

fn locked(path: &Path, target: &Target) -> Result<Ledger, Refusal> {
    let (began, shown) = (Instant::now(), path.display().to_string());
    loop {
        let ledger = Ledger::open_for(path, target.owner)?;
        let (owner, uid) = (ledger.owner().0, target.owner.0);
        if owner != uid && owner != user::effective() {
            return Err(Refusal::ForeignLedger { ledger: shown, owner, uid });
        }
        if ledger.try_lock()? {
            return Ok(ledger);
        }
        let runner = runs::runner(path);
        let patience = if runner.is_some() { WAIT_FOR_RECORD } else { WAIT_FOR_SWEEP };
        if began.elapsed() >= patience {
            let who = runner.unwrap_or_else(|| "another process has locked it".to_owned());
            return Err(Refusal::LedgerInUse { ledger: shown, who });
        }
        std::thread::sleep(PAUSE);
    }
}

/// The run that the server belongs to, and its claim if that is there already. Runs whose servers
/// are dead are noted as ended; what they left is left to `sweep`.
///
/// # Errors
/// A refusal: above all where another server of the ledger lives.
pub(super) fn run_of(
    ledger: &mut Ledger,
    target: &Target,
    look: &Snapshot,
) -> Result<(u64, Option<Claim>), Refusal> {
    let book = &ledger.book;
    let here = place::here()?;
    let of_these_pids = |run: &&Run| {
        let known = book.places.get(run.place);
        known.is_some_and(|known| {
            (&known.boot, &known.pid_namespace) == (&here.boot, &here.pid_namespace)
        })
    };
    let open = book.open_runs().filter(of_these_pids);
    let (dead, alive): (Vec<&Run>, Vec<&Run>) =
        open.partition(|run| life::is_over(book, run, look));
    if let Some(run) = alive.first() {
        let claim =
            claim_of(run, target.process).ok_or_else(|| other_server(ledger.path(), run))?;
        if book.places.get(run.place) != Some(&here) {
            let shown = ledger.path().display().to_string();
            return Err(Refusal::OtherPlace { pid: target.process.pid, ledger: shown });
        }
        return Ok((run.start.run, Some(claim)));
    }
    let dead: Vec<u64> = dead.iter().map(|run| run.start.run).collect();
    for run in dead {
        ledger.note(Record::End { run, end: End::Unknown })?;
    }
    let words = read::cmdline(target.process.pid).here().unwrap_or_default();
    let words = words.strip_suffix(b"\0").unwrap_or(&words).split(|&byte| byte == 0);
    let words: Vec<Bytes> = words.map(|word| Bytes(word.to_vec())).collect();
    Ok((runs::begin(ledger, &words, true)?, None))
}

fn claim_of(run: &Run, process: ProcessRef) -> Option<Claim> {
    run.claims.iter().find(|claim| claim.process == process && claim.ended.is_none()).cloned()
}

fn other_server(path: &Path, run: &Run) -> Refusal {
    let alive = run.claims.iter().filter(|claim| processes::lives(claim.process));
    let pids: Vec<String> = alive.map(|claim| claim.process.pid.to_string()).collect();
    Refusal::OtherServer { ledger: safe(&path.to_string_lossy()), pids: pids.join(", ") }
}
