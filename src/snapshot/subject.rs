//! The objects of a look, of whatever kind, as one thing that a verdict can be about.

use std::fmt;

use super::tables::{ListedFile, Set, queue_identity};
use super::{Snapshot, identity_of};
use crate::object::Identity;
use crate::sys::{IpcPerm, msg, shm};

/// An object of a look.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A System V shared memory segment.
    Shm(&'a shm::Row),
    /// A System V semaphore set.
    Sem(&'a Set),
    /// A System V message queue.
    Msg(&'a msg::Row),
    /// POSIX shared memory.
    Posix(&'a ListedFile),
}

/// The kinds, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Shared memory segments.
    Shm,
    /// Semaphore sets.
    Sem,
    /// Message queues.
    Msg,
    /// POSIX shared memory.
    Posix,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Shm, Self::Sem, Self::Msg, Self::Posix];

    /// The kind, as the JSON documents name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Shm => "shm",
            Self::Sem => "sem",
            Self::Msg => "msg",
            Self::Posix => "posix",
        }
    }
}

/// The object as [`Identity`] names it.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity().fmt(f)
    }
}

impl<'a> Subject<'a> {
    /// Every object of a look, by kind and in the order of the kernel's tables.
    pub fn all(look: &'a Snapshot) -> impl Iterator<Item = Self> {
        let segments = look.segments.seen().map(Self::Shm);
        let sets = look.sets.seen().map(Self::Sem);
        let queues = look.queues.seen().map(Self::Msg);
        let files = look.files.seen().map(Self::Posix);
        segments.chain(sets).chain(queues).chain(files)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Shm(_) => Kind::Shm,
            Self::Sem(_) => Kind::Sem,
            Self::Msg(_) => Kind::Msg,
            Self::Posix(_) => Kind::Posix,
        }
    }

    /// Returns the identity it is recognised by later.
    #[must_use]
    pub fn identity(self) -> Identity {
        match self {
            Self::Shm(row) => Identity::Shm(identity_of(row)),
            Self::Sem(set) => Identity::Sem(set.identity()),
            Self::Msg(row) => Identity::Msg(queue_identity(row)),
            Self::Posix(file) => Identity::Posix(file.identity.clone()),
        }
    }

    /// Its id, where it has one.
    #[must_use]
    pub fn id(self) -> Option<i32> {
        match self {
            Self::Shm(row) => Some(row.id),
            Self::Sem(set) => Some(set.row.id),
            Self::Msg(row) => Some(row.id),
            Self::Posix(_) => None,
        }
    }

    /// Key and rights; or the file, which has an owner and a mode only.
    ///
    /// # Errors
    /// The file.
    pub fn perm(self) -> Result<&'a IpcPerm, &'a ListedFile> {
        match self {
            Self::Shm(row) => Ok(&row.perm),
            Self::Sem(set) => Ok(&set.row.perm),
            Self::Msg(row) => Ok(&row.perm),
            Self::Posix(file) => Err(file),
        }
    }

    /// Its key, where it has one.
    #[must_use]
    pub fn key(self) -> Option<i32> {
        self.perm().ok().map(|perm| perm.key)
    }

    /// User and group of its owner.
    #[must_use]
    pub fn owner(self) -> (u32, u32) {
        self.perm()
            .map_or_else(|file| (file.facts.uid, file.facts.gid), |perm| (perm.uid, perm.gid))
    }

    /// User and group of its creator; a file has an owner only.
    #[must_use]
    pub fn creator(self) -> Option<(u32, u32)> {
        self.perm().ok().map(|perm| (perm.creator_uid, perm.creator_gid))
    }

    /// Permission bits.
    #[must_use]
    pub fn permissions(self) -> u32 {
        self.perm().map_or_else(|file| file.facts.mode & 0o7777, |perm| perm.mode & 0o777)
    }

    /// Size in bytes; of a queue, of the messages in it; a set has none.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Shm(row) => Some(row.bytes),
            Self::Sem(_) => None,
            Self::Msg(row) => Some(row.bytes),
            Self::Posix(file) => Some(file.facts.bytes),
        }
    }

    /// The time of its last change, which for most is that of its creation; seconds since the
    /// epoch.
    #[must_use]
    pub fn changed(self) -> i64 {
        match self {
            Self::Shm(row) => row.ctime,
            Self::Sem(set) => set.row.ctime,
            Self::Msg(row) => row.ctime,
            Self::Posix(file) => file.facts.ctime.0,
        }
    }
}
