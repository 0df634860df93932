//! What broke once: a launcher with children of its own, with a full process table, with a log
//! that nobody reads.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::signal::Signal;
use shmwarden::sys::signals::send;

use super::perl::{LISTENER, Talker, script};
use super::subject::{LIMIT, Subject, finish, in_words};
use crate::scene::instance::{Instance, SOON, need_to_look_into_others};
use crate::scene::stand_in;
use crate::support::holders::NUMBERS;
use crate::support::objects::Snapshot;
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::{happens_within, wait_until};

/// Runs `sleep 100 &` in the process that then becomes the launcher, and gives the sleep's pid.
fn with_child(file: &str) -> [String; 4] {
    let script = format!(r#"sleep 100 & echo $! >{file}; exec "$@""#);
    ["sh", "-c", &script, "sh"].map(str::to_owned)
}

#[test]
fn a_child_from_before_the_launcher_is_not_taken_for_a_daemon() {
    sandbox::run(|| {
        let file = sandbox::scratch().join("child");
        let before = with_child(file.to_str().unwrap());
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let mut command = Subject::Ours.command(&before, &["true"]);
        let mut launcher = Process::spawn(command.stdout(Stdio::null()));
        assert_eq!(launcher.wait(LIMIT).code(), Some(0));
        let child: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(processes::lives(child));
    });
}

/// Attaches the segment whose id comes as a line in a file, and holds it.
const STRANGER: &str = r#"
    $0 = "stranger";
    open my $own, ">", $ARGV[1] or die;
    print $own $$;
    close $own;
    select(undef, undef, undef, 0.02) until -s $ARGV[0];
    open my $file, "<", $ARGV[0] or die;
    syscall($SHMAT, <$file> + 0, 0, 0) != -1 or die "shmat: $!";
    sleep 1 while 1;
"#;

#[test]
fn a_child_from_before_the_launcher_is_not_ended_as_an_orphan() {
    sandbox::run(|| {
        need_to_look_into_others();
        let before = Snapshot::take();
        let instance = Instance::new(User::Root);
        let (id, pid) = (sandbox::scratch().join("id"), sandbox::scratch().join("pid"));
        let stranger = format!("{NUMBERS}{STRANGER}");
        let shell = r#"
            perl -e "$1" "$2" "$3" >/dev/null 2>&1 &
            until [ -s "$3" ]; do sleep 0.02; done
            shift 3
            exec "$@"
        "#;
        let mut command = Command::new("sh");
        command.args(["-c", shell, "sh", &stranger, id.to_str().unwrap(), pid.to_str().unwrap()]);
        command.args(instance.prefix(&["--orphans", "kill", "--linger", "3s"]));
        command.args(stand_in::words(0x77)).stderr(Stdio::piped());
        let segment = {
            let mut stand_in = stand_in::StandIn::spawn(command);
            fs::write(sandbox::scratch().join("id.new"), stand_in.segment().to_string()).unwrap();
            fs::rename(sandbox::scratch().join("id.new"), &id).unwrap();
            let segment = stand_in.segment();
            let stranger: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            let attached = || {
                let maps = fs::read_to_string(format!("/proc/{stranger}/maps"));
                maps.is_ok_and(|maps| maps.contains("/SYSV"))
            };
            wait_until("the stranger has the segment attached", SOON, attached);
            // Else its use would be that of somebody unknown, after the server's death.
            wait_until("it is noted", SOON, || instance.count("stranger") == 1);
            processes::kill(stand_in.pid(), Signal::SIGKILL);
            let launcher = stand_in.outermost();
            let mut said = String::new();
            launcher.child().stderr.take().unwrap().read_to_string(&mut said).unwrap();
            launcher.wait(SOON);
            assert!(processes::lives(stranger), "{said}");
            assert!(said.contains("is left alone"), "{said}");
            processes::kill(stranger, Signal::SIGKILL);
            processes::wait_end(stranger, SOON);
            segment
        };
        instance.sweep(&[]).expect_code(0);
        assert_eq!(before.left_over(), [""; 0], "segment {segment}");
    });
}

#[test]
fn a_reader_of_the_launchers_own_output_does_not_keep_it() {
    sandbox::run(|| {
        let before = ["bash", "-c", r#"exec > >(cat); exec "$@""#, "bash"];
        let ended = Subject::Ours.answer(&before, &["true"]).expect("an end");
        assert_eq!(in_words(ended.status), "status 0");
    });
}

#[test]
fn a_log_that_nobody_reads_sends_the_server_no_signal() {
    sandbox::run(|| {
        // The helper can write no byte of the ledger, which the launcher has to say.
        let script = script(LISTENER);
        let command = || Subject::Ours.command(&["prlimit", "--fsize=1"], &["perl", "-e", &script]);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut told = Process::spawn(command().stdout(Stdio::null()).stderr(writer));
        let mut said = [0; 64];
        let count = reader.read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..count]).into_owned();
        assert!(said.contains("cannot write the ledger"), "{said}");
        super::subject::kill_all(&mut told);
        drop(reader);

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let shell = r#"exec 2>&"$1"; shift; exec "$@""#;
        let mut silent = Command::new("sh");
        let words = Subject::Ours.words(&["prlimit", "--fsize=1"], &["perl", "-e", &script]);
        silent.args(["-c", shell, "sh", "0"]).args(words).stdin(writer);
        let mut talker = Talker::start(&mut silent);
        assert!(!happens_within(LIMIT / 10, || false));
        send(talker.process.pid(), libc::SIGUSR1).unwrap();
        let line = talker.line().unwrap_or_default();
        assert!(line.starts_with("10 "), "{line}: the first signal is the one that was sent");
        super::subject::kill_all(&mut talker.process);
    });
}

#[test]
fn a_helper_that_cannot_be_forked_does_not_keep_the_server_from_starting() {
    sandbox::run(|| {
        let user = User::Other(4321);
        let instance = Instance::new(user);
        let start = |options: &[&str]| {
            // The launcher and its child; not one process more.
            let words = instance.prefix(options);
            let mut prlimit = user.command("prlimit");
            prlimit.arg("--nproc=2").args(&words).arg("true");
            crate::support::warden::Answer::of(&mut prlimit)
        };
        let answer = start(&[]);
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
        assert!(answer.stderr.contains("no clean-up is promised"), "{answer:?}");
        let answer = start(&["--if-ledger-fails", "refuse"]);
        assert_eq!(answer.status.code(), Some(125), "{answer:?}");
        assert!(answer.stderr.contains("is not started"), "{answer:?}");
    });
}

#[test]
fn a_wait_without_end_ends_with_the_last_orphan() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let instance = Instance::new(User::Root);
        let linger = ["--linger", "100000000000years"];
        let mut server = stand_in::StandIn::spawn(instance.run(&linger, &stand_in::words(0x78)));
        let orphan = server.fork();
        processes::kill(server.pid(), Signal::SIGKILL);
        processes::wait_end(server.pid(), SOON);
        assert!(!happens_within(LIMIT / 5, || !server.outermost().is_running()));
        processes::kill(orphan, Signal::SIGKILL);
        server.outermost().wait(SOON);
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn an_end_without_orphans_does_not_wait_at_all() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let mut run = instance.run(&["--linger", "100000000000years"], &["true"]);
        let ended = finish(&mut run).expect("an end");
        assert_eq!(in_words(ended.status), "status 0");
    });
}
