//! The proof that nobody wants an object that no server's ledger has. Stricter than what a recorded
//! object has to show, for nothing says whose it is. Pure; doubt keeps.
//!
//! A segment that nobody has attached and whose creator is dead proves nothing: a living
//! PostgreSQL's own statistics look so. So no process of its owner or creator may live, and
//! whatever the list of a living server may name stays, whoever asks.

mod plan;
mod server_lists;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

pub use plan::{Plan, Proposal, Wish, plan};

use super::Reason;
use super::access::{Access, Who};
use super::instance::not_removable_by;
use super::usage::{Context, Users};
use crate::engine::{self, postgres};
use crate::ledger::record::How;
use crate::snapshot::callers::Caller;
use crate::snapshot::subject::Subject;
use crate::snapshot::{Process, Seen, Sight, Snapshot};
use crate::sys::shm::Row;
use server_lists::Lists;

/// A look, ready for questions about objects of no ledger.
#[derive(Debug)]
pub struct Scene<'a> {
    look: &'a Snapshot,
    users: Users<'a>,
    lists: Lists<'a>,
    /// A living process of each user, exempt ones left out.
    living: BTreeMap<u32, i32>,
    /// The living processes that could use an object by its mode, exempt ones left out.
    callers: Vec<&'a Caller>,
    /// A living process of an unknown user.
    of_unknown: Option<i32>,
    /// Users with a creator in a PID namespace that cannot be seen from here.
    elsewhere: BTreeSet<u32>,
    has_maps: bool,
    /// The user who is to remove the objects; none where that is not asked.
    remover: Option<u32>,
}

impl<'a> Scene<'a> {
    /// Sorts a look as `snapshot::server_lists::look` takes it; `exempt` are pids of the caller
    /// itself.
    #[must_use]
    pub fn of(look: &'a Snapshot, exempt: &[i32]) -> Self {
        Self { remover: Some(look.uid), ..Self::of_everybody(look, exempt) }
    }

    /// Sorts it for a caller that removes with the rights of another user, where one is given.
    #[must_use]
    pub(crate) fn acting_for(look: &'a Snapshot, exempt: &[i32], owner: Option<u32>) -> Self {
        let remover = Some(owner.unwrap_or(look.uid));
        Self { remover, ..Self::of_everybody(look, exempt) }
    }

    /// Checks whether a server's list or header was read, by which objects belong together: then
    /// each is judged by a plan, and not alone.
    pub(super) fn has_groups(&self) -> bool {
        !self.lists.is_empty() || !self.look.headers.is_empty()
    }

    /// Returns what speaks against taking one object by a filter, where nothing belongs together.
    pub(super) fn against_alone(&self, subject: Subject<'_>) -> Option<Reason> {
        let unborn = match subject {
            Subject::Posix(file) => file.identity.birth.only_changed().is_some(),
            Subject::Shm(_) | Subject::Sem(_) | Subject::Msg(_) => false,
        };
        let against = self.against(subject, How::Adopted, Some(Duration::ZERO));
        against.or_else(|| unborn.then_some(Reason::NoIdentity))
    }

    /// Returns the look that was sorted.
    #[must_use]
    pub fn look(&self) -> &'a Snapshot {
        self.look
    }

    /// Returns who uses what in it.
    #[must_use]
    pub fn users(&self) -> &Users<'a> {
        &self.users
    }

    /// Checks that it was looked at who has an object mapped or open.
    pub(super) fn has_descriptors(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Posix(file) => {
                self.has_maps && self.look.opened.asked.contains(&file.identity.file)
            }
            Subject::Shm(_) | Subject::Sem(_) | Subject::Msg(_) => true,
        }
    }

    /// Sorts the same for who only looks: whether the caller may remove an object is not asked.
    #[must_use]
    pub(crate) fn of_everybody(look: &'a Snapshot, exempt: &[i32]) -> Self {
        let callers = look.callers.seen();
        let mut scene = Self {
            look,
            users: Users::of(look),
            lists: Lists::default(),
            living: BTreeMap::new(),
            callers: callers.filter(|caller| !exempt.contains(&caller.pid)).collect(),
            of_unknown: None,
            elsewhere: BTreeSet::new(),
            has_maps: look.has_maps(),
            remover: None,
        };
        let living = look.processes.seen().filter(|process| !process.ended);
        for process in living.filter(|process| !exempt.contains(&process.process.pid)) {
            let pid = process.process.pid;
            for uid in process.uids.into_iter().flatten() {
                scene.living.entry(uid).or_insert(pid);
            }
            if process.uids.is_none() {
                scene.of_unknown = scene.of_unknown.or(Some(pid));
            }
        }
        for row in look.segments.seen().filter(|row| row.creator_pid == 0) {
            scene.elsewhere.extend([row.perm.uid, row.perm.creator_uid]);
        }
        scene.lists = Lists::of(&scene);
        scene
    }

    /// Returns what shows that an object is in use, or may be.
    #[must_use]
    pub fn in_use(&self, subject: Subject<'_>) -> Option<Reason> {
        let by_nattch = match subject {
            Subject::Shm(row) => self.tells_by_nattch(row),
            Subject::Sem(_) | Subject::Msg(_) | Subject::Posix(_) => false,
        };
        let context = Context::Unowned { by_nattch };
        let uses = self.users.uses(subject, context);
        uses.first().map(|one| one.reason(self.look, context))
    }

    /// Checks whether nattch tells all of a segment's use: its server's processes keep it attached,
    /// by its header or a list. One that was not read yet is to be read first.
    fn tells_by_nattch(&self, row: &Row) -> bool {
        let subject = Subject::Shm(row);
        self.look.sight.is_everybody()
            || !self.look.headers.contains_key(&row.id)
            || self.lists.main(subject).is_some()
            || self.lists.is_list(subject).is_some()
            || self.lists.naming(subject).is_some()
    }

    /// Checks whether what is written in a segment may be looked at though a process of its users
    /// lives: nobody has it attached, its creator is dead, and no server runs that could come upon
    /// it while it is attached for that.
    fn may_look_into(&self, subject: Subject<'_>) -> bool {
        let Subject::Shm(row) = subject else { return false };
        let access = Access::of(subject);
        let server = |process: &Process| {
            let is_server = match &process.executable {
                Seen::Here(path) => engine::recognise(path).has_interlock,
                Seen::Gone => false,
                Seen::Denied => true,
            };
            is_server && !process.ended && access.lets_in(Who::process(process))
        };
        // Servers make theirs for their own user alone; what others can write into proves nothing.
        row.perm.key != 0
            && subject.permissions() & 0o077 == 0
            && self.in_use(subject).is_none()
            && self.look.sight.is_everybody()
            && !self.look.processes.seen().any(server)
    }

    /// Checks whether the header of an unattached segment proves that its server is dead: it is a
    /// main segment, which each process of its server has attached for life, and was made by the
    /// process that it names.
    fn is_proven_dead(&self, subject: Subject<'_>) -> bool {
        let Subject::Shm(row) = subject else { return false };
        let Some(start) = self.look.headers.get(&row.id) else { return false };
        let mut headers = engine::interlocks_in(start);
        headers.any(|header| header.pid == row.creator_pid) && self.may_look_into(subject)
    }

    /// Returns what shows that somebody could want an object; each of it is waived by its name.
    #[must_use]
    pub fn wanted(&self, subject: Subject<'_>) -> Option<Reason> {
        let uids = uids(subject);
        let lives = uids.iter().find_map(|uid| Some((*uid, *self.living.get(uid)?)));
        if let Some((uid, pid)) = lives {
            return Some(Reason::UserLives(pid, uid));
        }
        let access = Access::of(subject);
        let by_mode = |caller: &&&Caller| access.lets_in_by_mode(Who::caller(caller));
        if let Some(caller) = self.callers.iter().find(by_mode) {
            return Some(let_in(caller));
        }
        if !self.look.callers.is_whole() && access.lets_in_by_mode(Who::unknown()) {
            return Some(Reason::PidsElsewhere);
        }
        if let Some(pid) = self.of_unknown {
            return Some(Reason::UserUnread(pid));
        }
        if self.look.sight == Sight::Part {
            return Some(Reason::Hidden);
        }
        // Of segments that were not read nobody knows who made them.
        let unread = !self.look.segments.is_whole();
        let elsewhere = uids.into_iter().find(|uid| unread || self.elsewhere.contains(uid));
        elsewhere
            .map(Reason::CreatorUnseen)
            .or_else(|| (!self.look.sight.is_everybody()).then_some(Reason::PidsElsewhere))
    }

    /// Returns what speaks against taking one object, whatever else is taken.
    fn against(&self, subject: Subject<'_>, how: How, min_age: Option<Duration>) -> Option<Reason> {
        let not_yours = || {
            let why = not_removable_by(subject, self.remover?)?;
            let is_caller = self.remover == Some(self.look.uid);
            Some(if is_caller { Reason::NotYours(subject.owner().0) } else { why })
        };
        let listed = || {
            let list = self.lists.naming(subject).filter(|list| list.living);
            list.map(|list| Reason::Listed(list.identity.to_string()))
        };
        let unread = || {
            if !self.look.segments.is_whole() {
                return Some(Reason::ListUnread("a segment".to_owned()));
            }
            // A main segment is on no list.
            let on_none = self.lists.main(subject).is_some();
            let unread = self.lists.unread_of(&uids(subject)).filter(|_| !on_none)?;
            let own = subject.identity() == *unread;
            Some(if own { Reason::Unreadable } else { Reason::ListUnread(unread.to_string()) })
        };
        let young = || {
            let least = min_age.filter(|least| self.is_young(subject, *least))?;
            Some(Reason::Young(least))
        };
        let any_file = || match subject {
            Subject::Posix(file) => {
                (!postgres::is_posix_name(&file.name.0)).then_some(Reason::AnyFile)
            }
            Subject::Shm(_) | Subject::Sem(_) | Subject::Msg(_) => None,
        };
        let wanted = || {
            let against = self.wanted(subject).or_else(any_file);
            against.filter(|_| how != How::Named)
        };
        not_yours()
            .or_else(|| self.in_use(subject))
            .or_else(listed)
            .or_else(unread)
            .or_else(young)
            .or_else(wanted)
    }

    /// Checks whether an object is younger than this, or of a time that lies ahead.
    fn is_young(&self, subject: Subject<'_>, least: Duration) -> bool {
        let seconds = u64::try_from(last_change(subject)).unwrap_or(0);
        let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let age = then.and_then(|then| self.look.now.duration_since(then).ok());
        age.is_none_or(|age| age < least)
    }
}

/// Returns what a process that an object's mode lets in speaks against.
pub(super) fn let_in(caller: &Caller) -> Reason {
    let pid = caller.pid;
    let uid = caller.uids.and_then(|uids| uids.into_iter().find(|&uid| uid != 0));
    uid.map_or(Reason::UserUnread(pid), |uid| Reason::UserLives(pid, uid))
}

/// Returns owner and creator.
fn uids(subject: Subject<'_>) -> [u32; 2] {
    let owner = subject.owner().0;
    [owner, subject.creator().map_or(owner, |(uid, _)| uid)]
}

/// The last moment of which an object says that something was done to it, seconds since the epoch.
pub(super) fn last_change(subject: Subject<'_>) -> i64 {
    match subject {
        Subject::Shm(row) => row.ctime,
        Subject::Sem(set) => set.row.ctime.max(set.row.otime),
        Subject::Msg(row) => row.ctime.max(row.stime).max(row.rtime),
        Subject::Posix(file) => file.facts.ctime.0.max(file.facts.born.map_or(0, |born| born.0)),
    }
}
