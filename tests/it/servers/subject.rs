//! The servers of these tests: how each is started, and what it makes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, need_root};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};

/// How long a server may take to start or end: two cores, and other tests beside.
pub const LONG: Duration = Duration::from_secs(30);
/// Longer than two looks of a launcher whose server has been there for a while.
const TWO_LOOKS: Duration = Duration::from_millis(2500);

/// Whether the main process stays COMMAND, or COMMAND ends and leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Foreground,
    Daemon,
}

pub const MODES: [Mode; 2] = [Mode::Foreground, Mode::Daemon];

/// A server: its words and what it has while it runs.
pub struct Subject {
    pub user: User,
    foreground: Vec<String>,
    daemon: Vec<String>,
    pid_file: PathBuf,
    /// Semaphore sets and segments.
    pub makes: (usize, usize),
    /// The signal by which it reads its configuration anew.
    pub reload: Option<Signal>,
}

/// Apache httpd, prefork, with a System V semaphore as its accept mutex. It uses one only where it
/// has more than one socket to accept from. The set is root's, and its owner the workers' user.
pub fn apache() -> Subject {
    let program = program("/usr/sbin/apache2", "apache2-bin");
    need("/usr/lib/apache2/modules/mod_mpm_prefork.so", "apache2-bin");
    let directory = directory(User::Root, "apache");
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let listen = ports.each_ref().map(|port| format!("Listen {}", port.local_addr().unwrap()));
    drop(ports);
    let shown = directory.display();
    let module =
        |name: &str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so");
    let configuration = [
        format!("ServerRoot {shown}\nServerName localhost\nPidFile {shown}/pid"),
        format!("ErrorLog {shown}/log\nDocumentRoot {shown}"),
        module("mpm_prefork"),
        module("authz_core"),
        listen.join("\n"),
        "User www-data\nGroup www-data\nMutex sysvsem\nStartServers 3".to_owned(),
    ];
    let file = directory.join("apache2.conf");
    fs::write(&file, configuration.join("\n") + "\n").unwrap();
    let words = |last: &[&str]| {
        let first = [program.as_str(), "-f", file.to_str().unwrap()];
        first.iter().chain(last).map(|&word| word.to_owned()).collect()
    };
    Subject {
        user: User::Root,
        foreground: words(&["-DFOREGROUND"]),
        daemon: words(&["-k", "start"]),
        pid_file: directory.join("pid"),
        makes: (1, 0),
        reload: Some(Signal::SIGUSR1),
    }
}

/// pgpool-II: a set of nine, a segment of 128 MiB, and one of a byte by its PCP process, none with
/// a key.
pub fn pgpool() -> Subject {
    let program = program("/usr/sbin/pgpool", "pgpool2");
    let directory = directory(User::Server, "pgpool");
    let shown = directory.display();
    let directories = ["socket_dir", "pcp_socket_dir", "wd_ipc_socket_dir", "logdir", "work_dir"];
    let directories = directories.map(|name| format!("{name} = '{shown}'"));
    let configuration = format!(
        "listen_addresses = ''\npcp_listen_addresses = ''\nport = 9999\npcp_port = 9898\n\
         backend_hostname0 = '{shown}'\nbackend_port0 = 5432\nbackend_clustering_mode = 'raw'\n\
         num_init_children = 4\npid_file_name = '{shown}/pid'\n{}\n",
        directories.join("\n")
    );
    let named = ["pgpool.conf", "pcp.conf", "pool_hba.conf"].map(|name| directory.join(name));
    for (file, text) in named.iter().zip([configuration.as_str(), "", ""]) {
        fs::write(file, text).unwrap();
        User::Server.own(file);
    }
    let [main, pcp, hba] = named.map(|path| path.to_str().unwrap().to_owned());
    let words = |last: &[&str]| {
        let first = [program.as_str(), "-f", &main, "-F", &pcp, "-a", &hba];
        first.iter().chain(last).map(|&word| word.to_owned()).collect()
    };
    Subject {
        user: User::Server,
        foreground: words(&["-n"]),
        daemon: words(&[]),
        pid_file: directory.join("pid"),
        makes: (1, 2),
        reload: None,
    }
}

/// uWSGI with System V semaphores as its locks: eight sets without a key that everybody may use.
pub fn uwsgi() -> Subject {
    let program = program("/usr/bin/uwsgi-core", "uwsgi-core");
    let directory = directory(User::Server, "uwsgi");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (socket, pid, log) = (path("socket"), path("pid"), path("log"));
    let first = [program.as_str(), "--master", "--workers", "2", "--lock-engine", "ipcsem"];
    let first = first.into_iter().chain(["--socket", &socket, "--pidfile", &pid]);
    let words = |last: &[&str]| {
        first.clone().chain(last.iter().copied()).map(str::to_owned).collect::<Vec<String>>()
    };
    Subject {
        user: User::Server,
        foreground: words(&[]),
        daemon: words(&["--daemonize", &log]),
        pid_file: directory.join("pid"),
        makes: (8, 0),
        reload: Some(Signal::SIGHUP),
    }
}

impl Subject {
    /// Starts it under the ledger of an instance, and waits until it has made and the ledger has
    /// all that it makes; gives the launcher.
    pub fn start_under(&self, instance: &Instance, options: &[&str], mode: Mode) -> Process {
        let before = (there(), instance.ledger().exists().then(|| instance.count("object")));
        let launcher = Process::spawn(quiet(&mut instance.run(options, self.words(mode))));
        self.wait_started(before.0);
        instance.wait_recorded(before.1.unwrap_or(0) + self.makes.0 + self.makes.1);
        launcher
    }

    /// Starts it without a launcher.
    pub fn start_alone(&self, mode: Mode) -> Process {
        let before = there();
        let words = self.words(mode);
        let mut command = self.user.command(&words[0]);
        let mut outermost = Process::spawn(quiet(command.args(&words[1..])));
        self.wait_started(before);
        if mode == Mode::Daemon {
            // What forked the daemon off may live a moment longer.
            wait_until("the daemon is alone", LONG, || !outermost.is_running());
        }
        outermost
    }

    /// The pid of its main process.
    pub fn main(&self) -> i32 {
        self.pid_in_file().expect("a pid file")
    }

    /// Those that run its program.
    fn left(&self) -> Vec<i32> {
        let program = fs::canonicalize(&self.foreground[0]).unwrap();
        let runs_it =
            |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == program);
        processes::all().into_iter().filter(runs_it).collect()
    }

    /// Waits until nothing runs its program: its sockets are free for the next.
    pub fn wait_gone(&self) {
        wait_until("the workers have ended", LONG, || self.left().is_empty());
        let _ = fs::remove_file(&self.pid_file);
    }

    /// Kills whatever runs its program, and waits for the ends.
    pub fn kill_left(&self) {
        let mut killed = Vec::new();
        wait_until("all of it has ended", LONG, || {
            let all = self.left();
            // Again, for what was forked while they were listed.
            all.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
            killed.extend(&all);
            // Who ends has no program any more before it has let go of its memory.
            all.is_empty() && !killed.iter().any(|&pid| processes::lives(pid))
        });
        let _ = fs::remove_file(&self.pid_file);
    }

    /// Kills launcher and server at one moment, as far as either can tell.
    pub fn kill_with(&self, mut launcher: Process) {
        processes::kill(launcher.pid(), Signal::SIGSTOP);
        self.kill_left();
        launcher.signal(Signal::SIGKILL);
        launcher.wait(LONG);
    }

    /// The command line that starts it.
    pub fn words(&self, mode: Mode) -> &[String] {
        match mode {
            Mode::Foreground => &self.foreground,
            Mode::Daemon => &self.daemon,
        }
    }

    /// Waits until it has made all that it makes, beside what was there, and knows its pid.
    pub fn wait_started(&self, before: (usize, usize)) {
        let whole = (before.0 + self.makes.0, before.1 + self.makes.1);
        wait_until("the server has made what it makes", LONG, || there() == whole);
        let lives = || self.pid_in_file().is_some_and(processes::lives);
        wait_until("the server has written its pid", LONG, lives);
    }

    fn pid_in_file(&self) -> Option<i32> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        text.trim_matches(['\0', '\n', ' ']).parse().ok()
    }
}

/// Sets and segments of this IPC namespace.
pub fn there() -> (usize, usize) {
    (sets().len(), segments().len())
}

/// Waits until a launcher has nothing more to write about a server that does nothing.
pub fn wait_quiet(instance: &Instance) {
    wait_until("the ledger rests", LONG, || {
        let length = instance.bytes().len();
        !happens_within(TWO_LOOKS, || instance.bytes().len() != length)
    });
}

fn quiet(command: &mut Command) -> &mut Command {
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn program(path: &str, package: &str) -> String {
    need(path, package);
    need_root("for a server that is started by root, or as a user of its own");
    path.to_owned()
}

fn need(path: &str, package: &str) {
    if !Path::new(path).exists() {
        skip(format!("needs {path} (Debian's package {package})"));
    }
}

fn directory(user: User, name: &str) -> PathBuf {
    let path = sandbox::scratch().join(name);
    user.make_directory(&path);
    path
}
