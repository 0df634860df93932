//! The findings of `doctor` and `systemd`, from literals: the machine's settings and limits,
//! ledgers, logind, units.

use std::path::PathBuf;
use std::time::SystemTime;

use shmwarden::judge::Reason;
use shmwarden::judge::status::{Judged, Status, Subject};
use shmwarden::object::FileRef;

use super::make;
use crate::doctor::leaks::Asker;
use crate::doctor::ledgers::{self, Condition, DataDirectory, Found};
use crate::doctor::logind::{self, Interest, Keeper, Setting};
use crate::doctor::{beside, kernel, leaks, limits, settings};
use crate::finding::Finding;
use crate::host::features::Features;
use crate::host::kernel::{Limits, ShmFileSystem};
use crate::host::limit::{Limit, Nature};
use crate::units::{self, UnitProperties, Way};

/// Root, at a moment that no object is older than.
const ASKER: Asker = Asker { uid: 0, now: SystemTime::UNIX_EPOCH };

/// Returns every finding, the machine's first.
pub(super) fn all() -> Vec<Finding> {
    let mut all = of_kernels();
    all.extend(of_settings());
    all.extend(of_limits());
    all.extend(of_leaks());
    all.extend(of_logind());
    all.extend(of_ledgers());
    all.extend(of_units());
    all
}

fn of_kernels() -> Vec<Finding> {
    let none = Features {
        namespace_id: Some(false),
        initial_ipc: Some(false),
        stat_any: Some(false),
        pidfd: Some(false),
        pidfd_info: Some(false),
        procmap_query: Some(false),
        birth_time: Some(false),
    };
    let machine = Features { initial_ipc: Some(true), ..none };
    let of_machine = kernel::judge(&machine).into_iter();
    let of_machine = of_machine.filter(|finding| finding.id == "kernel-namespace-id");
    let whole = kernel::judge(&Features::default());
    kernel::judge(&none).into_iter().chain(of_machine).chain(whole).collect()
}

fn of_settings() -> Vec<Finding> {
    let shm = |is_tmpfs, total_bytes| {
        Some(ShmFileSystem { is_tmpfs, total_bytes, mode: 0o1777, ..Default::default() })
    };
    let machines = [
        (Some(true), None),
        (Some(false), shm(false, 0)),
        (None, shm(true, 64 << 20)),
        (None, shm(true, 4 << 30)),
        (None, shm(true, 4 << 30).map(|fs| ShmFileSystem { mode: 0o755, ..fs })),
    ];
    let of = |(rmid_forced, shm_fs)| Limits { rmid_forced, shm_fs, ..Limits::default() };
    machines.into_iter().flat_map(|machine| settings::judge(&of(machine))).collect()
}

fn of_limits() -> Vec<Finding> {
    let limit = |name, unit, unit_bytes| Limit {
        name,
        what: "what it limits",
        used: Some(99),
        limit: Some(100),
        leaked: Some(3),
        unit,
        unit_bytes,
        nature: Nature::Total,
    };
    let full = [
        limit("shmmni", "segments", None),
        limit("shmall", "pages", Some(4096)),
        limit("semmni", "sets", None),
        limit("semmns", "semaphores", None),
        limit("msgmni", "queues", None),
        limit("/dev/shm", "bytes", Some(1)),
    ];
    let mut found = limits::judge(&full, &[], 4096, None, ASKER, &|uid| format!("user {uid}"));
    found.extend(limits::judge(&[], &[], 4096, None, ASKER, &|uid| format!("user {uid}")));
    found
}

/// Two instances of which something is kept: of the first somebody uses an object, of the second
/// that is only not ruled out.
fn of_leaks() -> Vec<Finding> {
    let rows: Vec<_> = (1..=4).map(|id| make::row(&make::segment(id))).collect();
    let whys = [
        (0, Reason::Attached(2)),
        (0, Reason::InstanceHeld("segment 1".to_owned())),
        (1, Reason::Unasked),
        (1, Reason::UseUnseen),
    ];
    let judged: Vec<Judged<'_>> = rows
        .iter()
        .zip(whys)
        .map(|(row, (account, why))| Judged {
            subject: Subject::Shm(row),
            verdict: Status::Held,
            why,
            account: Some(account),
            object: None,
            unlooked: None,
        })
        .collect();
    leaks::judge(&judged, &[], ASKER, &|uid| format!("user {uid}"), &|bytes| format!("{bytes} B"))
}

fn of_logind() -> Vec<Finding> {
    let keeper = |why| Keeper { uid: make::UID, why, lingers: false };
    let keepers = [Interest::Objects(5), Interest::Ledger, Interest::Server(4711)].map(keeper);
    let setting = |removes, from: Option<&str>| Setting {
        removes,
        from: from.map(str::to_owned),
        unread: vec!["/etc/systemd/logind.conf.d/own.conf".to_owned()],
    };
    let file = Some("/etc/systemd/logind.conf");
    let names = |uid| format!("user{uid}");
    let judge = |setting: Option<Setting>, keepers: &[Keeper]| {
        logind::judge(setting.as_ref(), 999, keepers, &names)
    };
    let cases = [
        (None, &keepers[..]),
        (Some(setting(true, file)), &keepers),
        (Some(setting(true, None)), &keepers),
        (Some(setting(true, file)), &[]),
        (Some(setting(false, file)), &keepers),
        (Some(setting(false, None)), &keepers),
    ];
    cases.into_iter().flat_map(|(setting, keepers)| judge(setting, keepers)).collect()
}

fn of_ledgers() -> Vec<Finding> {
    let ledger = |condition| Found { path: PathBuf::from("/srv/ledgers/a.ledger"), condition };
    let failed = |errno| Condition::Failed("cannot read the ledger /srv/a".to_owned(), errno);
    let mut conditions = vec![
        Condition::Read(Some(make::here())),
        Condition::Read(Some(make::in_boot("second"))),
        Condition::Read(Some(make::in_ipc("id:99"))),
        Condition::Damaged { line: 7, why: "its checksum does not match".to_owned() },
        Condition::NotALedger,
        Condition::Newer(99),
        Condition::Unusable("refused the ledger /srv/a: its mode lets others write".to_owned()),
    ];
    let errnos = [None, Some(5), Some(28), Some(27), Some(30), Some(13)];
    conditions.extend(errnos.map(failed));
    let judge = |found: &[Found]| ledgers::judge(found, &make::here());
    let mut found = judge(&[]);
    found.extend(conditions.into_iter().flat_map(|condition| judge(&[ledger(condition)])));
    let condition = Condition::Read(None);
    found.extend(judge(&[Found { path: PathBuf::from("/run/pg/a.ledger"), condition }]));
    let directory =
        |dev, path: &str| DataDirectory { path: path.to_owned(), file: FileRef { dev, ino: 77 } };
    found.extend(ledgers::judge_directories(&[directory(1, "/srv/a"), directory(2, "/srv/b")]));
    found
}

fn of_units() -> Vec<Finding> {
    let start = |words: &str| {
        format!("ExecStart={{ path=/usr/bin/shmwarden ; argv[]={words} ; ignore_errors=no ; x }}\n")
    };
    let removal = "{ path=/usr/bin/ipcrm ; argv[]=/usr/bin/ipcrm -a ; ignore_errors=no ; x }";
    let relay = start("/usr/bin/shmwarden run -- /a");
    let named = start("/usr/bin/shmwarden run --ledger /run/pg/a.ledger -- /a");
    let units = [
        (Way::Prefix, "NeedDaemonReload=yes"),
        (Way::Prefix, "KillMode=process"),
        (Way::Record, "KillMode=none"),
        (Way::Prefix, "KillMode=control-group"),
        (Way::Prefix, "SendSIGKILL=no"),
        (Way::Prefix, &format!("{relay}NotifyAccess=all")),
        (Way::Record, "Type=oneshot"),
        (Way::Record, "Type=exec"),
        (Way::Prefix, &format!("{named}RuntimeDirectory=pg")),
        (Way::Prefix, "RuntimeDirectory=shmwarden"),
        (Way::Prefix, "ProcSubset=pid"),
        (Way::Prefix, "InaccessiblePaths=-/proc"),
        (Way::Prefix, "PrivateIPC=yes"),
        (Way::Prefix, "TemporaryFileSystem=/dev/shm"),
        (Way::Prefix, "SystemCallFilter=~shmctl"),
        (Way::Prefix, "DynamicUser=yes"),
        (Way::Prefix, "RemoveIPC=yes"),
        (Way::Prefix, "RootDirectory=/srv/root"),
        (Way::Prefix, "NoExecPaths=/"),
        (Way::Prefix, &format!("ExecStopPost={removal}")),
        (Way::Prefix, "KillSignal=9"),
        (Way::Prefix, "ProtectProc=invisible"),
        (Way::Prefix, "PrivateTmp=yes"),
        (Way::Prefix, "MemoryDenyWriteExecute=yes"),
    ];
    let judged = units.into_iter().flat_map(|(way, text)| {
        let found = units::judge(&UnitProperties::parse(text), way);
        assert_eq!(found.len(), 1, "{text}");
        found
    });
    let other = UnitProperties::parse("Id=backup.service\nUser=postgres\nRemoveIPC=yes");
    let server = beside::Server {
        pid: 4711,
        uid: make::UID,
        user: Some("postgres".to_owned()),
        unit: Some("postgresql.service".to_owned()),
        users_unit: None,
    };
    judged.chain(beside::judge(&[other], &[server])).collect()
}
