//! The System V calls of a server, each behind a safe function: the only file of the tests that
//! contains `unsafe`. It may remove what others have made, as an openGauss does, and so is in no
//! program but the stand-in.
#![allow(unsafe_code)]

use nix::errno::Errno;
use shmwarden::sys::shm;

type Result<T> = std::result::Result<T, Errno>;

/// How a segment is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Of the usual size.
    Usual,
    /// Huge, of 2 to this power of bytes (`MAP_HUGE_SHIFT`, `shmget(2)`).
    Huge(u32),
}

/// Creates a segment that must not exist yet, mode 0600.
pub(crate) fn create_segment(key: i32, bytes: usize, pages: Pages) -> Result<i32> {
    let huge = match pages {
        Pages::Usual => 0,
        Pages::Huge(power) => {
            libc::SHM_HUGETLB | i32::try_from(power << 26).map_err(|_| Errno::EINVAL)?
        }
    };
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | huge | 0o600;
    // SAFETY: shmget touches no memory of this process.
    Errno::result(unsafe { libc::shmget(key, bytes, flags) })
}

/// Returns the segment of a key that has at least so many bytes; Linux asks for no permission here.
pub(crate) fn find_segment(key: i32, bytes: usize) -> Result<i32> {
    // SAFETY: shmget touches no memory of this process.
    Errno::result(unsafe { libc::shmget(key, bytes, 0) })
}

/// Removes a segment (`IPC_RMID`): at once, or with its last detach, whoever has it attached.
pub(crate) fn remove_segment(id: i32) -> Result<()> {
    // SAFETY: IPC_RMID reads and writes no memory of this process.
    let done = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    Errno::result(done).map(drop)
}

/// A segment that this process has attached, until this is dropped.
#[derive(Debug)]
pub(crate) struct Attached {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Attached {
    /// Attaches a segment.
    pub(crate) fn attach(segment: i32) -> Result<Self> {
        let row = shm::stat(segment)?.ok_or(Errno::EINVAL)?;
        let bytes = usize::try_from(row.bytes).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: a null address lets the kernel choose a free range.
        let start = unsafe { libc::shmat(segment, std::ptr::null(), 0) };
        if start as isize == -1 { Err(Errno::last()) } else { Ok(Self { start, bytes }) }
    }

    /// Copies bytes from the start.
    pub(crate) fn read(&self, most_bytes: usize) -> Vec<u8> {
        let mut found = vec![0; most_bytes.min(self.bytes)];
        // SAFETY: the segment has self.bytes bytes, which never changes; found has no more.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.cast(), found.as_mut_ptr(), found.len());
        }
        found
    }

    /// Writes bytes at the start, as many as there is room for.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let len = bytes.len().min(self.bytes);
        // SAFETY: the segment has self.bytes bytes, and len is no more.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.cast(), len) };
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: start is what shmat gave, and nothing refers into the mapping.
        let _ = Errno::result(unsafe { libc::shmdt(self.start) });
    }
}

/// Creates a set that must not exist yet, mode 0600.
pub(crate) fn create_set(key: i32, members: i32) -> Result<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    // SAFETY: semget touches no memory of this process.
    Errno::result(unsafe { libc::semget(key, members, flags) })
}

/// Returns the set of a key that has at least so many members; Linux asks for no permission here.
pub(crate) fn find_set(key: i32, members: i32) -> Result<i32> {
    // SAFETY: semget touches no memory of this process.
    Errno::result(unsafe { libc::semget(key, members, 0) })
}

/// Removes a set (`IPC_RMID`); whoever waits is woken with `EIDRM`.
pub(crate) fn remove_set(id: i32) -> Result<()> {
    // SAFETY: IPC_RMID takes no fourth argument and touches no memory of this process.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// Gives a member a value (`SETVAL`).
pub(crate) fn set_value(set: i32, member: i32, value: i32) -> Result<()> {
    // SAFETY: SETVAL takes an int in place of the union and touches no memory.
    Errno::result(unsafe { libc::semctl(set, member, libc::SETVAL, value) }).map(drop)
}

/// Adds to a member, or takes from it and waits until that can be done (`semop(2)`).
pub(crate) fn operate(set: i32, member: u16, by: i16) -> Result<()> {
    let mut operation = libc::sembuf { sem_num: member, sem_op: by, sem_flg: 0 };
    // SAFETY: semop reads one struct sembuf.
    Errno::result(unsafe { libc::semop(set, &raw mut operation, 1) }).map(drop)
}
