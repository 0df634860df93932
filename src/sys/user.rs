//! Acting with another user's credentials, so that the kernel decides what is allowed.

use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups, setgroups, setresgid, setresuid};

use super::Result;

/// The effective user id of this process.
#[must_use]
pub fn effective() -> u32 {
    geteuid().as_raw()
}

/// While it lives, this process acts as another user (effective ids and groups only).
///
/// Dropping it restores what was. That cannot fail for root, who alone can make one; if it did,
/// going on with the wrong rights would be worse than ending, so it aborts.
#[derive(Debug)]
pub struct Acting {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Acting {
    /// Takes on `uid` and `gid`, with no further groups.
    ///
    /// # Errors
    /// `EPERM` for anybody but root.
    pub fn start(uid: u32, gid: u32) -> Result<Self> {
        let before = Self { uid: geteuid(), gid: getegid(), groups: getgroups()? };
        setgroups(&[])?;
        // From here on a failure drops `before`, which restores all.
        let keep_uid = Uid::from_raw(u32::MAX);
        let keep_gid = Gid::from_raw(u32::MAX);
        setresgid(keep_gid, Gid::from_raw(gid), keep_gid)?;
        setresuid(keep_uid, Uid::from_raw(uid), keep_uid)?;
        Ok(before)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        let keep_uid = Uid::from_raw(u32::MAX);
        let keep_gid = Gid::from_raw(u32::MAX);
        let restored = setresuid(keep_uid, self.uid, keep_uid)
            .and_then(|()| setresgid(keep_gid, self.gid, keep_gid))
            .and_then(|()| setgroups(&self.groups));
        if restored.is_err() {
            std::process::abort();
        }
    }
}
