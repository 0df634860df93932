//! Configuration as people and distributions write it, and what is said of it.

use super::*;
use crate::finding::Level;

fn file(path: &str, text: &str) -> ConfigFile {
    ConfigFile { path: path.into(), text: Seen::Here(text.as_bytes().to_vec()) }
}

fn removes(texts: &[&str]) -> bool {
    let files: Vec<ConfigFile> = texts.iter().map(|text| file("/f", text)).collect();
    setting(&files).removes
}

#[test]
fn the_last_file_that_says_so_counts() {
    assert!(removes(&[]));
    assert!(removes(&["[Login]\n"]));
    assert!(!removes(&["[Login]\nRemoveIPC=no\n"]));
    assert!(removes(&["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC=yes\n"]));
    assert!(!removes(&["[Login]\nRemoveIPC=yes\n", "[Login]\n RemoveIPC = off \n"]));
    assert!(!removes(&["[Login]\nRemoveIPC=0\nRemoveIPC=maybe\nRemoveIPC=\n"]));
}

#[test]
fn what_is_no_setting_of_logind_does_not_count() {
    assert!(removes(&["RemoveIPC=no\n", "[Manager]\nRemoveIPC=no\n"]));
    assert!(removes(&["[Login]\nNoRemoveIPC=no\n;RemoveIPC=no\n[Other]\nRemoveIPC=no\n"]));
    assert!(removes(&["[Login]\nKillUserProcesses=\\\nRemoveIPC=no\n"]), "a line that goes on");
}

#[test]
fn the_default_is_the_one_that_the_distribution_shows_in_a_comment() {
    assert!(!removes(&["[Login]\n#RemoveIPC=no\n"]));
    assert!(removes(&["[Login]\n#RemoveIPC=yes\n"]));
    assert!(removes(&["[Login]\n#RemoveIPC=no\n", "[Login]\nRemoveIPC=yes\n"]));
    assert_eq!(setting(&[file("/f", "[Login]\n#RemoveIPC=no\n")]).from, None);
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let denied = ConfigFile { path: "/d".into(), text: Seen::Denied };
    let setting = setting(&[file("/f", "[Login]\nRemoveIPC=no\n"), denied]);
    let found = judge(Some(&setting), 999, &[], &|uid| uid.to_string());
    assert_eq!((found[0].level, found[0].id), (Level::Warn, "logind-unread"));
    assert!(found[0].text.starts_with("/d cannot be read"), "{found:?}");
}

#[test]
fn hostile_files_are_read_to_their_end() {
    let long = format!("[Login]\n{}=no\nRemoveIPC=no\\", "x".repeat(100_000));
    assert!(!removes(&[&long]));
    for bytes in [&b"\xff\xfe[Login]\n\xffRemoveIPC=no"[..], b"[", b"[]", b"=", b"\\\n\\", b"#\0"] {
        let file = ConfigFile { path: "/f".into(), text: Seen::Here(bytes.to_vec()) };
        assert!(setting(&[file]).removes);
    }
}

#[test]
fn the_end_of_system_users_is_read() {
    let max = |text: &str| sys_uid_max(&file("/etc/login.defs", text));
    assert_eq!(max("# SYS_UID_MAX 1\nSYS_UID_MAX\t\t  499\n"), 499);
    assert_eq!(max("#SYS_UID_MAX 1\n"), USUAL_SYS_UID_MAX);
    assert_eq!(max("SYS_UID_MAXIMUM 5\nSYS_UID_MAX x\nSYS_UID_MAX -1"), USUAL_SYS_UID_MAX);
}

#[test]
fn only_a_user_that_logind_means_is_a_finding() {
    let yes = Setting { removes: true, from: None, unread: vec![] };
    let level = |uid, why, lingers| {
        let found = judge(Some(&yes), 999, &[Keeper { uid, why, lingers }], &|uid| uid.to_string());
        assert!(found.iter().all(|one| one.id == "logind-remove-ipc"));
        (found[0].level, found.len())
    };
    assert_eq!(level(999, Interest::Server(7), false), (Level::Ok, 1));
    assert_eq!(level(1000, Interest::Server(7), false), (Level::Bad, 1));
    assert_eq!(level(1000, Interest::Ledger, false), (Level::Bad, 1));
    assert_eq!(level(1000, Interest::Objects(3), false), (Level::Warn, 1));
    assert_eq!(level(1000, Interest::Server(7), true), (Level::Ok, 1));
    assert_eq!(level(NOBODY, Interest::Server(7), false), (Level::Ok, 1));
    let no = Setting { removes: false, ..yes.clone() };
    let keeper = Keeper { uid: 1000, why: Interest::Ledger, lingers: false };
    assert_eq!(judge(Some(&no), 999, &[keeper], &|_| String::new())[0].level, Level::Ok);
    assert_eq!(judge(None, 999, &[], &|_| String::new())[0].level, Level::Ok);
}
