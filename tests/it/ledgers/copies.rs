//! Ledgers that are not the file that they were written to: copies, restored backups, what a
//! launcher lost the name of. Their lock is free whether a launcher lives or not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use shmwarden::ledger::OwnFile;
use shmwarden::ledger::record::Record;

use crate::scene::instance::{Instance, SOON, outcomes, state};
use crate::scene::ledger_text::{edit, entries};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{remove_segment, segment};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;

/// Makes a segment that it does not attach, and stays.
fn server() -> [String; 3] {
    let code = format!(
        "$| = 1; my $id = shmget({KEY}, 8192, 01600);
         defined $id or die \"$!\"; $id += 0; print \"$id\\n\";
         select(undef, undef, undef, 0.05) while 1"
    );
    ["perl".to_owned(), "-e".to_owned(), code]
}

/// Such a server below a launcher that is the first process of a container.
pub fn in_container(instance: &Instance) -> StandIn {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare.args(User::Server.prefix()).arg(warden::binary());
    unshare.args(["run", "--ledger", instance.path(), "--"]).args(server());
    let server = StandIn::spawn(unshare);
    instance.wait_recorded(1);
    server
}

fn on_this_machine(instance: &Instance) -> StandIn {
    let server = StandIn::spawn(instance.run(&[], &server()));
    instance.wait_recorded(1);
    server
}

/// A copy of a ledger, made so.
fn copied(ledger: &Path, words: &[&str]) -> PathBuf {
    let copy = ledger.with_file_name(format!("copy{}.ledger", words.len()));
    let mut cp = User::Server.command("cp");
    assert!(cp.args(words).arg(ledger).arg(&copy).status().unwrap().success());
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    copy
}

#[test]
fn a_copy_proves_no_death_of_a_container_and_the_ledger_itself_does() {
    sandbox::run(|| {
        for words in [&[][..], &["-a"]] {
            let instance = Instance::new(User::Server);
            let server = in_container(&instance);
            let id = server.segment();
            let copy = Instance::at(User::Server, &copied(instance.ledger(), words));
            let sweep = copy.sweep(&[]).expect_code(0);
            let kept = vec!["kept unseen".to_owned()];
            assert_eq!((state(&sweep), outcomes(&sweep)), ("copy".into(), kept.clone()));
            let told = copy.sweep_in_words().expect_code(0);
            assert!(told.stdout.contains("copied, restored or cloned"), "{told:?}");
            assert_eq!(state(&instance.sweep(&[]).expect_code(75)), "live");
            server.kill_all();
            // A copy is one after the death too: nothing but the lock tells of that.
            let sweep = copy.sweep(&[]).expect_code(0);
            assert_eq!((state(&sweep), outcomes(&sweep)), ("copy".into(), kept));
            assert!(segment(id).is_some());
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(outcomes(&sweep), ["removed dead"]);
            assert!(segment(id).is_none());
        }
    });
}

/// A backup that was put back while the server lives.
#[test]
fn a_ledger_that_was_restored_over_its_name_is_a_copy() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = in_container(&instance);
        let id = server.segment();
        let copy = copied(instance.ledger(), &["-p"]);
        fs::rename(copy, instance.ledger()).unwrap();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!((state(&sweep), outcomes(&sweep)), ("copy".into(), vec!["kept unseen".into()]));
        // The start is not refused: nothing of the old run is seen to live from here.
        let mut next = instance.run(&[], &["true"]);
        let answer = warden::Answer::of(&mut next).expect_code(0);
        assert!(answer.stderr.contains("copied, restored or cloned"), "{answer:?}");
        assert!(segment(id).is_some() && processes::lives(server.pid()));
        drop(server);
        remove_segment(id);
    });
}

#[test]
fn a_copy_is_live_while_a_claimed_process_is_seen_and_clears_what_is_seen_to_be_dead() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = on_this_machine(&instance);
        let id = server.segment();
        let copy = Instance::at(User::Server, &copied(instance.ledger(), &["-a"]));
        assert_eq!(state(&copy.sweep(&[]).expect_code(75)), "live");
        let refused = warden::Answer::of(&mut copy.run(&[], &["true"])).expect_code(125);
        assert!(refused.stderr.contains("still lives"), "{refused:?}");
        server.kill_all();
        let sweep = copy.sweep(&[]).expect_code(0);
        assert_eq!((state(&sweep), outcomes(&sweep)), ("copy".into(), vec!["removed dead".into()]));
        assert!(segment(id).is_none());
        assert_eq!(state(&copy.sweep(&[]).expect_code(0)), "settled");
    });
}

/// As versions up to 0.1 wrote it.
#[test]
fn a_ledger_that_names_no_file_loses_the_proof_by_its_lock_and_no_other() {
    sandbox::run(|| {
        let nameless = |instance: &Instance| {
            edit(instance.ledger(), |entry| {
                if let Record::Header(header) = &mut entry.record {
                    header.file = None;
                }
            });
        };
        let instance = Instance::new(User::Server);
        let server = in_container(&instance);
        let in_container = server.segment();
        server.kill_all();
        nameless(&instance);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept unseen"]);
        assert_ne!(state(&sweep), "copy");
        remove_segment(in_container);

        let instance = Instance::new(User::Server);
        let server = on_this_machine(&instance);
        let id = server.segment();
        nameless(&instance);
        let live = instance.sweep(&[]).expect_code(75);
        assert_eq!(state(&live), "live");
        server.kill_all();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
    });
}

#[test]
fn a_launcher_that_lost_the_name_of_its_ledger_says_so_once_and_cleans_up() {
    sandbox::run(|| {
        for replaced in [false, true] {
            let instance = Instance::new(User::Server);
            let log = instance.directory().join("log");
            let mut run = instance.run(&[], &server());
            run.stderr(fs::File::create(&log).unwrap());
            let mut server = StandIn::spawn(run);
            instance.wait_recorded(1);
            let id = server.segment();
            let copy = copied(instance.ledger(), &["-p"]);
            match replaced {
                true => fs::rename(copy, instance.ledger()).unwrap(),
                false => fs::remove_file(instance.ledger()).unwrap(),
            }
            let told = || fs::read_to_string(&log).unwrap();
            wait_until("it is told", SOON, || told().contains("was moved, replaced or removed"));
            std::thread::sleep(Duration::from_millis(2500));
            processes::kill(server.pid(), Signal::SIGKILL);
            server.outermost().wait(SOON);
            assert!(segment(id).is_none(), "{}", told());
            assert_eq!(told().matches("was moved, replaced or removed").count(), 1);
            if replaced {
                // What lies under the name now was never written to by that launcher.
                let sweep = instance.sweep(&[]).expect_code(0);
                assert_eq!(outcomes(&sweep), ["gone gone"], "{sweep:?}");
            }
        }
    });
}

/// The lock of the new file is taken before it takes the name, and it names itself.
#[test]
fn a_ledger_written_anew_names_itself_and_proves_a_death() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        warden::Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
        let old = own(&instance);
        // Of an older version it is written anew by the next run.
        edit(instance.ledger(), |entry| {
            if let Record::Header(header) = &mut entry.record {
                header.version = 1;
            }
        });
        let server = in_container(&instance);
        let new = own(&instance);
        assert!(!old.is(&new), "it was not written anew");
        let named = entries(instance.ledger()).into_iter().filter_map(|entry| match entry.record {
            Record::Header(header) => Some(header.file),
            _ => None,
        });
        assert!(named.clone().count() >= 1);
        assert!(named.flatten().all(|named| named.is(&new)), "{new:?}");
        let id = server.segment();
        server.kill_all();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert!(segment(id).is_none());
    });
}

/// The identity of a ledger as the kernel tells it.
pub fn own(instance: &Instance) -> OwnFile {
    let file = fs::File::open(instance.ledger()).unwrap();
    OwnFile::of(&file).unwrap_or_else(|| crate::support::skip::skip("no birth times here"))
}
