//! Objects and processes that the tests of `list` and `who` need and others do not, and the
//! program's answers taken apart.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::holders::NUMBERS;
use crate::support::processes::Process;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// A process of `user` that runs a Perl script, when that has said `ready` and a number; the script
/// has `$SHMAT` and `$MPROTECT`, and is to sleep then.
pub fn perl(user: User, script: &str, arguments: &[&str]) -> (Process, i32) {
    let protect = if cfg!(target_arch = "x86_64") { 10 } else { 226 };
    let script = format!("{NUMBERS} my $MPROTECT = {protect}; $| = 1; {script}");
    let mut command = user.command("perl");
    command.arg("-e").arg(script).args(arguments);
    let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut line = String::new();
    let output = process.child().stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let number = line.trim().strip_prefix("ready ").expect("a script that is ready");
    (process, number.parse().unwrap())
}

/// `shmwarden ARGUMENTS... --json` as root, ended with this status: the objects.
pub fn objects(arguments: &[&str], code: i32) -> Vec<Value> {
    objects_for(User::Root, arguments, code)
}

/// The same as another user.
pub fn objects_for(user: User, arguments: &[&str], code: i32) -> Vec<Value> {
    let answer = warden::answer(user, &[arguments, &["--json"]].concat()).expect_code(code);
    let document = answer.json();
    assert!(answer.stdout.starts_with("{\n  \"schema\": 1,"), "{answer:?}");
    document["objects"].as_array().unwrap().clone()
}

/// The only object of `who TARGET`.
pub fn only(target: &str, code: i32) -> Value {
    let objects = objects(&["who", target], code);
    assert_eq!(objects.len(), 1, "{objects:?}");
    objects.into_iter().next().unwrap()
}

/// The verdict on a segment and its code.
pub fn verdict(objects: &[Value], id: i32) -> (String, String) {
    let one = objects.iter().find(|one| one["kind"] == "shm" && one["id"] == id);
    let one = one.unwrap_or_else(|| panic!("no segment {id}: {objects:?}"));
    let word = |name: &str| one[name].as_str().unwrap().to_owned();
    (word("verdict"), word("reason_code"))
}

/// Pids of the holders of an object, with their attachments.
pub fn held_by(object: &Value) -> Vec<(i64, i64)> {
    let holders = object["holders"].as_array().unwrap().iter();
    let mut pids: Vec<(i64, i64)> = holders
        .map(|one| (one["pid"].as_i64().unwrap(), one["attachments"].as_i64().unwrap()))
        .collect();
    pids.sort_unstable();
    pids
}

/// What a shell says, with the program as `$1`.
pub fn shell(script: &str) -> Answer {
    let mut command = User::Root.command("bash");
    command.args(["-c", script, "bash"]).arg(warden::binary());
    Answer::of(&mut command)
}
