//! One value, or more, of every variant of every "why", with the same arguments throughout.
//!
//! A variant that is added does not compile until it is named here, and one that is named without a
//! value fails: no code and no sentence is left out of the golden files.

use std::collections::BTreeSet;
use std::time::Duration;

use shmwarden::attribute::sets::{queue_differs, set_differs};
use shmwarden::judge::{Evidence, Holder, Reason, differs};
use shmwarden::object::{Identity, ProcessRef, Queue, SemaphoreSet};
use shmwarden::snapshot::Sight;
use shmwarden::sys::{IpcPerm, msg, sem, shm::Row};

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
    Dead, Adopted, CreatorDead(_), NoUser, Named, Belongs, Gone, Live(_), Unseen(_), AtWork(_),
    Attached(_), Dest, Mapped(_), Opened(_), Locked, PerhapsMapped(_), Unasked, Waited(_),
    Blocked(_), PerhapsWaited(_), PerhapsBlocked(_), LastUserLives(_), SharedWith(_),
    InstanceHeld(_),
    OrphanLives(_), LeftClean, LeftUnseen, OtherBoot, OtherIpcNamespace, OtherMount, Changed(_),
    Suspect(_), LedgerUnread(_), UserLives(..), UserUnread(_), Hidden, PidsElsewhere,
    CreatorUnseen(_), ListElsewhere(_), AnyFile, UseUnseen, LastUserUnseen, CreatorLives(_),
    OthersMayUse(_), OthersUnseen, Unreadable, UserUnrecorded(_), UsedSince, UsedElsewhere(_),
    MayBeUsedElsewhere(_), Used, ChangedSince, NoBirthTime(_), NoIdentity, UnsureSpace,
    UnknownLayout(_), ListedStays(_), GroupStays(..), EarlierStays(_), NotAdopted(_), PidReused,
    Unlisted, Foreign, Unwitnessed, Appeared, PerhapsListed, Recorded(_), Listed(_),
    ListedByDead(..), ListUnread(_), Young(_), MainStays(_), MayLead(..), NotYours(_),
    NotLedgerOwners(..),
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
        perm: IpcPerm {
            key: 0x00f4_2403,
            mode: 0o600,
            uid: make::UID,
            gid: make::GID,
            creator_uid: make::UID,
            creator_gid: make::GID,
        },
        members: 17,
        otime: 0,
        ctime: make::seconds(10),
    }
}

fn queue_row() -> msg::Row {
    msg::Row {
        id: 4,
        perm: IpcPerm {
            key: 0x00f4_2404,
            mode: 0o600,
            uid: make::UID,
            gid: make::GID,
            creator_uid: make::UID,
            creator_gid: make::GID,
        },
        messages: 0,
        bytes: 0,
        most_bytes: 16384,
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
        Row { perm: IpcPerm { key: 1, ..row.perm }, ..row.clone() },
        Row { bytes: 1, ..row.clone() },
        Row { perm: IpcPerm { creator_uid: 1, ..row.perm }, ..row.clone() },
        Row { perm: IpcPerm { creator_gid: 1, ..row.perm }, ..row.clone() },
        Row { creator_pid: 1, ..row.clone() },
        Row { ctime: 1, ..row.clone() },
    ];
    let segments = rows.iter().map(|row| differs(&known, row, true));
    let row = set_row();
    let rows = [
        sem::Row { perm: IpcPerm { key: 1, ..row.perm }, ..row.clone() },
        sem::Row { members: 1, ..row.clone() },
        sem::Row { perm: IpcPerm { creator_uid: 1, ..row.perm }, ..row.clone() },
        sem::Row { perm: IpcPerm { creator_gid: 1, ..row.perm }, ..row.clone() },
    ];
    let sets = rows.iter().map(|row| set_differs(&known_set(), row));
    let row = queue_row();
    let rows = [
        msg::Row { perm: IpcPerm { key: 1, ..row.perm }, ..row.clone() },
        msg::Row { perm: IpcPerm { creator_uid: 1, ..row.perm }, ..row.clone() },
        msg::Row { perm: IpcPerm { creator_gid: 1, ..row.perm }, ..row.clone() },
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

/// Returns every reason.
pub fn reasons() -> Vec<Reason> {
    let mut all = of_what_goes();
    all.extend(evidence().into_iter().map(Reason::Live));
    all.extend(evidence().into_iter().map(Reason::Unseen));
    all.push(Reason::AtWork(4700));
    all.extend(of_use());
    all.extend(evidence().into_iter().map(Reason::OrphanLives));
    all.extend([Reason::LeftClean, Reason::LeftUnseen]);
    all.extend([Reason::OtherBoot, Reason::OtherIpcNamespace, Reason::OtherMount]);
    all.extend(differences().into_iter().map(Reason::Changed));
    all.extend(of_who_may_want_it());
    all.extend(of_doubt());
    all.extend(of_the_instance());
    all.extend(of_adopt());
    all
}

fn of_what_goes() -> Vec<Reason> {
    vec![
        Reason::Dead,
        Reason::Adopted,
        Reason::CreatorDead(4711),
        Reason::NoUser,
        Reason::Named,
        Reason::Belongs,
        Reason::Gone,
    ]
}

fn of_use() -> Vec<Reason> {
    vec![
        Reason::Attached(1),
        Reason::Attached(2),
        Reason::Dest,
        Reason::Mapped(holder()),
        Reason::Opened(holder()),
        Reason::Locked,
        Reason::PerhapsMapped(holder()),
        Reason::Unasked,
        Reason::Waited(1),
        Reason::Waited(2),
        Reason::Blocked(holder()),
        Reason::PerhapsWaited(holder()),
        Reason::PerhapsBlocked(holder()),
        Reason::LastUserLives(holder()),
        Reason::LastUserLives(Holder::hidden(4800)),
        Reason::SharedWith(holder()),
        Reason::InstanceHeld(main_segment()),
    ]
}

fn of_who_may_want_it() -> Vec<Reason> {
    vec![
        Reason::Suspect("/var/lib/shmwarden/main.ledger (perhaps its own)".to_owned()),
        Reason::LedgerUnread("/home/a/.local/state/shmwarden (Permission denied)".to_owned()),
        Reason::UserLives(4800, make::UID),
        Reason::UserUnread(4800),
        Reason::Hidden,
        Reason::PidsElsewhere,
        Reason::CreatorUnseen(make::UID),
        Reason::ListElsewhere(listed_file()),
        Reason::AnyFile,
    ]
}

fn of_doubt() -> Vec<Reason> {
    let ledger = || "/var/lib/shmwarden/other\n.ledger".to_owned();
    vec![
        Reason::UseUnseen,
        Reason::LastUserUnseen,
        Reason::CreatorLives(holder()),
        Reason::OthersMayUse(holder()),
        Reason::OthersUnseen,
        Reason::Unreadable,
        Reason::UserUnrecorded(4800),
        Reason::UsedSince,
        Reason::UsedElsewhere(ledger()),
        Reason::MayBeUsedElsewhere(ledger()),
        Reason::Used,
        Reason::ChangedSince,
        Reason::NoBirthTime("and when its server died is not known"),
        Reason::NoIdentity,
        Reason::UnsureSpace,
    ]
}

fn of_the_instance() -> Vec<Reason> {
    vec![
        Reason::UnknownLayout("PostgreSQL 99 is not known".to_owned()),
        Reason::ListedStays(listed_file()),
        Reason::GroupStays(listed_file(), Box::new(Reason::Attached(1))),
        Reason::EarlierStays(listed_file()),
        Reason::NotAdopted(listed_file()),
        Reason::PidReused,
        Reason::Unlisted,
        Reason::Foreign,
        Reason::Unwitnessed,
        Reason::Appeared,
        Reason::PerhapsListed,
    ]
}

fn of_adopt() -> Vec<Reason> {
    vec![
        Reason::Recorded("/var/lib/shmwarden/main.ledger (its server lives)".to_owned()),
        Reason::Listed(listed_file()),
        Reason::ListedByDead(listed_file(), main_segment()),
        Reason::ListUnread(listed_file()),
        Reason::Young(Duration::from_secs(3600)),
        Reason::MainStays(main_segment()),
        Reason::MayLead(main_segment(), Box::new(Reason::Attached(1))),
        Reason::NotYours(make::OTHER_UID),
        Reason::NotLedgerOwners(0, make::OTHER_UID),
    ]
}
