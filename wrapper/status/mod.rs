//! `shmwarden status`: every database server of this host, whether it is covered, and what is left
//! to do. Changes nothing.

pub(crate) mod args;
pub(crate) mod output;

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::render;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::servers;
use crate::view::{View, Wanted};
use args::{Format, StatusArgs};

/// `shmwarden status`.
pub(crate) fn run(args: &StatusArgs, common: &Common) -> Ending {
    let wanted = Wanted {
        sets: true,
        queues: true,
        files: true,
        owners: true,
        servers: true,
        ..Wanted::default()
    };
    let mut view = match View::take(&args.ledgers, wanted) {
        Ok(view) => view,
        Err(error) => {
            log::error!("{error}");
            return Ending::Status(exit::status_of(&error));
        }
    };
    view.look_for_robbery();
    let shown = Shown::of(&view, false);
    let servers = servers::find(&view);
    let format = if common.json { Format::Json } else { args.format };
    let printed = render::print(&match format {
        Format::Json => render::json_text(&output::document(&servers, &shown), false),
        Format::Prometheus => output::numbers(&servers),
        Format::Table => output::text(&servers, &shown, Screen::of_stdout(common)),
    });
    if let Err(error) = printed {
        log::error!("cannot write the result: {error}");
        return Ending::Status(exit::FAILED);
    }
    let named = if view.lacks_what_was_named() { exit::NO_SUCH_OBJECT } else { 0 };
    let act = if servers::uncovered(&servers) > 0 { exit::ACT } else { 0 };
    Ending::Status(exit::worse(named, act))
}
