//! Names and command lines that were made to hurt whoever prints them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

use super::make::{held_by, objects, shell};
use crate::support::objects::create_segment;
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::{holders, sandbox, warden};

/// Escape sequences in both forms, a newline, a bell, right-to-left, a quote, bytes that are no
/// text.
pub const HOSTILE: &[u8] = b"a\x1b[31m\x1b]0;t\x07\nb\xc2\x9b2J\xe2\x80\xae\"\\ c\xff\xfe";

/// Fails unless a text has nothing that a terminal acts on but line breaks and colours of ours.
pub fn assert_harmless(text: &str) {
    let harmful = |c: char| {
        (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{9b}'
    };
    assert!(!text.contains(harmful), "{:?}", text.escape_debug().to_string());
}

#[test]
fn a_hostile_name_is_escaped_for_people_and_exact_in_the_document() {
    sandbox::run(|| {
        let path = std::path::Path::new("/dev/shm").join(OsStr::from_bytes(HOSTILE));
        std::fs::write(&path, "x").unwrap();
        let long = "x".repeat(255);
        std::fs::write(std::path::Path::new("/dev/shm").join(&long), "x").unwrap();
        for arguments in ["list", "list -v", "list --json", "list --holders", "list --json --watch"]
        {
            let script = format!("timeout 2 $1 {arguments} | head -c 100000");
            let answer = shell(&script).expect_code(0);
            assert_harmless(&answer.stdout);
            assert!(answer.stdout.contains(&long), "nothing is cut in a pipe: {answer:?}");
            assert_eq!(answer.stderr, "");
        }
        let found = objects(&["list"], 0);
        let one = found.iter().find(|one| one["name_bytes"].is_string()).unwrap();
        assert_eq!(one["name"], String::from_utf8_lossy(HOSTILE).into_owned());
        assert_eq!(one["name_bytes"], "YRtbMzFtG10wO3QHCmLCmzJK4oCuIlwgY//+");
        let mut who = warden::command(User::Root, &["who"]);
        let answer = warden::Answer::of(who.arg(OsStr::from_bytes(HOSTILE))).expect_code(1);
        assert_harmless(&answer.stdout);
        let mut who = warden::command(User::Root, &["who", "--json"]);
        let missing = [HOSTILE, b"more"].concat();
        let answer = warden::Answer::of(who.arg(OsStr::from_bytes(&missing))).expect_code(66);
        assert_harmless(&answer.stderr);
    });
}

#[test]
fn a_hostile_command_line_is_escaped_and_a_long_one_bounded() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 5, 4096);
        // Perl sets its command line and its name, as a server sets its title.
        let script = r#"
            use strict; my $title = pack("H*", $ARGV[1]); my $long = "y" x 100_000;
            syscall($ARGV[2] + 0, $ARGV[0] + 0, 0, 0) != -1 or die; $0 = $title . $long;
            $| = 1; print "ready 0\n"; sleep 1000;
        "#;
        let hex: String = HOSTILE.iter().map(|byte| format!("{byte:02x}")).collect();
        let shmat = if cfg!(target_arch = "x86_64") { "30" } else { "196" };
        let mut perl = User::Root.command("perl");
        perl.args(["-e", script, &id.to_string(), &hex, shmat]).arg("z".repeat(100_000));
        perl.stdout(std::process::Stdio::piped());
        let mut holder = Process::spawn(&mut perl);
        let output = holder.child().stdout.take().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        for arguments in ["who 0x5", "who --json 0x5", "list --holders -v", "list --holders --json"]
        {
            let answer = shell(&format!("$1 {arguments}")).expect_code(0);
            assert_harmless(&answer.stdout);
            assert!(answer.stdout.len() < 40_000, "{}", answer.stdout.len());
            let lines = answer.stdout.lines().count();
            assert!(arguments.contains("json") || lines < 10, "{answer:?}");
        }
        let object = &objects(&["who", "0x5"], 0)[0];
        assert_eq!(held_by(object)[0].0, i64::from(holder.pid()));
        let command = object["holders"][0]["command"].as_str().unwrap();
        assert!(command.starts_with("a\u{1b}[31m"), "{command:?}");
    });
}

#[test]
fn processes_that_come_and_go_disturb_nothing() {
    sandbox::run(|| {
        let id = create_segment(User::Root, 5, 4096);
        let holder = holders::attach(User::Root, id);
        let mut churn = User::Root.command("bash");
        churn.args(["-c", "while :; do for i in 1 2 3 4; do /bin/true & done; wait; done"]);
        let churn = Process::spawn(&mut churn);
        for _ in 0..50 {
            let object = &objects(&["who", "0x5"], 0)[0];
            assert_eq!(held_by(object), [(i64::from(holder.pid()), 1)]);
            assert_eq!(objects(&["list", "--holders"], 0).len(), 1);
        }
        processes::kill(churn.pid(), Signal::SIGKILL);
    });
}

#[test]
fn segments_that_come_and_go_are_never_orphans_of_a_living_creator() {
    sandbox::run(|| {
        // Each process makes a segment and ends only after it has removed it.
        let script = r#"
            while (1) {
                my $pid = fork // die;
                if (!$pid) { my $id = shmget(0, 4096, 01600); select undef, undef, undef, 0.002;
                    shmctl($id, 0, 0); require POSIX; POSIX::_exit(0) }
                waitpid $pid, 0;
            }
        "#;
        let mut perl = User::Root.command("perl");
        let churn = Process::spawn(perl.args(["-e", script]));
        for _ in 0..100 {
            for one in objects(&["list"], 0) {
                assert_ne!(one["verdict"], "orphan", "{one}");
            }
        }
        drop(churn);
    });
}

#[test]
fn without_proc_it_ends_with_69() {
    sandbox::run(|| {
        let script = "mount -t tmpfs none /proc && $1 list; echo $?; $1 who 1; echo $?";
        let answer = shell(&format!("unshare --mount bash -c '{script}' bash $1"));
        assert_eq!(answer.stdout, "69\n69\n", "{answer:?}");
    });
}
