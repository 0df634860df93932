//! What the members of a cluster have in common: a Patroni, the script, an etcd, a network address.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::database::in_place::write_script;
use crate::database::stage::needs_root;
use crate::support::cache;
use crate::support::cluster::installed;
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::Answer;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/patroni.md");
const MAJOR: u32 = 15;
const ETCD: &str = "/usr/bin/etcd";
/// As the page has them.
const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const SCRIPTS: &str = "/usr/local/lib/shmwarden/15";

/// Which Patroni.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Of Debian 12, which has no `bin_name`: the script stands among links in `bin_dir`.
    Debian,
    /// One that has `bin_name`.
    WithBinName,
}

/// Where a cluster lives.
pub struct Site {
    programs: PathBuf,
    /// Of the loopback network, no other sandbox's.
    pub address: String,
    /// For whatever its members keep.
    pub directory: PathBuf,
    /// `postgresql:` of `patroni.yml`, as the page has it, with the paths of this test.
    pub postgresql: String,
}

impl Site {
    /// Skips the test where there is no such Patroni, or no server for it.
    pub fn new(which: Which) -> Self {
        needs_root();
        let programs = programs(which);
        let binaries = installed::binaries(MAJOR);
        let directory = sandbox::scratch().join("patroni");
        User::Server.make_directory(&directory);
        let scripts = sandbox::scratch().join("scripts");
        fs::create_dir_all(&scripts).unwrap();
        let real = binaries.join("postgres");
        write_script(&scripts.join("postgres"), real.to_str().unwrap(), "");
        let here = |text: &str| {
            let text = text.replace(BINARIES, binaries.to_str().unwrap());
            text.replace(SCRIPTS, scripts.to_str().unwrap())
        };
        if which == Which::Debian {
            let links = here(&links_on_the_page());
            Answer::of(Command::new("sh").args(["-c", &links]));
            assert!(scripts.join("initdb").is_symlink(), "{links}");
            assert!(!scripts.join("postgres").is_symlink(), "{links}");
        }
        let postgresql = here(&on_the_page(which));
        Site { programs, address: address(), directory, postgresql }
    }

    /// Starts what the members agree by; it goes on from where it was killed.
    pub fn start_etcd(&self) -> Process {
        let url = |port: u16| format!("http://{}:{port}", self.address);
        let (clients, peers) = (url(2379), url(2380));
        let data = self.directory.join("etcd");
        let cluster = format!("one={peers}");
        let words = ["--name=one", "--log-level=error", "--data-dir", data.to_str().unwrap()];
        let mut command = User::Server.command(ETCD);
        if cfg!(target_arch = "aarch64") {
            command.env("ETCD_UNSUPPORTED_ARCH", "arm64"); // else 3.4 does not start there
        }
        command.args(words).args(["--initial-cluster", &cluster]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        let log = File::options().append(true).create(true).open(self.directory.join("etcd.log"));
        let log = log.unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Process::spawn(command.current_dir("/"))
    }

    /// A program of Patroni's, as the server's user.
    pub fn command(&self, program: &str) -> Command {
        let mut command = User::Server.command(self.programs.join(program));
        command.env("HOME", &self.directory).current_dir("/");
        // Whoever runs the tests may have a Python of his own.
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }

    /// The status of an answer of the REST API at this port, and the answer.
    pub fn get(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((self.address.as_str(), port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

fn programs(which: Which) -> PathBuf {
    let (programs, how) = match which {
        Which::Debian => (PathBuf::from("/usr/bin"), "Debian's package patroni"),
        Which::WithBinName => (cache::directory().join("patroni-4/bin"), "tests/patroni/fetch"),
    };
    if !programs.join("patroni").exists() {
        skip(format!("there is no {} ({how})", programs.join("patroni").display()));
    }
    if !Path::new(ETCD).exists() {
        skip(format!("there is no {ETCD} (Debian's package etcd-server)"));
    }
    programs
}

/// The page's own `postgresql:`, for a Patroni of either kind.
fn on_the_page(which: Which) -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let ours: Vec<&str> = blocks.filter(|block| block.starts_with("# patroni.yml")).collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    let has_bin_name = which == Which::WithBinName;
    let block = ours.iter().find(|block| block.contains("bin_name:") == has_bin_name).unwrap();
    assert!(block.contains("\npostgresql:\n") && block.contains(SCRIPTS), "{block}");
    (*block).to_owned()
}

/// The command that makes the links.
fn links_on_the_page() -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let is_command = |line: &&str| line.starts_with("# ln -s ") && line.contains(SCRIPTS);
    page.lines().find(is_command).unwrap().trim_start_matches("# ").to_owned()
}

/// By the number of the sandbox's PID namespace: no two that live at one time have the same.
fn address() -> String {
    let number = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let [.., a, b, c] = number.to_be_bytes();
    format!("127.{}.{b}.{}", a.max(1), c.clamp(1, 254))
}
