//! The columns of `list`: what stands in each, and how it sorts.

use shmwarden::verdict::{Judged, Subject};

use super::shown::{self, Shown};
use super::text;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Kind,
    Id,
    Key,
    Owner,
    Bytes,
    Nattch,
    Status,
    Creator,
    Age,
    Instance,
    Verdict,
    Resident,
    Perms,
    CreatorUser,
    Nsems,
    Messages,
    Waiters,
    Operator,
    Changed,
    Ledger,
    Code,
    Reason,
    Holders,
}

/// What stands in a cell, and by what it sorts: by number first, then as text.
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) order: u64,
}

impl Column {
    /// Every column.
    pub(crate) const ALL: [Self; 23] = [
        Self::Kind,
        Self::Id,
        Self::Key,
        Self::Owner,
        Self::Bytes,
        Self::Nattch,
        Self::Status,
        Self::Creator,
        Self::Age,
        Self::Instance,
        Self::Verdict,
        Self::Resident,
        Self::Perms,
        Self::CreatorUser,
        Self::Nsems,
        Self::Messages,
        Self::Waiters,
        Self::Operator,
        Self::Changed,
        Self::Ledger,
        Self::Code,
        Self::Reason,
        Self::Holders,
    ];

    /// Those that are shown where none is named.
    pub(crate) const USUAL: [Self; 11] = [
        Self::Kind,
        Self::Id,
        Self::Key,
        Self::Owner,
        Self::Bytes,
        Self::Nattch,
        Self::Status,
        Self::Creator,
        Self::Age,
        Self::Instance,
        Self::Verdict,
    ];

    /// Its name on the command line.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Id => "id",
            Self::Key => "key",
            Self::Owner => "owner",
            Self::Bytes => "bytes",
            Self::Nattch => "nattch",
            Self::Status => "status",
            Self::Creator => "creator",
            Self::Age => "age",
            Self::Instance => "instance",
            Self::Verdict => "verdict",
            Self::Resident => "resident",
            Self::Perms => "perms",
            Self::CreatorUser => "cuser",
            Self::Nsems => "nsems",
            Self::Messages => "messages",
            Self::Waiters => "waiters",
            Self::Operator => "operator",
            Self::Changed => "changed",
            Self::Ledger => "ledger",
            Self::Code => "code",
            Self::Reason => "reason",
            Self::Holders => "holders",
        }
    }

    /// Whether it is pushed to the right.
    pub(crate) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Bytes
                | Self::Nattch
                | Self::Age
                | Self::Resident
                | Self::Nsems
                | Self::Messages
                | Self::Waiters
                | Self::Operator
        )
    }

    /// Whether it may be made narrower to fit a terminal.
    pub(crate) fn may_shrink(self) -> bool {
        matches!(
            self,
            Self::Id
                | Self::Owner
                | Self::Creator
                | Self::Instance
                | Self::CreatorUser
                | Self::Ledger
                | Self::Reason
                | Self::Holders
        )
    }

    /// The cell of an object.
    pub(crate) fn cell(self, one: &Judged<'_>, shown: &Shown<'_>, in_bytes: bool) -> Cell {
        let subject = one.subject;
        let sized = |bytes: Option<u64>| match bytes {
            Some(bytes) if in_bytes => Cell::new(bytes.to_string(), bytes),
            Some(bytes) => Cell::new(text::size(bytes).replace(' ', ""), bytes),
            None => Cell::none(),
        };
        match self {
            Self::Kind => Cell::new(subject.kind().word(), subject.kind() as u64),
            Self::Id => id(subject),
            Self::Key => Cell::text(subject.key().map(|key| format!("0x{key:08x}"))),
            Self::Owner => Cell::text(Some(shown.user_or_number(subject.owner().0))),
            Self::Bytes => sized(subject.bytes()),
            Self::Resident => sized(shown.resident(subject)),
            Self::Nattch => Cell::count(match subject {
                Subject::Shm(row) => Some(row.nattch),
                _ => None,
            }),
            Self::Status => {
                Cell::text(Some(shown::status(subject).join(",")).filter(|s| !s.is_empty()))
            }
            Self::Creator => creator(subject, shown),
            Self::Age => match shown.age(subject) {
                Some(age) => Cell::new(short(age.as_secs()), age.as_secs()),
                None => Cell::none(),
            },
            Self::Instance => Cell::text(shown.instance(one.account).map(text::safe)),
            Self::Verdict => Cell::new(one.verdict.word(), one.verdict as u64),
            Self::Perms => Cell::text(Some(format!("{:04o}", subject.permissions()))),
            Self::CreatorUser => {
                let creator = subject.creator().map(|(uid, _)| shown.user_or_number(uid));
                Cell::text(creator)
            }
            Self::Nsems => Cell::count(match subject {
                Subject::Sem(set) => Some(set.row.members),
                _ => None,
            }),
            Self::Messages => Cell::count(match subject {
                Subject::Msg(row) => Some(row.messages),
                _ => None,
            }),
            Self::Waiters => Cell::count(shown::waiters_and_operator(shown, subject).0),
            Self::Operator => {
                let pid = shown::waiters_and_operator(shown, subject).1;
                Cell::count(pid.and_then(|pid| u64::try_from(pid).ok()))
            }
            Self::Changed => {
                let time = shown::changed(subject);
                Cell::text(time.map(|time| humantime::format_rfc3339_seconds(time).to_string()))
            }
            Self::Ledger => {
                let source = shown.view.source(one.account);
                Cell::text(source.map(|source| text::safe(&source.path.to_string_lossy())))
            }
            Self::Code => Cell::text(Some(one.why.code().to_owned())),
            Self::Reason => Cell::text(Some(text::safe(&one.why.to_string()))),
            Self::Holders => holders(one, shown),
        }
    }
}

impl Cell {
    fn new(text: impl Into<String>, order: u64) -> Self {
        let text = text.into();
        Self { text, order }
    }

    fn text(text: Option<String>) -> Self {
        text.map_or_else(Self::none, |text| Self::new(text, 1))
    }

    fn count(number: Option<u64>) -> Self {
        number.map_or_else(Self::none, |number| Self::new(number.to_string(), number))
    }

    fn none() -> Self {
        Self::new("-", 0)
    }
}

/// The id, or the name of a file.
fn id(subject: Subject<'_>) -> Cell {
    match (subject, subject.id()) {
        (Subject::Posix(file), _) => {
            Cell::new(format!("/{}", text::escaped(&file.name.lossy())), 0)
        }
        (_, Some(id)) => Cell::new(id.to_string(), u64::try_from(id).unwrap_or(0)),
        (_, None) => Cell::none(),
    }
}

fn creator(subject: Subject<'_>, shown: &Shown<'_>) -> Cell {
    let Some(creator) = shown.creator(subject) else {
        return Cell::none();
    };
    let pid = u64::try_from(creator.pid).unwrap_or(0);
    let name = creator.command.and_then(|_| shown.name_of(creator.pid));
    let name = name.map_or_else(|| "dead".to_owned(), |name| text::safe(&name));
    Cell::new(format!("{} {name}", creator.pid), pid)
}

/// Pids with names: what there is to know of each is `who`'s.
fn holders(one: &Judged<'_>, shown: &Shown<'_>) -> Cell {
    let Some(holding) = shown.holding(one) else {
        return Cell::none();
    };
    let name = |pid: i32| text::safe(&shown.name_of(pid).unwrap_or_default());
    let pids = holding.holders.iter().map(|held| held.holder.process.pid);
    let mut words: Vec<String> = pids.map(|pid| format!("{pid} {}", name(pid))).collect();
    if let Some(unexplained) = holding.unexplained.filter(|count| *count > 0) {
        words.push(format!("{unexplained} not found"));
    }
    let count = words.len() as u64;
    let text = Some(words.join(", ")).filter(|text| !text.is_empty());
    Cell::new(text.unwrap_or_else(|| "-".to_owned()), count)
}

/// A time span in its largest unit.
fn short(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (99, "99s"),
            (100, "1m"),
            (6000, "1h"),
            (172_800, "2d"),
            (u64::MAX, "213503982334601d"),
        ] {
            assert_eq!(short(seconds), text);
        }
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Column::ALL.iter().map(|one| one.option()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Column::ALL.len());
        assert!(Column::ALL.starts_with(&Column::USUAL));
    }
}
