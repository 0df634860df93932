//! Rows and columns of text: aligned, cut to a terminal and never in a pipe.

/// A table to be printed.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Names of the columns.
    pub(crate) columns: Vec<Heading>,
    /// Cells, each safe for a terminal.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A column as the table treats it.
#[derive(Debug)]
pub(crate) struct Heading {
    /// Its name.
    pub(crate) name: String,
    /// Whether its cells are pushed to the right.
    pub(crate) right: bool,
    /// Whether it may be made narrower to fit.
    pub(crate) may_shrink: bool,
}

/// Narrowest that a column is made, in characters.
const NARROWEST: usize = 8;
/// Blanks between columns.
const GAP: usize = 2;

impl Table {
    /// The lines, with column names or without, in at most `most` characters each; `paint` may
    /// put colours around a cell: it gets column and cell, and the padded text.
    pub(crate) fn lines(
        &self,
        headings: bool,
        most: Option<usize>,
        paint: impl Fn(usize, Option<&str>, String) -> String,
    ) -> Vec<String> {
        let widths = self.widths(headings, most);
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let line = |row: &Vec<String>, is_heading: bool| {
            let mut out = String::new();
            let mut used = 0;
            for (index, ((cell, width), column)) in
                row.iter().zip(&widths).zip(&self.columns).enumerate()
            {
                let left = most.map_or(usize::MAX, |most| most.saturating_sub(used));
                if left == 0 {
                    break;
                }
                let last = index + 1 == row.len();
                let padded = pad(&cut(cell, (*width).min(left)), *width, column.right, last);
                let padded = cut(&padded, left);
                used += padded.chars().count() + GAP;
                out.push_str(&paint(index, (!is_heading).then_some(cell), padded));
                if !last {
                    out.push_str("  ");
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out
        };
        let heading = headings.then(|| line(&names, true));
        let rows = self.rows.iter().map(|row| line(row, false));
        heading.into_iter().chain(rows).collect()
    }

    /// The width of each column: of its widest cell, or less where the terminal is narrow.
    fn widths(&self, headings: bool, most: Option<usize>) -> Vec<usize> {
        let name = |column: &Heading| {
            if headings {
                column.name.chars().count()
            } else {
                0
            }
        };
        let mut widths: Vec<usize> = self.columns.iter().map(name).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(count(cell));
            }
        }
        let Some(most) = most else {
            return widths;
        };
        loop {
            let gaps = GAP * widths.len().saturating_sub(1);
            let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(most);
            let shrinkable = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(width, column)| column.may_shrink && **width > NARROWEST);
            match shrinkable.max_by_key(|(width, _)| **width) {
                Some((width, _)) if excess > 0 => {
                    *width = width
                        .saturating_sub(excess.min(*width / 4 + 1))
                        .max(NARROWEST);
                }
                _ => return widths,
            }
        }
    }
}

/// Characters of a cell; most are ASCII.
fn count(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

fn pad(text: &str, width: usize, right: bool, last: bool) -> String {
    let missing = width.saturating_sub(count(text));
    match (right, last) {
        (true, _) => format!("{}{text}", " ".repeat(missing)),
        (false, true) => text.to_owned(),
        (false, false) => format!("{text}{}", " ".repeat(missing)),
    }
}

/// At most `width` characters; what was cut shows.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if count(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + "~" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let column = |name: &str, right, may_shrink| Heading {
            name: name.to_owned(),
            right,
            may_shrink,
        };
        Table {
            columns: vec![
                column("ID", false, true),
                column("BYTES", true, false),
                column("VERDICT", false, false),
            ],
            rows: rows
                .iter()
                .map(|row| row.iter().map(|&cell| cell.to_owned()).collect())
                .collect(),
        }
    }

    fn plain(table: &Table, headings: bool, most: Option<usize>) -> Vec<String> {
        table.lines(headings, most, |_, _, text| text)
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let table = table(&[["1", "4.0KiB", "live"], ["32769", "-", "orphan"]]);
        let expected = [
            "ID      BYTES  VERDICT",
            "1      4.0KiB  live",
            "32769       -  orphan",
        ];
        assert_eq!(plain(&table, true, None), expected);
        assert_eq!(plain(&table, false, None)[0], "1      4.0KiB  live");
    }

    #[test]
    fn a_long_name_is_cut_to_the_terminal_so_that_the_verdict_stays() {
        let long = "x".repeat(300);
        let table = table(&[[&long, "4.0KiB", "live"], ["1", "1B", "orphan"]]);
        assert_eq!(plain(&table, true, None)[1].len(), 300 + 2 + 6 + 2 + 4);
        let lines = plain(&table, true, Some(40));
        assert!(
            lines.iter().all(|line| line.chars().count() <= 40),
            "{lines:?}"
        );
        assert!(lines[1].ends_with("xx~  4.0KiB  live"), "{lines:?}");
    }

    #[test]
    fn a_terminal_too_narrow_for_anything_gets_what_fits() {
        let table = table(&[["123456789", "4.0KiB", "live"]]);
        for width in 0..40 {
            let lines = plain(&table, true, Some(width));
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_row_of_other_than_ascii_is_measured_in_characters() {
        let table = table(&[["\u{e9}\u{e9}", "1B", "live"], ["abcd", "1B", "live"]]);
        let lines = plain(&table, false, None);
        assert_eq!(lines[0], "\u{e9}\u{e9}    1B  live");
        assert_eq!(lines[1], "abcd  1B  live");
    }
}
