//! Numbers for monitoring, in Prometheus's text format, as node_exporter's textfile collector reads
//! it (prometheus.io, "Exposition formats"). No label names a single object: a series for each id
//! would grow without end.
//!
//! The order is stable, so that two files can be compared. Metric names and labels are a promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use shmwarden::judge::status::{Judged, Kind, Status};
use shmwarden::ledger::Book;
use shmwarden::ledger::book::Standing;
use shmwarden::ledger::record::{End, Outcome};

use crate::host::limit::Limit;
use crate::render::metrics::{self, Labels, Metric, write};
use crate::render::shown::Shown;
use crate::servers::{self, Server};

const OBJECTS: Metric = Metric {
    name: "shmwarden_objects",
    help: "Objects in this IPC namespace and /dev/shm.",
    labels: &["kind", "verdict", "instance"],
};
const OBJECT_BYTES: Metric = Metric {
    name: "shmwarden_object_bytes",
    help: "Size of these objects in bytes, resident or not.",
    labels: &["kind", "verdict", "instance"],
};
const KEPT: Metric = Metric {
    name: "shmwarden_kept_objects",
    help: "Objects that a ledger names and sweep would keep, by the reason; not those of living \
           instances.",
    labels: &["instance", "reason"],
};
const OUTCOMES: Metric = Metric {
    name: "shmwarden_ledger_outcomes",
    help: "Objects in the ledgers by what came of them, as far back as the ledgers go.",
    labels: &["instance", "outcome"],
};
const REMOVED_BYTES: Metric = Metric {
    name: "shmwarden_ledger_removed_bytes",
    help: "Size of the objects removed, as far back as the ledgers go.",
    labels: &["instance"],
};
const LAST_REMOVAL: Metric = Metric {
    name: "shmwarden_ledger_last_removal_timestamp_seconds",
    help: "When the last object was removed, 0 for never.",
    labels: &["instance"],
};
const RUNS: Metric = Metric {
    name: "shmwarden_ledger_runs",
    help: "Starts of servers by how they ended, as far back as the ledgers go.",
    labels: &["instance", "end"],
};
const ROBBED: Metric = Metric {
    name: "shmwarden_robbed_objects",
    help: "Objects that living servers still use and someone else removed.",
    labels: &["instance"],
};
const UNREADABLE: Metric = Metric {
    name: "shmwarden_ledgers_unreadable",
    help: "Ledgers that are damaged, of a newer version, or may not be read.",
    labels: &[],
};
const LIMIT: Metric = Metric {
    name: "shmwarden_limit",
    help: "Limits: counts; pages for shmall and hugepages, bytes for shmmax and /dev/shm.",
    labels: &["limit"],
};
const LIMIT_USED: Metric = Metric {
    name: "shmwarden_limit_used",
    help: "What is taken of each limit; of those for a single object, by the largest.",
    labels: &["limit"],
};
const LIMIT_LEAKED: Metric = Metric {
    name: "shmwarden_limit_leaked",
    help: "What is taken of each limit by objects that nobody is left to use.",
    labels: &["limit"],
};
const BUILD: Metric = Metric {
    name: "shmwarden_build_info",
    help: "1, with the version of shmwarden as a label.",
    labels: &["version"],
};

/// Everything, ready to be written.
pub(crate) fn text(
    objects: &[Judged<'_>],
    shown: &Shown<'_>,
    limits: &[Limit],
    servers: &[Server],
) -> String {
    let mut out = String::new();
    of_objects(objects, shown, &mut out);
    metrics::of_servers(&servers::counts(servers), &mut out);
    of_ledgers(shown, &mut out);
    let named = |value: fn(&Limit) -> Option<u64>| {
        let rows =
            limits.iter().filter_map(|limit| Some((vec![limit.name.to_owned()], value(limit)?)));
        rows.collect::<BTreeMap<Labels, u64>>()
    };
    write(&LIMIT, &named(|limit| limit.limit), &mut out);
    write(&LIMIT_USED, &named(|limit| limit.used), &mut out);
    write(&LIMIT_LEAKED, &named(|limit| limit.leaked), &mut out);
    let version = vec![env!("CARGO_PKG_VERSION").to_owned()];
    write(&BUILD, &BTreeMap::from([(version, 1)]), &mut out);
    out
}

fn of_objects(objects: &[Judged<'_>], shown: &Shown<'_>, out: &mut String) {
    let mut counts: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut bytes: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut kept: BTreeMap<Labels, u64> = BTreeMap::new();
    // A series that goes away with the last leak cannot tell that it has gone.
    for labels in always_there(shown) {
        bytes.insert(labels.clone(), 0);
        counts.insert(labels, 0);
    }
    for one in objects {
        let instance = shown.instance(one.account).unwrap_or_default();
        let labels = labels_of(one.subject.kind(), one.verdict, instance);
        add(&mut bytes, labels.clone(), one.subject.bytes().unwrap_or(0));
        add(&mut counts, labels, 1);
        let stays = !matches!(one.verdict, Status::Live | Status::Stale);
        if one.account.is_some() && stays {
            add(&mut kept, vec![instance.to_owned(), one.why.code().to_owned()], 1);
        }
    }
    write(&OBJECTS, &counts, out);
    write(&OBJECT_BYTES, &bytes, out);
    write(&KEPT, &kept, out);
}

/// Returns the labels that alerts need even at 0: leaks of each instance, and those of no ledger.
fn always_there(shown: &Shown<'_>) -> Vec<Labels> {
    let instances: BTreeSet<&str> =
        shown.view.ledgers.iter().map(|read| read.source.instance.as_str()).collect();
    let mut all = Vec::new();
    for kind in Kind::ALL {
        all.push(labels_of(kind, Status::Orphan, ""));
        all.push(labels_of(kind, Status::Unrecorded, ""));
        for instance in &instances {
            for verdict in [Status::Live, Status::Held, Status::Stale] {
                all.push(labels_of(kind, verdict, instance));
            }
        }
    }
    all
}

fn labels_of(kind: Kind, verdict: Status, instance: &str) -> Labels {
    vec![kind.word().to_owned(), verdict.word().to_owned(), instance.to_owned()]
}

fn add(rows: &mut BTreeMap<Labels, u64>, labels: Labels, amount: u64) {
    let sum = rows.entry(labels).or_default();
    *sum = sum.saturating_add(amount);
}

fn of_ledgers(shown: &Shown<'_>, out: &mut String) {
    let mut outcomes: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut removed: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut last: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut runs: BTreeMap<Labels, u64> = BTreeMap::new();
    let mut robbed: BTreeMap<Labels, u64> = BTreeMap::new();
    for (account, _) in &shown.view.robbed {
        add(&mut robbed, vec![shown.instance(Some(*account)).unwrap_or_default().to_owned()], 1);
    }
    for read in &shown.view.ledgers {
        let instance = read.source.instance.clone();
        for outcome in OUTCOME_WORDS {
            add(&mut outcomes, vec![instance.clone(), outcome.to_owned()], 0);
        }
        for end in END_WORDS {
            add(&mut runs, vec![instance.clone(), end.to_owned()], 0);
        }
        let key = vec![instance.clone()];
        add(&mut robbed, key.clone(), 0);
        add(&mut removed, key.clone(), 0);
        let newest = last.entry(key.clone()).or_default();
        *newest = (*newest).max(last_removal(&read.book));
        for object in read.book.objects.values() {
            let Some(word) = outcome_word(&object.standing) else {
                continue;
            };
            add(&mut outcomes, vec![instance.clone(), word.to_owned()], 1);
            if word == "removed" {
                add(&mut removed, key.clone(), object.identity.bytes().unwrap_or(0));
            }
        }
        for run in read.book.runs.values() {
            let word = end_word(run.end.map(|(end, _)| end));
            add(&mut runs, vec![instance.clone(), word.to_owned()], 1);
        }
    }
    write(&OUTCOMES, &outcomes, out);
    write(&REMOVED_BYTES, &removed, out);
    write(&LAST_REMOVAL, &last, out);
    write(&RUNS, &runs, out);
    write(&ROBBED, &robbed, out);
    write(&UNREADABLE, &BTreeMap::from([(vec![], shown.view.errors.len() as u64)]), out);
}

const OUTCOME_WORDS: [&str; 5] = ["removed", "gone", "kept", "raced", "failed"];

fn outcome_word(standing: &Standing) -> Option<&'static str> {
    match standing {
        Standing::Present | Standing::Intended => None,
        Standing::Gone | Standing::Tried(Outcome::Gone, _) => Some("gone"),
        Standing::Tried(Outcome::Removed, _) => Some("removed"),
        Standing::Tried(Outcome::Kept, _) => Some("kept"),
        Standing::Tried(Outcome::Raced, _) => Some("raced"),
        Standing::Tried(Outcome::Failed, _) => Some("failed"),
    }
}

const END_WORDS: [&str; 6] = ["clean", "failed", "signal", "not-started", "unknown", "running"];

fn end_word(end: Option<End>) -> &'static str {
    match end {
        Some(End::Exit(0)) => "clean",
        Some(End::Exit(_)) => "failed",
        Some(End::Signal(_)) => "signal",
        Some(End::NotStarted(_)) => "not-started",
        Some(End::Unknown) => "unknown",
        None => "running",
    }
}

/// Seconds since the epoch; 0 for never.
fn last_removal(book: &Book) -> u64 {
    let removed = book
        .objects
        .values()
        .filter(|object| matches!(object.standing, Standing::Tried(Outcome::Removed, _)));
    let last = removed.map(|object| object.changed).max();
    let since = last.and_then(|last| last.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}
