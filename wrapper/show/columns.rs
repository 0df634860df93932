//! The columns of `list`: their names, and what stands in each. `cells` writes them.

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Column::ALL.iter().map(|one| one.option()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Column::ALL.len());
        assert!(Column::ALL.starts_with(&Column::USUAL));
    }
}
