//! Units as text, findings as literals.

use super::*;
use crate::finding::Level;

fn found(text: &str, way: Way) -> Vec<(&'static str, Level)> {
    let findings = judge(&UnitProperties::parse(text), way);
    assert!(findings.iter().all(|finding| finding.fix.is_some() == (finding.level > Level::Ok)));
    findings.into_iter().map(|finding| (finding.id, finding.level)).collect()
}

fn prefix(text: &str) -> Vec<(&'static str, Level)> {
    found(text, Way::Prefix)
}

fn starts(words: &str) -> String {
    format!("ExecStart={{ path=/usr/bin/shmwarden ; argv[]={words} ; ignore_errors=no ; x }}\n")
}

#[test]
fn the_documented_unit_fits() {
    let text = "Type=notify\nNotifyAccess=main\nKillMode=mixed\nSendSIGKILL=yes\n\
        ProcSubset=all\nProtectProc=default\nPrivateIPC=no\nRemoveIPC=no\n";
    assert_eq!(prefix(text), []);
    assert_eq!(prefix(""), []);
}

#[test]
fn a_kill_that_spares_the_server_does_not_fit_a_prefix() {
    assert_eq!(prefix("KillMode=process"), [("kill-mode", Level::Bad)]);
    assert_eq!(found("KillMode=none", Way::Record), [("kill-mode", Level::Warn)]);
    assert_eq!(prefix("KillMode=control-group"), [("kill-mode", Level::Warn)]);
    assert_eq!(found("KillMode=control-group", Way::Record), []);
    assert_eq!(prefix("KillMode=mixed\nSendSIGKILL=no"), [("kill-mode", Level::Warn)]);
}

#[test]
fn no_kill_mode_is_advised_where_the_main_process_is_no_server() {
    for words in [
        "/usr/bin/patroni /etc/patroni/config.yml",
        "/usr/bin/python3 /usr/bin/patroni /etc/patroni.yml",
        "/usr/bin/python3 -u /opt/patroni.py",
        "/usr/bin/supervisord -n -c /etc/supervisord.conf",
        "/usr/bin/pg_ctlcluster 15 main start",
        "/usr/bin/docker run --rm postgres:15",
        "/usr/bin/shmwarden run -- /usr/bin/patroni /etc/patroni.yml",
    ] {
        for mode in ["process", "none", "control-group"] {
            for way in [Way::Prefix, Way::InPlace, Way::Record] {
                let text = format!("{}Type=simple\nKillMode={mode}\n", starts(words));
                let ids = found(&text, way);
                assert!(ids.iter().all(|(id, _)| *id != "kill-mode"), "{words} {mode} {way:?}");
            }
        }
    }
    // The positive control: these start the server itself, or stand in front of it.
    let servers = ["/usr/lib/postgresql/15/bin/postgres -D /d", "/opt/start.sh"];
    for words in servers {
        let text = format!("{}Type=simple\nKillMode=process\n", starts(words));
        assert_eq!(prefix(&text), [("kill-mode", Level::Bad)], "{words}");
    }
    let forking = format!("{}Type=forking\nKillMode=process\n", starts("/usr/bin/pg_ctl start"));
    assert_eq!(found(&forking, Way::Record)[0].0, "kill-mode");
}

#[test]
fn a_record_that_comes_too_early_is_told() {
    assert_eq!(found("Type=oneshot", Way::Record), [("record-unnamed", Level::Bad)]);
    assert_eq!(found("Type=exec", Way::Record), [("record-early", Level::Warn)]);
    assert_eq!(found("Type=notify", Way::Record), []);
    assert_eq!(prefix("Type=exec"), []);
}

#[test]
fn a_ledger_that_is_deleted_at_each_stop_is_bad() {
    let bad = [("ledger-place", Level::Bad)];
    let named = starts("/usr/bin/shmwarden run --ledger /run/pg/a.ledger -- /a");
    assert_eq!(prefix(&format!("{named}RuntimeDirectory=other pg")), bad);
    let kept = format!("{named}RuntimeDirectory=pg\nRuntimeDirectoryPreserve=yes");
    assert_eq!(prefix(&kept), []);
    assert_eq!(prefix(&format!("{named}RuntimeDirectory=p")), []);
    assert_eq!(prefix("RuntimeDirectory=shmwarden/%N"), bad);
    assert_eq!(prefix("Environment=A=b SHMWARDEN_LEDGER=/tmp/l\nPrivateTmp=yes").len(), 2);
    assert_eq!(prefix("Environment=SHMWARDEN_LEDGER=/srv/l\nRuntimeDirectory=shmwarden"), []);
    let servers = starts("/usr/bin/shmwarden run -- /a --ledger /run/pg/a.ledger");
    assert_eq!(prefix(&format!("{servers}RuntimeDirectory=pg")), []);
}

#[test]
fn what_others_send_is_relayed_only_on_request() {
    let unit = |words| format!("{}NotifyAccess=all\n", starts(words));
    let warned = [("notify-access", Level::Warn)];
    assert_eq!(prefix(&unit("/usr/bin/shmwarden run -- /a")), warned);
    assert_eq!(prefix(&unit("/usr/bin/shmwarden run --notify-access all -- /a")), []);
    assert_eq!(prefix(&unit("/usr/bin/shmwarden run -- /a --notify-access all")), warned);
}

#[test]
fn what_hides_proc_is_bad_and_what_hides_others_is_not() {
    assert_eq!(prefix("ProcSubset=pid"), [("proc-subset", Level::Bad)]);
    assert_eq!(prefix("InaccessiblePaths=-/proc"), [("proc-hidden", Level::Bad)]);
    assert_eq!(prefix("InaccessiblePaths=/proc/kcore"), []);
    assert_eq!(prefix("ProtectProc=invisible"), [("protect-proc", Level::Ok)]);
}

#[test]
fn shared_memory_of_its_own_is_told() {
    assert_eq!(prefix("PrivateIPC=yes"), [("private-ipc", Level::Warn)]);
    let temporary = "TemporaryFileSystem=/srv /dev/shm:mode=1777";
    assert_eq!(prefix(temporary), [("shm-hidden", Level::Warn)]);
}

#[test]
fn a_filter_is_judged_by_the_calls_that_are_needed() {
    let all = NEEDED_CALLS.join(" ");
    assert_eq!(prefix(&format!("SystemCallFilter={all} read")), []);
    assert_eq!(prefix("SystemCallFilter=~ptrace:EPERM"), []);
    let missing = prefix(&format!("SystemCallFilter={}", all.replace("statx ", "")));
    assert_eq!(missing, [("system-call-filter", Level::Bad)]);
    assert_eq!(prefix("SystemCallFilter=~shmctl:EPERM x"), missing);
}

#[test]
fn users_that_share_or_change_are_told() {
    assert_eq!(prefix("DynamicUser=yes\nRemoveIPC=yes"), [("dynamic-user", Level::Warn)]);
    assert_eq!(prefix("RemoveIPC=yes"), [("remove-ipc", Level::Warn)]);
    assert_eq!(prefix("RootDirectory=/srv/a"), [("other-root", Level::Warn)]);
    assert_eq!(prefix("NeedDaemonReload=yes"), [("daemon-reload", Level::Warn)]);
}

#[test]
fn hooks_that_remove_memory_and_stops_that_kill_are_named() {
    let hook = |key: &str, words: &str| {
        let path = words.split(' ').next().unwrap();
        found(
            &format!("{key}={{ path={path} ; argv[]={words} ; ignore_errors=no ; x }}\n"),
            Way::Prefix,
        )
    };
    let warned = [("hook-removes", Level::Warn)];
    for words in [
        "/usr/bin/ipcrm -a",
        "/bin/sh -c 'ipcs -m | awk x | xargs ipcrm -m'",
        "/bin/sh -c for i in $(x); do ipcrm -m $i;done",
        "/bin/rm -f /dev/shm/PostgreSQL.1",
        "/bin/sh -c \"rm -rf /dev/shm/*\"",
        "/usr/bin/find /dev/shm -user postgres -delete",
    ] {
        assert_eq!(hook("ExecStopPost", words), warned, "{words}");
        assert_eq!(hook("ExecStartPre", words), warned, "{words}");
    }
    for words in ["/bin/ls /dev/shm", "/bin/rm -f /run/x", "/usr/bin/shmwarden sweep"] {
        assert_eq!(hook("ExecStopPost", words), [], "{words}");
    }
    assert_eq!(prefix("KillSignal=9"), [("kill-signal", Level::Warn)]);
    assert_eq!(prefix("KillSignal=2"), []);
}

#[test]
fn paths_that_may_not_be_executed_are_told() {
    let bad = [("no-exec-paths", Level::Bad)];
    assert_eq!(prefix("NoExecPaths=/"), bad);
    assert_eq!(prefix("NoExecPaths=/\nExecPaths=/usr/lib/postgresql /usr/bin/sh"), bad);
    assert_eq!(prefix("NoExecPaths=/\nExecPaths=/bin/sh /usr/bin/shmwarden"), []);
    assert_eq!(prefix("NoExecPaths=/\nExecPaths=/usr /lib"), []);
    assert_eq!(prefix("NoExecPaths=/home -/var"), []);
    assert_eq!(found("NoExecPaths=/", Way::Record), []);
}
