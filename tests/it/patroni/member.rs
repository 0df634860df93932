//! A member of a cluster: its configuration, its Patroni, its server.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::site::Site;
use crate::support::cluster::installed;
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// How long Patroni may take for a step; it looks once a second, and two cores are shared.
pub const LONG: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);
const SCOPE: &str = "shop";
/// What Patroni logs where it takes a server for another process than the one that it started. (A
/// "fake postmaster" is a child of Patroni's own: its crash recovery, `postgres --single`.)
const DOUBTS: [&str; 3] =
    ["is not postmaster", "safe to ignore postmaster.pid", "look like postgres"];

/// One member of [`SCOPE`].
pub struct Member<'a> {
    site: &'a Site,
    /// As the others know it.
    pub name: String,
    number: u16,
    data: PathBuf,
    ledger: PathBuf,
    patroni: Option<Process>,
}

impl<'a> Member<'a> {
    /// With its configuration written, not started.
    pub fn new(site: &'a Site, number: u16) -> Self {
        let name = format!("member{number}");
        let data = site.directory.join(format!("data{number}"));
        let ledger = warden::default_ledger(&data);
        let member = Member { site, name, number, data, ledger, patroni: None };
        member.configure("4MB");
        member
    }

    /// Writes its `patroni.yml`.
    pub fn configure(&self, work_mem: &str) {
        let Site { address, directory, postgresql, .. } = self.site;
        let (name, number, directory) = (&self.name, self.number, directory.display());
        let (rest, port) = (rest(number), port(number));
        let data = self.data.display();
        let text = format!(
            r#"scope: {SCOPE}
name: {name}
restapi: {{listen: "{address}:{rest}", connect_address: "{address}:{rest}"}}
etcd3: {{host: "{address}:2379"}}
bootstrap:
  dcs:
    {{ttl: 20, loop_wait: 1, retry_timeout: 3, primary_start_timeout: 0,
      postgresql: {{use_pg_rewind: true}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
{postgresql}  listen: "{address}:{port}"
  connect_address: "{address}:{port}"
  data_dir: {data}
  pgpass: {directory}/pgpass{number}
  use_unix_socket: true
  authentication: {{superuser: {{username: postgres}}, replication: {{username: copier}}}}
  pg_hba:
    - local all all trust
    - local replication all trust
    - host all all 127.0.0.0/8 trust
    - host replication all 127.0.0.0/8 trust
  parameters:
    {{unix_socket_directories: {directory}, shared_memory_type: sysv, shared_buffers: 32MB,
      fsync: "off", autovacuum: "off", work_mem: {work_mem}}}
"#
        );
        fs::write(self.file("yml"), text).unwrap();
    }

    /// Starts Patroni.
    pub fn start(&mut self) {
        let log = File::options().append(true).create(true).open(self.file("log")).unwrap();
        let mut command = self.site.command("patroni");
        command.arg(self.file("yml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.patroni = Some(Process::spawn(&mut command));
    }

    /// Waits until it serves in this role: `primary` or `replica`; gives its server's pid.
    pub fn wait_serves(&self, role: &str) -> i32 {
        self.wait_for(&format!("is a {role} that runs"), || self.serves(role));
        self.postmaster().unwrap()
    }

    /// Whether it serves in this role: by its REST API, which may be ahead of the server, and by
    /// the server itself.
    pub fn serves(&self, role: &str) -> bool {
        let answer = self.site.get(rest(self.number), &format!("/{role}"));
        let copies = if role == "replica" { "t" } else { "f" };
        answer.is_some_and(|(status, _)| status == 200)
            && self.sql("select pg_is_in_recovery()").as_deref() == Ok(copies)
    }

    /// Waits until something of it is so. Not eagerly: each look asks Patroni or the server.
    pub fn wait_for(&self, what: &str, mut so: impl FnMut() -> bool) {
        let what = format!("{} {what}; {}", self.name, self.file("log").display());
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(&what, LONG, || {
                std::thread::sleep(PAUSE);
                so()
            });
        }));
        if let Err(panic) = done {
            eprintln!("{}", self.told());
            std::panic::resume_unwind(panic);
        }
    }

    /// Line 1 of its `postmaster.pid`.
    pub fn postmaster(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// Kills the server's main process alone, and gives its guardian.
    pub fn kill_postmaster(&self) -> i32 {
        let guardian = self.guardian();
        processes::kill(self.postmaster().unwrap(), Signal::SIGKILL);
        guardian
    }

    /// The guardian of the last run.
    pub fn guardian(&self) -> i32 {
        i32::try_from(self.runs().last().unwrap()["launcher"].as_i64().unwrap()).unwrap()
    }

    /// Waits for the end of a guardian.
    pub fn wait_guardian(&self, guardian: i32) {
        self.wait_for("has its guardian's work done", || !processes::lives(guardian));
    }

    /// All runs that its ledger has.
    pub fn runs(&self) -> Vec<Value> {
        let words = ["history", "--json", self.ledger.to_str().unwrap()];
        let answer = warden::answer(User::Server, &words).expect_code(0).json();
        answer["runs"].as_array().unwrap().clone()
    }

    /// `patronictl COMMAND SCOPE ARGUMENTS`, which must succeed.
    pub fn patronictl(&self, command: &str, arguments: &[&str]) -> Answer {
        let mut patronictl = self.site.command("patronictl");
        let answer = Answer::of(
            patronictl.arg("-c").arg(self.file("yml")).args([command, SCOPE]).args(arguments),
        );
        assert!(answer.status.success(), "{command}: {answer:?}\n{}", self.told());
        answer
    }

    /// Runs a statement as the superuser.
    pub fn sql(&self, statement: &str) -> Result<String, String> {
        let mut psql: Command = User::Server.command(installed::client("psql"));
        let socket = self.site.directory.to_str().unwrap();
        psql.args(["-X", "-A", "-t", "-q", "-h", socket, "-p", &port(self.number).to_string()]);
        let answer = Answer::of(psql.args(["-U", "postgres", "-d", "postgres", "-c", statement]));
        match answer.status.success() {
            true => Ok(answer.stdout.trim_end().to_owned()),
            false => Err(answer.stderr),
        }
    }

    /// Stops Patroni, and its server with it.
    pub fn stop(&mut self) {
        let mut patroni = self.patroni.take().unwrap();
        patroni.signal(Signal::SIGTERM);
        let status = patroni.wait(LONG);
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.told());
    }

    /// Kills Patroni alone, if that was not done.
    pub fn kill_patroni(&mut self) {
        self.patroni = None;
    }

    /// Fails if Patroni was ever in doubt about a server.
    pub fn assert_never_doubted(&self) {
        let told = self.told();
        let doubt = told.lines().find(|line| DOUBTS.iter().any(|doubt| line.contains(doubt)));
        assert_eq!(doubt, None, "{told}");
    }

    /// What Patroni, its servers and their guardians said.
    pub fn told(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.site.directory.join(format!("{}.{extension}", self.name))
    }
}

fn rest(number: u16) -> u16 {
    8008 + number
}

fn port(number: u16) -> u16 {
    5432 + number
}
