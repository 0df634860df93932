//! The calls with which a server makes and uses its segment and its sets: for the stand-in of the
//! demo and the tests. Nothing here removes what another process has made.

use nix::errno::Errno;

use super::{Result, check};

/// The way in which a segment is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Of the usual size.
    Usual,
    /// Huge, of 2 to this power of bytes (`MAP_HUGE_SHIFT`, `shmget(2)`).
    Huge(u32),
}

/// A segment that this process has made; it stays when this is dropped.
#[derive(Debug)]
pub struct OwnSegment(i32);

impl OwnSegment {
    /// Creates one that must not exist yet, mode 0600.
    ///
    /// # Errors
    /// `EEXIST` where the key is taken, `ENOMEM` without huge pages, `EPERM` where they are not for
    /// this user; the limits (`shmget(2)`).
    pub fn create(key: i32, bytes: usize, pages: Pages) -> Result<Self> {
        let huge = match pages {
            Pages::Usual => 0,
            Pages::Huge(power) => {
                libc::SHM_HUGETLB | i32::try_from(power << 26).map_err(|_| Errno::EINVAL)?
            }
        };
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | huge | 0o600;
        // SAFETY: shmget touches no memory of this process.
        id(unsafe { libc::shmget(key, bytes, flags) }.into()).map(Self)
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.0
    }

    /// Removes it (`IPC_RMID`): at once, or with its last detach.
    ///
    /// # Errors
    /// `EINVAL`, `EIDRM` where it is gone.
    pub fn remove(self) -> Result<()> {
        // SAFETY: IPC_RMID reads and writes no memory of this process.
        let done = unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        check(done.into()).map(drop)
    }
}

/// The segment of a key that has at least so many bytes; Linux asks for no permission here.
///
/// # Errors
/// `ENOENT`, `EINVAL` (`shmget(2)`).
pub fn find_segment(key: i32, bytes: usize) -> Result<i32> {
    // SAFETY: shmget touches no memory of this process.
    id(unsafe { libc::shmget(key, bytes, 0) }.into())
}

/// A segment that this process has attached, until this is dropped.
#[derive(Debug)]
pub struct Attached {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Attached {
    /// Attaches a segment.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL` (`shmat(2)`).
    pub fn attach(segment: i32) -> Result<Self> {
        let row = super::shm::stat(segment)?.ok_or(Errno::EINVAL)?;
        let bytes = usize::try_from(row.bytes).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: a null address lets the kernel choose a free range.
        let start = unsafe { libc::shmat(segment, std::ptr::null(), 0) };
        if start as isize == -1 { Err(Errno::last()) } else { Ok(Self { start, bytes }) }
    }

    /// Copies bytes from the start.
    #[must_use]
    pub fn read(&self, most_bytes: usize) -> Vec<u8> {
        let mut found = vec![0; most_bytes.min(self.bytes)];
        // SAFETY: the segment has self.bytes bytes, which never changes; found has no more.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.cast(), found.as_mut_ptr(), found.len());
        }
        found
    }

    /// Writes bytes at the start, as many as there is room for.
    pub fn write(&self, bytes: &[u8]) {
        let len = bytes.len().min(self.bytes);
        // SAFETY: the segment has self.bytes bytes, and len is no more.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.cast(), len) };
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: start is what shmat gave, and nothing refers into the mapping.
        let _ = check(unsafe { libc::shmdt(self.start) }.into());
    }
}

/// A set that this process has made; it stays when this is dropped.
#[derive(Debug)]
pub struct OwnSet(i32);

impl OwnSet {
    /// Creates one that must not exist yet, mode 0600.
    ///
    /// # Errors
    /// `EEXIST` where the key is taken; the limits (`semget(2)`).
    pub fn create(key: i32, members: i32) -> Result<Self> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        // SAFETY: semget touches no memory of this process.
        id(unsafe { libc::semget(key, members, flags) }.into()).map(Self)
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.0
    }

    /// Removes it (`IPC_RMID`); whoever waits is woken with `EIDRM`.
    ///
    /// # Errors
    /// `EINVAL`, `EIDRM` where it is gone.
    pub fn remove(self) -> Result<()> {
        // SAFETY: IPC_RMID takes no fourth argument and touches no memory of this process.
        check(unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) }.into()).map(drop)
    }
}

/// The set of a key that has at least so many members; Linux asks for no permission here.
///
/// # Errors
/// `ENOENT`, `EINVAL` (`semget(2)`).
pub fn find_set(key: i32, members: i32) -> Result<i32> {
    // SAFETY: semget touches no memory of this process.
    id(unsafe { libc::semget(key, members, 0) }.into())
}

/// Gives a member a value (`SETVAL`).
///
/// # Errors
/// `EACCES`, `EINVAL`, `EIDRM` (`semctl(2)`).
pub fn set_value(set: i32, member: i32, value: i32) -> Result<()> {
    // SAFETY: SETVAL takes an int in place of the union and touches no memory.
    check(unsafe { libc::semctl(set, member, libc::SETVAL, value) }.into()).map(drop)
}

/// The value of a member (`GETVAL`).
///
/// # Errors
/// As [`set_value`].
pub fn value(set: i32, member: i32) -> Result<i32> {
    // SAFETY: GETVAL touches no memory of this process.
    id(unsafe { libc::semctl(set, member, libc::GETVAL) }.into())
}

/// Returns the last operator of a member (`GETPID`).
///
/// # Errors
/// As [`set_value`].
pub fn last_operator(set: i32, member: i32) -> Result<i32> {
    // SAFETY: GETPID touches no memory of this process.
    id(unsafe { libc::semctl(set, member, libc::GETPID) }.into())
}

/// Adds to a member, or takes from it and waits until that can be done (`semop(2)`).
///
/// # Errors
/// `EIDRM` where the set was removed, `EINTR`, `EACCES`.
pub fn operate(set: i32, member: u16, by: i16) -> Result<()> {
    let mut operation = libc::sembuf { sem_num: member, sem_op: by, sem_flg: 0 };
    // SAFETY: semop reads one struct sembuf.
    check(unsafe { libc::semop(set, &raw mut operation, 1) }.into()).map(drop)
}

fn id(value: libc::c_long) -> Result<i32> {
    i32::try_from(check(value)?).map_err(|_| Errno::EOVERFLOW)
}
