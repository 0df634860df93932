//! What `adopt` can be asked, what it refuses to be asked, and what it says to whom.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::adopt::{adopt, ledger_of, said};
use super::hostile::{HOSTILE, assert_harmless};
use super::make::shell;
use crate::support::objects::{create_segment, create_shm_file, segment};
use crate::support::user::User;
use crate::support::warden::{self, Answer};
use crate::support::{holders, sandbox};

fn ask(words: &[&str]) -> Answer {
    warden::answer(User::Root, &[&["adopt"], words].concat())
}

#[test]
fn without_a_terminal_and_a_yes_nothing_is_done() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096).to_string();
        let refused = ask(&["--min-age", "0s", &id]).expect_code(2);
        assert!(refused.stderr.contains("look with --dry-run, then say --yes"), "{refused:?}");
        assert!(!Path::new("/var/lib/shmwarden").exists());
    });
}

#[test]
fn at_a_terminal_it_asks_and_takes_a_yes_alone() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096);
        let answered = |answer: &str| {
            let words = format!("adopt --min-age 0s {id}");
            let script = format!("printf '{answer}\\n' | script -qec \"$1 {words}\" /dev/null");
            shell(&script).expect_code(0).stdout
        };
        for no in ["n", "", "no", "x"] {
            let said = answered(no);
            assert!(said.contains("Adopt 1 object, for sweep to remove? [y/N]"), "{said}");
            assert!(said.contains("0x00000000/24") && said.contains("4.0 KiB"), "{said}");
            assert!(!Path::new("/var/lib/shmwarden/adopted.ledger").exists(), "{no}");
        }
        let said = answered("y");
        assert!(said.contains("adopted into /var/lib/shmwarden/adopted.ledger"), "{said}");
        warden::answer(User::Root, &["sweep"]).expect_code(0);
        assert!(segment(id).is_none());
    });
}

#[test]
fn a_named_object_that_is_refused_ends_with_77_and_says_why() {
    sandbox::run(|| {
        let held = create_segment(User::Root, 9, 4096);
        let free = create_segment(User::Root, 8, 4096);
        let _holder = holders::attach(User::Root, held);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let young = ask(&["--dry-run", &free.to_string()]).expect_code(77);
        assert!(young.stdout.contains("less than 1h ago (--min-age)"), "{young:?}");
        let both = adopt(User::Root, path, &[&held.to_string(), &format!("shm:{free}")], 77);
        let refused = format!("shm {held} refused attached");
        assert_eq!(said(&both), [refused, format!("shm {free} adopted named")]);
        let words = ask(&["--yes", "--min-age", "0s", &held.to_string()]).expect_code(77).stdout;
        assert!(words.contains(&format!("refused     segment {held} (key 0x00000009), 4.0 KiB")));
        assert_eq!(words.matches("it is attached once (nattch 1)").count(), 1, "{words}");
    });
}

#[test]
fn what_is_not_there_ends_with_66_and_the_rest_is_judged() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096);
        let words = ["--dry-run", "--min-age", "0s", "4711", "/nothing", "msg:5", &id.to_string()];
        let answer = ask(&words).expect_code(66);
        for missing in ["no such object: 4711", "no such object: /nothing", "object: msg:5"] {
            assert!(answer.stderr.contains(missing), "{answer:?}");
        }
        assert!(answer.stdout.contains("1 object, 4.0 KiB, can be adopted"), "{answer:?}");
    });
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    sandbox::run(|| {
        let wrong: [&[&str]; 7] = [
            &["--dry-run", "0x00f42401"],
            &["--dry-run", "sem:x"],
            &["--dry-run", "name"],
            &["--dry-run", "--owner", "nobody-of-this-name"],
            &["--dry-run", "--key-family", "0x00f42400/33"],
            &["--dry-run", "--min-age", "soon"],
            &["--dry-run", "--owner", "root", "5"],
        ];
        for words in wrong {
            let answer = ask(words).expect_code(2);
            assert!(!answer.stderr.is_empty() && answer.stdout.is_empty(), "{answer:?}");
        }
    });
}

#[test]
fn hostile_names_are_escaped_and_exact_in_the_document() {
    sandbox::on_host(|| {
        let name = OsStr::from_bytes(HOSTILE);
        let file = Path::new("/dev/shm").join(name);
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        // Not root's, of which some process may not be looked into everywhere.
        User::Server.own(&file);
        create_shm_file(User::Server, &"x".repeat(255), 4096);
        let path = [b"/dev/shm/", HOSTILE].concat();
        let run = |words: &[&str], named: bool| {
            let common = ["adopt", "--min-age", "0s"];
            let mut command = warden::command(User::Root, &[&common, words].concat());
            if named {
                command.arg(OsStr::from_bytes(&path));
            }
            let answer = Answer::of(&mut command).expect_code(0);
            assert_harmless(&answer.stdout);
            assert_harmless(&answer.stderr);
            answer
        };
        run(&["--dry-run", "-v"], false);
        run(&["--dry-run", "-v"], true);
        let document = run(&["--yes", "--json"], true).json();
        let one = &document["objects"][0];
        assert_eq!(one["name"], String::from_utf8_lossy(HOSTILE).into_owned());
        assert_eq!(one["name_bytes"], "YRtbMzFtG10wO3QHCmLCmzJK4oCuIlwgY//+");
        for words in [["history"], ["sweep"]] {
            let answer = warden::answer(User::Root, &words).expect_code(0);
            assert_harmless(&answer.stdout);
            assert_harmless(&answer.stderr);
        }
        assert!(!Path::new("/dev/shm").join(name).exists());
        let mut missing = warden::command(User::Root, &["adopt", "--dry-run"]);
        let answer = Answer::of(missing.arg(OsStr::from_bytes(&path))).expect_code(66);
        assert_harmless(&answer.stderr);
    });
}

/// The directory is chosen by whoever made the link: that is judged before anything is made.
#[test]
fn root_makes_no_directory_through_another_users_link() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 9, 4096).to_string();
        let more = create_segment(User::Root, 10, 4096).to_string();
        let (home, roots) = (sandbox::scratch().join("home"), sandbox::scratch().join("roots"));
        fs::create_dir(&roots).unwrap();
        User::Server.make_directory(&home);
        symlink(&roots, home.join("link")).unwrap();
        let ask_in = |state: PathBuf, code: i32| {
            let words = ["adopt", "--yes", "--min-age", "0s", &id];
            let mut command = warden::command(User::Root, &words);
            Answer::of(command.env("STATE_DIRECTORY", state)).expect_code(code)
        };
        let refused = ask_in(home.join("link/shmwarden"), 77);
        let reason = format!("root does not make it below {}", home.display());
        assert!(refused.stderr.contains(&reason), "{refused:?}");
        assert!(ask_in(home.join("shmwarden"), 77).stderr.contains(&reason));
        assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
        // A link of root's own is as good as a directory.
        symlink(&roots, sandbox::scratch().join("link")).unwrap();
        ask_in(sandbox::scratch().join("link/shmwarden/a"), 0);
        assert!(roots.join("shmwarden/a/adopted.ledger").exists());
        // A relative path is one from here.
        let words = ["adopt", "--yes", "--min-age", "0s", &more];
        let mut command = warden::command(User::Root, &words);
        command.current_dir(sandbox::scratch()).env("STATE_DIRECTORY", "b/shmwarden");
        Answer::of(&mut command).expect_code(0);
        assert!(sandbox::scratch().join("b/shmwarden/adopted.ledger").exists());
        // What is there already was made by somebody who knew.
        fs::create_dir(home.join("shmwarden")).unwrap();
        ask_in(home.join("shmwarden"), 0);
    });
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    sandbox::run(|| {
        for key in 1..200 {
            create_segment(User::Root, key * 256, 4096);
        }
        let answer = shell("$1 adopt --dry-run -v | head -1; echo ${PIPESTATUS[0]}").expect_code(0);
        assert!(answer.stdout.ends_with("\n0\n"), "{answer:?}");
        assert!(!answer.stderr.contains("error"), "{answer:?}");
    });
}
