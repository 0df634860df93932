//! Limits that are lowered for a test, and the parts of a report.

use std::fs;

use serde_json::Value;

use crate::scene::instance::need_root;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden;

/// Sets a limit of the sandbox's own IPC namespace.
pub fn set_limit(name: &str, value: &str) {
    sandbox::assert_inside();
    need_root("to set a limit of an IPC namespace");
    fs::write(format!("/proc/sys/kernel/{name}"), value).unwrap();
}

/// `doctor --json ARGUMENTS` as root, ended with this status.
pub fn report(arguments: &[&str], code: i32) -> Value {
    let words = [&["doctor", "--json"], arguments].concat();
    let answer = warden::answer(User::Root, &words).expect_code(code);
    assert!(answer.stdout.starts_with("{\n  \"schema\": 1,"), "{answer:?}");
    answer.json()
}

/// The findings with this id.
pub fn findings<'a>(report: &'a Value, id: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|one| one["id"] == id).collect()
}

/// The only finding with this id: its level, text and fix.
pub fn finding(report: &Value, id: &str) -> (String, String, String) {
    let found = findings(report, id);
    assert_eq!(found.len(), 1, "{id}: {report:#}");
    let text = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
    (text("level"), text("text"), text("fix"))
}

/// A limit: used, limit, leaked.
pub fn limit(report: &Value, name: &str) -> (u64, u64, u64) {
    let all = report["limits"].as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == name).expect(name);
    let number = |name: &str| one[name].as_u64().unwrap();
    (number("used"), number("limit"), number("leaked"))
}

/// `doctor --explain MESSAGE --json`, ended with 0.
pub fn explained(message: &str) -> Value {
    report(&["--explain", message], 0)
}

/// The sentences of one part of an explanation.
pub fn part(explained: &Value, name: &str) -> String {
    let all = explained[name].as_array().unwrap().iter();
    all.map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
}
