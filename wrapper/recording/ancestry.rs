//! Who descends from the server: by a chain of parents through a claimed process, and never by a
//! pid alone.
//!
//! A child of the launcher is not enough: the launcher may have had children before it was
//! executed, and as PID 1 it adopts whatever the container orphans.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use shmwarden::engine;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::Claim;
use shmwarden::object::ProcessRef;
use shmwarden::proc::read;
use shmwarden::snapshot::{Seen, processes};

/// Times that what fails to be read is asked for, and the pause between where that may help.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// Deepest chain of parents that is followed.
const DEEPEST: usize = 64;

/// The descendants of the launcher and of the server, as far as they were seen.
#[derive(Debug)]
pub(crate) struct Family {
    launcher: i32,
    /// Set where orphaned descendants of the server become children of the launcher.
    adopts: bool,
    /// Children that the launcher had before it forked.
    strangers: BTreeSet<ProcessRef>,
    /// Seen to descend from a claimed process; kept where an adopted child may be anybody's.
    known: BTreeSet<ProcessRef>,
}

impl Family {
    /// Looks at the launcher's children; call it before the fork.
    pub(crate) fn start() -> Self {
        let launcher = i32::try_from(std::process::id()).unwrap_or(0);
        let strangers = children_of(launcher).into_iter().filter_map(processes::by_pid).collect();
        Self { launcher, adopts: true, strangers, known: BTreeSet::new() }
    }

    /// The family of a server beside this process, which is neither its parent nor adopts anything:
    /// only what was seen below a claimed process descends from it.
    pub(crate) fn beside() -> Self {
        let launcher = i32::try_from(std::process::id()).unwrap_or(0);
        Self { launcher, adopts: false, strangers: BTreeSet::new(), known: BTreeSet::new() }
    }

    /// Checks that the server is no child of this process: nothing holds its zombie then.
    pub(crate) fn is_beside(&self) -> bool {
        !self.adopts
    }

    /// Checks that a process which the launcher adopts can only be the server's: the launcher is a
    /// subreaper, and it had no other child.
    fn adopts_own_only(&self) -> bool {
        self.adopts && self.launcher != 1 && self.strangers.is_empty()
    }

    /// Remembers the children of claimed processes, where being adopted will prove nothing.
    pub(crate) fn refresh(&mut self, run: &Run) {
        if self.adopts_own_only() {
            return;
        }
        let parents = run.claims.iter().map(|claim| claim.process).chain(self.known.clone());
        let alive: Vec<ProcessRef> = parents.filter(|&parent| processes::lives(parent)).collect();
        let children = alive.iter().flat_map(|parent| children_of(parent.pid));
        self.known = children.filter_map(processes::by_pid).chain(alive.clone()).collect();
    }

    /// A process and its ancestors up to one that is known to be the server's, itself first; empty
    /// where it does not descend from the server.
    fn chain(
        &self,
        pid: i32,
        run: &Run,
        parents: &impl Fn(i32) -> Option<(ProcessRef, i32)>,
    ) -> Vec<i32> {
        let mut chain = Vec::new();
        let mut at = pid;
        for _ in 0..DEEPEST {
            let Some((process, parent)) = parents(at) else { return Vec::new() };
            chain.push(at);
            let claimed = run.claims.iter().any(|claim| claim.process == process);
            if claimed || self.known.contains(&process) {
                return chain;
            }
            if parent == self.launcher {
                let ours = self.adopts_own_only() && !self.strangers.contains(&process);
                return if ours { chain } else { Vec::new() };
            }
            at = parent;
        }
        Vec::new()
    }

    /// Checks that a process descends from the server.
    pub(crate) fn descends(&self, pid: i32, run: &Run) -> bool {
        !self.chain(pid, run, &parent_of).is_empty()
    }

    /// The parent of a process that descends from the server, where that descends from it too: a
    /// launcher that has adopted a process may have other children.
    pub(crate) fn parent_below(&self, pid: i32, run: &Run) -> Option<ProcessRef> {
        let (_, parent) = parent_of(pid).filter(|_| self.descends(pid, run))?;
        let below = parent != self.launcher && self.descends(parent, run);
        below.then(|| processes::by_pid(parent)).flatten()
    }

    /// The topmost process of a known server program above (or at) a process.
    pub(crate) fn server_above(&self, pid: i32, run: &Run) -> Option<i32> {
        let is_server = |pid: &i32| {
            let path = read::exe_path(*pid).ok().and_then(Seen::here);
            path.is_some_and(|path| engine::recognise(&path).is_known())
        };
        self.chain(pid, run, &parent_of).into_iter().rev().find(is_server)
    }

    /// Every living process that descends from the server, the launcher's helper left out.
    pub(crate) fn members(&self, run: &Run, helper: Option<i32>) -> Vec<ProcessRef> {
        // What is orphaned below the launcher becomes its child: without a child there is nobody.
        let claimed = |claim: &Claim| processes::by_pid(claim.process.pid) == Some(claim.process);
        let childless = || read::children(self.launcher).here().is_some_and(|all| all.is_empty());
        if self.adopts_own_only() && childless() && !run.claims.iter().any(claimed) {
            return Vec::new();
        }
        let all: BTreeMap<i32, (ProcessRef, i32)> =
            pids().into_iter().filter_map(|pid| parent_of(pid).map(|found| (pid, found))).collect();
        let parents = |pid: i32| all.get(&pid).copied();
        all.values()
            .map(|(process, _)| *process)
            .filter(|process| process.pid != self.launcher && Some(process.pid) != helper)
            .filter(|process| !self.chain(process.pid, run, &parents).is_empty())
            .collect()
    }

    /// Children of the launcher that descend from the server, its helper left out; where it adopts
    /// none, all that descend from it and live.
    pub(crate) fn adopted(&self, run: &Run, helper: Option<i32>) -> Vec<i32> {
        if !self.adopts {
            let all = self.members(run, helper).into_iter();
            return all.filter(|&process| processes::lives(process)).map(|p| p.pid).collect();
        }
        let all = children_of(self.launcher).into_iter();
        all.filter(|&pid| Some(pid) != helper && self.descends(pid, run)).collect()
    }
}

/// Checks by parent pids alone, not by claims, that a process descends from another.
pub(crate) fn descends_from(pid: i32, ancestor: i32) -> bool {
    let mut at = pid;
    for _ in 0..DEEPEST {
        let Some((_, parent)) = parent_of(at) else { return false };
        if parent == ancestor {
            return true;
        }
        at = parent;
    }
    false
}

/// The first living process that runs this file, did not begin before the claimed one and is in its
/// control group. That proves nothing of where it comes from: another server of that program may
/// have been started meanwhile, where servers are no services.
pub(crate) fn began_since(claim: &Claim, program: &Path) -> Option<ProcessRef> {
    let (other, program) = (claim.process, program.canonicalize().ok()?);
    let runs_it = |process: &ProcessRef| {
        let path = read::exe_path(process.pid).ok().and_then(Seen::here);
        let group = read::cgroup(process.pid).here().unwrap_or_default();
        process.start >= other.start
            && path.is_some_and(|path| path == program)
            && group == claim.control_group.0
    };
    let all = read::pids().unwrap_or_default().into_iter().filter_map(processes::by_pid);
    let alive = all.filter(|&process| process != other && processes::lives(process));
    alive.filter(runs_it).min_by_key(|process| (process.start, process.pid))
}

/// A process and its parent's pid; asked again where a read fails, since nobody has ended by that.
fn parent_of(pid: i32) -> Option<(ProcessRef, i32)> {
    for _ in 0..TRIES {
        match read::stat(pid) {
            Ok(Seen::Here(stat)) => {
                return Some((ProcessRef { pid, start: stat.start_ticks }, stat.ppid));
            }
            Ok(Seen::Gone) => return None,
            Ok(Seen::Denied) | Err(_) => {}
        }
    }
    None
}

/// Every pid; asked again where the list cannot be had for a moment.
fn pids() -> Vec<i32> {
    for _ in 1..TRIES {
        if let Ok(pids) = read::pids() {
            return pids;
        }
        std::thread::sleep(PAUSE);
    }
    read::pids().unwrap_or_default()
}

/// The children of a process.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    read::children(parent).here().unwrap_or_else(|| {
        // A kernel without CONFIG_PROC_CHILDREN keeps no list of them.
        let all = pids().into_iter();
        all.filter(|&pid| parent_of(pid).is_some_and(|(_, its)| its == parent)).collect()
    })
}
