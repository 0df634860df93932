//! The outer process: makes scratch directory and ground, waits for the story, leaves nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{SIGKILL, SIGTERM};
use nix::unistd::{getpid, getppid};
use shmwarden::sys::process::{self, Ended};
use shmwarden::sys::signals;

use super::ground::Ground;
use super::processes;
use super::scratch::Scratch;
use super::story::{self, Setting};
use super::trouble::{Interrupts, Outcome, Trouble, failed};
use crate::cli::{Common, DemoArgs};
use crate::exit::{self, Ending};

/// Longest story, far beyond what the slowest machine needs.
const LIMIT: Duration = Duration::from_secs(180);
/// How long the demo may take to clear away, when it is to end in the middle.
const CLEARING: Duration = Duration::from_secs(20);
/// How long the kernel may take to end a namespace.
const END: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The demo from the outside.
pub(super) fn run(args: &DemoArgs, common: &Common) -> Ending {
    match told(args, common) {
        Ok(ending) => ending,
        Err(Trouble::Interrupted(signal)) => {
            log::warn!("interrupted: the demo has ended what it had begun");
            Ending::Signal(signal)
        }
        Err(Trouble::Failed(why)) => {
            log::error!("{why}");
            Ending::Status(exit::FAILED)
        }
    }
}

fn told(args: &DemoArgs, common: &Common) -> Outcome<Ending> {
    let interrupts = Interrupts::catch();
    let scratch = Scratch::create()?;
    let ground = Ground::best(scratch.path());
    let setting = Setting {
        scratch: scratch.path().to_owned(),
        ground,
        stand_in: args.stand_in,
        json: common.json,
        no_color: common.no_color,
    };
    let ended = if setting.ground.is_own() {
        on_own_ground(&setting, &interrupts)?
    } else {
        on_machine_ground(&setting, &interrupts)?
    };
    if ended != Ended::Exited(0) {
        // It may have ended of the same signal before this process looked.
        interrupts.check()?;
    }
    Ok(match ended {
        Ended::Exited(status) => Ending::Status(u8::try_from(status).unwrap_or(exit::FAILED)),
        Ended::Signaled(..) => {
            log::error!("somebody has killed the demo");
            Ending::Status(exit::FAILED)
        }
    })
}

/// In namespaces: nothing in there needs to be cleared away, so it may be killed at any time.
fn on_own_ground(setting: &Setting, interrupts: &Interrupts) -> Outcome<Ended> {
    // Of who executed this program: none of the demo's business.
    let before = processes::children();
    // PID 1 in there comes here when its parent is killed, and is waited for.
    process::become_subreaper().map_err(failed("cannot become a subreaper"))?;
    let refused = |errno: Errno| {
        log::error!("cannot enter namespaces of its own: {errno}");
        i32::from(exit::FAILED)
    };
    let child = setting
        .ground
        .fork(&setting.scratch, || become_story(setting), refused)
        .map_err(failed("cannot fork"))?;
    let ended = wait_for(child, LIMIT, interrupts);
    if ended.is_err() {
        // Unreaped, so the pid is the child's; the kernel ends PID 1 and all else in there.
        let _ = signals::send(child, SIGKILL);
    }
    wait_for_the_rest(&before);
    ended
}

/// On the machine's own ground: a child that has no other children, and clears away when asked.
fn on_machine_ground(setting: &Setting, interrupts: &Interrupts) -> Outcome<Ended> {
    let before = processes::children();
    let parent = getpid();
    let child = process::fork_for(|| {
        // What is left without a parent comes to it, and not to a PID 1 that may be slow to reap.
        let ready = process::die_with_parent(SIGTERM).and_then(|()| process::become_subreaper());
        let ending = match ready {
            Ok(()) => story::tell(setting, interrupts.clone()),
            Err(errno) => {
                log::error!("cannot prepare the demo: {errno}");
                Ending::Status(exit::FAILED)
            }
        };
        if getppid() != parent {
            // Whoever killed the outer process has left this to be done.
            let _ = std::fs::remove_dir_all(&setting.scratch);
        }
        match ending {
            Ending::Status(status) => i32::from(status),
            Ending::Signal(signal) => 128 + signal,
        }
    })
    .map_err(failed("cannot fork"))?;
    let ended = wait_for(child, LIMIT, interrupts);
    if ended.is_err() {
        let _ = signals::send(child, SIGTERM);
        let _ = wait_for(child, CLEARING, &Interrupts::none());
    }
    wait_for_the_rest(&before);
    ended
}

/// Executes this program again, as PID 1: what it could do in a user namespace ends with that.
fn become_story(setting: &Setting) -> i32 {
    let mut story = Command::new("/proc/self/exe");
    story.arg0("shmwarden").args(std::env::args_os().skip(1));
    story.arg("--part").arg(story::PART).arg("--");
    story.arg(&setting.scratch).arg(setting.ground.word());
    let error = story.exec();
    log::error!("cannot execute this program again: {error}");
    i32::from(exit::FAILED)
}

fn wait_for(child: i32, limit: Duration, interrupts: &Interrupts) -> Outcome<Ended> {
    let until = Instant::now() + limit;
    loop {
        if let Some(ended) = process::reap(child).map_err(failed("cannot wait for the story"))? {
            return Ok(ended);
        }
        interrupts.check()?;
        if Instant::now() >= until {
            let seconds = limit.as_secs();
            return Err(Trouble::Failed(format!("the demo took over {seconds} s")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Until no child is left but those of before.
fn wait_for_the_rest(before: &[i32]) {
    let until = Instant::now() + END;
    while Instant::now() < until {
        let rest = processes::children();
        let rest: Vec<i32> = rest.into_iter().filter(|pid| !before.contains(pid)).collect();
        if rest.is_empty() {
            return;
        }
        for pid in rest {
            let _ = process::reap(pid);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    log::error!("processes of the demo are still there");
}
