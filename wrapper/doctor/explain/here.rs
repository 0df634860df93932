//! The facts of this machine that bear on a message, as sentences. Pure: of a look that others
//! took.

use shmwarden::judge::status::holders::Holding;
use shmwarden::judge::status::{Judged, Kind, Status, Subject};
use shmwarden::proc::Seen;
use shmwarden::snapshot::Snapshot;

use super::Message;
use crate::doctor::crowd;
use crate::doctor::leaks::Asker;
use crate::finding::Names;
use crate::host::kernel::Limits;
use crate::host::limit::{Limit, NO_LIMIT, share};

/// Most holders that are named.
const NAMED: usize = 5;

/// This machine, as far as an answer needs it.
pub(crate) struct Scene<'a> {
    /// The tables.
    pub(crate) look: &'a Snapshot,
    /// The verdicts on the objects in them.
    pub(crate) judged: &'a [Judged<'a>],
    /// The limits.
    pub(crate) limits: &'a Limits,
    /// The limits with their use.
    pub(crate) table: &'a [Limit],
    /// The holders of an object.
    pub(crate) holding: &'a dyn Fn(&Judged<'_>) -> Holding,
    /// Names of users.
    pub(crate) names: Names<'a>,
    /// A size for people.
    pub(crate) size: &'a dyn Fn(u64) -> String,
    /// A foreign string, safe for a terminal.
    pub(crate) safe: &'a dyn Fn(&str) -> String,
    /// How full the file system of a path is, as a sentence; `None` where that was not to be had.
    pub(crate) disk: &'a dyn Fn(&str) -> Option<String>,
}

/// A key as `ipcs` shows it.
pub(crate) fn hex(key: i32) -> String {
    format!("0x{key:08x}")
}

impl Scene<'_> {
    /// The object that a message means, by id, else by key; a key that is 0 means none.
    pub(crate) fn object(&self, kind: Kind, message: &Message) -> Option<&Judged<'_>> {
        let of_kind = || self.judged.iter().filter(move |one| one.subject.kind() == kind);
        let key = message.key.filter(|key| *key != 0);
        match (message.id, key) {
            // An id alone is on every machine; one with another key is another object.
            (Some(id), Some(_)) => of_kind().find(|one| {
                let key_now = one.subject.key();
                let is_marked = match one.subject {
                    // `SHM_DEST`: marked as destroyed, its key reads 0.
                    Subject::Shm(row) => row.perm.mode & 0o1000 != 0 && key_now == Some(0),
                    _ => false,
                };
                one.subject.id() == Some(id) && (key_now == key || is_marked)
            }),
            (Some(id), None) => of_kind().find(|one| one.subject.id() == Some(id)),
            (None, key) => of_kind().find(|one| key.is_some() && one.subject.key() == key),
        }
    }

    /// Another object that bears the id of a message's: that is of another machine or container,
    /// or of an earlier boot.
    pub(crate) fn another(&self, kind: Kind, message: &Message) -> Option<String> {
        let id = message.id.filter(|_| self.object(kind, message).is_none())?;
        let one = self
            .judged
            .iter()
            .find(|one| one.subject.kind() == kind && one.subject.id() == Some(id))?;
        let owner = (self.names)(one.subject.owner().0);
        Some(format!(
            "{} {id} here is another one, of {owner}: its key is {}. The message is of another \
             machine, container or boot",
            kind.word(),
            hex(one.subject.key().unwrap_or(0))
        ))
    }

    /// Checks that a process works in a directory; a process whose directory is not known does not.
    pub(crate) fn works_in(&self, pid: i32, directory: &str) -> bool {
        let process = self.look.process(pid).here();
        process.is_some_and(|one| match &one.cwd {
            Seen::Here(cwd) => cwd.path == std::path::Path::new(directory.trim_end_matches('/')),
            Seen::Gone | Seen::Denied => false,
        })
    }

    /// Checks for a server of a segment that may live: it is claimed, its creator holds it, or one
    /// of its holders is the parent of another.
    pub(crate) fn server_may_live(&self, one: &Judged<'_>) -> bool {
        let pids: Vec<i32> =
            (self.holding)(one).holders.iter().map(|held| held.holder.process.pid).collect();
        let creator = match one.subject {
            Subject::Shm(row) => pids.contains(&row.creator_pid),
            _ => false,
        };
        let parent = |pid: &i32| self.look.process(*pid).here().map(|process| process.parent);
        let is_parent = pids.iter().filter_map(parent).any(|parent| pids.contains(&parent));
        one.verdict == Status::Live || creator || is_parent
    }

    /// A file in `/dev/shm`.
    pub(crate) fn file(&self, name: &str) -> Option<&Judged<'_>> {
        self.judged.iter().find(|one| match one.subject {
            Subject::Posix(file) => file.name.0 == name.as_bytes(),
            _ => false,
        })
    }

    /// Describes an object: what it is, whose, and who holds it.
    pub(crate) fn describe(&self, one: &Judged<'_>) -> Vec<String> {
        let subject = one.subject;
        let owner = (self.names)(subject.owner().0);
        let size = subject.bytes().map(|bytes| format!("{}, ", (self.size)(bytes)));
        let size = size.unwrap_or_default();
        let what = match subject {
            Subject::Shm(row) => format!(
                "segment {} (key {}) is there: {size}of {owner}, nattch {}",
                row.id,
                hex(row.perm.key),
                row.nattch
            ),
            Subject::Sem(set) => format!(
                "semaphore set {} (key {}) is there: {} semaphores, of {owner}",
                set.row.id,
                hex(set.row.perm.key),
                set.row.members
            ),
            Subject::Msg(row) => {
                format!("queue {} (key {}) is there: of {owner}", row.id, hex(row.perm.key))
            }
            Subject::Posix(file) => {
                format!("/dev/shm/{} is there: {size}of {owner}", (self.safe)(&file.name.lossy()))
            }
        };
        let mut lines = vec![format!("{what}; {}: {}", one.verdict.word(), one.sentence())];
        let holding = (self.holding)(one);
        for held in holding.holders.iter().take(NAMED) {
            let holder = &held.holder;
            let user = holder.uid.map_or_else(|| "an unknown user".to_owned(), self.names);
            let orphan = if holder.orphan { ", which outlived its server" } else { "" };
            lines.push(format!(
                "process {} of {user}{orphan} holds it: {}",
                holder.process.pid,
                (self.safe)(&holder.command)
            ));
        }
        if holding.holders.len() > NAMED {
            lines.push(format!("and {} more processes", holding.holders.len() - NAMED));
        }
        let unexplained = holding.unexplained.filter(|count| *count > 0);
        if let Some(count) = unexplained {
            lines.push(format!(
                "{count} attachments are of processes that cannot be seen from here (another PID \
                 namespace, or not root)"
            ));
        }
        lines
    }

    /// Says how much memory there is.
    pub(crate) fn memory(&self) -> Option<String> {
        let (total, available) = self.limits.memory?;
        Some(format!("{} of {} memory can be had now", (self.size)(available), (self.size)(total)))
    }

    /// Says how many huge pages there are.
    pub(crate) fn huge_pages(&self) -> Option<String> {
        let huge = self.limits.huge?;
        let free = huge.free.saturating_sub(huge.reserved);
        let each = (self.size)(huge.page_bytes);
        Some(format!("{free} of {} huge pages are free, each of {each}", huge.total))
    }

    /// The limit of this name.
    pub(crate) fn limit(&self, name: &str) -> Option<&Limit> {
        self.table.iter().find(|limit| limit.name == name)
    }

    /// Checks that so much more does not fit under a limit, with a sentence that says so or not;
    /// `None` where that is not known.
    pub(crate) fn room(&self, name: &str, more: u64) -> Option<(bool, String)> {
        let limit = self.limit(name)?;
        let (used, most) = (limit.used?, limit.limit?);
        let full = used.saturating_add(more) > most;
        let percent = share(used, most);
        let unit = limit.unit;
        let text = if full && used >= most {
            format!("{name} is reached: {used} of {most} {unit} are taken")
        } else if full {
            format!(
                "{name} does not allow it: {used} of {most} {unit} are taken, {more} more asked for"
            )
        } else if most >= NO_LIMIT {
            format!("{name} is not reached: it is practically without limit")
        } else {
            format!("{name} is not reached now: {used} of {most} {unit} are taken ({percent} %)")
        };
        Some((full, text))
    }

    /// Returns who takes most of a limit, and what frees it or makes room for so much more.
    pub(crate) fn crowd(&self, name: &str, more: u64) -> Option<(Option<String>, String)> {
        let page = self.limits.page_bytes;
        let limit = self.limit(name)?;
        Some(crowd::who_and_fix(
            limit,
            self.judged,
            page,
            self.limits.sem,
            self.names,
            Asker::of(self.look),
            more,
        ))
    }
}
