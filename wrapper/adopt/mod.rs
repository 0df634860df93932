//! `shmwarden adopt`: puts proven orphans of the past into a ledger, for `sweep` to remove.
//!
//! Removes nothing. What is recorded was judged twice: before the question, and again with the
//! ledger locked, however long the answer took.

pub(crate) mod args;
pub(crate) mod output;
pub(crate) mod select;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::path::Path;
use std::time::{Duration, Instant};

use shmwarden::ledger::compact;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::record::{Adopted, Record};
use shmwarden::object::{Identity, Place};
use shmwarden::snapshot::place;
use shmwarden::sys::user;
use shmwarden::{Error, Result};

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::ledgers::directory;
use crate::ledgers::{self, Named};
use crate::render;
use args::AdoptArgs;
use select::{Asked, Candidate};

/// The longest wait for a sweep that holds the lock.
const WAIT_FOR_LOCK: Duration = Duration::from_secs(10);
/// Pause between two tries to lock.
const PAUSE: Duration = Duration::from_millis(50);
/// The ledger's name where none is given.
const NAME: &str = "adopted";

/// `shmwarden adopt`.
pub(crate) fn run(args: &AdoptArgs, common: &Common) -> Ending {
    let asked = match Asked::of(args) {
        Ok(asked) => asked,
        Err(why) => {
            log::error!("{why}");
            return Ending::Status(exit::USAGE);
        }
    };
    let may_ask = stdin().is_terminal() && stderr().is_terminal();
    if !args.dry_run && !args.yes && !may_ask {
        log::error!(
            "nothing was adopted: there is no terminal to ask at; look with --dry-run, then say \
             --yes"
        );
        return Ending::Status(exit::USAGE);
    }
    let path = ledgers::path(&Named {
        path: args.ledger.as_deref(),
        name: Some(NAME),
        chosen: true,
        ..Named::default()
    });
    match adopt(args, common, &asked, &path) {
        Ok(status) => Ending::Status(status),
        Err(error) => {
            log::error!("{error}");
            Ending::Status(exit::status_of(&error))
        }
    }
}

fn adopt(args: &AdoptArgs, common: &Common, asked: &Asked, path: &Path) -> Result<u8> {
    let mut found = select::find(asked, path)?;
    let nothing = found.candidates.iter().all(|one| !one.is_taken());
    if !args.dry_run && !nothing {
        if !args.yes {
            // Whoever answers sees it, wherever the result goes.
            let plan = output::text(&found.candidates, path, true, common.verbose);
            if !confirmed(&plan, &found.candidates) {
                log::info!("nothing was adopted");
                return Ok(found.status);
            }
        }
        let mut ledger = open(path, args.ledger.is_none())?;
        let before = std::mem::take(&mut found.candidates);
        found = select::find(asked, path)?;
        // Only what was shown is taken.
        let shown = before.iter().filter(|one| one.is_taken()).map(|one| &one.identity);
        let shown: BTreeMap<String, &Identity> = shown.map(|one| (one.to_string(), one)).collect();
        let was_shown = |now: &Identity| shown.get(&now.to_string()) == Some(&now);
        found.candidates.retain(|now| !now.is_taken() || was_shown(&now.identity));
        record(&mut ledger, &found.candidates)?;
    }
    let printed = if common.json {
        render::print_json(&output::document(&found.candidates, &found.looked, path, args.dry_run))
    } else if !args.dry_run && !args.yes && !nothing {
        render::print(&output::total(&found.candidates, path, false))
    } else {
        let text = output::text(&found.candidates, path, args.dry_run, common.verbose);
        let places = render::places::line(&found.looked, common.verbose);
        render::print(&format!("{text}{places}\n"))
    };
    printed.map_err(Error::io("cannot write to", Path::new("stdout")))?;
    let refused = found.candidates.iter().any(|one| one.against.is_some() && !one.along);
    let named = if asked.is_named() && refused { exit::PERMISSION } else { 0 };
    Ok(exit::worse(found.status, named))
}

/// Asks at the terminal; anything but a yes is a no.
fn confirmed(plan: &str, candidates: &[Candidate]) -> bool {
    let count = candidates.iter().filter(|one| one.is_taken()).count();
    let mut err = stderr().lock();
    let count = output::objects(count);
    let asked = write!(err, "{plan}Adopt {count}, for sweep to remove? [y/N] ");
    if asked.and_then(|()| err.flush()).is_err() {
        return false;
    }
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}

/// Opens and locks the ledger, made where it is missing.
fn open(path: &Path, is_default_place: bool) -> Result<Ledger> {
    directory::make(path, is_default_place)?;
    let until = Instant::now() + WAIT_FOR_LOCK;
    let mut ledger = loop {
        let ledger = Ledger::open(path, For::Creating)?;
        if ledger.try_lock()? {
            break ledger;
        }
        if Instant::now() >= until {
            let why = "another process has it locked; try again when that is done".to_owned();
            return Err(Error::Refused { path: path.to_owned(), why });
        }
        std::thread::sleep(PAUSE);
    };
    ledgers::read_to_write(&mut ledger)?;
    if ledger.owner().0 != user::effective() {
        let owner = ledger.owner().0;
        let why = format!("it belongs to user {owner}: adopt into a ledger of your own");
        return Err(Error::Refused { path: path.to_owned(), why });
    }
    if !ledger.book.runs.is_empty() {
        let why = "it is the ledger of a server: adopted objects need one of their own".to_owned();
        return Err(Error::Refused { path: path.to_owned(), why });
    }
    if compact::is_due(&ledger) {
        if let Some(compacted) = compact::compact(&ledger, |_| Ok(()))? {
            ledger.go_on_with(compacted);
        }
    }
    Ok(ledger)
}

/// Writes down what is taken.
fn record(ledger: &mut Ledger, candidates: &[Candidate]) -> Result<()> {
    let here: Place = place::here()?;
    ledger.note_place(here)?;
    for one in candidates.iter().filter(|one| one.is_taken()) {
        let adopted = Adopted {
            object: ledger.book.next_object(),
            how: one.how,
            role: one.role,
            identity: one.identity.clone(),
        };
        ledger.note(Record::Adopted(adopted))?;
    }
    ledger.flush()?;
    ledger.sync()
}
