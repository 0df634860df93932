//! Small programs for the place behind a launcher: each says what reaches it, and changes nothing
//! of what it was given.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::subject::patience;
use crate::support::processes::Process;
use crate::support::waiting::happens_within;

/// Numbers of system calls that perl has no word for.
pub const CALLS: &str = if cfg!(target_arch = "x86_64") {
    "my %nr = (procmask => 14, timedwait => 128, execve => 59, prctl => 157, pidfd => 434);"
} else {
    "my %nr = (procmask => 135, timedwait => 137, execve => 221, prctl => 167, pidfd => 434);"
};

/// Blocks every signal, 32 and 33 too, and prints each that comes: number, code, value.
pub const LISTENER: &str = r#"
    $| = 1;
    my ($all, $old) = ("\xff" x 8, "\0" x 8);
    syscall($nr{procmask}, 2, $all, $old, 8) == 0 or die "sigprocmask: $!";
    print "ready\n";
    while (1) {
        my ($info, $longest) = ("\0" x 128, pack("q2", 60, 0));
        my $signal = syscall($nr{timedwait}, $all, $info, $longest, 8);
        next if $signal <= 0;
        my ($number, $errno, $code, $gap, $pid, $uid, $value) = unpack("l4 l L q", $info);
        print "$signal $code $value\n";
    }
"#;

/// Appends its pid and then the name of each signal that it handles to a file.
pub const RECORDER: &str = r#"
    open my $log, ">>", shift or die;
    select $log;
    $| = 1;
    for my $name (qw(INT QUIT HUP TERM CONT WINCH)) { $SIG{$name} = sub { print "$name " } }
    print "$$ ";
    select(undef, undef, undef, 0.02) while 1;
"#;

/// A program with the numbers of system calls before it.
pub fn script(body: &str) -> String {
    format!("{CALLS}{body}")
}

/// A process that prints lines.
pub struct Talker {
    pub process: Process,
    lines: BufReader<ChildStdout>,
}

impl Talker {
    /// Starts it, and waits for its first line.
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let lines = BufReader::new(process.child().stdout.take().unwrap());
        let mut talker = Talker { process, lines };
        assert_eq!(talker.line().as_deref(), Some("ready"));
        talker
    }

    /// The next line that comes soon, without its end.
    pub fn line(&mut self) -> Option<String> {
        self.line_within(patience() / 3)
    }

    /// The next line, if it comes within `longest` or before the process has ended.
    pub fn line_within(&mut self, longest: Duration) -> Option<String> {
        let is_there = |lines: &BufReader<ChildStdout>| {
            let mut fds = [PollFd::new(lines.get_ref().as_fd(), PollFlags::POLLIN)];
            !lines.buffer().is_empty() || poll(&mut fds, 20_u16).unwrap_or(0) > 0
        };
        let mut line = String::new();
        let mut ended = false;
        happens_within(longest, || {
            is_there(&self.lines) || std::mem::replace(&mut ended, !self.process.is_running())
        });
        if is_there(&self.lines) {
            self.lines.read_line(&mut line).unwrap();
        }
        (!line.is_empty()).then(|| line.trim_end().to_owned())
    }
}
