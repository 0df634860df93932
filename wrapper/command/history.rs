//! `shmwarden history`: what was recorded, removed, kept, and why. Never locks, never writes.

use std::path::PathBuf;

use serde_json::Value;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::{Error, Result};

use crate::cli::{Common, HistoryArgs};
use crate::exit::{self, Ending};
use crate::ledgers::{self, Named};
use crate::render;

/// There is no such ledger.
const NO_SUCH_LEDGER: u8 = 66;

/// `shmwarden history`.
pub(crate) fn run(args: &HistoryArgs, common: &Common) -> Ending {
    let mut worst = 0;
    let paths = match paths(args) {
        Ok(paths) => paths,
        Err(error) => return failed(&error, &mut worst),
    };
    let mut documents = Vec::new();
    let mut stories = String::new();
    for path in paths {
        let instance = args
            .name
            .clone()
            .unwrap_or_else(|| ledgers::instance(&path));
        match read(&path) {
            Ok(ledger) => {
                let shown = path.to_string_lossy();
                documents.push(render::history::document(&shown, &instance, &ledger.book));
                stories.push_str(&render::history::story(&instance, &shown, &ledger.book));
            }
            Err(error) => {
                failed(&error, &mut worst);
            }
        }
    }
    let printed = match (common.json, documents.as_slice()) {
        (false, _) => render::print(&stories),
        (true, []) => Ok(()),
        // One ledger is one document, as promised; several are one list.
        (true, [one]) => render::print_json(one),
        (true, _) => render::print_json(&Value::Array(documents)),
    };
    if let Err(error) = printed {
        log::error!("cannot write the result: {error}");
        worst = exit::worse(worst, exit::FAILED);
    }
    Ending::Status(worst)
}

fn failed(error: &Error, worst: &mut u8) -> Ending {
    log::error!("{error}");
    let status = match error {
        Error::Missing { .. } => NO_SUCH_LEDGER,
        other => exit::status_of(other),
    };
    *worst = exit::worse(*worst, status);
    Ending::Status(*worst)
}

fn paths(args: &HistoryArgs) -> Result<Vec<PathBuf>> {
    let named = std::env::var_os("SHMWARDEN_LEDGER").is_some_and(|path| !path.is_empty());
    if args.ledger.is_none() && args.name.is_none() && args.data.is_none() && !named {
        let directory = ledgers::default_directory();
        let found = ledgers::in_directory(&directory);
        return found.map_err(Error::io("cannot read the directory", &directory));
    }
    let data = args.data.as_deref().map(ledgers::absolute);
    Ok(vec![ledgers::path(&Named {
        path: args.ledger.as_deref(),
        name: args.name.as_deref(),
        data: data.as_deref(),
        ..Named::default()
    })])
}

fn read(path: &std::path::Path) -> Result<Ledger> {
    let mut ledger = Ledger::open(path, For::Reading)?;
    ledger.read_whole()?;
    Ok(ledger)
}
