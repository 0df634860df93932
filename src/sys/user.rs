//! Acting with another user's credentials, so that the kernel decides what is allowed.

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, getegid, geteuid, getgroups, getresuid, getuid, setgroups, setresgid, setresuid,
};

use super::Result;
use super::capabilities::{Capabilities, file_system_ids};

/// The effective user id of this process.
#[must_use]
pub fn effective() -> u32 {
    geteuid().as_raw()
}

/// Checks for root, also while it acts as another user.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root() || getuid().is_root()
}

/// While it lives, this process acts as another user: effective ids, groups and capabilities.
///
/// Capabilities are dropped by name: with `SECBIT_NO_SETUID_FIXUP` they outlive the change of user.
/// Dropping it restores what was. That cannot fail for root, who alone can make one; if it did,
/// going on with the wrong rights would be worse than ending, so it aborts.
#[derive(Debug)]
pub struct Acting {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    capabilities: Capabilities,
}

impl Acting {
    /// Takes on `uid` and `gid`, with no further groups and no capability in force.
    ///
    /// # Errors
    /// `EPERM` for anybody but root, and where more rights than these would be left.
    pub fn start(uid: u32, gid: u32) -> Result<Self> {
        let capabilities = Capabilities::of_this_process()?;
        let groups = getgroups()?;
        let before = Self { uid: geteuid(), gid: getegid(), groups, capabilities };
        setgroups(&[])?;
        // From here on a failure drops `before`, which restores all.
        let keep_uid = Uid::from_raw(u32::MAX);
        let keep_gid = Gid::from_raw(u32::MAX);
        setresgid(keep_gid, Gid::from_raw(gid), keep_gid)?;
        setresuid(keep_uid, Uid::from_raw(uid), keep_uid)?;
        if uid != 0 {
            Capabilities::of_this_process()?.out_of_force().put()?;
        }
        if !has_only(uid, gid)? {
            return Err(Errno::EPERM);
        }
        Ok(before)
    }
}

/// Takes on `uid` and `gid` with no further groups and no capability, for good: nothing that this
/// process does later brings the old rights back.
///
/// # Errors
/// `EPERM` for anybody but root, and where more rights than these would be left.
pub fn become_for_good(uid: u32, gid: u32) -> Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    if uid == 0 {
        return if has_only(uid, gid)? { Ok(()) } else { Err(Errno::EPERM) };
    }
    // With `SECBIT_NO_SETUID_FIXUP` they outlive the change of user.
    Capabilities::none().put()?;
    // What was read as root is still in its memory, and `fs.suid_dumpable` may open that to the
    // user.
    super::process::forbid_looking_in()?;
    let ids = getresuid()?;
    let all_are_its = [ids.real, ids.effective, ids.saved].into_iter().all(|id| id == user);
    let powerless = Capabilities::of_this_process()?.has_none();
    if all_are_its && powerless && has_only(uid, gid)? { Ok(()) } else { Err(Errno::EPERM) }
}

/// Checks that this process has the rights of this user and group and no others.
fn has_only(uid: u32, gid: u32) -> Result<bool> {
    let ids = (geteuid().as_raw(), getegid().as_raw());
    let no_more = getgroups()?.is_empty();
    let powerless = uid == 0 || Capabilities::of_this_process()?.has_none_in_force();
    Ok(ids == (uid, gid) && file_system_ids() == ids && no_more && powerless)
}

impl Drop for Acting {
    fn drop(&mut self) {
        let keep_uid = Uid::from_raw(u32::MAX);
        let keep_gid = Gid::from_raw(u32::MAX);
        let restored = setresuid(keep_uid, self.uid, keep_uid)
            .and_then(|()| self.capabilities.put())
            .and_then(|()| setresgid(keep_gid, self.gid, keep_gid))
            .and_then(|()| setgroups(&self.groups));
        if restored.is_err() {
            std::process::abort();
        }
    }
}
