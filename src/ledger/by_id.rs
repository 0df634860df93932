//! Which recorded segments bear an id. Asked for each row of the kernel's table, and a server may
//! have tens of thousands of segments: a walk over all objects each time took minutes.

use super::book::{Book, Recorded};
use crate::object::Identity;

impl Book {
    /// Whether this very object is recorded, whatever became of it.
    #[must_use]
    pub fn has(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Shm(segment) => {
                self.segments_of(segment.id).any(|object| object.identity.is(identity))
            }
            Identity::Posix(_) | Identity::Sem(_) | Identity::Msg(_) => {
                self.objects.values().any(|object| object.identity.is(identity))
            }
        }
    }

    /// The segments that were recorded under an id, one after the other, whatever became of them.
    pub fn segments_of(&self, id: i32) -> impl Iterator<Item = &Recorded> {
        let numbers = self.segment_ids.range((id, 0)..=(id, u64::MAX));
        numbers.filter_map(|(_, number)| self.objects.get(number))
    }

    /// Takes an object in, or in its new state. It never changes its id (`book::may_become`).
    pub(super) fn put(&mut self, object: Recorded) {
        if let Identity::Shm(segment) = &object.identity {
            self.segment_ids.insert((segment.id, object.number));
        }
        self.objects.insert(object.number, object);
    }
}
