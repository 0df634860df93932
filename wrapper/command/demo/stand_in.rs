//! The built-in stand-in for a database server: segments, and backends that have them attached.
//!
//! It takes keys as the older majors of PostgreSQL and openGauss do: port * 1000 + 1 and the next
//! free ones, and what others have it leaves alone. It has no clean-up at all, so that whatever
//! ends it leaks.

use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::unistd::{getpid, getppid, pause};
use shmwarden::engine::opengauss::keys;
use shmwarden::sys::process;
use shmwarden::sys::server::{Attached, Pages, create_segment};

use super::bystanders::PORT;
use crate::exit::{self, Ending};

/// The name of this part of the demo.
pub(super) const PART: &str = "stand-in";
/// What it creates: a buffer pool, which is never touched and so takes no memory, and locks.
const SEGMENTS_BYTES: [usize; 2] = [64 << 20, 1 << 20];
/// How many processes it forks.
const BACKENDS: usize = 2;
/// Keys that are tried before it gives up.
const KEYS: usize = 100;

/// How many segments it has.
pub(super) const SEGMENTS: usize = SEGMENTS_BYTES.len();
/// How often each of them is attached when all has begun.
pub(super) const NATTCH: u64 = 1 + BACKENDS as u64;

/// Is the server, until a signal ends it.
pub(super) fn run() -> Ending {
    match serve() {
        Ok(()) => Ending::Status(0),
        Err(errno) => {
            log::error!("the stand-in cannot start: {errno}");
            Ending::Status(exit::ACT)
        }
    }
}

fn serve() -> Result<(), Errno> {
    let attached: Result<Vec<Attached>, Errno> =
        SEGMENTS_BYTES.into_iter().map(|bytes| Attached::attach(create(bytes)?)).collect();
    let _for_life = attached?;
    let server = getpid();
    for _ in 0..BACKENDS {
        // A fork has attached what its parent has.
        process::fork_for(|| {
            let asked = process::die_with_parent(SIGKILL);
            while asked.is_ok() && getppid() == server {
                pause();
            }
            0
        })?;
    }
    loop {
        pause();
    }
}

fn create(bytes: usize) -> Result<i32, Errno> {
    for key in keys(PORT).take(KEYS) {
        match create_segment(key, bytes, Pages::Usual) {
            Err(Errno::EEXIST) => {}
            other => return other,
        }
    }
    Err(Errno::EEXIST)
}
