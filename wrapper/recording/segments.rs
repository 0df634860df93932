//! Which segments were attached or detached since the last look: also by who does so for each use
//! and has none attached when it is looked at.

use std::collections::BTreeMap;

use shmwarden::sys::shm::Row;

/// Most that are told in one look, whose users have to be looked for in `/proc`.
const MOST: usize = 16;

/// Of each segment who used it last and when, as far as that was told.
#[derive(Debug, Default)]
pub(super) struct Moved(BTreeMap<i32, (i32, i64)>);

impl Moved {
    /// Begins with what is there before the server runs.
    pub(super) fn start(rows: &[Row]) -> Self {
        Self(rows.iter().map(|row| (row.id, use_of(row))).collect())
    }

    /// Tells which segments were used since they were told last.
    pub(super) fn since<'a>(&mut self, rows: &'a [Row]) -> Vec<&'a Row> {
        let known = &mut self.0;
        let moved =
            rows.iter().filter(|row| row.last_pid != 0 && known.get(&row.id) != Some(&use_of(row)));
        let moved: Vec<&Row> = moved.take(MOST).collect();
        if known.len() > rows.len() {
            known.retain(|id, _| rows.iter().any(|row| row.id == *id));
        }
        known.extend(moved.iter().map(|row| (row.id, use_of(row))));
        moved
    }
}

fn use_of(row: &Row) -> (i32, i64) {
    (row.last_pid, row.last_use())
}
