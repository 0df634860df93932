//! `shmwarden demo`: the whole story on this machine, in a scratch directory.
//!
//! The outer process only makes the ground that the story is told on (`ground`), waits, and takes
//! it away again; the story (`story`) starts real servers under `shmwarden run`, kills them, and
//! checks each claim that it prints. Nothing of it may be left behind, however it ends.

mod account;
mod acts;
mod belongings;
mod bystanders;
mod checks;
mod ground;
mod outer;
mod postgres;
mod processes;
mod query;
mod scene;
mod scratch;
mod server;
mod stand_in;
mod story;
mod table;
mod teller;
mod trouble;

use crate::cli::{Common, DemoArgs};
use crate::exit::{self, Ending};
use ground::Ground;
use trouble::Interrupts;

/// `shmwarden demo`, or the part of it that the hidden option names.
pub(crate) fn run(args: &DemoArgs, common: &Common) -> Ending {
    match (args.part.as_deref(), args.rest.as_slice()) {
        (None, []) => outer::run(args, common),
        (Some(stand_in::PART), [_, data]) => stand_in::run(data),
        (Some(story::PART), [scratch, ground]) => match Ground::from_word(ground) {
            Some(ground) => story::tell(
                &story::Setting {
                    scratch: scratch.into(),
                    ground,
                    stand_in: args.stand_in,
                    json: common.json,
                    no_color: common.no_color,
                },
                Interrupts::none(),
            ),
            None => unknown(),
        },
        _ => unknown(),
    }
}

fn unknown() -> Ending {
    log::error!("this is no part of the demo; run shmwarden demo");
    Ending::Status(exit::USAGE)
}
