//! What stands in each cell of `list`, and by what it sorts. Called for each object of a table of
//! tens of thousands: it appends to one text and makes none of its own where it can.

use shmwarden::judge::status::{Judged, Subject};

use super::columns::Column;
use crate::render::shown::{self, Shown};
use crate::render::text::{self, digits, span};

/// Stands where there is nothing.
const NONE: &str = "-";

/// Appends the cell of an object.
pub(crate) fn write(
    column: Column,
    one: &Judged<'_>,
    shown: &Shown<'_>,
    in_bytes: bool,
    out: &mut String,
) {
    let subject = one.subject;
    match column {
        Column::Kind => out.push_str(subject.kind().word()),
        Column::Id => match (subject, subject.id()) {
            (Subject::Posix(file), _) => {
                out.push('/');
                out.push_str(&text::escaped(&file.name.lossy()));
            }
            (_, id) => number(id.map(i64::from), out),
        },
        Column::Key => match subject.key() {
            Some(key) => hexadecimal(key, out),
            None => out.push_str(NONE),
        },
        Column::Owner => shown.write_user(subject.owner().0, out),
        Column::CreatorUser => match subject.creator() {
            Some((uid, _)) => shown.write_user(uid, out),
            None => out.push_str(NONE),
        },
        Column::Status => words(&shown.status(one), out),
        Column::Creator => creator(subject, shown, out),
        Column::Age => match shown.age(subject) {
            Some(age) => span(age.as_secs(), out),
            None => out.push_str(NONE),
        },
        Column::Instance => or_none(shown.instance(one.account).map(text::safe).as_deref(), out),
        Column::Verdict => out.push_str(one.verdict.word()),
        Column::Bytes | Column::Resident => match count(column, one, shown) {
            Some(bytes) if !in_bytes => size(bytes, out),
            bytes => number(bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)), out),
        },
        Column::Perms => out.push_str(&format!("{:04o}", subject.permissions())),
        Column::Changed => {
            let time = shown::changed(subject);
            let time = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
            or_none(time.as_deref(), out);
        }
        Column::Ledger => {
            let source = shown.view.source(one.account);
            let path = source.map(|source| text::escaped(&source.path.to_string_lossy()));
            or_none(path.as_deref(), out);
        }
        Column::Code => out.push_str(one.why.code()),
        // A reason has escaped what is foreign in it.
        Column::Reason => out.push_str(&one.sentence()),
        Column::Holders => holders(one, shown, out),
        Column::Nattch | Column::Nsems | Column::Messages | Column::Waiters | Column::Operator => {
            let count = count(column, one, shown);
            number(count.and_then(|count| i64::try_from(count).ok()), out);
        }
    }
}

/// By what an object sorts: a number, then the text of its cell.
pub(crate) fn order(column: Column, one: &Judged<'_>, shown: &Shown<'_>) -> (u64, String) {
    let by_number = match column {
        Column::Kind => Some(one.subject.kind() as u64),
        Column::Verdict => Some(one.verdict as u64),
        Column::Id => one.subject.id().and_then(|id| u64::try_from(id).ok()),
        Column::Age => shown.age(one.subject).map(|age| age.as_secs()),
        Column::Creator => shown.creator_pid(one.subject).and_then(|pid| u64::try_from(pid).ok()),
        _ => count(column, one, shown),
    };
    if let Some(number) = by_number {
        return (number, String::new());
    }
    let mut text = String::new();
    write(column, one, shown, true, &mut text);
    (0, text)
}

/// The number in a cell that has one.
fn count(column: Column, one: &Judged<'_>, shown: &Shown<'_>) -> Option<u64> {
    match (column, one.subject) {
        (Column::Bytes, subject) => subject.bytes(),
        (Column::Resident, subject) => shown.resident(subject),
        (Column::Nattch, Subject::Shm(row)) => Some(row.nattch),
        (Column::Nsems, Subject::Sem(set)) => Some(set.row.members),
        (Column::Messages, Subject::Msg(row)) => Some(row.messages),
        (Column::Waiters, subject) => shown.waiters_and_operator(subject).0,
        (Column::Operator, subject) => {
            let pid = shown.waiters_and_operator(subject).1;
            pid.and_then(|pid| u64::try_from(pid).ok())
        }
        _ => None,
    }
}

fn creator(subject: Subject<'_>, shown: &Shown<'_>, out: &mut String) {
    let Some(pid) = shown.creator_pid(subject) else {
        return out.push_str(NONE);
    };
    number(Some(pid.into()), out);
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

fn number(number: Option<i64>, out: &mut String) {
    let Some(number) = number else {
        return out.push_str(NONE);
    };
    if number < 0 {
        out.push('-');
    }
    digits(number.unsigned_abs(), out);
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
        assert_eq!(said(|out| number(Some(i64::MIN), out)), i64::MIN.to_string());
        assert_eq!(said(|out| digits(u64::MAX, out)), u64::MAX.to_string());
        assert_eq!(said(|out| number(None, out)), "-");
        assert_eq!(said(|out| hexadecimal(0x00f4_2401, out)), "0x00f42401");
        assert_eq!(said(|out| hexadecimal(-559_038_737, out)), "0xdeadbeef");
    }
}
