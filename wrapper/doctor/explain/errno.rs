//! The errnos that calls on shared memory and semaphores end with: as names, as `strerror` has
//! them, and by the words of PostgreSQL's hints, which stay where a message was translated. Pure.

use super::words::contains_word;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    /// A limit on numbers is reached; no disk is involved.
    NoSpace,
    /// The size, or the object, does not fit the call.
    Invalid,
    /// Memory, or a promise of memory.
    NoMemory,
    /// The object is another user's.
    Access,
    /// Only owner, creator and root may do that.
    Permission,
    /// The key or name is taken.
    Exists,
    /// There is no such object.
    Missing,
    /// It was removed while in use.
    Removed,
    /// The kernel, or a filter, has no such call.
    NoCall,
    /// Too many open files.
    Files,
}

impl Errno {
    /// Every one.
    pub(crate) const ALL: [Self; 10] = [
        Self::NoSpace,
        Self::Invalid,
        Self::NoMemory,
        Self::Access,
        Self::Permission,
        Self::Exists,
        Self::Missing,
        Self::Removed,
        Self::NoCall,
        Self::Files,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "ENOSPC",
            Self::Invalid => "EINVAL",
            Self::NoMemory => "ENOMEM",
            Self::Access => "EACCES",
            Self::Permission => "EPERM",
            Self::Exists => "EEXIST",
            Self::Missing => "ENOENT",
            Self::Removed => "EIDRM",
            Self::NoCall => "ENOSYS",
            Self::Files => "EMFILE",
        }
    }

    /// Returns the words of `strerror`: glibc first, then musl where that differs.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::NoSpace => &["No space left on device"],
            Self::Invalid => &["Invalid argument"],
            Self::NoMemory => &["Cannot allocate memory", "Out of memory"],
            Self::Access => &["Permission denied"],
            Self::Permission => &["Operation not permitted"],
            Self::Exists => &["File exists"],
            Self::Missing => &["No such file or directory"],
            Self::Removed => &["Identifier removed"],
            Self::NoCall => &["Function not implemented"],
            Self::Files => &["Too many open files", "No file descriptors available"],
        }
    }

    /// Finds the first one in a text; `lower` is the text in lower case.
    pub(crate) fn find(lower: &str) -> Option<Self> {
        let position = |errno: Self| {
            let said =
                errno.words().iter().filter_map(|words| lower.find(&words.to_ascii_lowercase()));
            let name = errno.name().to_ascii_lowercase();
            let named = contains_word(lower, &name);
            said.chain(named).min().map(|at| (at, errno))
        };
        let first = Self::ALL.into_iter().filter_map(position).min_by_key(|(at, _)| *at);
        first.map(|(_, errno)| errno).or_else(|| Self::by_hint(lower))
    }

    /// By the limits that a hint names. That of ENOSPC names shmmni, or semmni.
    fn by_hint(lower: &str) -> Option<Self> {
        let names = |name: &str| contains_word(lower, name).is_some();
        if names("shmmni") || names("semmni") || names("semmns") {
            Some(Self::NoSpace)
        } else if names("shmmax") {
            Some(Self::Invalid)
        } else if names("shmall") {
            Some(Self::NoMemory)
        } else {
            None
        }
    }
}
