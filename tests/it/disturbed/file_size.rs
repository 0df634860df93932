//! A limit on the size of files (`ulimit -f`): what it forbids to write is an error like a full
//! disk, and ends nothing of ours; the server meets the limit as it would without us.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::libc::SIGXFSZ;
use nix::sys::signal::Signal;

use crate::scene::instance::{Instance, SOON, need_to_look_into_others};
use crate::scene::stand_in::{self, StandIn};
use crate::support::objects::{create_segment, segment};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// None: what has a key stays where nobody saw a server end.
const KEY: u32 = 0;

/// `shmwarden ARGUMENTS...` as root, whose files must not grow; `before` runs in its shell.
fn limited(before: &str, arguments: &[&str]) -> Command {
    let mut command = User::Root.command("bash");
    let script = format!("{before}\nulimit -f 0 && exec \"$@\"");
    command.args(["-c", &script, "bash"]).arg(warden::binary()).args(arguments);
    command
}

fn is_told(answer: Answer) {
    let answer = answer.expect_code(74);
    let told = answer.stderr.contains("cannot write the ledger") && answer.stderr.contains("large");
    assert!(told, "{answer:?}");
}

#[test]
fn sweep_record_and_adopt_say_that_a_file_must_not_grow() {
    sandbox::run(|| {
        need_to_look_into_others();
        let instance = Instance::new(User::Root);
        let ledger = instance.ledger().to_str().unwrap().to_owned();
        let words = stand_in::words(KEY);
        let mut command = User::Root.command(&words[0]);
        command.args(&words[1..]);
        let mut server = StandIn::spawn(command);
        let pid = server.pid().to_string();
        let record = ["record", "--ledger", &ledger, "--pid", &pid];
        is_told(Answer::of(&mut limited("", &record)));
        warden::answer(User::Root, &record).expect_code(0);
        processes::kill(server.pid(), Signal::SIGKILL);
        server.outermost().wait(SOON);
        is_told(Answer::of(&mut limited("", &["sweep", &ledger])));
        assert!(segment(server.segment()).is_some(), "nothing goes without its intent");
        warden::answer(User::Root, &["sweep", &ledger]).expect_code(0);
        assert!(segment(server.segment()).is_none());
        let orphan = create_segment(User::Root, 9, 4096).to_string();
        let adopt = ["adopt", "--yes", "--min-age", "0s", orphan.as_str()];
        is_told(Answer::of(&mut limited("", &adopt)));
        warden::answer(User::Root, &adopt).expect_code(0);
    });
}

/// Says what SIGXFSZ does to this process, and then writes a file.
const WRITER: &str = r#"
    grep SigIgn /proc/$$/status
    echo x >"$0"
    echo "went on"
"#;

#[test]
fn a_server_meets_the_limit_with_the_disposition_that_its_caller_gave() {
    sandbox::run(|| {
        let file = sandbox::scratch().join("written");
        let file = file.to_str().unwrap();
        for in_place in [false, true] {
            for (before, is_ignored) in [("", false), ("trap '' XFSZ", true)] {
                let in_place: &[&str] = if in_place { &["--in-place"] } else { &[] };
                let options = [&["run"], in_place, &["--", "bash", "-c", WRITER, file]].concat();
                let answer = Answer::of(&mut limited(before, &options));
                let mask = answer.stdout.lines().next().and_then(|l| l.split_whitespace().nth(1));
                let mask = u64::from_str_radix(mask.unwrap(), 16).unwrap();
                assert_eq!(mask >> (SIGXFSZ - 1) & 1 == 1, is_ignored, "{answer:?}");
                let died = answer.status.signal() == Some(SIGXFSZ);
                assert_eq!(died, !is_ignored, "{answer:?}");
                assert_eq!(answer.stdout.contains("went on"), is_ignored, "{answer:?}");
            }
        }
    });
}
