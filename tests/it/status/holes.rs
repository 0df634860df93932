//! What looks covered and is not, what hides from a look, and what only pretends to be a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use shmwarden::ledger::record::Record;
use shmwarden::proc::read;

use super::{SOON, cluster, covered, says};
use crate::database::stage::needs_root;
use crate::scene::ledger_text;
use crate::support::objects::create_segment;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

#[test]
fn a_ledger_that_was_deleted_under_its_launcher_or_guardian_covers_nothing() {
    sandbox::run(|| {
        needs_root();
        for options in [&["run"][..], &["run", "--in-place"]] {
            let (mut cluster, ledger) = cluster();
            let shown = ledger.to_str().unwrap();
            cluster.start_under(&warden::prefix(&[options, &["--ledger", shown]].concat()));
            let word = if options.len() == 1 { "run" } else { "in-place" };
            covered(User::Root, word);
            fs::remove_file(&ledger).unwrap();
            for user in [User::Root, User::Server] {
                let (server, answer) = covered(user, "none");
                assert_eq!(answer.code(), 1);
                says(&server, "why", &format!("was deleted ({shown})"));
                says(&server, "fix", "shmwarden record --data ");
            }
            cluster.stop();
        }
    });
}

#[test]
fn the_ledger_of_a_dead_guardian_is_found_by_its_servers_environment() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        let shown = ledger.to_str().unwrap();
        let named = ["env".to_owned(), format!("SHMWARDEN_LEDGER={shown}")];
        let words = [&named[..], &warden::prefix(&["run", "--in-place"])].concat();
        cluster.start_under(&words);
        covered(User::Root, "in-place");
        for pid in processes::all() {
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if program == warden::binary() {
                processes::kill(pid, Signal::SIGKILL);
                processes::wait_end(pid, SOON);
            }
        }
        for user in [User::Root, User::Server] {
            let (server, answer) = covered(user, "none");
            assert_eq!((answer.code(), &server["ledger"]), (1, &shown.into()));
            says(&server, "why", &format!("has died, and nothing sweeps {shown} afterwards"));
            says(&server, "fix", &format!("shmwarden sweep -q {shown}"));
        }
        cluster.stop();
    });
}

#[test]
fn a_ledger_that_was_moved_is_swept_by_nothing_and_that_is_said() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, ledger) = cluster();
        cluster.start_under(&warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()]));
        covered(User::Root, "run");
        let moved = ledger.with_file_name("elsewhere.ledger");
        fs::rename(&ledger, &moved).unwrap();
        let (server, answer) = covered(User::Root, "run");
        assert_eq!((answer.code(), &server["ledger"]), (0, &moved.to_str().unwrap().into()));
        says(&server, "why", &format!("waits for the next run or sweep of {}", moved.display()));
        cluster.stop();
    });
}

#[test]
fn a_server_that_its_postmaster_pid_does_not_name_is_found() {
    sandbox::run(|| {
        needs_root();
        let (mut cluster, _) = cluster();
        cluster.start();
        let lock = cluster.data().join("postmaster.pid");
        let text = fs::read_to_string(&lock).unwrap();
        let pid = cluster.postmaster_pid();
        let stale = text.replacen(&pid.to_string(), "999999", 1);
        for changed in [stale.as_str(), "no pid\n", ""] {
            fs::write(&lock, changed).unwrap();
            for user in [User::Root, User::Server] {
                let (server, answer) = covered(user, "none");
                assert_eq!((answer.code(), &server["pid"]), (1, &pid.into()), "{changed:?}");
                assert_eq!(server["data"], cluster.data().to_str().unwrap());
                says(&server, "why", "whose postmaster.pid does not name it");
            }
        }
        fs::write(&lock, text).unwrap();
        cluster.stop();
    });
}

/// A process of this user that has a server's name and a directory that says so.
fn pretender(user: User, directory: &Path) -> Process {
    user.make_directory(directory);
    let program = directory.join("postgres");
    fs::copy("/bin/sleep", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.join("PG_VERSION"), "15\n").unwrap();
    let process = Process::spawn(user.command(&program).arg("1000").current_dir(directory));
    fs::write(directory.join("postmaster.pid"), format!("{}\n", process.pid())).unwrap();
    process
}

#[test]
fn a_process_that_only_calls_itself_a_server_neither_counts_nor_hides_one() {
    sandbox::run(|| {
        needs_root();
        let other = User::Other(12_345);
        let scratch = sandbox::scratch();
        let pretenders = [0, 1, 2].map(|at| pretender(other, &scratch.join(format!("fake{at}"))));
        // Neither as one that is starting.
        let answer = warden::answer(User::Root, &["status", "--json"]).expect_code(0);
        assert_eq!(answer.json()["servers"], serde_json::json!([]), "{answer:?}");
        let (mut cluster, _) = cluster();
        cluster.start();
        let (server, _) = covered(User::Root, "none");
        assert_eq!(server["pid"], cluster.postmaster_pid());
        says(&server, "why", &format!("its program is {}", cluster.command_line()[0]));
        cluster.stop();
        for mut pretender in pretenders {
            pretender.signal(Signal::SIGKILL);
        }
    });
}

#[test]
fn a_users_ledger_makes_no_server_of_somebody_elses_process() {
    sandbox::run(|| {
        needs_root();
        let ledger = warden::default_ledger(Path::new("/srv/x"));
        User::Server.make_directory(ledger.parent().unwrap());
        let words = warden::prefix(&["run", "--ledger", ledger.to_str().unwrap()]);
        let mut command = User::Server.command(&words[0]);
        let mut launcher = Process::spawn(command.args(&words[1..]).args(["sleep", "1000"]));
        let (server, _) = covered(User::Root, "run");
        let mut victim = Process::spawn(Command::new("sleep").arg("1000"));
        launcher.signal(Signal::SIGKILL);
        let server = i32::try_from(server["pid"].as_i64().unwrap()).unwrap();
        processes::kill(server, Signal::SIGKILL);
        launcher.wait(SOON);
        let start = read::stat(victim.pid()).unwrap().here().unwrap().start_ticks;
        ledger_text::edit(&ledger, |entry| {
            if let Record::Claim(claim) = &mut entry.record {
                claim.process.pid = victim.pid();
                claim.process.start = start;
            }
        });
        // Whose ledgers root looks for.
        create_segment(User::Server, 0x5eed, 4096);
        wait_until("the server has gone", SOON, || !processes::lives(server));
        let answer = warden::answer(User::Root, &["status", "--json"]).expect_code(0);
        assert_eq!(answer.json()["servers"], Value::Array(vec![]), "{answer:?}");
        victim.signal(Signal::SIGKILL);
    });
}
