//! A COMMAND that cannot be executed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::page::measure_both;
use super::subject::{Subject, in_words};
use crate::support::sandbox;

/// What a parent is told that executes `command` itself, or the launcher's status.
fn outcome(subject: Subject, command: &str) -> String {
    if subject == Subject::Without {
        let errno = Command::new(command).spawn().map(drop).expect_err(command);
        let errno = nix::errno::Errno::from_raw(errno.raw_os_error().unwrap());
        return format!("{errno:?}");
    }
    let ended = subject.answer(&[], &[command]);
    ended.map_or("hangs".to_owned(), |ended| in_words(ended.status))
}

fn file(name: &str, text: &str, mode: u32) -> PathBuf {
    let path = sandbox::scratch().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

fn holds(title: &str, errno: &str, status: &str, path: PathBuf) {
    let path = path.to_str().unwrap();
    measure_both(title, errno, status, |subject| outcome(subject, path));
}

#[test]
fn a_command_that_is_not_there() {
    sandbox::run(|| {
        let path = sandbox::scratch().join("nothing");
        holds("COMMAND is not there", "ENOENT", "status 127", path);
    });
}

#[test]
fn a_command_without_its_interpreter() {
    sandbox::run(|| {
        let path = file("script", "#!/nowhere/interpreter\n", 0o755);
        holds("COMMAND is a script without its interpreter", "ENOENT", "status 127", path);
    });
}

#[test]
fn a_command_that_may_not_be_executed() {
    sandbox::run(|| {
        let path = file("plain", "#!/bin/sh\n", 0o644);
        holds("COMMAND may not be executed", "EACCES", "status 126", path);
    });
}

#[test]
fn a_command_below_a_file() {
    sandbox::run(|| {
        let path = file("file", "", 0o644).join("command");
        holds("COMMAND lies below a file", "ENOTDIR", "status 126", path);
    });
}

#[test]
fn a_command_in_a_loop_of_links() {
    sandbox::run(|| {
        let path = sandbox::scratch().join("loop");
        symlink(&path, &path).unwrap();
        holds("COMMAND is a loop of symbolic links", "ELOOP", "status 126", path);
    });
}

#[test]
fn a_command_that_is_no_program() {
    sandbox::run(|| {
        let path = file("text", "no program\n", 0o755);
        holds("COMMAND is no program", "ENOEXEC", "status 126", path);
    });
}
