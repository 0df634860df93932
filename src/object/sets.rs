//! Semaphore sets and message queues: what each is recognised by.

use serde::{Deserialize, Serialize};

use super::Key;

/// The identity of a System V semaphore set, within one boot and one IPC namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemaphoreSet {
    /// Identifier; comes round after 4,194,240 creations.
    pub id: i32,
    /// Key at its creation.
    pub key: Key,
    /// Semaphores in it.
    pub nsems: u64,
    /// Creator.
    pub creator_uid: u32,
    /// Group of the creator.
    pub creator_gid: u32,
    /// Last `SETVAL`, `SETALL` or `IPC_SET`, seconds since the epoch, as last recorded: it moves
    /// while the set is used and is not part of the identity. For equality only.
    pub ctime: i64,
}

impl SemaphoreSet {
    /// Checks that it is the same set, changed since or not.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        *self == Self { ctime: self.ctime, ..other.clone() }
    }
}

/// The identity of a System V message queue, within one boot and one IPC namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Identifier; comes round after 4,194,240 creations.
    pub id: i32,
    /// Key at its creation.
    pub key: Key,
    /// Creator.
    pub creator_uid: u32,
    /// Group of the creator.
    pub creator_gid: u32,
    /// Creation or last `IPC_SET`, seconds since the epoch, as last recorded: not part of the
    /// identity. For equality only.
    pub ctime: i64,
}

impl Queue {
    /// Checks that it is the same queue, changed since or not.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        *self == Self { ctime: self.ctime, ..other.clone() }
    }
}
