//! The fenced UDF master: a fork of the server with its segment attached, which outlives each end
//! but a fast stop.

use nix::sys::signal::Signal;

use super::gauss::{Gauss, PORT, data_directory, words};
use crate::scene::instance::{
    Instance, SOON, holders, need_to_look_into_others, only_ledger, outcomes,
};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const FENCED: &[&str] = &["fenced_udf=on"];

/// A server with a fenced UDF master, and that one's pid.
fn with_master(instance: &Instance) -> (Gauss, i32) {
    let server = Gauss::under(instance, User::Server, FENCED);
    instance.wait_recorded(5);
    let master = processes::descendants(server.pid())[0];
    wait_until("it has its title", SOON, || processes::describe(master).contains("fenced"));
    (server, master)
}

#[test]
fn a_master_that_outlives_its_server_is_named_with_what_to_do() {
    sandbox::run(|| {
        need_to_look_into_others();
        for signal in [Signal::SIGKILL, Signal::SIGUSR1, Signal::SIGUSR2] {
            let instance = Instance::new(User::Server);
            let (mut server, master) = with_master(&instance);
            server.end(signal);
            assert!(processes::lives(master));
            assert_eq!((segments().len(), sets().len()), (1, 3), "all stays with the segment");
            let sweep = instance.sweep(&[]).expect_code(0);
            assert_eq!(holders(&sweep), [i64::from(master)], "{sweep:?}");
            let advice = format!("end it by kill {master}");
            let words = instance.sweep_in_words();
            let holder = &only_ledger(&sweep)["objects"][0]["holders"][0];
            assert!(holder["advice"].as_str().unwrap().contains(&advice), "{holder}");
            for said in [&sweep.stdout, &words.stdout] {
                assert!(said.contains("gaussdb fenced UDF master process"), "{said}");
                assert!(said.contains(&advice), "{said}");
            }
            let id = segments()[0].id.to_string();
            let who = warden::answer(User::Root, &["who", "--ledger", instance.path(), &id]);
            assert!(who.stdout.contains(&advice), "{who:?}");
            assert!(who.stdout.contains("such a key on port 16000"), "{who:?}");
            // As it says.
            processes::kill(master, Signal::SIGTERM);
            processes::wait_end(master, SOON);
            assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
            assert_eq!((segments().len(), sets().len()), (0, 0));
        }
    });
}

/// The segment is marked, the sets are left: they go when the master has ended.
#[test]
fn after_an_immediate_stop_the_sets_wait_for_the_master() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let (mut server, master) = with_master(&instance);
        assert_eq!(server.end(Signal::SIGQUIT).code(), Some(0));
        assert_eq!((segments().len(), sets().len()), (1, 3));
        instance.sweep(&[]).expect_code(0);
        assert_eq!((segments().len(), sets().len()), (1, 3));
        processes::kill(master, Signal::SIGTERM);
        processes::wait_end(master, SOON);
        instance.sweep(&[]).expect_code(0);
        assert_eq!((segments().len(), sets().len()), (0, 0));
    });
}

/// Where that was asked for, the launcher does what it would say.
#[test]
fn a_launcher_that_is_to_end_orphans_ends_the_master() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let words = words(&data, PORT, FENCED);
        let mut server = Gauss::spawn(instance.run(&["--orphans=term"], &words), data);
        instance.wait_recorded(5);
        server.end(Signal::SIGKILL);
        assert_eq!((segments().len(), sets().len()), (0, 0));
    });
}

#[test]
fn a_living_servers_master_is_nobodys_orphan() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let (server, master) = with_master(&instance);
        let sweep = instance.sweep(&[]);
        assert!(!sweep.stdout.contains("end it by"), "{sweep:?}");
        assert!(processes::lives(server.pid()) && processes::lives(master));
    });
}

/// The server's own interlock refuses the next start: `run` leaves it to that.
#[test]
fn the_next_start_is_refused_by_the_server_itself_while_the_master_lives() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let (mut server, master) = with_master(&instance);
        server.end(Signal::SIGKILL);
        let words = words(server.data(), PORT, FENCED);
        let again = Answer::of(&mut instance.run(&["--linger=0s"], &words));
        assert_eq!(again.code(), 1, "{again:?}");
        assert!(again.stderr.contains("is still in use"), "{again:?}");
        assert!(again.stderr.contains(&format!("kill {master}")), "{again:?}");
        processes::kill(master, Signal::SIGTERM);
        processes::wait_end(master, SOON);
        let data = server.data().to_owned();
        let mut next = Gauss::spawn(instance.run(&[], &words), data);
        assert_eq!(next.end(Signal::SIGINT).code(), Some(0));
        wait_until("nothing is left", SOON, || segments().is_empty() && sets().is_empty());
    });
}
