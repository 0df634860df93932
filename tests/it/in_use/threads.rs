//! A server whose first thread has ended while another runs: `/proc/<pid>/stat` says zombie, the
//! memory table is empty, and it is as alive as before.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, holders, need_to_look_into_others, outcomes, state};
use crate::scene::stand_in::StandIn;
use crate::support::holders::NUMBERS;
use crate::support::objects::{Snapshot, segment};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

#[cfg(target_arch = "x86_64")]
const END_THIS_THREAD: &str = "syscall(60, 0);";
#[cfg(target_arch = "aarch64")]
const END_THIS_THREAD: &str = "syscall(93, 0);";

const SERVER: &str = r#"
    use threads;
    $| = 1;
    my $id = shmget(0, 8192, 03600);
    syscall($SHMAT, $id + 0, 0, 0) != -1 or die "shmat: $!\n";
    threads->create(sub { select(undef, undef, undef, 0.05) while 1 });
    print $id + 0, "\n";
"#;

#[test]
fn a_server_whose_first_thread_has_ended_is_alive() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let instance = Instance::new(User::Server);
        let mut server = start(&instance);
        assert!(server.outermost().is_running(), "the launcher was not deceived");
        assert_eq!(segment(server.segment()).unwrap().nattch, 1);

        server.outermost().signal(Signal::SIGKILL);
        server.outermost().wait(SOON);
        let sweep = instance.sweep(&[]).expect_code(75);
        assert_eq!((state(&sweep).as_str(), holders(&sweep)), ("live", vec![server.pid().into()]));
        let run = Answer::of(&mut instance.run(&[], &["true"])).expect_code(125);
        assert!(run.stderr.contains(&format!("process {} ", server.pid())), "{run:?}");

        processes::kill(server.pid(), Signal::SIGKILL);
        wait_until("it is gone", SOON, || processes::state(server.pid()).is_none());
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

fn start(instance: &Instance) -> StandIn {
    let threads = Command::new("perl").args(["-e", "use threads;"]).output();
    if !threads.is_ok_and(|output| output.status.success()) {
        skip("this perl has no threads (package perl)");
    }
    let script = format!("{NUMBERS}{SERVER}{END_THIS_THREAD}");
    let server = StandIn::spawn(instance.run(&[], &["perl", "-e", &script]));
    wait_until("its first thread has ended", SOON, || processes::state(server.pid()) == Some('Z'));
    instance.wait_recorded(1);
    server
}
