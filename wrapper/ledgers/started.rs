//! The ledgers that the environment of living servers names: their launcher or guardian, which had
//! it open, may have been killed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use shmwarden::proc::{Seen, read};
use shmwarden::sys::user;

use super::find::{Place, Source, Told};
use super::of_state_directory;

/// Most servers that are asked.
const MOST: usize = 256;

/// The places that these servers name; of their parts only the first process is asked.
pub(super) fn places(servers: &[i32]) -> Told {
    let pids: BTreeSet<i32> = servers.iter().copied().collect();
    let stat = |pid| read::stat(pid).ok().and_then(Seen::here);
    let is_first = |pid: &i32| stat(*pid).is_some_and(|stat| !pids.contains(&stat.ppid));
    let mut told = Told::default();
    for pid in pids.iter().copied().filter(is_first).take(MOST) {
        let Some(status) = read::status(pid).ok().and_then(Seen::here) else { continue };
        let ([_, uid, ..], [_, gid, ..]) = (status.uids, status.gids);
        if ![0, uid].contains(&user::effective()) {
            continue;
        }
        let variable = |name: &str| read::environ_var(pid, name).here().flatten();
        let ledger =
            variable("SHMWARDEN_LEDGER").map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        let state = variable("STATE_DIRECTORY");
        let state = state.and_then(|listed| of_state_directory(OsStr::from_bytes(&listed)));
        for path in ledger.into_iter().chain(state).filter(|path| path.is_absolute()) {
            told.places.push(Place::new(Source::Server(pid), path).of_user((uid, gid)));
        }
    }
    told
}
