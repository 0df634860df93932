//! Segments that the demo answers for with its own life: dropping one removes it.
//!
//! Not a way to clean up after anybody else: only what this process or a server that it started
//! created, and only if it still is that very segment with nobody attached.

use super::shm::{self, Row};
use super::{Result, check};

/// A segment that is removed when this is dropped.
#[derive(Debug)]
pub struct Taken(Row);

impl Taken {
    /// Creates a segment whose key nobody has yet (`IPC_CREAT | IPC_EXCL`, mode 0600).
    ///
    /// # Errors
    /// `EEXIST` where the key is taken; what `shmget(2)` says of limits.
    pub fn create(key: i32, bytes: usize) -> Result<Self> {
        let id = shm::create(key, bytes, 0o600)?;
        let row = shm::stat(id)?;
        row.map(Self).ok_or(nix::errno::Errno::EIDRM)
    }

    /// Answers for a segment that a server of this process created.
    #[must_use]
    pub fn of_own_server(row: Row) -> Self {
        Self(row)
    }

    /// It, as it was when it was taken.
    #[must_use]
    pub fn row(&self) -> &Row {
        &self.0
    }

    /// Whether it is still there, the same and with nobody attached.
    #[must_use]
    pub fn stands(&self) -> bool {
        let facts = |row: &Row| (row.key, row.bytes, row.creator_uid, row.creator_pid, row.ctime);
        matches!(shm::stat(self.0.id), Ok(Some(now))
            if facts(&now) == facts(&self.0) && now.nattch == 0)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.stands() {
            // SAFETY: IPC_RMID reads and writes no memory of this process.
            let done = unsafe { libc::shmctl(self.0.id, libc::IPC_RMID, std::ptr::null_mut()) };
            // Where it has gone meanwhile, there is nothing left to do.
            let _ = check(done.into());
        }
    }
}
