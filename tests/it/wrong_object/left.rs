//! What a server of no known kind left whose end nobody saw: it may have been left on purpose, for
//! the next start to find it by its key or name.

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes};
use crate::scene::stand_in::{self, StandIn};
use crate::sight::pods::MAPPER;
use crate::support::holders::NUMBERS;
use crate::support::objects::{segment, shm_files};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x7778;

/// It stays through a sweep and a start, each of which says what to do, and goes when asked for.
fn stays_until_asked_for(instance: &Instance, id: i32) {
    for _ in 0..2 {
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept left-unseen"], "{sweep:?}");
    }
    let words = instance.sweep_in_words().expect_code(0).stdout;
    assert!(words.contains("nobody saw how its server ended"), "{words}");
    assert!(words.contains("sweep --include-clean"), "{words}");
    let start = Answer::of(&mut instance.run(&[], &["true"])).expect_code(0);
    assert!(start.stderr.contains("sweep --include-clean"), "{start:?}");
    assert!(segment(id).is_some(), "a start removes it no more than a sweep");
    let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
    assert_eq!(outcomes(&sweep), ["removed dead"]);
    assert_eq!(segment(id), None);
}

#[test]
fn what_has_a_key_stays_where_launcher_and_server_were_killed_together() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let id = server.segment();
        server.kill_all();
        stays_until_asked_for(&instance, id);
    });
}

/// The launcher was killed, and its server ended on purpose some time later.
#[test]
fn what_has_a_key_stays_where_the_launcher_died_first_and_the_server_ended_later() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        instance.wait_recorded(1);
        let (id, pid) = (server.segment(), server.pid());
        server.outermost().signal(Signal::SIGKILL);
        server.outermost().wait(SOON);
        instance.sweep(&[]).expect_code(75);
        processes::kill(pid, Signal::SIGTERM);
        processes::wait_end(pid, SOON);
        stays_until_asked_for(&instance, id);
    });
}

#[test]
fn what_has_a_key_stays_where_the_server_was_only_recorded() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let words = stand_in::words(KEY);
        let mut command = User::Server.command(&words[0]);
        command.args(&words[1..]);
        let mut server = StandIn::spawn(command);
        let pid = server.pid().to_string();
        let record = ["record", "--pid", &pid, "--ledger", instance.path()];
        warden::answer(User::Server, &record).expect_code(0);
        processes::kill(server.pid(), Signal::SIGTERM);
        server.outermost().wait(SOON);
        stays_until_asked_for(&instance, server.segment());
    });
}

#[test]
fn what_has_no_key_goes_though_nobody_saw_the_server_end() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, 0);
        let ids = [server.segment(), server.create_another()];
        instance.wait_recorded(2);
        server.kill_all();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(ids.map(segment), [None, None]);
    });
}

/// A file has a name, by which the next start finds it as it finds a segment by its key.
#[test]
fn a_file_stays_where_nobody_saw_the_server_end() {
    sandbox::on_host(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Server);
        let mut run = instance.run(&[], &["perl", "-e"]);
        run.arg(format!("{NUMBERS} umask 077; {MAPPER}"));
        let server = StandIn::spawn(run);
        instance.wait_recorded(1);
        let child = processes::descendants(server.pid());
        server.kill_all();
        child.iter().for_each(|&pid| processes::kill(pid, Signal::SIGKILL));
        child.iter().for_each(|&pid| processes::wait_end(pid, SOON));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept left-unseen"]);
        assert_eq!(shm_files().len(), 1);
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(shm_files(), []);
    });
}

/// A launcher that sees its server die cleans up, whatever has a key.
#[test]
fn what_has_a_key_goes_where_the_launcher_saw_the_crash() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, KEY);
        let ids = [server.segment(), server.create_another()];
        instance.wait_recorded(2);
        processes::kill(server.pid(), Signal::SIGKILL);
        server.outermost().wait(SOON);
        assert_eq!(ids.map(segment), [None, None]);
    });
}
