//! The story in the machine's own tables (here the sandbox's), where others have objects too.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::stage::{Before, PATIENCE, claims_of, without_namespaces};
use crate::opengauss::gauss::{FIRST_KEY, Gauss, PORT, mark};
use crate::scene::instance::need_root;
use crate::support::calls::sets;
use crate::support::holders;
use crate::support::objects::{create_segment, segments};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::Answer;

/// Of the server's user, with the keys that the demo tries first, attached by nobody: what a dead
/// openGauss left on the port of the story, and a segment at the next key.
#[test]
fn what_others_have_is_left_alone() {
    sandbox::run(|| {
        need_root("to become the server's user");
        let mut other = Gauss::alone(User::Server, PORT, &[]);
        let (theirs, marked) = other.belongings();
        other.end(Signal::SIGKILL);
        create_segment(User::Server, FIRST_KEY + 1, 4096);
        let before = (segments(), sets());
        assert_eq!(before.0[0].key, FIRST_KEY);
        let marks = marked.iter().map(|&set| mark(set)).collect::<Vec<_>>();
        let around = Before::look();
        for arguments in [["--stand-in", "--json"].as_slice(), &["--json"]] {
            let answer = Answer::of(&mut without_namespaces(arguments));
            claims_of(&answer);
            assert_eq!(answer.json()["namespaces"], "machine");
            around.assert_again(theirs.len() + 1);
            assert_eq!((segments(), sets()), before);
            assert_eq!(marked.iter().map(|&set| mark(set)).collect::<Vec<_>>(), marks);
        }
    });
}

/// Somebody attaches the server's segment: nothing may remove it then, and the demo says so.
#[test]
fn a_clean_up_that_does_not_hold_is_an_error() {
    sandbox::run(|| {
        need_root("to become the server's user");
        let mut command = without_namespaces(&["--stand-in", "--no-color"]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut demo = Process::spawn(command);
        // The neighbour's is the first of this size.
        let server_segment =
            || segments().iter().filter(|one| one.bytes == 64 << 20).nth(1).cloned();
        wait_until("the server has its segment", PATIENCE, || server_segment().is_some());
        let id = server_segment().unwrap().id;
        let holder = holders::attach(User::Server, id);
        let output = |from: &mut dyn std::io::Read| {
            let mut text = String::new();
            from.read_to_string(&mut text).map(|_| text).unwrap()
        };
        let stdout = output(demo.child().stdout.as_mut().unwrap());
        let stderr = output(demo.child().stderr.as_mut().unwrap());
        let status = demo.wait(Duration::from_secs(10));
        assert_eq!(status.code(), Some(74), "{stdout}{stderr}");
        assert!(stdout.contains("FAILED  run has left nothing of the server\n"), "{stdout}");
        assert!(stdout.contains("do NOT hold"), "{stdout}");
        assert!(stderr.contains(&format!("the demo has left segment {id} ")), "{stderr}");
        // What the server's second run made stays with it: something of the server is in use.
        for left in segments() {
            assert!(stderr.contains(&format!("segment {} ", left.id)), "{left:?} {stderr}");
        }
        drop(holder);
    });
}
