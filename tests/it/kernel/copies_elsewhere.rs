//! The very ledger, seen through another mount: an overlay, a disk that was mounted again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::copies::{in_container, own};
use super::instance::{Instance, outcomes};
use crate::support::objects::segment;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;

fn mount(words: &[&str], at: &Path) {
    let done = Command::new("mount").args(words).arg(at).output().unwrap();
    if !done.status.success() {
        skip(format!("mount {words:?}: {}", String::from_utf8_lossy(&done.stderr)));
    }
}

fn unmount(at: &Path) {
    assert!(Command::new("umount").arg(at).status().unwrap().success());
}

/// A directory of the server's user in the scratch directory.
fn directory(name: &str) -> PathBuf {
    let path = sandbox::scratch().join(name);
    User::Server.make_directory(&path);
    path
}

#[test]
fn a_ledger_on_an_overlay_that_is_mounted_again_is_the_same_file() {
    sandbox::run(|| {
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(directory);
        let shown = |path: &Path| path.to_str().unwrap().to_owned();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            shown(&lower),
            shown(&upper),
            shown(&work)
        );
        let words = ["-t", "overlay", "shmwarden-test", "-o", &options];
        mount(&words, &merged);
        let instance = Instance::at(User::Server, &merged.join("server.ledger"));
        let server = in_container(&instance);
        let id = server.segment();
        let before = own(&instance);
        server.kill_all();
        unmount(&merged);
        // Takes the number that the overlay's device had.
        let between = directory("between");
        mount(&["-t", "tmpfs", "shmwarden-test"], &between);
        mount(&words, &merged);
        let after = own(&instance);
        assert!(after.is(&before));
        assert_ne!(after.dev, before.dev, "another device");
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
        unmount(&merged);
        unmount(&between);
    });
}

#[test]
fn a_ledger_on_a_disk_that_is_mounted_again_is_the_same_file_and_a_clone_beside_it_is_none() {
    sandbox::run(|| {
        let (disk, clone) = (directory("disk"), directory("clone"));
        let image = sandbox::scratch().join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
        if !made.is_ok_and(|made| made.status.success()) {
            skip("mkfs.ext4 makes no file system here");
        }
        let path = image.to_str().unwrap();
        mount(&["-o", "loop", path], &disk);
        User::Server.own(&disk);
        let instance = Instance::at(User::Server, &disk.join("server.ledger"));
        let server = in_container(&instance);
        let id = server.segment();
        let before = own(&instance);
        let copy = sandbox::scratch().join("image2");
        assert!(Command::new("sync").status().unwrap().success());
        fs::copy(&image, &copy).unwrap();
        mount(&["-o", "loop", copy.to_str().unwrap()], &clone);
        let cloned = Instance::at(User::Server, &clone.join("server.ledger"));
        assert!(own(&cloned).is(&before) && own(&cloned).dev != before.dev);
        let sweep = cloned.sweep(&[]).expect_code(0);
        assert_eq!(super::instance::state(&sweep), "copy", "{sweep:?}");
        assert!(segment(id).is_some());
        unmount(&clone);
        server.kill_all();
        unmount(&disk);
        mount(&["-o", "loop", path], &disk);
        assert!(own(&instance).is(&before));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
        unmount(&disk);
    });
}
