//! The parts that rows and documents of objects share: names of users, creators, ages. Asks for
//! each user once: a user database may be on the network.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use shmwarden::judge::Holder;
use shmwarden::judge::status::holders::{Holders, Holding};
use shmwarden::judge::status::{Judged, Status, Subject};
use shmwarden::snapshot::Process;

use super::text;
use crate::ledgers::robbery::Lost;
use crate::view::View;

/// A view, ready to be shown.
pub(crate) struct Shown<'a> {
    pub(crate) view: &'a View,
    /// The holders, where they were looked for.
    pub(crate) holders: Option<Holders<'a>>,
    processes: BTreeMap<i32, &'a Process>,
    users: RefCell<BTreeMap<u32, Option<String>>>,
}

/// The process that made a segment.
pub(crate) struct Creator {
    pub(crate) pid: i32,
    /// Its command line, or its name; `None` where it is dead.
    pub(crate) command: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(view: &'a View, with_holders: bool) -> Self {
        let living = view.look.processes.seen().filter(|process| !process.ended);
        let processes = living.map(|process| (process.process.pid, process)).collect();
        let holders = Holders::of(&view.look, &view.accounts);
        Self {
            view,
            holders: with_holders.then_some(holders),
            processes,
            users: RefCell::default(),
        }
    }

    /// The name of a user, `None` where the account is gone.
    pub(crate) fn user(&self, uid: u32) -> Option<String> {
        let mut users = self.users.borrow_mut();
        let known = users.entry(uid).or_insert_with(|| text::user_name(uid));
        known.clone()
    }

    /// Appends a user for people: a number without an account has a mark.
    pub(crate) fn write_user(&self, uid: u32, out: &mut String) {
        let mut users = self.users.borrow_mut();
        match users.entry(uid).or_insert_with(|| text::user_name(uid)) {
            Some(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => out.push_str(name),
            Some(name) => out.push_str(&text::safe(name)),
            None => out.push_str(&format!("{uid}?")),
        }
    }

    /// The same as a text of its own.
    pub(crate) fn user_or_number(&self, uid: u32) -> String {
        let mut out = String::new();
        self.write_user(uid, &mut out);
        out
    }

    /// The pid of the process that made an object, where the kernel keeps that and it is visible.
    pub(crate) fn creator_pid(&self, subject: Subject<'_>) -> Option<i32> {
        match subject {
            Subject::Shm(row) => Some(row.creator_pid).filter(|pid| *pid != 0),
            _ => None,
        }
    }

    /// The process that made an object.
    pub(crate) fn creator(&self, subject: Subject<'_>) -> Option<Creator> {
        let pid = self.creator_pid(subject)?;
        let process = self.processes.get(&pid);
        let command = process.map(|process| Holder::of(process, 0, false).command);
        Some(Creator { pid, command })
    }

    /// Returns the waiters of a set and its last operator, as far as the kernel tells.
    pub(crate) fn waiters_and_operator(&self, subject: Subject<'_>) -> (Option<u64>, Option<i32>) {
        let members = match subject {
            Subject::Sem(set) => set.members.as_ref(),
            _ => None,
        };
        let Some(members) = members else {
            return (None, None);
        };
        // Of several the one that lives: whether anybody does is what one wants to know.
        let mut seen = members.operators.iter().copied().filter(|&pid| pid != 0);
        let lives = seen.clone().find(|pid| self.processes.contains_key(pid));
        (Some(members.waiters), lives.or_else(|| seen.next()))
    }

    /// The name of a process.
    pub(crate) fn name_of(&self, pid: i32) -> Option<String> {
        self.processes.get(&pid).map(|process| process.comm.lossy())
    }

    /// Returns the holders of an object, where they were looked for.
    pub(crate) fn holding(&self, judged: &Judged<'_>) -> Option<Holding> {
        self.holders.as_ref().map(|holders| holders.of_object(judged))
    }

    /// The instance that a verdict is about.
    pub(crate) fn instance(&self, account: Option<usize>) -> Option<&str> {
        self.view.source(account).map(|source| source.instance.as_str())
    }

    /// Returns the words on the state of an object, and of its server where that was robbed, or is
    /// not covered.
    pub(crate) fn status(&self, one: &Judged<'_>) -> Vec<&'static str> {
        let mut words = status(one.subject);
        let of_account = |(account, _): &(usize, Lost)| Some(*account) == one.account;
        if one.verdict == Status::Live && self.view.robbed.iter().any(of_account) {
            words.push("robbed");
        }
        if self.view.exposed.iter().any(|server| server.has(one)) {
            words.push("uncovered");
        }
        words
    }

    /// Returns how long ago an object was made or changed; `None` where its time lies ahead.
    pub(crate) fn age(&self, subject: Subject<'_>) -> Option<Duration> {
        self.view.look.now.duration_since(changed(subject)?).ok()
    }

    /// Bytes in memory, where that was looked for.
    pub(crate) fn resident(&self, subject: Subject<'_>) -> Option<u64> {
        match subject {
            Subject::Shm(row) => self.view.look.resident.as_ref()?.get(&row.id).copied(),
            Subject::Posix(file) => Some(file.facts.resident_bytes),
            Subject::Sem(_) | Subject::Msg(_) => None,
        }
    }
}

/// Returns when an object was made or last changed.
pub(crate) fn changed(subject: Subject<'_>) -> Option<SystemTime> {
    let seconds = u64::try_from(subject.changed()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The words on the state of a segment.
pub(crate) fn status(subject: Subject<'_>) -> Vec<&'static str> {
    use shmwarden::sys::shm::{MODE_DEST, MODE_HUGETLB, MODE_LOCKED};
    let Subject::Shm(row) = subject else {
        return Vec::new();
    };
    let words = [(MODE_DEST, "dest"), (MODE_LOCKED, "locked"), (MODE_HUGETLB, "hugetlb")];
    let set = words.into_iter().filter(|(bit, _)| row.perm.mode & bit != 0);
    set.map(|(_, word)| word).collect()
}
