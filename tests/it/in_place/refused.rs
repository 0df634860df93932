//! Where the guardian would become the server's child: refused, with 125, before anything is done.

use crate::scene::instance::Instance;
use crate::support::container::Container;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

const WHY: &str = "the guardian would become a child of the server";

#[test]
fn pid_1_is_refused() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let marker = sandbox::scratch().join("started");
        let run = instance.run(&["--in-place"], &["touch", marker.to_str().unwrap()]);
        let container = Container::new(&[]);
        let mut command = container.command(User::Root, "unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--"]);
        command.arg(run.get_program()).args(run.get_args());
        let answer = Answer::of(&mut command).expect_code(125);
        assert!(answer.stderr.contains(WHY), "{answer:?}");
        assert!(!marker.exists() && !instance.ledger().exists());
    });
}

#[test]
fn a_process_that_adopts_orphans_is_refused() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let number = if cfg!(target_arch = "x86_64") { 157 } else { 167 };
        let become_one = format!("syscall({number}, 36, 1) == 0 or die $!; exec @ARGV");
        let mut command = User::Server.command("perl");
        command.args(["-e", &become_one]).args(instance.prefix(&["--in-place"])).arg("true");
        let answer = Answer::of(&mut command).expect_code(125);
        assert!(answer.stderr.contains(WHY), "{answer:?}");
        assert!(!instance.ledger().exists());
    });
}

#[test]
fn options_of_the_notification_relay_are_usage_errors() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for option in [["--notify", "pass"], ["--notify-access", "all"]] {
            let options = [&["--in-place"], &option[..]].concat();
            let answer = Answer::of(&mut instance.run(&options, &["true"])).expect_code(125);
            assert!(answer.stderr.contains("cannot be used with"), "{answer:?}");
            assert!(!instance.ledger().exists());
        }
    });
}
