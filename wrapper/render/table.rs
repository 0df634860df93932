//! Rows and columns of text: aligned, cut to a terminal and never in a pipe.
//!
//! Tables have tens of thousands of rows: all cells lie in one text, and none is copied before it
//! is printed.

/// A table to be printed.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Heading>,
    /// Widest cell of each column so far, in characters.
    widths: Vec<usize>,
    /// Every cell, one behind the other, each safe for a terminal.
    text: String,
    /// The end of each cell, and its number of characters: small, for there are many.
    cells: Vec<(u32, u32)>,
}

/// A column as the table treats it.
#[derive(Debug)]
pub(crate) struct Heading {
    /// Its name.
    pub(crate) name: String,
    /// Set where its cells are pushed to the right.
    pub(crate) right: bool,
    /// Set where it may be made narrower to fit.
    pub(crate) may_shrink: bool,
}

/// The way in which a table is printed.
#[derive(Clone, Copy)]
pub(crate) struct Style<'a> {
    /// With a line of column names.
    pub(crate) headings: bool,
    /// Most characters of a line.
    pub(crate) most: Option<usize>,
    /// Puts colours around a cell: gets the column, the cell (`None` for its name) and the text.
    pub(crate) paint: Option<&'a Paint>,
}

/// Puts colours around the text of a cell.
pub(crate) type Paint = dyn Fn(usize, Option<&str>, String) -> String;

/// Narrowest that a column is made, in characters.
const NARROWEST: usize = 8;
/// Between columns.
const GAP: &str = "  ";
const BLANKS: &str = "                                                                ";

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: Vec<Heading>) -> Self {
        Self { widths: vec![0; columns.len()], columns, ..Self::default() }
    }

    /// Makes room for so many rows of usual cells.
    pub(crate) fn reserve(&mut self, rows: usize) {
        const USUAL_CELL_BYTES: usize = 8;
        let cells = rows.saturating_mul(self.columns.len()).min(1 << 20);
        self.cells.reserve(cells);
        self.text.reserve(cells * USUAL_CELL_BYTES);
    }

    /// Adds a cell, row by row and from left to right; `write` appends its text.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let cell = self.text.get(start..).unwrap_or_default();
        let count = count(cell);
        let column = self.cells.len() % self.columns.len().max(1);
        if let Some(width) = self.widths.get_mut(column) {
            *width = (*width).max(count);
        }
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.cells.push((small(self.text.len()), small(count)));
    }

    /// Appends the lines.
    pub(crate) fn print(&self, style: Style<'_>, out: &mut String) {
        let widths = self.fitting(style);
        let line: usize = widths.iter().map(|width| width + GAP.len() + 1).sum();
        let rows = self.cells.len() / self.columns.len().max(1);
        out.reserve(line.saturating_mul(rows + 1).min(64 << 20));
        if style.headings {
            let names = self.columns.iter().map(|column| {
                let name = column.name.as_str();
                (name, count(name))
            });
            self.line(names, &widths, true, style, out);
        }
        let mut start = 0;
        for row in self.cells.chunks(self.columns.len().max(1)) {
            let cells = row.iter().map(|&(end, count)| {
                let cell = self.text.get(start..end as usize).unwrap_or_default();
                start = end as usize;
                (cell, count as usize)
            });
            self.line(cells, &widths, false, style, out);
        }
    }

    fn line<'a>(
        &self,
        cells: impl Iterator<Item = (&'a str, usize)>,
        widths: &[usize],
        is_heading: bool,
        style: Style<'_>,
        out: &mut String,
    ) {
        let begin = out.len();
        let mut left = style.most.unwrap_or(usize::MAX);
        let columns = self.columns.iter().zip(widths).enumerate();
        for ((index, (column, &width)), (cell, count)) in columns.zip(cells) {
            if index > 0 {
                out.push_str(GAP.get(..left.min(GAP.len())).unwrap_or(GAP));
                left = left.saturating_sub(GAP.len());
            }
            let width = width.min(left);
            left -= width;
            let padding = width.saturating_sub(count);
            match style.paint {
                None if column.right => {
                    blanks(padding, out);
                    cut(cell, count, width, out);
                }
                None => {
                    cut(cell, count, width, out);
                    blanks(padding, out);
                }
                Some(paint) => {
                    let mut text = String::new();
                    cut(cell, count, width, &mut text);
                    let painted = paint(index, (!is_heading).then_some(cell), text);
                    let (before, after) = if column.right { (padding, 0) } else { (0, padding) };
                    blanks(before, out);
                    out.push_str(&painted);
                    blanks(after, out);
                }
            }
        }
        while out.len() > begin && out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }

    /// The width of each column: of its widest cell, or less where the terminal is narrow.
    fn fitting(&self, style: Style<'_>) -> Vec<usize> {
        let mut widths = self.widths.clone();
        if style.headings {
            for (width, column) in widths.iter_mut().zip(&self.columns) {
                *width = (*width).max(count(&column.name));
            }
        }
        let Some(most) = style.most else {
            return widths;
        };
        loop {
            let gaps = GAP.len() * widths.len().saturating_sub(1);
            let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(most);
            let shrinkable = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(width, column)| column.may_shrink && **width > NARROWEST);
            match shrinkable.max_by_key(|(width, _)| **width) {
                Some((width, _)) if excess > 0 => {
                    let step = excess.min(*width / 4 + 1);
                    *width = width.saturating_sub(step).max(NARROWEST);
                }
                _ => return widths,
            }
        }
    }
}

/// Characters of a cell; most are ASCII.
fn count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn blanks(mut count: usize, out: &mut String) {
    while let Some(rest) = count.checked_sub(BLANKS.len()) {
        out.push_str(BLANKS);
        count = rest;
    }
    out.push_str(BLANKS.get(..count).unwrap_or_default());
}

/// Appends at most `width` characters of a text that has `count`; what was cut shows.
fn cut(text: &str, count: usize, width: usize, out: &mut String) {
    if count <= width {
        out.push_str(text);
    } else if width > 0 {
        out.extend(text.chars().take(width - 1));
        out.push('~');
    }
}

/// At most `width` characters of a line; what was cut shows.
pub(crate) fn cut_line(line: &str, width: usize) -> String {
    let mut out = String::new();
    cut(line, count(line), width, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let column =
            |name: &str, right, may_shrink| Heading { name: name.to_owned(), right, may_shrink };
        let mut table = Table::new(vec![
            column("ID", false, true),
            column("BYTES", true, false),
            column("VERDICT", false, false),
        ]);
        for cell in rows.iter().flatten() {
            table.add(|out| out.push_str(cell));
        }
        table
    }

    fn printed(table: &Table, headings: bool, most: Option<usize>) -> Vec<String> {
        let style = Style { headings, most, paint: None };
        let mut out = String::new();
        table.print(style, &mut out);
        let painted = Style { paint: Some(&|_, _, text| text), ..style };
        let mut again = String::new();
        table.print(painted, &mut again);
        assert_eq!(out, again, "colours change nothing else");
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let table = table(&[["1", "4.0KiB", "live"], ["32769", "-", "orphan"]]);
        let expected = ["ID      BYTES  VERDICT", "1      4.0KiB  live", "32769       -  orphan"];
        assert_eq!(printed(&table, true, None), expected);
        assert_eq!(printed(&table, false, None)[0], "1      4.0KiB  live");
    }

    #[test]
    fn a_long_name_is_cut_to_the_terminal_so_that_the_verdict_stays() {
        let long = "x".repeat(300);
        let table = table(&[[&long, "4.0KiB", "live"], ["1", "1B", "orphan"]]);
        assert_eq!(printed(&table, true, None)[1].len(), 300 + 2 + 6 + 2 + 4);
        let lines = printed(&table, true, Some(40));
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
        assert!(lines[1].ends_with("xx~  4.0KiB  live"), "{lines:?}");
    }

    #[test]
    fn a_terminal_too_narrow_for_anything_gets_what_fits() {
        let table = table(&[["123456789", "4.0KiB", "live"]]);
        for width in 0..40 {
            let lines = printed(&table, true, Some(width));
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:?}");
        }
    }

    #[test]
    fn a_row_of_other_than_ascii_is_measured_in_characters() {
        let table = table(&[["\u{e9}\u{e9}", "1B", "live"], ["abcd", "1B", "live"]]);
        let lines = printed(&table, false, None);
        assert_eq!(lines[0], "\u{e9}\u{e9}    1B  live");
        assert_eq!(lines[1], "abcd  1B  live");
    }
}
