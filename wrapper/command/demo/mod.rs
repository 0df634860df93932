//! `shmwarden demo`.

use crate::cli::{Common, DemoArgs};
use crate::exit::{self, Ending};

/// `shmwarden demo`.
pub(crate) fn run(_args: &DemoArgs, _common: &Common) -> Ending {
    Ending::Status(exit::UNSUPPORTED)
}
