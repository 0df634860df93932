//! What the onlooker may not look into: said, and never taken for nobody.

use std::os::unix::fs::PermissionsExt;

use super::make::{held_by, objects_for};
use crate::scene::instance::need_root;
use crate::support::objects::{create_segment, create_shm_file};
use crate::support::user::User;
use crate::support::{holders, sandbox, warden};

const STRANGER: User = User::Other(47_110);

#[test]
fn who_may_not_look_says_so_and_counts_what_stays_unexplained() {
    sandbox::run(|| {
        need_root("to act as two users");
        let id = create_segment(User::Root, 5, 4096);
        let holder = holders::attach(User::Root, id);
        let object = objects_for(STRANGER, &["who", "0x5"], 0).remove(0);
        assert_eq!(held_by(&object), []);
        assert_eq!(object["unexplained"], 1);
        assert!(object["unreadable"].as_u64().unwrap() >= 2, "{object}");
        let words = warden::answer(STRANGER, &["who", "0x5"]).expect_code(0).stdout;
        assert!(!words.contains("nobody"), "{words}");
        assert!(words.contains("1 attachment is of no process that was found"), "{words}");
        assert!(words.contains("not allowed to look into"), "{words}");
        assert!(words.contains(&format!("{} perl", holder.pid())), "{words}");
    });
}

#[test]
fn a_file_that_a_closed_process_may_map_is_not_held_by_nobody() {
    sandbox::run(|| {
        need_root("to act as two users");
        create_shm_file(User::Root, "a", 4096);
        let _holder = holders::map(User::Root, "a");
        let words = warden::answer(STRANGER, &["who", "/a"]).expect_code(0).stdout;
        assert!(!words.contains("nobody"), "{words}");
        assert!(words.contains("not allowed to look into"), "{words}");
    });
}

#[test]
fn a_stranger_is_shown_every_object_and_no_orphan_that_is_none() {
    sandbox::on_host(|| {
        need_root("to act as two users");
        let id = create_segment(User::Other(47_120), 5, 4096);
        create_shm_file(User::Other(47_120), "a", 4096);
        create_shm_file(User::Other(47_120), "open", 4096);
        std::fs::set_permissions("/dev/shm/open", PermissionsExt::from_mode(0o644)).unwrap();
        let found = objects_for(STRANGER, &["list"], 0);
        assert_eq!(found.len(), 3);
        assert_eq!((&found[0]["id"], &found[0]["verdict"]), (&id.into(), &"orphan".into()));
        let file = |found: &[serde_json::Value], name: &str| {
            found.iter().find(|one| one["name"] == name).unwrap().clone()
        };
        assert_eq!(file(&found, "a")["reason_code"], "any-file");
        // Its mode lets others in, and whoever may not be looked into may have it mapped.
        let code = file(&found, "open")["reason_code"].as_str().unwrap().to_owned();
        assert!(["user-lives", "perhaps-mapped"].contains(&code.as_str()), "{code}");
        let found = objects_for(User::Root, &["list"], 0);
        assert_eq!(file(&found, "a")["reason_code"], "any-file");
    });
}
