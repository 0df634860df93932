//! Segments and sets that the demo answers for with its own life: dropping one removes it.
//!
//! Not a way to clean up after anybody else: only what this process or a server that it started
//! created, and only if it still is that very one, with nobody attached or waiting.

use nix::errno::Errno;

use super::server::OwnSet;
use super::shm::{self, Row};
use super::{Result, check, sem};

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
        row.map(Self).ok_or(Errno::EIDRM)
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

    /// Checks that it is still there, the same and with nobody attached.
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

/// A set that is removed when this is dropped.
#[derive(Debug)]
pub struct TakenSet(sem::Row);

impl TakenSet {
    /// Creates a set whose key nobody has yet, mode 0600, and has it made ready by its id.
    ///
    /// # Errors
    /// `EEXIST` where the key is taken; what `semget(2)` says of limits; what `prepare` says.
    pub fn create(key: i32, members: i32, prepare: impl FnOnce(i32) -> Result<()>) -> Result<Self> {
        let id = OwnSet::create(key, members)?.id();
        let mut taken = Self(sem::stat(id)?.ok_or(Errno::EIDRM)?);
        prepare(id)?;
        taken.0 = sem::stat(id)?.ok_or(Errno::EIDRM)?;
        Ok(taken)
    }

    /// Answers for a set that a server of this process created.
    #[must_use]
    pub fn of_own_server(row: sem::Row) -> Self {
        Self(row)
    }

    /// It, as it was when it was taken.
    #[must_use]
    pub fn row(&self) -> &sem::Row {
        &self.0
    }

    /// Checks that it is still there, and nobody has changed or used it since.
    #[must_use]
    pub fn stands(&self) -> bool {
        matches!(sem::stat(self.0.id), Ok(Some(now)) if now == self.0)
    }

    /// Checks that it is still that set, used since or not, and nobody waits for it.
    fn is_idle(&self) -> bool {
        let facts = |row: &sem::Row| (row.key, row.members, row.creator_uid, row.creator_gid);
        matches!(sem::stat(self.0.id), Ok(Some(now)) if facts(&now) == facts(&self.0))
            && sem::members(self.0.id, self.0.members).is_ok_and(|members| members.waiters == 0)
    }
}

impl Drop for TakenSet {
    fn drop(&mut self) {
        if self.is_idle() {
            // Where it has gone meanwhile, there is nothing left to do.
            let _ = sem::remove(self.0.id);
        }
    }
}
