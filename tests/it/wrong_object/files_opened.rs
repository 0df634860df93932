//! Files of `/dev/shm` that a server only ever has open: recorded, and removed only where nobody
//! lives who may want them by their name.

use crate::in_use::raced::MAPS;
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, need_root, outcomes};
use crate::support::holders::NUMBERS;
use crate::support::objects::shm_files;
use crate::support::sandbox;
use crate::support::user::User;

/// Makes a file, and keeps it open.
const OPENS: &str = "umask 077; open($main::file, '+>', '/dev/shm/opened') or die \"$!\\n\"; 0";
/// Opens the same file.
const SHARES: &str = "open($main::file, '+<', '/dev/shm/opened') or die \"$!\\n\"; 0";

fn how(instance: &Instance, how: &str) -> bool {
    String::from_utf8_lossy(&instance.bytes()).contains(&format!("\"how\":\"{how}\""))
}

#[test]
fn a_file_that_a_server_had_open_goes_with_it() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        server.ask(OPENS);
        instance.wait_recorded(1);
        assert!(how(&instance, "opened"));
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(shm_files(), [], "{sweep:?}");
    });
}

#[test]
fn a_file_that_a_server_had_open_stays_while_a_process_of_its_user_lives() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        server.ask(OPENS);
        instance.wait_recorded(1);
        let other = Asked::stranger(User::Server);
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept others-may-use"], "{sweep:?}");
        assert_eq!(shm_files().len(), 1);
        drop(other);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
    });
}

#[test]
fn a_file_that_a_stranger_has_open_too_is_not_recorded() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        let mut other = Asked::stranger(User::Server);
        other.ask(OPENS);
        server.ask(SHARES);
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(instance.count("object"), 0);
        server.kill();
        assert_eq!(shm_files().len(), 1);
    });
}

#[test]
fn a_file_that_is_mapped_after_it_was_opened_is_the_servers_as_any_that_is() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let mut server = Asked::start(&instance, &["--linger", "0s"]);
        server.ask(&OPENS.replace("opened", "mapped"));
        instance.wait_recorded(1);
        server.ask(&format!("{NUMBERS} {MAPS}"));
        instance.wait_recorded(2);
        assert!(how(&instance, "watch"));
        let other = Asked::stranger(User::Server);
        server.kill();
        assert_eq!(shm_files(), []);
        drop(other);
    });
}
