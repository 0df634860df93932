//! The sets of semaphores (`sysv_sema.cpp`): how they are made, reclaimed, removed.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use shmwarden::engine::opengauss::{SET_MAGIC, SET_MEMBERS, keys};
use shmwarden::sys::{sem, server};

use super::options::{Options, message};

/// The member that marks a set.
const MARK: i32 = SET_MEMBERS - 1;

/// The sets, by id.
pub(crate) struct Sets(pub(crate) Vec<i32>);

impl Sets {
    /// `PGReserveSemaphores` and as many `PGSemaphoreCreate` as fill the sets.
    pub(crate) fn create(options: &Options) -> Result<Self, String> {
        let mut keys = keys(options.port);
        let mut sets = Sets(Vec::new());
        for _ in 0..options.sets {
            let set = create(&mut keys).map_err(|e| format!("could not create semaphores: {e}"))?;
            // IpcSemaphoreInitialize of each member, as a session takes it.
            for member in 0..MARK {
                server::set_value(set, member, 1).map_err(message)?;
            }
            sets.0.push(set);
        }
        Ok(sets)
    }

    /// `ReleaseSemaphores`.
    pub(crate) fn release(self) {
        for set in self.0 {
            let _ = sem::remove(set);
        }
    }
}

/// `IpcSemaphoreCreate`: what is under a key is removed where its mark is openGauss's and whoever
/// set the mark is dead; else the next key is tried.
fn create(keys: &mut impl Iterator<Item = i32>) -> Result<i32, Errno> {
    for key in keys {
        let mut made = server::create_set(key, SET_MEMBERS);
        if matches!(made, Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM)) {
            let Some(other) = left_over(key) else { continue };
            if sem::remove(other).is_err() {
                continue;
            }
            made = server::create_set(key, SET_MEMBERS);
        }
        match made {
            Ok(set) => {
                // One less, and one more by an operation, which leaves our pid on the mark.
                server::set_value(set, MARK, SET_MAGIC - 1)?;
                server::operate(set, MARK as u16, 1)?;
                return Ok(set);
            }
            Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::ENOSPC)
}

fn left_over(key: i32) -> Option<i32> {
    let set = server::find_set(key, SET_MEMBERS).ok()?;
    let marked = server::value(set, MARK).ok()? == SET_MAGIC;
    let by = server::last_operator(set, MARK).ok().filter(|&pid| pid > 0)?;
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let dead = by == own || kill(Pid::from_raw(by), None) == Err(Errno::ESRCH);
    (marked && dead).then_some(set)
}
