//! The memory of another user's process may be served by that user, who never answers: what is
//! read of it delays nobody.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use super::deputy::{crashed, directory, in_time, write};
use crate::scene::instance::need_root;
use crate::support::objects::{create_segment, segment};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;

/// A file that can be opened and mapped, and whose content never comes (`linux/fuse.h`).
const SERVE: &str = r#"
    use strict; $^F = 1000;
    my ($path, $uid) = @ARGV;
    open(my $fuse, '+<', '/dev/fuse') or die "/dev/fuse: $!\n";
    my $options = 'fd=' . fileno($fuse) . ",rootmode=100666,user_id=$uid,group_id=0,allow_other";
    system('mount', '-i', '-t', 'fuse', '-o', $options, 'served', $path) == 0 or die "mount\n";
    $| = 1; print "ready\n";
    while (sysread($fuse, my $asked, 1 << 18)) {
        my ($length, $what, $unique) = unpack('LLQ', $asked);
        my $said = $what == 26 ? pack('LLLLSSLLx36', 7, 23, 0, 0, 0, 0, 4096, 1)  # FUSE_INIT
            : $what == 3 ? pack('QLLQQQQQQLLLLLLLLLL', 1000, 0, 0, 1, 1 << 20, 0, 0, 0, 0,
                0, 0, 0, 0100666, 1, $uid, 0, 0, 4096, 0)                         # FUSE_GETATTR
            : $what == 14 ? pack('QLL', 1, 0, 0)                                  # FUSE_OPEN
            : undef;
        next if $what == 15;                                                      # FUSE_READ
        my $error = defined $said ? 0 : -38;
        $said //= '';
        syswrite($fuse, pack('LlQ', 16 + length($said), $error, $unique) . $said);
    }
"#;

/// A segment that begins as PostgreSQL's list of its dynamic shared memory, of which only the first
/// page stays attached: the file is mapped behind it.
const HOLD: &str = r#"
    use strict;
    my ($path, $id) = ($ARGV[0], $ARGV[1] + 0);
    shmwrite($id, pack('LLLL', 0x9a503d32, 0, 1000, 0), 0, 16) or die "shmwrite: $!\n";
    my $start = syscall($SHMAT, $id, 0, 0);
    $start != -1 or die "shmat: $!\n";
    syscall($MUNMAP, $start + 4096, 61440) == 0 or die "munmap: $!\n";
    open(my $file, '<', $path) or die "$path: $!\n";
    die "stat\n" if !-s $file;
    my $mapped = syscall($MMAP, $start + 4096, 61440, 1, 0x12, fileno($file), 0);
    $mapped == $start + 4096 or die "mmap: $!\n";
    close($file);
    $| = 1; print "ready\n"; sleep 1 while 1;
"#;

#[cfg(target_arch = "x86_64")]
const NUMBERS: &str = "our ($SHMAT, $MMAP, $MUNMAP) = (30, 9, 11);";
#[cfg(target_arch = "aarch64")]
const NUMBERS: &str = "our ($SHMAT, $MMAP, $MUNMAP) = (196, 222, 215);";

fn start(user: User, script: &str, words: &[&str]) -> Process {
    let mut perl = user.command("perl");
    perl.arg("-e").arg(format!("{NUMBERS}{script}")).args(words);
    let mut process = Process::spawn(perl.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{words:?}");
    process
}

#[test]
fn memory_behind_a_segment_that_never_comes_delays_nobody() {
    sandbox::on_host(|| {
        need_root("to mount");
        if !Path::new("/dev/fuse").exists() {
            skip("there is no FUSE here");
        }
        let served = sandbox::scratch().join("served");
        std::fs::write(&served, "").unwrap();
        let served = served.to_str().unwrap();
        let serving = start(User::Root, SERVE, &[served, &User::Server.ids().0.to_string()]);
        let list = create_segment(User::Server, 0x4711, 65536);
        let holding = start(User::Server, HOLD, &[served, &list.to_string()]);
        let theirs = directory(User::Server);
        write(User::Server, &theirs.join("a.ledger"), []);
        let id = crashed();
        let adopt = in_time(&["adopt", "--dry-run", "--min-age", "0s"]).expect_code(0);
        assert!(!adopt.stdout.contains("would adopt"), "{adopt:?}");
        for command in ["list", "doctor", "sweep --include-clean"] {
            in_time(&command.split(' ').collect::<Vec<_>>());
        }
        assert!(segment(id).is_none() && segment(list).is_some());
        drop((holding, serving));
    });
}
