//! Data directories as `initdb` makes them: made once for each version of the server and kept.
//!
//! A template takes its name when it is complete, under a lock, because tests run side by side.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::support::user::{User, server_account};
use crate::support::{cache, sandbox};

/// Makes `data` a new data directory for the server in `binaries`.
pub fn copy(major: u32, binaries: &Path, data: &Path) {
    let template = template(major, binaries);
    fs::create_dir_all(data).unwrap();
    run(Command::new("cp").arg("-a").arg(template.join(".")).arg(data));
    let (uid, gid) = User::Server.ids();
    if sandbox::has_root() && uid != maker().ids().0 {
        run(Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(data));
    }
}

/// The template for the very version that is installed.
fn template(major: u32, binaries: &Path) -> PathBuf {
    let version = run(Command::new(binaries.join("postgres")).arg("--version"));
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }
    };
    let version: String = version.trim().chars().map(plain).collect();
    let (uid, _) = maker().ids();
    let template = cache::directory().join(format!("template-{major}-{uid}-{version}"));
    fs::create_dir_all(cache::directory()).unwrap();
    let lock = File::create(cache::directory().join(format!("template-{major}.lock"))).unwrap();
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    if !template.exists() {
        let fresh = sandbox::scratch().join("template");
        maker().make_directory(&fresh);
        initialise(binaries, &fresh);
        // Scratch and cache are different file systems, so the rename is from beside the target.
        let beside = cache::directory().join(format!("template-{major}.new"));
        run(Command::new("rm").arg("-rf").arg(&beside));
        run(Command::new("cp").arg("-a").arg(&fresh).arg(&beside));
        fs::rename(&beside, &template).unwrap();
        run(Command::new("rm").arg("-rf").arg(&fresh));
    }
    template
}

/// The user that makes templates, which tests with servers of another user copy.
fn maker() -> User {
    match sandbox::has_root() {
        true => User::Other(server_account().0),
        false => User::Server,
    }
}

fn initialise(binaries: &Path, data: &Path) {
    let mut initdb = maker().command(binaries.join("initdb"));
    initdb.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8"]);
    run(initdb.args(["--no-sync", "--wal-segsize=1"]).current_dir("/"));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
