//! The plan for a unit: which integration, and what of it is there already.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shmwarden::engine;
use shmwarden::proc::{Seen, read};

use super::args::WayChoice;
use super::drop_in::{DropIn, ServerStart};
use super::meant;
use crate::exit;
use crate::finding::Finding;
use crate::ledgers::directory;
use crate::render::text;
use crate::units::ask::NoAnswer;
use crate::units::cluster::Cluster;
use crate::units::{ExecLine, Start, UnitProperties, UnitText, Way};

fn refused(status: u8, text: String) -> NoAnswer {
    NoAnswer { status, text }
}

/// Checks that systemd has the unit.
pub(super) fn must_be_loaded(unit: &str, properties: &UnitProperties) -> Result<(), NoAnswer> {
    match properties.get("LoadState") {
        "loaded" => Ok(()),
        state => Err(meant::not_loaded(unit, state)),
    }
}

/// The drop-in for a unit.
pub(super) fn make(
    unit: &str,
    choice: WayChoice,
    properties: &UnitProperties,
    text: &UnitText,
) -> Result<DropIn, NoAnswer> {
    let starts = text.commands("ExecStart");
    if starts.is_empty() {
        return Err(refused(exit::USAGE, format!("{unit} starts nothing: it has no ExecStart=")));
    }
    if let Some(refusal) = meant::umbrella(unit, properties, &starts) {
        return Err(refusal);
    }
    let cluster = starts.iter().find(|line| line.runs("pg_ctlcluster"));
    let cluster = cluster.and_then(|_| Cluster::of_unit(unit));
    let kind = properties.get("Type");
    let forks = matches!(kind, "forking" | "oneshot");
    let way = match choice {
        WayChoice::Prefix => Way::Prefix,
        WayChoice::InPlace => Way::InPlace,
        WayChoice::Record => Way::Record,
        WayChoice::Auto => match properties.way() {
            Some(way) => way,
            None if cluster.is_some() => Way::InPlace,
            None if forks => Way::Record,
            None => Way::Prefix,
        },
    };
    // Debian's units have pg_ctlcluster, which is given the script beside the drop-in.
    let manager = properties.manager().filter(|_| cluster.is_none());
    if let Some(manager) = manager.filter(|_| way != Way::Record || choice == WayChoice::Auto) {
        return Err(meant::manager(unit, manager));
    }
    if forks && (way == Way::Prefix || way == Way::InPlace && cluster.is_none()) {
        let text = format!(
            "{unit} has Type={kind}: its ExecStart= is not the server but what starts it. Use \
             --way record, or give 'shmwarden run --in-place' to whatever starts the server"
        );
        return Err(refused(exit::USAGE, text));
    }
    let is_there = |key: &str, command: &str| {
        let lines = text.commands(key);
        lines.iter().any(|line| Start::of(&line.whole()).is_some_and(|start| start.is(command)))
    };
    let is_prefixed = is_there("ExecStart", "run");
    let starts: Vec<ServerStart> = starts.into_iter().map(server_start).collect();
    let mut state = text.list("StateDirectory").into_iter().flat_map(str::split_whitespace);
    let identifier = match text.list("SyslogIdentifier").is_empty() {
        true => starts.first().and_then(|start| plain_name(&start.line.path)),
        false => None,
    };
    Ok(DropIn {
        unit: unit.to_owned(),
        identifier,
        program: own_path(),
        way,
        is_prefixed: is_prefixed && starts.iter().all(|start| start.ours.is_none()),
        starts,
        passes_all: matches!(properties.get("NotifyAccess"), "all" | "exec"),
        has_state: state.any(|entry| entry.split('/').any(|part| part == "shmwarden")),
        has_pre: is_there("ExecStartPre", "sweep"),
        has_record: is_there("ExecStartPost", "record"),
        has_post: is_there("ExecStopPost", "sweep"),
        cluster: cluster.filter(|_| way == Way::InPlace),
    })
}

/// Returns what the drop-in changes that somebody may have meant otherwise.
pub(super) fn findings(drop_in: &DropIn) -> Vec<Finding> {
    if drop_in.way == Way::Record {
        return Vec::new();
    }
    let names = drop_in.starts.iter().filter_map(|start| start.line.argv0.as_deref());
    let mut findings: Vec<Finding> = names.map(renamed).collect();
    let lines = drop_in.starts.iter().filter(|start| start.ours.is_none());
    let mut whole = lines.map(|start| start.line.whole());
    if drop_in.is_prefixed && whole.any(|line| Start::of(&line).is_some_and(|s| !s.is_guarded)) {
        findings.push(Finding::warn(
            "start-unguarded",
            "ExecStart= starts shmwarden by itself: where it does not run, there is no server",
            "the line that docs/systemd.md has, with your options: they have characters that \
             cannot be carried over",
        ));
    }
    findings
}

/// Returns that a unit starts no server that is known, unless its way was named: in front of any
/// other program nothing of ours belongs.
pub(super) fn unknown(
    drop_in: &DropIn,
    choice: WayChoice,
    properties: &UnitProperties,
) -> Option<Finding> {
    let is_known = drop_in.starts.iter().any(|start| is_server(&start.line))
        || runs_server(properties)
        || properties.way().is_some();
    if choice != WayChoice::Auto || is_known {
        return None;
    }
    let programs = drop_in.starts.iter().map(|start| start.line.path.as_str());
    let text = format!(
        "{} starts {}, which is no database server that shmwarden knows",
        drop_in.unit,
        programs.collect::<Vec<_>>().join(" and ")
    );
    let fix = "if it starts a server that leaves System V objects behind, say how: --way prefix \
               where it is the server itself, --way record where it starts one";
    Some(Finding::bad("no-known-server", text, fix))
}

/// Checks that a command runs a server that is known, or what starts one and ends: as its program,
/// or as what a program of this list runs.
fn is_server(line: &ExecLine) -> bool {
    const BEFORE: [&str; 14] = [
        "sh", "bash", "dash", "env", "numactl", "taskset", "nice", "ionice", "chrt", "prlimit",
        "setpriv", "runuser", "su", "sudo",
    ];
    const STARTERS: [&str; 5] = ["postmaster", "edb-postgres", "pg_ctl", "pg_ctlcluster", "gs_ctl"];
    let is_one = |word: &str| {
        let path = Path::new(word.trim_matches(['"', '\'']));
        let named = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        engine::recognise(path).is_known() || STARTERS.contains(&named)
    };
    let path = Path::new(&line.path);
    let leads_to = || path.canonicalize().is_ok_and(|path| engine::recognise(&path).is_known());
    let whole = line.whole();
    let runs_one = || BEFORE.iter().any(|name| line.runs(name));
    is_one(&line.path) || leads_to() || runs_one() && whole.split_whitespace().any(is_one)
}

/// Checks that the main process of a unit is a server that is known.
fn runs_server(properties: &UnitProperties) -> bool {
    let pid = properties.get("MainPID").parse().unwrap_or(0);
    let program = if pid > 0 { read::exe_path(pid).ok().and_then(Seen::here) } else { None };
    program.is_some_and(|path| engine::recognise(&path).is_known())
}

/// Returns what is wrong with the place of this program, where a unit is to start it from there.
pub(super) fn place(program: &Path) -> Option<Finding> {
    let fix = format!(
        "install -m 755 {} /usr/local/bin/shmwarden, and call that one",
        text::word(program.as_os_str())
    );
    let is_closed = |step: &&Path| step.metadata().is_ok_and(|found| found.mode() & 0o001 == 0);
    if let Some(step) = program.ancestors().find(is_closed) {
        let text = format!(
            "{} cannot be executed by other users, for the rights of {}: the server would start \
             without it",
            program.display(),
            step.display()
        );
        return Some(Finding::bad("program-closed", text, fix));
    }
    let (uid, at) = directory::changeable(program).ok().flatten()?;
    let text = format!(
        "{} can be changed by others than root (user {uid}: {}), and a unit runs it as root or as \
         the server's user",
        program.display(),
        at.display()
    );
    Some(Finding::bad("program-changeable", text, fix))
}

/// Takes the server's command out of one that starts this program by itself.
fn server_start(line: ExecLine) -> ServerStart {
    let whole = line.whole();
    let found = Start::of(&whole).filter(|start| start.is("run") && !start.is_guarded);
    let found = found.filter(|start| line.runs("shmwarden") && is_plain(start.options));
    let Some((start, server)) = found.and_then(|it| Some((it, ExecLine::of(it.server)?))) else {
        return ServerStart { line, ours: None };
    };
    let ours = (start.program.to_owned(), start.options.to_owned());
    let line = ExecLine { marks: line.marks.clone(), argv0: None, ..server };
    ServerStart { line, ours: Some(ours) }
}

/// Checks that options mean the same to a shell as to systemd.
fn is_plain(options: &str) -> bool {
    options.chars().all(|c| c.is_ascii_alphanumeric() || " /._+-=:,@".contains(c))
}

fn renamed(name: &str) -> Finding {
    Finding::warn(
        "argv0",
        format!("ExecStart=@ gives the server the name {name}: behind shmwarden it has its path"),
        "--way record, where that name matters",
    )
}

/// The name that systemd gives a program's lines in the journal: the file's. Nothing where that
/// has a character that means something in a unit.
fn plain_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    (!name.is_empty() && name.chars().all(is_plain)).then(|| name.to_owned())
}

/// The file of this program, as a unit is to name it.
fn own_path() -> String {
    let path =
        std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    path.unwrap_or_else(|| "/usr/bin/shmwarden".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_server_that_is_known_is_told_from_any_other_program() {
        let is = |line: &str| is_server(&ExecLine::of(line).unwrap());
        for line in [
            "/usr/lib/postgresql/15/bin/postgres -D /a",
            "/usr/pgsql-13/bin/postmaster -D ${PGDATA}",
            "/opt/gauss/bin/gaussdb -D /a",
            "/bin/sh -c 'exec /usr/bin/postgres -D /a'",
            "/usr/bin/numactl --interleave=all /usr/bin/postgres -D /a",
            "/usr/bin/pg_ctl start -D /a",
            "-/usr/bin/pg_ctlcluster --skip-systemctl-redirect 15-main start",
        ] {
            assert!(is(line), "{line}");
        }
        for line in [
            "/usr/lib/systemd/systemd-journald",
            "/usr/sbin/sshd -D",
            "/usr/bin/postgres_exporter --user postgres",
            "/usr/bin/backup /var/lib/postgres",
            "/bin/sh -c 'exec /usr/bin/psql'",
        ] {
            assert!(!is(line), "{line}");
        }
    }

    #[test]
    fn a_program_that_the_server_cannot_execute_or_others_can_change_is_told() {
        assert_eq!(place(Path::new("/usr/bin/env")), None);
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("shmwarden");
        fs::write(&program, "").unwrap();
        let mode = |mode: u32, path: &Path| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(0o755, &program);
        mode(0o700, scratch.path());
        assert_eq!(place(&program).unwrap().id, "program-closed");
        mode(0o777, scratch.path());
        assert_eq!(place(&program).unwrap().id, "program-changeable");
        mode(0o744, &program);
        assert_eq!(place(&program).unwrap().id, "program-closed");
    }
}
