//! `shmwarden doctor`: limits and how full they are, what is leaked and by whom, settings that hurt
//! a server. Changes nothing.

pub(crate) mod args;
pub(crate) mod beside;
pub(crate) mod check;
mod crowd;
mod explain;
pub(crate) mod kernel;
pub(crate) mod leaks;
pub(crate) mod ledgers;
pub(crate) mod limits;
pub(crate) mod logind;
pub(crate) mod output;
mod queues;
mod servers;
pub(crate) mod settings;

use std::path::Path;

use shmwarden::snapshot::Snapshot;

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::finding::Level;
use crate::render;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::view::{View, Wanted};
use args::DoctorArgs;

/// `shmwarden doctor`.
pub(crate) fn run(args: &DoctorArgs, common: &Common) -> Ending {
    let wanted = Wanted {
        sets: true,
        queues: true,
        files: true,
        maps: args.explain.is_some(),
        owners: true,
        details: false,
        servers: true,
        ledgers: true,
    };
    if let Some(text) = &args.explain {
        return explain::run(text, &args.ledgers, wanted, common);
    }
    let mut view = match View::take_quietly(&args.ledgers, wanted) {
        Ok(view) => view,
        Err(error) => {
            log::error!("{error}");
            return Ending::Status(exit::status_of(&error));
        }
    };
    view.look_for_robbery();
    if queues::any_full(&view.look) {
        view = view.later(Snapshot::with_waits);
    }
    let shown = Shown::of(&view, false);
    let checked = check::all(&view, &shown);
    let act = checked.findings.iter().any(|finding| finding.level != Level::Ok);
    let printed = if common.json {
        render::print_json(&output::document(&checked, &shown))
    } else {
        let screen = Screen::of_stdout(common);
        render::print(&output::text(&checked, &shown, screen, common.verbose))
    };
    let named = if view.lacks_what_was_named() { exit::NO_SUCH_OBJECT } else { 0 };
    let status = exit::worse(named, if act { exit::ACT } else { 0 });
    Ending::Status(exit::after_printing(printed, status))
}

/// A path as text, with U+FFFD for what is none.
fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
