//! The program under test, as a user would call it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::unistd::{Uid, User as Account};

use super::sandbox;
use super::skip::skip;
use super::user::User;

/// What a finished command said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Answer {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit status; fails if it died of a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("died of {:?}: {self:?}", self.status.signal()))
    }

    /// The one JSON document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON, {e}: {self:?}"))
    }

    /// Fails, with everything that was said, unless the exit status is this one.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

/// The program in a place where every user can read it: the build directory may be root's alone.
pub fn binary() -> PathBuf {
    copy_of("shmwarden", env!("CARGO_BIN_EXE_shmwarden"))
}

/// The stand-in for an openGauss, likewise; `/proc/PID/exe` of it ends with this name.
pub fn gaussdb() -> PathBuf {
    gaussdb_called("gaussdb")
}

/// The same under another name, as openGauss is sold under.
pub fn gaussdb_called(name: &str) -> PathBuf {
    copy_of(name, env!("CARGO_BIN_EXE_gaussdb"))
}

fn copy_of(name: &str, original: &str) -> PathBuf {
    let copy = sandbox::scratch().join("bin").join(name);
    if !copy.exists() {
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(original, &copy).unwrap();
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    }
    copy
}

/// The ledger of [`User::Server`]'s server on this data directory where none is named: in the home
/// directory that the user database has, which is made here.
pub fn default_ledger(data: &Path) -> PathBuf {
    let (uid, _) = User::Server.ids();
    let home = Account::from_uid(Uid::from_raw(uid)).unwrap().unwrap().dir;
    if !home.starts_with("/var/lib") {
        skip(format!("the home directory {} is not the sandbox's own", home.display()));
    }
    User::Server.make_directory(&home);
    let name = data.to_str().unwrap().trim_start_matches('/');
    let name = name.replace('-', "\\x2d").replace('/', "-");
    home.join(".local/state/shmwarden").join(format!("{name}.ledger"))
}

/// `shmwarden ARGUMENTS...` as `user`, not started yet.
pub fn command(user: User, arguments: &[&str]) -> Command {
    let mut command = user.command(binary());
    command.args(arguments);
    command
}

/// `shmwarden ARGUMENTS...` as `user`, run to its end.
pub fn answer(user: User, arguments: &[&str]) -> Answer {
    Answer::of(&mut command(user, arguments))
}

/// The words to put before a server's command line so that it runs under `shmwarden ARGUMENTS...`,
/// for instance `["run", "--ledger", path]`.
pub fn prefix(arguments: &[&str]) -> Vec<String> {
    let program = binary().to_str().unwrap().to_owned();
    let arguments = arguments.iter().map(|&word| word.to_owned());
    std::iter::once(program).chain(arguments).chain(std::iter::once("--".to_owned())).collect()
}
