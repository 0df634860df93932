//! The content of a ledger of adopted objects: no runs, each object by itself. Pure.
//!
//! Such a ledger has no server, so nothing in it may ever come from one, nor a server's ledger hold
//! what was adopted: the proofs differ.

use super::book::{Book, Illegal, Recorded, Standing};
use super::record::{Adopted, Entry, VERSION_OF_SETS};

/// The number that stands for the run of an object without one; runs begin with 1.
pub(crate) const NO_RUN: u64 = 0;

impl Book {
    /// Checks that this is a ledger of adopted objects.
    #[must_use]
    pub fn is_of_adopted(&self) -> bool {
        self.runs.is_empty() && self.objects.values().any(Recorded::is_adopted)
    }

    /// Takes in an adopted object.
    pub(super) fn adopt(&mut self, adopted: &Adopted, entry: &Entry) -> Result<(), Illegal> {
        let Some(place) = self.places.len().checked_sub(1) else {
            return Err(Illegal("an adopted object before a header"));
        };
        // A program of an older version would take such a line for damage.
        if self.version < VERSION_OF_SETS {
            return Err(Illegal("an adopted object in a ledger of version 1"));
        }
        self.can_name(&adopted.identity)?;
        if !self.runs.is_empty() {
            return Err(Illegal("an adopted object in the ledger of a server"));
        }
        if !adopted.how.is_adopted() {
            return Err(Illegal("an adopted object that came in otherwise"));
        }
        if adopted.object < self.next_object() || adopted.object == u64::MAX {
            return Err(Illegal("an object whose number was given before"));
        }
        let recorded = Recorded {
            number: adopted.object,
            run: NO_RUN,
            place,
            identity: adopted.identity.clone(),
            how: adopted.how,
            role: adopted.role,
            creator: None,
            header: None,
            since: entry.at,
            standing: Standing::Present,
            changed: entry.at,
        };
        self.given.1 = adopted.object;
        self.put(recorded);
        Ok(())
    }
}
