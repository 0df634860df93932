//! `list --format prometheus`, held against parsers of the Prometheus project.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::make::shell;
use crate::scene::instance::{Instance, need_root};
use crate::scene::stand_in::StandIn;
use crate::support::objects::create_segment;
use crate::support::user::User;
use crate::support::{sandbox, skip, warden};

/// Prints `NAME<tab>LABEL=VALUE,...<tab>NUMBER` for each sample.
const PARSER: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families as families
for family in families(sys.stdin.read()):
    assert family.documentation and family.type == "gauge", family
    for sample in family.samples:
        labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
        print(sample.name, ascii(labels)[1:-1], int(sample.value), sep="\t")
"#;

fn feed(mut command: Command, text: &str) -> (bool, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

/// The samples by name and labels, as the Prometheus project's own Python client reads them; also
/// held against promtool, where that is here.
fn samples(text: &str) -> BTreeMap<String, i128> {
    if let Ok(promtool) = which("promtool") {
        let mut command = Command::new(promtool);
        command.args(["check", "metrics"]);
        let (fine, words) = feed(command, text);
        assert!(fine && words.is_empty(), "promtool: {words}\n{text}");
    }
    // Debian's package is for Debian's Python.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-c", "import prometheus_client.parser"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        skip("needs Python with prometheus_client (Debian: python3-prometheus-client)");
    };
    let mut command = Command::new(python);
    command.args(["-c", PARSER]);
    let (fine, words) = feed(command, text);
    assert!(fine, "{words}\n{text}");
    let sample = |line: &str| {
        let mut parts = line.split('\t');
        let (name, labels) = (parts.next().unwrap(), parts.next().unwrap());
        (format!("{name}{{{labels}}}"), parts.next().unwrap().parse().unwrap())
    };
    let found: Vec<(String, i128)> = words.lines().map(sample).collect();
    let count = found.len();
    let samples: BTreeMap<String, i128> = found.into_iter().collect();
    assert_eq!(samples.len(), count, "no sample twice\n{text}");
    samples
}

fn which(program: &str) -> Result<std::path::PathBuf, ()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists()).ok_or(())
}

fn numbers(arguments: &[&str]) -> BTreeMap<String, i128> {
    let words = [&["list", "--format", "prometheus"], arguments].concat();
    samples(&warden::answer(User::Root, &words).expect_code(0).stdout)
}

#[test]
fn from_live_over_stale_to_removed() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Root);
        let foreign = create_segment(User::Server, 77, 4096);
        assert!(foreign >= 0);
        let of = |verdict: &str, name: &str| {
            format!("shmwarden_objects{{instance={name},kind=shm,verdict={verdict}}}")
        };
        let server = StandIn::start(&instance, 0);
        instance.wait_recorded(1);
        let arguments = ["--ledger", instance.path()];
        let now = numbers(&arguments);
        assert_eq!((now[&of("live", "server")], now[&of("stale", "server")]), (1, 0));
        assert_eq!(now[&of("orphan", "")], 1);
        assert_eq!(now["shmwarden_ledger_runs{end=running,instance=server}"], 1);
        assert_eq!(now["shmwarden_limit_used{limit=shmmni}"], 2);
        assert_eq!(now["shmwarden_limit_leaked{limit=shmmni}"], 1);
        server.kill_all();
        let now = numbers(&arguments);
        assert_eq!((now[&of("live", "server")], now[&of("stale", "server")]), (0, 1));
        let bytes = "shmwarden_object_bytes{instance=server,kind=shm,verdict=stale}";
        assert_eq!(now[bytes], 8192);
        assert_eq!(now["shmwarden_limit_leaked{limit=shmall}"], 3);
        instance.sweep(&[]).expect_code(0);
        let now = numbers(&arguments);
        assert_eq!(now[&of("stale", "server")], 0, "the series stays");
        assert_eq!(now["shmwarden_ledger_outcomes{instance=server,outcome=removed}"], 1);
        assert_eq!(now["shmwarden_ledger_removed_bytes{instance=server}"], 8192);
        assert!(now["shmwarden_ledger_last_removal_timestamp_seconds{instance=server}"] > 1 << 30);
        let filtered = numbers(&["--kind", "sem", "--ledger", instance.path()]);
        assert_eq!(filtered["shmwarden_limit_used{limit=shmmni}"], 1, "limits are of all");
        assert_eq!(filtered[&of("orphan", "")], 0);
    });
}

#[test]
fn what_is_kept_has_its_reason_and_a_damaged_ledger_is_counted() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 9);
        instance.wait_recorded(1);
        let holder = crate::support::holders::attach(User::Root, server.segment());
        server.kill_all();
        let arguments = ["--ledger", instance.path()];
        let now = numbers(&arguments);
        assert_eq!(now["shmwarden_kept_objects{instance=server,reason=attached}"], 1);
        assert_eq!(now["shmwarden_objects{instance=server,kind=shm,verdict=held}"], 1);
        assert_eq!(now["shmwarden_ledgers_unreadable{}"], 0);
        drop(holder);
        fs::write(instance.ledger(), "no ledger\n").unwrap();
        let words = ["list", "--format", "prometheus", "--ledger", instance.path()];
        let answer = warden::answer(User::Root, &words).expect_code(65);
        assert_eq!(samples(&answer.stdout)["shmwarden_ledgers_unreadable{}"], 1);
    });
}

#[test]
fn a_hostile_instance_name_stays_one_label() {
    sandbox::run(|| {
        let name = "a\"b\\c\n\u{1b}[31m,d=\"e.ledger";
        let directory = sandbox::scratch().join("hostile");
        fs::create_dir_all(&directory).unwrap();
        let instance = Instance::at(User::Root, &directory.join(name));
        let _server = StandIn::start(&instance, 9);
        instance.wait_recorded(1);
        let words = ["list", "--format", "prometheus", "--ledger", instance.path()];
        let text = warden::answer(User::Root, &words).expect_code(0).stdout;
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        let live: Vec<String> = samples(&text)
            .into_iter()
            .filter(|(name, count)| name.contains("verdict=live") && *count > 0)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(live.len(), 2, "objects and bytes\n{text}");
        assert!(live.iter().all(|one| one.contains(r"\\n\\u{1b}[31m,d=")), "{live:?}");
    });
}

#[test]
fn the_order_is_stable_and_no_label_names_an_object() {
    sandbox::run(|| {
        for key in 1..200 {
            create_segment(User::Root, key, 4096);
        }
        let text = || warden::answer(User::Root, &["list", "--format", "prometheus"]).stdout;
        let first = text();
        assert!(first.lines().count() < 90, "{first}");
        assert_eq!(first, text());
    });
}

#[test]
fn a_file_is_replaced_as_a_whole_under_a_reader() {
    sandbox::run(|| {
        let path = sandbox::scratch().join("shmwarden.prom");
        let name = path.to_str().unwrap();
        let write = format!("umask 077; $1 list --format prometheus --output-file {name}");
        let answer = shell(&write).expect_code(0);
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("", ""));
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644, "node_exporter reads it, whatever the umask");
        let first = fs::metadata(&path).unwrap().ino();
        let writer = format!("for i in $(seq 30); do {write}; done & writer=$!");
        let reader =
            format!("while kill -0 $writer 2>/dev/null; do tail -n 1 {name}; done | sort | uniq");
        let last = shell(&format!("{writer}; {reader}; wait $writer")).expect_code(0).stdout;
        assert_eq!(last.lines().count(), 1, "{last}");
        assert!(last.starts_with("shmwarden_build_info{"), "{last}");
        assert_ne!(fs::metadata(&path).unwrap().ino(), first);
        let beside = fs::read_dir(sandbox::scratch()).unwrap().map(|one| one.unwrap().file_name());
        let beside: Vec<_> = beside.filter(|one| one.to_string_lossy().ends_with(".tmp")).collect();
        assert!(beside.is_empty(), "{beside:?}");
    });
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    sandbox::run(|| {
        let device = shell("$1 list --output-file /dev/null; echo $?");
        assert!(device.stdout.ends_with("74\n") && Path::new("/dev/null").exists(), "{device:?}");
        assert!(device.stderr.contains("cannot replace /dev/null"), "{device:?}");
        need_root("to act as another user");
        let path = sandbox::scratch().join("old.prom");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(sandbox::scratch(), PermissionsExt::from_mode(0o755)).unwrap();
        let name = path.to_str().unwrap();
        let words = ["list", "--json", "--output-file", name];
        let answer = warden::answer(User::Other(4711), &words).expect_code(77);
        assert_eq!(answer.stdout, "");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    });
}
