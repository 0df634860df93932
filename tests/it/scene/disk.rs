//! Disks that fill up: a small file system, filled and emptied at will; and what is said then.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::sandbox;
use crate::support::user::User;

/// A file system of 256 kB that is unmounted with this value.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one of [`User::Server`] on a directory.
    pub fn mount(at: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "shmwarden-test"]);
        assert!(mount.arg(at).status().unwrap().success());
        User::Server.own(at);
        Disk(at.to_owned())
    }

    /// Leaves no byte.
    pub fn fill(&self) {
        let mut file = File::create(self.filling()).unwrap();
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    /// Takes that back.
    pub fn empty(&self) {
        fs::remove_file(self.filling()).unwrap();
    }

    fn filling(&self) -> PathBuf {
        self.0.join("filling")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What a program writes to its stderr.
pub struct Log(PathBuf);

impl Log {
    /// A file of its own.
    pub fn new() -> Self {
        let number = fs::read_dir(sandbox::scratch()).unwrap().count();
        Log(sandbox::scratch().join(format!("stderr{number}")))
    }

    /// The file, to be given to a program.
    pub fn open(&self) -> File {
        File::create(&self.0).unwrap()
    }

    /// What was written by now.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// Whether this was written.
    pub fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }
}
