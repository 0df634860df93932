//! A server without a database: it has a segment attached, makes another or forks when it is told
//! to, and cleans nothing up. Its kind is the generic engine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;

use super::instance::{Instance, SOON};
use crate::support::holders::NUMBERS;
use crate::support::processes::{self, Process};
use crate::support::waiting::wait_until;

/// USR1: another segment, of the next key. USR2: a child that goes on when the server dies.
const SERVER: &str = r#"
    $| = 1;
    my $key = $ARGV[0] + 0;
    sub create {
        my $id = shmget($key, 8192, 03600); # IPC_CREAT | IPC_EXCL
        $key++ if $key; # 0 is none
        defined $id or die "shmget: $!\n";
        syscall($SHMAT, $id + 0, 0, 0) != -1 or die "shmat: $!\n";
        print $id + 0, "\n";
    }
    # Done by the loop, not by the handler: a child forked within a handler has its signal blocked.
    my ($wanted, $forks) = (0, 0);
    $SIG{USR1} = sub { $wanted++ };
    $SIG{USR2} = sub { $forks++ };
    create();
    while (1) {
        select(undef, undef, undef, 0.05); # a signal may come just before a long sleep
        while ($wanted) { $wanted--; create() }
        while ($forks) {
            $forks--;
            my $child = fork;
            if ($child == 0) { $wanted = $forks = 0; close STDOUT; close STDERR }
            else { print "$child\n" }
        }
    }
"#;

/// The command line of a stand-in whose first segment gets this key; with 0 none gets one, and all
/// go though nobody saw the server end.
pub fn words(key: u32) -> Vec<String> {
    let script = format!("{NUMBERS}{SERVER}");
    let key = key as i32; // Perl would saturate a larger number
    let words = ["perl", "-e", &script, "--", &key.to_string()];
    words.map(str::to_owned).to_vec()
}

/// A stand-in that runs.
pub struct StandIn {
    outermost: Process,
    server: i32,
    segment: i32,
    output: BufReader<ChildStdout>,
}

impl StandIn {
    /// Starts one under the ledger of an instance.
    pub fn start(instance: &Instance, key: u32) -> Self {
        StandIn::spawn(instance.run(&[], &words(key)))
    }

    /// Starts one by a command that ends with [`words`]; gives it back when its segment is there.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut outermost = Process::spawn(&mut command);
        let mut output = BufReader::new(outermost.child().stdout.take().unwrap());
        let segment = number(&mut output);
        let mut below = processes::descendants(outermost.pid());
        below.push(outermost.pid());
        let is_server = |pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "perl\n")
        };
        let server = below.into_iter().find(is_server).expect("the stand-in");
        StandIn { outermost, server, segment, output }
    }

    /// What was spawned: the launcher, or what stands before that.
    pub fn outermost(&mut self) -> &mut Process {
        &mut self.outermost
    }

    /// The server's pid, as the test sees it.
    pub fn pid(&self) -> i32 {
        self.server
    }

    /// The id of its first segment.
    pub fn segment(&self) -> i32 {
        self.segment
    }

    /// Has it make another segment, and gives that one's id.
    pub fn create_another(&mut self) -> i32 {
        self.create_another_through(self.server)
    }

    /// The same, with the signal sent to a process that is to pass it on.
    pub fn create_another_through(&mut self, pid: i32) -> i32 {
        processes::kill(pid, Signal::SIGUSR1);
        number(&mut self.output)
    }

    /// Has it fork a child that has all attached too, and gives the child's pid, as the server
    /// sees it.
    pub fn fork(&mut self) -> i32 {
        processes::kill(self.server, Signal::SIGUSR2);
        number(&mut self.output)
    }

    /// Kills launcher and server in this order, at one moment as far as either can tell: the
    /// launcher is stopped before its server dies.
    pub fn kill_all(mut self) {
        let launcher = processes::parent(self.server).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(self.server, Signal::SIGKILL);
        processes::kill(launcher, Signal::SIGKILL);
        wait_until("what stands before the launcher has ended", SOON, || {
            // nsenter stops itself when its child was stopped.
            self.outermost.signal(Signal::SIGCONT);
            !self.outermost.is_running()
        });
        processes::wait_end(self.server, SOON);
    }
}

fn number(output: &mut BufReader<ChildStdout>) -> i32 {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let number = line.trim().parse();
    number.unwrap_or_else(|_| panic!("a number from the stand-in, not {line:?}"))
}
