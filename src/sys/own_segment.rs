//! A segment that this process has made, and takes back when it lets go of it: for the demo.
//!
//! Not a way to clean up after anybody else: there is no way to get one but to create it, and what
//! bears its id later and is another segment is left alone.

use nix::errno::Errno;

use super::Result;
use super::shm::{self, Row};

/// A segment that is removed when this is dropped.
#[derive(Debug)]
pub struct OwnSegment(Row);

impl OwnSegment {
    /// Creates a segment whose key nobody has yet, mode 0600.
    ///
    /// # Errors
    /// `EEXIST` where the key is taken; what `shmget(2)` says of limits.
    pub fn create(key: i32, bytes: usize) -> Result<Self> {
        let id = shm::create(key, bytes)?;
        shm::stat(id)?.map(Self).ok_or(Errno::EIDRM)
    }

    /// Attaches it for as long as this process lives.
    ///
    /// # Errors
    /// What `shmat(2)` says.
    pub fn attach(&self) -> Result<()> {
        shm::attach_for_life(self.0.id)
    }

    /// Returns it as it is now, where it is still there.
    #[must_use]
    pub fn now(&self) -> Option<Row> {
        let facts =
            |row: &Row| (row.perm.key, row.bytes, row.perm.creator_uid, row.creator_pid, row.ctime);
        let now = shm::stat(self.0.id).ok().flatten();
        now.filter(|now| facts(now) == facts(&self.0))
    }

    /// Checks that it is still there, and nobody has it attached.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.now().is_some_and(|now| now.nattch == 0)
    }
}

impl Drop for OwnSegment {
    fn drop(&mut self) {
        if self.now().is_some() {
            // Where it has gone meanwhile, there is nothing left to do.
            let _ = shm::remove(self.0.id);
        }
    }
}
