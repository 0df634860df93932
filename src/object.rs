//! The identity of an object: what makes it this object and no later one of the same number or
//! name.

mod sets;

use std::fmt;

use serde::{Deserialize, Serialize};
pub use sets::{Queue, SemaphoreSet};

/// A System V key, shown as `ipcs` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub i32);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 8);
        let bits = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let bits = bits.ok_or_else(|| serde::de::Error::custom("a key is 0x and 8 digits"))?;
        Ok(Self(i32::from_ne_bytes(bits.to_ne_bytes())))
    }
}

/// A string of the kernel's: any bytes. In a ledger a text, or a list of bytes where it is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The text, with U+FFFD for what is none; not yet safe for a terminal.
    #[must_use]
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl From<&std::path::Path> for Bytes {
    fn from(path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl From<&Bytes> for std::path::PathBuf {
    fn from(bytes: &Bytes) -> Self {
        use std::os::unix::ffi::OsStringExt;
        std::ffi::OsString::from_vec(bytes.0.clone()).into()
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => out.serialize_str(text),
            Err(_) => self.0.serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            List(Vec<u8>),
        }
        Ok(Self(match Form::deserialize(input)? {
            Form::Text(text) => text.into_bytes(),
            Form::List(list) => list,
        }))
    }
}

/// A process that cannot be confused with a later one of the same pid (within one boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its pid, in the PID namespace of whoever recorded it.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks since boot (`proc(5)`).
    pub start: u64,
}

/// A directory or file by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileRef {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// The identity of a System V segment, within one boot and one IPC namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Identifier; comes round after 4,194,240 creations.
    pub id: i32,
    /// Key at its creation.
    pub key: Key,
    /// Size in bytes.
    pub bytes: u64,
    /// Creator.
    pub creator_uid: u32,
    /// Group of the creator.
    pub creator_gid: u32,
    /// Creator's pid as seen from the recording PID namespace; 0 where it was not visible.
    pub creator_pid: i32,
    /// Creation or last `IPC_SET`, seconds since the epoch; for equality only.
    pub ctime: i64,
}

/// The identity of a file in `/dev/shm`, within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShmFile {
    /// Name without `/dev/shm/`.
    pub name: Bytes,
    /// The file system that it lies on (see `snapshot::place`).
    pub mount: String,
    /// Device and inode.
    #[serde(flatten)]
    pub file: FileRef,
    /// The time at which it was made, where the file system keeps that.
    #[serde(flatten)]
    pub birth: Birth,
    /// Owner.
    pub uid: u32,
    /// Size in bytes when it was recorded; not part of the identity.
    pub bytes: u64,
}

impl ShmFile {
    /// Checks for the same file; the size may have changed. Without a birth time a later file of
    /// the same name and inode would pass: what is removed has to have been changed before the
    /// death of its server, too.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.mount, self.file, self.uid)
            == (&other.name, &other.mount, other.file, other.uid)
            && self.birth.fits(other.birth)
    }
}

/// The time at which a file was made, as far as its file system keeps that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BirthFields", into = "BirthFields")]
pub enum Birth {
    /// At this time: seconds since the epoch, nanoseconds.
    At(i64, u32),
    /// The file system keeps no birth times (tmpfs of older kernels).
    NotKept {
        /// Its last change instead, which moves while its server writes to it: seconds since the
        /// epoch, nanoseconds.
        changed: (i64, u32),
    },
}

impl Birth {
    /// Checks whether one file may have both: two times that are kept have to be equal.
    #[must_use]
    pub fn fits(self, other: Self) -> bool {
        match (self, other) {
            (Self::NotKept { .. }, Self::NotKept { .. }) => true,
            _ => self == other,
        }
    }

    /// Returns the birth, or else the last change, in seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::At(seconds, _) | Self::NotKept { changed: (seconds, _) } => seconds,
        }
    }

    /// Returns the last change where no birth time is kept.
    #[must_use]
    pub fn only_changed(self) -> Option<(i64, u32)> {
        match self {
            Self::At(..) => None,
            Self::NotKept { changed } => Some(changed),
        }
    }
}

/// The fields of a [`Birth`] in a ledger: `born`, or null and `ctime`.
#[derive(Serialize, Deserialize)]
struct BirthFields {
    born: Option<(i64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ctime: Option<(i64, u32)>,
}

impl From<Birth> for BirthFields {
    fn from(birth: Birth) -> Self {
        match birth {
            Birth::At(seconds, nanos) => Self { born: Some((seconds, nanos)), ctime: None },
            Birth::NotKept { changed } => Self { born: None, ctime: Some(changed) },
        }
    }
}

impl TryFrom<BirthFields> for Birth {
    type Error = &'static str;

    fn try_from(fields: BirthFields) -> Result<Self, Self::Error> {
        match (fields.born, fields.ctime) {
            (Some((seconds, nanos)), None) => Ok(Self::At(seconds, nanos)),
            (None, Some(changed)) => Ok(Self::NotKept { changed }),
            _ => Err("a file has either a birth time or a change time"),
        }
    }
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Identity {
    /// A System V shared memory segment.
    Shm(Segment),
    /// POSIX shared memory: a file in `/dev/shm`.
    Posix(ShmFile),
    /// A System V semaphore set.
    Sem(SemaphoreSet),
    /// A System V message queue.
    Msg(Queue),
}

impl Identity {
    /// The kind, as the JSON documents name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Shm(_) => "shm",
            Self::Posix(_) => "posix",
            Self::Sem(_) => "sem",
            Self::Msg(_) => "msg",
        }
    }

    /// Size in bytes; `None` for a set, and for a queue, whose content comes and goes.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Shm(segment) => Some(segment.bytes),
            Self::Posix(file) => Some(file.bytes),
            Self::Sem(_) | Self::Msg(_) => None,
        }
    }

    /// The user that created it, of a set or queue.
    #[must_use]
    pub fn call_creator(&self) -> Option<u32> {
        match self {
            Self::Sem(set) => Some(set.creator_uid),
            Self::Msg(queue) => Some(queue.creator_uid),
            Self::Shm(_) | Self::Posix(_) => None,
        }
    }

    /// Checks whether a process that was not given its number can find it: by its key, or the name
    /// of a file.
    #[must_use]
    pub(crate) fn is_findable(&self) -> bool {
        match self {
            Self::Shm(segment) => segment.key.0 != 0,
            Self::Sem(set) => set.key.0 != 0,
            Self::Msg(queue) => queue.key.0 != 0,
            Self::Posix(_) => true,
        }
    }

    /// Checks whether its number or name, recorded in a place, means something here.
    #[must_use]
    pub(crate) fn means_something_in(&self, place: &Place, here: &Place) -> bool {
        place.boot == here.boot
            && match self {
                Self::Posix(file) => here.shm_mount.as_ref() == Some(&file.mount),
                _ => place.ipc_namespace == here.ipc_namespace,
            }
    }

    /// Checks that it is the same object; what may change of it does not count. Of a segment
    /// everything counts: its change time is followed while its server lives.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shm(a), Self::Shm(b)) => a == b,
            (Self::Posix(a), Self::Posix(b)) => a.is(b),
            (Self::Sem(a), Self::Sem(b)) => a.is(b),
            (Self::Msg(a), Self::Msg(b)) => a.is(b),
            _ => false,
        }
    }

    /// Checks that both bear the same number or name at one time; they may be one object or two.
    #[must_use]
    pub fn has_number_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shm(a), Self::Shm(b)) => a.id == b.id,
            (Self::Posix(a), Self::Posix(b)) => a.name == b.name && a.mount == b.mount,
            (Self::Sem(a), Self::Sem(b)) => a.id == b.id,
            (Self::Msg(a), Self::Msg(b)) => a.id == b.id,
            _ => false,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shm(segment) => write!(f, "segment {} (key {})", segment.id, segment.key),
            Self::Posix(file) => write!(f, "/dev/shm/{}", file.name.lossy().escape_debug()),
            Self::Sem(set) => write!(f, "semaphore set {} (key {})", set.id, set.key),
            Self::Msg(queue) => write!(f, "message queue {} (key {})", queue.id, queue.key),
        }
    }
}

/// A boot and the namespaces in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The IPC namespace: ids and keys mean something in here.
    pub ipc_namespace: String,
    /// The PID namespace: pids mean something in here.
    pub pid_namespace: String,
    /// The file system at `/dev/shm`; none where there is no tmpfs.
    pub shm_mount: Option<String>,
}
