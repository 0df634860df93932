//! Ledgers that cannot do their work, and servers whose data directories look the same. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use shmwarden::object::{FileRef, Place};

use crate::finding::Finding;

/// The condition of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whole; of this place (`None` for one that is empty).
    Read(Option<Place>),
    /// A line does not check.
    Damaged {
        /// Which, from 1.
        line: u64,
        /// The fault.
        why: String,
    },
    /// It is not there.
    Missing,
    /// It does not begin as a ledger.
    NotALedger,
    /// Of a newer version.
    Newer(u64),
    /// It must not be trusted: a sentence.
    Unusable(String),
    /// A call on it failed: a sentence, and the errno.
    Failed(String, Option<i32>),
}

/// A ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where.
    pub(crate) path: PathBuf,
    /// Its condition.
    pub(crate) condition: Condition,
}

/// Findings on ledgers, seen from this place.
pub(crate) fn judge(ledgers: &[Found], here: &Place) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        ledgers.iter().flat_map(|one| of_one(one, here).into_iter().chain(in_run(one))).collect();
    if findings.is_empty() {
        let text = match ledgers.len() {
            0 => "no ledger was found".to_owned(),
            1 => "the one ledger is whole".to_owned(),
            many => format!("all {many} ledgers are whole"),
        };
        findings.push(Finding::ok("ledgers", text));
    }
    findings
}

/// A place where ledgers may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookedAt {
    /// Where.
    pub(crate) path: String,
    /// The fault, as the end of a sentence that begins with the path.
    pub(crate) trouble: Option<String>,
}

/// Findings on the places where ledgers were looked for; `unseen` are others, which could not be
/// looked at or may not be.
pub(crate) fn judge_places(places: &[LookedAt], unseen: &[String]) -> Vec<Finding> {
    let wrong = |place: &LookedAt| {
        let trouble = place.trouble.as_ref()?;
        Some(Finding::warn(
            "ledger-place",
            format!("{} {trouble}: what is recorded there is not known", place.path),
            "make it readable for its owner, and what /etc/shmwarden/places and options name true",
        ))
    };
    let mut findings: Vec<Finding> = places.iter().filter_map(wrong).collect();
    let unseen = unseen.iter().map(|what| {
        Finding::ok(UNSEEN_PLACE, format!("{what} could not be looked at, and may have ledgers"))
    });
    findings.extend(unseen);
    let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
    let text = format!("ledgers were looked for in {}", paths.join(", "));
    findings.push(Finding::ok("ledger-places", text));
    findings
}

/// The finding that some place could not be looked at, through nobody's fault.
pub(crate) const UNSEEN_PLACE: &str = "ledger-place-unseen";

fn of_one(one: &Found, here: &Place) -> Option<Finding> {
    let path = one.path.display();
    Some(match &one.condition {
        Condition::Read(Some(place)) if place.boot != here.boot => Finding::ok(
            "ledger-void",
            format!("{path} is of an earlier boot: what it recorded is gone, and nothing is lost"),
        ),
        Condition::Read(Some(place)) if place.ipc_namespace != here.ipc_namespace => Finding::warn(
            "ledger-void",
            format!(
                "{path} is of another IPC namespace (a container, or a unit with PrivateIPC=): \
                 from here nothing of its System V part can be seen or removed"
            ),
            "run shmwarden sweep where its server runs",
        ),
        Condition::Read(_) => return None,
        Condition::Damaged { line, why } => Finding::bad(
            "ledger-damaged",
            format!(
                "{path} is damaged at line {line} ({why}): nothing in it is believed, and nothing \
                 that it recorded is removed"
            ),
            "shmwarden list shows what is left; the next `run` sets it aside and starts afresh",
        ),
        Condition::Missing => Finding::warn(
            "ledger-missing",
            format!("there is no ledger {path}"),
            "name the ledger that is meant (--ledger, SHMWARDEN_LEDGER)",
        ),
        Condition::NotALedger => Finding::bad(
            "not-a-ledger",
            format!(
                "{path} is not a ledger, and is left as it is: a server that is started with it \
                 has no clean-up"
            ),
            "name the ledger that is meant (--ledger, SHMWARDEN_LEDGER); if this file was a \
             ledger once, move it away",
        ),
        Condition::Newer(version) => Finding::warn(
            "ledger-newer",
            format!("{path} has version {version}, which this shmwarden does not know"),
            "use the shmwarden that wrote it, or a newer one",
        ),
        Condition::Failed(why, errno) => {
            Finding::warn("ledger-unusable", why.clone(), advice(errno.map(Errno::from_raw)))
        }
        Condition::Unusable(why) => Finding::warn(
            "ledger-unusable",
            why.clone(),
            "make it a regular file of its server's user with mode 0600, or run this as that user \
             or root",
        ),
    })
}

/// Returns what to do where a call on a ledger has failed.
fn advice(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::EIO) => {
            "its disk fails: see dmesg; a server that runs is not hurt by that, but nothing new is \
             recorded; move the ledgers to a sound disk (--ledger, StateDirectory=)"
        }
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            "free space on its file system, or the quota of its user: nothing new is recorded as \
             long as it is full"
        }
        Some(Errno::EFBIG) => "raise LimitFSIZE= of the unit, or ulimit -f",
        Some(Errno::EROFS) => {
            "mount its file system for writing (a disk that fails is made read-only: dmesg), or \
             name a writable place: --ledger, StateDirectory=, ReadWritePaths="
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            "run this as its owner or as root; it is no fault of the ledger"
        }
        _ => "see what the kernel said of it, and run this again as its owner or as root",
    }
}

/// Returns a finding on a ledger below /run, which is gone when its unit stops or the machine does.
fn in_run(one: &Found) -> Option<Finding> {
    let below = ["/run", "/var/run"].iter().any(|top| one.path.starts_with(Path::new(top)));
    below.then(|| {
        Finding::warn(
            "ledger-in-run",
            format!(
                "{} lies where a unit's RuntimeDirectory= is: systemd deletes that when the unit \
                 stops, and then nothing knows what a crash left",
                one.path.display()
            ),
            "StateDirectory=shmwarden in the unit, or at least RuntimeDirectoryPreserve=yes",
        )
    })
}

/// A data directory, and who works in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataDirectory {
    /// Its path.
    pub(crate) path: String,
    /// Device and inode.
    pub(crate) file: FileRef,
}

/// A finding for each group of data directories that PostgreSQL makes one first key of.
pub(crate) fn judge_directories(directories: &[DataDirectory]) -> Vec<Finding> {
    let mut by_inode: BTreeMap<u64, BTreeMap<u64, &str>> = BTreeMap::new();
    for one in directories {
        by_inode.entry(one.file.ino).or_default().entry(one.file.dev).or_insert(&one.path);
    }
    // One path on two devices was mounted anew.
    let differ = |devices: &BTreeMap<u64, &str>| {
        devices.values().any(|path| Some(path) != devices.values().next())
    };
    let shared = by_inode.into_iter().filter(|(_, devices)| differ(devices));
    shared
        .map(|(inode, devices)| {
            let paths: Vec<&str> = devices.into_values().collect();
            Finding::warn(
                "same-inode",
                format!(
                    "the data directories {} have one inode number, {inode}: PostgreSQL makes its \
                     keys of it, so the later server takes the next key, and after a crash leaks \
                     that segment for good",
                    paths.join(" and ")
                ),
                "put one of them a directory below its mount point (a mount point's own inode \
                 number is always the same), or start them with shmwarden run",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn place(boot: &str, ipc: &str) -> Place {
        Place {
            boot: boot.to_owned(),
            ipc_namespace: ipc.to_owned(),
            pid_namespace: "p".to_owned(),
            shm_mount: None,
        }
    }

    fn said(path: &str, condition: Condition) -> Vec<(Level, &'static str)> {
        let found = [Found { path: path.into(), condition }];
        let findings = judge(&found, &place("b", "i"));
        findings.iter().map(|finding| (finding.level, finding.id)).collect()
    }

    #[test]
    fn a_ledger_is_judged_by_where_and_how_it_was_found() {
        let read = |boot, ipc| Condition::Read(Some(place(boot, ipc)));
        let path = "/var/lib/shmwarden/a.ledger";
        assert_eq!(said(path, read("b", "i")), [(Level::Ok, "ledgers")]);
        assert_eq!(said(path, Condition::Read(None)), [(Level::Ok, "ledgers")]);
        assert_eq!(said(path, read("old", "other")), [(Level::Ok, "ledger-void")]);
        assert_eq!(said(path, read("b", "other")), [(Level::Warn, "ledger-void")]);
        assert_eq!(said(path, Condition::Missing), [(Level::Warn, "ledger-missing")]);
        let damaged = Condition::Damaged { line: 3, why: "its checksum".to_owned() };
        assert_eq!(said(path, damaged), [(Level::Bad, "ledger-damaged")]);
        assert_eq!(said(path, Condition::NotALedger), [(Level::Bad, "not-a-ledger")]);
        assert_eq!(said(path, Condition::Newer(9)), [(Level::Warn, "ledger-newer")]);
        let failed = Condition::Failed("cannot read it".to_owned(), Some(5));
        assert_eq!(said(path, failed), [(Level::Warn, "ledger-unusable")]);
        assert_eq!(said("/run/a/a.ledger", read("b", "i")), [(Level::Warn, "ledger-in-run")]);
        assert_eq!(said("/runner/a.ledger", read("b", "i")), [(Level::Ok, "ledgers")]);
    }

    #[test]
    fn a_place_that_could_not_be_looked_at_is_said_and_the_others_are_named() {
        let place = |path: &str, trouble: Option<&str>| LookedAt {
            path: path.to_owned(),
            trouble: trouble.map(str::to_owned),
        };
        let places = [place("/a", None), place("/b", Some("could not be looked at (EIO)"))];
        let found = judge_places(&places, &["what units name".to_owned()]);
        let ids: Vec<_> = found.iter().map(|one| (one.level, one.id)).collect();
        let unseen = (Level::Ok, UNSEEN_PLACE);
        assert_eq!(ids, [(Level::Warn, "ledger-place"), unseen, (Level::Ok, "ledger-places")]);
        assert!(found[2].text.ends_with("in /a, /b"), "{found:?}");
    }

    #[test]
    fn a_call_that_failed_is_advised_on_by_its_errno() {
        let fix = |errno| {
            let condition = Condition::Failed("cannot read it".to_owned(), Some(errno as i32));
            let found = [Found { path: "/a.ledger".into(), condition }];
            judge(&found, &place("b", "i"))[0].fix.clone().unwrap_or_default()
        };
        let pairs = [
            (Errno::EIO, "dmesg"),
            (Errno::ENOSPC, "free space"),
            (Errno::EROFS, "for writing"),
            (Errno::EACCES, "as its owner or as root"),
        ];
        for (errno, words) in pairs {
            let said = fix(errno);
            assert!(said.contains(words) && !said.contains("mode 0600"), "{errno}: {said}");
        }
    }

    #[test]
    fn one_inode_on_two_devices_is_found_and_one_directory_seen_twice_is_not() {
        let one = |path: &str, dev, ino| DataDirectory {
            path: path.to_owned(),
            file: FileRef { dev, ino },
        };
        let ids = |list: &[DataDirectory]| judge_directories(list).len();
        assert_eq!(ids(&[one("/a", 1, 2), one("/b", 9, 2)]), 1);
        assert_eq!(ids(&[one("/a", 1, 2), one("/b", 9, 2), one("/c", 7, 2)]), 1);
        assert_eq!(ids(&[one("/a", 1, 2), one("/a", 1, 2), one("/b", 1, 3)]), 0);
        assert_eq!(ids(&[one("/a", 1, 2), one("/a", 9, 2)]), 0, "mounted anew");
    }
}
