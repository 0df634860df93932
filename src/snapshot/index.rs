//! The rows of a look by id, name, pid and user: each order is made at the first question, once.
//!
//! It holds places in tables that nobody changes any more, and no row itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Tables;

/// The orders of a look.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) segments: Order,
    pub(super) sets: Order,
    pub(super) queues: Order,
    pub(super) files: Order,
    pub(super) processes: Order,
    users: OnceLock<BTreeMap<u32, Vec<usize>>>,
    unknown: OnceLock<Vec<usize>>,
}

/// The places of a table's rows in the order of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Order(OnceLock<Vec<usize>>);

impl Order {
    /// Finds the first row of a key; `compare` orders two rows, `with` a row and the key.
    pub(super) fn find<'a, T>(
        &self,
        rows: &'a [T],
        compare: impl Fn(&T, &T) -> Ordering,
        with: impl Fn(&T) -> Ordering,
    ) -> Option<&'a T> {
        let order = self.0.get_or_init(|| {
            let mut places: Vec<usize> = (0..rows.len()).collect();
            places.sort_by(|&one, &other| match (rows.get(one), rows.get(other)) {
                (Some(one), Some(other)) => compare(one, other),
                _ => Ordering::Equal,
            });
            places
        });
        let is_before = |&place: &usize| rows.get(place).is_some_and(|row| with(row).is_lt());
        let place = *order.get(order.partition_point(is_before))?;
        rows.get(place).filter(|row| with(row).is_eq())
    }
}

impl Index {
    /// Returns the places of the living processes that have a user id in any of its four places,
    /// and of those whose user is not known.
    pub(super) fn of_user(&self, uid: u32, look: &Tables) -> impl Iterator<Item = usize> {
        let living = || {
            let all = look.processes.seen().enumerate();
            all.filter(|(_, process)| !process.ended)
        };
        let users = self.users.get_or_init(|| {
            let mut users: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (place, process) in living() {
                let mut uids: Vec<u32> = process.uids.into_iter().flatten().collect();
                uids.sort_unstable();
                uids.dedup();
                uids.into_iter().for_each(|uid| users.entry(uid).or_default().push(place));
            }
            users
        });
        let unknown = self.unknown.get_or_init(|| {
            let unknown = living().filter(|(_, process)| process.uids.is_none());
            unknown.map(|(place, _)| place).collect()
        });
        users.get(&uid).into_iter().flatten().chain(unknown).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_of_a_key_is_found_in_whatever_order_the_table_is() {
        // Slots of ids that go on round: no order; one slot twice.
        for rows in [vec![(3 << 15, 0), (1, 1), ((7 << 15) | 2, 2)], vec![(9, 0), (4, 1), (9, 2)]] {
            let order = Order::default();
            let find = |id: i32| {
                order.find(
                    &rows,
                    |one, other| one.0.cmp(&other.0),
                    |row: &(i32, i32)| row.0.cmp(&id),
                )
            };
            for (id, _) in &rows {
                assert_eq!(find(*id), rows.iter().find(|row| row.0 == *id), "{rows:?}");
            }
            assert_eq!(find(5), None);
        }
        let none: [i32; 0] = [];
        assert_eq!(Order::default().find(&none, Ord::cmp, |row| row.cmp(&1)), None);
    }
}
