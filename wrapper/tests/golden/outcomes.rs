//! The outcomes of an object, and every error of the library.

use std::io;
use std::path::{Path, PathBuf};

use shmwarden::Error;
use shmwarden::judge::{Evidence, Holder, Reason};
use shmwarden::object::{Identity, Key, ProcessRef, SemaphoreSet};
use shmwarden::sweep::{Fate, Settled};

use super::make;

/// Returns a survivor of a server, with a hostile command line.
pub(super) fn holder() -> Holder {
    Holder {
        process: ProcessRef { pid: 4800, start: 0 },
        uid: Some(0),
        command: "postgres: writer \u{1b}[31m".to_owned(),
        state: 'S',
        attachments: 2,
        orphan: true,
    }
}

/// Returns a semaphore set of the server's.
pub(super) fn set() -> SemaphoreSet {
    SemaphoreSet {
        id: 3,
        key: Key(0x00f4_2403),
        nsems: 17,
        creator_uid: make::UID,
        creator_gid: make::GID,
        ctime: make::seconds(10),
    }
}

/// Returns an object with each fate.
pub(super) fn settled() -> Vec<Settled> {
    let of = |(identity, result, evidence): (Identity, Fate, &str)| {
        let holders = match result {
            Fate::Kept(Reason::Attached(_)) | Fate::Raced(_) => vec![holder()],
            _ => vec![],
        };
        Settled { identity, result, evidence: evidence.to_owned(), holders, recorded: true }
    };
    let segment = |id| make::shm(&make::segment(id));
    let attached = Reason::Attached(2);
    let left = Reason::OrphanLives(Evidence::Descends(holder()));
    let dead = Reason::Dead.to_string();
    [
        (make::posix(&make::file("arena\n", 9)), Fate::Removed, dead.as_str()),
        (segment(1), Fate::Gone, "it had gone"),
        (segment(2), Fate::Kept(attached), ""),
        (Identity::Sem(set()), Fate::Kept(left), ""),
        (segment(3), Fate::Raced("somebody attached it".to_owned()), "somebody attached it"),
        (segment(4), Fate::Failed("not allowed".to_owned()), "not allowed"),
        (segment(5), Fate::WouldRemove, dead.as_str()),
    ]
    .map(of)
    .into()
}

/// Returns an error of each kind.
pub(super) fn errors() -> Vec<Error> {
    let path = || PathBuf::from("/var/lib/shmwarden/main.ledger");
    let io =
        |kind: io::ErrorKind| Error::io("cannot read the ledger", Path::new("/a"))(kind.into());
    let all = vec![
        io(io::ErrorKind::PermissionDenied),
        io(io::ErrorKind::StorageFull),
        Error::Refused { path: path(), why: "its mode lets others write".to_owned() },
        Error::Damaged { path: path(), line: 3, why: "its checksum does not match".to_owned() },
        Error::NotALedger { path: path() },
        Error::Newer { path: path(), version: 99, known: shmwarden::ledger::record::VERSION },
        Error::Missing { path: path() },
        Error::Unsupported("there is no /proc".to_owned()),
        Error::Illegal("an outcome without an intent".to_owned()),
    ];
    for error in &all {
        // A kind that is added does not compile until it stands above.
        match error {
            Error::Io { .. }
            | Error::Refused { .. }
            | Error::Damaged { .. }
            | Error::NotALedger { .. }
            | Error::Newer { .. }
            | Error::Missing { .. }
            | Error::Unsupported(_)
            | Error::Illegal(_) => {}
        }
    }
    all
}
