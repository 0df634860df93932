//! Segments as large as real ones: 4 GB, of which nothing is touched, and huge pages.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::gauss::{Gauss, PORT, data_directory, words};
use crate::scene::instance::{Instance, need_root};
use crate::support::objects::{segment, segments};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden;

#[test]
fn a_segment_of_4_gb_is_recorded_and_removed_and_the_history_says_when() {
    sandbox::run(|| {
        is_recorded_and_removed(User::Server, &["shared_memory=4294967296"], 4 << 30);
    });
}

/// As root, who may have them without `hugetlb_shm_group`.
#[test]
fn a_segment_in_huge_pages_is_recorded_and_removed() {
    sandbox::run(|| {
        need_root("to have huge pages");
        let free = meminfo("HugePages_Free:");
        let page = meminfo("Hugepagesize:") << 10;
        if free < 2 {
            skip(format!("{free} huge pages are free (vm.nr_hugepages), and this takes 2"));
        }
        let bytes = format!("shared_memory={}", page + 1);
        let settings = ["enable_huge_pages=on", &bytes];
        is_recorded_and_removed(User::Root, &settings, 2 * page);
        assert_eq!(meminfo("HugePages_Free:"), free, "they are given back");
    });
}

fn is_recorded_and_removed(user: User, settings: &[&str], bytes: u64) {
    for is_seen in [true, false] {
        let instance = Instance::new(user);
        let data = data_directory(user);
        let mut server = Gauss::spawn(instance.run(&[], &words(&data, PORT, settings)), data);
        instance.wait_recorded(5);
        let id = server.belongings().0[0];
        assert_eq!(segment(id).unwrap().bytes, bytes);
        let list = warden::answer(user, &["list", "--json", "--ledger", instance.path()]);
        let list = list.expect_code(0).json();
        let all = list["objects"].as_array().unwrap();
        let shown = all.iter().find(|one| one["kind"] == "shm" && one["id"] == id).unwrap();
        assert_eq!((&shown["bytes"], &shown["verdict"]), (&Value::from(bytes), &"live".into()));
        assert!(shown["resident_bytes"].as_u64().unwrap() <= bytes, "{shown}");
        if is_seen {
            server.end(Signal::SIGKILL);
        } else {
            server.end_both(Signal::SIGKILL);
            let sweep = instance.sweep(&[]).expect_code(0).json();
            assert_eq!(sweep["removed_bytes"], bytes, "{sweep}");
        }
        assert_eq!(segments(), []);
        let history = ["history", "--json", instance.path()];
        let history = warden::answer(user, &history).expect_code(0).json();
        let objects = history["runs"][0]["objects"].as_array().unwrap();
        let removed = objects.iter().find(|one| one["kind"] == "shm").unwrap();
        let time = |name: &str| removed[name].as_str().unwrap().to_owned();
        assert!(time("changed") > time("recorded"), "{removed}");
        assert_eq!((&removed["bytes"], &removed["outcome"]), (&bytes.into(), &"removed".into()));
    }
}

/// A number of `/proc/meminfo`.
fn meminfo(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().next().unwrap().parse().unwrap()
}
