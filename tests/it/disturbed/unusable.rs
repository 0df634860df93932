//! Ledgers that cannot be had, before the server runs: each has its clear sentence and status, the
//! server starts or not as was asked, and never twice.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::scene::disk::Disk;
use crate::scene::instance::{Instance, SOON, need_root, outcomes, state};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{Snapshot, segment, segments};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// None: a key is what others find an object by, and what has one stays where they may use it.
const KEY: u32 = 0;
/// Segments whose removal takes more room in a ledger than the last page of its file may have.
const MANY: usize = 40;

#[test]
fn a_missing_directory() {
    sandbox::run(|| {
        need_root("to act as another user");
        let directory = sandbox::scratch().join("nowhere");
        let instance = Instance::at(User::Server, &directory.join("server.ledger"));
        let how = format!("install -d -m 0755 -o {} {}", User::Server.ids().0, directory.display());
        User::Root.own(&sandbox::scratch());
        let scratch = fs::Permissions::from_mode(0o755);
        fs::set_permissions(sandbox::scratch(), scratch).unwrap();
        assert_run(&instance, &["its directory is missing, and could not be made", &how]);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&sweep), "missing");
        // What is said helps.
        let install: Vec<&str> = how.split(' ').collect();
        Answer::of(Command::new(install[0]).args(&install[1..])).expect_code(0);
        let answer = Starts::new().run(&instance, "refuse").expect_code(0);
        assert_eq!(answer.stderr, "");
    });
}

#[test]
fn a_missing_directory_whose_parent_the_caller_may_write_is_made() {
    sandbox::run(|| {
        let above = sandbox::scratch().join("above");
        fs::create_dir(&above).unwrap();
        User::Server.own(&above);
        let ledger = above.join("ledgers").join("server.ledger");
        let instance = Instance::at(User::Server, &ledger);
        let answer = Starts::new().run(&instance, "refuse").expect_code(0);
        assert!(answer.stderr.contains("made the directory"), "{answer:?}");
        assert!(ledger.exists());
        // More than one that is missing is no directory for ledgers, but a mistake.
        let ledger = above.join("a").join("b").join("server.ledger");
        assert_run(&Instance::at(User::Server, &ledger), &["above/a is missing too"]);
        assert!(!above.join("a").exists());
    });
}

#[test]
fn a_directory_that_may_not_be_written() {
    sandbox::run(|| {
        need_root("to act as another user");
        let instance = Instance::new(User::Server);
        User::Root.own(instance.directory());
        assert_run(&instance, &["cannot open the ledger", "Permission denied"]);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(state(&sweep), "missing");
    });
}

#[test]
fn a_ledger_in_a_directory_that_may_not_be_written_serves() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let (instance, _) = with_a_ledger();
        User::Root.own(instance.directory());
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        server.kill_all();
        instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_full_disk() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        disk.fill();
        assert_run(&instance, &["cannot write the ledger", "No space left on device"]);
    });
}

#[test]
fn a_disk_that_fills_up_during_a_sweep() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let disk = Disk::mount(instance.directory());
        let mut server = StandIn::start(&instance, KEY);
        for _ in 1..MANY {
            server.create_another();
        }
        instance.wait_recorded(MANY);
        server.kill_all();
        disk.fill();
        let sweep = instance.sweep(&[]).expect_code(74);
        assert!(sweep.stderr.contains("No space left on device"), "{sweep:?}");
        let left = segments().len();
        assert!(left > 0, "all intents fitted into the last page: more segments are needed");
        let removed = MANY - left;
        assert!(instance.count("intent") >= removed, "removed without a word");
        assert_eq!(sweep.json()["removed"], removed, "{sweep:?}");
        disk.empty();
        instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0]);
        assert_eq!(instance.count("outcome"), instance.count("intent"));
    });
}

#[test]
fn a_symbolic_link() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let target = instance.directory().join("target");
        fs::write(&target, "").unwrap();
        User::Server.own(&target);
        symlink(&target, instance.ledger()).unwrap();
        assert_refused(&instance, "it is a symbolic link");
        assert_eq!(fs::read(&target).unwrap(), b"");
    });
}

#[test]
fn a_named_pipe() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        nix::unistd::mkfifo(instance.ledger(), Mode::S_IRWXU).unwrap();
        User::Server.own(instance.ledger());
        assert_refused(&instance, "it is a named pipe");
    });
}

#[test]
fn a_directory_in_its_place() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        User::Server.make_directory(instance.ledger());
        assert_refused(&instance, "it is a directory");
    });
}

#[test]
fn a_ledger_that_others_may_write() {
    sandbox::run(|| {
        let (instance, bytes) = with_a_ledger();
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o666)).unwrap();
        assert_refused(&instance, "its mode 0666 lets others write it");
        assert_eq!(instance.bytes(), bytes);
    });
}

#[test]
fn a_ledger_of_another_user() {
    sandbox::run(|| {
        let (instance, bytes) = with_a_ledger();
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o644)).unwrap();
        User::Other(12345).own(instance.ledger());
        assert_refused(&instance, "it belongs to user 12345");
        assert_eq!(instance.bytes(), bytes);
    });
}

#[test]
fn a_ledger_that_may_not_be_written() {
    sandbox::run(|| {
        need_root("to act as another user");
        let (instance, bytes) = with_a_ledger();
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o400)).unwrap();
        assert_run(&instance, &["cannot open the ledger", "Permission denied"]);
        instance.sweep(&[]).expect_code(77);
        assert_eq!(instance.bytes(), bytes);
    });
}

#[test]
fn a_ledger_of_another_run() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let names = [
            format!("launcher process {}", server.outermost().pid()),
            format!("server process {}", server.pid()),
        ];
        for choice in ["start", "refuse"] {
            let starts = Starts::new();
            let answer = starts.run(&instance, choice).expect_code(125);
            assert!(names.iter().all(|name| answer.stderr.contains(name)), "{answer:?}");
            assert_eq!(starts.count(), 0);
        }
        let sweep = instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&sweep), "live");
        let words = instance.sweep_in_words().expect_code(75);
        assert!(names.iter().all(|name| words.stdout.contains(name)), "{words:?}");
        assert_eq!(segment(server.segment()).unwrap().nattch, 1);
    });
}

/// Not a run: perhaps a sweep, which would soon let go.
#[test]
fn a_ledger_that_something_else_has_locked() {
    sandbox::run(|| {
        let (instance, bytes) = with_a_ledger();
        let file = fs::File::open(instance.ledger()).unwrap();
        let _lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        let starts = Starts::new();
        let began = Instant::now();
        let mut run = Process::spawn(&mut starts.command(&instance, "start"));
        let sweep = instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&sweep), "locked");
        let words = instance.sweep_in_words().expect_code(75);
        assert!(words.stdout.contains("another process has locked the ledger"), "{words:?}");
        assert_eq!(run.wait(Duration::from_secs(60)).code(), Some(125));
        assert!(began.elapsed() >= Duration::from_secs(30), "it waits for a sweep");
        assert_eq!(starts.count(), 0);
        assert_eq!(instance.bytes(), bytes);
    });
}

#[test]
fn a_run_waits_for_a_sweep() {
    sandbox::run(|| {
        let (instance, _) = with_a_ledger();
        let file = fs::File::open(instance.ledger()).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        let starts = Starts::new();
        let mut run = Process::spawn(&mut starts.command(&instance, "refuse"));
        assert!(processes::outlives(run.pid(), Duration::from_secs(1)));
        drop(lock);
        assert_eq!(run.wait(SOON).code(), Some(0));
        assert_eq!(starts.count(), 1);
    });
}

/// A user's ledger that names an object of root's: whoever wrote that gains nothing by it.
#[test]
fn root_acts_with_the_rights_of_the_ledgers_owner() {
    sandbox::run(|| {
        need_root("to sweep another's ledger");
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let own = server.segment();
        server.kill_all();
        let mut root = StandIn::spawn(root_stand_in());
        let foreign = segment(root.segment()).unwrap();
        root.outermost().signal(Signal::SIGKILL);
        root.outermost().wait(SOON);
        crate::scene::ledger_text::edit_segments(instance.ledger(), |known| {
            known.id = foreign.id;
            known.key.0 = foreign.key as i32;
            (known.creator_uid, known.creator_gid) = (0, 0);
            (known.creator_pid, known.ctime) = (foreign.creator_pid, foreign.ctime);
        });
        let uid = User::Server.ids().0;
        let sentence =
            format!("it belongs to user 0, and the ledger to user {uid}, who may not remove it");
        // Nor does it make root's timer fail: it is never tried, however often it is swept.
        for _ in 0..2 {
            let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
            // Its own is in no ledger any more.
            assert_eq!(outcomes(&sweep), ["kept not-yours", "kept pid-reused"]);
            assert!(sweep.stdout.contains(&sentence), "{sweep:?}");
            assert_eq!(instance.count("intent"), 0);
        }
        assert!(segment(foreign.id).is_some() && segment(own).is_some());
    });
}

fn root_stand_in() -> Command {
    let words = crate::scene::stand_in::words(KEY);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// What `run` does where there is no way to have the ledger: the server starts with an error, or
/// does not start, as was asked for.
fn assert_run(instance: &Instance, sentence: &[&str]) {
    let starts = Starts::new();
    let answer = starts.run(instance, "start").expect_code(0);
    assert_eq!(starts.count(), 1, "{answer:?}");
    let error = answer.stderr.lines().find(|line| line.starts_with("shmwarden: error: "));
    let error = error.unwrap_or_else(|| panic!("no error: {answer:?}"));
    assert!(sentence.iter().all(|part| error.contains(part)), "{answer:?}");
    assert!(error.contains(instance.path()), "{answer:?}");
    assert!(answer.stderr.contains("no clean-up is promised"), "{answer:?}");
    let answer = starts.run(instance, "refuse").expect_code(125);
    assert_eq!(starts.count(), 1, "{answer:?}");
    assert!(sentence.iter().all(|part| answer.stderr.contains(part)), "{answer:?}");
}

/// What is no ledger to trust is not opened by anybody.
fn assert_refused(instance: &Instance, why: &str) {
    assert_run(instance, &["refused the ledger", why]);
    let sweep = instance.sweep(&[]).expect_code(77);
    assert_eq!(state(&sweep), "refused");
    assert!(sweep.stdout.contains(why) && sweep.stderr.contains(why), "{sweep:?}");
}

/// An instance whose last run is over, and its ledger's bytes.
fn with_a_ledger() -> (Instance, Vec<u8>) {
    let instance = Instance::new(User::Server);
    Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
    let bytes = instance.bytes();
    (instance, bytes)
}

/// Counts how often a command was started.
struct Starts(std::path::PathBuf);

impl Starts {
    fn new() -> Self {
        let number = fs::read_dir(sandbox::scratch()).unwrap().count();
        let path = sandbox::scratch().join(format!("starts{number}"));
        fs::write(&path, "").unwrap();
        User::Server.own(&path);
        Starts(path)
    }

    fn command(&self, instance: &Instance, if_ledger_fails: &str) -> Command {
        let script = format!("echo started >> {}", self.0.display());
        let options = ["--if-ledger-fails", if_ledger_fails];
        instance.run(&options, &["sh", "-c", &script])
    }

    fn run(&self, instance: &Instance, if_ledger_fails: &str) -> Answer {
        Answer::of(&mut self.command(instance, if_ledger_fails))
    }

    fn count(&self) -> usize {
        fs::read_to_string(&self.0).unwrap().lines().count()
    }
}
