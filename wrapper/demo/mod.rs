//! `shmwarden demo`: the whole story on this machine, in a scratch directory.
//!
//! The outer process makes the ground (`ground`) and waits. Its child tells the story (`story`) as
//! the server's user: it starts real servers under `shmwarden run`, kills them, checks each claim
//! that it prints, and clears away in every case, also when it is interrupted.

mod belongings;
mod ground;
mod server;
mod stage;
mod stand_in;
mod story;
mod teller;

use std::path::PathBuf;

use clap::Args;
use nix::libc::SIGTERM;
use nix::unistd::{User, geteuid};
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::{signals, user};

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::interrupts::{Interrupts, Second};
use ground::Ground;
use stage::{Outcome, PAUSE, failed};

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Use the built-in stand-in even where PostgreSQL is installed
    #[arg(long)]
    pub(crate) stand_in: bool,
    /// Be the stand-in, with this data directory
    #[arg(long, hide = true, value_name = "DIR")]
    serve: Option<PathBuf>,
}

/// `nobody`, where there is no account of that name either.
const OVERFLOW_ID: u32 = 65534;

/// `shmwarden demo`, or the stand-in that it starts.
pub(crate) fn run(args: &DemoArgs, common: &Common) -> Ending {
    if let Some(data) = &args.serve {
        return stand_in::serve(data);
    }
    let interrupts = Interrupts::catch(Second::Waits);
    let ended = on_some_ground(args, common, &interrupts);
    if let (Some(signal), false) = (interrupts.signal(), ended == Ok(Ended::Exited(0))) {
        log::warn!("interrupted: the demo has ended what it had begun");
        return Ending::Signal(signal);
    }
    Ending::Status(match ended {
        Ok(Ended::Exited(0)) => 0,
        Ok(Ended::Exited(_)) => exit::FAILED,
        Ok(Ended::Signaled(..)) => failure("somebody has killed the demo"),
        Err(why) => failure(&why),
    })
}

fn failure(why: &str) -> u8 {
    log::error!("{why}");
    exit::FAILED
}

/// Makes the ground, and waits for the child that tells the story there.
fn on_some_ground(args: &DemoArgs, common: &Common, interrupts: &Interrupts) -> Outcome<Ended> {
    let ground = Ground::best();
    ground.enter().map_err(failed("cannot enter namespaces"))?;
    let child = process::fork_for(|| {
        let ready = ground.furnish().map_err(failed("cannot mount"));
        let told = ready.and_then(|()| become_teller()).and_then(|parent| {
            let path = nix::unistd::mkdtemp(&parent.join("shmwarden-demo-XXXXXX"));
            let scratch = path.map_err(failed("cannot make a scratch directory"))?;
            let status = story::tell(&scratch, &ground, interrupts, args.stand_in, common);
            let removed = std::fs::remove_dir_all(&scratch);
            removed.map_err(failed(&format!("cannot remove {}", scratch.display())))?;
            Ok(status)
        });
        i32::from(told.unwrap_or_else(|why| failure(&why)))
    });
    wait_for(child.map_err(failed("cannot fork"))?, interrupts)
}

/// Makes this process the one that tells the story: the server's user for good, the parent of every
/// process that loses its own, and asked to end when its parent is killed. Returns where its
/// scratch directory is to be.
fn become_teller() -> Outcome<PathBuf> {
    let is_root = geteuid().is_root();
    if is_root {
        let known = ["postgres", "nobody"].iter().find_map(|name| {
            let user = User::from_name(name).ok().flatten()?;
            (!user.uid.is_root()).then_some((user.uid.as_raw(), user.gid.as_raw()))
        });
        let (uid, gid) = known.unwrap_or((OVERFLOW_ID, OVERFLOW_ID));
        let doing = "cannot become the server's user";
        user::become_for_good(uid, gid).map_err(failed(doing))?;
        nix::sys::prctl::set_dumpable(true).map_err(failed(doing))?;
    }
    process::die_with_parent(SIGTERM)
        .and_then(|()| process::become_subreaper())
        .map_err(failed("cannot prepare the demo"))?;
    // Root's own TMPDIR may be closed to the server's user.
    Ok(if is_root { PathBuf::from("/tmp") } else { std::env::temp_dir() })
}

fn wait_for(child: i32, interrupts: &Interrupts) -> Outcome<Ended> {
    let mut asked = false;
    loop {
        if let Some(ended) = process::reap(child).map_err(failed("cannot wait for the story"))? {
            return Ok(ended);
        }
        if interrupts.signal().is_some() && !asked {
            // Unreaped, so the pid is the child's. It clears away, which takes a limited time.
            let _ = signals::send(child, SIGTERM);
            asked = true;
        }
        std::thread::sleep(PAUSE);
    }
}
