//! `who`: every holder, by whatever name the object is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;

use super::make::{held_by, objects, only, perl, shell};
use crate::scene::instance::{Instance, SOON, need_to_look_into_others};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{create_segment, create_shm_file, segment};
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};
use crate::support::{holders, sandbox};

fn pid(process: &Process) -> i64 {
    process.pid().into()
}

#[test]
fn the_holder_of_a_segment_is_found_by_id_and_by_key() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 0x00f4_2401, 8192);
        let holder = holders::attach(User::Root, id);
        for target in [id.to_string(), "0x00f42401".to_owned(), "0xF42401".to_owned()] {
            let object = only(&target, 0);
            assert_eq!(held_by(&object), [(pid(&holder), 1)]);
            assert_eq!((&object["id"], &object["unexplained"]), (&id.into(), &0.into()));
        }
        // A decimal key only where no object has that number as its id.
        assert_eq!(only("16000001", 0)["id"], id);
        let words = shell(&format!("$1 who {id}")).expect_code(0).stdout;
        assert!(words.contains("segment ") && words.contains(" attached "), "{words}");
        assert!(words.contains(&format!("{} ", pid(&holder))), "{words}");
        assert!(words.contains("perl -e"), "{words}");
    });
}

#[test]
fn a_decimal_number_is_an_id_of_any_kind_first() {
    sandbox::run(|| {
        let (_maker, set) = perl(
            User::Root,
            r#"my $id = semget(0, 1, 01600); print "ready $id\n"; sleep 1000;"#,
            &[],
        );
        let id = create_segment(User::Root, 77, 4096);
        let other = create_segment(User::Root, set as u32, 4096);
        assert_eq!(id, set, "both are the first of their kind");
        let found = objects(&["who", &set.to_string()], 1);
        let found: Vec<String> = found.iter().map(|one| one["kind"].to_string()).collect();
        assert_eq!(found, ["\"shm\"", "\"sem\""]);
        assert_eq!(only("77", 1)["key"], "0x0000004d");
        assert_ne!(other, id);
    });
}

#[test]
fn what_is_there_and_held_by_nobody_ends_with_1_and_what_is_not_there_with_66() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 5, 4096);
        create_shm_file(User::Root, "a", 4096);
        for target in [id.to_string().as_str(), "0x5", "/a", "/dev/shm/a", "a"] {
            assert_eq!(held_by(&only(target, 1)), []);
            let words = shell(&format!("$1 who {target}")).expect_code(1).stdout;
            assert!(words.contains("nobody holds it"), "{words}");
        }
        for (target, sentence) in [
            ("99", "has the id or key 99"),
            ("0x99", "has the key 0x99"),
            ("/b", "there is no file b in /dev/shm"),
        ] {
            let answer = shell(&format!("$1 who {target} {id}")).expect_code(66);
            assert!(answer.stderr.contains(sentence), "{answer:?}");
            assert!(answer.stdout.contains("nobody holds it"), "the other is told: {answer:?}");
        }
        shell("$1 who").expect_code(2);
    });
}

#[test]
fn what_names_nothing_and_what_would_steer_the_terminal_are_told_in_a_sentence() {
    sandbox::run(|| {
        for nothing in ["", "/", "/dev/shm/"] {
            let answer = warden::answer(User::Root, &["who", nothing]).expect_code(66);
            let sentence = format!("\"{nothing}\" names no object: give an id");
            assert!(answer.stderr.contains(&sentence), "{answer:?}");
        }
        let answer = warden::answer(User::Root, &["who", "a\n\u{1b}[31mb\u{7}"]).expect_code(66);
        let sentence = r"there is no file a\n\u{1b}[31mb\u{7} in /dev/shm";
        assert!(answer.stderr.contains(sentence), "{answer:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    });
}

#[test]
fn the_holder_of_a_segment_that_is_marked_for_destruction_is_found_by_the_key_it_had() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 0x00f4_2401, 8192);
        let holder = holders::attach(User::Root, id);
        Answer::of(Command::new("ipcrm").args(["-m", &id.to_string()])).expect_code(0);
        assert_eq!(segment(id).unwrap().key, 0);
        for target in [id.to_string().as_str(), "0x00f42401", "16000001"] {
            let object = only(target, 0);
            assert_eq!(held_by(&object), [(pid(&holder), 1)], "{target}");
            assert_eq!(object["status"][0], "dest");
        }
        let words = shell("$1 who 0x00f42401").stdout;
        assert!(words.contains("made under 0x00f42401") && words.contains("dest"), "{words}");
    });
}

const SPLIT: &str = r#"
    my $at = syscall($SHMAT, $ARGV[0] + 0, 0, 0);
    $at != -1 or die "shmat: $!\n";
    syscall($MPROTECT, $at + 4096, 4096, 1) == 0 or die "mprotect: $!\n";
    print "ready 0\n"; sleep 1000;
"#;

#[test]
fn mappings_that_mprotect_split_are_one_holder() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 5, 3 * 4096);
        let (holder, _) = perl(User::Root, SPLIT, &[&id.to_string()]);
        assert_eq!(segment(id).unwrap().nattch, 3, "the kernel counts mappings");
        let object = only(&id.to_string(), 0);
        assert_eq!(held_by(&object), [(pid(&holder), 3)]);
        assert_eq!(object["unexplained"], 0);
    });
}

#[test]
fn who_has_a_file_mapped_or_only_open_is_found() {
    sandbox::run(|| {
        create_shm_file(User::Root, "a", 4096);
        let mapper = holders::map(User::Root, "a");
        let script = r#"open(my $f, '<', '/dev/shm/a') or die; print "ready 0\n"; sleep 1000;"#;
        let (opener, _) = perl(User::Root, script, &[]);
        let object = only("/a", 0);
        let mut expected = [(pid(&mapper), 1), (pid(&opener), 0)];
        expected.sort_unstable();
        assert_eq!(held_by(&object), expected);
        let uses: BTreeMap<i64, &str> = object["holders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["pid"].as_i64().unwrap(), one["use"].as_str().unwrap()))
            .collect();
        assert_eq!((uses[&pid(&mapper)], uses[&pid(&opener)]), ("mapped", "open"));
    });
}

#[test]
fn every_holder_that_lsof_and_the_maps_show_is_found() {
    sandbox::run(|| {
        need_to_look_into_others();
        let ids: Vec<i32> =
            (0..20).map(|key| create_segment(User::Server, 100 + key, 4096)).collect();
        create_shm_file(User::Server, "a", 4096);
        fs::set_permissions("/dev/shm/a", PermissionsExt::from_mode(0o644)).unwrap();
        let mut held: Vec<Process> =
            ids.iter().map(|&id| holders::attach(User::Server, id)).collect();
        held.extend(ids.iter().step_by(3).map(|&id| holders::attach(User::Root, id)));
        std::fs::set_permissions("/dev/shm/a", std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        held.push(holders::map(User::Other(4711), "a"));
        let in_maps = in_maps();
        assert_eq!(in_maps.values().map(Vec::len).sum::<usize>(), held.len() - 1);
        for &id in &ids {
            let found: Vec<i64> =
                held_by(&only(&id.to_string(), 0)).iter().map(|(pid, _)| *pid).collect();
            assert_eq!(found, in_maps[&id], "segment {id}");
        }
        if Command::new("lsof").arg("-v").output().is_ok() {
            let answer = Answer::of(Command::new("lsof").args(["-nP", "-Fpn"]));
            let mut pid = 0;
            for line in answer.stdout.lines() {
                if let Some(number) = line.strip_prefix('p') {
                    pid = number.parse().unwrap();
                } else if line.contains("/SYSV") {
                    assert!(in_maps.values().any(|pids| pids.contains(&pid)), "{line}");
                } else if line == "n/dev/shm/a" {
                    assert_eq!(held_by(&only("/a", 0)), [(pid, 1)]);
                }
            }
        }
    });
}

/// The processes that map each segment, by a scan of every table of maps.
fn in_maps() -> BTreeMap<i32, Vec<i64>> {
    let mut found: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for pid in processes::all() {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for line in maps.lines().filter(|line| line.contains("/SYSV")) {
            let id = line.split_whitespace().nth(4).unwrap().parse().unwrap();
            found.entry(id).or_default().push(pid.into());
        }
    }
    found
}

#[test]
fn a_process_whose_first_thread_has_ended_still_holds() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 5, 4096);
        // The first thread ends (exit, not exit_group); perl's own cannot, so python does it.
        let script = r#"
import ctypes, threading, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
assert libc.shmat(int(sys.argv[1]), None, 0) != 2**64 - 1
threading.Thread(target=lambda: time.sleep(1000)).start()
print("ready", flush=True)
libc.syscall(60 if sys.argv[2] == "x86_64" else 93, 0)
"#;
        let mut python = Command::new("python3");
        python.args(["-c", script, &id.to_string(), std::env::consts::ARCH]);
        if Command::new("python3").arg("-V").output().is_err() {
            crate::support::skip("needs python3");
        }
        let holder = Process::spawn(&mut python);
        wait_until("its first thread has ended", SOON, || {
            processes::state(holder.pid()) == Some('Z')
        });
        assert_eq!(held_by(&only("5", 0)), [(pid(&holder), 1)]);
    });
}

#[test]
fn a_holder_is_named_with_its_instance_and_an_orphan_as_one() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let mut server = StandIn::start(&instance, 9);
        instance.wait_recorded(1);
        let child = server.fork();
        let target = server.segment().to_string();
        let look = || objects(&["who", &target, "--ledger", instance.path()], 0).remove(0);
        let object = look();
        let server_pid = server.pid();
        assert_eq!((&object["verdict"], &object["instance"]), (&"live".into(), &"server".into()));
        for holder in object["holders"].as_array().unwrap() {
            assert_eq!(holder["instance"], "server", "{holder}");
            assert_eq!(holder["orphan"], false, "{holder}");
        }
        assert_eq!(held_by(&object).len(), 2);
        server.outermost().signal(Signal::SIGSTOP);
        processes::kill(server_pid, Signal::SIGKILL);
        server.outermost().signal(Signal::SIGKILL);
        processes::wait_end(server_pid, SOON);
        wait_until("the launcher has ended", SOON, || !server.outermost().is_running());
        let object = look();
        assert_eq!(
            (&object["verdict"], &object["reason_code"]),
            (&"held".into(), &"attached".into())
        );
        let holder = &object["holders"][0];
        assert_eq!(holder["pid"], child);
        assert_eq!((&holder["instance"], &holder["orphan"]), (&"server".into(), &true.into()));
        processes::kill(child, Signal::SIGKILL);
    });
}
