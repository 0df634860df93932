//! `shmwarden record`: puts a server that already runs under a ledger. Touches the server in no
//! way and removes nothing; run again, it adds what is new.

pub(crate) mod args;
mod book;
mod calls;
mod init;
mod kind;
mod objects;
pub(crate) mod output;
pub(crate) mod refusal;
pub(crate) mod target;

use std::path::{Path, PathBuf};

use shmwarden::ledger::Ledger;
use shmwarden::snapshot::{self, Scope, Snapshot, place};
use shmwarden::sweep;

use crate::cli::Common;
use crate::cli::LedgerArgs;
use crate::exit::Ending;
use crate::ledgers::{self, Named};
use crate::render;
use crate::render::shown::Shown;
use crate::render::text::safe;
use crate::view::{View, Wanted};
use args::RecordArgs;
use refusal::Refusal;
use target::Target;

/// Most sets and queues that are named in warnings.
const MOST_TOLD: usize = 20;

/// The result of a `record`.
struct Recorded {
    ledger: Ledger,
    run: u64,
    target: Target,
    instance: String,
    look: Snapshot,
}

/// `shmwarden record`.
pub(crate) fn run(args: &RecordArgs, common: &Common) -> Ending {
    let printed = record(args).and_then(|recorded| print(recorded, common));
    match printed {
        Ok(()) => Ending::Status(0),
        Err(refusal) => {
            let (status, why) = refusal.told();
            log::error!("{why}");
            Ending::Status(status)
        }
    }
}

fn record(args: &RecordArgs) -> Result<Recorded, Refusal> {
    place::here()?;
    let target = target::find(args)?;
    init::look(&target)?;
    let path = path(args, &target)?;
    let is_default = args.ledger.is_none() && ledgers::from_environment().is_none();
    // Its launcher's own ledger is locked, which the opening tells.
    let watched = ledgers::watched_by(target.process, target.owner.0);
    if let Some((launcher, other)) = watched.filter(|(_, other)| *other != path) {
        let ledger = safe(&other.to_string_lossy());
        return Err(Refusal::Watched { pid: target.process.pid, launcher, ledger });
    }
    let mut ledger = book::open(&path, &target, is_default)?;
    let scope = Scope { files: true, processes: true, ..Scope::default() };
    let look = sweep::look_for_hidden(&ledger, snapshot::take(scope)?);
    let (run, known) = book::run_of(&mut ledger, &target, &look)?;
    let (look, doubts) = objects::note(&mut ledger, run, &target, known.as_ref(), look)?;
    if !target.still_lives() {
        return Err(Refusal::EndedMeanwhile { pid: target.process.pid });
    }
    ledger.flush().and_then(|()| ledger.sync())?;
    report(&doubts, &target);
    let instance = args.name.clone().unwrap_or_else(|| ledgers::instance(&path));
    Ok(Recorded { ledger, run, target, instance, look })
}

/// Returns the path of its ledger.
fn path(args: &RecordArgs, target: &Target) -> Result<PathBuf, Refusal> {
    let data = target.data.as_ref().map(|data| PathBuf::from(&data.path));
    let path = ledgers::path(&Named {
        path: args.ledger.as_deref(),
        name: args.name.as_deref(),
        data: data.as_deref(),
        command: Some(&program(&target.program)),
        chosen: args.name.is_some(),
        ..Named::default()
    });
    match data.filter(|data| ledgers::lies_in(&path, data)) {
        Some(_) => Err(Refusal::InDataDirectory { ledger: path.display().to_string() }),
        None => Ok(path),
    }
}

/// A program by the name it had before an upgrade replaced its file.
fn program(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    name.strip_suffix(" (deleted)").map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Says what could not be done, once a pass.
fn report(doubts: &objects::Doubts, target: &Target) {
    let pid = target.process.pid;
    for id in &doubts.older {
        log::warn!(
            "segment {id} bears the pid {pid} and is not recorded: it may be left from an earlier \
             process of that number"
        );
    }
    for identity in doubts.calls.iter().take(MOST_TOLD) {
        log::warn!(
            "{identity} was last used by the server and is not recorded: that it is the server's \
             own cannot be seen from one look (docs/record.md)"
        );
    }
    if doubts.calls.len() > MOST_TOLD {
        log::warn!("so were {} more", doubts.calls.len() - MOST_TOLD);
    }
    if doubts.closed {
        log::warn!(
            "not allowed to read the memory of process {pid} (kernel.yama.ptrace_scope?): its list \
             of dynamic shared memory is read when it is dead; as root it is recorded now"
        );
    }
}

fn print(recorded: Recorded, common: &Common) -> Result<(), Refusal> {
    let Recorded { ledger, run, target, instance, look } = recorded;
    let written = if common.json {
        let path = ledger.path().to_owned();
        let book = ledger.book.clone();
        // The view reads ledgers, and takes a locked one for a watched one.
        drop(ledger);
        let ledgers = LedgerArgs { ledger: vec![path.clone()], ..LedgerArgs::default() };
        let wanted = Wanted { files: true, details: true, ..Wanted::default() };
        let view = View::take(&ledgers, wanted)?;
        let shown = Shown::of(&view, false);
        let all = view.judge();
        let of_run = output::of_run(&book, run, &all);
        let document = output::Document::new(&path, &instance, &target, &of_run, &shown);
        render::print(&render::json_text(&document, false))
    } else {
        render::print(&output::lines(&ledger, run, &target, &instance, &look))
    };
    written.map_err(|error| Refusal::Unprinted { error })
}
