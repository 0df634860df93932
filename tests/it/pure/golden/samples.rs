//! One value, or more, of every variant of every "why", with the same arguments throughout.
//!
//! A variant that is added does not compile until it is named here, and one that is named without a
//! value fails: no code and no sentence is left out of the golden files.

use std::collections::BTreeSet;
use std::time::Duration;

use shmwarden::attribute::sets::{queue_differs, set_differs};
use shmwarden::judge::status::Alone;
use shmwarden::judge::unowned::Against;
use shmwarden::judge::{Evidence, Holder, Reason, differs};
use shmwarden::object::{Identity, ProcessRef, Queue, SemaphoreSet};
use shmwarden::snapshot::Sight;
use shmwarden::sys::{msg, sem, shm::Row};

use super::make;

/// Makes a test that there is a value of every variant.
macro_rules! complete {
    (
        $name:ident, $all:ident, $type:ident:
        $($variant:ident $(($($one:tt)*))? $({ $($two:tt)* })?),+ $(,)?
    ) => {
        #[test]
        fn $name() {
            let name = |value: &$type| match value {
                $($type::$variant $(($($one)*))? $({ $($two)* })? => stringify!($variant),)+
            };
            let all = $all();
            let found: BTreeSet<&str> = all.iter().map(name).collect();
            let known: BTreeSet<&str> = [$(stringify!($variant)),+].into();
            assert_eq!(found, known);
        }
    };
}

complete!(
    every_evidence_has_a_sample, evidence, Evidence:
    Claimed(_), PidFile(_), RunsHere(_), Descends(_), Launcher(_), Closed(_), OtherPids { .. },
    Hidden { .. }, HiddenProcesses, OutsideProcesses, PidFileClosed { .. },
);

complete!(
    every_reason_has_a_sample, reasons, Reason:
    Dead, Live(_), OrphanLives(_), Unseen(_), OtherBoot, OtherIpcNamespace, OtherMount, Changed(_),
    Attached(_), Mapped, Opened(_), Locked, PerhapsMapped(_), Dest, InstanceHeld(_), LeftClean,
    LeftUnseen, UnknownLayout(_), ListedStays(_), EarlierStays(_), PidReused, Unlisted, Foreign,
    Adopted, NotOrphan(_), NotAdopted(_), Waited(_), PerhapsWaited(_), LastUserLives(_),
    LastUserUnseen, SharedWith(_), OthersMayUse(_), OthersUnseen, Unreadable, UserUnrecorded(_),
    ChangedSince, NoBirthTime(_), UsedSince, UsedElsewhere { .. }, UnsureSpace, Unwitnessed, Gone,
);

complete!(
    every_objection_to_an_orphan_has_a_sample, against, Against:
    Recorded(_), Suspect(_), LedgerUnread(_), Attached(_), Dest, Mapped(_), Opened(_), Locked,
    PerhapsMapped(_), UseUnseen, Waited(_), Blocked(_), PerhapsBlocked(_), LastUserLives(_),
    LastUserUnseen, CreatorLives(_), Listed(_), ListedByDead { .. }, ListUnread(_), Young(_),
    ChangedSince, NoIdentity, ListedStays(..), MainStays(_), MayLead(..), UnknownLayout,
    Unreadable, NotYours(_), UserLives { .. }, UserUnread(_), Hidden, PidsElsewhere,
    CreatorUnseen(_), ListElsewhere(_), AnyFile,
);

complete!(
    every_word_on_an_unrecorded_object_has_a_sample, alone, Alone:
    CreatorDead(_), NoUser, Attached(_), Dest, Mapped(_), Opened(_), Locked, PerhapsMapped(_),
    Waited(_), LastUserLives(_), LastUserUnseen, CreatorLives(_), CreatorUnseen, UserLives(_),
    Hidden, Outside,
);

/// Returns a process that holds something, and whose command line is hostile.
fn holder() -> Holder {
    Holder {
        process: ProcessRef { pid: 4800, start: 2000 },
        uid: Some(make::UID),
        command: "postgres: writer \u{1b}[31m".to_owned(),
        state: 'S',
        attachments: 1,
        orphan: false,
    }
}

/// Returns the process that an openGauss leaves behind, which comes with an advice.
fn fenced() -> Holder {
    let command = "gaussdb fenced UDF master process".to_owned();
    Holder { command, orphan: true, ..holder() }
}

/// Returns one object of each kind.
pub fn identities() -> Vec<Identity> {
    vec![make::shm(&make::segment(0)), make::posix(&make::file("arena\n", 9)), set(), queue()]
}

fn main_segment() -> String {
    make::shm(&make::segment(0)).to_string()
}

fn listed_file() -> String {
    make::posix(&make::posix_of(make::DYNAMIC_HANDLE)).to_string()
}

fn set_row() -> sem::Row {
    sem::Row {
        id: 3,
        key: 0x00f4_2403,
        mode: 0o600,
        uid: make::UID,
        gid: make::GID,
        creator_uid: make::UID,
        creator_gid: make::GID,
        members: 17,
        otime: 0,
        ctime: make::seconds(10),
    }
}

fn queue_row() -> msg::Row {
    msg::Row {
        id: 4,
        key: 0x00f4_2404,
        mode: 0o600,
        uid: make::UID,
        gid: make::GID,
        creator_uid: make::UID,
        creator_gid: make::GID,
        messages: 0,
        bytes: 0,
        last_sender: 0,
        last_receiver: 0,
        stime: 0,
        rtime: 0,
        ctime: make::seconds(10),
    }
}

fn known_set() -> SemaphoreSet {
    shmwarden::snapshot::tables::set_identity(&set_row())
}

fn known_queue() -> Queue {
    shmwarden::snapshot::tables::queue_identity(&queue_row())
}

fn set() -> Identity {
    Identity::Sem(known_set())
}

fn queue() -> Identity {
    Identity::Msg(known_queue())
}

/// Returns in what ways the object that bears a number now can differ from the recorded one.
fn differences() -> BTreeSet<&'static str> {
    let known = make::segment(0);
    let row = make::row(&known);
    let rows = [
        Row { key: 1, ..row.clone() },
        Row { bytes: 1, ..row.clone() },
        Row { creator_uid: 1, ..row.clone() },
        Row { creator_gid: 1, ..row.clone() },
        Row { creator_pid: 1, ..row.clone() },
        Row { ctime: 1, ..row.clone() },
    ];
    let segments = rows.iter().map(|row| differs(&known, row, true));
    let row = set_row();
    let rows = [
        sem::Row { key: 1, ..row.clone() },
        sem::Row { members: 1, ..row.clone() },
        sem::Row { creator_uid: 1, ..row.clone() },
        sem::Row { creator_gid: 1, ..row.clone() },
    ];
    let sets = rows.iter().map(|row| set_differs(&known_set(), row));
    let row = queue_row();
    let rows = [
        msg::Row { key: 1, ..row.clone() },
        msg::Row { creator_uid: 1, ..row.clone() },
        msg::Row { creator_gid: 1, ..row.clone() },
    ];
    let queues = rows.iter().map(|row| queue_differs(&known_queue(), row));
    let all: Vec<Option<&'static str>> = segments.chain(sets).chain(queues).collect();
    assert_eq!(all.iter().filter(|what| what.is_none()).count(), 0, "{all:?}");
    all.into_iter().flatten().collect()
}

/// Returns what can show that something of an instance lives.
pub fn evidence() -> Vec<Evidence> {
    let unseen = [Sight::Part, Sight::Namespace].map(Evidence::of_sight);
    let mut all = vec![
        Evidence::Claimed(holder()),
        Evidence::PidFile(holder()),
        Evidence::RunsHere(holder()),
        Evidence::Descends(holder()),
        Evidence::Descends(fenced()),
        Evidence::Launcher(holder()),
        Evidence::Closed(holder()),
        Evidence::OtherPids { run: 1 },
        Evidence::Hidden { pid: 4711 },
        Evidence::PidFileClosed { path: "/srv/da\nta".to_owned() },
    ];
    all.extend(unseen.into_iter().flatten());
    all
}

/// Returns every reason of `sweep` and `run`.
pub fn reasons() -> Vec<Reason> {
    let mut all = vec![Reason::Dead];
    all.extend(evidence().into_iter().map(Reason::Live));
    all.extend(evidence().into_iter().map(Reason::OrphanLives));
    all.extend(evidence().into_iter().map(Reason::Unseen));
    all.extend([Reason::OtherBoot, Reason::OtherIpcNamespace, Reason::OtherMount]);
    all.extend(differences().into_iter().map(Reason::Changed));
    all.extend(of_use());
    all.extend(of_the_instance());
    all.extend(against().into_iter().map(Reason::NotOrphan));
    all
}

fn of_use() -> Vec<Reason> {
    let elsewhere = |read| Reason::UsedElsewhere {
        ledger: "/var/lib/shmwarden/other\n.ledger".to_owned(),
        read,
    };
    vec![
        Reason::Attached(1),
        Reason::Attached(2),
        Reason::Mapped,
        Reason::Opened(holder()),
        Reason::Locked,
        Reason::PerhapsMapped(holder()),
        Reason::Dest,
        Reason::Waited(1),
        Reason::Waited(2),
        Reason::PerhapsWaited(holder()),
        Reason::LastUserLives(holder()),
        Reason::LastUserUnseen,
        Reason::SharedWith(holder()),
        Reason::OthersMayUse(holder()),
        Reason::OthersUnseen,
        Reason::Unreadable,
        Reason::UserUnrecorded(4800),
        Reason::UsedSince,
        elsewhere(true),
        elsewhere(false),
    ]
}

fn of_the_instance() -> Vec<Reason> {
    vec![
        Reason::InstanceHeld(main_segment()),
        Reason::LeftClean,
        Reason::LeftUnseen,
        Reason::UnknownLayout("PostgreSQL 99 is not known".to_owned()),
        Reason::ListedStays(listed_file()),
        Reason::EarlierStays(listed_file()),
        Reason::PidReused,
        Reason::Unlisted,
        Reason::Foreign,
        Reason::Adopted,
        Reason::NotAdopted(listed_file()),
        Reason::ChangedSince,
        Reason::NoBirthTime("and when its server died is not known"),
        Reason::UnsureSpace,
        Reason::Unwitnessed,
        Reason::Gone,
    ]
}

/// Returns everything that can speak against adopting an object.
pub fn against() -> Vec<Against> {
    let boxed = || Box::new(Against::Attached(1));
    vec![
        Against::Recorded("/var/lib/shmwarden/main.ledger (its server lives)".to_owned()),
        Against::Suspect("/var/lib/shmwarden/main.ledger (perhaps its own)".to_owned()),
        Against::LedgerUnread("/home/a/.local/state/shmwarden (Permission denied)".to_owned()),
        Against::Attached(1),
        Against::Attached(2),
        Against::Dest,
        Against::Mapped(4800),
        Against::Opened(4800),
        Against::Locked,
        Against::PerhapsMapped(4800),
        Against::UseUnseen,
        Against::Waited(1),
        Against::Waited(2),
        Against::Blocked(4800),
        Against::PerhapsBlocked(4800),
        Against::LastUserLives(4800),
        Against::LastUserUnseen,
        Against::CreatorLives(4800),
        Against::Listed(listed_file()),
        Against::ListedByDead { list: listed_file(), first: main_segment() },
        Against::ListUnread(listed_file()),
        Against::Young(Duration::from_secs(3600)),
        Against::ChangedSince,
        Against::NoIdentity,
        Against::ListedStays(listed_file(), boxed()),
        Against::MainStays(main_segment()),
        Against::MayLead(main_segment(), boxed()),
        Against::UnknownLayout,
        Against::Unreadable,
        Against::NotYours(make::OTHER_UID),
        Against::UserLives { pid: 4800, uid: make::UID },
        Against::UserUnread(4800),
        Against::Hidden,
        Against::PidsElsewhere,
        Against::CreatorUnseen(make::UID),
        Against::ListElsewhere(listed_file()),
        Against::AnyFile,
    ]
}

/// Returns everything that an object which no ledger has can show of itself.
pub fn alone() -> Vec<Alone> {
    vec![
        Alone::CreatorDead(4711),
        Alone::NoUser,
        Alone::Attached(1),
        Alone::Attached(2),
        Alone::Dest,
        Alone::Mapped(4800),
        Alone::Opened(4800),
        Alone::Locked,
        Alone::PerhapsMapped(4800),
        Alone::Waited(1),
        Alone::Waited(2),
        Alone::LastUserLives(4800),
        Alone::LastUserUnseen,
        Alone::CreatorLives(4711),
        Alone::CreatorUnseen,
        Alone::UserLives(4800),
        Alone::Hidden,
        Alone::Outside,
    ]
}
