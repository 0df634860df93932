//! Segments that no server of ours made: same user, same key family, nobody attached.
//!
//! To a tool that goes by user, key or attachments they look like leaks. The demo answers for
//! them: they are created with keys that nobody has, and go when it ends.

use nix::errno::Errno;
use shmwarden::sys::shm::Row;
use shmwarden::sys::taken::Taken;

use super::account::Account;
use super::trouble::{Outcome, Trouble, failed};

/// The port of the known case.
pub(super) const PORT: u16 = 16_000;
/// Where the key family of a server on port 16000 begins: port * 1000 + 1.
pub(super) const FIRST_KEY: i32 = PORT as i32 * 1_000 + 1;
/// Keys that are tried one after the other where somebody has the first.
const KEYS: i32 = 100;
const BYTES: usize = 1 << 20;

/// The bystanders so far.
#[derive(Debug)]
pub(super) struct Bystanders {
    owner: Account,
    taken: Vec<Taken>,
}

impl Bystanders {
    /// None yet.
    pub(super) fn of(owner: Account) -> Self {
        let taken = Vec::new();
        Self { owner, taken }
    }

    /// Puts one down, at this key or at the first free one after it.
    pub(super) fn put(&mut self, key: i32) -> Outcome<()> {
        for key in (key..).take(usize::try_from(KEYS).unwrap_or(0)) {
            match self.owner.act(|| Taken::create(key, BYTES))? {
                Ok(taken) => {
                    self.taken.push(taken);
                    return Ok(());
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => {
                    return Err(failed("cannot create a shared memory segment")(errno.desc()));
                }
            }
        }
        Err(Trouble::Failed(format!("the keys 0x{key:08x} and {KEYS} more are all taken")))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    /// Whether each is where it was put, unchanged.
    pub(super) fn all_stand(&self) -> bool {
        self.taken.iter().all(Taken::stands)
    }

    /// Whether one of them has this id.
    pub(super) fn has(&self, id: i32) -> bool {
        self.rows().any(|row| row.id == id)
    }

    /// They as they were put down.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.taken.iter().map(Taken::row)
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // As their owner: root needs `CAP_SYS_ADMIN` to remove what is another's.
        if self.owner.act(|| self.taken.clear()).is_err() {
            self.taken.clear();
        }
    }
}
