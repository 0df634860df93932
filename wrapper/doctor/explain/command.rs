//! `shmwarden doctor --explain`: an error message, what of it is true here, what to run.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use shmwarden::judge::status::Judged;
use shmwarden::sys::errand::{Answer, Errand, gather};

use super::message::errno_of;
use super::{Scene, answer, errno, recognise};
use crate::cli::Common;
use crate::cli::LedgerArgs;
use crate::doctor::output;
use crate::exit::{self, Ending};
use crate::host::{kernel, limit};
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::render::{self, text};
use crate::view::{View, Wanted};

/// The bytes of stdin that are kept: the end of a log.
const KEPT_BYTES: usize = 256 << 10;
/// Most that is read to come to that end, in bytes.
const MOST_BYTES: u64 = 4 << 30;
/// Longest wait for a file system that is asked how full it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Explains one message.
pub(crate) fn run(said: &OsStr, ledgers: &LedgerArgs, wanted: Wanted, common: &Common) -> Ending {
    let said = match message(said) {
        Ok(said) => said,
        Err(error) => {
            log::error!("cannot read the message from stdin: {error}");
            return Ending::Status(exit::FAILED);
        }
    };
    let Some(message) = recognise(&said) else {
        return unknown(&said, common);
    };
    let view = match View::take_quietly(ledgers, wanted) {
        Ok(view) => view,
        Err(error) => {
            log::error!("{error}");
            return Ending::Status(exit::status_of(&error));
        }
    };
    let shown = Shown::of(&view, true);
    let judged = view.judge();
    let kernel_limits = kernel::look();
    let answer = answer(
        &message,
        &Scene {
            look: &view.look,
            judged: &judged,
            limits: &kernel_limits,
            table: &limit::table(&kernel_limits, &view.look, &judged),
            holding: &|one: &Judged<'_>| shown.holding(one).unwrap_or_default(),
            names: &|uid| shown.user_or_number(uid),
            size: &text::size,
            safe: &text::safe,
            disk: &room_of,
        },
    );
    let printed = if common.json {
        render::print_json(&output::explained(&message, &answer))
    } else {
        let screen = Screen::of_stdout(common);
        render::print(&output::explanation(&answer, screen))
    };
    Ending::Status(exit::after_printing(printed, 0))
}

/// A text that is not about shared memory, or not in words that are known.
fn unknown(said: &str, common: &Common) -> Ending {
    let errno = errno_of(said);
    log::error!(
        "this is no message about shared memory or semaphores that is known here; give the \
         server's whole message, with its DETAIL and HINT, or ask with it at the project's issues. \
         shmwarden doctor shows limits, leaks and risky settings of this machine"
    );
    let printed = match (common.json, errno) {
        (true, _) => render::print_json(&output::unknown_message(errno)),
        (false, Some(errno)) => render::print(&format!(
            "{} by itself says: {}\n",
            errno::name(errno),
            errno::meaning(errno)
        )),
        (false, None) => Ok(()),
    };
    Ending::Status(exit::after_printing(printed, exit::ACT))
}

/// How full the file system of a path is, or of the first directory above it that is there. A file
/// system that does not answer is asked for no longer than [`PATIENCE`].
fn room_of(path: &str) -> Option<String> {
    let directory = PathBuf::from(path);
    let body = || {
        let found = directory.ancestors().find_map(|one| Some((one, statvfs(one).ok()?)));
        let sentence = found.map(|(one, room)| {
            let bytes = |blocks: u64| text::size(blocks.saturating_mul(room.fragment_size()));
            format!(
                "{}: {} of {} are free, and {} of {} inodes",
                text::safe(&one.to_string_lossy()),
                bytes(room.blocks_available()),
                bytes(room.blocks()),
                room.files_available(),
                room.files()
            )
        });
        sentence.unwrap_or_default().into_bytes()
    };
    let errand = Errand::send(None, body).ok()?;
    match gather(vec![errand], Instant::now() + PATIENCE).pop() {
        Some(Answer::Whole(said)) => String::from_utf8(said).ok().filter(|said| !said.is_empty()),
        _ => None,
    }
}

/// The message: the argument, or stdin for `-`.
fn message(said: &OsStr) -> io::Result<String> {
    if said != "-" {
        return Ok(said.to_string_lossy().into_owned());
    }
    let mut input = io::stdin().lock().take(MOST_BYTES);
    let mut bytes = Vec::new();
    while (&mut input).take(KEPT_BYTES as u64).read_to_end(&mut bytes)? > 0 {
        bytes.drain(..bytes.len().saturating_sub(KEPT_BYTES));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
