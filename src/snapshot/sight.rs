//! The processes that can be seen from here: the one answer that every rule about "nobody uses it"
//! rests on.
//!
//! It must never say more than the kernel shows: what cannot be read is taken for hidden.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use crate::proc::mountinfo::{self, Hides};
use crate::proc::status::Status;
use crate::proc::{Seen, read};

/// `PROC_PID_INIT_INO`, `PROC_USER_INIT_INO` (`linux/proc_ns.h`): never given out again.
const INITIAL_PIDS: u64 = 0xEFFF_FFFC;
const INITIAL_USERS: u64 = 0xEFFF_FFFD;

/// `CAP_SYS_PTRACE` (capabilities(7)).
const CAP_SYS_PTRACE: u32 = 19;

/// The processes that the onlooker can see, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Sight {
    /// Every process of the machine.
    Everybody,
    /// Every process of its own PID namespace, and those below it. Processes elsewhere may share
    /// its IPC namespace or its `/dev/shm`: that both namespaces were made by one call proves
    /// nothing, since others can join later.
    Namespace,
    /// Not even those: `/proc` hides some (`hidepid`, proc(5)), or is another PID namespace's.
    #[default]
    Part,
}

impl Sight {
    /// Checks whether whoever can use an object is among the processes that are seen.
    #[must_use]
    pub fn is_everybody(self) -> bool {
        self == Self::Everybody
    }

    /// Checks whether what descends from a process of this PID namespace is seen: no process
    /// leaves its PID namespace upwards (pid_namespaces(7)).
    #[must_use]
    pub(crate) fn has_descendants(self) -> bool {
        self != Self::Part
    }
}

/// Returns which processes this process can see.
#[must_use]
pub fn sight() -> Sight {
    if !proc_is_own() {
        return Sight::Part;
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let status = || read::status(own).ok().and_then(Seen::here);
    let hides = read::mountinfo().map_or(Some(Hides::FromAll), |mounts| mountinfo::hides(&mounts));
    let sees = match hides {
        Some(Hides::Nothing) => true,
        Some(hides) => {
            status().is_some_and(|own| sees_through(hides, &own, is_initial("user", INITIAL_USERS)))
        }
        None => false,
    };
    match sees {
        false => Sight::Part,
        true if is_initial("pid", INITIAL_PIDS) => Sight::Everybody,
        true => Sight::Namespace,
    }
}

/// Checks that `/proc` is of this PID namespace: it names this process by the pid that it has.
#[must_use]
pub(crate) fn proc_is_own() -> bool {
    let own = std::process::id().to_string();
    std::fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
}

/// Checks whether a process sees what `hidepid` hides (`fs/proc/base.c has_pid_permissions`,
/// `kernel/ptrace.c __ptrace_may_access`): with `CAP_SYS_PTRACE` over everybody, or by the group
/// that the mount names, which does not help against `hidepid=ptraceable`.
fn sees_through(hides: Hides, own: &Status, over_everybody: bool) -> bool {
    let by_group = match hides {
        Hides::Nothing => true,
        Hides::FromOthersThan(group) => own.gids[3] == group || own.groups.contains(&group),
        Hides::FromAll => false,
    };
    over_everybody && (by_group || own.capabilities >> CAP_SYS_PTRACE & 1 == 1)
}

fn is_initial(kind: &str, inode: u64) -> bool {
    let namespace = File::open(format!("/proc/self/ns/{kind}"));
    let found = namespace.and_then(|namespace| namespace.metadata());
    found.is_ok_and(|found| found.ino() == inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(capabilities: u64, groups: &[u32]) -> Status {
        let (uids, gids) = ([0; 4], [1; 4]);
        Status { uids, gids, groups: groups.to_vec(), nspid: vec![], capabilities }
    }

    #[test]
    fn hidepid_is_seen_through_with_the_capability_over_everybody_or_by_its_group() {
        let (ptrace, none) = (with(1 << CAP_SYS_PTRACE, &[]), with(0, &[]));
        for hides in [Hides::FromAll, Hides::FromOthersThan(5)] {
            assert!(sees_through(hides, &ptrace, true));
            // In a user namespace of one's own the capability is over that one's processes only.
            assert!(!sees_through(hides, &ptrace, false));
            assert!(!sees_through(hides, &none, true));
        }
        let member = with(0, &[4, 5]);
        assert!(sees_through(Hides::FromOthersThan(5), &member, true));
        assert!(!sees_through(Hides::FromOthersThan(6), &member, true));
        assert!(!sees_through(Hides::FromAll, &member, true));
    }

    #[test]
    fn the_proc_of_a_test_is_its_own() {
        assert!(proc_is_own());
    }
}
