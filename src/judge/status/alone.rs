//! What an object that no ledger has shows of itself: is anybody left who could want it? Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Status, Subject};
use crate::object::FileRef;
use crate::snapshot::tables::Set;
use crate::snapshot::{Mapped, Seen, Sight, Snapshot};
use crate::sys::shm::MODE_DEST;

/// What an object that no ledger has shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// Its creator is dead, and nobody has it attached.
    CreatorDead(i32),
    /// Nobody uses it, and no process of its owner or creator lives.
    NoUser,
    /// It is attached so many times.
    Attached(u64),
    /// It is marked for destruction.
    Dest,
    /// A process maps it.
    Mapped(i32),
    /// A process has it open.
    Opened(i32),
    /// Somebody has it locked, or may.
    Locked,
    /// A process may map it, and may not be looked into.
    PerhapsMapped(i32),
    /// So many processes wait for it.
    Waited(u64),
    /// The process that used it last lives.
    LastUserLives(i32),
    /// Who used it last cannot be seen.
    LastUserUnseen,
    /// The process of its creator's pid lives.
    CreatorLives(i32),
    /// Its creator was in another PID namespace.
    CreatorUnseen,
    /// A process of its owner or creator lives, which may want it.
    UserLives(i32),
    /// Processes are hidden from the onlooker.
    Hidden,
    /// Processes of other PID namespaces, which the onlooker cannot see, may want it.
    Outside,
}

impl Alone {
    /// A word for scripts.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::CreatorDead(_) => "creator-dead",
            Self::NoUser => "no-user",
            Self::Attached(_) => "attached",
            Self::Dest => "dest",
            Self::Mapped(_) => "mapped",
            Self::Opened(_) => "open",
            Self::Locked => "locked",
            Self::PerhapsMapped(_) => "perhaps-mapped",
            Self::Waited(_) => "waited-for",
            Self::LastUserLives(_) => "last-user-lives",
            Self::LastUserUnseen => "last-user-unseen",
            Self::CreatorLives(_) => "creator-lives",
            Self::CreatorUnseen => "creator-unseen",
            Self::UserLives(_) => "user-lives",
            Self::Hidden => "processes-hidden",
            Self::Outside => "pids-elsewhere",
        }
    }

    fn verdict(self) -> Status {
        match self {
            Self::CreatorDead(_) | Self::NoUser => Status::Orphan,
            _ => Status::Unrecorded,
        }
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatorDead(pid) => {
                write!(f, "nobody has it attached, and its creator, process {pid}, is dead")
            }
            Self::NoUser => {
                f.write_str("nobody uses it, and no process of its owner or creator lives")
            }
            Self::Attached(1) => f.write_str("it is attached once (nattch 1)"),
            Self::Attached(n) => write!(f, "it is attached {n} times (nattch {n})"),
            Self::Dest => f.write_str("it goes on the last detach"),
            Self::Mapped(pid) => write!(f, "process {pid} has it mapped"),
            Self::Opened(pid) => write!(f, "process {pid} has it open"),
            Self::Locked => f.write_str("somebody has it locked (flock)"),
            Self::PerhapsMapped(pid) => {
                write!(f, "process {pid} may have it mapped, and may not be looked into")
            }
            Self::Waited(1) => f.write_str("a process waits for it"),
            Self::Waited(n) => write!(f, "{n} processes wait for it"),
            Self::LastUserLives(pid) => {
                write!(f, "process {pid}, which used it last, lives")
            }
            Self::LastUserUnseen => f.write_str("who used it last cannot be seen from here"),
            Self::CreatorLives(pid) => {
                write!(f, "its creator, process {pid}, lives")
            }
            Self::CreatorUnseen => {
                f.write_str("its creator was in another PID namespace and cannot be seen")
            }
            Self::UserLives(pid) => {
                write!(f, "process {pid} of its owner or creator lives, and may want it")
            }
            Self::Hidden => f.write_str("processes of other users are hidden from you (hidepid)"),
            Self::Outside => f.write_str(
                "processes outside this container (PID namespace) cannot be seen, \
                 and may want it",
            ),
        }
    }
}

/// Who lives and what is mapped, for quick questions.
pub(super) struct Living {
    /// A living process of each user.
    users: BTreeMap<u32, i32>,
    pids: BTreeSet<i32>,
    mapped: BTreeMap<FileRef, i32>,
    opened: BTreeMap<FileRef, i32>,
    locked: BTreeSet<FileRef>,
    /// Processes of which it is not known what they map, and whose they are, where that is known.
    closed: Vec<(i32, Option<[u32; 4]>)>,
    /// A process of which nothing is known but its pid: it may be anybody's.
    unread: Option<i32>,
    sight: Sight,
    onlooker: i32,
}

impl Living {
    pub(super) fn of(look: &Snapshot) -> Self {
        let mut living = Self {
            users: BTreeMap::new(),
            pids: BTreeSet::new(),
            mapped: BTreeMap::new(),
            opened: BTreeMap::new(),
            locked: BTreeSet::new(),
            closed: Vec::new(),
            unread: None,
            sight: look.sight,
            onlooker: look.pid,
        };
        let others = look.opened.by.iter().filter(|(_, pid)| *pid != look.pid);
        living.opened.extend(others.copied());
        living.locked.extend(&look.opened.locked);
        for process in look.processes.seen().filter(|process| !process.ended) {
            let pid = process.process.pid;
            living.pids.insert(pid);
            living.unread = living.unread.or(process.unread.then_some(pid));
            for uid in process.uids.into_iter().flatten() {
                living.users.entry(uid).or_insert(pid);
            }
            match &process.maps {
                Some(Seen::Here(list)) => {
                    for (mapped, _) in list {
                        if let Mapped::File(file) = mapped {
                            living.mapped.entry(*file).or_insert(pid);
                        }
                    }
                }
                Some(Seen::Gone) => {}
                Some(Seen::Denied) | None => living.closed.push((pid, process.uids)),
            }
        }
        // Of these the kernel says that they are there.
        living.pids.extend(&look.hidden);
        living
    }

    pub(super) fn verdict(&self, subject: Subject<'_>) -> (Status, Alone) {
        let alone = self.in_use(subject).unwrap_or_else(|| self.wanted(subject));
        let alone = match (subject, alone.verdict()) {
            // It may have detached for a while only, as `adopt` judges it.
            (Subject::Shm(row), Status::Orphan)
                if row.last_use() != 0
                    && self.pids.contains(&row.last_pid)
                    && row.last_pid != self.onlooker =>
            {
                Alone::LastUserLives(row.last_pid)
            }
            _ => alone,
        };
        (alone.verdict(), alone)
    }

    /// What shows that an object is in use, or may be.
    fn in_use(&self, subject: Subject<'_>) -> Option<Alone> {
        match subject {
            Subject::Shm(row) if row.mode & MODE_DEST != 0 => Some(Alone::Dest),
            Subject::Shm(row) => (row.nattch > 0).then_some(Alone::Attached(row.nattch)),
            Subject::Sem(set) => self.set_in_use(set),
            Subject::Msg(row) => {
                let last = [row.last_sender, row.last_receiver];
                let lives = last.into_iter().find(|pid| self.pids.contains(pid));
                let unseen = (row.stime != 0 && row.last_sender == 0)
                    || (row.rtime != 0 && row.last_receiver == 0);
                let unseen = unseen.then_some(Alone::LastUserUnseen);
                lives.map(Alone::LastUserLives).or(unseen)
            }
            Subject::Posix(file) => {
                let file = FileRef { dev: file.facts.dev, ino: file.facts.ino };
                let mapped = self.mapped.get(&file).map(|&pid| Alone::Mapped(pid));
                let opened = || self.opened.get(&file).map(|&pid| Alone::Opened(pid));
                let locked = || self.locked.contains(&file).then_some(Alone::Locked);
                mapped.or_else(opened).or_else(locked)
            }
        }
    }

    fn set_in_use(&self, set: &Set) -> Option<Alone> {
        let Some(members) = &set.members else {
            return Some(Alone::LastUserUnseen);
        };
        if members.waiters > 0 {
            return Some(Alone::Waited(members.waiters));
        }
        let mut operators = members.operators.iter();
        if let Some(&pid) = operators.clone().find(|pid| self.pids.contains(pid)) {
            return Some(Alone::LastUserLives(pid));
        }
        let nobody = operators.all(|&pid| pid == 0);
        (nobody && set.row.otime != 0).then_some(Alone::LastUserUnseen)
    }

    /// Whether somebody is left who could want an object that is not in use.
    fn wanted(&self, subject: Subject<'_>) -> Alone {
        let user = self.user_of(subject);
        let creator = match subject {
            Subject::Shm(row) => Some(row.creator_pid),
            Subject::Sem(_) | Subject::Msg(_) | Subject::Posix(_) => None,
        };
        match (creator, user) {
            (Some(0), _) => Alone::CreatorUnseen,
            (Some(pid), Some(_)) if self.pids.contains(&pid) => Alone::CreatorLives(pid),
            (None, Some(pid)) => Alone::UserLives(pid),
            (_, _) if self.sight == Sight::Part => Alone::Hidden,
            _ => match self.may_map(subject) {
                Some(pid) => Alone::PerhapsMapped(pid),
                None if self.sight == Sight::Namespace => Alone::Outside,
                None => match creator {
                    Some(pid) if user.is_some() || !self.pids.contains(&pid) => {
                        Alone::CreatorDead(pid)
                    }
                    _ => Alone::NoUser,
                },
            },
        }
    }

    /// A process that could have a file mapped and may not be looked into.
    fn may_map(&self, subject: Subject<'_>) -> Option<i32> {
        let Subject::Posix(file) = subject else { return None };
        let open_to_others = file.facts.mode & 0o066 != 0;
        let may = |uids: &Option<[u32; 4]>| {
            open_to_others || uids.is_none_or(|uids| uids.contains(&file.facts.uid))
        };
        self.closed.iter().find(|(_, uids)| may(uids)).map(|(pid, _)| *pid)
    }

    /// A living process of the owner or creator.
    fn user_of(&self, subject: Subject<'_>) -> Option<i32> {
        let owner = self.users.get(&subject.owner().0);
        let creator = subject.creator().and_then(|(uid, _)| self.users.get(&uid));
        owner.or(creator).copied().or(self.unread)
    }
}
