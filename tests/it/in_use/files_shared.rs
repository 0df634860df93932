//! Files of `/dev/shm` that others than their server use: mapped in another container, or open and
//! not mapped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::raced::MAPS;
use crate::scene::asked::{self, Asked};
use crate::scene::instance::{Instance, need_root, outcomes};
use crate::support::container::{Container, Own};
use crate::support::holders::NUMBERS;
use crate::support::objects::{create_shm_file, shm_files};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::warden;

/// Opens the file.
const OPEN: &str = "open($main::file, '+<', '/dev/shm/mapped') or die \"$!\\n\"; 0";

/// A server under a launcher that waits for nobody, with a file that it maps, in the ledger.
fn with_file(instance: &Instance) -> Asked {
    let mut server = Asked::start(instance, &["--linger", "0s"]);
    server.ask(&format!("{NUMBERS} {MAPS}"));
    instance.wait_recorded(1);
    server
}

#[test]
fn a_file_that_somebody_has_open_and_not_mapped_stays() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let server = with_file(&instance);
        let mut other = Asked::stranger(User::Server);
        other.ask(OPEN);
        server.kill();
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept open"], "{sweep:?}");
        let list = ["list", "--json", "--ledger", instance.path()];
        let list = warden::answer(User::Server, &list).expect_code(0).json();
        assert_eq!(list["objects"][0]["verdict"], "held", "{list}");
        assert_eq!(list["objects"][0]["reason_code"], "open", "{list}");
        assert_eq!(shm_files().len(), 1);
        drop(other);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        assert_eq!(shm_files(), []);
    });
}

/// In no ledger: `adopt` would refuse it, and `list` says why it is nobody's leak.
#[test]
fn a_file_of_no_ledger_that_somebody_has_open_is_no_orphan() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        create_shm_file(User::Server, "mapped", 4096);
        let said = || {
            let list = warden::answer(User::Root, &["list", "--json"]).expect_code(0).json();
            let one = &list["objects"][0];
            format!("{} {}", one["verdict"], one["reason_code"]).replace('"', "")
        };
        let mut other = Asked::stranger(User::Root);
        other.ask(OPEN);
        assert_eq!(said(), "unrecorded open");
        drop(other);
        assert_eq!(said(), "unrecorded any-file");
    });
}

/// Root sees who else has it open.
#[test]
fn a_file_that_root_has_open_stays_where_root_looks() {
    sandbox::on_host(|| {
        need_root("to have a server of root's");
        let instance = Instance::new(User::Root);
        let server = with_file(&instance);
        let mut other = Asked::stranger(User::Root);
        other.ask(OPEN);
        server.kill();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept open"]);
        assert_eq!(shm_files().len(), 1);
    });
}

#[test]
fn a_file_that_somebody_has_locked_stays() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let server = with_file(&instance);
        let mut other = Asked::stranger(User::Server);
        other.ask(OPEN);
        assert_eq!(other.ask("flock($main::file, 2) ? 1 : 0"), 1);
        server.kill();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept open"]);
        other.ask("close($main::file) ? 1 : 0");
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(shm_files(), []);
    });
}

#[test]
fn a_file_stays_where_locks_cannot_be_read() {
    sandbox::on_host(|| {
        need_root("for a user of its own");
        let instance = Instance::new(User::Server);
        let server = with_file(&instance);
        let closed = sandbox::scratch().join("closed");
        fs::write(&closed, "").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let mut bind = Command::new("mount");
        let bound = bind.arg("--bind").arg(&closed).arg("/proc/locks").status().unwrap();
        assert!(bound.success());
        server.kill();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept locked"]);
        assert_eq!(shm_files().len(), 1);
        assert!(Command::new("umount").arg("/proc/locks").status().unwrap().success());
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"]);
        assert_eq!(shm_files(), []);
    });
}

/// From the machine a process of a container is seen, and what it maps.
#[test]
fn on_the_machine_a_file_stays_that_a_container_maps_and_goes_when_it_does_not() {
    sandbox::on_host(|| {
        need_root("to look into a container");
        let instance = Instance::new(User::Server);
        let server = with_file(&instance);
        let container = Container::new(&[Own::Pids]);
        let mut command = container.command(User::Server, "perl");
        command.args(&asked::words()[1..]);
        let mut inside = Asked::spawn(command);
        let map = "syscall($MMAP, 0, 4096, 1, 1, fileno($main::file), 0) != -1 or die; 0";
        inside.ask(&format!("{NUMBERS} {OPEN}"));
        inside.ask(&format!("{NUMBERS} {map}"));
        inside.ask("close($main::file) ? 1 : 0");
        server.kill();
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["kept mapped"], "{sweep:?}");
        drop(inside);
        drop(container);
        let sweep = instance.sweep_as(User::Root, &[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{sweep:?}");
        assert_eq!(shm_files(), []);
    });
}

/// In a container nobody can tell whether another one maps it.
#[test]
fn in_a_container_a_file_of_a_server_without_a_main_segment_stays() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = with_file(&instance);
        server.kill();
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["kept unseen"]);
        assert_eq!(shm_files().len(), 1);
    });
}

/// The machine's own, which any user may run.
const PYTHON: &str = "/usr/bin/python3";

/// Opens the file in a thread with descriptors of its own, or in one that outlives the first.
const IN_A_THREAD: &str = r"
import ctypes, os, platform, sys, threading, time
libc = ctypes.CDLL(None)
ready = threading.Event()
def work():
    if sys.argv[1] == 'own':
        assert libc.unshare(0x400) == 0
    os.open('/dev/shm/mapped', os.O_RDWR)
    ready.set()
    while True:
        time.sleep(60)
threading.Thread(target=work, daemon=True).start()
ready.wait()
print('open', flush=True)
if sys.argv[1] == 'outlives':
    libc.syscall(60 if platform.machine() == 'x86_64' else 93, 0)
time.sleep(600)
";

/// Mounts the file under another name, in a mount namespace of its own, and has it open there.
const UNDER_ANOTHER_NAME: &str = r"
    mount --make-rprivate / && mount -t tmpfs t /mnt && : >/mnt/other &&
        mount --bind /dev/shm/mapped /mnt/other &&
        exec setpriv --reuid $1 --clear-groups sh -c '
            exec 9<>/mnt/other && echo open && exec sleep 600'
";

#[test]
fn a_file_stays_that_a_thread_has_open_for_itself_or_somebody_under_another_name() {
    sandbox::on_host(|| {
        need_root("to mount");
        if !std::path::Path::new(PYTHON).exists() {
            skip("needs python3, for threads");
        }
        let uid = User::Server.ids().0.to_string();
        let thread = |how| [PYTHON, "-c", IN_A_THREAD, how].to_vec();
        let mounted = ["unshare", "--mount", "sh", "-c", UNDER_ANOTHER_NAME, "sh"].to_vec();
        let (server, root) = (User::Server, User::Root);
        let ways = [(server, thread("plain")), (server, thread("own"))];
        let ways = [ways, [(server, thread("outlives")), (root, mounted)]].concat();
        for (user, words) in ways {
            let instance = Instance::new(User::Server);
            let server = with_file(&instance);
            let mut command = user.command(words[0]);
            let mut other =
                Process::spawn(command.args(&words[1..]).arg(&uid).stdout(Stdio::piped()));
            let mut line = String::new();
            let output = other.child().stdout.take().unwrap();
            BufReader::new(output).read_line(&mut line).unwrap();
            assert_eq!(line, "open\n", "{words:?}");
            server.kill();
            let sweep = || outcomes(&instance.sweep_as(User::Root, &[]).expect_code(0));
            assert_eq!(sweep(), ["kept open"], "{words:?}");
            assert_eq!(shm_files().len(), 1);
            drop(other);
            assert_eq!(sweep(), ["removed dead"], "{words:?}");
            assert_eq!(shm_files(), []);
        }
    });
}
