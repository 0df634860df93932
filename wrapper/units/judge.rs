//! The settings of a unit that do not fit: what would happen, and what to do. The comments say what
//! was seen under systemd 252; `tests/host/` sees it again.

use super::hooks;
use super::properties::{UnitProperties, Way};
use crate::finding::Finding;

/// System calls without which shmwarden cannot do its work; all are in `@system-service`.
const NEEDED_CALLS: [&str; 14] = [
    "shmctl",
    "shmat",
    "statx",
    "fstatfs",
    "unlinkat",
    "flock",
    "fsync",
    "memfd_create",
    "signalfd4",
    "waitid",
    "prctl",
    "kill",
    "ioctl",
    "pidfd_open",
];

/// Returns what does not fit in a unit in which shmwarden stands, or is to stand, that way.
/// Findings of level ok say of hardening that is often suspected that it does no harm.
pub(crate) fn judge(unit: &UnitProperties, way: Way) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(stale_text(unit));
    findings.extend(kill_mode(unit, way));
    findings.extend(notify_access(unit, way));
    findings.extend(record_too_early(unit, way));
    findings.extend(ledger_place(unit));
    findings.extend(hidden_proc(unit));
    findings.extend(hidden_memory(unit));
    findings.extend(system_calls(unit));
    findings.extend(users(unit));
    findings.extend(other_root(unit));
    findings.extend(unexecutable(unit, way));
    findings.extend(hooks::judge(unit));
    findings.extend(harmless(unit));
    findings
}

fn stale_text(unit: &UnitProperties) -> Option<Finding> {
    unit.is_on("NeedDaemonReload").then(|| {
        Finding::warn(
            "daemon-reload",
            "the unit's files are newer than what systemd has loaded, and the two are mixed here",
            "systemctl daemon-reload, and ask again",
        )
    })
}

fn kill_mode(unit: &UnitProperties, way: Way) -> Option<Finding> {
    let mode = unit.get("KillMode");
    if unit.manager().is_some() {
        // What is to be ended how is for the one to say that starts the server.
        return None;
    }
    match (mode, way) {
        // A SIGKILL of the main process ends the launcher alone: seen, the server lived on.
        ("process" | "none", Way::Prefix) => Some(Finding::bad(
            "kill-mode",
            format!(
                "KillMode={mode}: when the launcher alone is killed, the server lives on without \
                 it, and the unit's next start is refused until that server ends"
            ),
            "KillMode=mixed",
        )),
        ("process" | "none", _) => Some(Finding::warn(
            "kill-mode",
            format!(
                "KillMode={mode}: backends that outlive the server are not ended, and its memory \
                 stays as long as they live"
            ),
            "KillMode=mixed",
        )),
        ("control-group", Way::Prefix) => Some(Finding::warn(
            "kill-mode",
            "KillMode=control-group: the server gets the stop signal twice, from systemd and from \
             the launcher; PostgreSQL takes no harm, another server may take the second for haste",
            "KillMode=mixed",
        )),
        _ if unit.get("SendSIGKILL") == "no" => Some(Finding::warn(
            "kill-mode",
            "SendSIGKILL=no: backends that outlive the server are not ended, and its memory stays \
             as long as they live",
            "SendSIGKILL=yes",
        )),
        _ => None,
    }
}

fn notify_access(unit: &UnitProperties, way: Way) -> Option<Finding> {
    let access = unit.get("NotifyAccess");
    let says_all = unit.programs("ExecStart").iter().any(|program| {
        let ours = program.ours("run").map_or("", |start| start.options);
        ours.contains("--notify-access") && ours.contains("all")
    });
    let wide = matches!(access, "all" | "exec");
    (way == Way::Prefix && wide && unit.way() == Some(Way::Prefix) && !says_all).then(|| {
        Finding::warn(
            "notify-access",
            format!(
                "NotifyAccess={access}: the launcher passes on what the server itself sends; what \
                 its other processes send is dropped"
            ),
            "shmwarden run --notify-access all, if they send anything",
        )
    })
}

fn record_too_early(unit: &UnitProperties, way: Way) -> Option<Finding> {
    let kind = unit.get("Type");
    match (way, kind) {
        (Way::Record, "oneshot") => Some(Finding::bad(
            "record-unnamed",
            "Type=oneshot: there is no main process when ExecStartPost= runs, so $MAINPID is empty \
             and nothing is recorded",
            "name the server in ExecStartPost=: shmwarden record --data DIR",
        )),
        (Way::Record, "simple" | "exec" | "idle") => Some(Finding::warn(
            "record-early",
            format!(
                "Type={kind}: ExecStartPost= runs before the server is ready, so record misses \
                 what it makes later"
            ),
            "Type=notify, if the server can; else --way prefix",
        )),
        _ => None,
    }
}

fn ledger_place(unit: &UnitProperties) -> Option<Finding> {
    let named = named_ledger(unit);
    let kept = unit.get("RuntimeDirectoryPreserve") == "yes";
    let runtime = |path: &str| {
        let mut entries = unit.words("RuntimeDirectory");
        entries.any(|entry| path.starts_with(&format!("/run/{entry}/")))
    };
    if let Some(path) = &named {
        let runtime = runtime(path) && !kept;
        let temporary = path.starts_with("/tmp/") || path.starts_with("/var/tmp/");
        return (runtime || temporary && unit.is_on("PrivateTmp")).then(|| {
            let which = if runtime { "RuntimeDirectory" } else { "PrivateTmp" };
            Finding::bad(
                "ledger-place",
                format!(
                    "the ledger is {path}, which {which}= deletes at each stop, with all that it \
                     says of memory that was still held"
                ),
                "StateDirectory=shmwarden/%N, and no ledger named",
            )
        });
    }
    let mut components = unit.words("RuntimeDirectory").flat_map(|entry| entry.split('/'));
    (!kept && components.any(|part| part == "shmwarden")).then(|| {
        Finding::bad(
            "ledger-place",
            "RuntimeDirectory= names a directory for shmwarden: it is deleted at each stop, and no \
             ledger is looked for there",
            "StateDirectory=shmwarden/%N instead",
        )
    })
}

/// The ledger that the unit names, if it does.
fn named_ledger(unit: &UnitProperties) -> Option<String> {
    let variable = "SHMWARDEN_LEDGER=";
    let mut words = unit.words("Environment").map(|word| word.trim_matches('"'));
    if let Some(path) = words.find_map(|word| word.strip_prefix(variable)) {
        return Some(path.to_owned());
    }
    unit.programs("ExecStart").iter().filter_map(|program| program.ours("run")).find_map(|start| {
        let mut words = start.options.split_whitespace();
        let mut words = words.by_ref().skip_while(|word| !word.starts_with("--ledger"));
        let option = words.next()?;
        option.strip_prefix("--ledger=").or_else(|| words.next()).map(str::to_owned)
    })
}

fn hidden_proc(unit: &UnitProperties) -> Option<Finding> {
    let covered = |path: &str| path == "/proc" || path == "/proc/sys" || path == "/proc/sys/kernel";
    if unit.get("ProcSubset") == "pid" {
        // Seen: the boot cannot be told from another, so there is no ledger.
        return Some(Finding::bad(
            "proc-subset",
            "ProcSubset=pid hides /proc/sys: this boot cannot be told from another, nothing is \
             recorded, and nothing is cleaned up (the server starts all the same)",
            "ProcSubset=all for this unit",
        ));
    }
    let hidden = hidden_paths(unit).into_iter().find(|path| covered(path))?;
    Some(Finding::bad(
        "proc-hidden",
        format!("{hidden} is hidden: nothing is recorded, and nothing is cleaned up"),
        "take it out of InaccessiblePaths= and TemporaryFileSystem=",
    ))
}

fn hidden_memory(unit: &UnitProperties) -> Vec<Finding> {
    let mut findings = Vec::new();
    if unit.is_on("PrivateIPC") {
        // Seen: hooks and server share the namespace, and all is cleaned; the next start has
        // another one, in which the ledger is void for System V memory.
        findings.push(Finding::warn(
            "private-ipc",
            "PrivateIPC=yes: memory is cleaned by the launcher and by ExecStopPost=; what is still \
             held then can be cleaned by no later start, which has a namespace of its own. \
             PostgreSQL cannot see there whether backends of an earlier start still write to its \
             files, and neither list nor sweep outside of the unit sees its segments",
            "PrivateIPC=no for a database server",
        ));
    }
    if let Some(path) = hidden_paths(unit).into_iter().find(|path| path.starts_with("/dev/shm")) {
        // Seen: the hooks' /dev/shm is another one; after a kill of everything the segment stays.
        findings.push(Finding::warn(
            "shm-hidden",
            format!(
                "{path} is the unit's own: each start and each hook gets another one, so what a \
                 killed server left with its launcher dead is kept for ever by sweep"
            ),
            "take /dev/shm out of TemporaryFileSystem= and InaccessiblePaths=",
        ));
    }
    findings
}

fn hidden_paths(unit: &UnitProperties) -> Vec<&str> {
    let words = unit.words("InaccessiblePaths").chain(unit.words("TemporaryFileSystem"));
    let paths = words.map(|word| word.trim_start_matches(['-', '+']));
    paths.map(|path| path.split(':').next().unwrap_or(path)).collect()
}

fn system_calls(unit: &UnitProperties) -> Option<Finding> {
    let filter = unit.get("SystemCallFilter");
    let (denies, list) = match filter.strip_prefix('~') {
        Some(list) => (true, list),
        None if filter.is_empty() => return None,
        None => (false, filter),
    };
    // A name may carry the error that it gives: `shmctl:EPERM`.
    let listed: Vec<&str> =
        list.split_whitespace().map(|name| name.split(':').next().unwrap_or(name)).collect();
    let missing: Vec<&str> =
        NEEDED_CALLS.into_iter().filter(|name| listed.contains(name) == denies).collect();
    (!missing.is_empty()).then(|| {
        Finding::bad(
            "system-call-filter",
            format!(
                "SystemCallFilter= forbids {}: the launcher and the hooks are ended by SIGSYS, or \
                 cannot do their work, and the unit does not start",
                missing.join(", ")
            ),
            format!("SystemCallFilter={}", missing.join(" ")),
        )
    })
}

fn users(unit: &UnitProperties) -> Vec<Finding> {
    let mut findings = Vec::new();
    if unit.is_on("DynamicUser") {
        findings.push(Finding::warn(
            "dynamic-user",
            "DynamicUser=yes: the ledger lies below /var/lib/private, where sweep, list and \
             history without further words do not look, and a next start may be another user, who \
             cannot remove what this one left",
            "User= with an account of the server's own; else name the ledger's directory (--dir)",
        ));
    }
    if unit.is_on("RemoveIPC") && !unit.is_on("DynamicUser") {
        findings.push(Finding::warn(
            "remove-ipc",
            "RemoveIPC=yes: at a stop systemd removes everything of this unit's user and group, \
             with no look at who uses semaphores, queues and files in /dev/shm: another server of \
             the same user loses them while it runs",
            "RemoveIPC=no: shmwarden removes what is this server's alone",
        ));
    }
    findings
}

fn other_root(unit: &UnitProperties) -> Option<Finding> {
    let name = ["RootDirectory", "RootImage"].into_iter().find(|name| {
        let value = unit.get(name);
        !value.is_empty() && value != "/"
    })?;
    Some(Finding::warn(
        "other-root",
        format!("{name}={}: the commands of this unit are looked for in there", unit.get(name)),
        "install shmwarden in there too, at the same path; /bin/sh has to be there in any case",
    ))
}

/// Paths that may not be executed: without the shell of `ExecStart=` the unit does not start.
fn unexecutable(unit: &UnitProperties, way: Way) -> Option<Finding> {
    let bare = |word: &str| word.trim_start_matches(['-', '+']).trim_end_matches('/').to_owned();
    let covers = |key: &str, path: &str| {
        let mut given = unit.words(key).map(bare);
        given.any(|one| one.is_empty() || path == one || path.starts_with(&format!("{one}/")))
    };
    let paths = [["/usr/bin/sh", "/bin/sh"], ["/usr/bin/shmwarden", "/usr/bin/shmwarden"]];
    let closed = |names: &&[&str; 2]| {
        names.iter().any(|path| covers("NoExecPaths", path))
            && !names.iter().any(|path| covers("ExecPaths", path))
    };
    let closed: Vec<&str> = paths.iter().filter(closed).map(|&[name, _]| name).collect();
    (way != Way::Record && !closed.is_empty()).then(|| {
        Finding::bad(
            "no-exec-paths",
            format!(
                "NoExecPaths= forbids to execute {}: without a shell the unit does not start, and \
                 without shmwarden nothing is cleaned up",
                closed.join(" and ")
            ),
            format!("ExecPaths={} /usr/lib /lib /lib64", closed.join(" ")),
        )
    })
}

/// Hardening that is suspected and was seen to do no harm: a server's processes are of its user.
fn harmless(unit: &UnitProperties) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hides = unit.get("ProtectProc");
    if matches!(hides, "noaccess" | "invisible" | "ptraceable") {
        let text = format!("ProtectProc={hides} hides other users' processes, not the server's");
        findings.push(Finding::ok("protect-proc", text));
    }
    let switches = [
        ("PrivateTmp", "private-tmp", "PrivateTmp=yes does not concern /dev/shm"),
        (
            "MemoryDenyWriteExecute",
            "memory-deny-write-execute",
            "MemoryDenyWriteExecute=yes forbids executable memory, which is not needed",
        ),
    ];
    for (name, id, text) in switches {
        if unit.is_on(name) {
            findings.push(Finding::ok(id, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
