//! Commands that wait, and are asked to end: they finish what they have begun, and end by the
//! signal.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{create_segment, segments};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden;

#[test]
fn a_sweep_that_is_asked_to_end_while_it_waits_tells_what_it_did() {
    sandbox::run(|| {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let instance = Instance::new(User::Server);
            let mut server = StandIn::start(&instance, 0);
            instance.wait_recorded(1);
            let child = server.fork();
            server.kill_all();
            let mut sweep = instance.sweep_waiting();
            sweep.signal(signal);
            let status = sweep.wait(SOON);
            assert_eq!(status.signal(), Some(signal as i32));
            let mut said = String::new();
            sweep.child().stdout.take().unwrap().read_to_string(&mut said).unwrap();
            let document: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!((&document["kept"], &document["removed"]), (&1.into(), &0.into()), "{said}");
            // What it would have waited for is there still, and goes with the next sweep.
            processes::kill(child, Signal::SIGKILL);
            instance.sweep(&["--wait", "10s"]).expect_code(0);
            assert_eq!(segments(), []);
        }
    });
}

#[test]
fn a_list_that_watches_ends_by_the_signal_at_once() {
    sandbox::run(|| {
        create_segment(User::Root, 5, 4096);
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let mut command = warden::command(User::Root, &["list", "--json", "--watch", "1h"]);
            let mut watch = Process::spawn(command.stdout(Stdio::piped()));
            let mut first = [0];
            watch.child().stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
            watch.signal(signal);
            assert_eq!(watch.wait(SOON).signal(), Some(signal as i32));
        }
    });
}

/// `nohup` has the hang-up ignored, and so it stays.
#[test]
fn a_signal_that_was_ignored_before_is_ignored_still() {
    sandbox::run(|| {
        let words = ["list", "--json", "--watch", "1h"];
        let mut command = User::Root.command("nohup");
        command.arg(warden::binary()).args(words).stdin(Stdio::null()).stderr(Stdio::null());
        let mut watch = Process::spawn(command.stdout(Stdio::piped()));
        let mut first = [0];
        watch.child().stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        watch.signal(Signal::SIGHUP);
        assert!(processes::outlives(watch.pid(), Duration::from_millis(300)));
        watch.signal(Signal::SIGTERM);
        assert_eq!(watch.wait(SOON).signal(), Some(Signal::SIGTERM as i32));
    });
}
