//! Processes that hold an object and do nothing else: a segment attached, a file mapped.
//!
//! They are written in Perl, which is on every Debian and can do any system call by its number, so
//! that the tests need neither `unsafe` nor the library that they test.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::processes::Process;
use super::user::User;

/// Perl's names for the system calls that attach and map, by their numbers here.
#[cfg(target_arch = "x86_64")]
pub const NUMBERS: &str = "my ($SHMAT, $MMAP) = (30, 9);";
/// Perl's names for the system calls that attach and map, by their numbers here.
#[cfg(target_arch = "aarch64")]
pub const NUMBERS: &str = "my ($SHMAT, $MMAP) = (196, 222);";

const ATTACH: &str = r#"
    syscall($SHMAT, $ARGV[0] + 0, 0, 0) != -1 or die "shmat $ARGV[0]: $!\n";
"#;
const MAP: &str = r#"
    open(my $file, '<', $ARGV[0]) or die "$ARGV[0]: $!\n";
    syscall($MMAP, 0, 4096, 1, 1, fileno($file), 0) != -1 or die "mmap $ARGV[0]: $!\n";
    close($file);
"#;
const HOLD: &str = r#"
    $| = 1; print "holding\n"; sleep 1 while 1;
"#;

/// A process of `user` that has the segment attached, as long as it lives.
pub fn attach(user: User, id: i32) -> Process {
    hold(user, ATTACH, &id.to_string())
}

/// A process of `user` that has the first page of a `/dev/shm` file mapped, as long as it lives.
pub fn map(user: User, name: &str) -> Process {
    hold(user, MAP, &format!("/dev/shm/{name}"))
}

fn hold(user: User, script: &str, argument: &str) -> Process {
    let mut perl = user.command("perl");
    perl.arg("-e").arg(format!("{NUMBERS}{script}{HOLD}")).arg(argument);
    let mut holder = Process::spawn(perl.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(holder.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "holding\n", "a process that holds {argument}");
    holder
}
