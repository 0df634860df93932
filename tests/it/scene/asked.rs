//! A server that does what it is asked to: it evaluates the lines of Perl that a test sends it,
//! and cleans nothing up. Its kind is the generic engine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;

use super::instance::{Instance, SOON};
use crate::support::processes::{self, Process};
use crate::support::user::User;
use crate::support::waiting::wait_until;

const SERVER: &str = r#"
    $| = 1;
    # GETPID and GETVAL, SETVAL, and an operation on a member.
    sub pid { semctl($_[0], $_[1], 11, 0) + 0 }
    sub value { semctl($_[0], $_[1], 12, 0) + 0 }
    sub set { semctl($_[0], $_[1], 16, $_[2]) or die "semctl: $!\n"; 0 }
    sub op { semop($_[0], pack("s!3", $_[1], $_[2], 0)) or die "semop: $!\n"; 0 }
    sub newset { my $id = semget($_[0], $_[1], 03600); defined $id or die "semget: $!\n"; $id + 0 }
    sub newqueue { my $id = msgget($_[0], 03600); defined $id or die "msgget: $!\n"; $id + 0 }
    sub put { msgsnd($_[0], pack("l! a*", 1, $_[1]), 0) or die "msgsnd: $!\n"; 0 }
    sub child {
        my ($code) = @_;
        my $pid = fork;
        return $pid if $pid;
        close STDIN; close STDOUT; $code->(); sleep 1 while 1;
    }
    while (defined(my $line = <STDIN>)) {
        my $answer = eval $line;
        print defined $answer ? "$answer\n" : "failed: $@ $!\n";
    }
    sleep 1 while 1;
"#;

/// The command line of such a server.
pub fn words() -> Vec<String> {
    ["perl", "-e", SERVER].map(str::to_owned).to_vec()
}

/// A process that does what it is asked to, under a launcher or without one.
pub struct Asked {
    outermost: Process,
    pid: i32,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    /// One under the ledger of an instance, whose launcher has begun to watch.
    pub fn start(instance: &Instance, options: &[&str]) -> Self {
        Asked::spawn(instance.run(options, &words()))
    }

    /// One without a launcher: somebody else.
    pub fn stranger(user: User) -> Self {
        let mut command = user.command("perl");
        command.args(["-e", SERVER]);
        Asked::spawn(command)
    }

    /// One by a command that ends with [`words`].
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut outermost = Process::spawn(&mut command);
        let input = outermost.child().stdin.take().unwrap();
        let output = BufReader::new(outermost.child().stdout.take().unwrap());
        let mut asked = Asked { outermost, pid: 0, input, output };
        assert_eq!(asked.ask("1"), 1, "it is there");
        let mut below = processes::descendants(asked.outermost.pid());
        below.push(asked.outermost.pid());
        let is_perl = |pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "perl\n")
        };
        asked.pid = below.into_iter().find(is_perl).expect("the server");
        asked
    }

    /// The pid of the server, as the test sees it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The launcher, or what stands before it.
    pub fn outermost(&mut self) -> &mut Process {
        &mut self.outermost
    }

    /// Sends a line of Perl without waiting for its answer.
    pub fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The number that a line of Perl gives.
    pub fn ask(&mut self, line: &str) -> i32 {
        self.tell(line);
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let number = answer.trim().parse();
        number.unwrap_or_else(|_| panic!("{line}: {answer:?}"))
    }

    /// Makes a set whose first member has the value 1.
    pub fn make_set(&mut self, key: u32, members: u32) -> i32 {
        let id = self.ask(&format!("newset({key}, {members})"));
        self.ask(&format!("set({id}, 0, 1)"));
        id
    }

    /// Makes a queue with a message of five bytes.
    pub fn make_queue(&mut self, key: u32) -> i32 {
        let id = self.ask(&format!("newqueue({key})"));
        self.ask(&format!("put({id}, 'hello')"));
        id
    }

    /// Kills the server; gives the launcher's end the time that it takes.
    pub fn kill(mut self) {
        processes::kill(self.pid, Signal::SIGKILL);
        self.outermost.wait(SOON);
    }

    /// Kills launcher and server at one moment, as far as either can tell.
    pub fn kill_all(mut self) {
        let launcher = processes::parent(self.pid).unwrap();
        processes::kill(launcher, Signal::SIGSTOP);
        processes::kill(self.pid, Signal::SIGKILL);
        processes::kill(launcher, Signal::SIGKILL);
        wait_until("what stands before the launcher has ended", SOON, || {
            // nsenter stops itself when its child was stopped.
            self.outermost.signal(Signal::SIGCONT);
            !self.outermost.is_running()
        });
        processes::wait_end(self.pid, SOON);
    }
}
