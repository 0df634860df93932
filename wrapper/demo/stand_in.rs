//! A stand-in for a database server, where none is installed and as the neighbour of the one that
//! is: it has a segment attached, says in `postmaster.pid` that it is ready, and removes the
//! segment when it is asked to end. To `run` it is a server of no known kind.

use std::io;
use std::path::Path;
use std::time::Duration;

use shmwarden::sys::own_segment::OwnSegment;

use super::server::PID_FILE;
use crate::exit::{self, Ending};
use crate::interrupts::{Interrupts, Second};

/// Never touched, so it takes no memory.
const BYTES: usize = 64 << 20;

/// Is the server, until a signal ends it.
pub(super) fn serve(data: &Path) -> Ending {
    let interrupts = Interrupts::catch(Second::Waits);
    let segment = match start(data) {
        Ok(segment) => segment,
        Err(error) => {
            log::error!("the stand-in cannot start: {error}");
            return Ending::Status(exit::FAILED);
        }
    };
    while interrupts.signal().is_none() {
        interrupts.pause(Duration::from_secs(3600), &[]);
    }
    // The clean-up that never runs when it is killed.
    drop(segment);
    Ending::Status(0)
}

fn start(data: &Path) -> io::Result<OwnSegment> {
    // `IPC_PRIVATE`: no key that somebody could have.
    let segment = OwnSegment::create(0, BYTES)?;
    segment.attach()?;
    std::fs::write(data.join(PID_FILE), format!("{}\nready\n", std::process::id()))?;
    Ok(segment)
}
