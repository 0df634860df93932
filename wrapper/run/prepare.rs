//! Before the start: the ledger is opened, locked and read, and what older runs left is settled.

use std::path::Path;
use std::time::{Duration, Instant};

use shmwarden::Error;
use shmwarden::judge::{Evidence, Policy};
use shmwarden::ledger::book::Tail;
use shmwarden::ledger::compact;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::snapshot::{place, processes};
use shmwarden::sweep::{self, State};

use crate::ledgers::runs::{refuse_adopted, shorten};
use crate::ledgers::{self, directory};
use crate::render::text::{self, word};

/// The longest that a sweep may hold the lock before the start is given up.
pub(crate) const WAIT_FOR_SWEEP: Duration = Duration::from_secs(30);
/// Pause between two tries to lock.
const PAUSE: Duration = Duration::from_millis(50);

/// The reason why there is no ledger to go on with.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another launcher has it, or its server lives: never start a second one.
    Held(String),
    /// It cannot be read or written: as `--if-ledger-fails` says.
    Fails(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fails(error)
    }
}

/// Times that a look which fails before the start is repeated: a table that is full for a moment
/// must not make a server start beside one that lives.
const TRIES: usize = 3;

/// Opens the ledger for a new run, locked, with everything settled that older runs left; waits this
/// long for whoever has the lock and is no other run.
///
/// # Errors
/// [`Trouble`].
pub(crate) fn ledger(
    path: &Path,
    is_default_place: bool,
    longest: Duration,
) -> std::result::Result<Ledger, Trouble> {
    for _ in 1..TRIES {
        match once(path, is_default_place, longest) {
            Err(Trouble::Fails(Error::Io { .. } | Error::Unsupported(_))) => {}
            other => return other,
        }
        std::thread::sleep(PAUSE);
    }
    once(path, is_default_place, longest)
}

fn once(
    path: &Path,
    is_default_place: bool,
    longest: Duration,
) -> std::result::Result<Ledger, Trouble> {
    directory::make(path, is_default_place)?;
    let mut ledger = locked(path, longest)?;
    match ledger.read()? {
        Tail::Clean => {}
        Tail::Torn => log::warn!(
            "the ledger {} ended in the middle of a line, which is dropped",
            path.display()
        ),
        Tail::Damaged { line, why } => {
            // What is readable may still name a server that lives.
            still_lives(&ledger)?;
            let aside = ledger.set_aside("damaged")?;
            let error = Error::Damaged { path: path.to_owned(), line, why };
            log::error!("{error}; it is kept as {}, and a fresh one begins", aside.display());
            ledger = locked(path, longest)?;
        }
        Tail::NotALedger => return Err(Error::NotALedger { path: path.to_owned() }.into()),
        Tail::Newer(version) => {
            let aside = ledger.set_aside("newer")?;
            let error = Error::newer(path, version);
            log::error!("{error}; it is kept as {}, and a fresh one begins", aside.display());
            ledger = locked(path, longest)?;
        }
    }
    refuse_adopted(&ledger)?;
    settle_older(&mut ledger)?;
    if compact::is_due(&ledger) {
        shorten(&mut ledger);
    }
    Ok(ledger)
}

/// Stops the start where a process that a ledger claims is alive.
fn still_lives(ledger: &Ledger) -> std::result::Result<(), Trouble> {
    let here = place::here()?;
    let book = &ledger.book;
    let is_here = |run: &&shmwarden::ledger::book::Run| {
        book.places.get(run.place).is_some_and(|place| {
            (&place.boot, &place.pid_namespace) == (&here.boot, &here.pid_namespace)
        })
    };
    let claims = book.runs.values().filter(is_here).flat_map(|run| &run.claims);
    let mut alive = claims.filter(|claim| claim.ended.is_none() && processes::lives(claim.process));
    match alive.next() {
        None => Ok(()),
        Some(claim) => Err(Trouble::Held(format!(
            "a server of the ledger {} still lives: process {}; stop it first, nothing was started",
            ledger.path().display(),
            claim.process.pid
        ))),
    }
}

/// Opens and locks, waiting for a sweep and never for another run.
fn locked(path: &Path, longest: Duration) -> std::result::Result<Ledger, Trouble> {
    let until = Instant::now() + longest;
    loop {
        let ledger = match Ledger::open(path, For::Creating) {
            // A ledger that is not to be trusted may be in use all the same.
            Err(error @ Error::Refused { .. }) if is_locked(path) => {
                return Err(Trouble::Held(format!("{error}; and another process has locked it")));
            }
            other => other?,
        };
        if ledger.try_lock()? {
            return Ok(ledger);
        }
        if let Some(holder) = holder(path) {
            return Err(Trouble::Held(holder));
        }
        if Instant::now() >= until {
            let seconds = longest.as_secs_f32().round();
            let why = format!(
                "the ledger {} is locked by another process, and was for {seconds} s; \
                 fuser {} names it",
                path.display(),
                word(path.as_os_str())
            );
            return Err(Trouble::Held(why));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Checks that another process has locked a regular file.
fn is_locked(path: &Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    let Ok(file) = options.open(path) else { return false };
    let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    regular && fs2::FileExt::try_lock_shared(&file).is_err()
}

/// Names the process that runs on this ledger, read without its lock.
fn holder(path: &Path) -> Option<String> {
    let mut ledger = Ledger::open(path, For::Reading).ok()?;
    ledger.read().ok()?;
    let here = place::here().ok()?;
    let run = ledger.book.open_runs().find(|run| {
        let place = ledger.book.places.get(run.place);
        place.is_some_and(|place| {
            (&place.boot, &place.pid_namespace) == (&here.boot, &here.pid_namespace)
        }) && processes::lives(run.start.launcher)
    })?;
    let server: Vec<String> =
        run.claims.iter().map(|claim| claim.process.pid.to_string()).collect();
    let server = match server.as_slice() {
        [] => "no server yet".to_owned(),
        pids => format!("server process {}", pids.join(", ")),
    };
    Some(format!(
        "the ledger {} is held by another run: launcher process {}, {server}; \
         one run at a time, nothing was started",
        path.display(),
        run.start.launcher.pid
    ))
}

/// Settles what older runs left. A server that lives stops the start; orphans do not.
fn settle_older(ledger: &mut Ledger) -> std::result::Result<(), Trouble> {
    if ledger.book.place().is_none() {
        return Ok(());
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let beside = vec![ledgers::default_directory()];
    let policy = Policy { exempt: vec![own], starting: true, beside, ..Policy::default() };
    let report = match sweep::once(ledger, &policy) {
        Ok(report) => report,
        Err(error) => {
            // Nothing can be settled; but no server starts beside one that may live.
            still_lives(ledger)?;
            return Err(error.into());
        }
    };
    if !matches!(&report.state, State::Live(_)) {
        text::log_report(&report);
    }
    match &report.state {
        // The server itself refuses to start on such a file, and says why.
        State::Live(evidence @ Evidence::PidFileClosed { .. }) => {
            log::warn!("nothing of earlier runs is removed: {evidence}");
            Ok(())
        }
        State::Live(evidence) => Err(Trouble::Held(format!(
            "a server of the ledger {} still lives without its launcher: {evidence}; \
             stop it first, nothing was started",
            ledger.path().display()
        ))),
        _ => Ok(()),
    }
}
