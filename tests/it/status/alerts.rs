//! The alert rules: by promtool, and in a real Prometheus that scrapes a real node_exporter.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster;
use crate::database::stage::needs_root;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;
use crate::support::{processes, sandbox};

const SOON: Duration = Duration::from_secs(60);

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wrapper/packaging/prometheus")
}

fn need(program: &str) -> &str {
    let found = Command::new(program).arg("--version").output();
    if !found.is_ok_and(|answer| answer.status.success()) {
        skip(format!("{program} is not here; tests/run installs it"));
    }
    program
}

#[test]
fn the_rules_are_right_and_fire_and_clear_as_they_say() {
    let promtool = need("promtool");
    for arguments in
        [["check", "rules", "shmwarden.rules.yml"], ["test", "rules", "shmwarden.test.yml"]]
    {
        let said = Command::new(promtool).args(arguments).current_dir(rules()).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success() && text.contains("SUCCESS"), "{text} {said:?}");
    }
}

/// A program that is killed with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a server on loopback answers to GET, where it does.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The alerts that fire.
fn firing(port: u16) -> Option<Vec<String>> {
    let said: Value = serde_json::from_str(&get(port, "/api/v1/alerts")?).ok()?;
    let alerts = said["data"]["alerts"].as_array()?.iter();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    Some(firing.filter_map(|one| Some(one["labels"]["alertname"].as_str()?.to_owned())).collect())
}

#[test]
fn a_server_that_is_killed_uncovered_raises_the_alert_and_the_clean_up_clears_it() {
    sandbox::run_within(Duration::from_secs(240), || {
        needs_root();
        let (exporter, prometheus) = (need("prometheus-node-exporter"), need("prometheus"));
        let scratch = sandbox::scratch();
        let numbers = scratch.join("shmwarden.prom");
        let write = || {
            let file = numbers.to_str().unwrap();
            let list = ["list", "--format", "prometheus", "--output-file", file];
            warden::answer(User::Root, &list).expect_code(0);
        };
        write();
        // Nobody waits ten minutes here.
        let text = std::fs::read_to_string(rules().join("shmwarden.rules.yml")).unwrap();
        let text = text.replace("for: 10m", "for: 0s");
        std::fs::write(scratch.join("rules.yml"), text).unwrap();
        let (exported, asked) = (free_port(), free_port());
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: node\n    static_configs:\n      \
             - targets: ['127.0.0.1:{exported}']\n"
        );
        std::fs::write(scratch.join("prometheus.yml"), config).unwrap();
        let _exporter = Running::start(
            Command::new(exporter)
                .args(["--collector.disable-defaults", "--collector.textfile"])
                .arg(format!("--collector.textfile.directory={}", scratch.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{exported}")),
        );
        let _prometheus = Running::start(
            Command::new(prometheus)
                .arg(format!("--config.file={}", scratch.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", scratch.join("tsdb").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{asked}"))
                .current_dir(&scratch),
        );
        let fire = |wanted: &[&str]| {
            let what = format!("these alerts fire: {wanted:?}");
            wait_until(&what, SOON, || firing(asked).is_some_and(|found| found == wanted));
        };
        fire(&[]);
        let (mut cluster, _) = cluster();
        cluster.start();
        // Recorded once, and nothing sweeps: not covered.
        let pid = cluster.postmaster_pid().to_string();
        warden::answer(User::Root, &["record", "--pid", &pid]).expect_code(0);
        wait_until("it counts as begun", SOON, || {
            warden::answer(User::Root, &["status"]).code() == 1
        });
        write();
        fire(&["DatabaseServerNotCovered"]);
        for pid in cluster.processes() {
            processes::kill(pid, Signal::SIGKILL);
        }
        cluster.wait_end();
        wait_until("its segment is stale", SOON, || {
            write();
            std::fs::read_to_string(&numbers).unwrap().lines().any(|line| {
                line.starts_with("shmwarden_objects{")
                    && line.contains("verdict=\"stale\"")
                    && !line.ends_with(" 0")
            })
        });
        fire(&["SharedMemoryLeaked"]);
        warden::answer(User::Root, &["sweep"]).expect_code(0);
        write();
        fire(&[]);
    });
}
