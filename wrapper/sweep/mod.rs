//! `shmwarden sweep`: removes what dead instances left. The pre-start and post-stop hook.

pub(crate) mod args;
pub(crate) mod ledger;
pub(crate) mod output;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shmwarden::judge::Policy;
use shmwarden::ledger::compact;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::object::Place;
use shmwarden::snapshot::place;
use shmwarden::sweep::{self, Fate, Report, Settled, Shared, State};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::{Error, Result};

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::interrupts::{Interrupts, Second};
use crate::ledgers::runs;
use crate::ledgers::{self, Found, Named, Reach};
use crate::render;
use args::SweepArgs;
use ledger::{Finding, Swept};

/// The longest wait for another sweep that holds the lock of the one ledger that was named. For
/// several ledgers nobody waits: whoever may keep a ledger there could hold up the servers of
/// others.
const WAIT_FOR_LOCK: Duration = Duration::from_secs(10);
/// Pause between two tries to lock, and longest pause between two looks at what is held.
const PAUSE: Duration = Duration::from_millis(50);
/// Most holders whose end is waited for by name; the rest is found at the next look.
const MOST_HOLDERS: usize = 256;

/// `shmwarden sweep`.
pub(crate) fn run(args: &SweepArgs, common: &Common) -> Ending {
    let here = match place::here() {
        Ok(here) => here,
        Err(error) => {
            log::error!("{error}");
            return Ending::Status(exit::status_of(&error));
        }
    };
    let Sources { paths, named, found } = sources(args, &here);
    found.tell();
    if paths.is_empty() && args.dry_run {
        // Who asks wants an answer; a hook before the first start wants none.
        log::info!(
            "there is no ledger in {}, and nothing to sweep; --dir names another place",
            render::places::words(&found.looked, common.verbose)
        );
    }
    let terms = Terms::of(args, named && paths.len() == 1, &found);
    let mut all: Vec<Swept> = Vec::with_capacity(paths.len());
    let mut together = Together::of(paths.len());
    for path in &paths {
        all.push(sweep(path, args, &terms, &mut together));
    }
    let interrupted = wait_for_held(&mut all, args, &terms);
    let mut worst = found.status_of_hook();
    for swept in &mut all {
        if let Some(name) = args.name.as_deref().filter(|_| named) {
            name.clone_into(&mut swept.instance);
        }
        log_finding(swept, common);
        let status = match &swept.finding {
            // Left alone, as it should be: only who asked for this very ledger has to know.
            _ if swept.status == exit::LIVE && !named => 0,
            _ => swept.status,
        };
        worst = exit::worse(worst, status);
    }
    let printed = if common.json {
        render::print_json(&output::document(&all, &found.looked, args.dry_run))
    } else {
        let mut lines = output::lines(&all, args.dry_run, common.verbose);
        if (args.dry_run || common.verbose) && !found.looked.is_empty() {
            lines.push_str(&render::places::line(&found.looked, common.verbose));
            lines.push('\n');
        }
        render::print(&lines)
    };
    let status = exit::after_printing(printed, worst);
    interrupted.map_or(Ending::Status(status), Ending::Signal)
}

/// The ledgers to sweep.
struct Sources {
    paths: Vec<PathBuf>,
    /// Set where they were named one by one.
    named: bool,
    /// The result of looking for more.
    found: Found,
}

/// Finds the ledgers to sweep.
fn sources(args: &SweepArgs, here: &Place) -> Sources {
    let data = args.data.as_deref().map(ledgers::absolute);
    let mut paths: Vec<PathBuf> = args.ledgers.iter().map(|path| ledgers::absolute(path)).collect();
    if args.name.is_some() || data.is_some() {
        let (its, found) = ledgers::of_instance(
            &Named {
                name: args.name.as_deref(),
                data: data.as_deref(),
                directory: args.dir.as_deref(),
                chosen: true,
                ..Named::default()
            },
            here,
        );
        paths.extend(its);
        return Sources { paths, named: true, found };
    }
    if paths.is_empty() && args.dir.is_none() {
        paths.extend(ledgers::from_environment());
    }
    if !paths.is_empty() {
        return Sources { paths, named: true, found: Found::default() };
    }
    let directories: Vec<PathBuf> = args.dir.iter().map(|dir| ledgers::absolute(dir)).collect();
    let reach = match (args.dir.is_some(), ledgers::is_in_unit()) {
        (true, _) => Reach::Named,
        // The hook of a unit is about that unit, and waits for nobody else's.
        (false, true) => Reach::Default,
        (false, false) => Reach::Everywhere,
    };
    let found = ledgers::find(&directories, reach, here);
    let paths = found.ledgers.iter().map(|(path, _)| path.clone()).collect();
    Sources { paths, named: false, found }
}

/// The terms for all ledgers of this command together: how long it waits, and whom it heeds.
#[derive(Debug)]
struct Terms {
    /// Until when for a lock; `None` where nobody waits for one.
    lock: Option<Instant>,
    /// Until when for orphans to let go; `None` for ever.
    holders: Option<Instant>,
    /// The paths of other ledgers: what their instances use stays.
    beside: Vec<PathBuf>,
}

impl Terms {
    fn of(args: &SweepArgs, is_only_one: bool, found: &Found) -> Self {
        let now = Instant::now();
        let lock = is_only_one.then(|| now + WAIT_FOR_LOCK);
        let named = args.dir.iter().map(|dir| ledgers::absolute(dir));
        let others = found.ledgers.iter().map(|(path, _)| path.clone());
        let beside = named.chain([ledgers::default_directory()]).chain(others).collect();
        Self { lock, holders: now.checked_add(args.wait), beside }
    }
}

/// The state that the ledgers of one sweep share.
struct Together {
    /// The bounds on the ledgers of other users.
    allowance: Allowance,
    /// A look for several of them; one alone has its own.
    look: Option<Shared>,
}

impl Together {
    fn of(ledgers: usize) -> Self {
        let look = (ledgers > 1).then(Shared::default);
        Self { allowance: Allowance::default(), look }
    }
}

/// Sweeps one ledger once.
fn sweep(path: &Path, args: &SweepArgs, terms: &Terms, together: &mut Together) -> Swept {
    let finding = once(path, args, terms, together);
    let (status, instance) = (status(&finding, args), ledgers::instance(path));
    Swept { path: path.to_owned(), instance, finding, status }
}

/// Sweeps those again of which something is held, as long as asked, without a lock meanwhile;
/// returns the signal that ended the wait, if one did.
fn wait_for_held(all: &mut [Swept], args: &SweepArgs, terms: &Terms) -> Option<i32> {
    if args.wait.is_zero() {
        return None;
    }
    let interrupts = Interrupts::catch(Second::Ends);
    while terms.holders.is_none_or(|until| Instant::now() < until) {
        let reports = all.iter().filter_map(|swept| swept.held());
        let held: Vec<&Report> = reports.collect();
        if held.is_empty() {
            break;
        }
        wait_for_holders(&held, terms.holders, &interrupts);
        if interrupts.signal().is_some() {
            break;
        }
        for swept in all.iter_mut().filter(|swept| swept.held().is_some()) {
            *swept = sweep(&swept.path, args, terms, &mut Together::of(1));
        }
    }
    interrupts.signal()
}

/// One pass over one ledger.
fn once(path: &Path, args: &SweepArgs, terms: &Terms, together: &mut Together) -> Finding {
    match try_once(path, args, terms, together) {
        Ok(finding) => finding,
        Err(error @ (Error::Damaged { .. } | Error::Newer { .. })) => {
            Finding::Damaged(ledgers::trouble(&error))
        }
        Err(Error::Missing { .. }) => {
            let directory = path.parent().unwrap_or(path);
            if !directory.is_dir() {
                log::warn!(
                    "there is no ledger {}, nor its directory: nothing was swept there; a first \
                     start makes both, a mistyped path never does",
                    path.display()
                );
            }
            Finding::Missing
        }
        Err(error) => Finding::Refused(exit::status_of(&error), error.to_string()),
    }
}

fn try_once(
    path: &Path,
    args: &SweepArgs,
    terms: &Terms,
    together: &mut Together,
) -> Result<Finding> {
    let mode = if args.dry_run { For::Reading } else { For::Writing };
    let mut ledger = loop {
        let ledger = Ledger::open(path, mode)?;
        if ledger.try_lock()? {
            break ledger;
        }
        if let Some(who) = runs::runner(path) {
            return Ok(Finding::Busy(who));
        }
        if terms.lock.is_none_or(|until| Instant::now() >= until) {
            return Ok(Finding::Locked);
        }
        std::thread::sleep(PAUSE);
    };
    together.allowance.take(&ledger)?;
    match ledgers::read_to_write(&mut ledger) {
        Err(error @ Error::Damaged { .. }) if !args.dry_run => {
            let aside = ledger.set_aside("damaged")?;
            return Ok(Finding::Damaged(format!(
                "{error}; it is kept as {}; ipcs and ls -l /dev/shm show what may be left",
                aside.display()
            )));
        }
        read => read?,
    }
    if args.dry_run {
        ledger.only_pretend();
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let policy = Policy {
        include_clean: args.include_clean,
        exempt: vec![own],
        beside: terms.beside.clone(),
        ..Policy::default()
    };
    let report = sweep::once_of_several(&mut ledger, &policy, together.look.as_mut())?;
    // Of a server's ledger the next `run` or `record` does it; of this one perhaps nobody. Where
    // nothing was settled now, nothing is to be left out, or the ledger means nothing here.
    let is_done = |one: &Settled| matches!(one.result, Fate::Removed | Fate::Gone);
    let shorter = report.objects.iter().any(is_done) && ledger.book.is_of_adopted();
    if !args.dry_run && shorter && compact::is_due(&ledger) {
        runs::shorten(&mut ledger);
    }
    Ok(Finding::Settled(report))
}

fn wait_for_holders(reports: &[&Report], until: Option<Instant>, interrupts: &Interrupts) {
    let holders: Vec<PidFd> = reports
        .iter()
        .flat_map(|report| &report.objects)
        .flat_map(|object| &object.holders)
        .take(MOST_HOLDERS)
        .filter_map(|holder| PidFd::open(holder.process.pid).ok())
        .collect();
    // A detach without an exit gives no event: looked at again after a while.
    let soon = Instant::now() + PAUSE * 10;
    let soon = until.map_or(soon, |until| soon.min(until));
    let fds: Vec<BorrowedFd<'_>> = holders.iter().map(AsFd::as_fd).collect();
    interrupts.pause(soon.saturating_duration_since(Instant::now()), &fds);
}

fn status(finding: &Finding, args: &SweepArgs) -> u8 {
    let report = match finding {
        Finding::Missing => return 0,
        Finding::Busy(_) | Finding::Locked => return exit::LIVE,
        Finding::Damaged(_) => return exit::DAMAGED,
        Finding::Refused(status, _) => return *status,
        Finding::Settled(report) => report,
    };
    if matches!(report.state, State::Live(_)) {
        return exit::LIVE;
    }
    let wrong = |object: &Settled| matches!(object.result, Fate::Raced(_) | Fate::Failed(_));
    match report.objects.iter().any(wrong) {
        true => exit::FAILED,
        false if args.strict && report.is_held() => exit::ACT,
        false => 0,
    }
}

/// Troubles go to the log as well: a hook's stdout is often thrown away.
fn log_finding(swept: &Swept, common: &Common) {
    match &swept.finding {
        Finding::Damaged(why) | Finding::Refused(_, why) => log::error!("{why}"),
        Finding::Settled(report) if common.json => render::text::log_report(report),
        _ => {}
    }
}
