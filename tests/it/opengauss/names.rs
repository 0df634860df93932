//! An openGauss under the name that it is sold under, or one that nobody knows: cleaned up after as
//! a `gaussdb` is.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;

use super::gauss::{Gauss, PORT, assert_works, data_directory, words_called};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::sets;
use crate::support::holders::NUMBERS;
use crate::support::objects::{segment, segments};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// Ends after which a server has left something: killed; with status 0 all sets; with status 0
/// everything.
const ENDS: [Signal; 3] = [Signal::SIGKILL, Signal::SIGQUIT, Signal::SIGUSR1];

fn left() -> (usize, usize) {
    (segments().len(), sets().len())
}

#[test]
fn a_mogdb_is_an_opengauss() {
    sandbox::run(|| leaves_nothing("mogdb"));
}

#[test]
fn a_server_of_an_unknown_name_is_an_opengauss_by_its_header() {
    sandbox::run(|| leaves_nothing("omegadb"));
}

#[test]
fn so_is_one_that_a_script_has_started() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let mut line = ["sh", "-c", r#""$@"; exit $?"#, "sh"].map(str::to_owned).to_vec();
        line.extend(words_called("omegadb", &data, PORT, &[]));
        let mut server = Gauss::spawn(instance.run(&["--linger=0s"], &line), data);
        wait_known(&instance);
        server.end(Signal::SIGUSR1);
        assert_eq!(left(), (0, 0), "{}", ledger(&instance));
    });
}

/// What it keeps for its next start is none of the openGauss's.
#[test]
fn what_another_program_below_the_same_script_left_at_status_0_stays() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let script = r#"perl -e 'shmget(0x7777, 4096, 01600) // die; sleep 1 while 1' &
            "$@"; kill $!; wait; exit 0"#;
        let mut line = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        line.extend(words_called("omegadb", &data, PORT, &[]));
        let mut server = Gauss::spawn(instance.run(&["--linger=0s"], &line), data);
        instance.wait_recorded(6);
        wait_known(&instance);
        assert_eq!(server.end(Signal::SIGUSR1).code(), Some(0));
        let ledger = ledger(&instance);
        assert_eq!(sets().len(), 0, "{ledger}");
        let keys: Vec<u32> = segments().iter().map(|segment| segment.key).collect();
        assert_eq!(keys, [0x7777], "{ledger}");
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept left-clean"]);
    });
}

/// While another server of the same program and user lives, of which nothing is touched.
#[test]
fn its_neighbour_of_the_same_name_keeps_everything() {
    sandbox::run(|| {
        let data = data_directory(User::Server);
        let words = words_called("omegadb", &data, PORT + 1, &[]);
        let mut command = User::Server.command(&words[0]);
        command.args(&words[1..]);
        let neighbour = Gauss::spawn(command, data);
        let theirs = neighbour.belongings();
        let instance = Instance::new(User::Server);
        let mut server = under(&instance, "omegadb");
        server.end(Signal::SIGUSR1);
        assert_eq!(left(), (1, 3), "{}", ledger(&instance));
        assert_works(&neighbour, &theirs.1);
        assert_eq!(neighbour.belongings(), theirs);
    });
}

#[test]
fn the_kind_that_was_given_stays() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let words = words_called("omegadb", &data, PORT, &[]);
        let options = ["--linger=0s", "--engine=generic"];
        let mut server = Gauss::spawn(instance.run(&options, &words), data);
        instance.wait_recorded(4);
        assert_eq!(server.end(Signal::SIGUSR1).code(), Some(0));
        assert_eq!(left(), (1, 3), "{}", ledger(&instance));
        assert!(!ledger(&instance).contains(r#""engine":"opengauss""#));
    });
}

/// Whoever may write into a server's segment decides nothing about what is removed.
#[test]
fn a_header_that_another_user_may_have_written_makes_no_opengauss() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger=0s"]);
        let id = server.ask("shmget(0x7777, 8192, 01666) + 0");
        let pid = server.pid();
        let works_in = fs::metadata(format!("/proc/{pid}/cwd")).unwrap();
        let (dev, ino) = (works_in.dev(), works_in.ino());
        let header = format!("pack('l l Q6', 679834894, 0, {pid}, 8192, 56, 0, {dev}, {ino})");
        server.ask(&format!("{NUMBERS} syscall($SHMAT, {id}, 0, 0) != -1 or die; 1"));
        let mut stranger = Asked::stranger(User::Other(4242));
        assert_eq!(stranger.ask(&format!("shmwrite({id}, {header}, 0, 56) ? 1 : 0")), 1);
        // A look that finds the queue has had the header before it.
        server.make_queue(0);
        instance.wait_recorded(2);
        server.tell("exit 0");
        assert_eq!(server.outermost().wait(SOON).code(), Some(0));
        let ledger = ledger(&instance);
        assert!(segment(id).is_some(), "{ledger}");
        assert!(!ledger.contains(r#""engine":"opengauss""#), "{ledger}");
    });
}

/// By `--pid`, and by its data directory.
#[test]
fn one_that_is_recorded_while_it_runs_is_known_too() {
    sandbox::run(|| {
        for by_pid in [true, false] {
            let data = data_directory(User::Server);
            let words = words_called("omegadb", &data, PORT, &[]);
            let mut command = User::Server.command(&words[0]);
            command.args(&words[1..]);
            let mut server = Gauss::spawn(command, data);
            let instance = Instance::new(User::Server);
            let (pid, data) = (server.pid().to_string(), server.data().to_str().unwrap());
            let which = if by_pid { ["--pid", &pid] } else { ["--data", data] };
            let record = [&["record", "--json", "--ledger", instance.path()], &which[..]].concat();
            let record = warden::answer(User::Server, &record).expect_code(0).json();
            assert_eq!(record["engine"], "opengauss", "{record}");
            server.end(Signal::SIGUSR1);
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(left(), (0, 0), "{sweep:?}");
        }
    });
}

/// Under a launcher that sees its end, and by a sweep after the death of both.
fn leaves_nothing(name: &str) {
    for end in ENDS {
        let watched = Instance::new(User::Server);
        let mut server = under(&watched, name);
        server.end(end);
        assert_eq!(left(), (0, 0), "{name} {end}: {}", ledger(&watched));

        let unseen = Instance::new(User::Server);
        let mut server = under(&unseen, name);
        server.end_both(end);
        let sweep = unseen.sweep(&[]).expect_code(0);
        assert_eq!(left(), (0, 0), "{name} {end}: {sweep:?} {}", ledger(&unseen));
    }
}

/// One with its segment, known for the main one, and three sets, all of it recorded.
fn under(instance: &Instance, name: &str) -> Gauss {
    let data = data_directory(User::Server);
    let server =
        Gauss::spawn(instance.run(&["--linger=0s"], &words_called(name, &data, PORT, &[])), data);
    instance.wait_recorded(5);
    wait_known(instance);
    server
}

fn wait_known(instance: &Instance) {
    let is_known = || ledger(instance).contains(r#""engine":"opengauss""#);
    wait_until("the ledger knows it for an openGauss", SOON, is_known);
    let is_copied = || ledger(instance).contains(r#""header":""#);
    wait_until("its header is copied", SOON, is_copied);
}

fn ledger(instance: &Instance) -> String {
    String::from_utf8(instance.bytes()).unwrap()
}
