//! The robbery of a living server: something that it still holds, and that someone else removed or
//! marked for removal (`rm`, `ipcrm`, logind's `RemoveIPC=`).
//!
//! Never takes the server's own removals for that. A PostgreSQL or openGauss lets go before it
//! removes (`dsm_impl.c`: `munmap`, then `shm_unlink`; `sysv_shmem.c`: `shmdt`, then `IPC_RMID`;
//! `dsm.c`: a reference less in the list, then the removal), so what is gone and still held was
//! taken. Of other servers nothing tells that. What cannot be read proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use shmwarden::attribute::sets::set_differs;
use shmwarden::engine::{Engine, postgres};
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{Recorded, Run};
use shmwarden::ledger::record::{Loss, Role};
use shmwarden::object::{Identity, Place, ProcessRef, Segment, ShmFile};
use shmwarden::proc::{maps, read};
use shmwarden::snapshot::{
    Mapped, Seen, contents, identity_of, memory, place, processes, shm_files,
};
use shmwarden::sys::shm::{MODE_DEST, Row};
use shmwarden::sys::{sem, shm};

/// Between two proofs of one loss: a server that is about to end holds nothing that long.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);
/// Most objects of a run, and items of a list, that are looked at.
const MOST: usize = 8192;

/// Semaphores in a set of a server's own, its mark included (`sysv_sema.c`, up to 16 and later).
const SET_SIZES: [u64; 2] = [17, 20];

/// A living server of a known engine, and what it keeps as long as it lives.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    run: u64,
    /// The server.
    pub(crate) server: ProcessRef,
    /// Its kind.
    pub(crate) engine: Engine,
    major: Option<u32>,
    main: Option<Segment>,
    control: Option<Identity>,
}

/// Something that is not as the server made it.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    /// The loss.
    pub(crate) loss: Loss,
    /// The identity it is recognised by; `None` of a listed file that was never seen.
    pub(crate) identity: Option<Identity>,
    /// Its name for people.
    pub(crate) name: String,
    proof: Proof,
}

/// The proof that the server did not remove it itself.
#[derive(Debug, Clone, Copy)]
enum Proof {
    /// The server still maps it.
    Mapped(Mapped),
    /// The server's list still counts users of this handle.
    Listed(u32),
    /// The same of a handle that has this key.
    Keyed(i32),
    /// The server still has its main segment attached.
    AtWork,
}

/// The result of a look at a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The server holds it.
    Robbed,
    /// The server let go of it.
    Own,
    /// Neither is proven now.
    Unclear,
}

/// Something that a living server was robbed of, for those who show it.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) server: ProcessRef,
    pub(crate) engine: Engine,
    pub(crate) identity: Option<Identity>,
    pub(crate) name: String,
    pub(crate) loss: Loss,
    /// The time at which the ledger was told; `None` where it does not know.
    pub(crate) at: Option<SystemTime>,
}

impl Suspect {
    /// Returns what tells it from others: its name, and what was done to it.
    pub(crate) fn key(&self) -> (String, &'static str) {
        (self.name.clone(), self.loss.word())
    }
}

impl Keeper {
    /// Returns the server of a run that has not ended, where its engine's ways are known.
    pub(crate) fn of(book: &Book, run: &Run) -> Option<Self> {
        let claim = run.server().filter(|claim| claim.ended.is_none() && run.end.is_none())?;
        if !claim.engine.has_interlock {
            return None;
        }
        let mut keeper = Self {
            run: run.start.run,
            server: claim.process,
            engine: claim.engine,
            major: claim.major,
            main: None,
            control: None,
        };
        // The newest of each: an earlier one may not be known to have gone yet.
        for object in book.open_objects().filter(|object| object.run == keeper.run) {
            match (object.role, &object.identity) {
                (Role::Main, Identity::Shm(segment)) => keeper.main = Some(segment.clone()),
                (Role::Control, identity) => keeper.control = Some(identity.clone()),
                _ => {}
            }
        }
        Some(keeper)
    }

    /// Checks that the server has not begun anew between this and another time.
    pub(crate) fn has_main_of(&self, other: &Self) -> bool {
        self.main.is_some() && self.main == other.main
    }

    /// Returns the list of its dynamic shared memory, where it is known.
    pub(crate) fn list(&self) -> Option<&Identity> {
        self.control.as_ref()
    }

    /// Returns what is recorded and not as the server made it: one system call an object.
    pub(crate) fn missing(&self, book: &Book) -> Vec<Suspect> {
        let own = book.open_objects().filter(|object| object.run == self.run).take(MOST);
        own.filter_map(|object| self.suspect(object)).collect()
    }

    fn suspect(&self, object: &Recorded) -> Option<Suspect> {
        let identity = &object.identity;
        let in_lists = matches!(self.control, Some(Identity::Shm(_)));
        let (proof, only) = match (object.role, identity) {
            // Recorded once more after it was marked.
            (_, Identity::Shm(segment)) if segment.key.0 == 0 => return None,
            // Attached, it cannot vanish: one that is gone was let go of.
            (Role::Main | Role::Control, Identity::Shm(segment)) => {
                (Proof::Mapped(Mapped::Segment(segment.id)), Some(Loss::Marked))
            }
            (Role::Control, Identity::Posix(file)) => {
                (Proof::Mapped(Mapped::File(file.file)), None)
            }
            (Role::Other | Role::Dynamic, Identity::Shm(segment)) if in_lists => {
                (Proof::Keyed(segment.key.0), None)
            }
            // What a program below the server made for itself is that program's to remove.
            (_, Identity::Sem(set)) if SET_SIZES.contains(&set.nsems) && set.key.0 != 0 => {
                object.creator.is_none().then_some((Proof::AtWork, None))?
            }
            _ => return None,
        };
        let loss = loss_of(identity).filter(|loss| only.is_none_or(|only| only == *loss))?;
        Some(Suspect { loss, name: name_of(identity), identity: Some(identity.clone()), proof })
    }

    /// Returns files that the server's list names as used and that are not there; `known` keeps
    /// those that are.
    pub(crate) fn missing_of_list(&self, known: &mut BTreeMap<u32, ShmFile>) -> Vec<Suspect> {
        let mut found = Vec::new();
        let Some((Identity::Posix(control), handles)) = self.control.as_ref().zip(self.held())
        else {
            return found;
        };
        known.retain(|handle, _| handles.contains(handle));
        for handle in handles.into_iter().take(MOST) {
            let name = postgres::posix_name(handle);
            match shm_files::one(&name.0, &control.mount) {
                Ok(Some(file)) if file.uid == control.uid => {
                    known.insert(handle, file);
                }
                Ok(None) if is_mounted(&control.mount) => found.push(Suspect {
                    loss: Loss::Removed,
                    identity: known.get(&handle).cloned().map(Identity::Posix),
                    name: format!("{}/{}", shm_files::DIRECTORY, name.lossy()),
                    proof: Proof::Listed(handle),
                }),
                Ok(_) | Err(_) => {}
            }
        }
        found
    }

    /// Returns the sets that are gone, those of `before` too, of a server that has crashed: one
    /// that ends in order removes its main segment right behind them.
    pub(crate) fn sets_gone_at_crash(&self, book: &Book, before: Vec<Suspect>) -> Vec<Suspect> {
        let main = self.main.clone().map(Identity::Shm);
        if main.is_none_or(|main| loss_of(&main).is_some()) {
            return Vec::new();
        }
        let mut gone = before;
        gone.extend(self.missing(book));
        gone.retain(|suspect| matches!(suspect.proof, Proof::AtWork));
        gone
    }

    /// Returns the segments that the server's list names as used, of this table.
    pub(crate) fn listed_segments(&self, rows: &[Row]) -> Vec<Segment> {
        let Some((Identity::Shm(_), held)) = self.control.as_ref().zip(self.held()) else {
            return Vec::new();
        };
        let keys: BTreeSet<i32> = held.into_iter().take(MOST).map(postgres::sysv_key).collect();
        let listed = rows.iter().filter(|row| keys.contains(&row.perm.key));
        listed.map(identity_of).collect()
    }

    /// Returns those of these segments that are not as they were.
    pub(crate) fn missing_segments(&self, listed: &[Segment]) -> Vec<Suspect> {
        let suspect = |segment: &Segment| {
            let identity = Identity::Shm(segment.clone());
            let (loss, name) = (loss_of(&identity)?, name_of(&identity));
            let proof = Proof::Keyed(segment.key.0);
            Some(Suspect { loss, name, identity: Some(identity), proof })
        };
        listed.iter().filter_map(suspect).collect()
    }

    /// Reads the list of the server's dynamic shared memory; what it counts as used.
    fn held(&self) -> Option<Vec<u32>> {
        let bytes = match self.control.as_ref()? {
            Identity::Posix(file) => contents::of_file(file, contents::LARGEST_CONTROL)
                .ok()
                .or_else(|| in_memory(self.server.pid, file))?,
            Identity::Shm(segment) => {
                let bytes = usize::try_from(segment.bytes).ok()?.min(contents::LARGEST_CONTROL);
                contents::of_living(self.server.pid, segment.id, bytes)?
            }
            Identity::Sem(_) | Identity::Msg(_) => return None,
        };
        postgres::held(&bytes, self.major).ok()
    }

    /// Looks whether a suspect was taken. A server that is not asleep may be about to remove, or to
    /// end; `waited` asks no such sleep of a PostgreSQL that still maps the object.
    pub(crate) fn prove(&self, suspect: &Suspect, waited: bool) -> Finding {
        let stat = match read::stat(self.server.pid) {
            Ok(Seen::Here(stat)) if stat.start_ticks == self.server.start => stat,
            // Dead, it proves nothing any more.
            Ok(_) | Err(_) => return Finding::Unclear,
        };
        let mapped = matches!(suspect.proof, Proof::Mapped(_));
        match stat.state {
            b'S' => {}
            b'R' | b'D' if waited && mapped && self.engine.detaches_before_removal => {}
            _ => return Finding::Unclear,
        }
        match suspect.proof {
            Proof::Mapped(object) => self.maps(object),
            Proof::Listed(handle) => self.counts(|one| one == handle, suspect),
            Proof::Keyed(key) => self.counts(|one| postgres::sysv_key(one) == key, suspect),
            Proof::AtWork => self.is_at_work(),
        }
    }

    fn maps(&self, object: Mapped) -> Finding {
        let Some(process) = processes::one(self.server.pid) else { return Finding::Unclear };
        if process.process != self.server || process.ended {
            return Finding::Unclear;
        }
        let is_segment = matches!(object, Mapped::Segment(_));
        match &process.maps {
            // A number of another IPC namespace is another's.
            Some(Seen::Here(_)) if is_segment && process.same_ipc != Some(true) => Finding::Unclear,
            Some(Seen::Here(_)) if process.mappings(object) > 0 => Finding::Robbed,
            // One that ends meanwhile maps nothing either.
            Some(Seen::Here(_)) if processes::lives(self.server) => Finding::Own,
            Some(_) | None => Finding::Unclear,
        }
    }

    /// Before the postmaster removes what its list still counts, all its children have ended.
    fn counts(&self, is_it: impl Fn(u32) -> bool, suspect: &Suspect) -> Finding {
        let attached = self.main.as_ref().and_then(|main| shm::stat(main.id).ok().flatten());
        if attached.is_none_or(|main| main.nattch < 2) {
            return Finding::Unclear;
        }
        let Some(held) = self.held() else { return Finding::Unclear };
        let Some(handle) = held.into_iter().find(|one| is_it(*one)) else { return Finding::Own };
        let still = match (&suspect.identity, &self.control) {
            (Some(identity), _) => loss_of(identity).is_some(),
            (None, Some(Identity::Posix(control))) => {
                shm_files::is_absent(&postgres::posix_name(handle).0) && is_mounted(&control.mount)
            }
            _ => false,
        };
        if still { Finding::Robbed } else { Finding::Own }
    }

    /// A server removes its sets just before it lets go of its main segment.
    fn is_at_work(&self) -> Finding {
        let Some(main) = &self.main else { return Finding::Unclear };
        match loss_of(&Identity::Shm(main.clone())) {
            Some(Loss::Removed) => Finding::Own,
            Some(Loss::Marked) | None => match self.maps(Mapped::Segment(main.id)) {
                Finding::Own => Finding::Unclear,
                other => other,
            },
        }
    }
}

/// Returns what was done to an object; `None` where it is as it was, or cannot be looked at.
fn loss_of(identity: &Identity) -> Option<Loss> {
    match identity {
        Identity::Shm(segment) => match shm::stat(segment.id).ok()? {
            Some(row)
                if row.bytes != segment.bytes || row.perm.creator_uid != segment.creator_uid =>
            {
                Some(Loss::Removed)
            }
            Some(row) if row.perm.mode & MODE_DEST != 0 => Some(Loss::Marked),
            Some(_) => None,
            None => Some(Loss::Removed),
        },
        Identity::Posix(file) => {
            // A ledger is no way out of the directory.
            if file.name.0.contains(&b'/') {
                return None;
            }
            let there = shm_files::one(&file.name.0, &file.mount).ok()?;
            let same = there.is_some_and(|there| there.is(file));
            (!same && is_mounted(&file.mount)).then_some(Loss::Removed)
        }
        Identity::Sem(set) => {
            let there = sem::stat(set.id).ok()?;
            let same = there.is_some_and(|row| set_differs(set, &row).is_none());
            (!same).then_some(Loss::Removed)
        }
        Identity::Msg(_) => None,
    }
}

/// Checks that `/dev/shm` is still the file system of this name.
fn is_mounted(mount: &str) -> bool {
    place::shm_mount().as_deref() == Some(mount)
}

/// Reads a file that has lost its name where a process maps it.
fn in_memory(pid: i32, file: &ShmFile) -> Option<Vec<u8>> {
    let Seen::Here(raw) = read::maps(pid).ok()? else { return None };
    let is_it = |mapping: &maps::Mapping<'_>| {
        let dev = nix::libc::makedev(mapping.dev_major, mapping.dev_minor);
        (dev, mapping.inode, mapping.offset) == (file.file.dev, file.file.ino, 0)
    };
    let mapping = maps::lines(&raw).find(is_it)?;
    let bytes = usize::try_from(file.bytes).ok()?.min(contents::LARGEST_CONTROL);
    memory::of_process(pid, &[(mapping.start, bytes)]).pop()?
}

/// Returns the name of an object for people.
fn name_of(identity: &Identity) -> String {
    match identity {
        Identity::Posix(file) => format!("{}/{}", shm_files::DIRECTORY, file.name.lossy()),
        other => other.to_string(),
    }
}

/// Returns what the living servers of these ledgers were robbed of, each with the ledger's number:
/// what the ledgers say, and what can be proven now.
pub(crate) fn now<'a>(
    books: impl Iterator<Item = (usize, &'a Book)>,
    here: &Place,
) -> Vec<(usize, Lost)> {
    let mut lost = Vec::new();
    let mut suspects = Vec::new();
    for (ledger, book) in books {
        for run in book.open_runs().filter(|run| is_here(book, run, here)) {
            let Some(keeper) = Keeper::of(book, run) else { continue };
            if !processes::lives(keeper.server) {
                continue;
            }
            let told = book.robbed_now().filter(|robbed| robbed.run == run.start.run);
            let told: Vec<Lost> = told
                .map(|robbed| Lost {
                    server: keeper.server,
                    engine: keeper.engine,
                    identity: Some(robbed.identity.clone()),
                    name: name_of(&robbed.identity),
                    loss: robbed.loss,
                    at: Some(robbed.at),
                })
                .collect();
            let mut missing = keeper.missing(book);
            missing.extend(keeper.missing_of_list(&mut BTreeMap::new()));
            missing.retain(|suspect| !told.iter().any(|lost| lost.name == suspect.name));
            suspects.extend(missing.into_iter().map(|one| (ledger, keeper.clone(), one)));
            lost.extend(told.into_iter().map(|one| (ledger, one)));
        }
    }
    lost.extend(proven_twice(suspects));
    lost
}

fn proven_twice(mut suspects: Vec<(usize, Keeper, Suspect)>) -> Vec<(usize, Lost)> {
    let proven = |(_, keeper, suspect): &(usize, Keeper, Suspect)| {
        keeper.prove(suspect, false) == Finding::Robbed
    };
    suspects.retain(proven);
    if !suspects.is_empty() {
        std::thread::sleep(PAUSE);
        suspects.retain(proven);
    }
    let lost = suspects.into_iter().map(|(ledger, keeper, suspect)| {
        let Suspect { loss, identity, name, .. } = suspect;
        let (server, engine) = (keeper.server, keeper.engine);
        (ledger, Lost { server, engine, identity, name, loss, at: None })
    });
    lost.collect()
}

/// Checks that numbers, names and pids of a run mean here what they meant there.
fn is_here(book: &Book, run: &Run, here: &Place) -> bool {
    book.places.get(run.place).is_some_and(|place| {
        (&place.boot, &place.ipc_namespace, &place.pid_namespace)
            == (&here.boot, &here.ipc_namespace, &here.pid_namespace)
    })
}

/// Returns what happened to a server, with a few names.
pub(crate) fn sentence<'a>(
    engine: Engine,
    server: i32,
    lost: impl Iterator<Item = (&'a str, Loss)> + Clone,
) -> String {
    const MOST_NAMES: usize = 16;
    let named: Vec<String> = lost
        .clone()
        .take(MOST_NAMES)
        .map(|(name, loss)| match loss {
            Loss::Removed => name.to_owned(),
            Loss::Marked => format!("{name} (marked: it has no key any more)"),
        })
        .collect();
    let more = match lost.count().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "the {engine} server process {server} was robbed: someone else removed what it still \
         uses: {}{more}",
        named.join(", ")
    )
}

/// The advice.
pub(crate) const ADVICE: &str = "\
     restart the server soon: until then queries, new connections or its guard against a \
     second server on its data directory may fail; then find who did it: rm in /dev/shm, ipcrm, or \
     logind's RemoveIPC= at the last logout of the server's user (shmwarden doctor tells)";

/// The places to look for who did it.
pub(crate) const SEARCH: &str = "\
     find who did it: ipcrm, or logind's RemoveIPC= at the last logout of the server's user \
     (shmwarden doctor tells)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_was_done_to_each_and_never_grows_long() {
        let lost = [("/dev/shm/PostgreSQL.1", Loss::Removed), ("segment 5", Loss::Marked)];
        assert_eq!(
            sentence(Engine::POSTGRES, 7, lost.into_iter()),
            "the postgres server process 7 was robbed: someone else removed what it still uses: \
             /dev/shm/PostgreSQL.1, segment 5 (marked: it has no key any more)"
        );
        let many = std::iter::repeat_n(("x", Loss::Removed), 5000);
        assert!(sentence(Engine::POSTGRES, 7, many).ends_with("x and 4984 more"));
    }
}
