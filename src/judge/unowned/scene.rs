//! What one object shows of its use, and who lives that could want it: quick answers to many
//! questions about one look. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::Against;
use super::lists::Lists;
use crate::attribute::sets::LastUsers;
use crate::object::FileRef;
use crate::snapshot::callers::Caller;
use crate::snapshot::subject::Subject;
use crate::snapshot::tables::{ListedFile, Set};
use crate::snapshot::uses::WaitsFor;
use crate::snapshot::{LastUser, Mapped, Process, Seen, Sight, Snapshot};
use crate::sys::msg;
use crate::sys::shm::{MODE_DEST, Row};

/// A look, ready for questions.
#[derive(Debug)]
pub struct Scene<'a> {
    pub(super) look: &'a Snapshot,
    pub(super) lists: Lists<'a>,
    /// A living process of each user, exempt ones left out.
    users: BTreeMap<u32, i32>,
    /// Who lives and could use an object by its mode, exempt ones left out.
    callers: Vec<&'a Caller>,
    /// A living process of an unknown user.
    of_unknown: Option<i32>,
    pids: BTreeSet<i32>,
    mapped: BTreeMap<FileRef, i32>,
    /// A process that is blocked on each set or queue.
    blocked: BTreeMap<WaitsFor, i32>,
    /// Processes of which it is not known what they map.
    closed: Vec<&'a Process>,
    /// Users with a creator in a PID namespace that cannot be seen from here.
    elsewhere: BTreeSet<u32>,
    pub(super) segments: BTreeMap<i32, &'a Row>,
}

impl<'a> Scene<'a> {
    /// Of a look as `snapshot::lists::look` takes it; `exempt` are pids of the caller itself.
    #[must_use]
    pub fn of(look: &'a Snapshot, exempt: &[i32]) -> Self {
        let blocked = look.waits.iter().flat_map(|waits| &waits.blocked);
        let mut scene = Self {
            look,
            lists: Lists::default(),
            users: BTreeMap::new(),
            callers: Vec::new(),
            of_unknown: None,
            pids: BTreeSet::new(),
            mapped: BTreeMap::new(),
            blocked: blocked.map(|found| (found.what, found.pid)).collect(),
            closed: Vec::new(),
            elsewhere: BTreeSet::new(),
            segments: look.segments.seen().map(|row| (row.id, row)).collect(),
        };
        for process in look.processes.seen().filter(|process| !process.ended) {
            scene.take_in(process, exempt);
        }
        for row in look.segments.seen().filter(|row| row.creator_pid == 0) {
            scene.elsewhere.extend([row.uid, row.creator_uid]);
        }
        let callers = look.callers.seen();
        scene.callers = callers.filter(|caller| !exempt.contains(&caller.pid)).collect();
        scene.lists = Lists::of(&scene);
        scene
    }

    fn take_in(&mut self, process: &'a Process, exempt: &[i32]) {
        let pid = process.process.pid;
        self.pids.insert(pid);
        if !exempt.contains(&pid) {
            for uid in process.uids.into_iter().flatten() {
                self.users.entry(uid).or_insert(pid);
            }
            if process.uids.is_none() {
                self.of_unknown = self.of_unknown.or(Some(pid));
            }
        }
        match &process.maps {
            Some(Seen::Here(list)) => {
                for (mapped, _) in list {
                    if let Mapped::File(file) = mapped {
                        self.mapped.entry(*file).or_insert(pid);
                    }
                }
            }
            Some(Seen::Gone) => {}
            Some(Seen::Denied) | None => self.closed.push(process),
        }
    }

    /// What shows that an object is in use, or may be.
    #[must_use]
    pub fn in_use(&self, subject: Subject<'_>) -> Option<Against> {
        match subject {
            Subject::Shm(row) if row.mode & MODE_DEST != 0 => Some(Against::Dest),
            Subject::Shm(row) if row.nattch > 0 => Some(Against::Attached(row.nattch)),
            Subject::Shm(row) => {
                let lives = |pid: i32| pid != 0 && self.lives(pid);
                if lives(row.creator_pid) {
                    return Some(Against::CreatorLives(row.creator_pid));
                }
                self.last_user(row)
            }
            Subject::Sem(set) => self.set_in_use(set),
            Subject::Msg(row) => self.queue_in_use(row),
            Subject::Posix(file) => self.file_in_use(file),
        }
    }

    /// Whether a process of a pid lives, be it one that `/proc` hides.
    fn lives(&self, pid: i32) -> bool {
        self.pids.contains(&pid) || self.look.hidden.contains(&pid)
    }

    /// Checks for the last user of a segment, which may have detached for a while only. Whether a
    /// clock was set before there was a ledger is not known: any process of its pid counts.
    fn last_user(&self, row: &Row) -> Option<Against> {
        // The onlooker attached it to read it.
        if row.last_pid == self.look.pid {
            return None;
        }
        match self.look.last_user(row.last_pid, row.last_use(), None) {
            LastUser::Lives(process) => Some(Against::LastUserLives(process.process.pid)),
            // Where the creator's pid reads 0 as well, it is all of another time or place.
            LastUser::Unseen
                if row.last_pid == 0 && row.creator_pid == 0 && self.tells_by_nattch(row) =>
            {
                None
            }
            LastUser::Unseen => Some(Against::LastUserUnseen),
            LastUser::Gone => None,
        }
    }

    /// Whether nattch tells all of a segment's use: its server's processes keep it attached, by its
    /// header or a list. One that was not read yet is to be read first.
    fn tells_by_nattch(&self, row: &Row) -> bool {
        let subject = Subject::Shm(row);
        self.look.sight.is_everybody()
            || !self.look.headers.contains_key(&row.id)
            || self.lists.main(subject).is_some()
            || self.lists.is_list(subject).is_some()
            || self.lists.naming(subject).is_some()
    }

    fn set_in_use(&self, set: &Set) -> Option<Against> {
        let (members, last) = (&set.members, LastUsers::of_set(set, self.look.sight));
        let (Some(members), Some(last)) = (members, last) else {
            return Some(Against::LastUserUnseen);
        };
        let waits = (members.waiters > 0).then_some(Against::Waited(members.waiters));
        waits.or_else(|| self.blocked(WaitsFor::Set(set.row.id))).or_else(|| self.used_by(&last))
    }

    fn queue_in_use(&self, row: &msg::Row) -> Option<Against> {
        let may = |pid: i32| {
            let uids = self.look.process(pid).here().and_then(|process| process.uids);
            let its = |uids: [u32; 4]| uids.contains(&row.uid) || uids.contains(&row.creator_uid);
            row.mode & 0o066 != 0 || uids.is_none_or(its)
        };
        let unasked = || {
            let unasked = self.look.waits.iter().flat_map(|waits| &waits.unasked);
            unasked.copied().find(|pid| may(*pid)).map(Against::PerhapsBlocked)
        };
        let unread = || self.look.waits.is_none().then_some(Against::LastUserUnseen);
        let hidden = || (!self.look.sight.is_everybody()).then_some(Against::UseUnseen);
        // Who waits for a first message has left no mark in the queue itself.
        self.blocked(WaitsFor::Queue(row.id))
            .or_else(|| self.used_by(&LastUsers::of_queue(row)))
            .or_else(unread)
            .or_else(unasked)
            .or_else(hidden)
    }

    fn blocked(&self, what: WaitsFor) -> Option<Against> {
        self.blocked.get(&what).copied().map(Against::Blocked)
    }

    /// Whether one of those who used it last lives, or may.
    fn used_by(&self, last: &LastUsers) -> Option<Against> {
        if let Some(pid) = last.pids.iter().find(|pid| self.pids.contains(pid)) {
            return Some(Against::LastUserLives(*pid));
        }
        let hidden = last.pids.iter().any(|pid| self.look.hidden.contains(pid));
        (last.perhaps_unseen || hidden).then_some(Against::LastUserUnseen)
    }

    /// Whether somebody maps a file, or may: whoever cannot be looked into and could open it.
    fn file_in_use(&self, file: &ListedFile) -> Option<Against> {
        let place = FileRef { dev: file.facts.dev, ino: file.facts.ino };
        if let Some(pid) = self.mapped.get(&place) {
            return Some(Against::Mapped(*pid));
        }
        let opened = &self.look.opened;
        let by = opened.by.iter().find(|(file, pid)| *file == place && *pid != self.look.pid);
        if let Some((_, pid)) = by {
            return Some(Against::Opened(*pid));
        }
        if opened.locked.contains(&place) {
            return Some(Against::Locked);
        }
        let open_to_others = file.facts.mode & 0o066 != 0;
        let may = |process: &Process| {
            let uids = process.uids;
            open_to_others || uids.is_none_or(|uids| uids.contains(&file.facts.uid))
        };
        let unasked: Vec<&Process> = match opened.asked.contains(&place) {
            true => opened.closed.iter().filter_map(|pid| self.look.process(*pid).here()).collect(),
            false => self.look.processes.seen().filter(|process| !process.ended).collect(),
        };
        let closed = self.closed.iter().copied().chain(unasked).find(|process| may(process));
        let closed = closed.map(|process| Against::PerhapsMapped(process.process.pid));
        let unseen = || (!self.look.sight.is_everybody()).then_some(Against::UseUnseen);
        closed.or_else(unseen)
    }

    /// What shows that somebody could want an object; each of it is waived by its name.
    #[must_use]
    pub fn wanted(&self, subject: Subject<'_>) -> Option<Against> {
        let uids = uids(subject);
        let lives = uids.iter().find_map(|uid| Some((*uid, *self.users.get(uid)?)));
        if let Some((uid, pid)) = lives {
            return Some(Against::UserLives { pid, uid });
        }
        if let Some(caller) = self.callers.iter().find(|caller| caller.is_let_in(subject)) {
            return Some(let_in(caller));
        }
        if let Some(pid) = self.of_unknown {
            return Some(Against::UserUnread(pid));
        }
        if self.look.sight == Sight::Part {
            return Some(Against::Hidden);
        }
        let elsewhere = uids.into_iter().find(|uid| self.elsewhere.contains(uid));
        elsewhere
            .map(Against::CreatorUnseen)
            .or_else(|| (!self.look.sight.is_everybody()).then_some(Against::PidsElsewhere))
    }

    /// Whether an object is younger than this, or of a time that lies ahead.
    pub(super) fn is_young(&self, subject: Subject<'_>, least: Duration) -> bool {
        let seconds = u64::try_from(last_change(subject)).unwrap_or(0);
        let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let age = then.and_then(|then| self.look.now.duration_since(then).ok());
        age.is_none_or(|age| age < least)
    }

    /// Whether the kernel would let the caller remove an object (`ipc/util.c ipcctl_obtain_check`;
    /// `/dev/shm` is sticky).
    pub(super) fn may_remove(&self, subject: Subject<'_>) -> bool {
        self.look.uid == 0 || uids(subject).contains(&self.look.uid)
    }
}

/// What a process is that an object's mode lets in.
pub(crate) fn let_in(caller: &Caller) -> Against {
    let pid = caller.pid;
    let uid = caller.uids.and_then(|uids| uids.into_iter().find(|&uid| uid != 0));
    uid.map_or(Against::UserUnread(pid), |uid| Against::UserLives { pid, uid })
}

/// Owner and creator.
pub(super) fn uids(subject: Subject<'_>) -> Vec<u32> {
    let owner = subject.owner().0;
    let creator = subject.creator().map(|(uid, _)| uid).filter(|uid| *uid != owner);
    [Some(owner), creator].into_iter().flatten().collect()
}

/// The last moment of which an object says that something was done to it, seconds since the epoch.
fn last_change(subject: Subject<'_>) -> i64 {
    match subject {
        Subject::Shm(row) => row.ctime,
        Subject::Sem(set) => set.row.ctime.max(set.row.otime),
        Subject::Msg(row) => row.ctime.max(row.stime).max(row.rtime),
        Subject::Posix(file) => file.facts.ctime.0.max(file.facts.born.map_or(0, |born| born.0)),
    }
}
