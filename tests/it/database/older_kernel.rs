//! Real PostgreSQL servers on a kernel whose tmpfs keeps no birth times: what a dead one's own list
//! names goes, nothing else does, and the main segment, the only way to the list, goes last or not
//! at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::everywhere::{killed_in_a_container, killed_on_the_machine, killed_with_its_launcher};
use super::matrix::{Kind, USUAL};
use super::stage::{Stage, needs_root};
use crate::demo::stage;
use crate::support::objects::{ShmFile, segment, shm_files};
use crate::support::older_kernel::hide_birth_times;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

const LIMIT: Duration = Duration::from_secs(300);

fn everywhere(main: &'static str, dynamic: &'static str, killed: impl Fn(Kind)) {
    hide_birth_times();
    killed(Kind { major: 15, main, dynamic });
}

#[test]
fn mmap_and_posix_leaves_nothing_on_the_machine() {
    sandbox::on_host_within(LIMIT, || everywhere("mmap", "posix", killed_on_the_machine));
}

#[test]
fn sysv_and_posix_leaves_nothing_on_the_machine() {
    sandbox::on_host_within(LIMIT, || everywhere("sysv", "posix", killed_on_the_machine));
}

#[test]
fn sysv_and_sysv_leaves_nothing_on_the_machine() {
    sandbox::on_host_within(LIMIT, || everywhere("sysv", "sysv", killed_on_the_machine));
}

#[test]
fn mmap_and_posix_leaves_nothing_in_a_container() {
    sandbox::run_within(LIMIT, || everywhere("mmap", "posix", killed_in_a_container));
}

/// A server that died with its launcher: its main segment, and its files by their names.
struct Dead {
    stage: Stage,
    main: i32,
    files: Vec<ShmFile>,
}

impl Dead {
    /// On an older kernel, or on this one.
    fn new(older: bool) -> Self {
        needs_root();
        if older {
            hide_birth_times();
        }
        let mut stage = Stage::new(USUAL);
        let before = shm_files();
        stage.start();
        let main = stage.cluster.main_segment();
        killed_with_its_launcher(&mut stage);
        let mut files = shm_files();
        files.retain(|file| !before.contains(file));
        assert!(files.len() >= 2, "a list and what it names; {}", stage.told());
        Self { stage, main, files }
    }

    /// One that the list names: the largest but for the list.
    fn listed(&self) -> PathBuf {
        let ledger = fs::read_to_string(&self.stage.ledger).unwrap();
        let listed = self.files.iter().find(|file| !ledger.contains(&format!("{:?}", file.name)));
        Path::new("/dev/shm").join(&listed.expect("a file that was not recorded yet").name)
    }

    /// Sweeps; the outcome and the reason's code of what was kept, by number or name.
    fn kept(&self) -> Vec<String> {
        let swept = self.stage.sweep_json();
        let objects = swept["ledgers"][0]["objects"].as_array().unwrap();
        // A stranger that looks like the server's is told of.
        let kept = |one: &&Value| one["outcome"] == "kept" && one["reason_code"] != "unlisted";
        let kept = objects.iter().filter(kept).map(|one| {
            let number = one["name"].as_str().map_or(one["id"].to_string(), str::to_owned);
            format!("{number} {}", one["reason_code"].as_str().unwrap())
        });
        kept.collect()
    }

    /// What `list` says of the main segment, asked for all kinds or for segments alone: `stale` is
    /// what a sweep would remove.
    fn listed_as(&self) -> String {
        let ledger = self.stage.ledger.to_str().unwrap();
        let said = |kinds: &[&str]| {
            let words = [&["list", "--json", "--ledger", ledger], kinds].concat();
            let list = warden::answer(User::Server, &words).expect_code(0).json();
            let objects = list["objects"].as_array().unwrap();
            let main = objects.iter().find(|one| one["kind"] == "shm" && one["id"] == self.main);
            let main = main.unwrap_or_else(|| panic!("{list:#}"));
            let word = |field: &str| main[field].as_str().unwrap().to_owned();
            format!("{} {}", word("verdict"), word("reason_code"))
        };
        let all = said(&[]);
        assert_eq!(said(&["--kind", "shm"]), all);
        all
    }

    fn main_stands(&self) {
        assert!(segment(self.main).is_some(), "the list is lost; {}", self.stage.told());
    }
}

#[test]
fn a_listed_name_that_another_users_file_bears_keeps_the_main_segment() {
    sandbox::on_host_within(LIMIT, || another_users_file(true));
}

#[test]
fn a_listed_name_that_another_users_file_bears_keeps_the_main_segment_on_any_kernel() {
    sandbox::on_host_within(LIMIT, || another_users_file(false));
}

fn another_users_file(older: bool) {
    let dead = Dead::new(older);
    let listed = dead.listed();
    let aside = sandbox::scratch().join("aside");
    fs::copy(&listed, &aside).unwrap();
    fs::remove_file(&listed).unwrap();
    fs::write(&listed, "another user's").unwrap();
    for _ in 0..2 {
        assert_eq!(dead.listed_as(), "held listed-stays");
        let kept = dead.kept();
        assert!(kept.contains(&format!("{} listed-stays", dead.main)), "{kept:?}");
        dead.main_stands();
        assert_eq!(fs::read(&listed).unwrap(), b"another user's");
    }
    fs::remove_file(&listed).unwrap();
    assert_eq!(dead.listed_as(), "stale dead");
    assert_eq!(dead.kept(), [""; 0]);
    dead.stage.assert_clean();
}

#[test]
fn a_listed_name_that_is_no_file_keeps_the_main_segment() {
    sandbox::on_host_within(LIMIT, || {
        let dead = Dead::new(false);
        let listed = dead.listed();
        fs::remove_file(&listed).unwrap();
        fs::create_dir(&listed).unwrap();
        let kept = dead.kept();
        assert!(kept.contains(&format!("{} listed-stays", dead.main)), "{kept:?}");
        dead.main_stands();
        fs::remove_dir(&listed).unwrap();
        assert_eq!(dead.kept(), [""; 0]);
        dead.stage.assert_clean();
    });
}

#[test]
fn a_file_that_came_under_a_listed_name_after_the_death_stays_and_the_main_segment_with_it() {
    sandbox::on_host_within(LIMIT, || {
        let dead = Dead::new(true);
        let listed = dead.listed();
        std::thread::sleep(Duration::from_millis(2100));
        fs::remove_file(&listed).unwrap();
        fs::write(&listed, "a later one").unwrap();
        User::Server.own(&listed);
        let name = listed.file_name().unwrap().to_str().unwrap().to_owned();
        // The sweep reads the main segment, which moves its last detach: not a later proof.
        for _ in 0..3 {
            assert_eq!(dead.listed_as(), "held listed-stays");
            let kept = dead.kept();
            assert!(kept.contains(&format!("{name} changed-since")), "{kept:?}");
            assert!(kept.contains(&format!("{} listed-stays", dead.main)), "{kept:?}");
            dead.main_stands();
            assert_eq!(fs::read(&listed).unwrap(), b"a later one");
            std::thread::sleep(Duration::from_millis(1100));
        }
        fs::remove_file(&listed).unwrap();
        assert_eq!(dead.kept(), [""; 0]);
        dead.stage.assert_clean();
    });
}

#[test]
fn another_dev_shm_keeps_the_main_segment() {
    sandbox::on_host_within(LIMIT, || {
        let dead = Dead::new(true);
        let ledger = dead.stage.ledger.to_str().unwrap().to_owned();
        let sweep = "mount -t tmpfs -o mode=1777 other /dev/shm && exec \"$@\"";
        let mut elsewhere = User::Root.command("unshare");
        elsewhere.args(["--mount", "--", "sh", "-c", sweep, "sh"]).args(User::Server.prefix());
        elsewhere.arg(warden::binary()).args(["sweep", "--json", &ledger]);
        let answer = Answer::of(&mut elsewhere).expect_code(0).json();
        assert_eq!(answer["removed"], 0, "{answer:#}");
        dead.main_stands();
        assert_eq!(dead.kept(), [""; 0]);
        dead.stage.assert_clean();
    });
}

#[test]
fn a_dead_server_is_adopted_as_a_whole_and_no_file_by_its_name() {
    sandbox::on_host_within(LIMIT, || {
        let dead = Dead::new(true);
        let main = dead.main.to_string();
        // As if there had never been a ledger.
        fs::remove_file(&dead.stage.ledger).unwrap();
        let directory = sandbox::scratch().join("adopted");
        User::Root.make_directory(&directory);
        let ledger = directory.join("adopted.ledger");
        let ledger = ledger.to_str().unwrap();
        let adopt = |what: &str| {
            let words = ["adopt", "--json", "--yes", "--min-age", "0s", "--ledger", ledger, what];
            warden::answer(User::Root, &words).json()["objects"].as_array().unwrap().clone()
        };
        let stranger = "/PostgreSQL.stranger2";
        let path = Path::new("/dev/shm").join(&stranger[1..]);
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        let of = |objects: &[Value]| -> Vec<String> {
            let words = |one: &Value| format!("{} {}", one["outcome"], one["reason_code"]);
            objects.iter().map(words).collect()
        };
        let refused = of(&adopt(stranger));
        assert_eq!(refused, ["\"refused\" \"no-identity\""]);
        let taken = adopt(&main);
        assert!(taken.iter().all(|one| one["outcome"] == "adopted"), "{taken:?}");
        assert!(taken.len() > dead.files.len().min(2), "{taken:?}");
        let swept = warden::answer(User::Root, &["sweep", "--json", ledger]).expect_code(0).json();
        let swept = swept["ledgers"][0]["objects"].as_array().unwrap().clone();
        assert!(swept.iter().all(|one| one["outcome"] == "removed"), "{swept:?}");
        assert_eq!(swept.last().unwrap()["id"], dead.main, "the main segment goes last");
        dead.stage.assert_clean();
    });
}

#[test]
fn the_demo_holds_all_its_claims_and_doctor_names_the_fallback() {
    sandbox::run_within(LIMIT, || {
        hide_birth_times();
        let demo = Answer::of(&mut stage::command(User::Root, &["--json"]));
        assert!(stage::claims_of(&demo).len() > 10, "{demo:?}");
        let doctor = warden::answer(User::Root, &["doctor", "--json"]).json();
        let findings = doctor["findings"].as_array().unwrap();
        let birth = findings.iter().find(|one| one["id"] == "kernel-birth-time");
        let birth = birth.unwrap_or_else(|| panic!("{doctor:#}"));
        assert_eq!(birth["level"], "warn");
        let text = birth["text"].as_str().unwrap();
        assert!(text.contains("of a dead PostgreSQL what its own list names is removed"), "{text}");
    });
}
