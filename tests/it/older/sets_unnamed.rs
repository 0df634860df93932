//! Namespaces without an id that never comes back (`NS_GET_ID`, before Linux 6.18): the kernel's
//! answer is changed by `strace`.

use std::path::Path;
use std::process::Command;

use crate::leaks::sets::KEY;
use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::{queues, sets};
use crate::support::objects::segments;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

/// `words` on a kernel without the call; they stay the child of whoever starts them.
fn without_ids(file: &Path, words: &[String]) -> Command {
    skip_without_strace();
    std::fs::write(file, "").unwrap();
    User::Server.own(file);
    let mut strace = User::Server.command("strace");
    strace.args(["-D", "-f", "-qq", "-e", "trace=ioctl", "-e", "inject=ioctl:error=ENOTTY"]);
    strace.arg("-o").arg(file).arg("--").args(words);
    strace
}

fn sweep(instance: &Instance, file: &Path) -> Answer {
    let mut words = warden::prefix(&["sweep", "--json", instance.path()]);
    words.pop();
    Answer::of(&mut without_ids(file, &words))
}

/// The name by inode and first process may come to mean another namespace, and a set has too little
/// of an identity besides. A segment has enough.
#[test]
fn where_the_namespace_has_no_id_segments_go_and_sets_and_queues_are_kept() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let file = sandbox::scratch().join("strace");
        let words = [instance.prefix(&["--linger", "0s"]), asked::words()].concat();
        let mut server = Asked::spawn(without_ids(&file, &words));
        server.ask(&format!("shmget({KEY}, 4096, 03600) + 0"));
        server.make_set(KEY, 1);
        server.make_queue(KEY);
        instance.wait_recorded(3);
        let text = String::from_utf8(instance.bytes()).unwrap();
        assert!(text.contains("/first:"), "{text}");
        server.kill();
        assert_eq!((segments().len(), sets().len(), queues().len()), (0, 1, 1));
        let swept = sweep(&instance, &file).expect_code(0);
        assert_eq!(outcomes(&swept), ["kept unsure-namespace"]);
        let traced = std::fs::read_to_string(&file).unwrap();
        assert!(traced.contains("ENOTTY (Inappropriate ioctl for device) (INJECTED)"), "{traced}");
        // A kernel that has ids by now calls this namespace by another name.
        let swept = instance.sweep(&["--include-clean"]).expect_code(0);
        assert_eq!(outcomes(&swept), ["kept other-ipc-namespace"]);
        assert_eq!((sets().len(), queues().len()), (1, 1));
    });
}

/// Their launcher is dead too, and the ledger was written where there are ids.
#[test]
fn a_ledger_with_an_id_is_void_where_there_is_none() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &[]);
        server.make_set(KEY, 1);
        server.make_queue(KEY);
        instance.wait_recorded(2);
        if !String::from_utf8(instance.bytes()).unwrap().contains(r#""ipc_namespace":"id:"#) {
            crate::support::skip("this kernel has no ids of namespaces (Linux 6.18)");
        }
        server.kill_all();
        let swept = sweep(&instance, &sandbox::scratch().join("strace")).expect_code(0);
        assert_eq!(outcomes(&swept), ["kept other-ipc-namespace"]);
        assert_eq!((sets().len(), queues().len()), (1, 1));
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
    });
}
