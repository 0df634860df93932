//! One table of a look: read whole, in part, or not at all.
//!
//! It must never let a table that was not read pass for an empty one: what is missing is a third
//! answer, and there is no way to get the rows as a list of all that there is.

use crate::proc::Seen;

/// A table of the kernel's, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table<T> {
    /// Every row.
    Whole(Vec<T>),
    /// Some rows, and a sentence on what is missing.
    Part(Vec<T>, String),
    /// No row, and a sentence on why.
    Unread(String),
}

impl<T> Table<T> {
    /// Returns a table that nobody asked for.
    #[must_use]
    pub fn unasked() -> Self {
        Self::Unread("it was not looked at".to_owned())
    }

    /// Returns the rows that were seen: evidence for what they show, never against anything.
    pub fn seen(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::Whole(rows) | Self::Part(rows, _) => rows.iter(),
            Self::Unread(_) => [].iter(),
        }
    }

    /// Returns the rows that were seen, for the index.
    pub(super) fn rows(&self) -> &[T] {
        self.seen().as_slice()
    }

    /// Checks whether every row was seen, so that what is not among them is not there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Returns what is missing, as a sentence; `None` where nothing is.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Whole(_) => None,
            Self::Part(_, what) | Self::Unread(what) => Some(what),
        }
    }

    /// Finds a row. Only a whole table tells that there is none.
    pub fn find(&self, is_it: impl Fn(&T) -> bool) -> Seen<&T> {
        self.answer(self.seen().find(|row| is_it(row)))
    }

    /// Returns what it means that a search among the rows that were seen gave this.
    pub(super) fn answer<'a>(&'a self, found: Option<&'a T>) -> Seen<&'a T> {
        match found {
            Some(row) => Seen::Here(row),
            None if self.is_whole() => Seen::Gone,
            None => Seen::Denied,
        }
    }

    /// Returns the rows that were seen, to fill them in further.
    pub fn rows_mut(&mut self) -> &mut [T] {
        match self {
            Self::Whole(rows) | Self::Part(rows, _) => rows,
            Self::Unread(_) => &mut [],
        }
    }

    /// Keeps those rows that `stays` says yes to: the others have gone since.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        match self {
            Self::Whole(rows) | Self::Part(rows, _) => rows.retain(stays),
            Self::Unread(_) => {}
        }
    }

    /// Adds a row that was seen besides; what was missing stays so.
    pub fn add(&mut self, row: T) {
        match self {
            Self::Whole(rows) | Self::Part(rows, _) => rows.push(row),
            Self::Unread(why) => *self = Self::Part(vec![row], std::mem::take(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_table_says_that_a_row_is_not_there() {
        let missing = || "some".to_owned();
        let is = |wanted: i32| move |row: &i32| *row == wanted;
        assert_eq!(Table::Whole(vec![1]).find(is(1)), Seen::Here(&1));
        assert_eq!(Table::Whole(vec![1]).find(is(2)), Seen::Gone);
        assert_eq!(Table::Part(vec![1], missing()).find(is(1)), Seen::Here(&1));
        assert_eq!(Table::Part(vec![1], missing()).find(is(2)), Seen::Denied);
        assert_eq!(Table::Unread(missing()).find(is(2)), Seen::Denied);
        assert_eq!(Table::unasked().find(is(2)), Seen::Denied);
    }

    #[test]
    fn what_is_added_makes_no_table_whole() {
        for mut table in [Table::unasked(), Table::Part(vec![5], "the rest".to_owned())] {
            table.add(1);
            assert_eq!(table.find(|row| *row == 1), Seen::Here(&1));
            assert_eq!(table.find(|row| *row == 2), Seen::Denied);
            assert!(table.missing().is_some());
        }
        let mut whole = Table::Whole(vec![]);
        whole.add(1);
        assert_eq!((whole.find(|row| *row == 2), whole.missing()), (Seen::Gone, None));
    }
}
