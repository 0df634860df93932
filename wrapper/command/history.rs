//! `shmwarden history`: what was recorded, removed, kept, and why. Never locks, never writes.

use std::path::PathBuf;

use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::{Error, Result};

use crate::cli::{Common, HistoryArgs};
use crate::exit::{self, Ending};
use crate::ledgers::{self, Named};
use crate::render;

/// `shmwarden history`.
pub(crate) fn run(args: &HistoryArgs, common: &Common) -> Ending {
    let mut worst = 0;
    let paths = match paths(args) {
        Ok(paths) => paths,
        Err(error) => return failed(&error, &mut worst),
    };
    let mut documents = Vec::new();
    let mut allowance = Allowance::default();
    let mut any = false;
    for path in paths {
        let instance = args.name.clone().unwrap_or_else(|| ledgers::instance(&path));
        // One ledger in memory at a time: each is told before the next is read.
        let told = match read(&path, &mut allowance) {
            Ok(ledger) if common.json => {
                let shown = path.to_string_lossy();
                documents.push(render::history::document(&shown, &instance, &ledger.book));
                Ok(())
            }
            Ok(ledger) => {
                any = true;
                let shown = path.to_string_lossy();
                render::print(&render::history::story(&instance, &shown, &ledger.book))
            }
            Err(error) => {
                failed(&error, &mut worst);
                Ok(())
            }
        };
        if let Err(error) = told {
            return unprinted(&error, worst);
        }
    }
    let mut nothing = String::new();
    if !common.json && !any && worst == 0 && !is_named(args) {
        let directory = ledgers::default_directory();
        nothing = format!("no ledger is in {}\n", render::text::safe(&directory.to_string_lossy()));
    }
    let printed = match (common.json, documents.as_slice()) {
        (false, _) => render::print(&nothing),
        (true, []) if is_named(args) => Ok(()),
        // One ledger is one document, as promised; several are a list in one.
        (true, [one]) => render::print_json(one),
        (true, _) => render::print_json(&render::history::several(documents)),
    };
    match printed {
        Ok(()) => Ending::Status(worst),
        Err(error) => unprinted(&error, worst),
    }
}

fn unprinted(error: &std::io::Error, worst: u8) -> Ending {
    log::error!("cannot write the result: {error}");
    Ending::Status(exit::worse(worst, exit::FAILED))
}

fn failed(error: &Error, worst: &mut u8) -> Ending {
    log::error!("{}", ledgers::trouble(error));
    let status = match error {
        Error::Missing { .. } => exit::NO_SUCH_OBJECT,
        other => exit::status_of(other),
    };
    *worst = exit::worse(*worst, status);
    Ending::Status(*worst)
}

/// Whether one ledger is meant.
fn is_named(args: &HistoryArgs) -> bool {
    args.ledger.is_some()
        || args.name.is_some()
        || args.data.is_some()
        || ledgers::from_environment().is_some()
}

fn paths(args: &HistoryArgs) -> Result<Vec<PathBuf>> {
    if !is_named(args) {
        let directory = ledgers::default_directory();
        let found = ledgers::in_directory(&directory);
        return found.map_err(Error::io("cannot read the directory", &directory));
    }
    let data = args.data.as_deref().map(ledgers::absolute);
    Ok(vec![ledgers::path(&Named {
        path: args.ledger.as_deref(),
        name: args.name.as_deref(),
        data: data.as_deref(),
        chosen: args.name.is_some() || args.data.is_some(),
        ..Named::default()
    })])
}

fn read(path: &std::path::Path, allowance: &mut Allowance) -> Result<Ledger> {
    let mut ledger = Ledger::open(path, For::Reading)?;
    allowance.take(&ledger)?;
    ledger.read_whole()?;
    Ok(ledger)
}
