//! The users that the kernel lets use an object: by its owner, creator, group and mode (`ipc/util.c
//! ipcperms`, path_resolution(7)). One answer, for every question about who could.

use crate::snapshot::Process;
use crate::snapshot::callers::Caller;
use crate::snapshot::subject::Subject;
use crate::sys::IpcPerm;

/// The rights of an object, by which the kernel decides who may use it.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    uids: [u32; 2],
    gids: [u32; 2],
    mode: u32,
    /// Set for System V objects, which only processes of their IPC namespace can reach.
    is_of_ipc: bool,
}

/// A process, or a user, as far as rights go. What is not known counts as let in.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    uids: Option<[u32; 4]>,
    groups: Option<&'a [u32]>,
    same_ipc: Option<bool>,
}

/// By what a process gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It may be anybody's.
    Unknown,
    /// As owner or creator: they may change the mode.
    Owner,
    /// By the bits for the group or for others.
    Mode,
}

impl<'a> Who<'a> {
    /// Returns a process of a look; its groups are not known.
    #[must_use]
    pub fn process(process: &Process) -> Self {
        Self { uids: process.uids, groups: None, same_ipc: process.same_ipc }
    }

    /// Returns a process whose groups were read, too.
    #[must_use]
    pub fn caller(caller: &'a Caller) -> Self {
        let groups = caller.groups.as_deref();
        Self { uids: caller.uids, groups, same_ipc: caller.same_ipc }
    }

    /// Returns any process of a user.
    #[must_use]
    pub fn user(uid: u32) -> Self {
        Self { uids: Some([uid; 4]), groups: None, same_ipc: None }
    }

    /// Returns a process of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self { uids: None, groups: None, same_ipc: None }
    }

    fn is_root(&self) -> bool {
        self.uids.is_some_and(|uids| uids.iter().all(|&uid| uid == 0))
    }
}

impl Access {
    /// Returns whom an object lets in.
    #[must_use]
    pub fn of(subject: Subject<'_>) -> Self {
        match subject.perm() {
            Ok(perm) => Self::of_ipc(perm),
            Err(file) => {
                Self { gids: [file.facts.gid; 2], ..Self::of_file(file.facts.uid, file.facts.mode) }
            }
        }
    }

    /// Returns whom the row of a System V object lets in.
    fn of_ipc(perm: &IpcPerm) -> Self {
        Self {
            uids: [perm.uid, perm.creator_uid],
            gids: [perm.gid, perm.creator_gid],
            mode: perm.mode,
            is_of_ipc: true,
        }
    }

    /// Returns whom a file lets in, of whose group nothing is known.
    #[must_use]
    pub fn of_file(uid: u32, mode: u32) -> Self {
        Self { uids: [uid; 2], gids: [u32::MAX; 2], mode, is_of_ipc: false }
    }

    /// Checks whether a process may use it. Root gets in by the mode as everybody does.
    #[must_use]
    pub(crate) fn lets_in(&self, who: Who<'_>) -> bool {
        self.way(who).is_some()
    }

    /// Checks the same, where root does not count by the mode alone: it may use everything, and
    /// there is always a process of its.
    #[must_use]
    pub(crate) fn lets_in_besides_root(&self, who: Who<'_>) -> bool {
        match self.way(who) {
            Some(Way::Unknown | Way::Owner) => true,
            Some(Way::Mode) => !who.is_root(),
            None => false,
        }
    }

    /// Checks whether it lets in others than its owner and creator, and this process as one of
    /// them. Root is not meant.
    #[must_use]
    pub(crate) fn lets_in_by_mode(&self, who: Who<'_>) -> bool {
        match self.way(who) {
            Some(Way::Unknown) => self.mode & 0o066 != 0,
            Some(Way::Mode) => !who.is_root(),
            Some(Way::Owner) | None => false,
        }
    }

    /// Checks whether a user may remove it (`ipcctl_obtain_check`; `/dev/shm` is sticky).
    #[must_use]
    pub(crate) fn is_removable_by(&self, uid: u32) -> bool {
        uid == 0 || self.uids.contains(&uid)
    }

    fn way(&self, who: Who<'_>) -> Option<Way> {
        if self.is_of_ipc && who.same_ipc == Some(false) {
            return None;
        }
        let Some(uids) = who.uids else { return Some(Way::Unknown) };
        if uids.iter().any(|uid| self.uids.contains(uid)) {
            return Some(Way::Owner);
        }
        let in_group =
            || who.groups.is_none_or(|groups| groups.iter().any(|group| self.gids.contains(group)));
        let by_mode = self.mode & 0o006 != 0 || (self.mode & 0o060 != 0 && in_group());
        by_mode.then_some(Way::Mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Option<[u32; 4]> = Some([0; 4]);

    fn access(mode: u32) -> Access {
        Access { uids: [10, 11], gids: [20, 21], mode, is_of_ipc: true }
    }

    fn who<'a>(uids: Option<[u32; 4]>, groups: Option<&'a [u32]>) -> Who<'a> {
        Who { uids, groups, same_ipc: Some(true) }
    }

    #[test]
    fn owner_and_creator_get_in_whatever_the_mode_says() {
        for uid in [10, 11] {
            assert!(access(0).lets_in(Who::user(uid)));
            assert!(access(0).lets_in_besides_root(Who::user(uid)));
            assert!(!access(0o666).lets_in_by_mode(Who::user(uid)));
        }
        assert!(!access(0o600).lets_in(Who::user(12)));
    }

    #[test]
    fn the_mode_lets_in_the_group_and_others() {
        let (of_group, stranger) = (Some(&[1, 21][..]), Some(&[1, 2][..]));
        assert!(access(0o040).lets_in_by_mode(who(Some([5; 4]), of_group)));
        assert!(!access(0o040).lets_in_by_mode(who(Some([5; 4]), stranger)));
        assert!(access(0o040).lets_in(who(Some([5; 4]), None)), "groups that were not read");
        assert!(access(0o002).lets_in_by_mode(who(Some([5; 4]), stranger)));
    }

    #[test]
    fn root_counts_where_the_object_is_its_own() {
        assert!(access(0o666).lets_in(who(ROOT, None)));
        assert!(!access(0o666).lets_in_besides_root(who(ROOT, None)));
        let own = Access { uids: [0, 0], ..access(0) };
        assert!(own.lets_in_besides_root(who(ROOT, None)));
    }

    #[test]
    fn who_is_not_known_gets_in_and_who_is_elsewhere_does_not() {
        assert!(access(0).lets_in_besides_root(who(None, None)));
        assert!(!access(0).lets_in_by_mode(who(None, None)));
        assert!(access(0o006).lets_in_by_mode(who(None, None)));
        let elsewhere = Who { same_ipc: Some(false), ..who(None, None) };
        assert!(!access(0o666).lets_in(elsewhere));
        assert!(Access::of_file(10, 0o666).lets_in(elsewhere));
    }
}
