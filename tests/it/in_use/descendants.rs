//! What a server of no known kind has forked and left behind keeps what is the server's, whoever
//! asks: also a sweep that was not there, when neither a process group nor a session tells of it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, SOON, outcomes, state};
use crate::support::objects::{Snapshot, segment, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;

const KEY: u32 = 0x00f4_2401;

/// Forks a child that runs `LINE` in a process group of its own and lives on.
const FORKED: &str = "do { my $p = fork; if (!$p) { setpgrp; LINE; sleep 600; exit } $p }";

#[test]
fn a_descendant_that_made_nothing_keeps_what_its_dead_server_made_from_a_sweep() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = start(&instance);
        let made = server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let child = fork(&mut server, "1");
        instance.wait_recorded(1);
        server.kill();
        assert_kept_until_it_has_ended(&instance, made, child);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_descendant_keeps_what_it_made_from_a_sweep_though_the_launcher_died_too() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = start(&instance);
        let child = fork(&mut server, "shmget(0, 4096, 03600)");
        instance.wait_recorded(1);
        let made = segments()[0].id;
        server.kill_all();
        assert_kept_until_it_has_ended(&instance, made, child);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

/// Who has nothing attached is not looked for with ipcs in vain.
#[test]
fn a_descendant_that_holds_nothing_is_not_said_to_hold_something() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let log = sandbox::scratch().join("log");
        let mut command = instance.run(&["--linger", "2s"], &asked::words());
        command.stderr(fs::File::create(&log).unwrap());
        let mut server = Asked::spawn(command);
        server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        let child = fork(&mut server, "1");
        server.kill();
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains(&format!("process {child} (")), "{said}");
        assert!(said.contains("still runs, which it has started"), "{said}");
        assert!(!said.contains("still holds"), "{said}");
        processes::kill(child, Signal::SIGKILL);
        processes::wait_end(child, SOON);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}

/// In the group of whoever started this test, as from a script.
fn start(instance: &Instance) -> Asked {
    let mut command = instance.run(&["--linger", "100ms"], &asked::words());
    command.process_group(nix::unistd::getpgrp().as_raw());
    Asked::spawn(command)
}

fn fork(server: &mut Asked, line: &str) -> i32 {
    assert!(server.ask(&FORKED.replace("LINE", line)) > 0);
    let child = processes::descendants(server.pid())[0];
    // A look at the server's processes is due at least once a second.
    std::thread::sleep(Duration::from_millis(1200));
    child
}

fn assert_kept_until_it_has_ended(instance: &Instance, made: i32, child: i32) {
    assert!(processes::lives(child));
    let sweep = instance.sweep(&[]).expect_code(0);
    assert_eq!(
        (state(&sweep).as_str(), outcomes(&sweep)),
        ("dead", vec!["kept orphan-lives".into()])
    );
    assert!(segment(made).is_some());
    processes::kill(child, Signal::SIGKILL);
    processes::wait_end(child, SOON);
    let sweep = instance.sweep(&[]).expect_code(0);
    assert_eq!(outcomes(&sweep), ["removed dead"]);
}
