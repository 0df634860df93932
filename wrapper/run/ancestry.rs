//! Who descends from the server or the launcher, at this moment.

use shmwarden::engine::{self, EngineName};
use shmwarden::ledger::book::Run;
use shmwarden::proc::read;

/// Deepest chain of parents that is followed.
const DEEPEST: usize = 64;

/// A process and its ancestors below the launcher or a claimed process, itself first; empty where
/// it descends from neither.
fn chain(pid: i32, run: &Run) -> Vec<i32> {
    let launcher = i32::try_from(std::process::id()).unwrap_or(0);
    let mut chain = Vec::new();
    let mut at = pid;
    for _ in 0..DEEPEST {
        if at == launcher {
            return chain;
        }
        chain.push(at);
        if run.claims.iter().any(|claim| claim.process.pid == at) {
            return chain;
        }
        match read::stat(at).ok().and_then(shmwarden::observe::Seen::here) {
            Some(stat) if stat.ppid > 0 => at = stat.ppid,
            _ => return Vec::new(),
        }
    }
    Vec::new()
}

/// Whether a process descends from the server, or, its parent being dead, from the launcher.
pub(crate) fn descends(pid: i32, run: &Run) -> bool {
    !chain(pid, run).is_empty()
}

/// The topmost process of a known server program above (or at) a process.
pub(crate) fn server_above(pid: i32, run: &Run) -> Option<i32> {
    let is_server = |pid: &i32| {
        let file = read::exe(*pid)
            .ok()
            .and_then(shmwarden::observe::Seen::here);
        file.is_some_and(|file| engine::recognise(&file.path) != EngineName::Generic)
    };
    chain(pid, run).into_iter().rev().find(is_server)
}

/// Living children of this process, other than `except`.
pub(crate) fn children(except: Option<i32>) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let all = read::children(own).here().unwrap_or_else(|| by_parent(own));
    all.into_iter().filter(|&pid| Some(pid) != except).collect()
}

/// The children of a process where the kernel keeps no list of them (`CONFIG_PROC_CHILDREN`).
fn by_parent(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let stat = read::stat(*pid)
            .ok()
            .and_then(shmwarden::observe::Seen::here);
        stat.is_some_and(|stat| stat.ppid == parent)
    };
    read::pids()
        .unwrap_or_default()
        .into_iter()
        .filter(is_child)
        .collect()
}
