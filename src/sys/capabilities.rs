//! The capability sets of this thread (`capabilities(7)`): nix and std offer no call for them.

use super::{Result, check};

/// `_LINUX_CAPABILITY_VERSION_3` (`linux/capability.h`).
const VERSION_3: u32 = 0x2008_0522;

/// The header of `capget(2)` and `capset(2)`.
#[repr(C)]
struct Header {
    version: u32,
    /// 0: the calling thread.
    pid: libc::c_int,
}

/// One half of the three sets: the low 32 capabilities, or the high ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capability sets of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities([Half; 2]);

impl Capabilities {
    /// Reads the sets of this thread.
    ///
    /// # Errors
    /// What `capget` says.
    pub(super) fn of_this_process() -> Result<Self> {
        let mut header = Header { version: VERSION_3, pid: 0 };
        let mut halves = [Half::default(); 2];
        // SAFETY: version 3 has the kernel fill in two structures, which there is room for.
        let done = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
        check(done).map(|_| Self(halves))
    }

    /// Returns true where no capability is in force.
    #[must_use]
    pub(super) fn has_none_in_force(&self) -> bool {
        self.0.iter().all(|half| half.effective == 0)
    }

    /// Returns these sets with no capability in force; they may be put in force again.
    #[must_use]
    pub(super) fn out_of_force(self) -> Self {
        Self(self.0.map(|half| Half { effective: 0, ..half }))
    }

    /// Returns true where no capability is in force, nor can be put in force again.
    #[must_use]
    pub(super) fn has_none(&self) -> bool {
        self.0.iter().all(|half| *half == Half::default())
    }

    /// Returns empty sets.
    #[must_use]
    pub(super) fn none() -> Self {
        Self([Half::default(); 2])
    }

    /// Makes these the sets of this thread.
    ///
    /// # Errors
    /// What `capset` says: no capability can be added to those that are permitted.
    pub(super) fn put(&self) -> Result<()> {
        let mut header = Header { version: VERSION_3, pid: 0 };
        // SAFETY: version 3 has the kernel read two structures, which these are.
        let done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, self.0.as_ptr()) };
        check(done).map(drop)
    }
}

/// Returns the user and group id by which this thread opens files (`setfsuid(2)`).
#[allow(clippy::cast_sign_loss)] // ids are unsigned, and the calls are declared otherwise
#[must_use]
pub(super) fn file_system_ids() -> (u32, u32) {
    // SAFETY: an id of -1 changes nothing, and the call gives back what is.
    let (uid, gid) = unsafe { (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)) };
    (uid as u32, gid as u32)
}
