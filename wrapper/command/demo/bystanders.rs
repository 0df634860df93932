//! Segments and a semaphore set that no server of ours made: same user, same key family, nobody
//! attached; the set with the mark of an openGauss.
//!
//! To a tool that goes by user, key, mark or attachments they look like leaks. The demo answers for
//! them: they are created with keys that nobody has, and go when it ends.

use nix::errno::Errno;
use shmwarden::engine::opengauss::SET_MEMBERS;
use shmwarden::sys::shm::Row;
use shmwarden::sys::taken::{Taken, TakenSet};

use super::account::Account;
use super::trouble::{Outcome, Trouble, failed};
use crate::stand_in::sets::mark;

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
    sets: Vec<TakenSet>,
}

impl Bystanders {
    /// None yet.
    pub(super) fn of(owner: Account) -> Self {
        Self { owner, taken: Vec::new(), sets: Vec::new() }
    }

    /// Puts a segment down, at this key or at the first free one after it.
    pub(super) fn put(&mut self, key: i32) -> Outcome<()> {
        let doing = "cannot create a shared memory segment";
        let taken = at_first_free(key, doing, |key| self.owner.act(|| Taken::create(key, BYTES)))?;
        self.taken.push(taken);
        Ok(())
    }

    /// Puts a set down, likewise, as an openGauss makes one.
    ///
    /// Before the server starts: of a new set that nobody has used yet, `run` could not tell
    /// whether it is the server's.
    pub(super) fn put_set(&mut self, key: i32) -> Outcome<()> {
        let create = |key| TakenSet::create(key, SET_MEMBERS, mark);
        let doing = "cannot create a semaphore set";
        let taken = at_first_free(key, doing, |key| self.owner.act(|| create(key)))?;
        self.sets.push(taken);
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.taken.len() + self.sets.len()
    }

    /// Whether each is where it was put, unchanged.
    pub(super) fn all_stand(&self) -> bool {
        self.taken.iter().all(Taken::stands) && self.sets.iter().all(TakenSet::stands)
    }

    /// Whether one of the segments has this id.
    pub(super) fn has(&self, id: i32) -> bool {
        self.rows().any(|row| row.id == id)
    }

    /// Whether one of the sets has this id.
    pub(super) fn has_set(&self, id: i32) -> bool {
        self.sets.iter().any(|taken| taken.row().id == id)
    }

    /// The segments as they were put down.
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.taken.iter().map(Taken::row)
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // As their owner: root needs `CAP_SYS_ADMIN` to remove what is another's.
        let (taken, sets) = (&mut self.taken, &mut self.sets);
        let mut clear = || {
            taken.clear();
            sets.clear();
        };
        if self.owner.act(&mut clear).is_err() {
            clear();
        }
    }
}

/// Makes something with this key or the first free one after it.
fn at_first_free<T>(
    key: i32,
    doing: &str,
    mut create: impl FnMut(i32) -> Outcome<Result<T, Errno>>,
) -> Outcome<T> {
    for key in (key..).take(usize::try_from(KEYS).unwrap_or(0)) {
        match create(key)? {
            Err(Errno::EEXIST) => {}
            made => return made.map_err(|errno| failed(doing)(errno.desc())),
        }
    }
    Err(Trouble::Failed(format!("the keys 0x{key:08x} and {KEYS} more are all taken")))
}
