//! The moment between the decision on a killed server's dynamic shared memory and its removal, held
//! by `strace`: who attaches the main segment meanwhile keeps all of it.

use super::matrix::USUAL;
use super::stage::{Stage, needs_root};
use super::strace::Point;
use crate::in_use::sets_raced::{Crash, INTENT, said};
use crate::scene::instance::{Instance, SOON};
use crate::support::holders;
use crate::support::objects::segment;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;

/// The files' own proof is the main segment's nattch: nobody reads who maps them.
#[test]
fn who_attaches_the_main_segment_before_a_file_is_unlinked_keeps_everything() {
    sandbox::run(|| {
        needs_root();
        let mut stage = Stage::new(USUAL);
        stage.start();
        let instance = Instance::at(User::Server, &stage.ledger);
        wait_until("the list is recorded", SOON, || {
            std::fs::read_to_string(&stage.ledger).unwrap().contains(r#""role":"control""#)
        });
        let main = stage.cluster.main_segment();
        stage.kill_together();
        let left = stage.left();
        // What the list names and the ledger does not have yet is written before the intent.
        let ledger = std::fs::read_to_string(&stage.ledger).unwrap();
        let is_new =
            |name: &&String| name.strip_prefix("posix ").is_some_and(|name| !ledger.contains(name));
        let new = u32::try_from(left.keys().filter(is_new).count()).unwrap();
        let crash = Crash { instance, id: main };
        let sweep = crash.sweep_held(Point::After, INTENT + new, "intent");
        let holder = holders::attach(User::Server, main);
        let (code, first) = said(sweep);
        assert_eq!((code, &first["kind"]), (Some(0), &"posix".into()), "{first}");
        assert_eq!(first["outcome"], "kept", "{first}");
        assert_eq!(first["reason_code"], "instance-held", "{first}");
        let reason = first["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("segment {main} ")), "{first}");
        assert_eq!(stage.left(), left);
        stage.assert_strangers_stand();
        assert_eq!(segment(main).unwrap().nattch, 1);
        drop(holder);
        stage.sweep();
        stage.assert_clean();
    });
}
