//! The columns of `list`. A new column is one entry of [`COLUMNS`]: name, looks, cell, sort order.
//!
//! A table may have tens of thousands of rows, so a cell appends to the text that it is given, and
//! allocates none of its own where it can.

use shmwarden::judge::status::{Judged, Subject};

use crate::render::shown::{self, Shown};
use crate::render::text::{self, digits, span};

/// A column.
pub(crate) struct Column {
    /// Its name on the command line; the heading is the same in capitals.
    pub(crate) name: &'static str,
    /// Shown where no column is named.
    pub(crate) is_usual: bool,
    /// Pushed to the right.
    pub(crate) right: bool,
    /// May be made narrower to fit a terminal.
    pub(crate) may_shrink: bool,
    /// The reading that the column takes.
    pub(crate) needs: Needs,
    cell: Cell,
    /// The number by which it sorts, where that is not the one in its cell; the text of the cell
    /// decides where there is none.
    order: Option<Number>,
}

/// The reading that a column takes, beyond the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing beyond the tables.
    Tables,
    /// The pages in memory, too.
    Details,
    /// The processes that hold each object, too.
    Holders,
}

type Text = fn(&Judged<'_>, &Shown<'_>, &mut String);
type Number = fn(&Judged<'_>, &Shown<'_>) -> Option<u64>;

/// The content of a cell.
#[derive(Clone, Copy)]
enum Cell {
    Text(Text),
    Count(Number),
    /// Bytes, shown as a size unless the number itself is asked for.
    Size(Number),
}

/// Stands where there is nothing.
const NONE: &str = "-";

const PLAIN: Column = Column {
    name: "",
    is_usual: false,
    right: false,
    may_shrink: false,
    needs: Needs::Tables,
    cell: Cell::Text(|_, _, _| ()),
    order: None,
};
const USUAL: Column = Column { is_usual: true, ..PLAIN };

/// Every column, the usual ones first.
pub(crate) static COLUMNS: &[Column] = &[
    Column {
        name: "kind",
        cell: Cell::Text(|one, _, out| out.push_str(one.subject.kind().word())),
        order: Some(|one, _| Some(one.subject.kind() as u64)),
        ..USUAL
    },
    Column {
        name: "id",
        may_shrink: true,
        cell: Cell::Text(id),
        order: Some(|one, _| u64::try_from(one.subject.id()?).ok()),
        ..USUAL
    },
    Column { name: "key", cell: Cell::Text(key), ..USUAL },
    Column {
        name: "owner",
        may_shrink: true,
        cell: Cell::Text(|one, shown, out| shown.write_user(one.subject.owner().0, out)),
        ..USUAL
    },
    Column { name: "bytes", right: true, cell: Cell::Size(|one, _| one.subject.bytes()), ..USUAL },
    Column {
        name: "nattch",
        right: true,
        cell: Cell::Count(|one, _| match one.subject {
            Subject::Shm(row) => Some(row.nattch),
            _ => None,
        }),
        ..USUAL
    },
    Column {
        name: "status",
        cell: Cell::Text(|one, shown, out| words(&shown.status(one), out)),
        ..USUAL
    },
    Column {
        name: "creator",
        may_shrink: true,
        cell: Cell::Text(creator),
        order: Some(|one, shown| u64::try_from(shown.creator_pid(one.subject)?).ok()),
        ..USUAL
    },
    Column {
        name: "age",
        right: true,
        cell: Cell::Text(|one, shown, out| match shown.age(one.subject) {
            Some(age) => span(age.as_secs(), out),
            None => out.push_str(NONE),
        }),
        order: Some(|one, shown| Some(shown.age(one.subject)?.as_secs())),
        ..USUAL
    },
    Column {
        name: "instance",
        may_shrink: true,
        cell: Cell::Text(|one, shown, out| {
            or_none(shown.instance(one.account).map(text::safe).as_deref(), out);
        }),
        ..USUAL
    },
    Column {
        name: VERDICT,
        cell: Cell::Text(|one, _, out| out.push_str(one.verdict.word())),
        order: Some(|one, _| Some(one.verdict as u64)),
        ..USUAL
    },
    Column {
        name: "resident",
        right: true,
        needs: Needs::Details,
        cell: Cell::Size(|one, shown| shown.resident(one.subject)),
        ..PLAIN
    },
    Column {
        name: "perms",
        cell: Cell::Text(|one, _, out| {
            out.push_str(&format!("{:04o}", one.subject.permissions()));
        }),
        ..PLAIN
    },
    Column {
        name: "cuser",
        may_shrink: true,
        cell: Cell::Text(|one, shown, out| match one.subject.creator() {
            Some((uid, _)) => shown.write_user(uid, out),
            None => out.push_str(NONE),
        }),
        ..PLAIN
    },
    Column {
        name: "nsems",
        right: true,
        cell: Cell::Count(|one, _| match one.subject {
            Subject::Sem(set) => Some(set.row.members),
            _ => None,
        }),
        ..PLAIN
    },
    Column {
        name: "messages",
        right: true,
        cell: Cell::Count(|one, _| match one.subject {
            Subject::Msg(row) => Some(row.messages),
            _ => None,
        }),
        ..PLAIN
    },
    Column {
        name: "waiters",
        right: true,
        cell: Cell::Count(|one, shown| shown.waiters_and_operator(one.subject).0),
        ..PLAIN
    },
    Column {
        name: "operator",
        right: true,
        cell: Cell::Count(|one, shown| {
            u64::try_from(shown.waiters_and_operator(one.subject).1?).ok()
        }),
        ..PLAIN
    },
    Column { name: "changed", cell: Cell::Text(changed), ..PLAIN },
    Column { name: "ledger", may_shrink: true, cell: Cell::Text(ledger), ..PLAIN },
    Column { name: "code", cell: Cell::Text(|one, _, out| out.push_str(one.why.code())), ..PLAIN },
    Column {
        name: REASON,
        may_shrink: true,
        // A reason has escaped what is foreign in it.
        cell: Cell::Text(|one, _, out| out.push_str(&one.sentence())),
        ..PLAIN
    },
    Column {
        name: HOLDERS,
        may_shrink: true,
        needs: Needs::Holders,
        cell: Cell::Text(holders),
        ..PLAIN
    },
];

/// The columns that an option of `list` adds or a terminal colours.
pub(crate) const VERDICT: &str = "verdict";
pub(crate) const REASON: &str = "reason";
pub(crate) const HOLDERS: &str = "holders";

/// Returns the column of this name.
pub(crate) fn column(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name.eq_ignore_ascii_case(name))
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Column {
    /// Appends the cell of an object.
    pub(crate) fn write(
        &self,
        one: &Judged<'_>,
        shown: &Shown<'_>,
        in_bytes: bool,
        out: &mut String,
    ) {
        match self.cell {
            Cell::Text(write) => write(one, shown, out),
            Cell::Count(count) => number(count(one, shown), out),
            Cell::Size(bytes) => match bytes(one, shown) {
                Some(bytes) if !in_bytes => size(bytes, out),
                bytes => number(bytes, out),
            },
        }
    }

    /// Returns by what an object sorts: a number, then the text of its cell.
    pub(crate) fn order(&self, one: &Judged<'_>, shown: &Shown<'_>) -> (u64, String) {
        let number = match (self.order, self.cell) {
            (Some(number), _) | (None, Cell::Count(number) | Cell::Size(number)) => {
                number(one, shown)
            }
            (None, Cell::Text(_)) => None,
        };
        if let Some(number) = number {
            return (number, String::new());
        }
        let mut text = String::new();
        self.write(one, shown, true, &mut text);
        (0, text)
    }
}

fn id(one: &Judged<'_>, _: &Shown<'_>, out: &mut String) {
    match (one.subject, one.subject.id()) {
        (Subject::Posix(file), _) => {
            out.push('/');
            out.push_str(&text::escaped(&file.name.lossy()));
        }
        (_, Some(id)) => signed(id, out),
        (_, None) => out.push_str(NONE),
    }
}

fn key(one: &Judged<'_>, _: &Shown<'_>, out: &mut String) {
    match one.subject.key() {
        Some(key) => hexadecimal(key, out),
        None => out.push_str(NONE),
    }
}

fn changed(one: &Judged<'_>, _: &Shown<'_>, out: &mut String) {
    let time = shown::changed(one.subject);
    let time = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    or_none(time.as_deref(), out);
}

fn ledger(one: &Judged<'_>, shown: &Shown<'_>, out: &mut String) {
    let source = shown.view.source(one.account);
    let path = source.map(|source| text::escaped(&source.path.to_string_lossy()));
    or_none(path.as_deref(), out);
}

fn creator(one: &Judged<'_>, shown: &Shown<'_>, out: &mut String) {
    let Some(pid) = shown.creator_pid(one.subject) else {
        return out.push_str(NONE);
    };
    signed(pid, out);
    match shown.name_of(pid) {
        Some(name) => {
            out.push(' ');
            out.push_str(&text::safe(&name));
        }
        None => out.push_str(" dead"),
    }
}

/// Pids with names: what there is to know of each is `who`'s.
fn holders(one: &Judged<'_>, shown: &Shown<'_>, out: &mut String) {
    let Some(holding) = shown.holding(one) else {
        return out.push_str(NONE);
    };
    let name = |pid: i32| text::safe(&shown.name_of(pid).unwrap_or_default());
    let pids = holding.holders.iter().map(|held| held.holder.process.pid);
    let mut words: Vec<String> = pids.map(|pid| format!("{pid} {}", name(pid))).collect();
    if let Some(unexplained) = holding.unexplained.filter(|count| *count > 0) {
        words.push(format!("{unexplained} not found"));
    }
    let joined = words.join(", ");
    or_none(Some(joined.as_str()).filter(|text| !text.is_empty()), out);
}

fn or_none(text: Option<&str>, out: &mut String) {
    out.push_str(text.unwrap_or(NONE));
}

fn words(words: &[&str], out: &mut String) {
    if words.is_empty() {
        out.push_str(NONE);
    }
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(word);
    }
}

fn number(number: Option<u64>, out: &mut String) {
    match number {
        Some(number) => digits(number, out),
        None => out.push_str(NONE),
    }
}

fn signed(number: i32, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    digits(number.unsigned_abs().into(), out);
}

fn hexadecimal(key: i32, out: &mut String) {
    out.push_str("0x");
    for byte in key.to_be_bytes() {
        for half in [byte >> 4, byte & 15] {
            out.push(char::from_digit(half.into(), 16).unwrap_or('?'));
        }
    }
}

/// A size in powers of 1024, without a blank: one word for whoever splits at blanks.
fn size(bytes: u64, out: &mut String) {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    // Tenths, rounded once at the end: 1023.95 KiB is 1.0 MiB.
    let tenths = |unit: u32| {
        let one = 1_u128 << (10 * unit);
        (u128::from(bytes) * 10 + one / 2) / one
    };
    while unit < 6 && tenths(unit) >= 10_240 {
        unit += 1;
    }
    let tenths = u64::try_from(tenths(unit)).unwrap_or(u64::MAX);
    digits(tenths / 10, out);
    if unit > 0 {
        out.push('.');
        digits(tenths % 10, out);
    }
    out.push_str(UNITS.get(unit as usize).copied().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn sizes_are_those_of_the_log_without_the_blank() {
        let mut sizes = vec![0, 1023, 1024, 1536, 272_629_760, (1 << 20) - 1, u64::MAX];
        sizes.extend((0..60).map(|bit| (1_u64 << bit) + (1 << bit) / 3));
        for bytes in sizes {
            let other = text::size(bytes).replace(' ', "");
            assert_eq!(said(|out| size(bytes, out)), other, "{bytes}");
        }
    }

    #[test]
    fn numbers_and_keys_are_written_in_full() {
        assert_eq!(said(|out| number(Some(0), out)), "0");
        assert_eq!(said(|out| signed(i32::MIN, out)), i32::MIN.to_string());
        assert_eq!(said(|out| digits(u64::MAX, out)), u64::MAX.to_string());
        assert_eq!(said(|out| number(None, out)), "-");
        assert_eq!(said(|out| hexadecimal(0x00f4_2401, out)), "0x00f42401");
        assert_eq!(said(|out| hexadecimal(-559_038_737, out)), "0xdeadbeef");
    }

    #[test]
    fn every_column_has_a_name_of_its_own_and_the_usual_ones_come_first() {
        let mut names: Vec<&str> = COLUMNS.iter().map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
        assert!(COLUMNS.is_sorted_by_key(|column| !column.is_usual));
        for name in [VERDICT, REASON, HOLDERS] {
            assert!(column(name).is_some(), "{name}");
        }
    }
}
