//! The very ledger, seen through another mount: an overlay, a disk that was mounted again. And what
//! has its inode and birth time and is another file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::copies::{in_container, own};
use crate::scene::instance::{Instance, outcomes, state};
use crate::support::objects::segment;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

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

/// What is swept by a ledger that proves nothing.
fn is_kept(sweep: &Answer) {
    let kept = vec!["kept unseen".to_owned()];
    assert_eq!((state(sweep), outcomes(sweep)), ("copy".to_owned(), kept), "{sweep:?}");
}

/// A loop device, which stays while what is on it is mounted again.
struct Loop(String);

impl Loop {
    fn of(image: &Path) -> Self {
        let made = Command::new("losetup").args(["-f", "--show"]).arg(image).output();
        match made.ok().filter(|made| made.status.success()) {
            Some(made) => Loop(String::from_utf8(made.stdout).unwrap().trim().to_owned()),
            None => skip("losetup makes no loop device here"),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn a_ledger_on_an_overlay_that_is_mounted_again_is_the_same_file_and_what_lies_beneath_is_none() {
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
        let beneath = Instance::at(User::Server, &upper.join("server.ledger"));
        let same = own(&beneath);
        assert_eq!((same.ino, same.born), (before.ino, before.born));
        assert!(before.overlay && !same.is(&before));
        is_kept(&beneath.sweep(&[]).expect_code(0));
        assert_eq!(state(&instance.sweep(&[]).expect_code(75)), "live");
        assert!(segment(id).is_some());
        server.kill_all();
        is_kept(&beneath.sweep(&[]).expect_code(0));
        unmount(&merged);
        // One takes the number that the overlay's device had; lower ones may be free as well.
        let mut between = Vec::new();
        while between.last().is_none_or(|at: &PathBuf| fs::metadata(at).unwrap().dev() < before.dev)
        {
            let at = directory(&format!("between{}", between.len()));
            mount(&["-t", "tmpfs", "shmwarden-test"], &at);
            between.push(at);
        }
        mount(&words, &merged);
        let after = own(&instance);
        assert!(after.is(&before));
        assert_ne!(after.dev, before.dev, "another device");
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
        unmount(&merged);
        between.iter().for_each(|at| unmount(at));
    });
}

#[test]
fn a_ledger_on_a_disk_that_is_mounted_again_is_the_same_file_and_a_clone_is_none() {
    sandbox::run(|| {
        let (disk, clone) = (directory("disk"), directory("clone"));
        let image = sandbox::scratch().join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
        if !made.is_ok_and(|made| made.status.success()) {
            skip("mkfs.ext4 makes no file system here");
        }
        let device = Loop::of(&image);
        mount(&[&device.0], &disk);
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
        let same = own(&cloned);
        assert_eq!((same.ino, same.born), (before.ino, before.born));
        assert!(same.dev != before.dev && !same.is(&before));
        is_kept(&cloned.sweep(&[]).expect_code(0));
        // Where the disk itself is not mounted.
        let mut alone = Command::new("unshare");
        alone.args(["--mount", "sh", "-c", "umount \"$0\" && exec \"$@\""]).arg(&disk);
        alone.args(User::Server.prefix()).arg(warden::binary());
        alone.args(["sweep", "--json", cloned.path()]);
        is_kept(&Answer::of(&mut alone).expect_code(0));
        assert!(segment(id).is_some());
        server.kill_all();
        unmount(&disk);
        is_kept(&cloned.sweep(&[]).expect_code(0));
        unmount(&clone);
        mount(&[&device.0], &disk);
        assert!(own(&instance).is(&before));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
        unmount(&disk);
    });
}
