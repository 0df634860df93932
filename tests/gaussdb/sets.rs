//! The sets of semaphores (`sysv_sema.cpp`): how they are made, marked, removed.

use nix::errno::Errno;
use shmwarden::engine::opengauss::{SET_MAGIC, SET_MEMBERS, keys};

use super::calls;
use super::options::{Options, message};
use super::reclaim;

/// The member that marks a set.
const MARK: i32 = SET_MEMBERS - 1;

/// Members of the last set that no session takes: there are as many semaphores as sessions, and
/// the last set is filled in part.
const UNFILLED: i32 = 5;

/// The sets, each with the number of its members that are taken.
pub(crate) struct Sets(Vec<(i32, i32)>);

impl Sets {
    /// `PGReserveSemaphores` and as many `PGSemaphoreCreate` as fill the sets, the last
    /// one in part.
    pub(crate) fn create(options: &Options) -> Result<Self, String> {
        let mut keys = keys(options.port);
        let mut sets = Sets(Vec::new());
        for left in (0..options.sets).rev() {
            let set = create(&mut keys);
            let set = set.map_err(|e| format!("could not create semaphores: {e}"))?;
            // IpcSemaphoreInitialize of each member, as a session takes it.
            let filled = if left == 0 { MARK - UNFILLED } else { MARK };
            for member in 0..filled {
                calls::set_value(set, member, 1).map_err(message)?;
            }
            sets.0.push((set, filled));
        }
        Ok(sets)
    }

    /// Their identifiers, each with the number of its members that are taken.
    pub(crate) fn filled(&self) -> Vec<(i32, u16)> {
        let filled = |(set, filled): &(i32, i32)| (*set, u16::try_from(*filled).unwrap_or(0));
        self.0.iter().map(filled).collect()
    }

    /// `ReleaseSemaphores`.
    pub(crate) fn release(self) {
        for (set, _) in self.0 {
            let _ = calls::remove_set(set);
        }
    }
}

/// `IpcSemaphoreCreate`: where the key is taken and cannot be reclaimed, the next is tried.
fn create(keys: &mut impl Iterator<Item = i32>) -> Result<i32, Errno> {
    for key in keys {
        let mut made = calls::create_set(key, SET_MEMBERS);
        if matches!(made, Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM)) {
            if !reclaim::set(key) {
                continue;
            }
            made = calls::create_set(key, SET_MEMBERS);
        }
        match made {
            Ok(set) => {
                mark(set)?;
                return Ok(set);
            }
            Err(Errno::EEXIST | Errno::EACCES | Errno::EIDRM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::ENOSPC)
}

/// Marks a set of [`SET_MEMBERS`] as openGauss's: one less, and one more by an operation, which
/// leaves our pid on the last member.
fn mark(set: i32) -> Result<(), Errno> {
    calls::set_value(set, MARK, SET_MAGIC - 1)?;
    calls::operate(set, MARK as u16, 1)
}
