//! Terminals and pipes: widths, colours, readers that leave, watching.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::make::{perl, shell};
use crate::support::objects::{create_segment, create_shm_file};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden;

/// What the program writes to a terminal of this width.
fn on_terminal(width: u32, environment: &str, arguments: &str) -> String {
    let inner = format!("stty rows 20 cols {width}; {environment} $1 {arguments}");
    let script = format!("export SH=$1; script -qec '{}' /dev/null", inner.replace("$1", "$SH"));
    let answer = shell(&format!("export TERM=xterm; {script} </dev/null")).expect_code(0);
    answer.stdout.replace('\r', "")
}

/// The text without sequences that set colours.
fn uncoloured(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}

#[test]
fn lines_are_cut_to_a_terminal_and_never_in_a_pipe() {
    sandbox::run(|| {
        let long = "x".repeat(200);
        create_shm_file(User::Root, &long, 4096);
        create_segment(User::Root, 5, 4096);
        for width in [40, 80, 120] {
            let text = uncoloured(&on_terminal(width, "", "list -v"));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width as usize, "{widest} {text}");
        }
        let text = uncoloured(&on_terminal(120, "", "list"));
        assert!(text.contains("unrecorded") && text.contains('~'), "the verdict stays: {text}");
        let piped = shell("$1 list | cat").expect_code(0).stdout;
        assert!(piped.contains(&long) && !piped.contains('~'), "{piped}");
    });
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    sandbox::on_host(|| {
        create_segment(User::Server, 5, 4096);
        let text = on_terminal(120, "", "list");
        assert!(text.contains("\x1b[35morphan\x1b[0m"), "{text:?}");
        for (environment, arguments) in [
            ("NO_COLOR=1", "list"),
            ("TERM=dumb", "list"),
            ("", "list --no-color"),
            ("", "list --json"),
            ("", "who 0x5 --no-color; true"),
        ] {
            let text = on_terminal(120, environment, arguments);
            assert!(!text.contains('\x1b'), "{environment} {arguments}: {text:?}");
        }
        assert!(on_terminal(120, "NO_COLOR=", "list").contains('\x1b'), "empty does not count");
        assert!(!shell("$1 list").stdout.contains('\x1b'));
    });
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    sandbox::run(|| {
        let script = r#"for (1 .. 3000) { defined shmget(0, 4096, 01600) or die }
            print "ready 0\n"; sleep 1000;"#;
        let (_maker, _) = perl(User::Root, script, &[]);
        for arguments in ["list", "list --json", "list --watch 100ms", "list --watch --json"] {
            let script = format!(r#"$1 {arguments} | head -1; echo "${{PIPESTATUS[0]}}""#);
            let answer = shell(&format!("timeout 20 bash -c '{script}' bash $1")).expect_code(0);
            assert_eq!(answer.stderr, "", "{arguments}");
            assert!(answer.stdout.ends_with("\n0\n"), "{arguments}: {}", answer.stdout);
        }
        let answer = shell("$1 list >/dev/full");
        assert_eq!(answer.code(), 74);
        assert!(answer.stderr.contains("cannot write the result"), "{answer:?}");
    });
}

#[test]
fn watching_with_json_gives_one_document_a_line() {
    sandbox::run(|| {
        create_segment(User::Root, 5, 4096);
        let mut command = warden::command(User::Root, &["list", "--json", "--watch", "100ms"]);
        let mut watch = Process::spawn(command.stdout(Stdio::piped()));
        let mut lines = BufReader::new(watch.child().stdout.take().unwrap()).lines();
        let mut count = || {
            let line = lines.next().unwrap().unwrap();
            let document: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(document["schema"], 1);
            document["objects"].as_array().unwrap().len()
        };
        assert_eq!((count(), count()), (1, 1));
        create_segment(User::Root, 6, 4096);
        assert!((0..20).any(|_| count() == 2), "what comes is seen");
    });
}

#[test]
fn watching_on_a_terminal_redraws_and_fits() {
    sandbox::run(|| {
        for key in 1..=40 {
            create_segment(User::Root, key, 4096);
        }
        let inner = "stty rows 20 cols 80; timeout 1 $SH list --watch 200ms";
        let script = format!("export TERM=xterm SH=$1; script -qec '{inner}' /dev/null </dev/null");
        let text = shell(&script).stdout;
        let frames: Vec<&str> = text.split("\x1b[H").skip(1).collect();
        assert!(frames.len() >= 2, "{text:?}");
        for frame in frames {
            assert!(frame.lines().count() <= 20, "{frame:?}");
            assert!(frame.contains("more lines"), "{frame:?}");
        }
    });
}
