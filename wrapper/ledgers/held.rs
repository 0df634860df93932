//! The ledgers that living processes of this program hold open, wherever they lie.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::ledger::book::Run;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::ledger::limits::Allowance;
use shmwarden::object::ProcessRef;
use shmwarden::proc::Seen;
use shmwarden::proc::read::{self, OpenFile};
use shmwarden::snapshot::{owners, place, processes};
use shmwarden::sys::user;

use super::find::{Place, Source, Told};
use super::unprivileged;

/// Most processes that are looked into.
const MOST: usize = 1024;

/// The ledgers of these processes.
pub(super) fn places(pids: &[i32]) -> Told {
    let mut told = Told::default();
    for &pid in pids.iter().take(MOST) {
        // What is recorded in another container is about nothing that is here.
        let concerns = || owners::concerns_this_place(pid);
        match owners::held_open(pid) {
            Seen::Here(files) => {
                for file in files {
                    let known = |place: &Place| place.spot.file == Some((file.dev, file.ino));
                    if told.places.iter().any(known) || !concerns() {
                        continue;
                    }
                    let is_deleted = file.path.as_os_str().as_bytes().ends_with(b" (deleted)");
                    let mut place = Place::new(Source::Process(pid), file.path).of_user(file.owner);
                    place.spot.file = Some((file.dev, file.ino));
                    // The name that it had may be another file's by now, whatever it is called.
                    if is_deleted {
                        place.spot.rights = None;
                    }
                    told.places.push(place);
                }
            }
            Seen::Gone => {}
            Seen::Denied if concerns() => {
                let place = format!("what process {pid} of shmwarden has open");
                told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
            }
            Seen::Denied => {}
        }
    }
    if pids.len() > MOST {
        let place = format!("what {} more processes of shmwarden have open", pids.len() - MOST);
        told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
    }
    told
}

/// The process of this program that watches a server and whose ledger was deleted, with the name
/// that it had: `launcher`, which the server descends from, or else a guardian among `ours`.
pub(crate) fn deleted(
    server: i32,
    launcher: Option<i32>,
    ours: impl Iterator<Item = i32>,
) -> Option<(i32, PathBuf)> {
    const DELETED: &[u8] = b" (deleted)";
    let watchers = match launcher {
        Some(launcher) => vec![launcher],
        None => {
            let watches = |pid: &i32| {
                let its = read::pidfds(*pid).ok().and_then(Seen::here);
                its.is_some_and(|its| its.contains(&server))
            };
            ours.filter(watches).collect()
        }
    };
    watchers.into_iter().find_map(|pid| {
        let files = owners::held_open(pid).here()?;
        // While it is written anew a launcher has the old one and the new one open.
        let name = |file: OpenFile| {
            let name = file.path.as_os_str().as_bytes().strip_suffix(DELETED)?;
            Some(PathBuf::from(OsStr::from_bytes(name)))
        };
        let names: Option<Vec<PathBuf>> = files.into_iter().map(name).collect();
        Some((pid, names?.pop()?))
    })
}

/// The launcher that lives and claims a process of this user's, with its ledger. Another user's
/// ledger has no say.
pub(crate) fn watched_by(process: ProcessRef, uid: u32) -> Option<(i32, PathBuf)> {
    let ours = match user::effective() {
        0 => owners::look(None).ours,
        me => unprivileged::launchers(me),
    };
    let here = place::here().ok()?;
    let mut allowance = Allowance::default();
    places(&ours).places.into_iter().find_map(|open| {
        let path = open.spot.path;
        let mut ledger = Ledger::open(&path, For::Reading).ok()?;
        if ![0, uid].contains(&ledger.owner().0) {
            return None;
        }
        allowance.take(&ledger).and_then(|()| ledger.read_whole()).ok()?;
        let book = &ledger.book;
        let watches = |run: &&Run| {
            let is_here = book.places.get(run.place).is_some_and(|place| {
                (&place.boot, &place.pid_namespace) == (&here.boot, &here.pid_namespace)
            });
            let claims = run.claims.iter().any(|one| one.process == process && one.ended.is_none());
            is_here && claims && !run.start.recorded && processes::lives(run.start.launcher)
        };
        let run = book.open_runs().find(watches)?;
        Some((run.start.launcher.pid, path))
    })
}
