//! `run --in-place`: this process becomes the server, and leaves a guardian beside it.
//!
//! Same pid, parent, session, signals and status as without us, because it is the same process.
//! Whoever starts servers this way judges a start by the clock (Patroni takes a postmaster that was
//! forked 3 seconds before it wrote its pid file for another process): no wait here may be long.

mod guardian;

use std::convert::Infallible;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use shmwarden::ledger::Ledger;
use shmwarden::sys::gate::{self, Heard, Program};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::{apart, signals};

use super::prepare::{self, Trouble};
use super::{Failure, Plan, events, failed, ledger_or_none, program};
use crate::cli::{IfLedgerFails, RunArgs};
use crate::exit::{self, Ending};
use guardian::Guardian;

/// The most time for everything before the exec that can be waited for.
const LONGEST: Duration = Duration::from_millis(2500);
/// The least of that time that is left for the claim.
const FOR_CLAIM: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(20);

/// Becomes COMMAND; comes back only where that failed.
pub(super) fn run(args: &RunArgs) -> Ending {
    match become_server(args) {
        Ok(never) => match never {},
        Err(failure) => failed(&failure),
    }
}

fn become_server(args: &RunArgs) -> Result<Infallible, Failure> {
    let until = Instant::now() + LONGEST;
    let refused = |why: &str| (exit::RUN_FAILED, why.to_owned());
    if apart::adopts_orphans() {
        return Err(refused(
            "run --in-place is not for PID 1 or a process that adopts orphans: the guardian would \
             become a child of the server; use run without --in-place, nothing was started",
        ));
    }
    let inherited = events::open_descriptors();
    let plan = Plan::of(args)?;
    // The server's mask from the start: until the exec, signals do what they would do to it.
    let mask = signals::mask().map_err(|errno| (exit::RUN_FAILED, errno.to_string()))?;
    let program = program::build(&plan.program, &args.command, mask);
    let program = program.map_err(|why| (exit::RUN_FAILED, why))?;
    let ledger = match plan.server.engine.starts_server(&args.command) {
        true => ledger_or_none(open(&plan, until - FOR_CLAIM), args)?,
        false => None,
    };
    let errno = match ledger {
        Some(ledger) => beside_guardian(args, &plan, inherited, ledger, &program, until)?,
        None => program.execute_here(),
    };
    Err(program::exec_failed(&plan.program, errno as i32))
}

/// Opens the ledger. A server that is just ending is waited for, and its guardian: `pg_ctl restart`
/// starts the next one when `postmaster.pid` is gone, which is before its process is.
fn open(plan: &Plan, until: Instant) -> Result<Ledger, Trouble> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match prepare::ledger(&plan.ledger, plan.is_default, left) {
            Err(Trouble::Held(_)) if Instant::now() < until => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Executes the program once a guardian has its claim on disk; why that failed.
fn beside_guardian(
    args: &RunArgs,
    plan: &Plan,
    inherited: Vec<RawFd>,
    ledger: Ledger,
    program: &Program,
    until: Instant,
) -> Result<Errno, Failure> {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let pidfd = PidFd::open(pid).ok();
    let without = |what: &str| without_claim(args, what, &plan.ledger);
    let (gated, mut waiting) = match gate::between(pid) {
        Ok(ends) => ends,
        Err(errno) => {
            without(&format!("cannot make a pipe: {errno}"))?;
            return Ok(program.execute_here());
        }
    };
    let ends = waiting.descriptors();
    let guardian = Guardian { args, plan, ledger, gated, pidfd, inherited, ends };
    let heard = match apart::fork_apart(|| guardian.run()) {
        Ok(()) => waiting.wait(until),
        Err(errno) => {
            log::error!("cannot fork the guardian: {errno}");
            Heard::Nobody
        }
    };
    let trouble = match heard {
        Heard::Durable => None,
        Heard::NotDurable => Some("the claim could not be written"),
        Heard::Nobody => Some("the guardian has ended before the claim was written"),
        Heard::Nothing => Some("the claim was not written in time"),
    };
    if let Some(trouble) = trouble {
        without(trouble).inspect_err(|_| waiting.report(Errno::ECANCELED))?;
    }
    let errno = program.execute_here();
    waiting.report(errno);
    Ok(errno)
}

/// Applies `--if-ledger-fails` to a start without a claim on disk.
fn without_claim(args: &RunArgs, what: &str, ledger: &Path) -> Result<(), Failure> {
    let trouble = format!("{what} to the ledger {}", ledger.display());
    if args.if_ledger_fails == IfLedgerFails::Refuse {
        return Err((exit::RUN_FAILED, format!("{trouble}; the server is not started")));
    }
    log::error!("{trouble}; the server starts all the same, and no clean-up is promised");
    Ok(())
}
