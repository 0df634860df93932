//! `shmwarden doctor --explain`: an error message, what of it is true here, what to run.

use std::ffi::OsStr;
use std::io::{self, Read};

use shmwarden::judge::status::Judged;

use super::{Scene, answer, recognise};
use crate::cli::Common;
use crate::cli::LedgerArgs;
use crate::doctor::{ended, output};
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
        log::error!(
            "this is no message about shared memory or semaphores that is known here; give the \
             server's whole message, with its DETAIL and HINT"
        );
        let printed = match common.json {
            true => render::print_json(&output::unknown_message()),
            false => Ok(()),
        };
        return ended(printed, exit::ACT);
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
        },
    );
    let printed = if common.json {
        render::print_json(&output::explained(&message, &answer))
    } else {
        let screen = Screen::of_stdout(common);
        render::print(&output::explanation(&answer, screen))
    };
    ended(printed, 0)
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
