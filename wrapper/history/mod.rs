//! `shmwarden history`: what was recorded, removed, kept, and why. Never locks, never writes.

pub(crate) mod output;

use std::path::PathBuf;

use clap::{Args, ValueHint};
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::object::Place;
use shmwarden::snapshot::place;
use shmwarden::{Error, Result};

use crate::cli::{Common, instance_name};
use crate::exit::{self, Ending};
use crate::ledgers::{self, Found, Named, Reach};
use crate::render;

/// Options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Ledger to tell (default: as root every one of this machine)
    #[arg(value_name = "LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
    /// Tell the ledger of this instance
    #[arg(long, value_name = "NAME", value_parser = instance_name)]
    pub(crate) name: Option<String>,
    /// Tell the ledger of the server with this data directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

/// `shmwarden history`.
pub(crate) fn run(args: &HistoryArgs, common: &Common) -> Ending {
    let mut worst = 0;
    let here = match place::here() {
        Ok(here) => here,
        Err(error) => return failed(&error, &mut worst),
    };
    let (paths, found) = paths(args, &here);
    found.tell();
    worst = exit::worse(worst, found.status());
    let mut documents = Vec::new();
    let mut allowance = Allowance::default();
    let mut any = false;
    for path in paths {
        let instance = args.name.clone().unwrap_or_else(|| ledgers::instance(&path));
        // One ledger in memory at a time: each is told before the next is read.
        let told = match read(&path, &mut allowance) {
            Ok(ledger) if common.json => {
                let shown = path.to_string_lossy();
                documents.push(output::document(&shown, &instance, &ledger.book));
                Ok(())
            }
            Ok(ledger) => {
                any = true;
                let shown = path.to_string_lossy();
                render::print(&output::story(&instance, &shown, &ledger.book))
            }
            Err(error) => {
                failed(&error, &mut worst);
                Ok(())
            }
        };
        if told.is_err() {
            return Ending::Status(exit::after_printing(told, worst));
        }
    }
    let mut nothing = String::new();
    if !common.json && !any && worst == 0 && !is_named(args) {
        let places = render::places::words(&found.looked, common.verbose);
        nothing = format!("no ledger is in {places}\n");
    }
    let printed = match (common.json, documents.as_slice()) {
        (false, _) => render::print(&nothing),
        (true, []) if is_named(args) => Ok(()),
        // One ledger is one document, as promised; several are a list in one.
        (true, [one]) => render::print_json(one),
        (true, _) => render::print_json(&output::several(documents, &found.looked)),
    };
    Ending::Status(exit::after_printing(printed, worst))
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

/// Checks that one ledger is meant.
fn is_named(args: &HistoryArgs) -> bool {
    args.ledger.is_some()
        || args.name.is_some()
        || args.data.is_some()
        || ledgers::from_environment().is_some()
}

fn paths(args: &HistoryArgs, here: &Place) -> (Vec<PathBuf>, Found) {
    if !is_named(args) {
        let found = ledgers::find(&[], Reach::Everywhere, here);
        return (found.ledgers.iter().map(|(path, _)| path.clone()).collect(), found);
    }
    let data = args.data.as_deref().map(ledgers::absolute);
    let named = Named {
        path: args.ledger.as_deref(),
        name: args.name.as_deref(),
        data: data.as_deref(),
        chosen: args.name.is_some() || args.data.is_some(),
        ..Named::default()
    };
    ledgers::of_instance(&named, here)
}

fn read(path: &std::path::Path, allowance: &mut Allowance) -> Result<Ledger> {
    let mut ledger = Ledger::open(path, For::Reading)?;
    allowance.take(&ledger)?;
    ledger.read_whole()?;
    Ok(ledger)
}
