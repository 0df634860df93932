//! The launcher: starts the server behind a claim that is on disk, passes signals on, watches, and
//! cleans up after its death. One thread, one loop; its table is `supervise/phase.rs`.

mod events;
mod holders;
mod in_place;
mod notify;
mod prepare;
mod program;
mod scribe;
mod supervise;

use std::path::{Path, PathBuf};

use ancestry::Family;
use claim::Server;
use notify::Relay;
use prepare::Trouble;
use shmwarden::object::Bytes;
use shmwarden::sys::signals::SignalFd;
use shmwarden::sys::{gate, process, signals};
use supervise::Launcher;

use crate::cli::{IfLedgerFails, RunArgs};
use crate::exit::{self, Ending};
use crate::ledgers::{self, Named};
use crate::recording::{ancestry, claim};

/// `shmwarden run`.
pub(crate) fn run(args: &RunArgs) -> Ending {
    if args.in_place {
        return in_place::run(args);
    }
    match start(args) {
        Ok(launcher) => launcher.watch_over(),
        Err(failure) => failed(&failure),
    }
}

/// The status to end with, and why.
type Failure = (u8, String);

fn failed((status, why): &Failure) -> Ending {
    log::error!("{why}");
    Ending::Status(*status)
}

fn start(args: &RunArgs) -> Result<Launcher, Failure> {
    let plan = Plan::of(args)?;
    let inherited = events::open_descriptors();
    let wait = prepare::WAIT_FOR_SWEEP;
    let opened = prepare::ledger(&plan.ledger, plan.is_default, wait).and_then(|mut ledger| {
        let run = ledgers::runs::begin(&mut ledger, &plan.argv, false)?;
        Ok((ledger, run))
    });
    let ledger = ledger_or_none(opened, args)?;
    let Plan { program, server, .. } = plan;
    let system = |what: &'static str| {
        move |errno: nix::errno::Errno| (exit::RUN_FAILED, format!("{what}: {errno}"))
    };
    let mask = signals::block_all().map_err(system("cannot block signals"))?;
    let child = program::build(&program, &args.command, mask);
    let mut child = child.map_err(|why| (exit::RUN_FAILED, why))?;
    let relay = Relay::open(args.notify, std::env::var_os(notify::VARIABLE).as_deref());
    if let Some(relay) = &relay {
        child.replace(notify::VARIABLE, relay.address());
    }
    // An inherited SIGCHLD=SIG_IGN would have the kernel reap the server by itself.
    signals::dispose(nix::libc::SIGCHLD, false);
    let arriving = SignalFd::open().map_err(system("cannot open a signalfd"))?;
    let rows = claim::segments_before();
    let family = Family::start();
    let child = gate::fork(child).map_err(system("cannot fork"))?;
    // Not before the fork: a launcher that was one already has the child become one too.
    process::become_subreaper().map_err(system("cannot become a subreaper"))?;
    events::let_go(&inherited);
    process::trim_memory();
    if relay.is_some() {
        // As many as the server may send at once, whatever limit it was given itself.
        let _ = process::allow_most_descriptors();
    }
    let start = supervise::Start {
        program,
        server,
        ledger,
        child,
        ward: None,
        arriving,
        rows,
        family,
        relay,
    };
    Ok(Launcher::new(args, start))
}

/// The command line, resolved: the program, the server, and the path of its ledger.
struct Plan {
    /// The file that COMMAND means.
    program: PathBuf,
    server: Server,
    /// The path of its ledger, and whether that is in the default place.
    ledger: PathBuf,
    is_default: bool,
    argv: Vec<Bytes>,
}

impl Plan {
    fn of(args: &RunArgs) -> Result<Self, Failure> {
        let failed = |why: String| (exit::RUN_FAILED, why);
        let Some(command) = args.command.first() else {
            return Err(failed("there is no command to run".to_owned()));
        };
        let program = program::resolve(command)?;
        let server = Server::from_command(args.engine, &program, &args.command);
        let named = Named {
            path: args.ledger.as_deref(),
            name: args.name.as_deref(),
            data: server.data.as_deref(),
            command: Some(Path::new(command)),
            ..Named::default()
        };
        let ledger = ledgers::path(&named);
        if server.data.as_deref().is_some_and(|data| ledgers::lies_in(&ledger, data)) {
            return Err(failed(format!(
                "the ledger {} would lie in the server's data directory, where it does not \
                 belong; name another place with --ledger",
                ledger.display()
            )));
        }
        let is_default = args.ledger.is_none() && ledgers::from_environment().is_none();
        let argv = args.command.iter().map(|arg| Bytes::from(Path::new(arg.as_os_str()))).collect();
        Ok(Self { program, server, ledger, is_default, argv })
    }
}

/// The ledger, or none where it fails and the server is to start all the same.
fn ledger_or_none<T>(opened: Result<T, Trouble>, args: &RunArgs) -> Result<Option<T>, Failure> {
    match opened {
        Ok(ledger) => Ok(Some(ledger)),
        Err(Trouble::Held(why)) => Err((exit::RUN_FAILED, why)),
        Err(Trouble::Fails(error)) if args.if_ledger_fails == IfLedgerFails::Refuse => {
            Err((exit::RUN_FAILED, format!("{error}; the server is not started")))
        }
        Err(Trouble::Fails(error)) => {
            log::error!("{error}; the server starts all the same, and no clean-up is promised");
            Ok(None)
        }
    }
}
